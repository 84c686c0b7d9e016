"""Instruction tuning, exported from chapter 5: pairs, the loss on the response alone,
and the two ways to read an answer."""

import copy

import pytest
import torch
from transformers import CohereConfig, CohereForCausalLM, GPT2Config, GPT2LMHeadModel

from prompttune_utils import hub
from prompttune_utils.methods import instruction_tuning
from prompttune_utils.methods.in_context_learning import generate, token_ids
from prompttune_utils.methods.instruction_tuning import (
    answer_scores,
    chosen,
    encode,
    fill,
    pair,
    sft_batch,
    sft_loss,
    written,
)
from prompttune_utils.training import fit

PAIRS = [
    {"input": "Say the opposite of hot.", "target": "cold"},
    {"input": "把“苹果”翻译成英文。", "target": "apple"},
    {
        "input": "Is the review positive or negative? I loved every minute of it, "
        "and so did my children.",
        "target": "positive",
    },
]


@pytest.fixture(scope="module")
def backbone():
    torch.set_num_threads(1)
    return hub.load("causal_lm", name="mini-gpt-v1", verbose=False)


def test_fill():
    assert pair(
        {"input": "{word} -> ?", "target": "{answer}"},
        {"word": "hot", "answer": "cold {x}"},
    ) == {"input": "hot -> ?", "target": "cold {x}"}
    assert fill("{a b} and { {c}", {"a b": "{c}", "c": 1}) == "{c} and { 1"


@pytest.mark.parametrize(
    "slot", ["{answer}", "{word.upper}", "{word!r}", "{word:>9}", "{0}", "{}"]
)
def test_slots_that_the_row_does_not_fill(slot):
    """Only a column's name is a slot: nothing of a value is looked up or formatted."""
    with pytest.raises(ValueError) as refused:
        fill("{word}: " + slot, {"word": "hot", "text": ""})
    assert str(refused.value) == (
        f"The template '{{word}}: {slot}' has the slot {slot}, which the row does not "
        "fill: its columns are word, text."
    )


@pytest.mark.parametrize("mark", ["[MASK]", "</s>", "<s>"])
def test_marks_spelt_in_a_pair_stay_text(backbone, mark):
    special = set(backbone.tokenizer.added_tokens_decoder)
    begin, newline = token_ids(backbone, "", begin=True), token_ids(backbone, "\n")
    asked, answer = encode(backbone, {"input": f"so {mark}", "target": f"a {mark}"})
    assert asked[: len(begin)] == begin and answer[-1:] == newline
    assert not special.intersection(asked[len(begin) :] + answer[:-1])
    prompts = [f"so {mark} fine ->", "so fine ->"]
    scores = answer_scores(backbone, prompts, ["cold", "apple"])
    ids = token_ids(backbone, prompts[0], begin=True)
    assert not special.intersection(ids[len(begin) :])
    with torch.inference_mode():
        alone = backbone.model(torch.tensor([ids])).logits[0, -1]
    words = [token_ids(backbone, word)[0] for word in ("cold", "apple")]
    assert torch.allclose(scores[0], alone[words], atol=1e-3)


def test_labels_stand_on_the_response_alone(backbone):
    batch = sft_batch(backbone, PAIRS)
    assert {v.shape for v in batch.values()} == {batch["labels"].shape}
    for ids, mask, labels, example in zip(
        batch["input_ids"], batch["attention_mask"], batch["labels"], PAIRS, strict=True
    ):
        asked, answer = encode(backbone, example)
        assert labels[labels != -100].tolist() == answer == ids[-len(answer) :].tolist()
        assert ids[mask == 1].tolist() == asked + answer
        assert backbone.tokenizer.decode(answer).strip() == example["target"]


def scaled(backbone):
    """A small model that scales its logits behind the output matrix."""
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "logit_scale": 0.25}
    marks = {"pad_token_id": 0, "bos_token_id": 5, "eos_token_id": 6}
    size = {"vocab_size": len(backbone.tokenizer), "initializer_range": 0.3}
    other = copy.copy(backbone)
    other.model = CohereForCausalLM(CohereConfig(**shape, **heads, **marks, **size))
    other.model.eval()
    return other


@pytest.mark.parametrize("make", [lambda backbone: backbone.copy(), scaled])
def test_loss_and_gradient_are_those_of_the_library(backbone, make):
    tuned, gradients = make(backbone), []
    for loss_of in (
        lambda: sft_loss(tuned, PAIRS),
        lambda: tuned.model(**sft_batch(tuned, PAIRS)).loss,
    ):
        tuned.model.zero_grad()
        loss = loss_of()
        loss.backward()
        flat = torch.cat([p.grad.flatten() for p in tuned.model.parameters()])
        gradients.append((loss.item(), flat))
    (ours, our_gradient), (theirs, their_gradient) = gradients
    assert ours == pytest.approx(theirs, rel=1e-5)
    tolerance = 1e-5 * float(their_gradient.abs().max())
    assert torch.allclose(our_gradient, their_gradient, atol=tolerance)


def test_tuning_a_model_with_dropout(backbone):
    """Dropout is on while it is tuned, and off when answers are read."""
    torch.manual_seed(0)
    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.3)
    shape = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
    tuned = copy.copy(backbone)
    tuned.model = GPT2LMHeadModel(
        GPT2Config(vocab_size=len(backbone.tokenizer), **shape, **rates)
    ).eval()
    modes, start = set(), sft_loss(tuned, PAIRS[:2]).item()

    def loss(rows):
        modes.add(tuned.model.training)
        return sft_loss(tuned, rows)

    fit(tuned.model, PAIRS[:2] * 4, loss, learning_rate=0.01, steps=40, batch_size=4)
    assert modes == {True} and not tuned.model.training
    once, twice = (sft_loss(tuned, PAIRS[:2]).item() for _ in range(2))
    assert once == twice < start / 4
    prompts = [pair["input"] + " ->" for pair in PAIRS[:2]]
    assert written(tuned, prompts) == ["cold", "apple"]
    scores = answer_scores(tuned, prompts, ["cold", "apple"])
    assert torch.equal(scores, answer_scores(tuned, prompts, ["cold", "apple"]))


def test_written_answers(backbone):
    prompts = [
        "big -> small\nhot ->",
        "你好->hello, 再见->goodbye, 购买->purchase, 销售->",
    ]
    raw = generate(backbone, [backbone.tokenizer(p).input_ids for p in prompts], 6)
    assert written(backbone, prompts) == [
        text.partition(",")[0].partition(".")[0].strip() for text in raw
    ]


def test_a_point_inside_a_number_ends_no_answer(backbone, monkeypatch):
    said = ["3.5 apples. yes", "1,000, or so", "4,5", "cold.", "好，是", "a\nb"]
    monkeypatch.setattr(instruction_tuning, "generate", lambda *_: said)
    assert written(backbone, [""]) == ["3.5 apples", "1,000", "4", "cold", "好", "a"]


def test_chosen_answer_is_the_likeliest(backbone):
    prompts, answers = (
        [p["input"] + " ->" for p in PAIRS],
        ["cold", "apple", "positive"],
    )
    ids = [
        backbone.tokenizer(f" {a}", add_special_tokens=False).input_ids[0]
        for a in answers
    ]
    with torch.inference_mode():
        alone = [
            int(
                backbone.model(**backbone.tokenizer(p, return_tensors="pt"))
                .logits[0, -1, ids]
                .argmax()
            )
            for p in prompts
        ]
    assert (
        chosen(backbone, prompts, answers)
        == chosen(backbone, prompts, answers, batch_size=1)
        == alone
    )
