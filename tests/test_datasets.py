"""The packaged reviews are what their cards say: balanced, distinct, and our own."""

import gzip
import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from prompttune_utils.hub import ASSETS

SPLITS = ["pool", "test"]
DOMAINS = ["films", "books", "meals", "gadgets", "travel", "services"]
STYLES = {"plain": 20, "mixed": 6, "negation": 6, "irony": 4}
NAMES = ["reviews-en", "reviews-zh"]
each = pytest.mark.parametrize("name", NAMES)


def rows_of(name, splits=SPLITS):
    return [
        json.loads(line)
        for split in splits
        for line in (ASSETS / name / f"{split}.jsonl")
        .read_text(encoding="utf-8")
        .splitlines()
    ]


def key(text):
    """A text without case, spaces and punctuation."""
    return re.sub(r"[\W_]+", "", text.lower())


def trigrams(text):
    """Word trigrams; character trigrams of a Chinese text."""
    units = (
        re.findall("[一-鿿]", text)
        if re.search("[一-鿿]", text)
        else re.findall(r"\w+", text.lower())
    )
    return set(zip(units, units[1:], units[2:]))


def near_pairs(texts, limit=0.3):
    """The pairs whose trigram sets have a Jaccard similarity above `limit`."""
    sets, holders, shared = [trigrams(text) for text in texts], {}, Counter()
    for number, grams in enumerate(sets):
        for gram in grams:
            shared.update((other, number) for other in holders.setdefault(gram, []))
            holders[gram].append(number)
    return [
        (texts[i], texts[j])
        for (i, j), n in shared.items()
        if n / (len(sets[i]) + len(sets[j]) - n) > limit
    ]


@each
@pytest.mark.parametrize("split", SPLITS)
def test_counts_and_balance(name, split):
    rows = rows_of(name, [split])
    assert len(rows) == 432
    cells = {
        (d, label, s): n
        for d in DOMAINS
        for label in ("negative", "positive")
        for s, n in STYLES.items()
    }
    assert Counter((row["domain"], row["label"], row["style"]) for row in rows) == cells
    assert [row["label"] for row in rows[:36]] != sorted(
        row["label"] for row in rows[:36]
    ), "the rows are not shuffled"


@each
def test_columns_and_texts(name):
    for row in rows_of(name):
        assert list(row) == ["text", "label", "domain", "style"]
        text = row["text"]
        assert (
            text == " ".join(text.split())
            and "\ufffd" not in text
            and not re.search(r"https?:|<[a-z/]", text)
        )
        if name == "reviews-en":
            assert (
                5 <= len(text.split()) <= 40
                and text.isprintable()
                and not re.search("[一-鿿]", text)
            ), text
        else:
            assert (
                8 <= len(text) <= 60
                and len(re.findall("[一-鿿]", text)) > len(text) / 2
                and not re.search("[,;!?]", text)
            ), text


@each
def test_texts_are_distinct(name):
    texts = [row["text"] for row in rows_of(name)]
    assert [k for k, n in Counter(map(key, texts)).items() if n > 1] == []
    assert near_pairs(texts) == []


def test_near_duplicates_would_be_found():
    """The guard itself: a word changed, also in Chinese; two texts that only share a
    phrase pass."""
    texts = [
        "I would go there again with all my friends.",
        "I would go there again with all my cousins!",
        "My friends would go there again, I fear.",
    ]
    assert near_pairs(texts) == [(texts[0], texts[1])]
    assert near_pairs(
        ["味道很好，下次还来。", "味道很好，下次再来。", "味道一般，服务很好。"], 0.2
    ) == [("味道很好，下次还来。", "味道很好，下次再来。")]


@each
def test_card(name):
    card = (ASSETS / name / "README.md").read_text(encoding="utf-8")
    for word in (
        "864",
        "432",
        "text",
        "label",
        "domain",
        "style",
        "CC BY 4.0",
        "Known limits",
        *DOMAINS,
        *STYLES,
    ):
        assert word in card, word


def test_no_text_stands_in_the_mirror():
    """Not one review equals a text of the public data sets, which must not be
    redistributed and which the minis have read."""
    mirror = os.environ.get("PROMPTTUNE_MIRROR", "")
    if not mirror:
        pytest.skip(
            "NOT CHECKED: whether our reviews are our own; set PROMPTTUNE_MIRROR to a "
            "folder of public data sets."
        )
    ours = {key(row["text"]): row["text"] for name in NAMES for row in rows_of(name)}
    longest, files = (
        2 * max(map(len, ours.values())),
        sorted(Path(mirror).rglob("*.jsonl.gz")),
    )
    assert files, f"{mirror} holds no data set"
    copies = []
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                values = json.loads(line).values()
                copies += [
                    (str(file), v)
                    for v in values
                    if isinstance(v, str) and len(v) <= longest and key(v) in ours
                ]
    assert copies == []
