"""PPT, exported from chapter 12.

Where rows without labels come from, what is pre-trained, what is refused, and that it
helps before any labelled row.
"""

import random
import re

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from prompttune_utils import hub
from prompttune_utils.data import load_task
from prompttune_utils.methods.ppt import (
    as_choice,
    lettered,
    next_sentence_choices,
    pretrain,
    pseudo_labelled,
    sentence_pairs,
    sentences,
)
from prompttune_utils.methods.prompt_oriented_fine_tuning import (
    FreeVectors,
    SoftPrompt,
    SoftTemplate,
    word_ids,
)
from prompttune_utils.methods.templates_and_verbalizers import (
    Verbalizer,
)
from tests.tiny import ENCODER

DOCUMENTS = [
    [f"Sentence {number} of document {letter}." for number in range(2 + at)]
    for at, letter in enumerate("abcde")
]
WORDS = ["terrible", "great"]


@pytest.fixture
def backbone():
    torch.set_num_threads(1)
    return hub.load("masked_lm", name="mini-bert-v1", verbose=False).frozen()


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


@pytest.mark.parametrize(
    "documents, problem",
    [
        ([["one", "two"], ["alone"]], "Document 1 has 1 sentences, and two are needed"),
        ([[], ["one", "two"]], "Document 0 has 0 sentences"),
        ([["one", "two", "three"]], "There are 1 documents, and sentences of another"),
        ([["one", "two"]] * 0, "There are 0 documents"),
        ([DOCUMENTS[0]] * 3, "There are 3 documents, and sentences of another"),
    ],
)
def test_documents_that_give_no_rows(documents, problem):
    with pytest.raises(ValueError, match=problem):
        sentence_pairs(documents, 3, random.Random(0))
    with pytest.raises(ValueError, match=problem):
        next_sentence_choices(documents, 3, random.Random(0), 4, lambda row: True)


def test_questions_that_cannot_be_asked():
    """Neither an endless loop nor an option that is left out."""
    with pytest.raises(ValueError, match="1000 questions in a row did not fit: give"):
        next_sentence_choices(DOCUMENTS, 3, random.Random(0), 4, lambda row: False)
    for options in (0, 1, 7):
        with pytest.raises(
            ValueError, match=f"cannot have {options} options: choose 2 to 6"
        ):
            next_sentence_choices(
                DOCUMENTS, 3, random.Random(0), options, lambda row: True
            )
    assert lettered(list("uvwxyz")) == "A. u B. v C. w D. x E. y F. z"
    with pytest.raises(ValueError, match="has 7 options, and there are letters for 6"):
        lettered(list("tuvwxyz"))
    (row,) = next_sentence_choices(DOCUMENTS, 1, random.Random(0), 6, lambda row: True)
    assert row["text_b"].count("Sentence") == 6


@pytest.mark.parametrize("label", [2, -1, None, "0"])
def test_a_label_without_a_word_is_no_choice(label):
    with pytest.raises(
        ValueError, match=f"label {label!r} of a row is not the number of one of the 2"
    ):
        as_choice({"text": "x", "label": label}, WORDS)


def test_label_words_that_make_no_choice():
    with pytest.raises(ValueError, match="repeat one: give each label its own word"):
        as_choice({"text": "x", "label": 1}, ["good", "good"])
    with pytest.raises(ValueError, match="has 7 options"):
        as_choice({"text": "x", "label": 1}, list("abcdefg"))


@pytest.mark.parametrize("confidence", [1.0, 1.5, -0.1, float("nan"), 70])
def test_a_confidence_that_no_probability_is_above(confidence):
    class Teacher:
        def scores(self, rows):
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
        assert torch.equal(prompt.scores(rows), prompt.scores(rows))
    again = pretrain(soft(backbone), rows, [3], 0.03)
    assert torch.equal(first[3], again[3])
