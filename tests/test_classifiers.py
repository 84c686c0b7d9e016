"""The classifiers that chapters 1 and 2 export: naive Bayes, the LSTM, and the head."""

import math

import pytest
import torch

from prompttune_utils import hub
from prompttune_utils.methods.fine_tuning import HeadClassifier, text_vector
from prompttune_utils.methods.paradigms import LstmClassifier, NaiveBayes, word_vectors

ROWS = [{"text": "good film", "label": 1}, {"text": "bad film", "label": 0}, {"text": "good good book", "label": 1}, {"text": "a bad bad bad book", "label": 0}]


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
    assert vectors.similarity("terrible", "horrible") > vectors.similarity("terrible", "hotel") + 0.2


def test_lstm_does_not_see_padding_and_takes_an_empty_text(backbone):
    model = LstmClassifier(word_vectors(backbone.tokenizer), backbone.tokenizer, labels=2).eval()
    alone, beside = model.scores([ROWS[0]]), model.scores([ROWS[0], {"text": "word " * 60}, {"text": ""}])
    assert torch.allclose(alone, beside[:1], atol=1e-5)
    assert beside.isfinite().all() and not model.embed.weight.requires_grad


def test_text_vector_by_hand():
    states, mask = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]]), torch.tensor([[1, 1, 0]])
    assert text_vector(states, mask, "cls").tolist() == [[1.0, 2.0]]
    assert text_vector(states, mask, "mean").tolist() == [[2.0, 3.0]]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_head_leaves_the_backbone_alone_and_starts_undecided(backbone, pooling):
    before = hub.weights_hash(backbone.model)
    model = HeadClassifier(backbone, labels=2, pooling=pooling)
    loss = model.loss(ROWS)
    loss.backward()
    assert abs(loss.item() - math.log(2)) < 0.3
    assert all(p.grad is not None for p in model.parameters())
    with torch.no_grad():
        model.encoder.embeddings.word_embeddings.weight.zero_()
    assert hub.weights_hash(backbone.model) == before


def test_head_reads_pairs(backbone):
    model = HeadClassifier(backbone, labels=3)
    pairs = [{"text": "A man sleeps.", "text_b": "Nobody sleeps.", "label": 2}, {"text": "x " * 300, "text_b": "y", "label": 0}]
    assert model.scores(pairs).shape == (2, 3)
