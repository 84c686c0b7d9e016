"""The packaged pairs for inference are what their card says: balanced, distinct, and
not solved by the hypothesis alone."""

import json
import re
from collections import Counter

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from test_datasets import key, near_pairs

from prompttune_utils.hub import ASSETS

FOLDER = ASSETS / "nli-en"
CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
LABELS = ["entailment", "neutral", "contradiction"]
NEGATION = re.compile(
    r"\b(no|not|never|nobody|nothing|none|without|cannot|longer)\b|n't\b", re.I
)
SPLITS = {
    s: [
        json.loads(line)
        for line in (FOLDER / f"{s}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    for s in ("pool", "test")
}
ROWS = SPLITS["pool"] + SPLITS["test"]


@pytest.mark.parametrize("split", SPLITS)
def test_counts_and_balance(split):
    rows = SPLITS[split]
    assert len(rows) == 162
    assert Counter((row["id"], row["label"]) for row in rows) == {
        (i, label): 1 for i in {row["id"] for row in rows} for label in LABELS
    }
    assert [row["id"] for row in rows] != sorted(row["id"] for row in rows), (
        "the rows are not shuffled"
    )


def test_columns_and_lengths():
    for row in ROWS:
        assert list(row) == ["text", "text_b", "label", "id"]
        for text, shortest, longest in ((row["text"], 6, 25), (row["text_b"], 3, 14)):
            assert (
                text == " ".join(text.split())
                and text.isascii()
                and text.isprintable()
                and text[-1] in ".?!"
            ), text
            assert shortest <= len(text.split()) <= longest, text


def test_premises_and_hypotheses_are_distinct():
    assert {row["id"] for row in ROWS} == set(range(1, 109))
    premises = {row["id"]: row["text"] for row in ROWS}
    assert (
        all(premises[row["id"]] == row["text"] for row in ROWS)
        and len(set(map(key, premises.values()))) == 108
    )
    assert near_pairs(list(premises.values())) == []  # over both splits
    assert (
        len({key(row["text_b"]) for row in ROWS} | set(map(key, premises.values())))
        == len(ROWS) + 108
    )


def test_splits_share_no_premise():
    assert {row["id"] for row in SPLITS["pool"]} & {
        row["id"] for row in SPLITS["test"]
    } == set()


def test_the_hypothesis_alone_does_not_give_the_label_away():
    labels, groups = (
        np.array([row["label"] for row in ROWS]),
        np.array([row["id"] for row in ROWS]),
    )
    counts = CountVectorizer(token_pattern=r"\w+").fit_transform(
        [row["text_b"] for row in ROWS]
    )
    assert Counter(
        row["label"] for row in ROWS if NEGATION.search(row["text_b"])
    ) == dict.fromkeys(LABELS, 24)
    accuracies = []
    for seed in range(5):
        shuffled = np.random.default_rng(seed).permutation(109)[
            groups
        ]  # other folds, still whole premises
        accuracies.append(
            cross_val_score(
                LogisticRegression(max_iter=500),
                counts,
                labels,
                groups=shuffled,
                cv=GroupKFold(5),
            ).mean()
        )
    mean = np.mean(accuracies)
    assert mean < 0.45
    assert mean == pytest.approx(
        float(re.search(r"accuracy of\s+(0\.\d+)", CARD)[1]), abs=0.03
    ), "the card gives another accuracy"


def test_card():
    """The counts of the card are those of the files, the columns those of the rows."""
    premises = len({row["id"] for row in ROWS})
    said = " ".join(CARD.split())
    for phrase in (
        f"{len(ROWS)} pairs of an English premise and a hypothesis",
        f"(the number of the premise, 1 to {premises})",
        f"Each of the {premises} premises has three hypotheses",
        *(f"`{split}` {len(rows)}" for split, rows in SPLITS.items()),
        *(f"`{column}` (" for column in ROWS[0]),
        f"({', '.join(f'`{label}`' for label in LABELS)})",
        "CC BY 4.0",
        "Known limits",
    ):
        assert phrase in said, phrase
