"""Tasks, few-shot samples, and the mistakes in a reader's CSV."""

import csv
import datetime
import gzip
import json
import os
import subprocess
import sys

import pytest

from prompttune_utils import data
from prompttune_utils.data import (
    TASKS,
    few_shot,
    load_task,
    majority,
    read_csv,
    read_rows,
    same_text,
)
from prompttune_utils.hub import NotFound, Place


def write(folder, split, rows):
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / f"{split}.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTTUNE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.chdir(tmp_path)
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


@pytest.fixture
def train(mirror):
    """Writes train.jsonl (or another file) of SST-2, and reads the task."""
    folder = mirror / "SetFit/sst2"
    for split in ("test", "validation"):
        write(folder, split, [{"text": "a", "label": 1}])

    def read(content, name="train.jsonl"):
        if isinstance(content, str):
            content = content.encode()
        (folder / name).write_bytes(content)
        return load_task("sst2").pool

    return read


GOOD = '{"text": "good", "label": 1}\n'
BAD = '{"text": "bad", "label": 0}\n'


def test_texts_of_a_mirror_stay_as_they_are(train):
    """Nothing becomes a date or a number, and no line ends but at a line feed."""
    texts = ["2019-01-01", "1", "1.50", "null", " a\u2028b\x85c\\n", "字" * 100_000]
    rows = [{"text": text, "label": "positive", "day": "2019-01-01"} for text in texts]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows)
    assert train(lines + "\n") == [row | {"label": 1} for row in rows]


def test_a_replaced_file_is_read_anew(train, mirror):
    """Also where it has the date of the file before it."""
    file = mirror / "SetFit/sst2/train.jsonl"
    for content, count in ((GOOD, 1), (GOOD * 500, 500)):
        file.write_text(content)
        os.utime(file, (1e9, 1e9))
        assert len(load_task("sst2").pool) == count


def test_only_the_exact_name_is_the_split(train, mirror):
    for name in ("train_extra.jsonl", "train.jsonl.bak", "train.jsonl.gz.part"):
        (mirror / "SetFit/sst2" / name).write_text(GOOD)
    with pytest.raises(NotFound, match="no split 'train', only test, train_extra, val"):
        load_task("sst2")
    assert train(BAD) == [{"text": "bad", "label": 0}]
    with pytest.raises(
        ValueError,
        match="has both train.jsonl and train.jsonl.gz: delete the one that is not me",
    ):
        train(gzip.compress(GOOD.encode()), "train.jsonl.gz")


def test_rows_of_any_data_set(mirror):
    """`read_rows` asks for no column."""
    rows = [{"meaning": "name[Aromi]", "references": ["a", "b"]}, {}]
    write(mirror, "train", rows)
    assert read_rows(Place("e2e", "mirror", str(mirror)), "train") == rows


def of_label(label):
    return GOOD + json.dumps({"text": "a", "label": label})


