"""P-tuning, exported from chapter 10: the prompt encoder, what gets gradients, and what
is left when the encoder goes."""

import copy

import pytest
import torch

from prompttune_utils import hub
from prompttune_utils.evaluation import score_rows
from prompttune_utils.methods.p_tuning import FreePrompt, PromptEncoder, PTuning
from prompttune_utils.methods.prompt_oriented_fine_tuning import SoftTemplate
from prompttune_utils.methods.templates_and_verbalizers import Verbalizer
from prompttune_utils.training import fit, trainable
from tests.test_prompt_oriented import with_dropout

ROWS = [
    {"text": "A warm and funny book.", "label": 1},
    {"text": "冷的汤", "label": 0},
    {"text": "cold " * 400, "label": 0},
]


@pytest.fixture(scope="module")
def backbone():
    torch.set_num_threads(1)
    return hub.load("masked_lm", name="mini-bert-v1", verbose=False).frozen()


def classifier(backbone, kind="lstm"):
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


@pytest.mark.parametrize("kind", ["lstm", "mlp"])
def test_parameters_of_the_encoder(kind):
    d, m = 192, 6
    direction = (
        4 * (d // 2) * (d + d // 2 + 2)
    )  # four gates; weights of the input, of the state, and two biases
    assert trainable(PromptEncoder(m, d, kind)) == m * d + 2 * (d * d + d) + (
        4 * direction if kind == "lstm" else 0
    )
    assert PromptEncoder(m, d, kind)().shape == (m, d)


@pytest.mark.parametrize(
    "option, message",
    [
        ((3, 8, "LSTM"), "There is no prompt encoder 'LSTM': choose lstm or mlp"),
        ((3, 8, "transformer"), "choose lstm or mlp"),
        ((0, 8, "mlp"), "give 1 vector or more"),
        ((3, 7, "lstm"), "to an lstm an even width"),
    ],
)
def test_an_encoder_that_is_none_is_refused(option, message):
    with pytest.raises(ValueError, match=message):
        PromptEncoder(*option)


@pytest.mark.parametrize("kind", ["lstm", "mlp"])
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
    with_encoder = score_rows(ROWS, tuned.scores)
    tuned.drop_encoder()
    assert torch.allclose(score_rows(ROWS, tuned.scores), with_encoder, atol=1e-5)
    assert isinstance(tuned.prompt, FreePrompt) and trainable(tuned.prompt) == 4 * 192


def test_a_kept_prompt_shares_no_memory_with_what_made_it(backbone):
    source = torch.nn.Parameter(torch.ones(2, 192))
    kept = FreePrompt(source)
    with torch.no_grad():
        source.fill_(5.0)
    assert torch.equal(kept(), torch.ones(2, 192))
    tuned = classifier(backbone)
    encoder, before = tuned.prompt, tuned.prompt().detach().clone()
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
        assert torch.equal(tuned.scores(ROWS), tuned.scores(ROWS))


def test_the_encoder_runs_once_for_a_batch(backbone):
    tuned, calls = classifier(backbone), []
    tuned.prompt.register_forward_hook(lambda *_: calls.append(1))
    with torch.inference_mode():
        tuned.scores(ROWS)
    assert len(calls) == 1
