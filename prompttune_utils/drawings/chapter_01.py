"""The drawing of chapter 1: four ways to read one review."""

from collections.abc import Mapping

from prompttune_utils.drawings.sheet import (
    LARGE,
    MARGIN,
    NORMAL,
    SMALL,
    WIDTH,
    Drawing,
)

REVIEW = "The soup was cold and the waiter rude."
COLUMNS = {
    "written": "by hand",
    "frozen": "from raw text",
    "trained": "from labels",
}
NOTHING, SOME, MUCH = 40, 72, 102  # how high a box is; not to scale

# what each paradigm is called, who stands for it, and what it has from each column
PARADIGMS = [
    (
        "1  Count the words",
        "TF-IDF, naive Bayes",
        ("cold 1, rude 1, soup 1, hot 0, …", SOME),
        ("nothing", NOTHING),
        ("what each word says about the label", MUCH),
    ),
    (
        "2  Read them in order",
        "word vectors, LSTM",
        ("nothing", NOTHING),
        ("word vectors", SOME),
        ("how words make a sentence, and what it says", MUCH),
    ),
    (
        "3  Pre-train, then fine-tune",
        "BERT and a new head",
        ("nothing", NOTHING),
        ("how to read: a whole model", MUCH),
        ("a new head, and small changes to all weights", SOME),
    ),
    (
        "4  Pre-train, then prompt",
        "BERT and a template",
        ("… It was [MASK]. terrible → negative", SOME),
        ("how to read and answer in words", MUCH),
        ("little, or nothing", NOTHING),
    ),
]


def four_paradigms(words: Mapping[str, str] | None = None) -> Drawing:
    """One review read in four ways: what a person writes, what raw text teaches, and
    what is left for the labels. `words`: see `Drawing`."""
    sheet = Drawing(
        "One review is read in four ways. From counted words to a prompt, less is made "
        "by hand or taught by labels, and more is learned from raw text.",
        words,
    )
    middle, w, gap = WIDTH / 2, 184, 28
    lefts = [MARGIN + number * (w + gap) for number in range(3)]

    sheet.box(100, MARGIN, WIDTH - 200, 46, text=REVIEW, size=NORMAL)
    sheet.arrow((middle, 62), (middle, 90))
    sheet.text(middle, 108, "Where does the answer come from?", LARGE, bold=True)
    for left, (kind, name) in zip(lefts, COLUMNS.items()):
        sheet.symbol(left + 14, 146, kind)
        sheet.text(left + 32, 146, name, NORMAL, anchor="start", bold=True, width=w)

    y = 172
    for name, example, *cells in PARADIGMS:
        sheet.line((MARGIN, y), (WIDTH - MARGIN, y), colour="plain edge")
        sheet.text(MARGIN, y + 23, name, NORMAL, anchor="start", bold=True, width=350)
        sheet.text(WIDTH - MARGIN, y + 23, example, SMALL, "quiet", "end", width=240)
        centre = y + 44 + MUCH / 2
        for left, kind, (content, height) in zip(lefts, COLUMNS, cells):
            cell(sheet, left, centre, w, height, kind, content)
            if left < lefts[-1]:
                sheet.text(left + w + gap / 2, centre, "+", LARGE, "quiet", width=gap)
        y += 44 + MUCH + 16

    sheet.line((MARGIN, y), (WIDTH - MARGIN, y), colour="plain edge")
    sheet.text(
        middle + 20, y + 38, "all four look for one answer", NORMAL, anchor="end"
    )
    sheet.box(middle + 36, y + 16, 160, 44, "output", "negative", NORMAL, symbol=True)
    note = "The higher a box, the more of the work is done there. Not to scale."
    sheet.text(middle, y + 84, note, SMALL, "quiet", lines=2)
    return sheet.finished()


def cell(sheet: Drawing, x, middle, w, h, kind, content) -> None:
    """What a paradigm has from one column: a box around `middle`, with a picture where
    raw text taught something."""
    top, centre = middle - h / 2, x + w / 2
    if content == "nothing":
        sheet.box(x, top, w, h, "plain", content, dashed=True)
    elif kind != "frozen":
        sheet.box(x, top, w, h, kind, content)
    else:
        sheet.box(x, top, w, h, kind)
        picture = 24 if h == SOME else 36
        lines = 1 if h == SOME else 2
        sheet.text(centre, middle - picture / 2 - 2, content, width=w - 14, lines=lines)
        y = top + h - picture - 8
        for number in range(-2, 3) if h == SOME else ():
            sheet.vector(centre + 22 * number, y, kind, cells=3, cell=8)
        for number in range(3) if h == MUCH else ():
            sheet.box(centre - 50, y + 12 * number, 100, 9, kind, radius=3)
