"""The drawings of chapter 8: the gap that a prompt closes, the grid of all methods, and
what adapters and LoRA put into a layer."""

from collections.abc import Mapping, Sequence

from prompttune_utils.drawings.sheet import (
    MARGIN,
    NORMAL,
    SMALL,
    WIDTH,
    Drawing,
)


def the_gap(words: Mapping[str, str] | None = None) -> Drawing:
    """What pre-training asked (MLM and NSP), what a head asks, what a prompt asks.
    `words`: see `Drawing`."""
    sheet = Drawing(
        "Pre-training asked two questions: which word is hidden (MLM), and whether one "
        "sentence follows another (NSP). A new head asks a third, with an output "
        "matrix that starts from noise: there is a gap. A prompt asks the first "
        "question again, with the output matrix that pre-training left.",
        words,
    )
    rows = [
        ("pre-training: MLM", "which word is hidden?", "V × d, learned", "frozen"),
        ("pre-training: NSP", "does B follow A?", "2 × d, learned", "frozen"),
        ("head", "which label?", "C × d, noise", "trained"),
        ("prompt", "which word is hidden?", "V × d, learned", "frozen"),
    ]
    texts = [
        (["the", "film", "is", "[MASK]", "."], 3),
        (["[CLS]", "A", "[SEP]", "B"], 0),
        (["[CLS]", "the", "film", "is", "…"], 0),
        (["it", "was", "[MASK]", ".", "the", "film", "…"], 2),
    ]
    y = MARGIN
    for (name, asks, matrix, kind), (tokens, place) in zip(rows, texts, strict=True):
        if name == "head":
            y = gap_line(sheet, y)
        sheet.heading(y + 14, name, asks, 196)
        kinds = {place: "chosen"}
        if name == "prompt":
            kinds |= {0: "written", 1: "written", 3: "written"}
        sheet.tokens(tokens, y + 34, kinds, w=386, pad=5, gap=4)
        sheet.arrow((410, y + 53), (444, y + 53))
        noise = kind == "trained"
        small = 2 if matrix[0] != "V" else 6
        sheet.matrix(450, y + 53 - 4.5 * small, small, 6, kind, 9, noise=noise)
        sheet.text(514, y + 53, matrix, SMALL, "quiet", "start", lines=2)
        y += 92
    kinds = {
        "frozen": "from pre-training",
        "trained": "new",
        "written": "written by a person",
    }
    sheet.legend(y + 8, kinds)
    return sheet.finished()


def gap_line(sheet: Drawing, y: float) -> float:
    """The line between pre-training and the task; returns where the task begins."""
    sheet.line((MARGIN, y + 16), (WIDTH - MARGIN, y + 16), dashed=True)
    sheet.text(WIDTH / 2, y + 38, "the gap: now comes the task", NORMAL, bold=True)
    return y + 62


ROWS = {
    "none": ("no prompt", "W h + b"),
    "words": ("words", "It was [MASK]"),
    "vectors": ("vectors", "v₁ v₂ v₃ [MASK]"),
    "both": ("both", "v₁ v₂ was [MASK]"),
}
COLUMNS = ["nothing", "the prompt alone", "a small part", "everything"]
METHODS = {
    ("none", "nothing"): "noise: it guesses",
    ("none", "the prompt alone"): "linear probe",
    ("none", "a small part"): "adapters, LoRA, top layers",
    ("none", "everything"): "fine-tuning",
    ("words", "nothing"): "zero-shot, in-context",
    ("words", "the prompt alone"): "AutoPrompt",
    ("words", "everything"): "PET, LM-BFF",
    ("vectors", "the prompt alone"): "prompt tuning, prefix",
    ("vectors", "everything"): "P-tuning",
    ("both", "the prompt alone"): "PPT, P-tuning frozen",
    ("both", "everything"): "P-tuning, anchors",
}


