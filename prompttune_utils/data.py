"""Tasks, balanced few-shot samples, and a reader's own CSV."""

import csv
import io
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from prompttune_utils.hub import NotFound, Place, not_fetched, reachable, resolve


@dataclass
class Task:
    """A classification task. Rows are dicts: `text` (and `text_b` for pairs), `label` (int, index into `labels`)."""

    name: str
    labels: list[str]
    pool: list[dict]
    test: list[dict]
    language: str = "en"
    place: Place | None = None
    extra: dict = field(default_factory=dict)

    @property
    def gold(self) -> list[int]:
        """The labels of the test rows."""
        return [row["label"] for row in self.test]


# task -> (data set, {our name: split}, {our column: column}, label names, language)
TASKS = {
    "reviews-en": (
        "reviews-en",
        {"pool": "pool", "test": "test"},
        {"text": "text", "label": "label"},
        ["negative", "positive"],
        "en",
    ),
    "reviews-zh": (
        "reviews-zh",
        {"pool": "pool", "test": "test"},
        {"text": "text", "label": "label"},
        ["negative", "positive"],
        "zh",
    ),
    "news-en": (
        "news-en",
        {"pool": "pool", "test": "test"},
        {"text": "text", "label": "label"},
        ["world", "sports", "business", "technology"],
        "en",
    ),
    "nli-en": (
        "nli-en",
        {"pool": "pool", "test": "test"},
        {"text": "text", "text_b": "text_b", "label": "label"},
        ["entailment", "neutral", "contradiction"],
        "en",
    ),
    "sst2": (
        "SetFit/sst2",
        {"pool": "train", "test": "test", "validation": "validation"},
        {"text": "text", "label": "label"},
        ["negative", "positive"],
        "en",
    ),
    "chnsenticorp": (
        "lansinuote/ChnSentiCorp",
        {"pool": "train", "test": "test"},
        {"text": "text", "label": "label"},
        ["negative", "positive"],
        "zh",
    ),
    "eprstmt": (
        "CLUEbenchmark/FewCLUE/eprstmt",
        {"pool": "train_few_all", "test": "test_public", "more": "dev_few_all"},
        {"text": "sentence", "label": "label"},
        ["Negative", "Positive"],
        "zh",
    ),
    "ag_news": (
        "fancyzhx/ag_news",
        {"pool": "train", "test": "test"},
        {"text": "text", "label": "label"},
        ["world", "sports", "business", "technology"],
        "en",
    ),
    "rte": (
        "SetFit/rte",
        {"pool": "train", "test": "validation"},
        {"text": "text1", "text_b": "text2", "label": "label"},
        ["entailment", "not_entailment"],
        "en",
    ),
}


def load_task(name: str) -> Task:
    """Loads a task by its short name (see `TASKS`) from the package, the mirror or the hub.

    Raises:
        NotFound: the task or one of its splits is nowhere; the sentence says what to do.
    """
    if name not in TASKS:
        raise NotFound(
            f"There is no task {name!r}: choose one of {', '.join(TASKS)}, or read your own file with read_csv."
        )
    dataset, splits, columns, labels, language = TASKS[name]
    place = resolve(dataset, "*.jsonl*")
    rows = {ours: _rows(place, split) for ours, split in splits.items()}
    index = {label: i for i, label in enumerate(labels)}
    for part in rows.values():
        for row in part:
            for ours, theirs in columns.items():
                row[ours] = row.pop(theirs) if ours != theirs else row[theirs]
            row["label"] = index.get(row["label"], row["label"])
    return Task(name, labels, rows.pop("pool"), rows.pop("test"), language, place, rows)


