"""Chapter 13's table of methods and `make benchmarks`: each method reads the texts,
learns from its rows, trains only its own, leaves the backbones alone, and is recorded
to the end."""

import json
import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from prompttune_utils import hub
from prompttune_utils.data import Task, load_task
from prompttune_utils.evaluation import accuracy, score_rows
from prompttune_utils.methods import comparison
from prompttune_utils.methods.comparison import (
    METHODS,
    WORDINGS,
    Method,
    Ready,
    cut,
    joined,
    parts,
    prepared,
    run,
)
from prompttune_utils.results import FOLDER
from tools import benchmarks

WORDING = WORDINGS["reviews-en"]


@pytest.fixture(scope="module")
def homes():
    torch.set_num_threads(1)
    roles = ("masked_lm", "causal_lm", "seq2seq_lm")
    return {role: hub.load_v1(role, verbose=False) for role in roles}


@pytest.fixture(scope="module")
def task():
    """English reviews, 24 test rows; half of the pool, since nothing here is measured
    closely."""
    whole = load_task("reviews-en")
    return Task(
        whole.name, whole.labels, whole.pool[:200], whole.test[:24], whole.language
    )


def gold(rows):
    return torch.tensor([row["label"] for row in rows])


def loss_of(made, rows):
    """Loss by the scores, whatever the method itself minimizes."""
    return cross_entropy(score_rows(rows, made.scores), gold(rows)).item()


def trained(homes, task, method, steps=10):
    """(method trained on 8 rows at its higher rate, these rows, test rows, the loss on
    the former before; that of guessing where nothing trains or PET has no student)."""
    made, job, rows = prepared(homes, task, WORDING, method, 4, 0)
    before = math.log(2)
    if made.module is not None:
        before = before if method == "PET" else loss_of(made, job.train)
        rate = METHODS[method].rates[-1]
        made.train(METHODS[method].rate(rate, homes), steps)
    return made, job.train, rows, before


def faults(made, train, rows, before):
    """What a method does not do that each should."""
    scores = score_rows(rows, made.scores)
    found = []
    if scores.shape != (len(rows), 2) or not scores.isfinite().all():
        found.append("gives no score for each row and label")
    if (scores[:, 1] - scores[:, 0]).std() < 0.01:
        found.append("does not read the texts")
    if not loss_of(made, train) < before:
        found.append("has not learned its rows")
    return found


@pytest.mark.parametrize("method", METHODS)
def test_a_method_reads_and_learns_and_the_backbones_stay(homes, task, method):
    before = {role: hub.weights_hash(home.model) for role, home in homes.items()}
    made, train, rows, loss = trained(homes, task, method)
    found = faults(made, train, rows, loss)
    if method == "in-context learning":  # near chance on reviews, see the chapter
        found = [fault for fault in found if "learned" not in fault]
    assert found == []
    again = trained(homes, task, method)[0]
    assert torch.equal(score_rows(rows, made.scores), score_rows(rows, again.scores))
    for role, home in homes.items():
        assert hub.weights_hash(home.model) == before[role]
        assert all(p.requires_grad and p.grad is None for p in home.model.parameters())


def constant(job):
    return Ready(lambda rows: torch.tensor([[0.0, 1.0]] * len(rows)), lambda: 0)


def turned(job):
    """Learns, and names the labels the wrong way round."""
    made = comparison.head(job)
    scores = made.scores
    made.scores = lambda rows: scores(rows).flip(-1)
    return made


def untaught(job):
    """Has parameters and a training that leaves them as they are."""
    made = comparison.head(job)
    made.train = lambda rate, steps: None
    return made


@pytest.mark.parametrize(
    "make, rates, fault",
    [
        (constant, (), "does not read the texts"),
        (turned, (1,), "has not learned its rows"),
        (untaught, (1,), "has not learned its rows"),
    ],
)
def test_a_method_that_does_nothing_is_noticed(
    make, rates, fault, homes, task, monkeypatch
):
    entry = Method(make, 0, "none", "all", rates, "head_learning_rate")
    monkeypatch.setitem(METHODS, "spoiled", entry)
    assert fault in faults(*trained(homes, task, "spoiled"))


def test_run_measures_what_the_method_answers(homes, task):
    found = run(homes, task, WORDING, "prompt by hand", 4, 0, 0)
    made, _, rows = prepared(homes, task, WORDING, "prompt by hand", 4, 0)
    scores = score_rows(rows, made.scores)
    assert found["accuracy"] == accuracy(scores, [row["label"] for row in rows]) > 0.5
    assert found["train"] > 0 and found["predict"] > 0


