"""The drawings of appendix A1: what the minis were asked in pre-training."""

from collections.abc import Mapping, Sequence

from prompttune_utils.drawings.sheet import (
    LARGE,
    MARGIN,
    NORMAL,
    SMALL,
    WIDTH,
    Drawing,
)

SENTENCE = ["The", "soup", "was", "cold", "and", "the", "waiter", "rude", "."]
COLD, RUDE = 3, 7
ROW = WIDTH - 2 * MARGIN


def three_objectives(words: Mapping[str, str] | None = None) -> Drawing:
    """The three pre-training objectives on one sentence. `words`: see `Drawing`."""
    sheet = Drawing(
        "One sentence, three ways to learn from it without labels: an encoder is asked "
        "for hidden words, a decoder for the next word at every place, an encoder and "
        "a decoder for the pieces that sentinels replace.",
        words,
    )
    y = MARGIN
    for number, draw in enumerate([masked, following, corrupted]):
        if number:
            sheet.line((MARGIN, y), (WIDTH - MARGIN, y), colour="plain edge", width=1)
            y += 18
        y = draw(sheet, y) + 20
    return sheet.finished()


def heading(sheet: Drawing, y: float, name: str, who: str) -> float:
    """A name at the left and a model's family at the right; returns where they end."""
    sheet.text(MARGIN, y + 16, name, LARGE, anchor="start", bold=True, width=380)
    sheet.text(WIDTH - MARGIN, y + 16, who, SMALL, "quiet", "end", width=240)
    return y + 46


def asked_words(
    sheet: Drawing, places: Sequence[float], texts: Sequence[str], y: float
) -> None:
    """A green box under each place, with the word that is asked for there."""
    for x, text in zip(places, texts):
        sheet.arrow((x, y), (x, y + 20))
        sheet.box(x - 38, y + 22, 76, 38, "output", text, radius=6)


def masked(sheet: Drawing, y: float) -> float:
    """Draws masked words from y downwards; returns where they end."""
    y = heading(sheet, y, "masked words", "BERT, mini-bert")
    hidden = {COLD: "[MASK]", RUDE: "[MASK]"}
    tokens = [hidden.get(number, word) for number, word in enumerate(SENTENCE)]
    kinds = dict.fromkeys(hidden, "chosen")
    places = sheet.tokens(tokens, y, kinds, pad=6, gap=5)
    for x in places:
        sheet.arrow((x, y + 40), (x, y + 58))
    encoder = "encoder: every place sees all others"
    sheet.box(MARGIN, y + 60, ROW, 44, "trained", encoder, NORMAL, symbol=True)
    asked = [SENTENCE[number] for number in hidden]
    asked_words(sheet, [places[number] for number in hidden], asked, y + 106)
    sheet.text(MARGIN, y + 147, "asked for", SMALL, "quiet", "start", width=130)
    return y + 166


def following(sheet: Drawing, y: float) -> float:
    """Draws the next word from y downwards; returns where it ends."""
    y = heading(sheet, y, "the next word", "GPT, mini-gpt")
    shown = SENTENCE[: COLD + 1]
    w = 480
    places = [MARGIN + 128 + w * (number + 0.5) / 4 for number in range(4)]
    for x, word in zip(places, shown):
        sheet.box(x - 42, y, 84, 38, "plain", word, radius=6)
        sheet.arrow((x, y + 40), (x, y + 58))
    decoder = "decoder: no place sees what comes later"
    sheet.box(MARGIN, y + 60, ROW, 44, "trained", decoder, NORMAL, symbol=True)
    asked_words(sheet, places, SENTENCE[1 : COLD + 2], y + 106)
    sheet.text(MARGIN, y + 147, "asked for", SMALL, "quiet", "start", width=110)
    return y + 166


def corrupted(sheet: Drawing, y: float) -> float:
    """Draws spans from y downwards; returns where they end."""
    y = heading(sheet, y, "spans", "T5, mini-t5")
    tokens = ["The", "soup", "<X>", "and", "the", "<Y>", "."]
    kinds = {2: "chosen", 5: "chosen"}
    places = sheet.tokens(tokens, y, kinds, pad=10)
    for x in places:
        sheet.arrow((x, y + 40), (x, y + 58))
    encoder = "encoder: every place sees all others"
    sheet.box(MARGIN, y + 60, ROW, 44, "trained", encoder, NORMAL, symbol=True)
    sheet.arrow((WIDTH / 2, y + 106), (WIDTH / 2, y + 124))
    decoder = "decoder: sees the encoder, writes word by word"
    sheet.box(MARGIN, y + 126, ROW, 44, "trained", decoder, NORMAL, symbol=True)
    pieces = ["<X>", "was", "cold", "<Y>", "waiter", "rude"]
    green = dict.fromkeys(range(6), "output") | dict.fromkeys((0, 3), "chosen")
    for x in sheet.tokens(pieces, y + 194, green, pad=10):
        sheet.arrow((x, y + 172), (x, y + 192))
    sheet.text(MARGIN, y + 213, "asked for", SMALL, "quiet", "start", width=110)
    return y + 232
