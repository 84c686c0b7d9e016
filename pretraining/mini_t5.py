"""Makes mini-t5: python -m pretraining.mini_t5 --minutes 40 (resumes; --minutes is the
whole budget). --small makes mini-t5-s."""

import numpy as np
import torch
from transformers import T5Config, T5ForConditionalGeneration

from pretraining import encoded
from pretraining.loop import asked_rows, mean_loss, options, steps_done, train
from pretraining.masked_lm import MaskedLM, Recipe
from pretraining.mini_bert import WORK, load_texts, special_ids, word_vectors
from pretraining.mini_gpt import narrow
from pretraining.span_corruption import SpanCorruption
from pretraining.tokenizer import SENTINELS

PEAKS = {"mini-t5": 5e-4, "mini-t5-s": 1e-3}  # at 1e-3 the wider one gets stuck
SHAPES = {
    "mini-t5": (160, 4, 3, 32),
    "mini-t5-s": (80, 2, 2, 16),
}  # width, encoder layers, decoder layers, width of a head


def new_model(
    name: str, vocabulary: int, vectors: np.ndarray | None = None
) -> T5ForConditionalGeneration:
    """A fresh encoder-decoder; the word embeddings have the directions of `vectors`
    (vocabulary, width) when given."""
    width, encoder, decoder, head = SHAPES[name]
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=vocabulary, d_model=width, d_kv=head, d_ff=4 * width,
        num_layers=encoder, num_decoder_layers=decoder, num_heads=width // head,
        dropout_rate=0.0, tie_word_embeddings=True, pad_token_id=0, eos_token_id=6,
        decoder_start_token_id=0,
    )  # fmt: skip
    model = T5ForConditionalGeneration(config)
    model.set_attn_implementation("eager")
    if vectors is not None:
        with torch.no_grad():
            # T5's embeddings have unit variance
            model.shared.weight.copy_(torch.from_numpy(vectors / vectors.std()))
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


def make_objective(seed: int) -> tuple[SpanCorruption, dict[str, encoded.Encoded], int]:
    """The objective over the mirror's text, the texts, and the size of the
    vocabulary."""
    tokenizer, texts, _ = load_texts()
    words = MaskedLM(
        texts, special_ids(tokenizer), tokenizer.get_vocab_size(), Recipe(), seed
    )
    sentinels = [tokenizer.token_to_id(s) for s in SENTINELS]
    return (
        SpanCorruption(
            texts,
            words,
            sentinels,
            tokenizer.token_to_id("</s>"),
            tokenizer.token_to_id("[PAD]"),
            seed,
        ),
        texts,
        tokenizer.get_vocab_size(),
    )


def main() -> None:
    parser = options("Makes mini-t5 or mini-t5-s.", 40)
    parser.add_argument("--small", action="store_true", help="make mini-t5-s")
    parser.set_defaults(peak=None)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    name = "mini-t5-s" if arguments.small else "mini-t5"
    arguments.peak = arguments.peak or PEAKS[name]
    folder = arguments.folder or WORK / name
    objective, texts, vocabulary = make_objective(steps_done(folder))
    model = new_model(
        name, vocabulary, narrow(word_vectors(texts, vocabulary, 192), SHAPES[name][0])
    )
    train(model, objective.batch, seq2seq_loss, folder, arguments)


if __name__ == "__main__":
    main()