# PPT trains as the soft prompt does, once it has been pre-trained
@pytest.mark.parametrize("method", [m for m in METHODS if m != "PPT"])
def test_answers_after_training_do_not_depend_on_dropout(homes, task, method):
    """The minis have none; with some, the score of a text is the same each time."""
    dropping = {role: home.copy() for role, home in homes.items()}
    for home in dropping.values():
        for module in home.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.3
    made, _, rows, _ = trained(dropping, task, method, steps=1)
    first, again = (score_rows(rows, made.scores) for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize(
    "method, trained",
    [
        ("soft prompt", 4 * 192),
        ("P-tuning v2", 2 * 4 * 16 * 192 + 2 * 193),
        ("head, encoder frozen", 2 * 193),
        ("prompt tuning", 20 * 160),
        ("Pfeiffer adapters", 4 * (2 * 192 * 16 + 16 + 192)),
        ("prompt by hand", 0),
    ],
)
def test_trained_parameters(homes, task, method, trained):
    made, _, _ = prepared(homes, task, WORDING, method, 4, 0)
    free = made.module.parameters() if made.module else []
    assert sum(p.numel() for p in free if p.requires_grad) == trained
    # names and shapes, or the words of the template
    assert made.stored() - 4 * trained in range(20, 2000)


def test_what_does_not_fit_is_refused(homes, task):
    with pytest.raises(ValueError, match="There is no method 'soft': choose one of"):
        prepared(homes, task, WORDING, "soft", 4, 0)
    alone = {"masked_lm": homes["masked_lm"]}
    with pytest.raises(ValueError, match="prefix-tuning needs a seq2seq_lm: load one"):
        prepared(alone, task, WORDING, "prefix-tuning", 4, 0)
    for words, patterns in ((["bad"], WORDING[1]), (WORDING[0], [])):
        with pytest.raises(ValueError, match="give a word for each label, and one"):
            prepared(homes, task, (words, patterns), "prompt by hand", 4, 0)
    with pytest.raises(ValueError, match="PET has no student before its training"):
        run(homes, task, WORDING, "PET", 4, 1, 0, steps=0)
    for shots in (0, -1):
        with pytest.raises(ValueError):  # and not all rows, as for None
            parts(task, shots, 0, False)


def test_dev_rows_share_no_text_with_the_rows_trained_on(task):
    """Of a pool that holds each text twice."""
    pool = task.pool[:60]
    again = [row | {"text": row["text"].upper() + " "} for row in pool]
    twice = Task("twice", task.labels, pool + again, task.test)
    train, dev, _ = parts(twice, None, 0, choosing=True)
    assert dev and not (
        {row["text"].lower().strip() for row in train}
        & {row["text"].lower().strip() for row in dev}
    )


def test_control_tokens_in_a_text_stay_text(homes):
    """mini-gpt writes what it has cut into pieces with spaces between them."""
    texts = cut(homes["causal_lm"], [{"text": "a fine </s> day"}], 40)
    assert texts == ["a fine < / s > day"]


def test_each_label_has_a_demonstration(homes):
    words = "one two three four five six seven eight nine ten".split()
    rows = [{"text": f"row {i}", "label": i % 10} for i in range(80)]
    counted = Task("numbers", words, rows, rows[:4])
    shown = prepared(
        homes, counted, (words, ["{text} {mask}"]), "in-context learning", 1, 0
    )
    assert shown[0].stored() >= len("".join(words))


@pytest.mark.parametrize(
    "shots, choosing", [(4, False), (4, True), (None, False), (None, True)]
)
def test_rows_are_apart(task, shots, choosing):
    train, measured, unlabelled = parts(task, shots, 0, choosing)
    texts = [{row["text"] for row in rows} for rows in (train, measured, unlabelled)]
    assert (
        all(texts)
        and not texts[0] & texts[1]
        and not texts[0] & texts[2]
        and not texts[1] & texts[2]
    )
    assert not any("label" in row for row in unlabelled) and len(unlabelled) == 50
    assert len(train) == 8 if shots else len(train) == (113 if choosing else 150)


def test_pairs_become_one_text():
    assert joined(
        [{"text": "a", "text_b": "b", "label": 1}, {"text": "c", "label": 0}]
    ) == [{"text": "a b", "label": 1}, {"text": "c", "label": 0}]


def test_benchmarks_are_recorded_to_the_end(homes):
    """Every method on every task with five draws, the majority beside them, with the
    shipped weights."""
    entries = json.loads((FOLDER / "benchmarks.json").read_text(encoding="utf-8"))
    weights = "+".join(
        {home.name: hub.weights_hash(home.model) for home in homes.values()}.values()
    )
    assert {entry["weights"] for entry in entries} == {weights}
    seeds: dict[tuple, set] = {}
    for entry in entries:
        if (
            entry["settings"].get("run") == "benchmark"
            and entry["settings"]["settings"][3]
        ):
            seeds.setdefault(tuple(entry["settings"]["settings"][:2]), set()).add(
                entry["settings"]["seed"]
            )
    assert seeds == {
        (task, method): set(range(5)) for task in benchmarks.TASKS for method in METHODS
    }
    assert {
        e["settings"]["majority"] for e in entries if "majority" in e["settings"]
    } == {*benchmarks.TASKS, "multiarith", "gsm8k"}
    assert all(
        math.isfinite(e["value"]["accuracy"])
        for e in entries
        if e["settings"].get("run") == "benchmark"
    )
