"""P-tuning v2 and Prefix-Tuning, exported from chapter 11: shapes, what gets gradients, what stays, and entity F1 by hand."""

import copy
import math
from collections import Counter

import pytest
import torch

from prompttune_utils import hub
from prompttune_utils.methods.deep_prompts import (
    DeepPrompts,
    PrefixEncoder,
    PrefixTuned,
    entity_f1,
    key_value_pairs,
    spans,
)
from prompttune_utils.restaurants import restaurants
from prompttune_utils.training import fit, trainable

TEXTS = ["A warm and funny book.", "冷的汤"]


@pytest.fixture
def bert():
    torch.set_num_threads(1)
    return hub.load("masked_lm", name="mini-bert", verbose=False)


def test_keys_and_values_of_a_prefix():
    prefix = torch.arange(3 * 2 * 4 * 6.0).view(3, -1)
    pairs = key_value_pairs(prefix, layers=4, heads=2)
    assert len(pairs) == 4 and {tuple(p.shape) for p in pairs} == {(2, 2, 3, 3)}
    assert torch.equal(
        pairs[1][0, 1, 2], prefix[2, 2 * 6 + 3 : 2 * 6 + 6]
    )  # layer 1, keys, second head, third virtual token
    assert trainable(PrefixEncoder(5, 4, 192)) == 2 * 4 * 5 * 192


@pytest.mark.parametrize("hidden", [0, 32])
def test_every_entry_of_the_prefix_and_nothing_else_moves(bert, hidden):
    before = hub.weights_hash(bert.model)
    deep = DeepPrompts(bert.model.base_model, PrefixEncoder(5, 4, 192, hidden))
    inputs = bert.tokenizer(TEXTS, padding=True, return_tensors="pt")

    def loss(rows):
        return deep(**inputs).last_hidden_state.square().mean()

    loss([]).backward()
    assert all(
        p.grad is not None and p.grad.ne(0).float().mean() > 0.99
        for p in deep.prefix.parameters()
    )
    assert all(p.grad is None for p in bert.model.parameters())
    fit(deep, [{}], loss, learning_rate=1e-2, steps=2, batch_size=1)
    assert hub.weights_hash(bert.model) == before
    with torch.inference_mode():
        first, again = (
            deep(**inputs).last_hidden_state,
            deep(**inputs).last_hidden_state,
        )  # a cache that grew would change the second
        alone = deep(**bert.tokenizer(TEXTS[:1], return_tensors="pt")).last_hidden_state
        assert torch.equal(first, again) and torch.allclose(
            first[:1, : alone.shape[1]], alone, atol=1e-4
        )
        if hidden:
            deep.prefix.drop_mlp()
            assert torch.allclose(deep(**inputs).last_hidden_state, first, atol=1e-5)


def test_a_text_too_long_for_the_prefix_is_named(bert):
    deep, limit = (
        DeepPrompts(bert.model.base_model, PrefixEncoder(5, 4, 192)),
        bert.model.config.max_position_embeddings,
    )
    ids = torch.full((1, limit - 4), 9)
    with pytest.raises(
        ValueError,
        match=f"{limit - 4} tokens and a prefix of 5 exceed the model's {limit} positions: cut the text",
    ):
        deep(ids, torch.ones_like(ids))


def test_all_three_prefixes_of_an_encoder_decoder_get_gradients():
    backbone = hub.load("seq2seq_lm", name="mini-t5-s", verbose=False)
    before = hub.weights_hash(backbone.model)
    tuned = PrefixTuned(backbone, 5)
    tuned.loss([{"text": text, "target": "好"} for text in TEXTS]).backward()
    graded = {n: p.grad for n, p in tuned.named_parameters() if p.requires_grad}
    assert len(graded) == 3 and all(
        g is not None and g.ne(0).float().mean() > 0.99 for g in graded.values()
    )
    assert (
        all(p.grad is None for p in backbone.model.parameters())
        and hub.weights_hash(backbone.model) == before
    )


def test_entities():
    assert spans(["B-name", "I-name", "O", "B-food", "B-food", "I-area"]) == {
        ("name", 0, 2),
        ("food", 3, 4),
        ("food", 4, 5),
        ("area", 5, 6),
    }
    assert entity_f1(
        [["B-name", "O", "B-food"]], [["B-name", "I-name", "B-food"]]
    ) == pytest.approx(0.5)
    assert entity_f1([["O"]], [["O"]]) == 0.0


def test_a_trained_prefix_beats_its_controls():
    """Descriptions of restaurants, the backbone frozen, loss a token on unseen ones: below the guess by frequency, an untrained prefix and random weights."""
    backbone = hub.load("seq2seq_lm", name="mini-t5-s", verbose=False)
    parts = [
        [
            {"text": row["text"], "target": row["references"][0]}
            for row in restaurants(n, seed=0, test=test)
        ]
        for n, test in ((150, False), (30, True))
    ]
    before, reached = hub.weights_hash(backbone.model), {}
    for control in (None, "untrained", "random weights"):
        home = copy.copy(backbone)
        torch.manual_seed(0)
        if control == "random weights":
            home.model = type(backbone.model)(backbone.model.config).eval()
        tuned = PrefixTuned(home, 16)
        if control != "untrained":
            fit(
                tuned,
                parts[0],
                tuned.loss,
                learning_rate=0.3,
                steps=60,
                batch_size=8,
                weight_decay=0.0,
            )
        with torch.inference_mode():
            reached[control] = tuned.loss(parts[1]).item()
    taught, asked = (
        [
            i
            for ids in backbone.tokenizer([row["target"] for row in rows]).input_ids
            for i in ids
        ]
        for rows in parts
    )
    counts = Counter(taught)
    reached["guess"] = sum(
        -math.log((counts[i] + 1) / (len(taught) + len(backbone.tokenizer)))
        for i in asked
    ) / len(asked)
    assert (
        reached[None]
        <= min(reached["untrained"], reached["random weights"], reached["guess"]) - 0.5
    ), reached
    assert hub.weights_hash(backbone.model) == before
