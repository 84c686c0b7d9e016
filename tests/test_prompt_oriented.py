"""Soft slots and adapters, exported from chapter 8: shapes, what moves, what stays, and that a new part changes nothing."""

import copy
import random

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from prompttune_utils import hub
from prompttune_utils.data import few_shot, load_task, majority
from prompttune_utils.evaluation import accuracy, score_rows
from prompttune_utils.methods.prompt_oriented import (
    FIRST_SOFT,
    MOVES,
    Adapter,
    FreeVectors,
    SoftPrompt,
    SoftTemplate,
    flip,
    insert_adapters,
    prepare,
    search_template,
    search_words,
    word_ids,
)
from prompttune_utils.methods.prompting import (
    PromptClassifier,
    Template,
    Verbalizer,
    encode,
)
from prompttune_utils.training import fit, trainable
from tests.test_prompting import HOSTILE

ROWS = [
    {"text": "A warm and funny book.", "label": 1},
    {"text": "cold " * 400, "label": 0},
]


@pytest.fixture
def backbone():
    torch.set_num_threads(1)
    return hub.load("masked_lm", name="mini-bert", verbose=False)


@pytest.fixture
def verbalizer(backbone):
    return Verbalizer({"negative": "terrible", "positive": "great"}, backbone.tokenizer)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_breaks_a_soft_template(backbone, text):
    template = SoftTemplate(
        "{soft:2} {text} It {soft} was {mask}.{soft}", backbone.tokenizer, 40
    )
    ids = encode(template, {"text": text})["input_ids"]
    assert len(ids) <= 40 and ids.count(backbone.tokenizer.mask_token_id) == 1
    assert [i for i in ids if i >= FIRST_SOFT] == [
        FIRST_SOFT + i for i in range(template.soft)
    ] and template.soft == 4


@pytest.mark.parametrize("pattern, message", [
    ("{text} {soft:0} {mask}", "unknown slot {soft:0}"), ("{text} {soft:2}", "0 {mask}"), ("{text} {soft:x} {mask}", "unknown slot {soft:x}"),
    ("{text} \u2603 {soft} {mask}", "word"),
])  # fmt: skip
def test_faulty_soft_template_is_named(backbone, pattern, message):
    with pytest.raises(ValueError) as error:
        SoftTemplate(pattern, backbone.tokenizer)
    assert message in str(error.value)


def test_vectors_that_are_words_do_what_the_words_do(backbone, verbalizer):
    hard = PromptClassifier(
        backbone, Template("{text} It was {mask}.", backbone.tokenizer), verbalizer
    )
    ids = backbone.tokenizer("It was", add_special_tokens=False)["input_ids"]
    vectors = FreeVectors(backbone.model.get_input_embeddings().weight[ids], speed=7.0)
    soft = SoftPrompt(
        backbone,
        SoftTemplate("{text} {soft:2} {mask}.", backbone.tokenizer),
        verbalizer,
        vectors,
    )
    with torch.inference_mode():
        assert torch.allclose(soft.scores(ROWS), hard.scores(ROWS), atol=1e-5)


def test_speed_multiplies_the_learning_rate():
    torch.manual_seed(0)
    target, ends = torch.randn(4, 8), []
    for speed, rate in ((1.0, 0.01), (10.0, 0.001)):
        vectors = FreeVectors(torch.zeros(4, 8), speed)
        fit(
            vectors,
            [{}],
            lambda _, vectors=vectors: (vectors() - target).abs().sum(),
            learning_rate=rate,
            steps=5,
            batch_size=1,
            weight_decay=0.0,
        )
        ends.append(vectors().detach())
    assert torch.allclose(*ends, atol=1e-4)


def test_a_copy_moves_as_fast():
    """A hook on the parameter itself would be lost in a copy, and clipping would then see its gradient times `speed`."""
    for vectors in (
        FreeVectors(torch.ones(2, 3), 10.0),
        copy.deepcopy(FreeVectors(torch.ones(2, 3), 10.0)),
    ):
        vectors().sum().backward()
        assert torch.equal(vectors.moved.grad, torch.ones(2, 3))


def test_a_new_adapter_is_the_identity_and_has_the_parameters_of_the_formula():
    adapter, states = Adapter(24, 5), torch.randn(3, 7, 24)
    assert torch.equal(adapter(states), states)
    assert trainable(adapter) == 2 * 24 * 5 + 5 + 24


@pytest.mark.parametrize(
    "moves, layers",
    [
        ("houlsby", 12),
        ("pfeiffer", 12),
        ("top layers", 3),
        ("prompt only", 0),
        ("full", 12),
    ],
)
def test_counts_at_the_shape_of_bert_base(moves, layers):
    """By hand: an adapter of bottleneck b has 2 d b + b + d parameters, a LayerNorm 2 d, a layer 12 d^2 + 13 d."""
    d, b, config = 768, 48, BertConfig()
    with torch.device("meta"):
        model = prepare(BertForMaskedLM(config), moves, b)
    adapter = 2 * d * b + b + d
    a_layer = {"houlsby": 2 * adapter + 4 * d, "pfeiffer": adapter}.get(
        moves, 12 * d * d + 13 * d
    )
    outside = (
        (config.vocab_size + 512 + 2) * d
        + 2 * d
        + d * d
        + d
        + 2 * d
        + config.vocab_size
        if moves == "full"
        else 0
    )
    assert trainable(model) == layers * a_layer + outside


