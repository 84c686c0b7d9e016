"""The packaged word list is what its card says: no word twice, one English word each,
and the pairs that the course names."""

import json
import re
from collections import Counter

import pytest

from prompttune_utils.hub import ASSETS

FOLDER = ASSETS / "zh-en-words"
ROWS = [
    json.loads(line)
    for line in (FOLDER / "words.jsonl").read_text(encoding="utf-8").splitlines()
]


def test_counts_and_shares():
    splits = Counter(row["split"] for row in ROWS)
    assert len(ROWS) >= 700 and set(splits) == {"train", "test"}
    assert splits["test"] == round(len(ROWS) / 5)


def test_columns_and_words():
    for row in ROWS:
        assert list(row) == ["zh", "en", "category", "split"]
        assert re.fullmatch("[一-鿿]+", row["zh"]) and re.fullmatch(
            "[a-z]+", row["en"]
        ), row


@pytest.mark.parametrize("column", ["zh", "en"])
def test_no_word_twice(column):
    """So the splits are disjoint, too."""
    assert [
        word for word, n in Counter(row[column] for row in ROWS).items() if n > 1
    ] == []


def test_every_category_is_in_both_splits():
    categories = {row["category"] for row in ROWS}
    assert len({(row["category"], row["split"]) for row in ROWS}) == 2 * len(categories)


@pytest.mark.parametrize(
    "zh, en, split",
    [
        ("你好", "hello", "train"),
        ("再见", "goodbye", "train"),
        ("购买", "purchase", "train"),
        ("销售", "sell", "test"),
    ],
)
def test_pairs_of_the_course(zh, en, split):
    assert [(row["en"], row["split"]) for row in ROWS if row["zh"] == zh] == [
        (en, split)
    ]


def test_card():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    splits = [
        f"`{split}` {n}" for split, n in Counter(row["split"] for row in ROWS).items()
    ]
    for word in (
        f"{len(ROWS):,}",
        *splits,
        *{row["category"] for row in ROWS},
        "CC BY 4.0",
        "Known limits",
    ):
        assert word in card, word
