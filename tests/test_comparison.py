"""Chapter 13's table of methods and `make benchmarks`: each method trains only its own, leaves the backbone alone, and is recorded to the end."""

import json
import math

import pytest
import torch

from prompttune_utils import hub
from prompttune_utils.data import Task, load_task
from prompttune_utils.methods.comparison import (
    METHODS,
    WORDINGS,
    joined,
    parts,
    prepared,
    run,
)
from prompttune_utils.results import FOLDER
from tools import benchmarks


@pytest.fixture(scope="module")
def homes():
    torch.set_num_threads(1)
    return benchmarks.backbones("en")


@pytest.fixture(scope="module")
def task():
    """English reviews, 24 test rows; half of the pool, since nothing here is measured."""
    whole = load_task("reviews-en")
    return Task(
        whole.name, whole.labels, whole.pool[:200], whole.test[:24], whole.language
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_method_runs_and_the_backbones_stay(homes, task, method):
    before = {role: hub.weights_hash(home.model) for role, home in homes.items()}
    rate = METHODS[method].rates[0] if METHODS[method].rates else 0
    first = run(homes, task, WORDINGS["reviews-en"], method, 4, rate, 0, steps=2)
    again = run(homes, task, WORDINGS["reviews-en"], method, 4, rate, 0, steps=2)
    assert (
        0 <= first["accuracy"] == again["accuracy"] <= 1
        and first["train"] > 0
        and first["predict"] > 0
    )
    assert {
        role: hub.weights_hash(home.model) for role, home in homes.items()
    } == before


@pytest.mark.parametrize("method, trained", [
    ("soft prompt", 4 * 192), ("P-tuning v2", 2 * 4 * 16 * 192 + 2 * 193), ("head, encoder frozen", 2 * 193), ("prompt tuning", 20 * 160),
    ("Pfeiffer adapters", 4 * (2 * 192 * 16 + 16 + 192)), ("prompt by hand", 0),
])  # fmt: skip
def test_trained_parameters(homes, task, method, trained):
    made, _, _ = prepared(homes, task, WORDINGS["reviews-en"], method, 4, 0)
    assert (
        sum(p.numel() for p in made.module.parameters() if p.requires_grad)
        if made.module
        else 0
    ) == trained
    assert made.stored() - 4 * trained in range(
        20, 2000
    )  # names and shapes, or the words of the template


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
    """Every method on every task with five draws, the majority beside them, with the shipped weights."""
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
