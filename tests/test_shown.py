"""What appendix A1 says of the training text is what the recipes do."""

import json

import pytest

from pretraining import documents, masked_lm, next_token, span_corruption
from prompttune_utils import hub

SAID = json.loads((hub.ASSETS / "pretraining.json").read_text(encoding="utf-8"))
GROUPS = {
    "English reviews": "en_reviews",
    "Chinese reviews": "zh_reviews",
    "other English": "en_other",
    "other Chinese": "zh_other",
}
KINDS = {
    "lists of pairs under one rule": "list",
    "word problems": "problems",
    "rows that come a second time": "repeat",
    "reference pages": "reference",
    "questions and answers": "questions",
    "sums": "sums",
}


@pytest.mark.parametrize(
    ("mini", "mixture"),
    [
        ("mini-bert", masked_lm.MIXTURE),
        ("mini-gpt", next_token.MIXTURE),
        ("mini-t5", span_corruption.MIXTURE),
    ],
)
def test_shares_of_the_text(mini, mixture):
    said = dict(SAID["text"][mini])
    assert said.pop("all of it") == (next_token.REAL if mini == "mini-gpt" else 1)
    assert {GROUPS[name]: share for name, share in said.items()} == mixture


def test_shares_of_the_made_documents():
    said = SAID["made documents"]
    assert {KINDS[name]: share for name, share in said.items()} == documents.KINDS


def test_levers():
    recipe = masked_lm.Recipe()
    wanted = [
        *masked_lm.MASKED,
        recipe.opinion,
        recipe.verdict,
        next_token.COPY_UNTIL,
        next_token.COPIES,
        next_token.ASKED_GIVEN,
        span_corruption.WORDS,
        span_corruption.PREFIX_LM[0],
        span_corruption.LATE,
        span_corruption.PREFIX_LM[1],
        span_corruption.VERDICTS,
    ]
    assert [lever["share"] for lever in SAID["levers"]] == wanted
    assert next_token.ASKED_REAL == 1  # "all of the real text"


def test_phases_lie_inside_the_curves():
    for mini, phase in SAID["phases"].items():
        curve = json.loads((hub.ASSETS / mini / "training.json").read_text())
        last = curve[-1]["tokens"] / 1e6
        assert 0 <= phase["from"] < phase["to"] <= 1.05 * last, mini


def test_what_the_chapter_says_was_left_out():
    words = {word for pair in documents.OPINIONS for word in pair}
    assert words.isdisjoint({"negative", "positive", "差", "好"})
    triggers = " ".join(t for kind in documents.TRIGGERS.values() for t in kind)
    assert "let's think step by step." not in triggers
    assert "让我们一步一步来思考。" not in triggers


def test_both_trainings_of_the_small_bert_were_measured_alike():
    """After the same tenths of their time, on the same rows and template."""
    folder = hub.ASSETS / "mini-bert-s"
    one, two = (
        json.loads((folder / f"tenths{which}.json").read_text(encoding="utf-8"))
        for which in ("", "-second")
    )
    shared = set(one[0]) & set(two[0]) - {"tokens"}
    assert len(one) == len(two) == 10 and shared
    for rows in (one, two):
        read = [row["tokens"] for row in rows]
        assert read == sorted(read)
        assert all(
            0 < value < 1 for row in rows for key in shared for value in row[key]
        )
