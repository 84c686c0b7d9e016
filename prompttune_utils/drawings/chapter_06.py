"""The drawing of chapter 6: a standard prompt and a chain-of-thought prompt."""

from collections.abc import Mapping

from prompttune_utils.drawings.sheet import LARGE, MARGIN, NORMAL, SMALL, WIDTH, Drawing

GAP = 12
COLUMN = (WIDTH - 2 * MARGIN - GAP) / 2  # two columns
RIGHT = MARGIN + COLUMN + GAP


def part(sheet: Drawing, x, y, h, kind, name, text, dashed=False) -> None:
    """A box of a column: its letter in the formula, and what stands in the prompt."""
    sheet.box(x, y, COLUMN, h, kind, dashed=dashed)
    if name:
        sheet.text(x + 24, y + h / 2, name, NORMAL, bold=True, italic=True, width=40)
    lines = int((h - 6) / (1.25 * SMALL))
    middle, room = x + 24 + COLUMN / 2, COLUMN - 62
    sheet.text(middle, y + h / 2, text, SMALL, width=room, lines=lines)


def chain_of_thought(words: Mapping[str, str] | None = None) -> Drawing:
    """The tennis balls and the cafeteria, without the steps and with them. `words`: see
    `Drawing`."""
    sheet = Drawing(
        "Two prompts side by side, for one frozen language model. Both show a question "
        "about tennis balls with its answer, 11, and ask about the apples of a "
        "cafeteria. The standard prompt shows nothing between question and answer, and "
        "the model answers 27, which is wrong. The chain-of-thought prompt shows the "
        "steps in between; the model writes steps too, 23 - 20 = 3 and 3 + 6 = 9, and "
        "answers 9, which is right.",
        words,
    )
    shown = "Roger has 5 balls. He buys 2 cans of 3. How many has he now?"
    asked = "The cafeteria had 23 apples, used 20 and bought 6. How many now?"
    columns = {MARGIN: "standard prompt", RIGHT: "chain-of-thought prompt"}
    for x, name in columns.items():
        sheet.text(x + COLUMN / 2, MARGIN + 12, name, NORMAL, bold=True, width=COLUMN)
        part(sheet, x, 44, 76, "written", "x₁", shown)
        part(sheet, x, 208, 40, "written", "a₁", "The answer is 11.")
        part(sheet, x, 266, 76, "written", "x", asked)
        sheet.arrow((x + COLUMN / 2, 344), (x + COLUMN / 2, 374))
        sheet.arrow((x + COLUMN / 2, 442), (x + COLUMN / 2, 472))
    part(sheet, MARGIN, 126, 76, "plain", "", "nothing in between", dashed=True)
    steps = "2 cans of 3 are 6 balls. 5 + 6 = 11."
    part(sheet, RIGHT, 126, 76, "written", "z₁", steps)
    sheet.box(MARGIN, 376, WIDTH - 2 * MARGIN, 64, "frozen")
    sheet.symbol(MARGIN + 21, 408, "frozen")
    sheet.text(WIDTH / 2, 396, "language model", LARGE, bold=True, width=400)
    about = "the same weights for both"
    sheet.text(WIDTH / 2, 422, about, SMALL, "quiet", width=400)
    part(sheet, MARGIN, 474, 76, "plain", "", "no room to work it out", dashed=True)
    part(sheet, RIGHT, 474, 76, "output", "z", "23 - 20 = 3. They bought 6: 3 + 6 = 9.")
    part(sheet, MARGIN, 556, 40, "output", "a", "The answer is 27.")
    part(sheet, RIGHT, 556, 40, "output", "a", "The answer is 9.")
    sheet.text(MARGIN + COLUMN / 2, 614, "wrong", NORMAL, bold=True, width=COLUMN)
    sheet.text(RIGHT + COLUMN / 2, 614, "right", NORMAL, bold=True, width=COLUMN)
    kinds = {
        "written": "written by a person",
        "frozen": "frozen",
        "output": "written by the model",
    }
    sheet.legend(638, kinds)
    return sheet.finished()
