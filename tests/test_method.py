"""The type of all methods: what is trained, what is frozen, calibration, saving."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from prompttune_utils import hub
from prompttune_utils.evaluation import auc
from prompttune_utils.method import Method
from prompttune_utils.training import fit

ROWS = [
    {"text": "a warm and funny book", "label": 1},
    {"text": "dull", "label": 0},
    {"text": "the soup was cold", "label": 0},
    {"text": "we loved every minute of it", "label": 1},
]


class Probe(Method):
    """A new layer over the frozen model's first hidden state."""

    def __init__(self, backbone, labels=2):
        super().__init__(backbone, labels)
        self.head = nn.Linear(backbone.model.config.hidden_size, labels)

    def forward(self, rows):
        texts = [row["text"] for row in rows]
        inputs = self.tokenizer(texts, padding=True, return_tensors="pt")
        states = self.model.bert(**inputs.to(self.device)).last_hidden_state
        return self.head(states[:, 0])


@pytest.fixture(scope="module")
def mini():
    torch.set_num_threads(1)
    return hub.load("masked_lm", name="mini-bert-s", verbose=False)


@pytest.fixture
def dropping(mini):
    """The same model with dropout, which the minis do not have."""
    backbone = mini.copy()
    for module in backbone.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    return backbone


def probe(backbone, seed=0, labels=2):
    torch.manual_seed(seed)
    return Probe(backbone.frozen(), labels)


def test_a_method_says_what_it_lacks(mini):
    with pytest.raises(NotImplementedError, match="Method has no forward: write one"):
        Method(mini, 2).logits(ROWS)


def test_fit_trains_what_requires_a_gradient_and_nothing_else(mini):
    before = hub.weights_hash(mini.model)
    method = probe(mini)
    assert method.trainable == 2 * 128 + 2
    losses = fit(method, ROWS, learning_rate=1e-2, steps=30, batch_size=4)
    assert losses[-1] < losses[0] / 2
    assert method.predict(ROWS) == [1, 0, 0, 1]
    assert method.hits([*ROWS, ROWS[0] | {"label": 0}]).tolist() == [True] * 4 + [False]
    assert hub.weights_hash(mini.model) == before


def test_what_is_frozen_keeps_its_dropout_off(dropping):
    method = probe(dropping)
    quiet = method.loss(ROWS).item()
    method.train()
    assert method.training and not method.model.training
    assert method.loss(ROWS).item() == quiet
    free = Probe(dropping)  # all weights free
    free.train()
    assert free.model.training
    assert free.loss(ROWS).item() != free.loss(ROWS).item()
    # the lower layer frozen, the rest free
    free.model.bert.encoder.layer[0].requires_grad_(False)
    free.train()
    first, second = free.model.bert.encoder.layer
    modes = [m.training for m in (*first.modules(), second, second.output.dropout)]
    assert modes == [False] * (len(modes) - 2) + [True, True]


def test_a_copy_is_independent(mini):
    method = probe(mini)
    other = copy.deepcopy(method)
    before = method.score(ROWS)
    fit(other, ROWS, learning_rate=1e-2, steps=3, batch_size=4)
    assert torch.equal(method.score(ROWS), before)
    assert not torch.equal(other.score(ROWS), before)


def test_calibration_takes_the_average_answer_out(mini):
    method = probe(mini)
    plain = method.score(ROWS).numpy()
    method.calibrate(ROWS)
    calibrated = method.score(ROWS).numpy()
    # by hand: log-probabilities minus their mean over the texts
    logs = np.log(np.exp(plain) / np.exp(plain).sum(1, keepdims=True))
    by_hand = logs - logs.mean(0)
    gaps = calibrated[:, 1] - calibrated[:, 0]
    assert np.allclose(gaps, by_hand[:, 1] - by_hand[:, 0], atol=1e-5)
    assert abs(gaps.mean()) < 1e-5 < abs((plain[:, 1] - plain[:, 0]).mean())
    method.calibrate(ROWS)  # again: the plain answers are averaged, not these
    assert np.allclose(method.score(ROWS), calibrated, atol=1e-6)
    with pytest.raises(ValueError, match="list of rows is empty"):
        method.calibrate([])


