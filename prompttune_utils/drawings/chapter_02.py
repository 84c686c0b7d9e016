"""The drawings of chapter 2: fine-tuning, and the gap between two losses."""

from collections.abc import Mapping

from prompttune_utils.drawings.sheet import LARGE, MARGIN, NORMAL, SMALL, WIDTH, Drawing

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


def two_losses(words: Mapping[str, str] | None = None) -> Drawing:
    """What pre-training asked of the encoder beside what fine-tuning asks: the gap that
    a prompt will close. `words`: see `Drawing`."""
    sheet = Drawing(
        "Pre-training asked which word is hidden, with an output matrix learned from "
        "raw text. Fine-tuning asks for a label, with a new matrix that starts from "
        "noise. The encoder between them is the same.",
        words,
    )
    half, right = 292, 332
    sides = [
        (MARGIN, "pre-training", "raw text, no labels"),
        (right, "fine-tuning", "a few labelled reviews"),
    ]
    for x, name, about in sides:
        sheet.text(x + half / 2, 30, name, LARGE, bold=True, width=half)
        sheet.text(x + half / 2, 58, about, SMALL, "quiet", width=half)
    cloze = ["The", "soup", "was", "[MASK]", "."]
    review = ["[CLS]", "The", "soup", "was", "cold"]
    masked = sheet.tokens(cloze, 80, {3: "chosen"}, x=MARGIN, w=half)
    classed = sheet.tokens(review, 80, {0: "chosen"}, x=right, w=half)
    for x in [*masked, *classed]:
        sheet.arrow((x, 120), (x, 142))
    encoder = "one encoder, pre-trained"
    sheet.box(MARGIN, 144, WIDTH - 2 * MARGIN, 52, "frozen", encoder, NORMAL)

    places = [
        (masked[3], "h at [MASK]", "end", -14),
        (classed[0], "h at [CLS]", "start", 14),
    ]
    for x, name, anchor, step in places:
        sheet.arrow((x, 198), (x, 220))
        sheet.vector(x, 222, "chosen", cells=6, cell=11)
        sheet.arrow((x, 290), (x, 312))
        sheet.text(x + step, 255, name, SMALL, anchor=anchor, width=150)

    sheet.box(MARGIN, 314, half, 128, "frozen")
    sheet.matrix(MARGIN + 22, 330, 8, 6, "frozen", cell=12)
    sheet.note(MARGIN + 112, 378, "V × d", "a row for each word: learned", 166)
    sheet.box(right, 314, half, 128, "trained")
    sheet.matrix(right + 22, 366, 2, 6, "trained", cell=12, noise=True)
    sheet.note(right + 112, 378, "C × d", "a row for each label: noise", 166)

    for x in (MARGIN + half / 2, right + half / 2):
        sheet.arrow((x, 444), (x, 466))
    for left, question, bars in [
        (MARGIN, "Which word is hidden?", {"cold": 120, "good": 66, "late": 38}),
        (right, "Which label is right?", {"negative": 96, "positive": 88}),
    ]:
        sheet.text(left + half / 2, 484, question, NORMAL, bold=True, width=half)
        for number, (word, length) in enumerate(bars.items()):
            y = 506 + 32 * number
            sheet.text(left + 106, y + 12, word, SMALL, anchor="end", width=100)
            sheet.box(left + 116, y, length, 24, "output", radius=4)

    sheet.line((WIDTH / 2, 210), (WIDTH / 2, 600), colour="plain edge", dashed=True)
    gap = "The gap: another question, another place, another matrix."
    sheet.text(WIDTH / 2, 626, gap, NORMAL, bold=True, lines=2)
    lost = "What raw text taught about words at [MASK] is left unused."
    sheet.text(WIDTH / 2, 656, lost, SMALL, "quiet", lines=2)
    return sheet.finished()
