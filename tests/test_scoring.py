"""label_scores against the full models: the same numbers as their logits, without the full output matrix."""

import pytest
import torch
import transformers as tf

from prompttune_utils.scoring import label_scores, remove_prior

SMALL = dict(
    vocab_size=60,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=32,
)
T5 = dict(
    vocab_size=60,
    d_model=16,
    d_kv=4,
    d_ff=32,
    num_layers=2,
    num_heads=4,
    decoder_start_token_id=0,
)
MODELS = {
    "bert": lambda: tf.BertForMaskedLM(tf.BertConfig(**SMALL)),
    "roberta": lambda: tf.RobertaForMaskedLM(tf.RobertaConfig(**SMALL)),
    "distilbert": lambda: tf.DistilBertForMaskedLM(
        tf.DistilBertConfig(vocab_size=60, dim=16, n_layers=2, n_heads=4, hidden_dim=32)
    ),
    "gpt2": lambda: tf.GPT2LMHeadModel(
        tf.GPT2Config(vocab_size=60, n_embd=16, n_layer=2, n_head=4)
    ),
    "qwen2": lambda: tf.Qwen2ForCausalLM(
        tf.Qwen2Config(**SMALL, num_key_value_heads=2)
    ),
    "t5": lambda: tf.T5ForConditionalGeneration(tf.T5Config(**T5)),
    "t5 1.1": lambda: tf.T5ForConditionalGeneration(
        tf.T5Config(**T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    ),
    "mt5": lambda: tf.MT5ForConditionalGeneration(tf.MT5Config(**T5)),
    "umt5": lambda: tf.UMT5ForConditionalGeneration(tf.UMT5Config(**T5)),
}
LABELS = [[7], [11, 13], [5, 6, 59]]


def build(name):
    """A tiny model whose weights are all random, its biases too (a fresh head has zeros there, which hide mistakes)."""
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model


@pytest.fixture
def inputs():
    """Three texts of 9, 6 and 1 tokens, padded on the right."""
    ids = torch.randint(5, 60, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(9) < torch.tensor([[9], [6], [1]])).long()
    return {"input_ids": torch.where(mask == 1, ids, 1), "attention_mask": mask}


def expected(logits, position):
    rows = logits[torch.arange(len(position)), position]
    return torch.stack([rows[:, ids].mean(1) for ids in LABELS], dim=1)


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "gpt2", "qwen2"])
@torch.no_grad()
def test_scores_are_the_logits(name, inputs):
    model, position = build(name), torch.tensor([4, 2, 0])
    logits = model(**inputs).logits
    torch.testing.assert_close(
        label_scores(model, inputs, LABELS, position),
        expected(logits, position),
        atol=1e-5,
        rtol=1e-5,
    )
    last = torch.tensor([8, 5, 0])
    torch.testing.assert_close(
        label_scores(model, inputs, LABELS),
        expected(logits, last),
        atol=1e-5,
        rtol=1e-5,
    )


@pytest.mark.parametrize("name", ["t5", "t5 1.1", "mt5", "umt5"])
@torch.no_grad()
def test_scores_of_seq2seq_are_the_logits(name, inputs):
    model = build(name)
    logits = model(
        **inputs, decoder_input_ids=torch.zeros(3, 1, dtype=torch.long)
    ).logits
    torch.testing.assert_close(
        label_scores(model, inputs, LABELS),
        expected(logits, torch.zeros(3, dtype=torch.long)),
        atol=1e-5,
        rtol=1e-5,
    )
    inputs["decoder_input_ids"] = torch.tensor([[0, 9, 8], [0, 5, 7], [0, 3, 4]])
    position = torch.tensor([0, 1, 2])
    torch.testing.assert_close(
        label_scores(model, inputs, LABELS, position),
        expected(model(**inputs).logits, position),
        atol=1e-5,
        rtol=1e-5,
    )


@torch.no_grad()
def test_t5_scaling_survives_saving(inputs, tmp_path):
    """Under transformers 5 every T5 ties its embeddings; whether it scales the states is kept elsewhere in the configuration."""
    for name in ("t5", "t5 1.1"):
        build(name).save_pretrained(tmp_path / name)
        model = tf.T5ForConditionalGeneration.from_pretrained(tmp_path / name)
        logits = model(
            **inputs, decoder_input_ids=torch.zeros(3, 1, dtype=torch.long)
        ).logits
        torch.testing.assert_close(
            label_scores(model, inputs, LABELS),
            expected(logits, torch.zeros(3, dtype=torch.long)),
            atol=1e-5,
            rtol=1e-5,
        )


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


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "gpt2", "t5"])
def test_the_output_matrix_is_not_multiplied_and_gradients_flow(name, inputs):
    model = build(name)

    def forbidden(*_):
        raise AssertionError("the whole output matrix was used")

    model.get_output_embeddings().register_forward_hook(forbidden)
    scores = label_scores(model, inputs, LABELS)
    assert scores.shape == (3, 3) and scores.dtype == torch.float32
    scores.sum().backward()
    assert model.get_input_embeddings().weight.grad.abs().sum() > 0


def test_an_unknown_head_is_an_error_and_no_wrong_number(inputs):
    model = tf.ModernBertForMaskedLM(
        tf.ModernBertConfig(
            **SMALL,
            pad_token_id=0,
            cls_token_id=1,
            sep_token_id=2,
            bos_token_id=1,
            eos_token_id=2,
        )
    ).eval()
    with pytest.raises(
        ValueError,
        match="head of ModernBertForMaskedLM is not known.*use a model of the BERT, RoBERTa or DistilBERT family",
    ):
        label_scores(model, inputs, LABELS)


def test_remove_prior():
    """By hand: a prior of odds 3 to 1 and a text of odds 3 to 1 leave nothing; a constant in the logits changes nothing."""
    prior = torch.tensor([[0.75, 0.25], [0.75, 0.25]]).log()
    scores = torch.tensor([[0.75, 0.25], [0.5, 0.5]]).log()
    out = remove_prior(scores + 5, prior - 2)
    torch.testing.assert_close(out[0], torch.zeros(2))
    torch.testing.assert_close(out[1, 1] - out[1, 0], torch.tensor(3.0).log())
