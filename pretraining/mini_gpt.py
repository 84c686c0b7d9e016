"""Makes mini-gpt: python -m pretraining.mini_gpt --minutes 60 (resumes; --minutes is
the whole budget). --small makes mini-gpt-s."""

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from pretraining.documents import Documents
from pretraining.draws import Texts
from pretraining.loop import asked_rows, mean_loss, options, steps_done, train
from pretraining.mini_bert import WORK, load_texts
from pretraining.next_token import (
    COPY_UNTIL,
    NextToken,
    label_words,
    reviews,
    sentence_pairs,
    whole_words,
)

SHAPES = {"mini-gpt": (256, 6, 8), "mini-gpt-s": (96, 3, 3)}  # width, layers, heads


def new_model(name: str, vocabulary: int) -> GPTNeoXForCausalLM:
    """A fresh decoder with rotary positions."""
    width, layers, heads = SHAPES[name]
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers,
        num_attention_heads=heads, intermediate_size=4 * width,
        max_position_embeddings=512, hidden_act="gelu_pytorch_tanh", rotary_pct=0.5,
        use_parallel_residual=False, tie_word_embeddings=True,
        bos_token_id=5, eos_token_id=6, pad_token_id=0,
    )  # fmt: skip
    model = GPTNeoXForCausalLM(config)
    model.set_attn_implementation("eager")
    return model


def next_token_loss(model: GPTNeoXForCausalLM, batch: dict) -> torch.Tensor:
    """Cross-entropy at the asked places. Padding stands on the right, so the causal
    mask already hides it."""
    hidden = model.gpt_neox(
        input_ids=batch["input_ids"], use_cache=False
    ).last_hidden_state
    rows, labels = asked_rows(hidden[:, :-1], batch["labels"][:, 1:])
    return mean_loss(model.get_output_embeddings()(rows), labels)


def make_objective(seed: int, copy_until: float = COPY_UNTIL) -> NextToken:
    """The mixture of mini-gpt over the mirror's text."""
    tokenizer, texts, held_out = load_texts()
    documents = Documents(
        reviews(held_out),
        sentence_pairs(),
        label_words(tokenizer),
        whole_words(tokenizer),
        seed,
    )
    return NextToken(Texts(texts), documents, tokenizer, seed, copy_until)


def main() -> None:
    parser = options("Makes mini-gpt or mini-gpt-s.", 60)
    parser.add_argument("--small", action="store_true", help="make mini-gpt-s")
    parser.add_argument(
        "--copy-until",
        type=float,
        default=COPY_UNTIL,
        help="share of the training in which most documents repeat themselves",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    name = "mini-gpt-s" if arguments.small else "mini-gpt"
    folder = arguments.folder or WORK / name
    objective = make_objective(steps_done(folder), arguments.copy_until)
    vocabulary = objective.tokenizer.get_vocab_size()
    train(new_model(name, vocabulary), objective, next_token_loss, folder, arguments)


if __name__ == "__main__":
    main()
