"""What every method of the course must do, in one matrix: it learns, beats its
controls, leaves the backbone alone, can be copied and kept, and works on a model with
dropout."""

import copy
from types import SimpleNamespace

import pytest
import torch

from prompttune_utils import hub
from prompttune_utils.evaluation import accuracy, score_rows
from prompttune_utils.methods.comparison import (
    ABOUT,
    METHODS,
    CountedWords,
    Job,
    kept,
)
from prompttune_utils.training import fit

GOOD = "lovely wonderful great beautiful fantastic excellent amazing perfect".split()
BAD = "terrible awful boring horrible ugly dull disgusting poor".split()
THINGS = "story film book music food hotel room phone".split()
ROLES = {"masked_lm": "mini-bert-s", "causal_lm": "mini-gpt-s"}
TRAINED = [name for name in METHODS if METHODS[name].chosen == "learning rate"]
OTHERS = [name for name in METHODS if name not in TRAINED]
# a rate at which the small mini learns in a few steps
RATES = {"P-tuning": 3e-3, "prompt tuning": 0.1, "PPT": 0.1, "P-tuning v2": 0.3}
RATES |= {"adapters": 5e-3, "LoRA": 1e-2}
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


def job_of(name: str, backbones: dict, seed: int = 0) -> Job:
    texts = [{"text": row["text"]} for row in TRAIN]
    more = "We had a long day at an old house near some river with many friends."
    raw = [*texts, {"text": more}]  # a prompt of 20 starts from 20 words
    words = "{text} It was {mask}.", ["terrible", "great"], "Good or bad? "
    return Job(backbones[METHODS[name].role], TRAIN, texts, raw, *words, 1.0, seed)


def made(name: str, backbones: dict, seed: int = 0) -> SimpleNamespace:
    """A method as it is made: the model, the rates of its parts, its job."""
    torch.manual_seed(seed)
    job = job_of(name, backbones, seed)
    model, rates = METHODS[name].make(job, RATES.get(name, 1e-3))
    return SimpleNamespace(model=model, rates=rates, job=job)


def trained(name: str, backbones: dict, steps: int = STEPS):
    new = made(name, backbones)
    fit(new.model, TRAIN, learning_rate=new.rates, steps=steps, weight_decay=0.0)
    return new.model


def reached(model) -> float:
    return accuracy(score_rows(TEST, model.logits), GOLD)


def noise(backbones: dict) -> dict:
    return {role: b.reinitialised(7).frozen() for role, b in backbones.items()}


def test_each_method_is_told_about():
    assert ABOUT.keys() == METHODS.keys()


@pytest.mark.parametrize("name", TRAINED)
def test_learns_and_beats_its_controls(name, backbones):
    before = {role: hub.weights_hash(b.model) for role, b in backbones.items()}
    start = made(name, backbones).model.loss(TRAIN).item()
    model = trained(name, backbones)
    with torch.no_grad():
        assert model.loss(TRAIN).item() < 0.9 * start
    assert {role: hub.weights_hash(b.model) for role, b in backbones.items()} == before
    assert not any(
        p.requires_grad for b in backbones.values() for p in b.model.parameters()
    )
    if name != "PPT":  # its teacher would be random too, and label nothing
        assert reached(model) > reached(trained(name, noise(backbones))) + 0.1


@pytest.mark.parametrize("name", TRAINED)
def test_a_copy_is_independent(name, backbones):
    model = trained(name, backbones, steps=2)
    other, before = copy.deepcopy(model), score_rows(TEST[:8], model.logits)
    assert torch.equal(score_rows(TEST[:8], other.logits), before)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    assert torch.equal(score_rows(TEST[:8], model.logits), before)


@pytest.mark.parametrize("name", TRAINED)
def test_a_saved_method_comes_back(name, backbones, tmp_path):
    model = trained(name, backbones, steps=2)
    model.save(tmp_path / "kept.safetensors")
    other = made(name, backbones, seed=1).model
    before = score_rows(TEST[:8], model.logits)
    assert not torch.equal(score_rows(TEST[:8], other.logits), before)
    other.load(tmp_path / "kept.safetensors")
    assert torch.equal(score_rows(TEST[:8], other.logits), before)


@pytest.mark.parametrize("name", TRAINED)
def test_works_on_a_model_with_dropout(name, backbones):
    dropping = {role: backbone.copy() for role, backbone in backbones.items()}
    for backbone in dropping.values():
        for module in backbone.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.3
    dropping = {role: backbone.frozen() for role, backbone in dropping.items()}
    model = trained(name, dropping, steps=2)
    one, two = (score_rows(TEST[:8], model.logits) for _ in range(2))
    assert torch.equal(one, two)
    assert not any(
        module.training for b in dropping.values() for module in b.model.modules()
    )


@pytest.mark.parametrize("name", OTHERS)
def test_answers_without_steps(name, backbones):
    new = made(name, backbones)
    scores = score_rows(TEST, new.model.logits)
    assert scores.shape == (len(TEST), 2) and scores.isfinite().all()
    assert new.rates is None


@pytest.mark.parametrize(
    "name",
    ["prompt by hand", "in context", "head alone", "prompt tuning", "P-tuning v2"],
)
def test_trained_numbers_and_bytes_kept(name, backbones):
    new, config = made(name, backbones), backbones["masked_lm"].model.config
    width, head = config.hidden_size, 2 * (config.hidden_size + 1)
    numbers = {
        "head alone": head,
        "prompt tuning": 20 * width,
        "P-tuning v2": 16 * 2 * config.num_hidden_layers * width + head,
    }.get(name, 0)
    assert new.model.trainable == numbers
    # names and shapes, or the words of the prompt
    assert kept(new.model, new.job) - 4 * numbers in range(20, 2000)


def test_of_p_tuning_the_vectors_are_kept(backbones):
    new = made("P-tuning", backbones)
    width = new.job.home.model.config.hidden_size
    assert kept(new.model, new.job) - 4 * 3 * width in range(20, 2000)


def test_counted_words_keep_their_words_and_weights(backbones):
    new = made("counted words", backbones)
    assert isinstance(new.model, CountedWords)
    assert kept(new.model, new.job) > 16 * new.model.pipeline[-1].coef_.size