def two_axes(words: Mapping[str, str] | None = None) -> Drawing:
    """What the prompt is made of, downwards, and what moves, across; each place with
    the methods that stand there. `words`: see `Drawing`."""
    sheet = Drawing(
        "A grid. Downwards, what the prompt is made of: none but a new head, words, "
        "free vectors, both. Across, what moves: nothing, the prompt alone, a small "
        "part of the model, everything. Each method of the course has a place, such "
        "as PET at words and everything, prompt tuning at vectors and prompt alone.",
        words,
    )
    left, width, height, gap = 146, 116, 78, 4
    middle = (left + WIDTH - MARGIN) / 2
    sheet.text(middle, 28, "what moves", NORMAL, bold=True, width=300)
    sheet.arrow((left, 48), (WIDTH - MARGIN, 48))
    for number, name in enumerate(COLUMNS):
        x = left + number * (width + gap)
        sheet.symbol(x + width / 2, 70, "trained" if number else "frozen")
        sheet.text(x + width / 2, 104, name, SMALL, width=width + 2, lines=2)
    y = 132
    sheet.text(MARGIN, 104, "the prompt", NORMAL, "ink", "start", True, width=124)
    for row, (name, example) in ROWS.items():
        sheet.text(MARGIN, y + 22, name, NORMAL, "ink", "start", width=126)
        sheet.text(MARGIN, y + 54, example, SMALL, "quiet", "start", width=128, lines=2)
        for number, column in enumerate(COLUMNS):
            x, method = left + number * (width + gap), METHODS.get((row, column), "")
            kind = "trained" if number else "frozen"
            sheet.box(x, y, width, height, kind, method, dashed=not method)
        y += height + 6
    note = "Dashed: it has no name of its own. We fill these places too."
    sheet.text(WIDTH / 2, y + 16, note, SMALL, "quiet", lines=2)
    return sheet.finished()


def adapter_and_lora(words: Mapping[str, str] | None = None) -> Drawing:
    """One layer of a transformer with two adapters, what is inside an adapter, and
    LoRA beside a matrix. `words`: see `Drawing`."""
    sheet = Drawing(
        "Left, one layer with two adapters: one behind attention and one behind the "
        "feed-forward network, each before the sum with what went past it, and the "
        "LayerNorm. Right above, inside an adapter: from d numbers down to b, up to d "
        "again, and added to h. Right below, LoRA: beside a frozen matrix W stand two "
        "small ones, A and B, and what they make of h is added to W h.",
        words,
    )
    layer(sheet)
    inside(sheet)
    low_rank(sheet)
    sheet.legend(604, {"frozen": "frozen", "trained": "trained"})
    return sheet.finished()


def layer(sheet: Drawing) -> None:
    """A layer, from its input at the top to its output at the bottom."""
    sheet.text(146, 30, "a layer with adapters", NORMAL, bold=True, width=250)
    x, y = 146, 86
    sheet.line((x, 52), (x, 64))
    for name in ("attention", "feed-forward"):
        sheet.line((x, y - 22), (24, y - 22), (24, y + 130))
        sheet.arrow((24, y + 130), (x - 18, y + 130))
        sheet.arrow((x, y - 22), (x, y))
        sheet.box(42, y, 208, 44, "frozen", name, NORMAL, symbol=True)
        sheet.arrow((x, y + 44), (x, y + 60))
        sheet.box(42, y + 60, 208, 40, "trained", "adapter", NORMAL, symbol=True)
        sheet.arrow((x, y + 100), (x, y + 114))
        sheet.box(x - 18, y + 114, 36, 32, "plain", "+", NORMAL, radius=16)
        sheet.arrow((x, y + 146), (x, y + 164))
        sheet.box(42, y + 164, 208, 40, "trained", "LayerNorm", NORMAL, symbol=True)
        sheet.line((x, y + 204), (x, y + 228))
        y += 250
    sheet.arrow((x, y - 22), (x, y - 8))


def inside(sheet: Drawing) -> None:
    """An adapter: down, a bend, up, and the sum."""
    sheet.text(460, 30, "inside an adapter", NORMAL, bold=True, width=300)
    sheet.vector(314, 92, "plain", cells=8, cell=12)
    sheet.text(314, 76, "h", NORMAL, bold=True, italic=True)
    sheet.arrow((326, 140), (350, 140))
    sheet.matrix(354, 128, 2, 8, "trained", 12, noise=True)
    sheet.text(402, 110, "W down: b × d", SMALL, "quiet", width=140)
    sheet.arrow((454, 140), (476, 140))
    sheet.text(488, 140, "f", NORMAL, italic=True, bold=True)
    sheet.arrow((500, 140), (520, 140))
    sheet.matrix(524, 92, 8, 2, "trained", 12)
    sheet.text(536, 206, "W up: d × b", SMALL, "quiet", width=130)
    sheet.arrow((552, 140), (576, 140))
    sheet.box(578, 124, 36, 32, "plain", "+", NORMAL, radius=16)
    sheet.line((314, 190), (314, 232), (596, 232))
    sheet.arrow((596, 232), (596, 158))
    note = "W up starts at 0: a new adapter changes nothing"
    sheet.text(460, 262, note, SMALL, "quiet", width=330, lines=2)


