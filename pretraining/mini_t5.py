"""Makes mini-t5: python -m pretraining.mini_t5 --minutes 40 (resumes; --minutes is the
whole budget). --small makes mini-t5-s."""

import torch
from transformers import T5Config, T5ForConditionalGeneration

from pretraining.draws import Texts
from pretraining.loop import asked_rows, mean_loss, options, steps_done, train
from pretraining.masked_lm import MaskedLM, Recipe
from pretraining.mini_bert import WORK, load_texts, special_ids
from pretraining.span_corruption import SpanCorruption
from pretraining.tokenizer import SENTINELS

# width, encoder layers, decoder layers, width of a head, width of the feed-forward
# layers and their kind; mini-t5-s is still of the first edition
SHAPES = {
    "mini-t5": (256, 4, 3, 32, 640, "gated-gelu"),
    "mini-t5-s": (80, 2, 2, 16, 320, "relu"),
}


def new_model(name: str, vocabulary: int) -> T5ForConditionalGeneration:
    """A fresh encoder-decoder."""
    width, encoder, decoder, head, inner, kind = SHAPES[name]
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=vocabulary, d_model=width, d_kv=head, d_ff=inner,
        feed_forward_proj=kind, num_layers=encoder, num_decoder_layers=decoder,
        num_heads=width // head, dropout_rate=0.0, tie_word_embeddings=True,
        pad_token_id=0, eos_token_id=6, decoder_start_token_id=0,
    )  # fmt: skip
    model = T5ForConditionalGeneration(config)
    model.set_attn_implementation("eager")
    return model


def seq2seq_loss(model: T5ForConditionalGeneration, batch: dict) -> torch.Tensor:
    """Cross-entropy over the target tokens; the output layer sees no padding."""
    states = model.base_model.decoder(
        input_ids=model._shift_right(batch["labels"]),
        encoder_hidden_states=model.encoder(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).last_hidden_state,
        encoder_attention_mask=batch["attention_mask"],
        use_cache=False,
    ).last_hidden_state
    rows, labels = asked_rows(states, batch["labels"])
    return mean_loss(model.lm_head(rows * model.config.d_model**-0.5), labels)


def make_objective(seed: int) -> tuple[SpanCorruption, int]:
    """The objective over the mirror's text, and the size of the vocabulary."""
    tokenizer, texts, _ = load_texts()
    vocabulary = tokenizer.get_vocab_size()
    words = MaskedLM(Texts(texts), special_ids(tokenizer), vocabulary, Recipe(), seed)
    sentinels = [tokenizer.token_to_id(s) for s in SENTINELS]
    end, pad = (tokenizer.token_to_id(t) for t in ("</s>", "[PAD]"))
    return SpanCorruption(words, sentinels, end, pad, seed), vocabulary


def main() -> None:
    parser = options("Makes mini-t5 or mini-t5-s.", 40)
    parser.add_argument("--small", action="store_true", help="make mini-t5-s")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    name = "mini-t5-s" if arguments.small else "mini-t5"
    folder = arguments.folder or WORK / name
    objective, vocabulary = make_objective(steps_done(folder))
    train(new_model(name, vocabulary), objective, seq2seq_loss, folder, arguments)


if __name__ == "__main__":
    main()
