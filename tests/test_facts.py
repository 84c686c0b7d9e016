"""The packaged facts are what their card says: enough of each relation, one answer
each, and splits that share no subject."""

import json
import re
from collections import Counter

import pytest

from prompttune_utils.hub import ASSETS

FOLDER = ASSETS / "facts"
ROWS = [
    json.loads(line)
    for line in (FOLDER / "facts.jsonl").read_text(encoding="utf-8").splitlines()
]
TEMPLATES = json.loads((FOLDER / "relations.json").read_text(encoding="utf-8"))
SIZES = Counter(row["relation"] for row in ROWS)
SHARES = {"train": 0.5, "dev": 0.2, "test": 0.3}
HAN = "[一-鿿]+"


def test_counts():
    assert len(ROWS) >= 440 and len(SIZES) >= 8 and min(SIZES.values()) >= 30, SIZES
    assert set(SIZES) == set(TEMPLATES)


def test_columns_and_words():
    for row in ROWS:
        assert list(row) == [
            "relation",
            "subject",
            "object",
            "subject_zh",
            "object_zh",
            "split",
        ]
        assert re.fullmatch("[A-Za-z]+( [A-Za-z]+)*", row["subject"]) and re.fullmatch(
            "[A-Za-z]+", row["object"]
        ), row
        assert re.fullmatch(HAN, row["subject_zh"]) and re.fullmatch(
            HAN, row["object_zh"]
        ), row


@pytest.mark.parametrize("column", ["subject", "subject_zh"])
def test_one_answer_for_each_question(column):
    assert [
        key
        for key, n in Counter((row["relation"], row[column]) for row in ROWS).items()
        if n > 1
    ] == []


def test_one_name_in_each_language():
    pairs = {(row["subject"], row["subject_zh"]) for row in ROWS}
    assert len(pairs) == len({en for en, _ in pairs}) == len({zh for _, zh in pairs})


@pytest.mark.parametrize("relation", SIZES)
def test_templates(relation):
    assert {
        language: len(patterns) for language, patterns in TEMPLATES[relation].items()
    } == {"en": 3, "zh": 2}
    for language, patterns in TEMPLATES[relation].items():
        assert len(set(patterns)) == len(patterns)
        assert patterns[0].index("{subject}") < patterns[0].index("{mask}"), patterns[0]
        for pattern in patterns:
            assert sorted(re.findall(r"\{.*?\}", pattern)) == ["{mask}", "{subject}"], (
                pattern
            )
            assert pattern.endswith("。" if language == "zh" else ".") and bool(
                re.search(HAN, pattern)
            ) == (language == "zh"), pattern


@pytest.mark.parametrize("relation", SIZES)
def test_split_shares(relation):
    splits = Counter(row["split"] for row in ROWS if row["relation"] == relation)
    assert set(splits) == set(SHARES)
    for split, share in SHARES.items():
        assert abs(splits[split] / SIZES[relation] - share) < 0.06, (split, splits)


def test_splits_share_no_subject():
    assert len({row["subject"] for row in ROWS}) == len(
        {(row["subject"], row["split"]) for row in ROWS}
    )


def test_opposites_stand_in_one_direction():
    pairs = [row for row in ROWS if row["relation"] == "opposite"]
    assert len(
        {row[column] for row in pairs for column in ("subject", "object")}
    ) == 2 * len(pairs)


def test_card():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    splits = [
        f"`{split}` {n}" for split, n in Counter(row["split"] for row in ROWS).items()
    ]
    for word in (
        f"{len(ROWS)} facts",
        *splits,
        *(f"`{name}` ({n})" for name, n in SIZES.items()),
        "CC BY 4.0",
        "Known limits",
    ):
        assert word in card, word
