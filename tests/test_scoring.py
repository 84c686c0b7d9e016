"""label_scores against the full models: the same numbers as their logits, without the
product of all positions with the output matrix."""

import pytest
import torch
import transformers as tf
from torch.nn.functional import linear
from transformers.modeling_outputs import CausalLMOutput

from prompttune_utils import hub
from prompttune_utils.methods.p_tuning import PromptEncoder
from prompttune_utils.methods.p_tuning_v2 import (
    DeepPrompts,
    InputPrompts,
    PrefixEncoder,
)
from prompttune_utils.scoring import (
    label_scores,
    last_layer_at,
    logits_at,
    remove_prior,
)
from tests.tiny import BART, DECODER, ENCODER, GPT2, T5


class MultipliesByHand(tf.GPT2LMHeadModel):
    """A model that takes the weights of its output matrix and never calls its module,
    as a quick re-implementation would."""

    def forward(self, input_ids=None, attention_mask=None, **_):
        states = self.transformer(input_ids, attention_mask=attention_mask)
        return CausalLMOutput(logits=linear(states[0], self.lm_head.weight) + 1)


def with_bias():
    """GPT-2 whose output matrix has a bias, as that of GPT-J has."""
    model = tf.GPT2LMHeadModel(tf.GPT2Config(**GPT2))
    model.lm_head = torch.nn.Linear(16, 60, bias=True)
    return model


# what stands before the output matrix or behind it, beside the name
ENCODERS = {
    "bert": lambda: tf.BertForMaskedLM(tf.BertConfig(**ENCODER)),  # transform, bias
    "roberta": lambda: tf.RobertaForMaskedLM(tf.RobertaConfig(**ENCODER)),
    "distilbert": lambda: tf.DistilBertForMaskedLM(
        tf.DistilBertConfig(vocab_size=60, dim=16, n_layers=2, n_heads=4, hidden_dim=32)
    ),
    "albert": lambda: tf.AlbertForMaskedLM(
        tf.AlbertConfig(**ENCODER, embedding_size=8)  # the matrix is narrower
    ),
    "modernbert": lambda: tf.ModernBertForMaskedLM(
        tf.ModernBertConfig(**ENCODER, cls_token_id=1, sep_token_id=2)
    ),
}
DECODERS = {
    "gpt2": lambda: tf.GPT2LMHeadModel(tf.GPT2Config(**GPT2)),
    "a bias": with_bias,
    "the module is not called": lambda: MultipliesByHand(tf.GPT2Config(**GPT2)),
    "qwen2": lambda: tf.Qwen2ForCausalLM(tf.Qwen2Config(**DECODER)),
    "gemma2": lambda: tf.Gemma2ForCausalLM(  # soft cap
        tf.Gemma2Config(**DECODER, head_dim=4, final_logit_softcapping=3.0)
    ),
    "granite": lambda: tf.GraniteForCausalLM(  # division
        tf.GraniteConfig(**DECODER, logits_scaling=8.0)
    ),
    "cohere": lambda: tf.CohereForCausalLM(  # scale
        tf.CohereConfig(**DECODER, logit_scale=0.0625)
    ),
}
BOTH = {
    "t5": lambda: tf.T5ForConditionalGeneration(tf.T5Config(**T5)),  # scaled states
    "t5 1.1": lambda: tf.T5ForConditionalGeneration(
        tf.T5Config(**T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    ),
    "mt5": lambda: tf.MT5ForConditionalGeneration(tf.MT5Config(**T5)),
    "umt5": lambda: tf.UMT5ForConditionalGeneration(tf.UMT5Config(**T5)),
    "switch": lambda: tf.SwitchTransformersForConditionalGeneration(
        tf.SwitchTransformersConfig(**T5)
    ),
    "bart": lambda: tf.BartForConditionalGeneration(tf.BartConfig(**BART)),  # a bias
}
MODELS = ENCODERS | DECODERS | BOTH
LABELS = [[7], [11, 13], [5, 6, 59]]


def build(name):
    """A tiny model whose weights and buffers are all random, its biases too (a fresh
    head has zeros there, which hide mistakes)."""
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    with torch.no_grad():
        for value in model.state_dict().values():
            value.add_(0.3 * torch.randn_like(value))
    return model


@pytest.fixture
def inputs():
    """Three texts of 9, 6 and 1 tokens, padded on the right."""
    ids = torch.randint(5, 60, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(9) < torch.tensor([[9], [6], [1]])).long()
    return {"input_ids": torch.where(mask == 1, ids, 0), "attention_mask": mask}


def same(scores, logits, position):
    """Whether scores are the means over `LABELS` of the full logits at a position."""
    rows = logits[torch.arange(len(position)), position]
    expected = torch.stack([rows[:, ids].mean(1) for ids in LABELS], dim=1)
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ENCODERS | DECODERS)
@torch.no_grad()
def test_scores_are_the_logits(name, inputs):
    model, position = build(name), torch.tensor([4, 2, 0])
    logits = model(**inputs).logits
    same(label_scores(model, inputs, LABELS, position), logits, position)
    same(label_scores(model, inputs, LABELS), logits, torch.tensor([8, 5, 0]))


