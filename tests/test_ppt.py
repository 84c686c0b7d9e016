"""PPT, exported from chapter 12: where rows without labels come from, what is pre-trained, and that it helps before any labelled row."""

import random
import re

import pytest
import torch

from prompttune_utils import hub
from prompttune_utils.data import load_task, majority
from prompttune_utils.evaluation import accuracy, score_rows
from prompttune_utils.methods.ppt import (
    as_choice,
    lettered,
    next_sentence_choices,
    pretrain,
    pseudo_labelled,
    sentence_pairs,
    sentences,
)
from prompttune_utils.methods.prompt_oriented import (
    FreeVectors,
    SoftPrompt,
    SoftTemplate,
    word_ids,
)
from prompttune_utils.methods.prompting import PromptClassifier, Template, Verbalizer

DOCUMENTS = [
    [f"Sentence {number} of document {letter}." for number in range(2 + at)]
    for at, letter in enumerate("abcde")
]
WORDS = ["terrible", "great"]


@pytest.fixture
def backbone():
    torch.set_num_threads(1)
    backbone = hub.load("masked_lm", name="mini-bert", verbose=False)
    backbone.model.requires_grad_(False)
    return backbone


def soft(backbone, seed=0, words=WORDS):
    known = torch.tensor(word_ids(backbone.tokenizer))
    start = known[
        torch.randint(len(known), (20,), generator=torch.Generator().manual_seed(seed))
    ]
    vectors = FreeVectors(backbone.model.get_input_embeddings().weight[start])
    return SoftPrompt(
        backbone,
        SoftTemplate("{soft:20} {text} {mask}", backbone.tokenizer),
        Verbalizer({w: w for w in words}, backbone.tokenizer),
        vectors,
    )


def test_sentences():
    assert sentences(" The soup was cold. Was it? Yes! ") == [
        "The soup was cold.",
        "Was it?",
        "Yes!",
    ]
    assert sentences("汤是冷的。真的吗？真的！") == ["汤是冷的。", "真的吗？", "真的！"]
    assert (
        sentences("Version 1.5 is out") == ["Version 1.5 is out"]
        and sentences("  ") == []
    )


def test_pairs_are_what_their_label_says():
    rows = sentence_pairs(DOCUMENTS, 300, random.Random(0))
    assert [sum(row["label"] == label for row in rows) for label in (0, 1, 2)] == [
        100,
        100,
        100,
    ]
    place = {
        sentence: (at, number)
        for at, document in enumerate(DOCUMENTS)
        for number, sentence in enumerate(document)
    }
    for row in rows:
        (document, first), (other, second) = place[row["text"]], place[row["text_b"]]
        assert (document == other) == (row["label"] < 2)
        assert (document == other and second == first + 1) == (row["label"] == 0)


def test_the_right_choice_is_the_next_sentence_and_every_row_fits():
    rows = next_sentence_choices(
        DOCUMENTS,
        200,
        random.Random(0),
        4,
        lambda row: row["label"] != 3 and "document e" not in row["text"],
    )
    assert (
        {row["label"] for row in rows} == {0, 1, 2}
        and len(rows) == 200
        and not any("document e" in row["text"] for row in rows)
    )
    following = {a: b for document in DOCUMENTS for a, b in zip(document, document[1:])}
    for row in rows:
        options = re.split(r"(?:^| )[A-D]\. ", row["text_b"])[1:]
        assert (
            row["text_b"] == lettered(options)
            and options[row["label"]] == following[row["text"]]
            and len(options) == 4
        )


def test_other_formats_as_a_choice():
    row = {"text": "A cat sleeps.", "text_b": "An animal rests.", "label": 2}
    assert as_choice(row, ["yes", "maybe", "no"]) == {
        "text": "A cat sleeps. An animal rests.",
        "text_b": "A. yes. B. maybe. C. no.",
        "label": 2,
    }
    seen = set()
    for seed in range(20):
        shuffled = as_choice({"text": "x", "label": 0}, WORDS, random.Random(seed))
        seen.add(shuffled["text_b"])
        assert (
            re.findall(r"[AB]\. (\w+)\.", shuffled["text_b"])[shuffled["label"]]
            == "terrible"
        )
    assert seen == {"A. terrible. B. great.", "A. great. B. terrible."}


def test_only_sure_pseudo_labels_are_kept_and_the_teacher_sees_no_label():
    class Teacher:
        def scores(self, rows):
            assert all(set(row) == {"text"} for row in rows)
            return torch.tensor([[0.0, float(row["text"])] for row in rows])

    kept = pseudo_labelled(Teacher(), ["0.5", "-3", "0.8", "2", "-0.1"], confidence=0.7)
    assert kept == [
        {"text": "-3", "label": 0},
        {"text": "2", "label": 1},
    ]  # sigmoid(0.8) = 0.69
    assert len(pseudo_labelled(Teacher(), ["0.5", "-0.1"], confidence=0.0)) == 2


def test_what_pretraining_keeps_and_what_it_leaves(backbone):
    rows, before, prompt = (
        load_task("reviews-en").pool[:16],
        hub.weights_hash(backbone.model),
        soft(backbone),
    )
    start = prompt.prompt().detach().clone()
    kept = pretrain(prompt, rows, [2, 5], 0.03)
    assert set(kept) == {0, 2, 5} and {tuple(v.shape) for v in kept.values()} == {
        (20, 192)
    }
    assert (
        torch.equal(kept[0], start)
        and torch.equal(kept[5], prompt.prompt())
        and not torch.equal(kept[2], kept[5])
    )
    assert hub.weights_hash(backbone.model) == before and all(
        p.grad is None for p in backbone.model.parameters()
    )
    backbone.model.requires_grad_(True)
    with pytest.raises(
        ValueError,
        match=r"The backbone would get gradients: freeze it with model.requires_grad_\(False\)",
    ):
        pretrain(soft(backbone), rows, [2], 0.03)


def test_a_pretrained_prompt_beats_its_controls(backbone):
    """English reviews before any labelled row: above the majority, the untrained prompt and a backbone with random weights, by 5 points."""
    task, before, reached = (
        load_task("reviews-en"),
        hub.weights_hash(backbone.model),
        {},
    )
    teacher = PromptClassifier(
        backbone,
        Template("{text} It was {mask}.", backbone.tokenizer),
        Verbalizer({w: w for w in WORDS}, backbone.tokenizer),
    )
    teacher.calibrate(task.pool[:64])
    rows = pseudo_labelled(teacher, [row["text"] for row in task.pool[:200]])
    for control in (None, "untrained", "random weights"):
        if control == "random weights":
            assert hub.weights_hash(backbone.model) == before
            torch.manual_seed(0)
            backbone.model = (
                type(backbone.model)(backbone.model.config).eval().requires_grad_(False)
            )
        prompt = soft(backbone)
        if control != "untrained":
            pretrain(prompt, rows, [60], 0.03)
        reached[control] = accuracy(score_rows(task.test, prompt.scores), task.gold)
    assert reached[None] >= 0.05 + max(
        reached["untrained"], reached["random weights"], majority(task.gold)
    ), reached
