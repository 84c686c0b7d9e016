"""Settings of the tiny models that tests build, one for each family; and how many
numbers a model trains."""

ENCODER = dict(
    vocab_size=60,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
)
# two heads share keys and values
DECODER = ENCODER | dict(num_attention_heads=4, num_key_value_heads=2)
GPT2 = dict(
    vocab_size=60,
    n_embd=16,
    n_layer=2,
    n_head=2,
    n_positions=20,
    bos_token_id=1,
    eos_token_id=2,
)
T5 = dict(
    vocab_size=60,
    d_model=16,
    d_kv=8,
    d_ff=32,
    num_layers=2,
    num_heads=2,
    decoder_start_token_id=0,
)
BART = dict(
    vocab_size=60,
    d_model=16,
    encoder_layers=2,
    decoder_layers=2,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=32,
    decoder_ffn_dim=32,
    decoder_start_token_id=2,
)


def trainable(model) -> int:
    """Number of parameters that are tuned; a shared tensor counts once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