@pytest.mark.parametrize("name", BOTH)
@torch.no_grad()
def test_scores_of_seq2seq_are_the_logits(name, inputs):
    model = build(name)
    start = torch.full((3, 1), model.config.decoder_start_token_id)
    logits = model(**inputs, decoder_input_ids=start).logits
    same(label_scores(model, inputs, LABELS), logits, torch.zeros(3, dtype=torch.long))
    inputs["decoder_input_ids"] = torch.tensor([[0, 9, 8], [0, 5, 7], [0, 3, 4]])
    position = torch.tensor([0, 1, 2])
    logits = model(**inputs).logits
    same(label_scores(model, inputs, LABELS, position), logits, position)


@pytest.mark.parametrize("name", ["bert", "gpt2", "gemma2", "t5", "bart"])
@torch.no_grad()
def test_logits_at_a_mask_are_those_of_its_true_positions(name, inputs):
    """As a loss over many positions reads them; order: text by text."""
    model, where = build(name), inputs["attention_mask"].bool()
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    logits = model(**inputs).logits
    at = logits_at(model, inputs, where)
    torch.testing.assert_close(at, logits[where], atol=1e-5, rtol=1e-5)
    again = model(**inputs).logits  # nothing stays on the model
    torch.testing.assert_close(again, logits)


@torch.no_grad()
def test_t5_scaling_survives_saving(inputs, tmp_path):
    """Under transformers 5 every T5 ties its embeddings; whether it scales the states
    is kept elsewhere in the configuration."""
    for name in ("t5", "t5 1.1"):
        build(name).save_pretrained(tmp_path / name)
        model = tf.T5ForConditionalGeneration.from_pretrained(tmp_path / name)
        start = torch.zeros(3, 1, dtype=torch.long)
        logits = model(**inputs, decoder_input_ids=start).logits
        same(label_scores(model, inputs, LABELS), logits, start[:, 0])


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
@torch.no_grad()
def test_vectors_instead_of_ids(name, inputs):
    """Soft prompts come as inputs_embeds."""
    model = build(name)
    vectors = {
        "inputs_embeds": model.get_input_embeddings()(inputs["input_ids"]),
        "attention_mask": inputs["attention_mask"],
    }
    torch.testing.assert_close(
        label_scores(model, vectors, LABELS),
        label_scores(model, inputs, LABELS),
        atol=1e-6,
        rtol=1e-6,
    )


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"the module is not called"}))
def test_the_output_matrix_meets_one_row_a_text_and_gradients_flow(name, inputs):
    model, met = build(name), []
    model.get_output_embeddings().register_forward_hook(
        lambda module, given, out: met.append(out.shape[:-1].numel())
    )
    scores = label_scores(model, inputs, LABELS)
    assert met == [3]  # of 27 positions
    assert scores.shape == (3, 3) and scores.dtype == torch.float32
    scores.sum().backward()
    assert model.get_input_embeddings().weight.grad.abs().sum() > 0


