"""The drawings of chapter 4: prompts with demonstrations, and a head that copies."""

import math
from collections.abc import Mapping, Sequence

from prompttune_utils.drawings.sheet import (
    LARGE,
    MARGIN,
    NORMAL,
    SMALL,
    WIDTH,
    Drawing,
)


def in_context_learning(words: Mapping[str, str] | None = None) -> Drawing:
    """Zero-shot, one-shot and few-shot prompts before one frozen model. `words`: see
    `Drawing`."""
    sheet = Drawing(
        "Three prompts for one frozen language model, each a line of text that ends "
        "where the answer is wanted. Zero-shot: the task line t and the query. "
        "One-shot: one demonstration between them. Few-shot: several. The model goes "
        "on with the likeliest token, sell: the answer.",
        words,
    )
    pairs, query = ["你好->hello", "再见->goodbye", "购买->purchase"], "销售->"
    y = MARGIN
    for name, about, shown in [
        ("zero-shot", "the task in words, t, then the query x", 0),
        ("one-shot", "one demonstration between them", 1),
        ("few-shot", "several demonstrations (x₁, y₁) … (xₖ, yₖ)", 3),
    ]:
        sheet.heading(y + 14, name, about, 118)
        line = ["task t", *pairs[:shown], query]
        kinds = dict.fromkeys(range(shown + 1), "written")
        kinds[shown + 1] = "chosen"
        places = sheet.tokens(line, y + 34, kinds, h=42)
        y += 98
    end = places[-1]
    sheet.arrow((end, y - 20), (end, y + 8))
    about = "same weights θ for all three"
    sheet.box(MARGIN, y + 10, WIDTH - 2 * MARGIN, 84, "frozen")
    sheet.symbol(MARGIN + 21, y + 52, "frozen")
    sheet.text(WIDTH / 2, y + 40, "language model", LARGE, bold=True, width=400)
    sheet.text(WIDTH / 2, y + 70, about, SMALL, "quiet", width=400)
    sheet.arrow((end, y + 96), (end, y + 124))
    sheet.box(end - 60, y + 126, 120, 42, "output", "sell", NORMAL, symbol=True)
    note = "pθ(next token): the likeliest one is written"
    sheet.text(end - 76, y + 147, note, SMALL, "quiet", "end", width=440)
    kinds = {
        "written": "written by a person",
        "frozen": "frozen",
        "output": "the answer",
    }
    sheet.legend(y + 190, kinds)
    return sheet.finished()


def induction_head(
    tokens: Sequence[str] = ("cat", "river", "moon", "house", "cat", "river", "moon"),
    attention: Sequence[float] = (0.01, 0.01, 0.02, 0.9, 0.02, 0.01, 0.03),
    answer: str = "house",
    words: Mapping[str, str] | None = None,
) -> Drawing:
    """Where one head of attention looks from the last token.

    Args:
        tokens: what the model reads, 3 to 9 words.
        attention: for each token the weight that the head gives it at the last one.
        answer: what the model says next.
        words: see `Drawing`.

    Raises:
        ValueError: not one weight a token, too few or too many, or weights that are no
            shares.
    """
    if not 3 <= len(tokens) <= 9 or len(attention) != len(tokens):
        raise ValueError(
            f"There are {len(attention)} weights for {len(tokens)} tokens: give as "
            "many of both, from 3 to 9."
        )
    if not all(math.isfinite(a) and 0 <= a <= 1.001 for a in attention):
        raise ValueError(
            f"The weights {list(attention)} are not all shares from 0 to 1: give one "
            "row of a head's attention."
        )
    sheet = Drawing(
        "Bars over a row of words that begins again: the attention of one head at the "
        "last word. It looks at the word that came after the last word's earlier "
        "occurrence, and the model says this word next.",
        words,
    )
    best = max(range(len(tokens)), key=lambda i: attention[i])
    head = "attention of one head, from the last token"
    sheet.text(MARGIN, MARGIN + 10, head, NORMAL, anchor="start", bold=True, width=560)
    top, high = 48, 130
    row = top + high + 34
    kinds = {best: "frozen", len(tokens) - 1: "chosen"}
    places = sheet.tokens(list(tokens), row, kinds, pad=8, h=42)
    sheet.line((MARGIN, row - 8), (WIDTH - MARGIN, row - 8), colour="plain edge")
    for place, weight in zip(places, attention):
        length = max(2, high * weight)
        sheet.box(place - 14, row - 8 - length, 28, length, "frozen", radius=3)
        shown = f"{weight:.2f}"
        sheet.text(place, row - 22 - length, shown, SMALL, "quiet", width=60)
    last, under = places[-1], row + 72
    path = (last, row + 44), (last, under), (places[best], under)
    sheet.arrow(*path, (places[best], row + 46))
    about = "look where this word stood before, and one further"
    sheet.text(WIDTH / 2, under + 22, about, SMALL, width=560)
    sheet.symbol(MARGIN + 100, under + 66, "frozen")
    sheet.text(
        MARGIN + 120, under + 66, "the model goes on:", SMALL, anchor="start", width=200
    )
    wide = 150
    sheet.box(MARGIN + 330, under + 46, wide, 42, "output", answer, NORMAL, symbol=True)
    return sheet.finished()
