"""The drawing of chapter 12: a prompt that is trained twice."""

from collections.abc import Mapping

from prompttune_utils.drawings.sheet import LARGE, MARGIN, NORMAL, SMALL, WIDTH, Drawing

LEFT, RIGHT = 52, WIDTH - MARGIN  # from where to where the model's box goes
PLACES = dict(zip((LEFT + 20, LEFT + 70, LEFT + 120), ("p₁", "…", "pₚ")))


def pretrained_prompt(words: Mapping[str, str] | None = None) -> Drawing:
    """The two steps of PPT: a prompt learns from unlabelled texts, then from a task.
    `words`: see `Drawing`."""
    sheet = Drawing(
        "Two steps. First, a few vectors stand before an unlabelled text and a mask. "
        "A frozen model reads them. A teacher says that the text is a complaint, so "
        "the letter b should stand at the mask. The gradient changes only the "
        "vectors. Second, the same vectors stand before the texts of a task, with the "
        "same frozen model, and learn letters from a few labelled rows, or from none.",
        words,
    )
    y = MARGIN + 14
    sheet.heading(y, "1  pre-train", "texts that nobody has labelled", 150, LEFT)
    text, teacher = ["The", "room", "was", "tiny"], "teacher: complaint, so b"
    y = one_step(sheet, y + 24, text, "b", "frozen", teacher)
    carried = {"colour": "trained edge", "dashed": True}
    turns = (LEFT + 10, y - 186), (24, y - 186), (24, y + 154), (LEFT + 10, y + 154)
    sheet.arrow(*turns, **carried)
    note = "the vectors P₀ are carried over; the model is the same"
    sheet.text(LEFT, y + 36, note, SMALL, "quiet", "start", width=540)
    y += 78
    about = "a task with few labelled rows, or none"
    sheet.heading(y, "2  tune", about, 150, LEFT)
    text = ["We", "loved", "the", "soup"]
    y = one_step(sheet, y + 24, text, "a", "written", "label: praise, so a")
    meanings = {
        "trained": "the prompt: trained in both steps",
        "frozen": "frozen",
        "output": "the answer",
        "written": "labelled by a person",
    }
    sheet.legend(y + 24, meanings)
    return sheet.finished()


def one_step(sheet, y: float, text: list[str], answer: str, kind: str, wanted: str):
    """Prompt, text and mask over the frozen model, its answer and the wanted one, from
    y downwards; returns where they end."""
    for x, name in PLACES.items():
        sheet.text(x, y + 12, name, NORMAL, bold=True, italic=True, width=46)
        sheet.vector(x, y + 28, "trained", cells=4, cell=12)
        sheet.arrow((x, y + 80), (x, y + 104))
    start = LEFT + 150
    places = sheet.tokens([*text, "[MASK]"], y + 34, x=start, w=RIGHT - start)
    for x in places:
        sheet.arrow((x, y + 74), (x, y + 104))
    middle = (LEFT + RIGHT) / 2
    sheet.box(LEFT, y + 106, RIGHT - LEFT, 56, "frozen")
    sheet.symbol(LEFT + 24, y + 134, "frozen")
    sheet.text(middle, y + 134, "language model", LARGE, bold=True, width=400)
    below = y + 188
    sheet.arrow((LEFT + 90, y + 164), (LEFT + 90, below))
    sheet.box(LEFT + 10, below + 2, 160, 46, "output", answer, NORMAL, symbol=True)
    sheet.text(LEFT + 224, below + 25, "should be", SMALL, "quiet", width=96)
    wide = RIGHT - LEFT - 278
    sheet.box(LEFT + 278, below + 2, wide, 46, kind, wanted, symbol=True)
    return below + 48
