"""Instruction tuning, exported from chapter 5: conversations, the loss on the response
alone, written and chosen answers, all weights and LoRA."""

import dataclasses

import pytest
import torch
from transformers import CohereConfig, CohereForCausalLM, GPT2Config, GPT2LMHeadModel

from prompttune_utils import hub
from prompttune_utils.methods.instruction_tuning import (
    CHAT,
    InstructionModel,
    answer_batch,
    choose,
    conversation,
    tune,
)
from prompttune_utils.prompting import token_ids
from prompttune_utils.training import fit

ROWS = [
    {"message": "Say the opposite of hot.", "answer": "cold"},
    {"message": "把“苹果”翻译成英文。", "answer": "apple"},
    {
        "message": "Is the review positive or negative? I loved every minute of it, "
        "and so did my children.",
        "answer": "very positive",
    },
]


@pytest.fixture(scope="module")
def backbone():
    torch.set_num_threads(1)
    return hub.load("causal_lm", verbose=False).frozen()


@pytest.mark.parametrize("row", ROWS)
def test_a_conversation(backbone, row):
    """Its ids are those of the text, its prompt is how it begins, and the mask marks
    what comes behind the prompt."""
    read = conversation(backbone.tokenizer, row, CHAT)
    prompt = conversation(backbone.tokenizer, {"message": row["message"]}, CHAT)
    text = f"question: {row['message']}\nanswer: {row['answer']}\n"
    assert read["input_ids"] == token_ids(backbone, text, begin=True)
    size = len(prompt["input_ids"])
    assert read["input_ids"][:size] == prompt["input_ids"]
    assert read["assistant_masks"] == [0] * size + [1] * (len(read["input_ids"]) - size)
    answer = token_ids(backbone, f" {row['answer']}\n")
    assert read["input_ids"][size:] == answer


@pytest.mark.parametrize("mark", ["[PAD]", "</s>", "<s>"])
@pytest.mark.parametrize("where", ["message", "answer"])
def test_a_mark_in_a_conversation_is_refused(backbone, mark, where):
    row = ROWS[0] | {where: f"so {mark}"}
    with pytest.raises(ValueError, match="spells the special token"):
        conversation(backbone.tokenizer, row, CHAT)


def test_labels_stand_on_the_response_alone(backbone):
    batch = answer_batch(backbone, ROWS, CHAT)
    assert {v.shape for v in batch.values()} == {batch["labels"].shape}
    lines = zip(batch["input_ids"], batch["labels"], ROWS, strict=True)
    for ids, labels, row in lines:
        answer = token_ids(backbone, f" {row['answer']}\n")
        assert labels[labels != -100].tolist() == answer == ids[-len(answer) :].tolist()


def scaled(backbone):
    """A small model that scales its logits behind the output matrix."""
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "logit_scale": 0.25}
    marks = {"pad_token_id": 0, "bos_token_id": 5, "eos_token_id": 6}
    size = {"vocab_size": len(backbone.tokenizer), "initializer_range": 0.3}
    config = CohereConfig(**shape, **heads, **marks, **size)
    return dataclasses.replace(backbone, model=CohereForCausalLM(config).eval())


@pytest.mark.parametrize("make", [lambda backbone: backbone.copy(), scaled])
def test_loss_and_gradient_are_those_of_the_library(backbone, make):
    model, gradients = InstructionModel(make(backbone)), []
    inputs = answer_batch(model.backbone, ROWS, CHAT)
    for loss_of in (lambda: model.loss(ROWS), lambda: model.model(**inputs).loss):
        model.zero_grad()
        loss = loss_of()
        loss.backward()
        flat = torch.cat([p.grad.flatten() for p in model.parameters()])
        gradients.append((loss.item(), flat))
    (ours, our_gradient), (theirs, their_gradient) = gradients
    assert ours == pytest.approx(theirs, rel=1e-5)
    tolerance = 1e-5 * float(their_gradient.abs().max())
    assert torch.allclose(our_gradient, their_gradient, atol=tolerance)


@pytest.mark.parametrize("lora", [None, 4])
def test_tuned_rows_are_answered(backbone, lora):
    before = hub.weights_hash(backbone.model)
    rate = 1e-3 if lora is None else 1e-2
    model = tune(backbone, ROWS[:2] * 30, rate, batch_size=2, lora=lora)
    assert model.write([row["message"] for row in ROWS[:2]]) == ["cold", "apple"]
    scores = choose(model, [row["message"] for row in ROWS[:2]], ["cold", "apple"])
    assert scores.argmax(1).tolist() == [0, 1]
    assert hub.weights_hash(backbone.model) == before
    whole = sum(p.numel() for p in backbone.model.parameters())
    assert model.trainable == whole if lora is None else model.trainable < whole / 10


def test_lora_begins_as_the_backbone_is(backbone):
    messages = [row["message"] for row in ROWS]
    words = ["cold", "apple", "good"]
    small = tune(backbone, ROWS[:1], 1e-12, batch_size=1, lora=4)
    plain = choose(InstructionModel(backbone), messages, words)
    assert torch.allclose(choose(small, messages, words), plain, atol=1e-3)


def test_a_seed_gives_the_same_model(backbone):
    one, two = (tune(backbone, ROWS, 1e-3, 3, batch_size=1, lora=4) for _ in range(2))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


def test_dropout_is_off_when_answers_are_read(backbone):
    torch.manual_seed(0)
    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.3)
    shape = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
    config = GPT2Config(vocab_size=len(backbone.tokenizer), **shape, **rates)
    other = backbone.copy()
    other.model = GPT2LMHeadModel(config).eval()
    model, modes = InstructionModel(other), set()
    start = model.loss(ROWS[:2]).item()

    def loss(rows):
        modes.add(model.model.training)
        return model.loss(rows)

    fit(model, ROWS[:2] * 4, loss, learning_rate=0.01, steps=40, batch_size=4)
    assert modes == {True} and not model.model.training
    once, twice = (model.loss(ROWS[:2]).item() for _ in range(2))
    assert once == twice < start / 4
    assert model.write([r["message"] for r in ROWS[:2]]) == ["cold", "apple"]


def test_choosing_is_reading_the_next_word(backbone):
    model, words = InstructionModel(backbone), ["cold", "apple", "good"]
    messages = [row["message"] for row in ROWS]
    scores = choose(model, messages, words)
    for message, line in zip(messages, scores, strict=True):
        ids = torch.tensor([token_ids(backbone, f"question: {message}\nanswer:", True)])
        with torch.inference_mode():
            z = backbone.model(ids).logits[0, -1]
        by_hand = z[[token_ids(backbone, f" {word}")[0] for word in words]]
        assert torch.allclose(line, by_hand, atol=1e-3)
