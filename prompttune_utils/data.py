"""Tasks, balanced few-shot samples, and a reader's own CSV."""

import codecs
import csv
import gzip
import io
import json
import os
import random
import unicodedata
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

from prompttune_utils.hub import (
    LOADED,
    NotFound,
    Place,
    not_fetched,
    offline,
    reachable,
    resolve,
)


@dataclass
class Task:
    """A classification task.

    A row is a dict: `text` (and `text_b` for pairs), and `label`, a number that counts
    the names in `labels` from 0. Other columns of the data set stay in it.
    """

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
    """Loads a task by its short name (see `TASKS`) from a folder of this name, the
    package, the mirror or the hub.

    Raises:
        NotFound: the task or one of its splits is nowhere.
        ValueError: a file or a row is damaged; the sentence names the line.
    """
    if name not in TASKS:
        raise NotFound(
            f"There is no task {name!r}: choose one of {', '.join(TASKS)}, or read "
            "your own file with read_csv."
        )
    dataset, splits, columns, labels, language = TASKS[name]
    place = resolve(dataset, "*.jsonl*")
    rows = {}
    for ours, split in splits.items():
        found = _rows_and_places(place, split)
        rows[ours] = [_task_row(row, where, columns, labels) for where, row in found]
    pool, test = rows.pop("pool"), rows.pop("test")
    return Task(name, labels, pool, test, language, place, rows)


def _task_row(row: dict, where: str, columns: dict, labels: list[str]) -> dict:
    """The row with our names for its columns, and its label as a number."""
    row = dict(row)
    for ours, theirs in columns.items():
        if theirs not in row:
            raise ValueError(
                f"{where} has no column {theirs!r}, only {_listed(row)}: "
                "add it, or rename the one that is meant."
            )
        row[ours] = row.pop(theirs) if ours != theirs else row[theirs]
        if ours == "label":
            row["label"] = _number_of(row["label"], where, theirs, labels)
        else:
            _check_text(row[ours], where, theirs)
    return row


def _listed(names) -> str:
    """Names of columns for a sentence; line ends and the like are spelt out."""
    spelt = [name if name.isprintable() else repr(name) for name in names]
    return ", ".join(spelt) or "none"


def _number_of(label, where: str, column: str, labels: list[str]) -> int:
    """A label, written as a name or as a number, as a number."""
    if isinstance(label, str) and label in labels:
        return labels.index(label)
    if type(label) is int and 0 <= label < len(labels):  # True and 1.0 equal 1
        return label
    if type(label) is int and label == -1:
        raise ValueError(
            f"{where}: the column {column!r} holds -1, which hides the label: put a "
            "split with labels there, such as validation."
        )
    raise ValueError(
        f"{where}: the column {column!r} holds {label!r}: write a whole number from 0 "
        f"to {len(labels) - 1}, or one of {', '.join(labels)}."
    )


def _check_text(text, where: str, column: str) -> None:
    """Refuses what is no text, an empty text, and half characters."""
    if not isinstance(text, str) or _is_blank(text):
        raise ValueError(
            f"{where}: the column {column!r} holds {text!r}: write a text that is not "
            "empty, in quotation marks."
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{where}: the column {column!r} holds half a character "
            f"({text[error.start]!r}): write the character whole."
        ) from None


