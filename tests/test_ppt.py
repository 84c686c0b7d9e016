"""PPT, exported from chapter 12: who labels the raw texts, what is pre-trained, what is
refused."""

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from prompttune_utils import hub
from prompttune_utils.data import load_task
from prompttune_utils.methods.ppt import pretrain, pseudo_labelled
from prompttune_utils.methods.prompt_oriented_fine_tuning import (
    FreeVectors,
    SoftPrompt,
    SoftTemplate,
)
from prompttune_utils.methods.prompt_tuning import starting_vectors
from prompttune_utils.methods.templates_and_verbalizers import (
    PromptClassifier,
    Template,
    Verbalizer,
)
from tests.tiny import ENCODER

WORDS = ["terrible", "great"]


@pytest.fixture
def backbone():
    torch.set_num_threads(1)
    return hub.load("masked_lm", name="mini-bert", verbose=False).frozen()


def soft(backbone, seed=0, words=WORDS):
    vectors = starting_vectors(backbone, 20, "vocabulary", seed)
    return SoftPrompt(
        backbone,
        SoftTemplate("{soft:20} {text} {mask}", backbone.tokenizer),
        Verbalizer({w: w for w in words}, backbone.tokenizer),
        FreeVectors(vectors),
    )


def test_only_sure_pseudo_labels_are_kept_and_the_teacher_sees_no_label():
    class Teacher:
        def logits(self, rows):
            assert all(set(row) == {"text"} for row in rows)
            return torch.tensor([[0.0, float(row["text"])] for row in rows])

    kept = pseudo_labelled(Teacher(), ["0.5", "-3", "0.8", "2", "-0.1"], confidence=0.7)
    assert kept == [
        {"text": "-3", "label": 0},
        {"text": "2", "label": 1},
    ]  # sigmoid(0.8) = 0.69
    assert len(pseudo_labelled(Teacher(), ["0.5", "-0.1"], confidence=0.0)) == 2


def test_a_prompt_learns_letters_that_nobody_has_explained(backbone):
    """The first cell of the chapter, in small: from texts and a teacher to letters."""
    things = "story film book music food hotel room phone".split()
    good, bad = (
        "lovely wonderful great amazing".split(),
        "terrible awful ugly dull".split(),
    )
    texts = [f"The {t} was {word}." for t in things for word in good + bad]
    template = Template("{text} It was {mask}.", backbone.tokenizer)
    words = Verbalizer({w: w for w in WORDS}, backbone.tokenizer)
    teacher = PromptClassifier(backbone, template, words)
    teacher.calibrate([{"text": text} for text in texts])
    rows = pseudo_labelled(teacher, texts)
    prompt = soft(backbone, words=["b", "a"])
    test = [{"text": f"The service was {w}.", "label": 1} for w in good]
    test += [{"text": f"The service was {w}.", "label": 0} for w in bad]
    before = prompt.hits(test).mean()
    pretrain(prompt, rows, [30], 0.1, weight_decay=0.0)
    assert len(rows) > 32
    assert before < 0.7 and prompt.hits(test).mean() > 0.8


def test_what_pretraining_keeps_and_what_it_leaves(backbone):
    rows, before, prompt = (
        load_task("reviews-en").pool[:16],
        hub.weights_hash(backbone.model),
        soft(backbone),
    )
    start = prompt.prompt().detach().clone()
    kept = pretrain(prompt, rows, [2, 5], 0.03)
    assert set(kept) == {0, 2, 5} and {tuple(v.shape) for v in kept.values()} == {
        (20, 256)
    }
    assert (
        torch.equal(kept[0], start)
        and torch.equal(kept[5], prompt.prompt())
        and not torch.equal(kept[2], kept[5])
    )
    assert hub.weights_hash(backbone.model) == before and all(
        p.grad is None for p in backbone.model.parameters()
    )
    prompt.model.requires_grad_(True)
    with pytest.raises(
        ValueError,
        match=r"would get gradients: freeze it with model.requires_grad_\(False\)",
    ):
        pretrain(prompt, rows, [2], 0.03)


def test_what_is_kept_does_not_move_with_the_prompt(backbone):
    rows, prompt = load_task("reviews-en").pool[:16], soft(backbone)
    start = prompt.prompt().detach().clone()
    kept = pretrain(prompt, rows, [0, 2], 0.03)
    before = {step: vectors.clone() for step, vectors in kept.items()}
    pretrain(prompt, rows, [2], 0.03)
    assert set(kept) == {0, 2} and torch.equal(kept[0], start)
    assert all(torch.equal(kept[step], before[step]) for step in kept)
    only = soft(backbone)
    assert torch.equal(pretrain(only, rows, [0], 0.03)[0], only.prompt())


@pytest.mark.parametrize("keep", [[], [-1], [2.5], [3, "5"]])
def test_numbers_of_steps_that_cannot_be_kept(backbone, keep):
    with pytest.raises(ValueError, match="are no numbers of steps to keep a prompt at"):
        pretrain(soft(backbone), [{"text": "good", "label": 1}], keep, 0.03)


@pytest.mark.parametrize("confidence", [1.0, 1.5, -0.1, float("nan"), 70])
def test_a_confidence_that_no_probability_is_above(confidence):
    class Teacher:
        def logits(self, rows):
            return torch.zeros(len(rows), 2)

    with pytest.raises(ValueError, match="No probability can be above a confidence of"):
        pseudo_labelled(Teacher(), ["x"], confidence)
    assert pseudo_labelled(Teacher(), []) == []


def test_with_dropout_one_seed_gives_one_prompt_and_scores_have_none(backbone):
    torch.manual_seed(0)
    vocabulary = {"vocab_size": len(backbone.tokenizer)}
    config = BertConfig(**ENCODER | vocabulary, hidden_dropout_prob=0.5)
    backbone.model = BertForMaskedLM(config).eval().requires_grad_(False)
    prompt, rows = soft(backbone), load_task("reviews-en").pool[:8]
    prompt.model.train()
    with torch.inference_mode():
        assert prompt.loss(rows) != prompt.loss(rows)  # dropout is on in train mode
    prompt.model.eval()
    first = pretrain(prompt, rows, [3], 0.03)
    with torch.inference_mode():
        assert torch.equal(prompt.logits(rows), prompt.logits(rows))
    again = pretrain(soft(backbone), rows, [3], 0.03)
    assert torch.equal(first[3], again[3])
