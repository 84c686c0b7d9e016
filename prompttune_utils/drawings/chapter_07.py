"""The drawing of chapter 7: the five steps of PET."""

from collections.abc import Mapping

from prompttune_utils.drawings.sheet import MARGIN, NORMAL, SMALL, WIDTH, Drawing

PATTERNS = ("x 质量很[M]。", "x 这条评论是[M]。", "x 总体来说很[M]。", "很[M]。x")


def pet(words: Mapping[str, str] | None = None) -> Drawing:
    """The five steps of PET, from labelled rows and many texts to one classifier.
    `words`: see `Drawing`."""
    sheet = Drawing(
        "Five steps from top to bottom. Data: a few labelled texts L, among them "
        "这部电影太棒了, positive, and many unlabelled texts U. Patterns: four ways to "
        "ask with one mask, and a word for each label. Fine-tune: one model for each "
        "pattern, all trained on L. Soft labels: all models score every text of U, and "
        "their weighted mean, softened by the temperature T, is q. Distil: a student, "
        "an encoder with a head, reads U, learns q and gives the answer.",
        words,
    )
    inner = WIDTH - 2 * MARGIN
    y = MARGIN
    sheet.heading(y + 14, "1  data", "few labels, much text", 150)
    half = inner / 2 - 8
    sheet.box(MARGIN, y + 34, half, 64, "written", "L: 这部电影太棒了 → positive, …")
    text = "U: texts without a label, a hundred times as many"
    sheet.box(MARGIN + half + 16, y + 34, half, 64, "plain", text)
    y += 112
    sheet.heading(y + 14, "2  patterns", "words v: negative → 差, positive → 好", 150)
    wide = (inner - 30) / 4
    lefts = [MARGIN + number * (wide + 10) for number in range(4)]
    for left, pattern in zip(lefts, PATTERNS):
        sheet.box(left, y + 34, wide, 60, "written", pattern)
        sheet.arrow((left + wide / 2, y + 96), (left + wide / 2, y + 130))
    y += 98
    return below(sheet, y, lefts, wide)


def below(sheet: Drawing, y: float, lefts: list[float], wide: float) -> Drawing:
    """Steps 3 to 5 of `pet`, from y downwards; the patterns stand at `lefts`."""
    inner = WIDTH - 2 * MARGIN
    about = "each pattern has its own model, all weights, on L"
    sheet.heading(y + 48, "3  fine-tune", about, 150)
    y += 68
    for number, left in enumerate(lefts):
        name = f"M{'₁₂₃₄'[number]}"
        sheet.box(left, y, wide, 46, "trained", name, NORMAL, symbol=True)
        sheet.arrow((left + wide / 2, y + 48), (left + wide / 2, y + 82))
    y += 52
    sheet.heading(y + 46, "4  soft labels", "every model scores every text of U", 150)
    y += 66
    for number, left in enumerate(lefts):
        sheet.box(left, y, wide, 40, "plain", f"s{'₁₂₃₄'[number]}(y | x)")
    sheet.brace(MARGIN, WIDTH - MARGIN, y + 46)
    y += 64
    mean = "weighted mean s, softmax of s / T"
    sheet.text(MARGIN, y + 26, mean, SMALL, "quiet", "start", width=330)
    q = MARGIN + 400  # the middle of its box
    sheet.box(q - 56, y + 4, 112, 44, "chosen", "q(y | x)", NORMAL)
    sheet.arrow((q, y + 50), (q, y + 106))
    sheet.heading(y + 82, "5  distil", "a student reads U, learns q", 150)
    y += 108
    student = "encoder + new head: p(y | x)"
    sheet.box(MARGIN, y, inner - 190, 50, "trained", student, NORMAL, symbol=True)
    sheet.arrow((WIDTH - MARGIN - 188, y + 25), (WIDTH - MARGIN - 162, y + 25))
    sheet.box(WIDTH - MARGIN - 160, y, 160, 50, "output", "positive", symbol=True)
    kinds = {
        "written": "written by a person",
        "trained": "trained, all weights",
        "output": "the answer",
    }
    sheet.legend(y + 68, kinds)
    return sheet.finished()
