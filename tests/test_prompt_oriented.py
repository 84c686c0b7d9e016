"""Soft slots and adapters, exported from chapter 8: shapes, what moves, what stays, and that a new part changes nothing."""

import copy

import pytest
import torch

from prompttune_utils import hub
from prompttune_utils.data import few_shot, load_task, majority
from prompttune_utils.evaluation import accuracy, score_rows
from prompttune_utils.methods.prompt_oriented import FIRST_SOFT, MOVES, Adapter, FreeVectors, SoftPrompt, SoftTemplate, prepare, word_ids
from prompttune_utils.methods.prompting import PromptClassifier, Template, Verbalizer, encode
from prompttune_utils.training import fit, trainable
from tests.test_prompting import HOSTILE

ROWS = [{"text": "A warm and funny book.", "label": 1}, {"text": "cold " * 400, "label": 0}]


@pytest.fixture
def backbone():
    torch.set_num_threads(1)
    return hub.load("masked_lm", name="mini-bert", verbose=False)


@pytest.fixture
def verbalizer(backbone):
    return Verbalizer({"negative": "terrible", "positive": "great"}, backbone.tokenizer)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_breaks_a_soft_template(backbone, text):
    template = SoftTemplate("{soft:2} {text} It {soft} was {mask}.{soft}", backbone.tokenizer, 40)
    ids = encode(template, {"text": text})["input_ids"]
    assert len(ids) <= 40 and ids.count(backbone.tokenizer.mask_token_id) == 1
    assert [i for i in ids if i >= FIRST_SOFT] == [FIRST_SOFT + i for i in range(template.soft)] and template.soft == 4


@pytest.mark.parametrize("pattern, message", [
    ("{text} {soft:0} {mask}", "unknown slot {soft:0}"), ("{text} {soft:2}", "0 {mask}"), ("{text} {soft:x} {mask}", "unknown slot {soft:x}"),
    ("{text} \u2603 {soft} {mask}", "word"),
])  # fmt: skip
def test_faulty_soft_template_is_named(backbone, pattern, message):
    with pytest.raises(ValueError) as error:
        SoftTemplate(pattern, backbone.tokenizer)
    assert message in str(error.value)


def test_vectors_that_are_words_do_what_the_words_do(backbone, verbalizer):
    hard = PromptClassifier(backbone, Template("{text} It was {mask}.", backbone.tokenizer), verbalizer)
    ids = backbone.tokenizer("It was", add_special_tokens=False)["input_ids"]
    vectors = FreeVectors(backbone.model.get_input_embeddings().weight[ids], speed=7.0)
    soft = SoftPrompt(backbone, SoftTemplate("{text} {soft:2} {mask}.", backbone.tokenizer), verbalizer, vectors)
    with torch.inference_mode():
        assert torch.allclose(soft.scores(ROWS), hard.scores(ROWS), atol=1e-5)


def test_speed_multiplies_the_learning_rate():
    torch.manual_seed(0)
    target, ends = torch.randn(4, 8), []
    for speed, rate in ((1.0, 0.01), (10.0, 0.001)):
        vectors = FreeVectors(torch.zeros(4, 8), speed)
        fit(vectors, [{}], lambda _, vectors=vectors: (vectors() - target).abs().sum(), learning_rate=rate, steps=5, batch_size=1, weight_decay=0.0)
        ends.append(vectors().detach())
    assert torch.allclose(*ends, atol=1e-4)


def test_a_new_adapter_is_the_identity_and_has_the_parameters_of_the_formula():
    adapter, states = Adapter(24, 5), torch.randn(3, 7, 24)
    assert torch.equal(adapter(states), states)
    assert trainable(adapter) == 2 * 24 * 5 + 5 + 24


@pytest.mark.parametrize("moves", MOVES)
def test_exactly_what_is_declared_moves(backbone, verbalizer, moves):
    tuned = copy.copy(backbone)
    tuned.model = prepare(copy.deepcopy(backbone.model), moves)
    vectors = FreeVectors(torch.randn(2, backbone.model.config.hidden_size) * 0.02)
    soft = SoftPrompt(tuned, SoftTemplate("{text} {soft:2} {mask}.", backbone.tokenizer), verbalizer, vectors)
    module = torch.nn.ModuleList([tuned.model, vectors])
    before = {n: p.detach().clone() for n, p in module.named_parameters()}
    declared = {n for n, p in module.named_parameters() if p.requires_grad}
    soft.loss(ROWS).backward()
    assert {n for n, p in module.named_parameters() if p.grad is not None} == declared
    module.zero_grad()
    fit(module, ROWS, soft.loss, learning_rate=1e-3, steps=3, batch_size=2)
    moved = {n for n, p in module.named_parameters() if not torch.equal(p, before[n])}
    assert moved <= declared and len(moved) >= 0.9 * len(declared)


def test_a_trained_prompt_beats_its_controls(backbone, verbalizer):
    """16 reviews a class, the backbone frozen: above the majority, the untrained prompt and a backbone with random weights, by 5 points."""
    task = load_task("reviews-en")
    train, _ = few_shot(task.pool, 16, 0, dev=False)
    before, reached = hub.weights_hash(backbone.model), {}
    for control in (None, "untrained", "random weights"):
        tuned = copy.copy(backbone)
        torch.manual_seed(0)
        tuned.model = prepare(type(backbone.model)(backbone.model.config).eval() if control == "random weights" else backbone.model, "prompt only")
        words = torch.tensor(word_ids(backbone.tokenizer))
        start = tuned.model.get_input_embeddings().weight[words[torch.randint(len(words), (4,), generator=torch.Generator().manual_seed(0))]]
        vectors = FreeVectors(start)
        soft = SoftPrompt(tuned, SoftTemplate("{text} {soft:3} {mask} {soft:1}", backbone.tokenizer), verbalizer, vectors)
        if control != "untrained":
            fit(vectors, train, soft.loss, learning_rate=3e-2, steps=60, batch_size=8)
        reached[control] = accuracy(score_rows(task.test, soft.scores), task.gold)
    assert reached[None] >= 0.05 + max(reached["untrained"], reached["random weights"], majority(task.gold)), reached
    assert hub.weights_hash(backbone.model) == before
