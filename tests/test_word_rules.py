"""The packaged word pairs are what their card says: three rules, no pair twice, and an
opposite gives no other one away."""

import json
import re
from collections import Counter

import pytest

from prompttune_utils.hub import ASSETS

FOLDER = ASSETS / "word-rules"
ROWS = [
    json.loads(line)
    for line in (FOLDER / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
]
CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
SIZES = Counter(row["rule"] for row in ROWS)
each_rule = pytest.mark.parametrize("rule", ["antonym", "past", "plural"])


def pairs(rule, *splits):
    return [
        (row["input"], row["output"])
        for row in ROWS
        if row["rule"] == rule and row["split"] in (splits or ("train", "test"))
    ]


def test_columns_and_words():
    for row in ROWS:
        assert list(row) == ["rule", "input", "output", "split"]
        assert re.fullmatch("[a-z]+", row["input"]) and re.fullmatch(
            "[a-z]+", row["output"]
        ), row


def test_card():
    """The counts in total and of each rule, and its example."""
    named = re.findall(r"\| `(\w+)` \((\d+)\) \|.*\| (\w+), (\w+) \|", CARD)
    assert {rule: int(count) for rule, count, *_ in named} == SIZES
    assert CARD.split("\n\n")[1].startswith(f"{len(ROWS)} word pairs under three rules")
    assert [
        rule for rule, _, *example in named if tuple(example) not in pairs(rule)
    ] == []
    for word in (
        "`train` and `test`, 75 and 25 %",
        "CC BY 4.0",
        "Known limits",
        "`rule`, `input`, `output`, `split`",
    ):
        assert word in CARD, word


@each_rule
def test_split_shares(rule):
    assert {row["split"] for row in ROWS} == {"train", "test"}
    assert abs(len(pairs(rule, "test")) - SIZES[rule] / 4) < 1


@each_rule
@pytest.mark.parametrize("column", [0, 1])
def test_no_word_twice(rule, column):
    """One answer for each question, also when the rule is asked backwards."""
    assert [
        word
        for word, n in Counter(pair[column] for pair in pairs(rule)).items()
        if n > 1
    ] == []


@each_rule
def test_splits_share_no_pair(rule):
    """In neither direction."""
    train, test = pairs(rule, "train"), pairs(rule, "test")
    assert set(train).isdisjoint(test) and set(train).isdisjoint(
        (b, a) for a, b in test
    )


def test_opposites_give_no_other_one_away():
    words = Counter(word for pair in pairs("antonym") for word in pair)
    assert len(words) == 2 * SIZES["antonym"], words.most_common(3)
