"""The classical classifiers that chapter 1 exports, and the pooling of chapter 2 (its
head is tested with the prompt)."""

import pytest
import torch

from prompttune_utils import hub
from prompttune_utils.methods.fine_tuning import text_vector
from prompttune_utils.methods.paradigms import LstmClassifier, NaiveBayes, word_vectors

ROWS = [
    {"text": "good film", "label": 1},
    {"text": "bad film", "label": 0},
    {"text": "good good book", "label": 1},
    {"text": "a bad bad bad book", "label": 0},
]


@pytest.fixture(scope="module")
def backbone():
    return hub.load("masked_lm", name="mini-bert", verbose=False)


def test_naive_bayes_learns_which_word_goes_with_which_label():
    model = NaiveBayes(str.split)
    model.fit(ROWS)
    scores = model.scores([{"text": "good"}, {"text": "bad"}])
    assert scores.argmax(1).tolist() == [1, 0]
    assert torch.allclose(scores.exp().sum(1), torch.ones(2, dtype=scores.dtype))


def test_word_vectors_stand_beside_like_words(backbone):
    vectors = word_vectors(backbone.tokenizer)
    assert len(vectors) == len(backbone.tokenizer) == backbone.model.config.vocab_size
    assert (
        vectors.similarity("terrible", "horrible")
        > vectors.similarity("terrible", "hotel") + 0.2
    )


def test_lstm_does_not_see_padding_and_takes_an_empty_text(backbone):
    model = LstmClassifier(
        word_vectors(backbone.tokenizer), backbone.tokenizer, labels=2
    ).eval()
    alone, beside = (
        model.scores([ROWS[0]]),
        model.scores([ROWS[0], {"text": "word " * 60}, {"text": ""}]),
    )
    assert torch.allclose(alone, beside[:1], atol=1e-5)
    assert beside.isfinite().all() and not model.embed.weight.requires_grad


def test_text_vector_by_hand():
    states, mask = (
        torch.tensor([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]]),
        torch.tensor([[1, 1, 0]]),
    )
    assert text_vector(states, mask, "cls").tolist() == [[1.0, 2.0]]
    assert text_vector(states, mask, "mean").tolist() == [[2.0, 3.0]]