def test_an_error_inside_the_model_leaves_no_hook_behind(inputs):
    model, position = build("gpt2"), torch.tensor([4, 2, 0])
    with pytest.raises(IndexError):
        label_scores(model, inputs, LABELS, position + 5)
    assert model(**inputs).logits.shape == (3, 9, 60)
    assert label_scores(model, inputs, LABELS, position).shape == (3, 3)


def test_what_cannot_be_scored_is_refused_in_a_sentence(inputs):
    model = build("gpt2")
    for ids in ([], [60], [5, -1]):
        with pytest.raises(ValueError, match=r"label 1 have the ids .+ from 0 to 59\."):
            label_scores(model, inputs, [[7], ids])
    for position in (torch.tensor([4]), torch.zeros(3, 1, dtype=torch.long)):
        with pytest.raises(ValueError, match="for 3 texts: give one position a text"):
            label_scores(model, inputs, LABELS, position)
    with pytest.raises(ValueError, match="GPT2Model has no output matrix"):
        label_scores(model.transformer, inputs, LABELS)


def test_remove_prior():
    """By hand: a prior of odds 3 to 1 and a text of odds 3 to 1 leave nothing; a
    constant in the logits changes nothing."""
    prior = torch.tensor([[0.75, 0.25], [0.75, 0.25]]).log()
    scores = torch.tensor([[0.75, 0.25], [0.5, 0.5]]).log()
    out = remove_prior(scores + 5, prior - 2)
    torch.testing.assert_close(out[0], torch.zeros(2))
    torch.testing.assert_close(out[1, 1] - out[1, 0], torch.tensor(3.0).log())


@pytest.mark.parametrize("shape", [(0, 2), (2,), (3, 1), (3, 3)])
def test_prior_of_nothing_or_of_other_labels(shape):
    with pytest.raises(ValueError, match="The prior has the shape .+ same labels"):
        remove_prior(torch.zeros(4, 2), torch.zeros(shape))


@pytest.mark.parametrize("around, place", [(InputPrompts, 5), (DeepPrompts, 0)])
def test_the_last_layer_at_one_place(around, place):
    """The same loss and gradients, and afterwards the encoder is as it was."""
    encoder = hub.load("masked_lm", name="mini-bert-s", verbose=False).model.base_model
    config = encoder.config
    torch.manual_seed(0)
    prompt = PromptEncoder(5, config.hidden_size)
    if around is DeepPrompts:
        prompt = PrefixEncoder(5, config.num_hidden_layers, config.hidden_size)
    model = around(encoder, prompt)
    ids = torch.arange(100, 124).reshape(2, 12)
    mask = torch.ones_like(ids)
    mask[1, 8:] = 0

    def gradients(states):
        states.square().sum().backward()
        found = [p.grad for p in prompt.parameters()]
        prompt.zero_grad()
        return found

    whole = model(ids, mask).last_hidden_state[:, 0]
    with last_layer_at(model.encoder, place) as states:
        model(ids, mask)
    assert states[0].shape == whole.shape
    assert torch.allclose(states[0], whole, atol=1e-5)
    for one, other in zip(gradients(states[0]), gradients(whole), strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-5)
    after = model(ids, mask).last_hidden_state[:, 0]
    assert torch.equal(after, whole)


def test_the_last_layer_of_another_family():
    decoder = hub.load("causal_lm", name="mini-gpt-s", verbose=False).model.base_model
    with (
        pytest.raises(ValueError, match="The last layer of GPTNeoXModel is not built"),
        last_layer_at(decoder, 0),
    ):
        pass