def _rows(place: Place, split: str) -> list[dict]:
    from datasets import Dataset, disable_progress_bars, load_dataset

    if place.kind == "hub":
        if not reachable():
            raise not_fetched(place, "it does not answer")
        try:
            return list(load_dataset(place.location, split=split))
        except Exception as error:  # the hub, the network and the data set's own files each have their classes
            raise not_fetched(place, error) from None
    files = sorted(Path(place.location).glob(f"{split}.jsonl*"))
    if not files:
        there = ", ".join(
            sorted(p.name.split(".")[0] for p in Path(place.location).glob("*.jsonl*"))
        )
        raise NotFound(
            f"The {place.kind} {place.location} has no split {split!r}, only {there}: add {split}.jsonl.gz to it."
        )
    disable_progress_bars()  # a local file takes no time to speak of
    return list(
        Dataset.from_json(str(files[0]))
    )  # load_dataset("json") would report the download over the network


def few_shot(
    rows: list[dict], shots: int, seed: int, dev: bool = True
) -> tuple[list[dict], list[dict]]:
    """Draws `shots` rows a class for training and as many others for choosing settings (LM-BFF, Gao et al. 2021).

    Returns:
        (train, dev), both shuffled; dev is empty when `dev` is False.

    Raises:
        ValueError: a class has too few rows.
    """
    by_label = defaultdict(list)
    for row in rows:
        by_label[row["label"]].append(row)
    need = shots * (2 if dev else 1)
    generator = random.Random(seed)
    train, held = [], []
    for label in sorted(by_label):
        if len(by_label[label]) < need:
            size = f"{shots} shots{' and a dev set of equal size' if dev else ''}"
            raise ValueError(
                f"Class {label!r} has {len(by_label[label])} rows, {need} are needed for {size}: ask for fewer shots."
            )
        drawn = generator.sample(by_label[label], need)
        train += drawn[:shots]
        held += drawn[shots:]
    generator.shuffle(train)
    generator.shuffle(held)
    return train, held


def read_csv(
    path: str | Path,
    text: str = "text",
    label: str = "label",
    labels: list[str] | None = None,
) -> tuple[list[dict], list[str]]:
    """Reads a reader's own labelled texts.

    Args:
        path: a CSV file in UTF-8 with a header line.
        text, label: the names of the two columns.
        labels: the allowed label names; every label found when None.

    Returns:
        (rows, label names): rows as in `Task`.

    Raises:
        ValueError: one sentence that names the row, the column and the mend.
    """
    path = Path(path)
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path.name} is not UTF-8 (byte {error.start}): save it as UTF-8, in a spreadsheet by 'CSV UTF-8'."
        ) from None
    csv.field_size_limit(2**31 - 1)  # the default of 128 KiB is shorter than some texts
    reader = csv.DictReader(io.StringIO(content), strict=True)
    found = []
    try:
        for column in (text, label):
            if column not in (reader.fieldnames or []):
                raise ValueError(
                    f"{path.name} has no column {column!r}: its columns are {', '.join(reader.fieldnames or []) or 'none'}."
                )
        for number, row in enumerate(reader, 1):
            where = f"{path.name}, row {number} (line {reader.line_num})"
            if None in row:
                raise ValueError(
                    f"{where}: there are more fields than columns: put a text that holds commas in quotation marks."
                )
            if not (row[text] or "").strip():
                raise ValueError(
                    f"{where}: the column {text!r} is empty: write a text or delete the row."
                )
            name = (row[label] or "").strip()
            if not name or (labels is not None and name not in labels):
                raise ValueError(
                    f"{where}: the column {label!r} holds {name!r}: use one of {', '.join(labels or ['your label names'])}."
                )
            found.append((row[text].strip(), name))
    except csv.Error as error:
        raise ValueError(
            f"{path.name}, the row that begins on line {reader.line_num + 1}: {error}: close every quotation mark."
        ) from None
    names = labels or sorted({name for _, name in found})
    if len(names) < 2:
        raise ValueError(
            f"{path.name} has {len(names)} different labels in column {label!r}: a classifier needs at least two."
        )
    return [{"text": t, "label": names.index(n)} for t, n in found], names


def majority(gold: list[int]) -> float:
    """Accuracy of always giving the most frequent label."""
    return Counter(gold).most_common(1)[0][1] / len(gold)
