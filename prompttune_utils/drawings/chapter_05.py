"""The drawing of chapter 5: tasks, their wordings, and the loss on the response."""

from collections.abc import Mapping

from prompttune_utils.drawings.sheet import (
    LARGE,
    MARGIN,
    NORMAL,
    SMALL,
    WIDTH,
    Drawing,
)


def instruction_tuning(words: Mapping[str, str] | None = None) -> Drawing:
    """Rows of many tasks, worded as instructions, and where the loss looks. `words`:
    see `Drawing`."""
    sheet = Drawing(
        "From top to bottom: a row of a task, hot and cold, is put into one of ten "
        "wordings, such as Name the antonym of hot. The message and its "
        "response make one line of tokens: the instruction x, which is only read, and "
        "the response y, cold and the end of the line, on which alone the loss looks. "
        "All weights of the language model are trained, on many tasks at once.",
        words,
    )
    inner = WIDTH - 2 * MARGIN
    y = MARGIN
    sheet.heading(y + 14, "many tasks", "each with rows of its own", 150)
    wide = (inner - 20) / 3
    rows = ["hot → cold", "猫 → cat", "3 → three"]
    for number, row in enumerate(rows):
        kind = "written" if number == 0 else "plain"
        sheet.box(MARGIN + number * (wide + 10), y + 34, wide, 40, kind, row, NORMAL)
    middle = MARGIN + wide / 2
    sheet.arrow((middle, y + 76), (middle, y + 100))
    y += 104
    sheet.heading(y + 14, "ten wordings", "seven are tuned on, three are kept", 170)
    for number, wording in enumerate(
        [
            "Name the antonym of hot.",
            "What says the reverse of hot?",
            "写出hot的反义词。",
        ]
    ):
        kind = "written" if number == 0 else "plain"
        sheet.box(MARGIN, y + 34 + 44 * number, inner, 38, kind, wording, NORMAL)
    sheet.arrow((middle, y + 166), (middle, y + 190))
    y += 194
    sheet.heading(y + 14, "one line", "in the form of a conversation", 120)
    y += 36
    asked = inner - 190
    text = "question: Name the antonym of hot. answer:"
    sheet.box(MARGIN, y, asked, 44, "plain", text, SMALL)
    left = MARGIN + asked + 8
    sheet.box(left, y, 96, 44, "output", "cold", NORMAL)
    sheet.box(left + 104, y, 78, 44, "output", "↵", NORMAL)
    sheet.brace(MARGIN, MARGIN + asked, y + 50)
    sheet.brace(left, left + 182, y + 50)
    sheet.text(
        MARGIN + asked / 2, y + 80, "instruction x", NORMAL, bold=True, width=asked
    )
    sheet.text(
        MARGIN + asked / 2, y + 104, "read, no loss: −100", SMALL, "quiet", width=asked
    )
    sheet.text(left + 91, y + 80, "response y", NORMAL, bold=True, width=180)
    sheet.text(left + 91, y + 104, "the loss", SMALL, "quiet", width=180)
    y += 124
    sheet.arrow((WIDTH / 2, y), (WIDTH / 2, y + 26))
    sheet.box(MARGIN, y + 30, inner, 74, "trained")
    sheet.symbol(MARGIN + 22, y + 67, "trained")
    sheet.text(WIDTH / 2, y + 54, "language model θ", LARGE, bold=True, width=400)
    sheet.text(WIDTH / 2, y + 83, "one model for all tasks", SMALL, "quiet", width=400)
    kinds = {
        "written": "drawn this time",
        "output": "asked for",
        "trained": "trained",
    }
    sheet.legend(y + 118, kinds)
    return sheet.finished()
