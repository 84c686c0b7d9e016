"""Tasks, few-shot samples, and the mistakes in a reader's CSV."""

import gzip
import json

import pytest

from prompttune_utils.data import TASKS, few_shot, load_task, majority, read_csv
from prompttune_utils.hub import NotFound


def write(folder, split, rows):
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / f"{split}.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTTUNE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "mirror"


@pytest.mark.parametrize("name", ["reviews-en", "reviews-zh"])
def test_packaged_task(name):
    task = load_task(name)
    assert (
        task.place.kind == "asset"
        and task.language == name[-2:]
        and task.labels == ["negative", "positive"]
    )
    assert {row["label"] for row in task.pool + task.test} == {0, 1}
    assert (
        task.gold == [row["label"] for row in task.test] and majority(task.gold) == 0.5
    )
    praise = {
        "en": "Such a delightful collection of letters",
        "zh": "散文集里写外婆的那篇最动人",
    }[task.language]
    assert [row["label"] for row in task.test if row["text"].startswith(praise)] == [1]


def test_task_of_pairs_from_the_mirror(mirror):
    write(mirror / "SetFit/rte", "train", [{"text1": "a", "text2": "b", "label": 1}])
    write(
        mirror / "SetFit/rte", "validation", [{"text1": "c", "text2": "d", "label": 0}]
    )
    task = load_task("rte")
    assert task.place.kind == "mirror"
    assert task.pool == [{"text": "a", "text_b": "b", "label": 1}] and task.test == [
        {"text": "c", "text_b": "d", "label": 0}
    ]


def test_mirror_that_lacks_the_split(mirror):
    write(mirror / "SetFit/sst2", "train", [{"text": "a", "label": 1}])
    write(mirror / "SetFit/sst2", "dev", [{"text": "a", "label": 1}])
    with pytest.raises(
        NotFound,
        match=r"The mirror .*SetFit/sst2 has no split 'test', only dev, train: add test.jsonl.gz to it",
    ):
        load_task("sst2")


def test_task_that_is_nowhere(mirror):
    with pytest.raises(
        NotFound,
        match=r"'SetFit/sst2' was not found in .*switched off by HF_HUB_OFFLINE.*set PROMPTTUNE_MIRROR",
    ):
        load_task("sst2")


def test_unknown_task():
    with pytest.raises(
        NotFound,
        match=r"no task 'sst-2': choose one of reviews-en, .*sst2.*, or read your own file with read_csv",
    ):
        load_task("sst-2")


@pytest.mark.parametrize("name", TASKS)
def test_task_table_matches_the_mirror(name):
    """Every task that the mirror or the package holds loads, with labels in range and no empty text."""
    try:
        task = load_task(name)
    except NotFound:
        pytest.skip(
            f"NOT CHECKED: task {name} is not here; set PROMPTTUNE_MIRROR to a folder that holds it."
        )
    for row in task.pool + task.test:
        assert row["text"].strip() and row["label"] in range(len(task.labels))
    assert set(task.gold) == set(range(len(task.labels)))


ROWS = [
    {"text": f"{label} {i}", "label": label} for i in range(20) for label in (0, 1, 2)
]


def test_few_shot_is_balanced_seeded_and_apart():
    train, dev = few_shot(ROWS, 4, seed=3)
    for part in (train, dev):
        assert sorted(row["label"] for row in part) == [0] * 4 + [1] * 4 + [2] * 4
    texts = [row["text"] for row in train + dev]
    assert len(set(texts)) == len(texts) == 24
    assert few_shot(ROWS, 4, seed=3) == (train, dev)
    assert few_shot(ROWS, 4, seed=4)[0] != train
    assert few_shot(ROWS, 4, seed=3, dev=False)[1] == []
    assert [row["label"] for row in train] != sorted(row["label"] for row in train)


def test_few_shot_needs_enough_rows():
    assert (
        len(few_shot(ROWS, 10, seed=0)[0])
        == len(few_shot(ROWS, 20, seed=0, dev=False)[0]) / 2
        == 30
    )
    with pytest.raises(
        ValueError,
        match="Class 0 has 20 rows, 22 are needed for 11 shots and a dev set of equal size: ask for fewer shots",
    ):
        few_shot(ROWS, 11, seed=0)
    with pytest.raises(ValueError, match="21 are needed for 21 shots: ask"):
        few_shot(ROWS, 21, seed=0, dev=False)