@pytest.mark.parametrize("kind", ["houlsby", "pfeiffer"])
def test_names_after_adapters_are_put_in(backbone, kind):
    """What a checkpoint of the backbone holds keeps its names; new ones are those of the adapters alone."""
    old = set(backbone.model.state_dict())
    insert_adapters(backbone.model, kind)
    new = set(backbone.model.state_dict()) - old
    places = ["output", "attention.output"] if kind == "houlsby" else ["output"]
    parts = [f"{way}.{what}" for way in ("down", "up") for what in ("weight", "bias")]
    assert old <= set(backbone.model.state_dict())
    assert new == {
        f"bert.encoder.layer.{layer}.{place}.dropout.1.{part}"
        for layer in range(4)
        for place in places
        for part in parts
    }


@pytest.mark.parametrize("moves", MOVES)
def test_exactly_what_is_declared_moves(backbone, verbalizer, moves):
    tuned = copy.copy(backbone)
    tuned.model = prepare(copy.deepcopy(backbone.model), moves)
    vectors = FreeVectors(torch.randn(2, backbone.model.config.hidden_size) * 0.02)
    soft = SoftPrompt(
        tuned,
        SoftTemplate("{text} {soft:2} {mask}.", backbone.tokenizer),
        verbalizer,
        vectors,
    )
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
        tuned.model = prepare(
            type(backbone.model)(backbone.model.config).eval()
            if control == "random weights"
            else backbone.model,
            "prompt only",
        )
        words = torch.tensor(word_ids(backbone.tokenizer))
        start = tuned.model.get_input_embeddings().weight[
            words[
                torch.randint(
                    len(words), (4,), generator=torch.Generator().manual_seed(0)
                )
            ]
        ]
        vectors = FreeVectors(start)
        soft = SoftPrompt(
            tuned,
            SoftTemplate("{text} {soft:3} {mask} {soft:1}", backbone.tokenizer),
            verbalizer,
            vectors,
        )
        if control != "untrained":
            fit(vectors, train, soft.loss, learning_rate=3e-2, steps=60, batch_size=8)
        reached[control] = accuracy(score_rows(task.test, soft.scores), task.gold)
    assert reached[None] >= 0.05 + max(
        reached["untrained"], reached["random weights"], majority(task.gold)
    ), reached
    assert hub.weights_hash(backbone.model) == before


def test_words_that_are_found_separate_the_classes(backbone):
    task = load_task("reviews-en")
    train, _ = few_shot(task.pool, 16, 0, dev=False)
    template = Template("{text} It was {mask}.", backbone.tokenizer)
    found = search_words(backbone, template, train, labels=2, k=5, apart=True)
    assert (
        all(len(set(words)) == 2 for words in found)
        and len(found) == len(set(found)) <= 25
    )
    reached = []
    for words in (found[0], found[len(found) // 2], found[-1]):
        classifier = PromptClassifier(
            backbone,
            template,
            Verbalizer({word: word for word in words}, backbone.tokenizer),
        )
        classifier.calibrate(train)
        scores = score_rows(train, classifier.scores)
        reached.append(accuracy(scores, [row["label"] for row in train]))
    assert (
        reached == sorted(reached, reverse=True)
        and reached[0] >= 0.75
        and reached[0] > reached[-1]
    ), (found, reached)


def test_a_search_for_a_template_never_makes_the_loss_worse(backbone, verbalizer):
    train, _ = few_shot(load_task("reviews-en").pool, 4, 0, dev=False)
    backbone.model.requires_grad_(False)
    matrix, allowed = (
        backbone.model.get_input_embeddings().weight,
        torch.tensor(word_ids(backbone.tokenizer)),
    )
    prompt = SoftPrompt(
        backbone,
        SoftTemplate("{text} {soft:2} {mask}.", backbone.tokenizer),
        verbalizer,
        FreeVectors(matrix[allowed[:2]]),
    )
    flipped = set()
    for slot in (0, 1, 0, 1):
        with torch.inference_mode():
            before = prompt.loss(train).item()
        old, new = (
            prompt.prompt.start[slot].clone(),
            flip(prompt, slot, train, train, allowed, k=8, must=False),
        )
        with torch.inference_mode():
            after = prompt.loss(train).item()
        assert torch.equal(
            prompt.prompt.start[slot], old if new is None else matrix[new]
        )
        assert after == before if new is None else after < before
        flipped.add(new is None)
    assert False in flipped
    trail = search_template(prompt, train, rounds=2, k=4, generator=random.Random(0))
    assert (
        len(trail) == 2
        and set(sum(trail, [])) <= set(allowed.tolist())
        and torch.equal(prompt.prompt.start, matrix[trail[-1]])
    )
