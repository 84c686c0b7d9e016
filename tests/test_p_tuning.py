"""P-tuning, exported from chapter 10: the prompt encoder, what gets gradients, and what
is left when the encoder goes."""

import copy

import pytest
import torch

from prompttune_utils import hub
from prompttune_utils.evaluation import score_rows
from prompttune_utils.methods.p_tuning import (
    PromptEncoder,
    PTunedDecoder,
    PTuning,
    query_ids,
)
from prompttune_utils.methods.prompt_oriented_fine_tuning import (
    FreeVectors,
    SoftTemplate,
)
from prompttune_utils.methods.templates_and_verbalizers import Verbalizer
from prompttune_utils.prompting import token_ids
from prompttune_utils.slots import FIRST_SOFT
from prompttune_utils.training import fit
from tests.test_prompt_oriented import with_dropout
from tests.tiny import trainable

ROWS = [
    {"text": "A warm and funny book.", "label": 1},
    {"text": "冷的汤", "label": 0},
    {"text": "cold " * 400, "label": 0},
]


@pytest.fixture(scope="module")
def backbone():
    torch.set_num_threads(1)
    return hub.load("masked_lm", name="mini-bert", verbose=False).frozen()


def classifier(backbone, kind="lstm+mlp"):
    torch.manual_seed(0)
    template = SoftTemplate(
        "{soft:3} {text} It was {mask}.{soft}", backbone.tokenizer, 64
    )
    return PTuning(
        backbone,
        template,
        Verbalizer({"negative": "terrible", "positive": "great"}, backbone.tokenizer),
        PromptEncoder(4, backbone.model.config.hidden_size, kind),
    )