def test_majority():
    assert majority([2, 2, 0, 1]) == 0.5


@pytest.fixture
def csv(tmp_path):
    """Writes text (or bytes) to my.csv and reads it."""

    def read(content, **options):
        (tmp_path / "my.csv").write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
        return read_csv(tmp_path / "my.csv", **options)

    return read


def test_csv(csv):
    """Quoted commas, line ends and quotes; a byte-order mark; Windows line ends; blank lines; separators of other alphabets inside a text."""
    content = '\ufefflabel,id,text\r\npos,1,"good, ""very"" good\r\nindeed"\r\n\r\nneg,2,太差了\u2028真的\x85\x0cbad \r\npos,3,fine\r\n'
    rows, labels = csv(content)
    assert labels == ["neg", "pos"]
    assert rows == [
        {"text": 'good, "very" good\nindeed', "label": 1},
        {"text": "太差了\u2028真的\x85\x0cbad", "label": 0},
        {"text": "fine", "label": 1},
    ]
    assert csv("review,verdict\na,x\nb,y\n", text="review", label="verdict", labels=["y", "x"]) == (
        [{"text": "a", "label": 1}, {"text": "b", "label": 0}], ["y", "x"])  # fmt: skip


def test_csv_with_a_long_text(csv):
    assert [
        len(row["text"])
        for row in csv("text,label\n" + "字" * 200_000 + ",pos\nbad,neg\n")[0]
    ] == [200_000, 3]


FAULTS = {
    "missing column": (
        "review,label\ngood,pos\n",
        {},
        "my.csv has no column 'text': its columns are review, label",
    ),
    "semicolons": (
        "text;label\ngood;pos\n",
        {},
        "my.csv has no column 'text': its columns are text;label",
    ),
    "empty file": ("", {}, "my.csv has no column 'text': its columns are none"),
    "unknown label": (
        "text,label\ngood,pos\nbad,ngt\n",
        {"labels": ["pos", "neg"]},
        r"my.csv, row 2 \(line 3\): the column 'label' holds 'ngt': use one of pos, neg",
    ),
    "no label": (
        "text,label\ngood,pos\nbad\n",
        {},
        r"my.csv, row 2 \(line 3\): the column 'label' holds '': use one of your label names",
    ),
    "empty text": (
        'text,label\n"two\nlines",pos\n" ",neg\n',
        {},
        r"my.csv, row 2 \(line 4\): the column 'text' is empty: write a text or delete the row",
    ),
    "wrong encoding": (
        "text,label\n太差,neg\n".encode("gbk"),
        {},
        r"my.csv is not UTF-8 \(byte 13\): save it as UTF-8",
    ),
    "UTF-16": (
        "text,label\ngood,pos\n".encode("utf-16"),
        {},
        r"my.csv is not UTF-8 \(byte 0\): save it as UTF-8",
    ),
    "unclosed quote": (
        'text,label\ngood,pos\n"bad,neg\nbad,neg\n',
        {},
        "my.csv, the row that begins on line 3: .*: close every quotation mark",
    ),
    "unclosed quote in the header": (
        '"text,label\ngood,pos\n',
        {},
        "my.csv, the row that begins on line 1: .*: close every quotation mark",
    ),
    "text after a quote": (
        'text,label\n"good" one,pos\n',
        {},
        "my.csv, the row that begins on line 2: .*: close every quotation mark",
    ),
    "comma without quotes": (
        "text,label\ngood, but slow,pos\n",
        {},
        r"my.csv, row 1 \(line 2\): there are more fields than columns: put a text that holds commas in quotation marks",
    ),
    "one label": (
        "text,label\ngood,pos\nfine,pos\n",
        {},
        "my.csv has 1 different labels in column 'label': a classifier needs at least two",
    ),
    "only a header": ("text,label\n", {}, "my.csv has 0 different labels"),
}


@pytest.mark.parametrize("content, options, message", FAULTS.values(), ids=FAULTS)
def test_fault_in_a_csv_is_named(csv, content, options, message):
    with pytest.raises(ValueError, match=message) as error:
        csv(content, **options)
    assert "\n" not in str(error.value)
