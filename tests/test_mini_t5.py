"""How mini-t5 is trained and measured, on a fresh model of its smaller shape; and what
the chapters need of the shipped one."""

from statistics import fmean
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from pretraining import evaluate_seq2seq as measured
from pretraining.mini_t5 import SHAPES, new_model, seq2seq_loss
from pretraining.tokenizer import SENTINELS, for_t5
from prompttune_utils import hub
from prompttune_utils.data import load_task
from prompttune_utils.hub import ASSETS, Backbone

FILE = str(ASSETS / "mini-bert" / "tokenizer.json")


@pytest.fixture(scope="module")
def backbone():
    torch.set_num_threads(1)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=for_t5(Tokenizer.from_file(FILE)),
        pad_token="[PAD]",
        unk_token="[UNK]",
        eos_token="</s>",
        extra_special_tokens=SENTINELS,
    )
    return Backbone(
        name="fresh",
        model=new_model("mini-t5-s", len(tokenizer)).eval(),
        tokenizer=tokenizer,
        learning_rate=1e-3,
        place=None,
        device="cpu",
    )


@pytest.mark.parametrize("name", SHAPES)
def test_shape(name):
    model = new_model(name, 10_239)
    assert sum(p.numel() for p in model.parameters()) < 9_000_000
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_the_loss_is_the_one_of_transformers(backbone):
    """Ours leaves out the output layer at padding, no more."""
    r = torch.Generator().manual_seed(0)
    ids, labels = (
        torch.randint(70, 10_000, (3, 12), generator=r),
        torch.randint(70, 10_000, (3, 8), generator=r),
    )
    mask = torch.ones_like(ids)
    ids[0, 9:], mask[0, 9:], labels[0, 5:], labels[2, 7:] = 0, 0, -100, -100
    batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    with torch.no_grad():
        assert torch.allclose(
            seq2seq_loss(backbone.model, batch), backbone.model(**batch).loss, atol=1e-5
        )


def test_tokenizer_ends_texts_and_keeps_sentinels(backbone):
    ids = backbone.tokenizer("味道<extra_id_0>，great.").input_ids
    assert (
        ids[-1] == backbone.tokenizer.eos_token_id
        and backbone.tokenizer.convert_tokens_to_ids("<extra_id_0>") in ids
    )
    assert (
        backbone.tokenizer.decode(
            backbone.tokenizer("味道好，12 元").input_ids, skip_special_tokens=True
        )
        == "味道好，12元"
    )


def test_only_the_prompt_is_trained(backbone):
    prompt = measured.with_prompt(backbone, ["bad", "good"], 0)
    rows = [
        {"text": "great food", "label": 1},
        {"text": "never again, it was cold", "label": 0},
    ]
    prompt.label_loss(rows).backward()
    assert [n for n, p in prompt.named_parameters() if p.requires_grad] == [
        "prompt"
    ] and prompt.prompt.shape == (measured.PROMPT, 80)
    assert prompt.prompt.grad.abs().sum() > 0 and all(
        p.grad is None for p in backbone.model.parameters()
    )
    backbone.model.requires_grad_(True)


def test_scores_do_not_depend_on_the_rest_of_the_batch(backbone):
    prompt = measured.with_prompt(backbone, ["差", "好"], 1)
    rows = [
        {"text": "好", "label": 1},
        {"text": "a much longer text, which makes the other one be padded", "label": 0},
    ]
    with torch.inference_mode():
        assert torch.allclose(
            prompt.logits(rows)[0], prompt.logits(rows[:1])[0], atol=1e-4
        )
    backbone.model.requires_grad_(True)


def test_fill_counts_what_a_copying_model_would_get(backbone, monkeypatch):
    """A model that knows the hidden span has 1, one that always says something else has
    0."""
    rows = [
        {"text": "the soup was warm and the waiter was kind"},
        {"text": "房间很大，服务也好。"},
    ]

    def answer(right):
        def model(input_ids, attention_mask, labels):
            best = labels.clamp(min=0) if right else torch.full_like(labels, 99)
            return SimpleNamespace(
                logits=torch.nn.functional.one_hot(best, 10_239).float()
            )

        return SimpleNamespace(model=model, tokenizer=backbone.tokenizer)

    assert measured.fill(answer(True), rows, 0) == {"exact": 1.0, "tokens": 1.0}
    assert measured.fill(answer(False), rows, 0) == {"exact": 0.0, "tokens": 0.0}


def test_bleu_is_100_for_a_reference_and_less_for_the_input(backbone):
    rows = measured.restaurants(20, 0)
    references = [row["references"] for row in rows]
    assert measured.bleu(
        backbone.tokenizer,
        [measured.respaced(backbone.tokenizer, said[-1]) for said in references],
        references,
    ) == pytest.approx(100)
    assert (
        measured.bleu(
            backbone.tokenizer,
            [measured.respaced(backbone.tokenizer, row["text"]) for row in rows],
            references,
        )
        < 30
    )


def test_recorded_spans_come_again(recorded):
    """A point of the card, run anew, so that the recorded ones judge today's code."""
    torch.set_num_threads(1)
    shipped = hub.load("seq2seq_lm", verbose=False)
    (value,) = recorded("mini-t5", count=1, fill="reviews-zh", seed=0)
    again = measured.fill(shipped, load_task("reviews-zh").test, 0)
    assert again == pytest.approx(value, abs=0.01)


# SST-2's and ChnSentiCorp's test splits are balanced: 912 of 1,821 and 613 of 1,200
# rows have the more frequent label
@pytest.mark.parametrize(
    "task, majority, least", [("sst2", 0.501, 0.71), ("chnsenticorp", 0.511, 0.78)]
)
def test_a_prompt_steers_the_frozen_model(recorded, task, majority, least):
    """20 trained vectors before frozen weights, all training rows: each time at least
    10 points above the majority, and on average far above the untrained prompt."""
    trained, untrained = (
        recorded(
            "mini-t5", count=len(measured.SEEDS), task=task, part="test", steps=steps
        )
        for steps in (measured.STEPS, 0)
    )
    assert min(trained) >= majority + 0.10
    assert fmean(trained) >= max(least, fmean(untrained) + 0.10)


@pytest.mark.parametrize("data", ["own restaurants", "E2E"])
def test_descriptions_are_better_than_copies(recorded, data):
    (value,) = recorded("mini-t5", count=1, describe=data)
    assert value["bleu"] > 2 * value["copy"]


def test_the_shipped_model_goes_on_instead_of_writing_sentinels():
    """What the prefix phase is for (Lester et al. 2021, figure 3)."""
    torch.set_num_threads(1)
    shipped = hub.load("seq2seq_lm", verbose=False)
    written = shipped.model.generate(
        **shipped.tokenizer(
            ["the food was", "酒店"], return_tensors="pt", padding=True
        ),
        max_new_tokens=6,
        do_sample=False,
    )
    sentinels = set(shipped.tokenizer.convert_tokens_to_ids(SENTINELS))
    assert not sentinels & set(written.flatten().tolist())