def test_a_saved_method_comes_back(mini, tmp_path):
    method = probe(mini)
    fit(method, ROWS, learning_rate=1e-2, steps=5, batch_size=4)
    method.calibrate(ROWS)
    file = tmp_path / "reviews.safetensors"
    method.save(file)
    assert file.stat().st_size < 4 * method.trainable + 1000
    assert [f.name for f in tmp_path.iterdir()] == [file.name]
    again = probe(mini, seed=1).load(file)
    assert torch.equal(again.score(ROWS), method.score(ROWS))
    without = probe(mini)
    without.save(file)  # no prior in it
    assert again.load(file).prior is None


def test_a_file_of_something_else_is_refused(mini, tmp_path):
    file = tmp_path / "reviews.safetensors"
    method = probe(mini)
    method.save(file)
    before = method.score(ROWS)
    with pytest.raises(ValueError, match="labels 2 and this one has labels 3: build"):
        probe(mini, labels=3).load(file)
    other = mini.reinitialised(0)
    with pytest.raises(ValueError, match="trained with frozen weights .* build the me"):
        probe(other).load(file)

    class Other(Probe):
        pass

    with pytest.raises(ValueError, match="trained with method Probe and this one has"):
        Other(mini.frozen()).load(file)
    content = file.read_bytes()
    for damage in (content[:100], b"", content[:-5]):
        file.write_bytes(damage)
        with pytest.raises(ValueError, match="cannot be read as a saved method"):
            method.load(file)
    with pytest.raises(ValueError, match="cannot be read as a saved method"):
        method.load(tmp_path / "none")
    assert torch.equal(method.score(ROWS), before)


def test_parts_have_rates_of_their_own(mini):
    def moved(rates):
        method = Probe(mini.copy())
        start = {n: p.clone() for n, p in method.named_parameters()}
        fit(method, ROWS, learning_rate=rates, steps=1, warmup=0, weight_decay=0)
        return {
            part: max(
                (p - start[n]).abs().max().item()
                for n, p in method.named_parameters()
                if n.startswith(part)
            )
            for part in ("model", "head")
        }

    torch.manual_seed(0)
    steps = moved({"model": 1e-5, "head": 1e-2})  # Adam's first step is the rate
    assert steps["model"] == pytest.approx(1e-5, rel=0.05)
    assert steps["head"] == pytest.approx(1e-2, rel=0.05)
    with pytest.raises(ValueError, match="head.weight is in 0 of the parts .*: give"):
        moved({"model": 1e-5})
    with pytest.raises(ValueError, match="rate for heat, where nothing is trained: ta"):
        moved({"model": 1e-5, "head": 1e-2, "heat": 1.0})
    with pytest.raises(ValueError, match="learning_rate is -1: give a number above 0"):
        moved({"model": 1e-5, "head": -1})


def test_random_weights_are_drawn_from_their_seed(mini):
    state = torch.get_rng_state()
    one, same, other = (mini.reinitialised(seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    hashes = [hub.weights_hash(b.model) for b in (one, same, other, mini)]
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3
    assert one.model.config.to_dict() == mini.model.config.to_dict()
    assert all(p.requires_grad for p in one.model.parameters())


def test_auc_does_not_depend_on_a_threshold():
    scores = torch.tensor([[0.0, -9.0], [0.0, -8.0], [0.0, -7.0], [0.0, -6.0]])
    assert auc(scores, [0, 0, 1, 1]) == 1.0
    assert auc(scores, [0, 1, 0, 1]) == 0.75
    with pytest.raises(ValueError, match="The AUC is of two labels"):
        auc(scores, [0, 0, 0, 0])
