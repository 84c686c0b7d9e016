"""Chapter 13's runner: what it measures, on which rows, and for how long."""

import pytest
import torch

from prompttune_utils import hub
from prompttune_utils.cache import unpack
from prompttune_utils.data import load_task
from prompttune_utils.methods import comparison
from prompttune_utils.methods.comparison import (
    METHODS,
    STEPS,
    Entry,
    cut,
    job_of,
    measured,
    run,
    size_of,
)
from prompttune_utils.splits import rows_to_test, train_and_dev

ROLES = {"masked_lm": "mini-bert-s", "causal_lm": "mini-gpt-s"}


class Always:
    """Says how often it was asked, and always label 1."""

    trainable = 0

    def __init__(self):
        self.asked = []

    def logits(self, rows):
        self.asked += [row["text"] for row in rows]
        return torch.tensor([[0.0, 1.0]] * len(rows))


@pytest.fixture
def always(monkeypatch):
    """A method that trains nothing and answers always the same."""
    torch.set_num_threads(1)
    model = Always()
    entry = Entry(lambda job, rate: (model, None))
    monkeypatch.setitem(METHODS, "always", entry)
    return model


def test_run_measures_on_test_and_dev_rows(always):
    task = load_task("reviews-en")
    found = run("always", "reviews-en", 4)
    test, (_, dev) = rows_to_test(task, 400), train_and_dev(task, 4, 0)
    gold = torch.tensor([row["label"] for row in test])
    assert unpack(found["right"]).tolist() == (gold == 1).tolist()
    assert found["AUC"] == 0.5 and "dev" not in found
    found = run("always", "reviews-en", 4, choosing=True)
    assert found == {"dev": sum(row["label"] for row in dev) / len(dev)}


def test_choosing_reads_no_test_row(always):
    found = run("always", "reviews-en", 4, choosing=True)
    test = {row["text"] for row in rows_to_test(load_task("reviews-en"), 400)}
    assert "right" not in found and not test & set(always.asked)


def test_the_prior_is_taken_out():
    def logits(rows):  # always label 1, and more so for the first text
        return torch.tensor([[0.0, 3.0 if row["text"] == "a" else 1.0] for row in rows])

    rows = [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
    model = Always()
    model.logits = logits
    found = measured(model, rows, [{"text": "a"}, {"text": "b"}])
    assert unpack(found["right"]).tolist() == [True, False]
    assert unpack(found["prior out"]).tolist() == [True, True]


@pytest.mark.parametrize(
    "count, labels, size",
    [
        (8, 2, "few"),
        (32, 2, "few"),
        (64, 4, "few"),
        (65, 4, "many"),
        (6720, 2, "many"),
    ],
)
def test_how_long_depends_on_the_rows(count, labels, size):
    assert size_of([{}] * count, labels) == size and size in STEPS


def test_a_job_gives_no_label_of_raw_texts():
    home = hub.load("masked_lm", name="mini-bert-s", verbose=False)
    rows, _ = train_and_dev(load_task("news-en"), 4, 0)
    job = job_of("news-en", home, rows, 0)
    assert len(job.rows) == 16 and len(job.words) == 4 and len(job.texts) == 64
    assert not any("label" in row for row in job.texts + job.raw)


def test_training_moves_what_it_should_and_says_how_it_went():
    found = run("LoRA", "reviews-en", 4, rate=1e-3, steps=4, choosing=True)
    assert set(found) == {"dev", "half", "three quarters", "losses"}
    assert len(found["losses"]) == 2


def test_random_weights_are_others():
    """A head on them is another head."""
    own, noise = (
        run("head alone", "reviews-en", 16, rate=0.1, weights=weights)["AUC"]
        for weights in ("own", "random")
    )
    assert own > noise + 0.1


@pytest.mark.parametrize("role", ["masked_lm", "causal_lm"])
def test_a_text_is_cut_and_stays_what_it_was(role):
    home = hub.load(role, name=ROLES[role], verbose=False)
    rows = [
        {"text": text, "label": 1}
        for text in ("A fine  </s> day [MASK]!", "", "很好 的 酒店，very   good。")
    ]
    short = cut(home.tokenizer, rows, 4)
    for row, other in zip(rows, short, strict=True):
        assert row["text"].startswith(other["text"]) and other["label"] == 1
        how = {"add_special_tokens": False, "split_special_tokens": True}
        whole, part = (home.tokenizer(r["text"], **how).input_ids for r in (row, other))
        assert part == whole[:4]
    assert cut(home.tokenizer, rows, 100) == [
        row | {"text": row["text"].rstrip()} for row in rows
    ]


def test_each_label_has_a_demonstration():
    home = hub.load("causal_lm", name="mini-gpt-s", verbose=False)
    rows, _ = train_and_dev(load_task("news-en"), 4, 0)
    model, _ = comparison.in_context(job_of("news-en", home, rows, 0))
    shown = home.tokenizer.decode(model.prefix)
    assert all(word in shown for word in ("world", "sports", "business", "technology"))
