"""Makes mini-bert: python -m pretraining.mini_bert --minutes 90 (resumes where it was
stopped; --minutes is the whole budget). --small makes mini-bert-s."""

import json
from pathlib import Path

import numpy as np
import torch
from gensim.models import Word2Vec
from tokenizers import Tokenizer
from transformers import BertConfig, BertForMaskedLM

from pretraining import corpora, encoded
from pretraining import tokenizer as tokenizers_
from pretraining.draws import Texts
from pretraining.loop import asked_rows, mean_loss, options, steps_done, train
from pretraining.masked_lm import MIXTURE, MaskedLM, Recipe
from prompttune_utils.hub import ASSETS

WORK = Path("build/pretraining")
SHAPES = {"mini-bert": (256, 5), "mini-bert-s": (128, 2)}  # width, layers


def load_tokenizer(held_out: set[str]) -> Tokenizer:
    """The shared tokenizer: that of the training folder, else the packaged one, else a
    new one.

    A new one would number the single letters in another order each time, and a mini
    trained with it would not fit the others.
    """
    path, packaged = WORK / "tokenizer.json", ASSETS / "mini-bert" / "tokenizer.json"
    if not path.exists() and packaged.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = json.loads(packaged.read_text(encoding="utf-8")) | {
            "post_processor": None
        }  # each mini adds its own special tokens
        path.write_text(json.dumps(plain, ensure_ascii=False), encoding="utf-8")
    return (
        Tokenizer.from_file(str(path))
        if path.exists()
        else tokenizers_.train(path, held_out)
    )


def load_texts() -> tuple[Tokenizer, dict[str, encoded.Encoded], set[str]]:
    """The tokenizer, the encoded texts of every group, and the keys of what was left
    out of them."""
    held_out = corpora.held_out_keys()
    tokenizer = load_tokenizer(held_out)
    return (
        tokenizer,
        {group: encoded.load(group, tokenizer, held_out, WORK) for group in MIXTURE},
        held_out,
    )


def special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Ids of BERT's special tokens, and of the first ordinary word."""
    special = {
        t: tokenizer.token_to_id(t) for t in ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
    }
    return special | {"first_word": tokenizer.token_to_id(tokenizers_.UNUSED[-1]) + 1}


def word_vectors(
    data: dict[str, encoded.Encoded], vocabulary: int, size: int
) -> np.ndarray:
    """word2vec vectors (vocabulary, size) of the same tokens, for mini-word2vec; kept
    in build/."""
    path = WORK / f"word2vec-{size}.npy"
    if not path.exists():
        random = np.random.default_rng(0)
        lines = []
        for name, share in MIXTURE.items():
            c = data[name]
            docs = random.permutation(len(c.document) - 1)
            taken = 0
            for d in docs:
                a, b = c.sentence[c.document[d]], c.sentence[c.document[d + 1]]
                lines.extend(
                    c.tokens[i : min(i + 512, b)].astype(str).tolist()
                    for i in range(a, b, 512)
                )
                taken += b - a
                if taken > share * 16e6:
                    break
        model = Word2Vec(
            lines,
            vector_size=size,
            window=5,
            min_count=5,
            sample=1e-4,
            negative=8,
            epochs=3,
            workers=2,
            seed=0,
        )
        vectors = random.normal(0, 0.02, (vocabulary, size)).astype(np.float32)
        known = [int(w) for w in model.wv.index_to_key]
        learned = model.wv.vectors - model.wv.vectors.mean(0)
        vectors[known] = 0.05 * learned / learned.std()
        np.save(path, vectors)
    return np.load(path)


def new_model(vocabulary: int, size: int = 256, layers: int = 5) -> BertForMaskedLM:
    """A fresh mini-bert."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=vocabulary, hidden_size=size, num_hidden_layers=layers,
        num_attention_heads=size // 32, intermediate_size=4 * size,
        max_position_embeddings=192, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, pad_token_id=0,
    )  # fmt: skip
    model = BertForMaskedLM(config)
    # on CPUs the backward pass of the fused attention takes longer than all the rest
    model.set_attn_implementation("eager")
    return model


def masked_loss(model: BertForMaskedLM, batch: dict) -> torch.Tensor:
    """Cross-entropy at the hidden places; the output layer sees only those rows."""
    hidden = model.bert(
        **{k: v for k, v in batch.items() if k != "labels"}
    ).last_hidden_state
    rows, labels = asked_rows(hidden, batch["labels"])
    return mean_loss(model.cls(rows), labels)


def main() -> None:
    parser = options("Makes mini-bert or mini-bert-s.", 90)
    parser.add_argument("--small", action="store_true", help="make mini-bert-s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--plain",
        action="store_true",
        help="uniform masks, no verdict sentences: the recipe to compare with",
    )
    parser.add_argument(
        "--no-verdict",
        action="store_true",
        help="content and opinion masks, but no verdict sentences",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tokenizer, texts, _ = load_texts()
    vocabulary = tokenizer.get_vocab_size()
    recipe = (
        Recipe(0, 0, False)
        if arguments.plain
        else Recipe(verdict=0)
        if arguments.no_verdict
        else Recipe()
    )
    name = "mini-bert-s" if arguments.small else "mini-bert"
    folder = arguments.folder or WORK / name
    objective = MaskedLM(
        Texts(texts),
        special_ids(tokenizer),
        vocabulary,
        recipe,
        arguments.seed + steps_done(folder),
    )
    model = new_model(vocabulary, *SHAPES[name])
    train(model, objective, masked_loss, folder, arguments)


if __name__ == "__main__":
    main()
