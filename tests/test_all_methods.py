"""What every method of the course must do, in one matrix: it learns, beats its
controls, leaves the backbone alone, can be copied and kept, and works on a model with
dropout."""

import copy

import pytest
import torch

from prompttune_utils import hub
from prompttune_utils.evaluation import accuracy, score_rows
from prompttune_utils.method import Method
from prompttune_utils.methods.comparison import METHODS, Job

GOOD = "lovely wonderful great beautiful fantastic excellent amazing perfect".split()
BAD = "terrible awful boring horrible ugly dull disgusting poor".split()
THINGS = "story film book music food hotel room phone".split()
PATTERNS = ["{text} It was {mask}.", "{text} {sep} It was {mask}."]
ROLES = {
    "masked_lm": "mini-bert-s",
    "causal_lm": "mini-gpt-s",
    "seq2seq_lm": "mini-t5",
}
TRAINED = [name for name in METHODS if METHODS[name].rates]
UNTRAINED = [name for name in METHODS if name not in TRAINED]
# no control on random weights: the LSTM has its own, and PPT's teacher, which would be
# random too, labels nothing
WITHOUT_CONTROL = ("word2vec + LSTM", "PPT")
SAVED = ["word2vec + LSTM", "head", "head, encoder frozen", "P-tuning v2"]
STEPS = 40


def rows_of(good: list[str], bad: list[str]) -> list[dict]:
    """A sentence for each thing and word; what the rows of one half say, the rows of
    the other do not."""
    return [
        {"text": f"The {thing} was {word}.", "label": label}
        for thing in THINGS
        for label, words in enumerate((bad, good))
        for word in words
    ]


# words that are trained on are not tested: only a model that knows words generalises
TRAIN, TEST = rows_of(GOOD[:4], BAD[:4])[::2], rows_of(GOOD[4:], BAD[4:])
GOLD = [row["label"] for row in TEST]


@pytest.fixture(scope="module")
def backbones() -> dict:
    torch.set_num_threads(1)
    return {
        role: hub.load(role, name=name, verbose=False).frozen()
        for role, name in ROLES.items()
    }


def made(name: str, backbones: dict, seed: int = 0):
    texts = [{"text": row["text"]} for row in TRAIN]
    job = Job(backbones, ["terrible", "great"], PATTERNS, TRAIN, texts, seed)
    torch.manual_seed(seed)
    return METHODS[name].make(job)


def trained(name: str, backbones: dict, steps: int = STEPS):
    ready = made(name, backbones)
    ready.train(METHODS[name].rate(METHODS[name].rates[-1], backbones), steps)
    return ready


def reached(ready) -> float:
    return accuracy(score_rows(TEST, ready.scores), GOLD)


def noise(backbones: dict) -> dict:
    return {role: b.reinitialised(7).frozen() for role, b in backbones.items()}


@pytest.mark.parametrize("name", TRAINED)
def test_learns_and_beats_its_controls(name, backbones):
    before = {role: hub.weights_hash(b.model) for role, b in backbones.items()}
    gradients = [
        p.requires_grad for b in backbones.values() for p in b.model.parameters()
    ]
    start = made(name, backbones).loss(TRAIN).item()
    ready = trained(name, backbones)
    assert ready.loss(TRAIN).item() < 0.9 * start
    assert {role: hub.weights_hash(b.model) for role, b in backbones.items()} == before
    assert gradients == [
        p.requires_grad for b in backbones.values() for p in b.model.parameters()
    ]
    if name in WITHOUT_CONTROL:
        return
    control = reached(trained(name, noise(backbones)))
    assert reached(ready) > control + 0.1


@pytest.mark.parametrize("name", TRAINED)
def test_a_copy_is_independent(name, backbones):
    ready = trained(name, backbones, steps=2)
    other = copy.deepcopy(ready)
    before = score_rows(TEST[:8], ready.scores)
    assert torch.equal(score_rows(TEST[:8], other.scores), before)
    with torch.no_grad():
        for parameter in other.module.parameters():
            parameter.add_(0.1)
    assert torch.equal(score_rows(TEST[:8], ready.scores), before)


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_method_comes_back(name, backbones, tmp_path):
    ready = trained(name, backbones, steps=2)
    ready.module.save(tmp_path / "kept.safetensors")
    other = made(name, backbones, seed=1)
    before = score_rows(TEST[:8], ready.scores)
    assert not torch.equal(score_rows(TEST[:8], other.scores), before)
    other.module.load(tmp_path / "kept.safetensors")
    assert torch.equal(score_rows(TEST[:8], other.scores), before)


def test_every_method_that_can_be_saved_is_in_the_matrix(backbones):
    modules = {name: made(name, backbones).module for name in TRAINED}
    assert {name for name in TRAINED if isinstance(modules[name], Method)} == {*SAVED}


@pytest.mark.parametrize("name", TRAINED)
def test_works_on_a_model_with_dropout(name, backbones):
    dropping = {role: backbone.copy() for role, backbone in backbones.items()}
    for backbone in dropping.values():
        for module in backbone.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.3
    dropping = {role: backbone.frozen() for role, backbone in dropping.items()}
    ready = trained(name, dropping, steps=2)
    one, two = (score_rows(TEST[:8], ready.scores) for _ in range(2))
    assert torch.equal(one, two)
    assert not any(
        module.training for b in dropping.values() for module in b.model.modules()
    )


@pytest.mark.parametrize("name", UNTRAINED)
def test_answers_without_training(name, backbones):
    ready = made(name, backbones)
    scores = score_rows(TEST, ready.scores)
    assert scores.shape == (len(TEST), 2) and scores.isfinite().all()
    assert ready.module is None and ready.stored() > 0
