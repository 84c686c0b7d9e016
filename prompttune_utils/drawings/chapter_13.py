"""The drawings of chapter 13: where each method trains, and how to choose one."""

from collections.abc import Mapping

from prompttune_utils.drawings.sheet import MARGIN, SMALL, WIDTH, Drawing

LEFT, WIDE, NOTE = MARGIN, 250, 296  # the model's column, and where the notes begin
PLACES = {  # part of the column -> its kind, the methods that train it, what about them
    "a head on top": (
        "trained",
        "head alone",
        "the encoder is frozen",
    ),
    "top layer": ("trained", "top layer", "under a head or under a prompt"),
    "all layers": ("trained", "all weights", "under a head, or by PET's prompt"),
    "parts put into the layers": ("trained", "adapters, LoRA", "the layers are frozen"),
    "keys in every layer": (
        "trained",
        "P-tuning v2",
        "and a head; the layers are frozen",
    ),
    "vectors at the input": (
        "trained",
        "prompt tuning, P-tuning, PPT",
        "the whole model is frozen",
    ),
    "words around the text": (
        "written",
        "prompt by hand, in context",
        "nothing is trained",
    ),
}


def where_it_trains(words: Mapping[str, str] | None = None) -> Drawing:
    """One model, and beside each of its parts the methods that train that part.
    `words`: see `Drawing`."""
    sheet = Drawing(
        "A language model as a column, from the words around the text below to the "
        "head on top. Beside each part stand the methods that train it: "
        "a head, the top layer, all layers, small parts put into the layers, keys in "
        "every layer, vectors at the input, or nothing but words written by a person.",
        words,
    )
    y = MARGIN
    for part, (kind, name, about) in PLACES.items():
        sheet.box(LEFT, y, WIDE, 50, kind, part, SMALL, symbol=True)
        sheet.line((LEFT + WIDE + 4, y + 25), (NOTE - 8, y + 25))
        sheet.note(NOTE, y + 25, name, about, WIDTH - MARGIN - NOTE, lines=1)
        y += 64
    sheet.tokens(["We", "loved", "the", "soup"], y + 4, x=LEFT, w=WIDE)
    about = "no language model: counted words"
    sheet.note(NOTE, y + 23, "the text alone", about, WIDTH - MARGIN - NOTE, lines=1)
    sheet.legend(y + 72, ["trained", "written"])
    return sheet.finished()


CHOICES = {  # question -> the answer to "yes", and where it is taught
    "No labelled row at all?": ("a prompt by hand", "its prior out: chapters 3, 4"),
    "Is the model too large to train?": (
        "demonstrations, vectors",
        "chapters 4 and 9",
    ),
    "Does a prompt by hand beat a head on dev rows?": (
        "train behind the prompt",
        "LoRA, adapters, PET: 7 and 8",
    ),
}


def how_to_choose(words: Mapping[str, str] | None = None) -> Drawing:
    """Questions from above to below; the first that is answered with yes decides.
    `words`: see `Drawing`."""
    sheet = Drawing(
        "Questions from above to below; the first yes decides. No labelled row at all: "
        "a prompt by hand. A model too large to train: demonstrations or vectors. A "
        "prompt by hand that beats a head on dev rows: train behind the prompt. "
        "Otherwise a head. Counted words always stand beside it.",
        words,
    )
    wide, right, y = 258, MARGIN + 258 + 64, MARGIN
    answer, down = WIDTH - MARGIN - right, MARGIN + wide / 2

    def found(x: float, w: float, name: str, where: str) -> None:
        sheet.box(x, y, w, 62, "output")
        sheet.text(x + w / 2, y + 20, name, SMALL, bold=True, width=w - 12)
        sheet.text(x + w / 2, y + 44, where, SMALL, "quiet", width=w - 12)

    for question, (name, where) in CHOICES.items():
        sheet.box(MARGIN, y, wide, 62, "plain", question)
        sheet.arrow((MARGIN + wide + 4, y + 31), (right - 4, y + 31))
        sheet.text(MARGIN + wide + 30, y + 15, "yes", SMALL, "quiet", width=44)
        found(right, answer, name, where)
        sheet.arrow((down, y + 64), (down, y + 94))
        sheet.text(down + 24, y + 78, "no", SMALL, "quiet", width=40)
        y += 96
    found(MARGIN, wide, "a head", "or all weights: chapter 2")
    about = "always beside it: counted words (14)"
    sheet.text(right, y + 31, about, SMALL, "ink", "start", lines=2)
    return sheet.finished()
