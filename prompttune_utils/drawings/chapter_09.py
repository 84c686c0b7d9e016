"""The drawing of chapter 9, and of the welcome page: prompt tuning."""

from collections.abc import Mapping

from prompttune_utils.drawings.sheet import (
    LARGE,
    MARGIN,
    NORMAL,
    SMALL,
    WIDTH,
    Drawing,
)


def prompt_tuning(words: Mapping[str, str] | None = None) -> Drawing:
    """A few trained vectors before the word embeddings of a frozen model. `words`: see
    `Drawing`."""
    sheet = Drawing(
        "Prompt tuning: a few trained vectors stand before the word embeddings of a "
        "text. The language model behind them is frozen; the gradient changes only "
        "these vectors.",
        words,
    )
    left, w = 56, WIDTH - 56 - MARGIN
    middle = left + w / 2

    sheet.symbol(70, 30, "trained")
    sheet.text(
        88, 30, "p trained vectors", NORMAL, anchor="start", bold=True, width=196
    )
    sheet.text(
        left + 4, 62, "no words, only numbers", SMALL, "quiet", "start", width=222
    )
    sheet.symbol(304, 30, "frozen")
    sheet.text(322, 30, "the text", NORMAL, anchor="start", bold=True, width=150)
    tokens = ["The", "soup", "was", "cold", "…"]
    places = sheet.tokens(tokens, 48, x=290, w=334)
    prompt = dict(zip((82, 136, 190, 244), ("p₁", "p₂", "…", "pₚ")))

    for x, name in prompt.items():
        sheet.text(x, 100, name, NORMAL, bold=True, italic=True, width=50)
        sheet.vector(x, 116, "trained", cells=6, cell=13)
    for x in places:
        sheet.arrow((x, 88), (x, 114))
        sheet.vector(x, 116, "frozen", cells=6, cell=13)
    for x in [*prompt, *places]:
        sheet.arrow((x, 196), (x, 222))

    sheet.box(left, 224, w, 104, "frozen")
    sheet.symbol(left + 24, 276, "frozen")
    sheet.text(middle, 258, "language model", LARGE, bold=True, width=400)
    about = "no weight changes: one model serves all tasks"
    sheet.text(middle, 294, about, SMALL, "quiet", width=w - 90)

    sheet.arrow((middle, 330), (middle, 356))
    sheet.box(middle - 64, 358, 128, 44, "output", "bad", NORMAL, symbol=True)
    sheet.text(middle + 82, 380, "the answer, a word", SMALL, "quiet", "start")
    orange = {"colour": "trained edge", "dashed": True}
    sheet.arrow((middle - 68, 380), (28, 380), (28, 154), (66, 154), **orange)
    gradient = "gradient: only to the prompt"
    sheet.text(left, 422, gradient, SMALL, "quiet", "start", width=320)
    return sheet.finished()
