"""The drawings of chapter 13: where each method trains, and how to choose one."""

from collections.abc import Mapping

from prompttune_utils.drawings.sheet import MARGIN, NORMAL, SMALL, WIDTH, Drawing

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
    "keys in every layer": ("trained", "P-tuning v2", "and a head; the layers are frozen"),
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
