"""Instruction tuning, exported from chapter 5: pairs, the loss on the response alone, and the two ways to read an answer."""

import pytest
import torch

from prompttune_utils import hub
from prompttune_utils.methods.in_context import generate
from prompttune_utils.methods.instruction_tuning import (
    chosen,
    encode,
    fill,
    pair,
    sft_batch,
    sft_loss,
    written,
)

PAIRS = [
    {"input": "Say the opposite of hot.", "target": "cold"},
    {"input": "把“苹果”翻译成英文。", "target": "apple"},
    {
        "input": "Is the review positive or negative? I loved every minute of it, and so did my children.",
        "target": "positive",
    },
]


@pytest.fixture(scope="module")
def backbone():
    torch.set_num_threads(1)
    return hub.load("causal_lm", name="mini-gpt", verbose=False)


def test_fill():
    assert pair(
        {"input": "{word} -> ?", "target": "{answer}"},
        {"word": "hot", "answer": "cold {x}"},
    ) == {"input": "hot -> ?", "target": "cold {x}"}
    with pytest.raises(
        ValueError,
        match=r"has the slot \{answer\}, which the row does not fill: its columns are word, text",
    ):
        fill("{word}: {answer}", {"word": "hot", "text": ""})


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


def test_loss_and_gradient_are_those_of_the_library(backbone):
    gradients = []
    for loss_of in (
        lambda: sft_loss(backbone, PAIRS),
        lambda: backbone.model(**sft_batch(backbone, PAIRS)).loss,
    ):
        backbone.model.zero_grad()
        loss = loss_of()
        loss.backward()
        gradients.append(
            (
                loss.item(),
                torch.cat([p.grad.flatten() for p in backbone.model.parameters()]),
            )
        )
    backbone.model.zero_grad(set_to_none=True)
    (ours, our_gradient), (theirs, their_gradient) = gradients
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert torch.allclose(
        our_gradient, their_gradient, atol=1e-5 * float(their_gradient.abs().max())
    )


def test_written_answers(backbone):
    prompts = [
        "big -> small\nhot ->",
        "你好->hello, 再见->goodbye, 购买->purchase, 销售->",
    ]
    raw = generate(backbone, [backbone.tokenizer(p).input_ids for p in prompts], 6)
    assert written(backbone, prompts) == [
        text.partition(",")[0].partition(".")[0].strip() for text in raw
    ]


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
