"""Tasks, balanced few-shot samples, and a reader's own CSV."""

import codecs
import csv
import gzip
import io
import json
import random
import unicodedata
import zlib
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
    rows = {ours: read_rows(place, split) for ours, split in splits.items()}
    index = {label: i for i, label in enumerate(labels)}
    for part in rows.values():
        for row in part:
            for ours, theirs in columns.items():
                row[ours] = row.pop(theirs) if ours != theirs else row[theirs]
            row["label"] = index.get(row["label"], row["label"])
    return Task(name, labels, rows.pop("pool"), rows.pop("test"), language, place, rows)


def same_text(text: str) -> str:
    """The key of a text: two texts that look alike have the same key.

    The key is the text in Unicode's normal form NFKC (full-width letters become plain
    ones), in small letters, without characters that cannot be seen, with one space for
    any white space between words and none around them. Two rows with one key must not
    stand on both sides of a split.
    """
    text = unicodedata.normalize("NFKC", _visible(text)).casefold()
    return unicodedata.normalize("NFKC", text)


def _visible(text: str) -> str:
    """The text in normal form NFKC with single spaces and visible characters only."""
    words = unicodedata.normalize("NFKC", text).split()
    seen = [c for c in " ".join(words) if not _is_invisible(c)]
    return " ".join("".join(seen).split())


def _is_invisible(character: str) -> bool:
    """True for zero-width and control characters and for variation selectors."""
    kind = unicodedata.category(character)
    return kind in ("Cc", "Cf") or "\ufe00" <= character <= "\ufe0f"


def read_rows(place: Place, split: str) -> list[dict]:
    """The rows of one split of a data set, as they are written there.

    Args:
        place: where `hub.resolve` found the data set. A folder holds the split as
            `<split>.jsonl` or `<split>.jsonl.gz`, in UTF-8, one JSON object a line.
        split: the name of the split.

    Raises:
        NotFound: the split is not there, or the hub does not give it.
        ValueError: the file or one of its lines cannot be read.
    """
    return [row for _, row in _rows_and_places(place, split)]


_rows = read_rows  # the name that tools/benchmarks.py imports


def _rows_and_places(place: Place, split: str) -> list[tuple[str, dict]]:
    """The rows of a split, each with the words that say where it stands."""
    if place.kind == "hub":
        name = f"{place.name}, split {split}, row"
        return [(f"{name} {n}", row) for n, row in enumerate(_from_hub(place, split), 1)]
    file = _file_of(place, split)
    content = _bytes_of(file)
    found = []
    for number, line in enumerate(content.splitlines(), 1):  # no other line ends
        if line.strip():
            where = f"{file}, line {number}"
            found.append((where, _row_of(line, where)))
    if not found:
        raise ValueError(f"{file} holds no rows: write one JSON object a line.")
    return found


def _from_hub(place: Place, split: str) -> list[dict]:
    """The rows of a split on the Hugging Face hub."""
    if not reachable():
        raise not_fetched(place, "it does not answer")
    # not before it is needed: it makes a folder in the user's home
    from datasets import load_dataset

    try:
        return list(load_dataset(place.location, split=split))
    except Exception as error:  # hub, network and data files each have their classes
        raise not_fetched(place, error) from None


def _file_of(place: Place, split: str) -> Path:
    """The one file of a folder that holds a split."""
    folder = Path(place.location)
    names = [f"{split}.jsonl", f"{split}.jsonl.gz"]
    files = [folder / name for name in names if (folder / name).is_file()]
    if len(files) == 2:
        raise ValueError(
            f"The {place.kind} {folder} has both {names[0]} and {names[1]}: delete the "
            "one that is not meant."
        )
    if not files:
        endings = (".jsonl", ".jsonl.gz")
        there = [p.name for p in folder.iterdir() if p.name.endswith(endings)]
        splits = {name.removesuffix(".gz").removesuffix(".jsonl") for name in there}
        raise NotFound(
            f"The {place.kind} {folder} has no split {split!r}, only "
            f"{', '.join(sorted(splits)) or 'other files'}: add {split}.jsonl.gz to it."
        )
    return files[0]


def _bytes_of(file: Path) -> bytes:
    """The unpacked content of a file."""
    try:
        content = file.read_bytes()
        if file.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{file} cannot be read ({type(error).__name__}): fetch or pack it again."
        ) from None
    if content.startswith(codecs.BOM_UTF8):
        raise ValueError(
            f"{file}, line 1 begins with a byte-order mark: save the file as UTF-8 "
            "without one."
        )
    return content


def _row_of(line: bytes, where: str) -> dict:
    """The row on one line of a JSON Lines file."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{where} is not UTF-8: save the file as UTF-8.") from None
    try:
        row = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{where} is not JSON (column {error.colno}: {error.msg}): write one "
            "JSON object a line."
        ) from None
    except (ValueError, RecursionError) as error:
        cause = str(error).partition(":")[0]
        raise ValueError(f"{where} cannot be read ({cause}): mend this line.") from None
    if not isinstance(row, dict):
        raise ValueError(f"{where} holds no JSON object: write {{...}} around it.")
    return row


def _object(pairs: list[tuple]) -> dict:
    """A JSON object; a key that stands twice is refused."""
    counts = Counter(key for key, _ in pairs)
    if len(counts) < len(pairs):
        raise ValueError(f"the key {counts.most_common(1)[0][0]!r} stands twice")
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


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
