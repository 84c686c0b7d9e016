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

PRIOR_CHANGES = (
    "Bars: the scores of the label words on one text, minus their means over "
    "unlabelled texts, leave what this text adds. Then another word has the largest."
)
PRIOR_STAYS = (
    "Bars: the scores of the label words on one text, minus their means over "
    "unlabelled texts, leave what this text adds. The same word has the largest."
)


def template_and_verbalizer(words: Mapping[str, str] | None = None) -> Drawing:
    """A label asked for as a missing word: template T, the frozen model with its own
    output matrix, verbalizer v. `words`: see `Drawing`."""
    sheet = Drawing(
        "A template turns the review into a sentence with a gap. The frozen model "
        "scores every word for the gap, with the output matrix of its pre-training. "
        "The verbalizer reads two of the scores: great as positive, bad as negative.",
        words,
    )
    left, w = 84, WIDTH - 84 - MARGIN
    sheet.text(46, 38, "x", NORMAL, bold=True, italic=True, width=56)
    review = "I like the Disney films very much."
    sheet.box(left, MARGIN, w, 44, text=review, size=NORMAL)
    sheet.arrow((left + 130, 62), (left + 130, 94))
    sheet.symbol(left + 164, 78, "written")
    template = "template T: the same for every review"
    sheet.text(left + 182, 78, template, SMALL, "quiet", "start", width=360)

    sheet.text(46, 118, "T(x)", NORMAL, bold=True, italic=True, width=60)
    tokens = ["I like … very much.", "It", "was", "[MASK]", "."]
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
    sheet.note(left + 152, 394, "output matrix W, V × d", about, 370)

    sheet.arrow((230, 444), (230, 470))
    sheet.text(230, 488, "scores z at [MASK]", NORMAL, bold=True, width=250)
    sheet.symbol(438, 488, "written")
    sheet.text(456, 488, "verbalizer v", NORMAL, anchor="start", bold=True, width=160)
    # as long as the probabilities that mini-bert gives to these words are large
    scores = {"great": 176, "funny": 98, "good": 76, "bad": 14, "…": 0}
    readings = {"great": ("positive", "output"), "bad": ("negative", "plain")}
    for number, (word, length) in enumerate(scores.items()):
        y = 510 + 36 * number
        read = word in readings
        sheet.text(
            130, y + 15, word, SMALL, "ink" if read else "quiet", "end", read, width=110
        )
        if word != "…":
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


def taking_the_prior_out(
    scores: Mapping[str, float],
    prior: Mapping[str, float],
    text: str = "The soup was cold and the waiter rude.",
    words: Mapping[str, str] | None = None,
) -> Drawing:
    """Scores of the label words on one text, minus their means over unlabelled texts.

    Args:
        scores: score of each label word on the text, such as its log-probability.
        prior: mean score of the same words over unlabelled texts.
        text: the text.
        words: see `Drawing`.

    Raises:
        ValueError: the two do not have the same words, fewer than 2 or more than 5, or
            a score is not a finite number.
    """
    check_scores(scores, prior)
    left = {word: scores[word] - prior[word] for word in scores}
    before, after = max(scores, key=scores.get), max(left, key=left.get)
    sheet = Drawing(PRIOR_CHANGES if before != after else PRIOR_STAYS, words)
    values = [*scores.values(), *prior.values()]
    # log-probabilities are below 0: their bars begin at a whole number under them all
    start = 0 if min(values) >= 0 else math.floor(min(values) - 0.5)
    lowest, highest = min(0, *left.values()), max(0, *left.values())
    scale = 270 / max(max(values) - start, highest - lowest)

    sheet.box(MARGIN, MARGIN, WIDTH - 2 * MARGIN, 46, text=text, size=NORMAL)
    y, panel = 84, 46 + 36 * len(scores) + 18
    for name, about, kept, base, answer in [
        ("the scores on this text", "largest", scores, start, before),
        ("− their mean over unlabelled texts", "", prior, start, ""),
        ("= what this text adds", "largest", left, 0, after),
    ]:
        sheet.line((MARGIN, y), (WIDTH - MARGIN, y), colour="plain edge", width=1)
        sheet.text(MARGIN, y + 24, name, NORMAL, anchor="start", bold=True, width=440)
        zero = 130 - (lowest * scale if kept is left else 0)
        for number, (word, value) in enumerate(kept.items()):
            top = y + 46 + 36 * number
            kind = "frozen" if kept is prior else "plain"
            kind = "output" if kept is left and word == after else kind
            sheet.text(118, top + 14, word, SMALL, anchor="end", width=102)
            length = abs(value - base) * scale
            x = zero - length if value < base else zero
            sheet.box(x, top, max(length, 2), 28, kind, radius=3)
            end = max(x + length, zero) + 10
            shown = f"{value:.2f}".replace("-", "−")
            sheet.text(end, top + 14, shown, SMALL, "quiet", "start", width=80)
        bottom = y + 46 + 36 * len(kept)
        sheet.line((zero, y + 42), (zero, bottom - 4), colour="ink")
        if answer:
            middle = y + 46 + 18 * len(kept) - 4
            sheet.text(558, middle - 34, about, SMALL, "quiet", width=130)
            kind = "output" if kept is left else "plain"
            sheet.box(496, middle - 18, 124, 40, kind, answer, NORMAL)
        y += panel
    if start:
        note = "The bars of the first two groups do not begin at 0."
        sheet.text(WIDTH / 2, y + 6, note, SMALL, "quiet")
    return sheet.finished()


def check_scores(scores: Mapping[str, float], prior: Mapping[str, float]) -> None:
    """Raises ValueError where bars cannot be drawn."""
    if set(scores) != set(prior):
        one = sorted(set(scores) ^ set(prior))[0]
        raise ValueError(
            f"{one!r} is in only one of `scores` and `prior`: give both the same words."
        )
    if not 2 <= len(scores) <= 5:
        raise ValueError(
            f"There are {len(scores)} words in `scores`, and the drawing has room for "
            "2 to 5: take that many."
        )
    for word in scores:
        if not (math.isfinite(scores[word]) and math.isfinite(prior[word])):
            raise ValueError(
                f"A score of {word!r} is not a finite number: give log-probabilities "
                "or probabilities."
            )