NUMBER = r"line 2: the column 'label' holds {}: write a whole number from 0 to 1, or"
TEXT = r"line 2: the column 'text' holds {}: write a text that is not empty"
PACKED = gzip.compress((GOOD * 50).encode())
LINES = {
    "hidden labels": (
        of_label(-1),
        "line 2: the column 'label' holds -1, which hides the label: put a split with",
    ),
    "a label beyond the last": (of_label(2), NUMBER.format("2")),
    "a label below the first": (of_label(-2), NUMBER.format("-2")),
    "true": (of_label(True), NUMBER.format("True")),
    "1.0": (of_label(1.0), NUMBER.format("1.0")),
    "an unknown label name": (of_label("pos"), NUMBER.format("'pos'")),
    "a number as text": (of_label("1"), NUMBER.format("'1'")),
    "null": (of_label(None), NUMBER.format("None")),
    "a list": (of_label([1]), NUMBER.format(r"\[1\]")),
    "no text": (GOOD + '{"text": null, "label": 1}', TEXT.format("None")),
    "a number for a text": (GOOD + '{"text": 5, "label": 1}', TEXT.format("5")),
    "an empty text": (GOOD + '{"text": " \\t", "label": 1}', TEXT.format(".*")),
    "an invisible text": (GOOD + '{"text": "\u200b", "label": 1}', TEXT.format(".*")),
    "half a character": (
        GOOD + r'{"text": "a\ud83d", "label": 1}',
        r"line 2: the column 'text' holds half a character \('\\ud83d'\): write",
    ),
    "another column": (
        GOOD + '{"sentence": "a", "label": 1}',
        "line 2 has no column 'text', only sentence, label: add it, or rename the one",
    ),
    "an empty object": (GOOD + "{}", "line 2 has no column 'text', only none: add it"),
    "a list of rows": (
        f"[{GOOD.strip()}]",
        "line 1 holds no JSON object: write {...} around",
    ),
    "no JSON": (GOOD + "text,label", r"line 2 is not JSON \(column 1: Expecting value"),
    "two rows a line": (GOOD.strip() + BAD, r"line 1 is not JSON \(column 29: Extra d"),
    "a cut line": (GOOD + BAD[:20], "line 2 is not JSON .*: write one JSON object a "),
    "a key twice": (
        GOOD + '{"text": "a", "label": 1, "label": 0}',
        r"line 2 cannot be read \(the key 'label' stands twice\): mend this line",
    ),
    "NaN": (GOOD + '{"text": NaN}', r"line 2 cannot be read \(NaN is not a JSON value"),
    "a deep line": (GOOD + "[" * 100_000, r"line 2 cannot be read \(maximum recursion"),
    "a long number": (GOOD + "1" * 5_000, r"line 2 cannot be read \(Exceeds the limit"),
    "no UTF-8": (
        GOOD.encode() + '{"text": "太差", "label": 0}'.encode("gbk"),
        "line 2 is not UTF-8: save the file as UTF-8",
    ),
    "UTF-16": (GOOD.encode("utf-16"), "line 1 is not UTF-8: save the file as UTF-8"),
    "a byte-order mark": ("\ufeff" + GOOD, "line 1 begins with a byte-order mark: sav"),
    "a mark inside": (GOOD + "\ufeff" + BAD, r"line 2 is not JSON \(column 1: Unexp"),
    "an empty file": ("", "holds no rows: write one JSON object a line"),
    "blank lines": ("\n \n", "holds no rows: write one JSON object a line"),
}
ARCHIVES = {
    "cut": (PACKED[:-9], r"cannot be read \(EOFError\): fetch or pack it again"),
    "cut in its head": (PACKED[:5], r"cannot be read \(EOFError\): fetch or pack it"),
    "not packed": (GOOD.encode(), r"cannot be read \(BadGzipFile\): fetch or pack it"),
    "damaged": (
        PACKED[:12] + b"\xff" + PACKED[13:],
        r"cannot be read \(error\): fetch",
    ),
    "another sum": (PACKED[:-8] + bytes(8), r"cannot be read \(BadGzipFile\): fetch"),
    "empty": (b"", "holds no rows: write one JSON object a line"),
}


@pytest.mark.parametrize("content, message", LINES.values(), ids=LINES)
def test_fault_in_a_line_of_a_mirror_is_named(train, content, message):
    with pytest.raises(ValueError, match=rf"SetFit/sst2/train\.jsonl,? {message}") as e:
        train(content)
    assert "\n" not in str(e.value) and str(e.value).endswith(".")


@pytest.mark.parametrize("content, message", ARCHIVES.values(), ids=ARCHIVES)
def test_damaged_archive_is_named(train, content, message):
    with pytest.raises(ValueError, match=rf"SetFit/sst2/train\.jsonl\.gz {message}"):
        train(content, "train.jsonl.gz")


def test_rows_of_the_hub_are_checked_too(monkeypatch):
    rows = [{"text": "a", "label": 1}, {"text": datetime.date(2019, 1, 1), "label": 1}]
    monkeypatch.setattr(data, "resolve", lambda name, _: Place(name, "hub", name))
    monkeypatch.setattr(data, "reachable", lambda: True)
    monkeypatch.setattr("datasets.load_dataset", lambda name, split: rows)
    with pytest.raises(
        ValueError,
        match=r"SetFit/sst2, split train, row 2: the column 'text' holds datetime.date",
    ):
        load_task("sst2")
    del rows[1]
    assert load_task("sst2").pool == rows


