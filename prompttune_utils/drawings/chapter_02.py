"""The drawings of chapter 2: fine-tuning, and the gap between two losses."""

from collections.abc import Mapping

from prompttune_utils.drawings.sheet import MARGIN, NORMAL, SMALL, WIDTH, Drawing

BESIDE = 414  # where the labels beside a drawing begin
ROOM = WIDTH - MARGIN - BESIDE


def fine_tuning(words: Mapping[str, str] | None = None) -> Drawing:
    """The way of a review through an encoder and a new head, p(y | x) =
    softmax(W h + b), and the way back of the gradient. `words`: see `Drawing`."""
    sheet = Drawing(
        "Fine-tuning: tokens become vectors, the encoder's blocks change them, and a "
        "new head turns the vector h of [CLS] into the probability of each label. "
        "Every weight is trained; the head starts from noise.",
        words,
    )
    tokens = ["[CLS]", "The", "soup", "was", "cold", "…"]
    columns = sheet.tokens(tokens, MARGIN, x=52, w=340)
    sheet.note(BESIDE, 34, "x", "the review, as tokens", ROOM)
    for x in columns:
        sheet.arrow((x, 56), (x, 76))
        sheet.vector(x, 78, "trained", cells=6, cell=8)
        sheet.arrow((x, 128), (x, 150))
    sheet.note(BESIDE, 102, "embeddings", "d numbers for each token", ROOM)

    for y, name in [(152, "encoder block 1"), (202, "…"), (252, "encoder block L")]:
        sheet.box(52, y, 340, 44, "trained", name, NORMAL, symbol=name != "…")
    sheet.note(BESIDE, 224, "encoder", "pre-trained on raw text; all of it moves", ROOM)

    for x in columns:
        sheet.arrow((x, 298), (x, 318))
    sheet.vector(columns[0], 320, "chosen", cells=6, cell=12)
    for x in columns[1:]:
        sheet.vector(x, 320, "plain", cells=6, cell=12)
    sheet.text(columns[0] - 16, 356, "h", NORMAL, anchor="end", italic=True, bold=True)
    sheet.note(BESIDE, 356, "h", "d numbers: what the encoder says at [CLS]", ROOM)

    x = columns[0]
    sheet.arrow((x, 394), (x, 420))
    sheet.box(52, 422, 340, 112, "trained")
    sheet.symbol(73, 478, "trained")
    sheet.matrix(104, 462, 2, 6, "trained", cell=16, noise=True)
    sheet.text(152, 442, "W", NORMAL, bold=True, italic=True)
    sheet.text(152, 513, "C × d", SMALL, "quiet")
    sheet.vector(232, 442, "chosen", cells=6, cell=12)
    sheet.text(254, 478, "h", NORMAL, bold=True, italic=True)
    sheet.text(290, 478, "+", NORMAL)
    sheet.matrix(330, 462, 2, 1, "trained", cell=16, noise=True)
    sheet.text(338, 442, "b", NORMAL, bold=True, italic=True)
    sheet.text(338, 513, "C", SMALL, "quiet")
    sheet.note(BESIDE, 478, "a new head", "W and b start from noise", ROOM)

    sheet.arrow((222, 536), (222, 562))
    for y, name, length in [(566, "negative", 170), (602, "positive", 34)]:
        sheet.text(160, y + 14, name, SMALL, anchor="end")
        sheet.box(170, y, length, 28, "output", radius=4)
    sheet.note(
        BESIDE, 598, "softmax(W h + b)", "= p(y | x), one number for each label y", ROOM
    )

    # the way back
    orange = {"colour": "trained edge", "dashed": True}
    sheet.line((80, 660), (32, 660), (32, 102), **orange)
    for y in (478, 224, 102):
        sheet.arrow((32, y), (50, y), **orange)
    loss = "loss: how far from the true label?"
    sheet.text(88, 660, loss, SMALL, anchor="start", width=320)
    note = "The gradient of the loss moves every orange number a little."
    sheet.text(WIDTH / 2, 698, note, SMALL, "quiet", lines=2)
    return sheet.finished()
