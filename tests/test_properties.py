"""Random files are read exactly, or refused in one sentence; nothing lies between."""

import csv
import gzip
import io
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompttune_utils.data import load_task, read_csv
from prompttune_utils.hub import NotFound

many = settings(
    max_examples=200, derandomize=True, database=None, deadline=None, print_blob=True
)
# what trips readers: quotes, separators, line ends, invisible and wide characters
ODD = "\"',;|\t\n\r\u2028\x85\x0b \u00a0\u3000\u200b\ufeff\u00adaA１1é字😀"
texts = st.text(ODD, max_size=12) | st.text(max_size=12)
seen = texts.map(lambda text: f"{text}.")  # a text that is not blank


def read_or_refused(read, name):
    """What `read` gives; None after it refused the file `name`, in one sentence or in
    one for each fault."""
    try:
        return read()
    except (ValueError, NotFound) as error:
        said = str(error)
        head, *faults = said.split("\n- ")
        sentences = faults if faults else [head]
        assert not faults or head == f"{name} has {len(faults)} faults:"
        for one in sentences:
            assert name in one and one.endswith(".") and one.isprintable(), said
        return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


def as_csv(rows, **form):
    """The bytes of a CSV file as Python's own writer makes it."""
    file = io.StringIO()
    csv.writer(file, **form).writerows(rows)
    return file.getvalue().encode()


@st.composite
def csv_files(draw):
    """(bytes of a file, its rows of text and label, whether nothing is wrong in it)."""
    names = draw(st.sampled_from([["good", "bad"], ["好", "差"], ["1", "2"]]))
    said = draw(st.lists(seen, min_size=2, max_size=6))
    rows = [
        (f"{number}: {text}", names[number % 2]) for number, text in enumerate(said)
    ]
    sound = draw(st.booleans())
    if not sound:
        at = draw(st.integers(0, len(rows) - 1))
        odd_labels = st.sampled_from(["Good", "好\u200b", "1.0", "２", " bad", "", "x"])
        text, label = rows[at]
        odd = [(draw(texts), label), (text, draw(odd_labels)), (rows[0][0], label)]
        rows[at] = draw(st.sampled_from(odd))
    # only so does Python's writer put every kind of line end in quotation marks
    content = as_csv([("text", "label"), *rows], quoting=csv.QUOTE_ALL)
    if not any(end in text for text, _ in rows for end in "\r\n"):
        end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
        content = as_csv([("text", "label"), *rows], lineterminator=end)
    if draw(st.booleans()):
        content = "\ufeff".encode() + content
    return content, rows, sound


def line_feeds(text):
    return text.replace("\r\n", "\n").replace("\r", "\n")


@many
@given(file=csv_files())
def test_a_csv_file_is_read_exactly_or_refused(folder, file):
    content, written, sound = file
    path = folder / "random.csv"
    path.write_bytes(content)
    found = read_or_refused(lambda: read_csv(path), path.name)
    assert found or not sound
    if found:
        rows, labels = found
        read = [(row["text"], labels[row["label"]]) for row in rows]
        whole = [(line_feeds(text).strip(), label.strip()) for text, label in written]
        assert read == whole


LABELS = ["good", "bad"]


@many
@given(
    said=st.lists(texts, min_size=1, max_size=5),
    fault=st.sampled_from([None, b"\xff", b"\0", b'"', b"\n", b","]),
    place=st.floats(0, 1),
)
def test_a_damaged_csv_file_is_read_as_far_as_it_goes_or_refused(
    folder, said, fault, place
):
    """Cut at a place, or with one byte too much there; each field stands in quotes."""
    written = [(text, LABELS[n % 2]) for n, text in enumerate(said)]
    content = as_csv([("text", "label"), *written], quoting=csv.QUOTE_ALL)
    at = round(place * len(content))
    rest = b"" if fault is None else fault + content[at:]
    path = folder / "damaged.csv"
    path.write_bytes(content[:at] + rest)
    found = read_or_refused(lambda: read_csv(path, labels=LABELS), path.name)
    if found and fault in (None, b"\xff", b"\0"):
        read = [(row["text"], LABELS[row["label"]]) for row in found[0]]
        whole = [(line_feeds(text).strip(), label) for text, label in written]
        assert read == whole[: len(read)]
    assert not (found and fault in (b"\xff", b"\0"))


NAMES = ["entailment", "not_entailment"]
scalars = st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | texts
half_characters = st.characters(categories=["Cs"])
values = scalars | half_characters | st.lists(scalars, max_size=2)
sound_rows = st.fixed_dictionaries(
    {"text1": seen, "text2": seen, "label": st.sampled_from([0, 1, *NAMES])},
    optional={"id": st.integers() | texts, "text": texts},
)


@st.composite
def jsonl_files(draw):
    """(bytes of a file before packing, its rows, whether nothing is wrong in it)."""
    rows = draw(st.lists(sound_rows, min_size=1, max_size=5))
    sound = draw(st.booleans())
    if not sound:
        key = draw(st.sampled_from(["text1", "text2", "label", "label", "id"]))
        rows[draw(st.integers(0, len(rows) - 1))][key] = draw(values)
    end = draw(st.sampled_from(["\n", "\r\n", "\n\n"]))
    ascii_only = draw(st.booleans())
    lines = [json.dumps(row, ensure_ascii=ascii_only) + end for row in rows]
    return "".join(lines).encode("utf-8", "surrogatepass"), rows, sound


@pytest.fixture(scope="module")
def mirror(folder):
    """A mirror that holds the task of pairs; its training rows are still to write."""
    place = folder / "SetFit" / "rte"
    place.mkdir(parents=True)
    (place / "validation.jsonl").write_text('{"text1":"a","text2":"b","label":0}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMPTTUNE_MIRROR", str(folder))
        yield place


@many
@given(file=jsonl_files(), packed=st.booleans())
def test_a_mirror_is_read_exactly_or_refused(mirror, file, packed):
    content, written, sound = file
    names = ["train.jsonl", "train.jsonl.gz"]
    path, other = (mirror / name for name in sorted(names, reverse=packed))
    other.unlink(missing_ok=True)
    path.write_bytes(gzip.compress(content) if packed else content)
    task = read_or_refused(lambda: load_task("rte"), path.name)
    assert task or not sound
    if task:
        assert len(task.pool) == len(written)
        for read, row in zip(task.pool, written):
            label = read.pop("label")
            assert type(label) is int and row.pop("label") in (label, NAMES[label])
            assert (read["text"], read["text_b"]) == (row["text1"], row["text2"])
            assert (read["text"] + read["text_b"]).encode("utf-8")
            assert read.get("id") == row.get("id")


@many
@given(rows=st.lists(sound_rows, min_size=1, max_size=5), seed=st.integers(0, 2**32))
def test_a_damaged_archive_is_read_exactly_or_refused(mirror, rows, seed):
    """Cut somewhere, or with one bit turned over."""
    generator = random.Random(seed)
    (mirror / "train.jsonl").unlink(missing_ok=True)
    path = mirror / "train.jsonl.gz"
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    packed = bytearray(gzip.compress(content, mtime=0))
    at = generator.randrange(len(packed))
    if generator.random() < 0.5:
        packed = packed[:at]
    else:
        packed[at] ^= 1 << generator.randrange(8)
    path.write_bytes(packed)
    task = read_or_refused(lambda: load_task("rte"), path.name)
    if task:
        assert [row["text"] for row in task.pool] == [row["text1"] for row in rows]
        assert [row["text_b"] for row in task.pool] == [row["text2"] for row in rows]
