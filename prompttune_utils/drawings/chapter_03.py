"""The drawings of chapter 3: a template with its verbalizer, and the prior."""

import math
from collections.abc import Mapping

from prompttune_utils.drawings.sheet import (
    LARGE,
    MARGIN,
    NORMAL,
    SMALL,
    WIDTH,
    Drawing,
)


def template_and_verbalizer(words: Mapping[str, str] | None = None) -> Drawing:
    """A label asked for as a missing word: template T, the frozen model with its own
    output matrix, verbalizer v. `words`: see `Drawing`."""
    sheet = Drawing(
        "A template turns the review into a sentence with a gap. The frozen model "
        "scores every word for the gap, with the output matrix of its pre-training. "
        "The verbalizer reads two of the scores: bad as negative, great as positive.",
        words,
    )
    left, w = 84, WIDTH - 84 - MARGIN
    sheet.text(46, 38, "x", NORMAL, bold=True, italic=True, width=56)
    review = "The soup was cold and the waiter rude."
    sheet.box(left, MARGIN, w, 44, text=review, size=NORMAL)
    sheet.arrow((left + 130, 62), (left + 130, 94))
    sheet.symbol(left + 164, 78, "written")
    template = "template T: the same for every review"
    sheet.text(left + 182, 78, template, SMALL, "quiet", "start", width=360)

    sheet.text(46, 118, "T(x)", NORMAL, bold=True, italic=True, width=60)
    tokens = ["The soup … waiter rude.", "It", "was", "[MASK]", "."]
    kinds = {1: "written", 2: "written", 3: "chosen", 4: "written"}
    places = sheet.tokens(tokens, 98, kinds, x=left, w=w, pad=10, h=42)
    for x in places:
        sheet.arrow((x, 142), (x, 166))
    mask = places[3]

    sheet.box(left, 168, w, 60, "frozen", "language model", LARGE, True, symbol=True)
    sheet.arrow((mask, 230), (mask, 252))
    sheet.vector(mask, 254, "chosen", cells=6, cell=11)
    sheet.text(mask - 18, 287, "h at [MASK]", SMALL, anchor="end", width=200)
    sheet.arrow((mask, 322), (mask, 344))

    sheet.box(left, 346, w, 96, "frozen")
    sheet.symbol(left + 21, 394, "frozen")
    sheet.matrix(left + 58, 358, 6, 6, "frozen", cell=12)
    about = "the one that pre-training used: nothing here is new"
    sheet.note(left + 152, 394, "output matrix, V × d", about, 370)

    sheet.arrow((230, 444), (230, 470))
    sheet.text(230, 488, "scores at [MASK]", NORMAL, bold=True, width=250)
    sheet.symbol(438, 488, "written")
    sheet.text(456, 488, "verbalizer v", NORMAL, anchor="start", bold=True, width=160)
    scores = {"bad": 176, "slow": 108, "great": 84, "fine": 52, "…": 20}
    readings = {"bad": ("negative", "output"), "great": ("positive", "plain")}
    for number, (word, length) in enumerate(scores.items()):
        y = 510 + 36 * number
        read = word in readings
        sheet.text(
            130, y + 15, word, SMALL, "ink" if read else "quiet", "end", read, width=110
        )
        sheet.box(142, y, length, 28, "written" if read else "plain", radius=4)
        if read:
            label, kind = readings[word]
            sheet.arrow((142 + length + 6, y + 15), (440, y + 15))
            sheet.box(444, y - 6, 150, 40, kind, label, symbol=kind == "output")

    meanings = {
        "written": "written by a person",
        "frozen": "frozen",
        "output": "the answer",
    }
    sheet.legend(710, meanings)
    return sheet.finished()
