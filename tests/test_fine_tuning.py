"""The head of chapter 2: pooling, the probe, and the names that other chapters use."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from prompttune_utils import hub
from prompttune_utils.methods.fine_tuning import HeadClassifier, pool, probe
from prompttune_utils.training import fit

ROWS = [
    {"text": "a warm and funny book", "label": 1},
    {"text": "dull", "label": 0},
    {"text": "the soup was cold", "label": 0},
    {"text": "we loved every minute of it", "label": 1},
    {"text": "the train leaves at nine", "label": 2},
    {"text": "a table, two chairs", "label": 2},
]


@pytest.fixture(scope="module")
def mini():
    torch.set_num_threads(1)
    return hub.load("masked_lm", name="mini-bert-s", verbose=False)


def head(backbone, labels):
    torch.manual_seed(0)
    return HeadClassifier(backbone, labels, pooling="mean")


def test_pool_by_hand():
    states = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert pool(states, mask, "cls").tolist() == [[1.0, 2.0]]
    assert pool(states, mask, "mean").tolist() == [[2.0, 3.0]]
    with pytest.raises(ValueError, match="no pooling 'max': choose cls or mean"):
        pool(states, mask, "max")


@pytest.mark.parametrize("labels", [2, 3])
def test_a_probe_answers_as_logistic_regression_does(mini, labels):
    """With two labels scikit-learn keeps one row of W, and the head has two."""
    method, rows = head(mini, labels), [row for row in ROWS if row["label"] < labels]
    before = hub.weights_hash(method.model)
    probe(method, rows, strength=0.3)
    with torch.no_grad():
        h = method.vectors(rows).numpy()
    by_hand = LogisticRegression(C=0.3, max_iter=2000).fit(
        h, [r["label"] for r in rows]
    )
    found = method.score(rows).softmax(-1).numpy()
    np.testing.assert_allclose(found, by_hand.predict_proba(h), atol=1e-3)
    assert hub.weights_hash(method.model) == before
    assert method.hits(rows).all()


def test_a_probe_needs_rows_of_every_label(mini):
    with pytest.raises(ValueError, match="No row has the label 2: give at least one"):
        probe(head(mini, 3), ROWS[:4])


def test_the_parts_have_learning_rates_of_their_own(mini):
    method = head(mini, 3)
    before = {name: p.clone() for name, p in method.named_parameters()}
    fit(method, ROWS, learning_rate={"model": 1e-6, "head": 1e-2}, steps=3)
    moved = {"model": 0.0, "head": 0.0}
    for name, p in method.named_parameters():
        part = name.partition(".")[0]
        moved[part] = max(moved[part], (p - before[name]).abs().max().item())
    assert 0 < moved["model"] < 1e-5 and moved["head"] > 1e-3


def test_the_old_name_of_the_model(mini):
    """`encoder` is `model`, also when another module is put in its place."""
    method = head(mini, 3)
    assert method.encoder is method.model
    other = torch.nn.Identity()
    method.encoder = other
    assert method.model is other and "encoder" not in dict(method.named_children())