def low_rank(sheet: Drawing) -> None:
    """W h, and beside it B A h."""
    sheet.text(460, 330, "LoRA, beside a matrix", NORMAL, bold=True, width=300)
    sheet.vector(314, 386, "plain", cells=8, cell=12)
    sheet.text(314, 370, "h", NORMAL, bold=True, italic=True)
    sheet.arrow((326, 410), (410, 410))
    sheet.matrix(414, 362, 8, 8, "frozen", 12)
    sheet.text(398, 376, "W", NORMAL, bold=True, italic=True)
    sheet.line((314, 484), (314, 508))
    sheet.arrow((314, 508), (354, 508))
    sheet.matrix(358, 496, 2, 8, "trained", 12, noise=True)
    sheet.text(406, 540, "A: r × d", SMALL, "quiet", width=100)
    sheet.arrow((458, 508), (520, 508))
    sheet.matrix(524, 460, 8, 2, "trained", 12)
    sheet.text(536, 572, "B: d × r, starts at 0", SMALL, "quiet", width=190)
    sheet.arrow((514, 410), (576, 410))
    sheet.box(578, 394, 36, 32, "plain", "+", NORMAL, radius=16)
    sheet.line((550, 508), (596, 508))
    sheet.arrow((596, 508), (596, 428))


EXAMPLE = {"a task": [[0.5, 0.6, 0.6, 0.7]] + [[0.7, 0.7, 0.7, 0.8]] * 3}


def filled_grid(
    results: Mapping[str, Sequence[Sequence[float]]] = EXAMPLE,
    rows: Sequence[str] = ("no prompt", "words", "vectors", "both"),
    columns: Sequence[str] = ("nothing", "prompt alone", "a small part", "everything"),
    words: Mapping[str, str] | None = None,
) -> Drawing:
    """The grid with a number in each place, for one task under the other.

    Args:
        results: name of a task -> its accuracies, a list for each row.
        rows, columns: what they are called; at most 7 columns.
        words: see `Drawing`.

    Raises:
        ValueError: not one number for each place, or one that is no share.
    """
    for name, values in results.items():
        shape = [len(row) for row in values]
        if shape != [len(columns)] * len(rows) or len(columns) > 7:
            raise ValueError(
                f"The grid of {name} has rows of {shape} numbers, and {len(rows)} rows "
                f"of {len(columns)} are wanted: give one number for each place."
            )
        if not all(0 <= value <= 1 for row in values for value in row):
            raise ValueError(f"The grid of {name} holds what is no share from 0 to 1.")
    sheet = Drawing(
        "The grid of prompts and of what moves, with an accuracy in each place: what "
        "the prompt is made of, downwards, and what moves, across. The higher "
        "in its task, the longer the bar.",
        words,
    )
    left, gap, y = 126, 4, MARGIN
    width = (WIDTH - MARGIN - left + gap) / len(columns) - gap
    for number, column in enumerate(columns):
        x = left + number * (width + gap)
        sheet.text(x + width / 2, y + 22, column, SMALL, width=width + 2, lines=2)
    y += 50
    for name, values in results.items():
        sheet.text(MARGIN, y + 16, name, NORMAL, "ink", "start", True)
        y += 34
        least, most = min(map(min, values)), max(map(max, values))
        for row, line in zip(rows, values, strict=True):
            sheet.text(MARGIN, y + 19, row, SMALL, "ink", "start", width=108)
            for number, value in enumerate(line):
                x = left + number * (width + gap)
                share = (value - least) / ((most - least) or 1)
                sheet.box(x, y, width, 38, radius=5)
                sheet.text(x + width / 2, y + 15, f"{value:.2f}", SMALL)
                bar = {"fill": "trained edge", "rx": 2, "height": 6}
                length = 4 + share * (width - 16)
                sheet.shape("rect", y + 34, x=x + 6, y=y + 28, width=length, **bar)
            y += 42
        y += 8
    return sheet.finished()