@pytest.mark.parametrize("kind", ["none", "mlp", "lstm", "lstm+mlp"])
def test_parameters_of_the_encoder(kind):
    d, m = 256, 6
    # four gates; weights of the input, of the state, and two biases
    direction = 4 * (d // 2) * (d + d // 2 + 2)
    mlp, lstm = 2 * (d * d + d), 4 * direction
    wanted = m * d + mlp * ("mlp" in kind) + lstm * ("lstm" in kind)
    encoder = PromptEncoder(m, d, kind)
    assert trainable(encoder) == wanted and encoder().shape == (m, d)
    assert kind != "none" or encoder() is encoder.start


@pytest.mark.parametrize(
    "option, message",
    [
        ((3, 8, "LSTM"), "There is no prompt encoder 'LSTM': choose none, mlp, lstm"),
        ((0, 8, "mlp"), "give 1 vector or more"),
        ((3, 7, "lstm+mlp"), "to an LSTM an even width"),
    ],
)
def test_an_encoder_that_is_none_is_refused(option, message):
    with pytest.raises(ValueError, match=message):
        PromptEncoder(*option)


@pytest.mark.parametrize("kind", ["none", "mlp", "lstm", "lstm+mlp"])
def test_exactly_the_encoder_moves(backbone, kind):
    before, tuned = hub.weights_hash(backbone.model), classifier(backbone, kind)
    start = [p.detach().clone() for p in tuned.prompt.parameters()]
    tuned.loss(ROWS).backward()
    assert all(p.grad is not None and p.grad.any() for p in tuned.prompt.parameters())
    assert all(p.grad is None for p in backbone.model.parameters())
    fit(tuned.prompt, ROWS, tuned.loss, learning_rate=1e-3, steps=3, batch_size=3)
    assert all(
        not torch.equal(a, b)
        for a, b in zip(start, tuned.prompt.parameters(), strict=True)
    )
    assert hub.weights_hash(backbone.model) == before


def test_the_encoder_is_not_needed_afterwards(backbone):
    tuned = classifier(backbone)
    with_encoder = score_rows(ROWS, tuned.logits)
    tuned.drop_encoder()
    assert torch.equal(score_rows(ROWS, tuned.logits), with_encoder)
    assert isinstance(tuned.prompt, FreeVectors) and trainable(tuned.prompt) == 4 * 256


def test_a_kept_prompt_shares_no_memory_with_what_made_it(backbone):
    source = torch.nn.Parameter(torch.ones(2, 256))
    kept = FreeVectors(source)
    with torch.no_grad():
        source.fill_(5.0)
    assert torch.equal(kept(), torch.ones(2, 256))
    tuned = classifier(backbone)
    with torch.no_grad():
        encoder, before = tuned.prompt, tuned.prompt().clone()
    tuned.drop_encoder()
    with torch.no_grad():
        encoder.start.fill_(5.0)
    assert torch.equal(tuned.prompt(), before)
    twin = copy.deepcopy(tuned)
    fit(tuned.prompt, ROWS, tuned.loss, learning_rate=1e-2, steps=1, batch_size=3)
    assert torch.equal(twin.prompt(), before) and not torch.equal(
        tuned.prompt(), before
    )


def test_a_frozen_model_drops_nothing_while_its_prompt_trains(backbone):
    """Also one that has dropout, and the scores are the same twice afterwards."""
    tuned, same = classifier(with_dropout(backbone).frozen()), []

    def loss(rows):
        first, second = tuned.loss(rows), tuned.loss(rows)
        same.append(torch.equal(first, second))
        return second

    fit(tuned.prompt, ROWS, loss, learning_rate=1e-3, steps=2, batch_size=3)
    with torch.inference_mode():
        assert same == [True, True]
        assert torch.equal(tuned.logits(ROWS), tuned.logits(ROWS))


def test_the_encoder_runs_once_for_a_batch(backbone):
    tuned, calls = classifier(backbone), []
    tuned.prompt.register_forward_hook(lambda *_: calls.append(1))
    with torch.inference_mode():
        tuned.logits(ROWS)
    assert len(calls) == 1


def test_any_word_can_be_the_answer(backbone):
    tuned = classifier(backbone)
    with torch.inference_mode():
        z, few = tuned.word_logits(ROWS), tuned(ROWS)
    assert z.shape == (3, len(backbone.tokenizer))
    assert torch.allclose(z[:, [ids[0] for ids in tuned.verbalizer.ids]], few)
    gold = [tuned.verbalizer.ids[row["label"]][0] for row in ROWS]
    wanted = -z.log_softmax(1)[range(3), gold].mean()
    assert torch.isclose(tuned.word_loss(ROWS), wanted)
    with pytest.raises(ValueError, match="label"):
        tuned.word_loss([{"text": "no label"}])


@pytest.fixture(scope="module")
def decoder():
    return hub.load("causal_lm", name="mini-gpt", verbose=False).frozen()


def test_vectors_that_are_words_do_in_a_decoder_what_the_words_do(decoder):
    words, rows = ["London", "Paris"], [{"text": "Britain", "label": 0}, ROWS[0]]
    ids = token_ids(decoder, "The capital of")
    matrix = decoder.model.get_input_embeddings().weight
    slots = f"{{soft:{len(ids)}}} {{text}} is"
    spelt = PTunedDecoder(decoder, slots, words, FreeVectors(matrix[ids]))
    none = FreeVectors(torch.empty(0, matrix.shape[1]))
    plain = PTunedDecoder(decoder, "The capital of {text} is", words, none)
    assert torch.allclose(spelt.score(rows), plain.score(rows), atol=1e-3)
    # and no row depends on what else is in its batch
    alone = torch.cat([spelt.score([row]) for row in rows])
    assert torch.allclose(spelt.score(rows), alone, atol=1e-3)


def test_vectors_stand_where_the_pattern_has_them(decoder):
    width = decoder.model.get_input_embeddings().weight.shape[1]
    pattern = "{soft:2}Of {text}{soft} is"
    tuned = PTunedDecoder(decoder, pattern, ["London"], PromptEncoder(3, width))
    ids = query_ids(tuned.pieces, "Britain", decoder)
    places = [i - FIRST_SOFT for i in ids if i >= FIRST_SOFT]
    assert places == [0, 1, 2] and ids[:2] == [FIRST_SOFT, FIRST_SOFT + 1]
    with pytest.raises(ValueError, match="has no {text}: give it one"):
        PTunedDecoder(decoder, "{soft} is", ["London"], PromptEncoder(1, width))
    tuned = PTunedDecoder(decoder, pattern, ["London"], PromptEncoder(2, width))
    with pytest.raises(ValueError, match="give as many vectors"):
        tuned.score(ROWS)


def test_a_decoder_learns_by_its_vectors_alone(decoder):
    width = decoder.model.get_input_embeddings().weight.shape[1]
    torch.manual_seed(0)
    encoder = PromptEncoder(3, width)
    tuned = PTunedDecoder(decoder, "{soft:3}{text} is", ["good", "bad"], encoder)
    before, rows = hub.weights_hash(decoder.model), [ROWS[0], ROWS[1]]
    how = {"learning_rate": 1e-3, "steps": 8, "batch_size": 2, "warmup": 0.0}
    losses = fit(tuned, rows, tuned.word_loss, **how)
    assert losses[-1] < losses[0] and hub.weights_hash(decoder.model) == before
    with_encoder = tuned.score(rows)
    tuned.drop_encoder()
    assert torch.equal(tuned.score(rows), with_encoder)
    assert tuned.trainable == 3 * width
