"""The drawing of chapter 14: two experts answer for a reader's own labels."""

from collections.abc import Mapping

from prompttune_utils.drawings.sheet import MARGIN, NORMAL, SMALL, WIDTH, Drawing

HALF = (WIDTH - 3 * MARGIN) / 2  # the width of an expert's column
RIGHT = 2 * MARGIN + HALF  # where the second column begins


def own_task(words: Mapping[str, str] | None = None) -> Drawing:
    """A row of a reader's file goes to word counts and to a network; their answers are
    weighed. `words`: see `Drawing`."""
    sheet = Drawing(
        "A row of your file, a text and its label, is read by two experts. The first "
        "counts words, and learns from your rows alone. The second is a frozen network "
        "that has read much, with one small layer trained on your rows. Both give each "
        "label a probability. The weights a and b of the two are chosen on rows that "
        "neither was fitted to, and the sum gives the answer.",
        words,
    )
    middle = WIDTH / 2
    sheet.text(MARGIN, 30, "a row of your file", NORMAL, bold=True, anchor="start")
    row = "I was charged twice for one order."
    sheet.box(MARGIN, 48, WIDTH - 2 * MARGIN - 132, 46, "plain", row)
    sheet.box(WIDTH - MARGIN - 124, 48, 124, 46, "written", "billing", symbol=True)
    left, right = MARGIN + HALF / 2, RIGHT + HALF / 2
    for x in (left, right):
        sheet.arrow((x, 96), (x, 124))

    sheet.box(MARGIN, 126, HALF, 128, "trained")
    sheet.symbol(MARGIN + 24, 152, "trained")
    sheet.text(left + 8, 152, "word counts", NORMAL, bold=True, width=HALF - 70)
    about = "knows your rows, no more"
    sheet.text(left, 202, about, SMALL, "quiet", width=HALF - 24)

    sheet.box(RIGHT, 126, HALF, 76, "frozen")
    sheet.symbol(RIGHT + 24, 152, "frozen")
    sheet.text(right + 8, 152, "network", NORMAL, bold=True, width=HALF - 70)
    sheet.text(right, 180, "has read much before", SMALL, "quiet", width=HALF - 24)
    sheet.box(RIGHT, 208, HALF, 46, "trained", "one small layer", symbol=True)

    for x, name in ((left, "a"), (right, "b")):
        sheet.arrow((x, 256), (x, 308), (middle + (x - middle) * 0.22, 308))
        sheet.text(
            x + (12 if x > middle else -12),
            284,
            name,
            NORMAL,
            bold=True,
            italic=True,
            width=30,
        )
    sheet.text(middle, 308, "+", NORMAL, bold=True, width=30)
    sheet.arrow((middle, 326), (middle, 350))
    sheet.box(middle - 80, 352, 160, 46, "output", "billing", NORMAL, symbol=True)
    about = "a and b: chosen on rows that neither was fitted to"
    sheet.text(middle, 424, about, SMALL, "quiet", width=WIDTH - 2 * MARGIN)
    meanings = {
        "written": "written by a person",
        "trained": "fitted to your rows",
        "frozen": "frozen",
        "output": "the answer",
    }
    sheet.legend(452, meanings)
    return sheet.finished()
