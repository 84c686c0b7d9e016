"""The drawing of chapter 10: P-tuning's four tricks on one sentence."""

from collections.abc import Mapping

from prompttune_utils.drawings.sheet import (
    MARGIN,
    NORMAL,
    SMALL,
    Drawing,
)


def p_tuning(words: Mapping[str, str] | None = None) -> Drawing:
    """The capital of Britain, asked for by hand and with each of the four tricks.
    `words`: see `Drawing`."""
    sheet = Drawing(
        "P-tuning on the sentence The capital of Britain is MASK. A small network of "
        "LSTM and MLP makes vectors that stand in place of its words; a real word can "
        "stay as an anchor; after training only the vectors are kept; in a hybrid, "
        "vectors and all the words stand together.",
        words,
    )
    blue, orange, green = "written", "trained", "output"

    sheet.heading(26, "By hand", "a person chooses every word", 112)
    tokens = ["The", "capital", "of", "Britain", "is", "[MASK]"]
    kinds = {0: blue, 1: blue, 2: blue, 4: blue, 5: green}
    sheet.tokens(tokens, 46, kinds)

    about = "vectors in place of the words, made by a small network"
    sheet.heading(122, "1  Encoder", about, 122)
    tokens = ["h₁", "h₂", "h₃", "Britain", "h₄", "[MASK]"]
    kinds = {0: orange, 1: orange, 2: orange, 4: orange, 5: green}
    places = sheet.tokens(tokens, 142, kinds, gap=16)
    inside = [places[0], places[1], places[2], places[4]]
    left, right = places[0] - 30, places[4] + 30
    sheet.box(left, 206, right - left, 36, orange, "MLP")
    sheet.box(left, 262, right - left, 36, orange, "LSTM, both directions")
    for number, x in enumerate(inside):
        sheet.arrow((x, 206), (x, 184))
        sheet.arrow((x, 262), (x, 244))
        sheet.arrow((x, 322), (x, 300))
        sheet.text(
            x, 336, f"s{'₁₂₃₄'[number]}", NORMAL, bold=True, italic=True, width=50
        )
        sheet.vector(x, 350, orange, cells=3, cell=13)
    sheet.symbol(right + 24, 252, orange)
    sheet.text(right + 40, 252, "trained", SMALL, "quiet", "start", width=90)

    about = "one real word stays, and holds the vectors to the task"
    sheet.heading(428, "2  Anchor", about, 122)
    tokens = ["h₁", "capital", "h₂", "Britain", "h₃", "[MASK]"]
    kinds = {0: orange, 1: blue, 2: orange, 4: orange, 5: green}
    sheet.tokens(tokens, 448, kinds, gap=16)

    sheet.heading(524, "3  Reparameterization", "after the training", 262)
    sheet.box(
        MARGIN + 8, 546, 204, 62, "plain", "LSTM and MLP: thrown away", dashed=True
    )
    sheet.arrow((MARGIN + 216, 577), (MARGIN + 262, 577))
    for number in range(4):
        x = MARGIN + 290 + 46 * number
        sheet.text(
            x, 552, f"h{'₁₂₃₄'[number]}", NORMAL, bold=True, italic=True, width=44
        )
        sheet.vector(x, 566, "frozen", cells=3, cell=13)
    sheet.text(
        MARGIN + 456,
        577,
        "kept: P×d numbers",
        SMALL,
        "quiet",
        "start",
        width=150,
        lines=2,
    )

    about = "all the words, and vectors among them"
    sheet.heading(648, "4  Hybrid", about, 122)
    tokens = ["The", "capital", "of", "Britain", "h₁", "h₂", "is", "[MASK]"]
    kinds = {0: blue, 1: blue, 2: blue, 4: orange, 5: orange, 6: blue, 7: green}
    sheet.tokens(tokens, 668, kinds)

    meanings = {blue: "word of the template", orange: "trained", green: "the answer"}
    sheet.legend(728, meanings)
    return sheet.finished()