def same_text(text: str) -> str:
    """The key of a text: two texts with one key count as the same text.

    The key is the text in Unicode's normal form NFKC (full-width letters become plain
    ones), with its case folded, without characters that cannot be seen, with one space
    for any white space between words and none around them. Two rows with one key must
    not stand on both sides of a split.
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
    if kind == "Mn":  # a mark on the character before it
        return unicodedata.name(character, "").startswith("VARIATION SELECTOR")
    return kind in ("Cc", "Cf")


def _is_blank(text: str) -> bool:
    """True for a text without any character that can be seen."""
    return all(c.isspace() or _is_invisible(c) for c in text)


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


def _rows_and_places(place: Place, split: str) -> list[tuple[str, dict]]:
    """The rows of a split, each with the words that say where it stands."""
    if place.kind == "hub":
        name = f"{place.name}, split {split}, row"
        return [
            (f"{name} {n}", row) for n, row in enumerate(_from_hub(place, split), 1)
        ]
    file = _file_of(place, split)
    content = _bytes_of(file)
    LOADED.append(f"{place.kind}:{place.name}/{file.name.removesuffix('.gz')}")
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
    if not offline() and not reachable():
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
        raise ValueError(f"{where} cannot be read ({error}): mend this line.") from None
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
    """Draws `shots` rows a class for training, and as many others for choosing settings
    (LM-BFF, Gao et al. 2021).

    No text (see `same_text`) stands in both parts. Where the draw would put one there,
    the other part of its class is drawn again from the remaining texts.

    Returns:
        (train, dev), both shuffled; dev is empty when `dev` is False.

    Raises:
        ValueError: a class has too few rows, or an option is not of its kind.
    """
    _check_few_shot(rows, shots, seed, dev)
    by_label = defaultdict(list)
    for row in rows:
        by_label[row["label"]].append(row)
    need = shots * (2 if dev else 1)
    generator = random.Random(seed)
    train, others = [], {}
    for label in sorted(by_label):
        if len(by_label[label]) < need:
            size = f"{shots} shots{' and a dev set of equal size' if dev else ''}"
            raise ValueError(
                f"Class {label!r} has {len(by_label[label])} rows, {need} are needed "
                f"for {size}: ask for fewer shots."
            )
        drawn = generator.sample(by_label[label], need)
        train += drawn[:shots]
        others[label] = drawn[shots:]
    in_train = {_row_key(row) for row in train}
    redraw = random.Random(seed)  # of its own, so that the training rows stay
    held = []
    for label, part in others.items():
        if any(_row_key(row) in in_train for row in part):
            new = [row for row in by_label[label] if _row_key(row) not in in_train]
            if len(new) < shots:
                raise ValueError(
                    f"Class {label!r} repeats its texts: {len(new)} rows have a text "
                    f"that is not trained on, {shots} are needed: ask for fewer shots."
                )
            part = redraw.sample(new, shots)
        held += part
    generator.shuffle(train)
    generator.shuffle(held)
    return train, held


def _check_few_shot(rows: list[dict], shots: int, seed: int, dev: bool) -> None:
    """Refuses options that would be taken for others, and rows that lack a column."""
    if type(shots) is not int or shots < 1:
        raise ValueError(f"shots is {shots!r}: give a whole number from 1.")
    if type(seed) is not int:
        raise ValueError(f"seed is {seed!r}: give a whole number.")
    if type(dev) is not bool:
        raise ValueError(f"dev is {dev!r}: give True or False.")
    if not rows:
        raise ValueError("There are no rows to draw from: give the rows of a task.")
    for number, row in enumerate(rows, 1):
        if "label" not in row or not isinstance(row.get("text"), str):
            raise ValueError(
                f"Row {number} has no text or no label: give rows as load_task or "
                "read_csv return them."
            )


def _row_key(row: dict) -> tuple[str, str]:
    """Two rows with one key hold the same text, or the same pair of texts."""
    return same_text(row["text"]), same_text(row.get("text_b", ""))


SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def read_csv(
    path: str | Path,
    text: str = "text",
    label: str = "label",
    labels: list[str] | None = None,
    delimiter: str | None = None,
) -> tuple[list[dict], list[str]]:
    """Reads a reader's own labelled texts.

    Spaces around a text, a label or a column's name are taken off, and empty fields
    behind the last column; every kind of line end is read as a line feed. Two labels
    that differ only in what is hard to see (case, width, inner spaces, zero-width
    characters, 1 and 1.0) are refused. So is one text with two labels; texts that
    differ in case are two texts here. Only where there is a fault, what training would
    refuse later is named with it: such texts under two labels, and a label that stands
    in one row alone.

    Args:
        path: a CSV file in UTF-8 with a header line.
        text, label: the names of the two columns.
        labels: the allowed label names; every label found when None.
        delimiter: the character between the fields of a line; when None, the one of
            `SEPARATORS` at which the header falls into columns with these names.

    Returns:
        (rows, label names): rows as in `Task`.

    Raises:
        NotFound: there is no such file.
        ValueError: a sentence for each fault, which names the row, the column and the
            mend; several stand on a line each.
    """
    _check_csv_options(path, text, label, labels, delimiter)
    path = Path(path)
    content = _csv_text(path)
    LOADED.append(f"path:{path}")
    if delimiter is None:
        delimiter = _separator_of(content, text, label)
    limit = csv.field_size_limit(2**31 - 1)  # 128 KiB is shorter than some texts
    reader = csv.DictReader(io.StringIO(content), delimiter=delimiter, strict=True)
    found, faults, later = [], [], []  # (text, label name); sentences; more of them
    # key -> (label name, the row where it was first)
    first_label, first_text, first_alike = {}, {}, {}
    counts = Counter()  # key of a label -> its rows
    try:
        _check_separator(path, content, text, label, delimiter)
        reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
        _check_header(path, reader.fieldnames, text, label)
        for number, row in enumerate(reader, 1):
            here = f"row {number} (line {reader.line_num})"
            where = f"{path.name}, {here}"
            try:
                said, name = _csv_fields(row, where, text, label, labels, delimiter)
            except ValueError as error:
                faults.append(str(error))
                continue
            counts[_label_key(name)] += 1
            other, there = first_label.setdefault(_label_key(name), (name, here))
            if other != name:
                faults.append(
                    f"{where}: the label {name!r} is hard to tell from the label "
                    f"{other!r} of {there}: write both in the same way."
                )
                continue
            other, there = first_text.setdefault(_visible(said), (name, here))
            if other != name:
                faults.append(
                    f"{where}: the text has the label {name!r}, and in {there} the "
                    f"same text has the label {other!r}: keep one of the two rows."
                )
                continue
            other, there = first_alike.setdefault(same_text(said), (name, here))
            if other != name:
                later.append(
                    f"{where}: the text has the label {name!r}, and in {there} the "
                    f"same text, but for its case, has the label {other!r}: correct "
                    "one of the two, or drop both."
                )
            found.append((said, name))
    except csv.Error as error:
        cause = str(error).replace("\t", "\\t")  # as in: '\t' expected after '"'
        faults.append(
            f"{path.name}, the row that begins on line {reader.line_num + 1}: {cause}: "
            "close every quotation mark, and read the file again: what follows was not "
            "looked at."
        )
    finally:
        csv.field_size_limit(limit)
    names = list(labels) if labels else sorted({name for _, name in found})
    if not names and not faults:
        faults.append(f"{path.name} has no rows below its header: write some.")
    elif len(names) < 2 and not faults:
        faults.append(
            f"{path.name} has the label {names[0]!r} alone in column {label!r}, and a "
            "classifier needs at least two: add rows of another, or name another "
            "column with label=."
        )
    if faults and labels is None:
        later += _lone_labels(path, counts, first_label)
    refuse(path.name, faults + later if faults else [])
    return [{"text": t, "label": names.index(n)} for t, n in found], names


def _lone_labels(path: Path, counts: Counter, first: dict) -> list[str]:
    """A sentence for each label that stands in one row alone, where another has three
    rows or more."""
    lone = [first[key] for key, count in counts.items() if count == 1]
    if not lone or max(counts.values()) < 3:
        return []
    return [
        f"{path.name}, {here}: the label {name!r} stands in this row alone: correct "
        "its spelling, or add or drop rows."
        for name, here in lone
    ]


def refuse(what: str, faults: list[str], most: int = 20) -> None:
    """Raises ValueError with all faults, a line each; one alone stands by itself."""
    if len(faults) == 1:
        raise ValueError(faults[0])
    if faults:
        more = [f"and {len(faults) - most} more."] if len(faults) > most else []
        lines = "\n".join(f"- {fault}" for fault in [*faults[:most], *more])
        raise ValueError(f"{what} has {len(faults)} faults:\n{lines}")


def _separator_of(content: str, text: str, label: str) -> str:
    """The separator at which the header falls into columns of these names; where none
    does, the one at which it falls into most."""
    for separator in SEPARATORS:
        if {text, label} <= set(_columns(content, separator)):
            return separator
    return max(SEPARATORS, key=lambda sign: len(_columns(content, sign)))


def _columns(content: str, separator: str) -> list[str]:
    """The names in the header; none where it cannot be read."""
    try:
        reader = csv.reader(io.StringIO(content), delimiter=separator, strict=True)
        return [name.strip() for name in next(reader, [])]
    except csv.Error:
        return []


def _check_csv_options(path, text, label, labels, delimiter) -> None:
    """Refuses options of `read_csv` that would be taken for others."""
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"path is {path!r}: give the path of a CSV file.")
    if not isinstance(text, str) or not isinstance(label, str) or text == label:
        raise ValueError(
            f"text is {text!r} and label is {label!r}: name two columns of the file."
        )
    if delimiter is not None and not (
        isinstance(delimiter, str) and len(delimiter) == 1 and delimiter not in '"\r\n '
    ):
        raise ValueError(
            f"delimiter is {delimiter!r}: give one character, such as "
            f"{', '.join(map(repr, SEPARATORS))}, or None."
        )
    if labels is None:
        return
    if not isinstance(labels, (list, tuple)) or not all(
        isinstance(name, str) and name and name == name.strip() for name in labels
    ):
        raise ValueError(
            f"labels is {labels!r}: give a list of label names, without spaces around "
            "them."
        )
    if len({_label_key(name) for name in labels}) < max(2, len(labels)):
        raise ValueError(
            f"labels is {labels!r}: give at least two names that are easy to tell "
            "apart."
        )


def _csv_text(path: Path) -> str:
    """The text of a file, with line feeds for all line ends."""
    try:
        if path.is_dir():
            raise ValueError(f"{path} is a folder: give the path of a CSV file in it.")
        raw = path.read_bytes()
        content = raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise NotFound(f"{path} is not there: give the path of a CSV file.") from None
    except OSError as error:
        cause = type(error).__name__
        raise ValueError(
            f"{path} cannot be read ({cause}): give the path of a file of your own."
        ) from None
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path.name} is not UTF-8 (line {line}, byte {error.start}): save it as "
            "UTF-8, in a spreadsheet by 'CSV UTF-8'."
        ) from None
    content = content.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in content:
        line = content[: content.index("\0")].count("\n") + 1
        raise ValueError(
            f"{path.name} holds a NUL character on line {line}: save it as UTF-8, in a "
            "spreadsheet by 'CSV UTF-8'."
        )
    return content


def _check_separator(path: Path, content: str, text, label, delimiter) -> None:
    """Refuses a file whose header holds both columns between other separators only."""
    fitting, wanted = _separator_of(content, text, label), {text, label}
    fits = wanted <= set(_columns(content, delimiter))
    if not fits and wanted <= set(_columns(content, fitting)):
        header = content.partition("\n")[0]
        raise ValueError(
            f"{path.name} has no column {text!r}: its columns are {_listed([header])}: "
            f"read it with delimiter={fitting!r}."
        )


def _check_header(path: Path, columns: list[str], text: str, label: str) -> None:
    """Refuses a header without the two columns, or with one of them twice."""
    if not any(columns):
        raise ValueError(
            f"{path.name} has an empty first line: write the names of its columns "
            "there."
        )
    options = {"text": text, "label": label}
    missing = [name for name, column in options.items() if column not in columns]
    if missing:
        absent = " and ".join(f"no column {options[name]!r}" for name in missing)
        raise ValueError(
            f"{path.name} has {absent}: its columns are {_listed(columns)}: give the "
            f"right name with {' and '.join(f'{name}=' for name in missing)}, or mend "
            "the first line."
        )
    for column in (text, label):
        if columns.count(column) > 1:
            raise ValueError(
                f"{path.name} has {columns.count(column)} columns {column!r}: rename "
                "or delete all but one."
            )


def _csv_fields(
    row: dict, where: str, text: str, label: str, labels, delimiter: str
) -> tuple:
    """The text and the label name of one row."""
    if any(row.pop(None, [])):  # a spreadsheet may write empty ones
        signs = SEPARATORS.get(delimiter, repr(delimiter))
        raise ValueError(
            f"{where}: there are more fields than columns: put a text that holds "
            f"{signs} in quotation marks."
        )
    said, name = (row[text] or "").strip(), (row[label] or "").strip()
    if _is_blank(said):
        raise ValueError(
            f"{where}: the column {text!r} is empty: write a text or delete the row."
        )
    if _is_blank(name) or (labels is not None and name not in labels):
        allowed = ", ".join(labels or ["your label names"])
        raise ValueError(
            f"{where}: the column {label!r} holds {name!r}: use one of {allowed}."
        )
    if None in row.values():
        raise ValueError(
            f"{where}: there are fewer fields than columns: write the missing fields, "
            "or delete the row."
        )
    return said, name


def _label_key(name: str):
    """Two label names with one key are hard to tell apart; numbers compare by value."""
    key = same_text(name)
    try:
        number = Decimal(key)
    except InvalidOperation:
        return key
    return number if number.is_finite() else key


def majority(gold: list[int]) -> float:
    """Accuracy of always giving the most frequent label."""
    if len(gold) == 0:
        raise ValueError("There are no labels: give the labels of at least one row.")
    return Counter(gold).most_common(1)[0][1] / len(gold)
