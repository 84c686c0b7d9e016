"""The classical classifiers that chapter 1 exports."""

import copy

import pytest
import torch

from prompttune_utils import hub
from prompttune_utils.methods.four_paradigms import (
    LstmClassifier,
    NaiveBayes,
    word_vectors,
)
from prompttune_utils.training import fit

ROWS = [
    {"text": "good film", "label": 1},
    {"text": "bad film", "label": 0},
    {"text": "good good book", "label": 1},
    {"text": "a bad bad bad book", "label": 0},
]


@pytest.fixture(scope="module")
def backbone():
    return hub.load("masked_lm", verbose=False)


def test_naive_bayes_learns_which_word_goes_with_which_label():
    model = NaiveBayes(str.split)
    model.fit(ROWS)
    scores = model.logits([{"text": "good"}, {"text": "bad"}])
    assert scores.argmax(1).tolist() == [1, 0]
    assert torch.allclose(scores.exp().sum(1), torch.ones(2, dtype=scores.dtype))


@pytest.mark.parametrize("labels", [(0, 2), (1, 2), (0, None), (0, "1")])
def test_naive_bayes_refuses_labels_with_a_gap(labels):
    """Its columns are the labels that it saw: label 2 would have been read as 1."""
    rows = [{"text": "good", "label": label} for label in labels]
    with pytest.raises(ValueError, match="rows of every label, and number .* from 0"):
        NaiveBayes(str.split).fit(rows)


def test_word_vectors_stand_beside_like_words(backbone):
    vectors = word_vectors(backbone.tokenizer)
    assert len(vectors) == len(backbone.tokenizer) == backbone.model.config.vocab_size
    assert (
        vectors.similarity("terrible", "horrible")
        > vectors.similarity("terrible", "hotel") + 0.2
    )


def test_word_vectors_of_another_vocabulary_are_refused():
    class Other(dict):
        """Ten tokens."""

    with pytest.raises(
        ValueError, match="and this tokenizer has 10: take .* mini-bert"
    ):
        word_vectors(Other.fromkeys(range(10)))


@pytest.fixture
def lstm(backbone):
    torch.manual_seed(0)
    vectors = word_vectors(backbone.tokenizer)
    return LstmClassifier(vectors, backbone.tokenizer, labels=2).eval()


@pytest.mark.parametrize("text", ["", " \t", "\x00\x07"])
def test_lstm_reads_a_text_without_any_token(lstm, text):
    """Alone in its batch it gave an empty tensor once."""
    alone, beside = (
        lstm.logits([{"text": text}]),
        lstm.logits([{"text": text}, ROWS[0]]),
    )
    assert torch.allclose(alone, beside[:1], atol=1e-5) and alone.isfinite().all()


def test_lstm_reads_the_first_128_tokens(lstm):
    long = lstm.logits([{"text": "good " * 128 + "bad " * 50}])
    assert torch.allclose(long, lstm.logits([{"text": "good " * 128}]))
    assert not torch.allclose(long, lstm.logits([{"text": "good " * 127}]))


def test_lstm_reads_marks_as_words_whatever_side_is_padded(lstm):
    rows = [{"text": "good [SEP] [MASK] film"}, {"text": "good film"}]
    scores = lstm.logits(rows)
    words = lstm.logits([{"text": "good [ SEP ] [ MASK ] film"}])
    assert torch.allclose(scores[:1], words, atol=1e-6)
    lstm.tokenizer = copy.deepcopy(lstm.tokenizer)
    lstm.tokenizer.padding_side = lstm.tokenizer.truncation_side = "left"
    assert torch.equal(lstm.logits(rows), scores)


@pytest.mark.parametrize(
    "rows, message",
    [
        ([], "list of rows is empty"),
        ([{"label": 0}], "has no text under 'text'"),
        ([{"text": "a", "text_b": "b"}], "reads one: join the two under 'text'"),
    ],
)
def test_both_name_rows_that_they_cannot_read(lstm, rows, message):
    bayes = NaiveBayes(str.split)
    bayes.fit(ROWS)
    for model in (bayes, lstm):
        with pytest.raises(ValueError, match=message):
            model.logits(rows)


def test_the_lstm_is_a_method_that_trains_all_but_its_word_vectors(lstm, tmp_path):
    before = lstm.model.weight.clone()
    first = float(lstm.loss(ROWS))
    fit(lstm, ROWS, learning_rate=1e-2, steps=10)
    assert float(lstm.loss(ROWS)) < first and torch.equal(lstm.model.weight, before)
    assert lstm.trainable == sum(p.numel() for p in lstm.parameters()) - before.numel()
    lstm.save(tmp_path / "lstm.safetensors")
    other = LstmClassifier(word_vectors(lstm.tokenizer), lstm.tokenizer, labels=2)
    other.load(tmp_path / "lstm.safetensors").eval()
    assert torch.allclose(other.logits(ROWS), lstm.logits(ROWS))


def test_lstm_names_a_label_that_it_lacks(lstm):
    with pytest.raises(ValueError, match="is 2: give each row a number from 0 to 1"):
        lstm.loss([{"text": "a", "label": 2}])


def test_lstm_does_not_see_padding_and_takes_an_empty_text(lstm):
    model = lstm
    alone, beside = (
        model.logits([ROWS[0]]),
        model.logits([ROWS[0], {"text": "word " * 60}, {"text": ""}]),
    )
    assert torch.allclose(alone, beside[:1], atol=1e-5)
    assert beside.isfinite().all() and not model.model.weight.requires_grad
