"""The drawing of chapter 11: the same prompt at the input and in every layer."""

from collections.abc import Mapping

from prompttune_utils.drawings.sheet import (
    MARGIN,
    NORMAL,
    SMALL,
    WIDTH,
    Drawing,
)

LAYERS = ("layer 1", "layer 2", "layer L")
TOP, STEP, HIGH = 190, 104, 52  # the first layer, from one to the next, its height


def deep_prompts(words: Mapping[str, str] | None = None) -> Drawing:
    """Trained vectors before the input of a frozen model, and trained keys and values
    in each of its layers. `words`: see `Drawing`."""
    sheet = Drawing(
        "The same prompt in two places. On the left trained vectors stand before the "
        "text at the input, and the later layers see only what frozen layers made of "
        "them. On the right every frozen layer has trained keys and values of its own.",
        words,
    )
    half = WIDTH / 2
    at_the_input(sheet, MARGIN, half - 14 - MARGIN)
    in_every_layer(sheet, half + 14, half - 14 - MARGIN)
    sheet.line((half, 24), (half, sheet.bottom), colour="quiet", dashed=True)
    sheet.legend(sheet.bottom + 22, ["trained", "frozen", "output"])
    return sheet.finished()


def at_the_input(sheet: Drawing, x: float, w: float) -> None:
    """The left half: prompt tuning and P-tuning."""
    middle = x + w / 2
    sheet.text(middle, 30, "at the input", NORMAL, bold=True, width=w)
    sheet.text(middle, 56, "P vectors of width d", SMALL, "quiet", width=w)
    prompt, text = [x + 42, x + 82], [x + 142, x + 186, x + 230]
    for place in prompt:
        sheet.vector(place, 84, "trained", cells=4, cell=13)
    for place in text:
        sheet.vector(place, 84, "frozen", cells=4, cell=13)
    sheet.text(x + 62, 154, "prompt", SMALL, "quiet", width=100)
    sheet.text(x + 186, 154, "the text", SMALL, "quiet", width=130)
    for number, name in enumerate(LAYERS):
        y = TOP + STEP * number
        arrows_into(sheet, number, [*prompt, *text])
        sheet.box(x, y, w, HIGH, "frozen", name, NORMAL, symbol=True)
    answer(sheet, middle, w, "the prompt is read once")


def in_every_layer(sheet: Drawing, x: float, w: float) -> None:
    """The right half: P-tuning v2 and prefix-tuning."""
    middle = x + w / 2
    sheet.text(middle, 30, "in every layer", NORMAL, bold=True, width=w)
    sheet.text(middle, 56, "P keys and P values a layer", SMALL, "quiet", width=w)
    left, text = x + 92, [x + 146, x + 190, x + 234]
    for place in text:
        sheet.vector(place, 84, "frozen", cells=4, cell=13)
    sheet.text(x + 190, 154, "the text", SMALL, "quiet", width=130)
    for number, name in enumerate(LAYERS):
        y = TOP + STEP * number
        arrows_into(sheet, number, text)
        sheet.box(left, y, w - 92, HIGH, "frozen", name, NORMAL, symbol=True)
        index = "₁₂L"[number]
        label = f"K{index}, V{index}" if index != "L" else "K, V of L"
        sheet.text(x + 34, y - 15, label, SMALL, bold=True, width=92)
        for place in (x + 14, x + 44):
            sheet.matrix(place - 13, y, 4, 2, "trained", 13)
        sheet.arrow((x + 60, y + 26), (left - 3, y + 26), colour="trained edge")
    answer(sheet, left + (w - 92) / 2, w - 92, "each layer has its own")


def arrows_into(sheet: Drawing, number: int, places: list[float]) -> None:
    """Arrows from above into a layer; into the last one dashed, for layers are left
    out."""
    y = TOP + STEP * number
    start = y - (24 if number == 0 else STEP - HIGH - 2)
    for place in places:
        sheet.arrow((place, start), (place, y - 3), dashed=number == 2)


def answer(sheet: Drawing, middle: float, w: float, about: str) -> None:
    """The end of a half: a head that is trained, the answer, and a remark."""
    y = TOP + 2 * STEP + HIGH
    sheet.arrow((middle, y + 2), (middle, y + 30))
    sheet.box(middle - 62, y + 32, 124, 40, "trained", "head", NORMAL, symbol=True)
    sheet.arrow((middle, y + 74), (middle, y + 98))
    sheet.box(middle - 62, y + 100, 124, 40, "output", "tags", NORMAL, symbol=True)
    sheet.text(middle, y + 164, about, SMALL, "quiet", width=w + 40)