def test_a_home_that_cannot_be_written():
    """What is packaged is read where no cache can be made."""
    code = "from prompttune_utils.data import load_task; load_task('reviews-en')"
    caches = ("HF_HOME", "HF_DATASETS_CACHE", "HF_HUB_CACHE", "XDG_CACHE_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in caches}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=kept | {"HOME": "/proc/nope"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_mirror_that_lacks_the_split(mirror):
    write(mirror / "SetFit/sst2", "train", [{"text": "a", "label": 1}])
    write(mirror / "SetFit/sst2", "dev", [{"text": "a", "label": 1}])
    with pytest.raises(
        NotFound,
        match=r"The mirror .*SetFit/sst2 has no split 'test', only dev, train: add "
        "test.jsonl.gz to it",
    ):
        load_task("sst2")


def test_task_that_is_nowhere(mirror):
    with pytest.raises(
        NotFound,
        match=r"'SetFit/sst2' was not found in .*switched off by HF_HUB_OFFLINE.*set "
        "PROMPTTUNE_MIRROR",
    ):
        load_task("sst2")


def test_unknown_task():
    with pytest.raises(
        NotFound,
        match=r"no task 'sst-2': choose one of reviews-en, .*sst2.*, or read your own "
        "file with read_csv",
    ):
        load_task("sst-2")


@pytest.mark.parametrize("name", TASKS)
def test_task_table_matches_the_mirror(name):
    """Every task that is here loads, with labels in range and no empty text."""
    try:
        task = load_task(name)
    except NotFound:
        pytest.skip(
            f"NOT CHECKED: task {name} is not here; set PROMPTTUNE_MIRROR to a folder "
            "that holds it."
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
        match="Class 0 has 20 rows, 22 are needed for 11 shots and a dev set of equal "
        "size: ask for fewer shots",
    ):
        few_shot(ROWS, 11, seed=0)
    with pytest.raises(ValueError, match="21 are needed for 21 shots: ask"):
        few_shot(ROWS, 21, seed=0, dev=False)


def repeated(rows):
    """Every text a second time, as it would be copied: another case, more spaces."""
    again = [row | {"text": f" {row['text'].upper()}\u200b "} for row in rows]
    return rows + again


@pytest.mark.parametrize("seed", range(20))
def test_few_shot_never_puts_one_text_in_both_parts(seed):
    rows = repeated([{"text": f"{i} is {i % 2}", "label": i % 2} for i in range(12)])
    train, dev = few_shot(rows, 4, seed)
    assert len(train) == len(dev) == 8
    assert sum(row["label"] for row in dev) == 4
    trained = {same_text(row["text"]) for row in train}
    assert not trained & {same_text(row["text"]) for row in dev}


def test_few_shot_of_texts_with_two_labels():
    """A text trained on under one label is no dev row under another label."""
    texts = [f"text {i}" for i in range(8)]
    rows = [{"text": text, "label": label} for text in texts for label in (0, 1)]
    for seed in range(10):
        train, dev = few_shot(rows, 2, seed)
        assert not {row["text"] for row in train} & {row["text"] for row in dev}


def test_few_shot_of_pairs_compares_both_texts():
    rows = [{"text": "a", "text_b": str(i), "label": i % 2} for i in range(4)]
    train, dev = few_shot(rows, 1, seed=0)
    assert len(train) == len(dev) == 2


def test_a_repeated_text_changes_no_training_row():
    rows = [{"text": f"text {i // 2}", "label": 0, "i": i} for i in range(16)]
    apart = [row | {"text": f"text {row['i']}"} for row in rows]
    drawn, expected = few_shot(rows, 3, seed=1), few_shot(apart, 3, seed=1)
    assert [row["i"] for row in drawn[0]] == [row["i"] for row in expected[0]]
    assert [row["i"] for row in drawn[1]] != [row["i"] for row in expected[1]]


def test_few_shot_of_a_class_with_one_text():
    rows = [{"text": "same", "label": 0} for _ in range(8)] + ROWS
    with pytest.raises(
        ValueError,
        match="Class 0 repeats its texts: 0 rows have a text that is not trained on, 4 "
        "are needed: ask for fewer shots",
    ):
        few_shot(rows[:8], 4, seed=0)


OPTIONS = {
    "no shots": (ROWS, (0, 1), {}, "shots is 0: give a whole number from 1"),
    "fewer": (ROWS, (-2, 1), {}, "shots is -2: give a whole number from 1"),
    "half": (ROWS, (1.5, 1), {}, "shots is 1.5: give a whole number from 1"),
    "true": (ROWS, (True, 1), {}, "shots is True: give a whole number from 1"),
    "no seed": (ROWS, (4, None), {}, "seed is None: give a whole number"),
    "a word": (ROWS, (4, 1), {"dev": "no"}, "dev is 'no': give True or False"),
    "no rows": ([], (4, 1), {}, "There are no rows to draw from: give the rows of a t"),
    "no label": (
        [{"text": "a"}],
        (1, 1),
        {},
        "Row 1 has no text or no label: give",
    ),
    "no text": (
        [*ROWS, {"label": 1}],
        (4, 1),
        {},
        "Row 61 has no text or no label:",
    ),
}


@pytest.mark.parametrize("rows, values, named, message", OPTIONS.values(), ids=OPTIONS)
def test_few_shot_refuses_other_options(rows, values, named, message):
    with pytest.raises(ValueError, match=message):
        few_shot(rows, *values, **named)


def test_majority():
    assert majority([2, 2, 0, 1]) == 0.5
    with pytest.raises(ValueError, match="no labels: give the labels of at least one"):
        majority([])


ALIKE = {
    "case": ("A Good film", "a good FILM"),
    "sharp s": ("Straße", "STRASSE"),
    "width": ("Ｇｏｏｄ！ １２", "good! 12"),
    "normal form": ("caf\u00e9", "cafe\u0301"),
    "spaces": ("  a\tgood\u3000\n film", "a good film"),
    "zero-width": ("g\u200bo\u200do\u2060d\ufeff", "good"),
    "only zero-width between words": ("a \u200b b", "a b"),
    "soft hyphen, controls": ("go\u00adod\x00\x08", "good"),
    "the other direction": ("\u202egood\u202c", "good"),
    "heart as text, heart as picture": ("❤\ufe0f", "❤"),
    "a variant of a character": ("葛\U000e0100", "葛"),
}


@pytest.mark.parametrize("one, other", ALIKE.values(), ids=ALIKE)
def test_same_text(one, other):
    assert same_text(one) == same_text(other)


@pytest.mark.parametrize("other", ["a goodfilm", "a good film!", "一部好电影", ""])
def test_other_texts_have_another_key(other):
    assert same_text(other) != same_text("a good film")


@pytest.fixture
def csv_of(tmp_path):
    """Writes text (or bytes) to my.csv and reads it."""

    def read(content, **options):
        (tmp_path / "my.csv").write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
        return read_csv(tmp_path / "my.csv", **options)

    return read


def test_csv(csv_of):
    """Quoted commas, line ends and quotes; a byte-order mark; Windows line ends; blank
    lines; line ends of other alphabets inside a text."""
    content = (
        '\ufefflabel,id,text\r\npos,1,"good, ""very"" good\r\nindeed"\r\n\r\n'
        "neg,2,太差了\u2028真的\x85\x0cbad \r\npos,3,fine\r\n"
    )
    rows, labels = csv_of(content)
    assert labels == ["neg", "pos"]
    assert rows == [
        {"text": 'good, "very" good\nindeed', "label": 1},
        {"text": "太差了\u2028真的\x85\x0cbad", "label": 0},
        {"text": "fine", "label": 1},
    ]
    names = {"text": "review", "label": "verdict", "labels": ["y", "x"]}
    rows, labels = csv_of("review,verdict\na,x\nb,y\n", **names)
    assert rows == [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
    assert labels == ["y", "x"]


def test_csv_with_a_long_text(csv_of):
    assert [
        len(row["text"])
        for row in csv_of("text,label\n" + "字" * 200_000 + ",pos\nbad,neg\n")[0]
    ] == [200_000, 3]


FAULTS = {
    "missing column": (
        "review,label\ngood,pos\n",
        {},
        "my.csv has no column 'text': its columns are review, label: give the right "
        "name with text=, or mend the first line",
    ),
    "both columns missing, tabs between others": (
        "review\tverdict\ngood, very\tpos\n",
        {},
        "my.csv has no column 'text' and no column 'label': its columns are review, "
        "verdict: give the right name with text= and label=, or",
    ),
    "semicolons": (
        "text;label\ngood;pos\n",
        {"delimiter": ","},
        "my.csv has no column 'text': its columns are text;label: read it with "
        "delimiter=';'",
    ),
    "quoted semicolons": (
        '"text";"label"\n"good";"pos"\n',
        {"delimiter": ","},
        "my.csv has no column 'text': .*: read it with delimiter=';'",
    ),
    "tabs": (
        "id\ttext\tlabel\n",
        {"delimiter": ","},
        r"its columns are 'id\\ttext\\tlabel': read it with delimiter='\\t'",
    ),
    "a line end in the header": (
        '"the\ntext",label\na,pos\n',
        {},
        r"my.csv has no column 'text': its columns are 'the\\ntext', label",
    ),
    "commas after all": (
        "text,label\ngood,pos\n",
        {"delimiter": ";"},
        "my.csv has no column 'text': its columns are text,label: read it with "
        "delimiter=','",
    ),
    "a text column twice": (
        "text,label,text\ngood,pos,bad\n",
        {},
        "my.csv has 2 columns 'text': rename or delete all but one",
    ),
    "a label column twice": (
        "label,text,label\npos,good,neg\n",
        {},
        "my.csv has 2 columns 'label': rename or delete all but one",
    ),
    "empty file": ("", {}, "my.csv has an empty first line: write the names"),
    "unknown label": (
        "text,label\ngood,pos\nbad,ngt\n",
        {"labels": ["pos", "neg"]},
        r"my.csv, row 2 \(line 3\): "
        r"the column 'label' holds 'ngt': use one of pos, neg",
    ),
    "no label": (
        "text,label\ngood,pos\nbad\n",
        {},
        r"my.csv, row 2 \(line 3\): "
        r"the column 'label' holds '': use one of your label names",
    ),
    "empty text": (
        'text,label\n"two\nlines",pos\n" ",neg\n',
        {},
        r"my.csv, row 2 \(line 4\): "
        r"the column 'text' is empty: write a text or delete the row",
    ),
    "wrong encoding": (
        "text,label\n太差,neg\n".encode("gbk"),
        {},
        r"my.csv is not UTF-8 \(line 2, byte 13\): save it as UTF-8",
    ),
    "UTF-16": (
        "text,label\ngood,pos\n".encode("utf-16"),
        {},
        r"my.csv is not UTF-8 \(line 1, byte 0\): save it as UTF-8",
    ),
    "unclosed quote": (
        'text,label\ngood,pos\n"bad,neg\nbad,neg\n',
        {},
        "my.csv, the row that begins on line 3: .*: close every quotation mark, and "
        "read the file again: what follows was not looked at",
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
        r"my.csv, row 1 \(line 2\): "
        r"there are more fields than columns: put a text that holds commas in "
        "quotation marks",
    ),
    "semicolon without quotes": (
        "text;label\ngood; but slow;pos\n",
        {"delimiter": ";"},
        "put a text that holds semicolons in quotation marks",
    ),
    "an open quotation mark between tabs": (
        'text\tlabel\n"good" one\tpos\n',
        {"delimiter": "\t"},
        r"line 2: '\\t' expected after '\"': close every quotation mark",
    ),
    "one label": (
        "text,label\ngood,pos\nfine,pos\n",
        {},
        "my.csv has the label 'pos' alone in column 'label', and a classifier needs at "
        "least two: add rows of another, or name another column with label=",
    ),
    "only a header": ("text,label\n", {}, "my.csv has no rows below its header"),
    "fewer fields": (
        "text,label,id\ngood,pos,1\nbad,neg\n",
        {},
        r"my.csv, row 2 \(line 3\): there are fewer fields than columns: write the mis",
    ),
    "NUL": (
        "text,label\ngood,pos\nb\0d,neg\n",
        {},
        "my.csv holds a NUL character on line 3: save it as UTF-8",
    ),
    "UTF-16 without its mark": (
        "text,label\ngood,pos\n".encode("utf-16-le"),
        {},
        "my.csv holds a NUL character on line 1: save it as UTF-8",
    ),
    "invisible text": (
        "text,label\n\u200b,pos\n",
        {},
        r"my.csv, row 1 \(line 2\): the column 'text' is empty: write a text or delete",
    ),
    "invisible label": (
        "text,label\ngood,\u200b\n",
        {},
        r"my.csv, row 1 \(line 2\): the column 'label' holds '\\u200b': use one of",
    ),
    "one text with two labels": (
        'text,label\ngood,pos\nbad,neg\n"good\u200b  ",neg\n',
        {},
        r"my.csv, row 3 \(line 4\): the text has the label 'neg', and in row 1 "
        r"\(line 2\) the same text has the label 'pos': keep one of the two rows",
    ),
    "one text with two labels, one of them wide": (
        "text,label\n很好！,pos\n很好!,neg\n",
        {},
        r"my.csv, row 2 \(line 3\): the text has the label 'neg', and in row 1",
    ),
}
LIKE_POS = {
    "case": ("pos", "Pos"),
    "width": ("pos", "ｐｏｓ"),
    "normal form": ("café", "cafe\u0301"),
    "inner spaces": ("very good", "very  good"),
    "a hard space": ("very good", "very\u00a0good"),
    "zero-width": ("pos", "p\u200bos"),
    "byte-order mark": ("pos", "\ufeffpos"),
    "1 and 1.0": ("1", "1.0"),
    "1 and 01": ("1", "01"),
    "1 and wide 1": ("1", "１"),
}
FAULTS |= {
    f"labels, {what}": (
        f"text,label\na,{one}\nb,other\nc,{other}\n",
        {},
        rf"my.csv, row 3 \(line 4\): the label .* is hard to tell from the label "
        rf"'{one}' of row 1 \(line 2\): write both in the same way",
    )
    for what, (one, other) in LIKE_POS.items()
}


@pytest.mark.parametrize("content, options, message", FAULTS.values(), ids=FAULTS)
def test_fault_in_a_csv_is_named(csv_of, content, options, message):
    with pytest.raises(ValueError, match=message) as error:
        csv_of(content, **options)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_csv_with_another_separator(csv_of):
    """It is found in the header, also where the names stand in quotation marks; any
    other character can be given."""
    for separator in ";\t|:":
        for mark in ("", '"'):
            header = separator.join(f"{mark}{name}{mark}" for name in ("text", "label"))
            content = f"{header}\na, b{separator}x\nc{separator}y\n"
            given = {"delimiter": separator}
            for options in (given,) if separator == ":" else (given, {}):
                assert csv_of(content, **options) == (
                    [{"text": "a, b", "label": 0}, {"text": "c", "label": 1}],
                    ["x", "y"],
                )


def test_all_faults_of_a_csv_are_named_in_one_run(csv_of):
    content = (
        "text;label\ngood;pos\n;neg\nbad;Pos\nbad; slow;neg\ngood;neg\n"
        'fine;ngt\n"open;pos\n'
    )
    with pytest.raises(ValueError, match="^my.csv has 6 faults:\n") as error:
        csv_of(content, labels=["pos", "neg"])
    lines = str(error.value).split("\n- ")[1:]
    for line, part in zip(
        lines,
        [
            "row 2 (line 3): the column 'text' is empty",
            "row 3 (line 4): the column 'label' holds 'Pos'",
            "row 4 (line 5): there are more fields than columns: put a text that holds "
            "semicolons",
            "row 5 (line 6): the text has the label 'neg', and in row 1",
            "row 6 (line 7): the column 'label' holds 'ngt'",
            "the row that begins on line 8: unexpected end of data: close every",
        ],
        strict=True,
    ):
        assert line.startswith(f"my.csv, {part}"), line


def test_what_training_would_refuse_is_named_with_the_other_faults(csv_of):
    """A label in one row, and a text that differs in case under two labels; alone, both
    are read."""
    content = "text,label\na,pos\nb,pos\nc,pos\nd,neg\nA,neg\ne,ngt\n"
    assert len(csv_of(content)[0]) == 6
    with pytest.raises(ValueError, match="^my.csv has 3 faults:\n") as error:
        csv_of(content + ",neg\n")
    lines = str(error.value).split("\n- my.csv, ")[1:]
    for line, start in zip(
        lines,
        [
            "row 7 (line 8): the column 'text' is empty",
            "row 5 (line 6): the text has the label 'neg', and in row 1 (line 2) the "
            "same text, but for its case, has the label 'pos': correct one of the two",
            "row 6 (line 7): the label 'ngt' stands in this row alone: correct its sp",
        ],
        strict=True,
    ):
        assert line.startswith(start), line


def test_a_spreadsheet_may_write_empty_fields(csv_of):
    """Behind the last column, and spaces around the names of the columns."""
    rows, labels = csv_of("text , label\na,x,\nb,y,,\n")
    assert [row["text"] for row in rows] == ["a", "b"] and labels == ["x", "y"]


def test_a_long_list_of_faults_is_cut(csv_of):
    with pytest.raises(ValueError, match="has 300 faults") as error:
        csv_of("text,label\n" + ",x\n" * 300)
    assert str(error.value).endswith("\n- and 280 more.")
    assert str(error.value).count("\n") == 21


def test_csv_with_line_ends_of_old_macs(csv_of):
    assert [row["text"] for row in csv_of("text,label\ra,x\rb,y\r")[0]] == ["a", "b"]


def test_csv_with_a_text_twice(csv_of):
    """A text may stand twice under one label, and differ in case under two."""
    rows, _ = csv_of("text,label\na,x\na,x\nGOOD,loud\ngood,x\n")
    assert [row["label"] for row in rows] == [1, 1, 0, 1]


def test_read_csv_leaves_the_field_limit_of_others(csv_of):
    before = csv.field_size_limit()
    csv_of("text,label\na,x\nb,y\n")
    assert csv.field_size_limit() == before


def test_path_that_is_no_file(tmp_path):
    with pytest.raises(NotFound, match="none.csv is not there: give the path of a CSV"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="is a folder: give the path of a CSV file in"):
        read_csv(tmp_path)
    with pytest.raises(ValueError, match="path is None: give the path of a CSV file"):
        read_csv(None)


LIST = "give a list of label names, without spaces around them"
TWO = "give at least two names that are easy to tell apart"
CSV_OPTIONS = {
    "one column": (
        {"text": "a", "label": "a"},
        "text is 'a' and label is 'a': name two",
    ),
    "a number": ({"text": 0}, "text is 0 and label is 'label': name two columns"),
    "separator": ({"delimiter": "::"}, "delimiter is '::': give one character, such"),
    "a space": ({"delimiter": " "}, "delimiter is ' ': give one character, such as "),
    "labels in a str": ({"labels": "pos, neg"}, LIST),
    "numbers": ({"labels": [0, 1]}, LIST),
    "spaces": ({"labels": ["pos", " neg"]}, LIST),
    "empty name": ({"labels": ["pos", ""]}, LIST),
    "one label": ({"labels": ["pos"]}, TWO),
    "none": ({"labels": []}, TWO),
    "a label twice": ({"labels": ["pos", "neg", "pos"]}, TWO),
    "labels alike": ({"labels": ["pos", "Pos"]}, TWO),
}


@pytest.mark.parametrize("options, message", CSV_OPTIONS.values(), ids=CSV_OPTIONS)
def test_read_csv_refuses_other_options(csv_of, options, message):
    with pytest.raises(ValueError, match=message) as error:
        csv_of("text,label\na,pos\nb,neg\n", **options)
    assert "\n" not in str(error.value)
