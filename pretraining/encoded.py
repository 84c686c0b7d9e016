"""Corpora as token arrays: made once, kept under build/pretraining/."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from pretraining.corpora import documents
from pretraining.opinion_words import CHINESE, ENGLISH


@dataclass
class Encoded:
    """One corpus. tokens (n,) uint16; opinion (n,) bool; sentence (m+1,) offsets into
    tokens; document (k+1,) offsets into sentences."""

    tokens: np.ndarray
    opinion: np.ndarray
    sentence: np.ndarray
    document: np.ndarray

    def save(self, path: Path) -> None:
        np.savez(
            path,
            tokens=self.tokens,
            opinion=self.opinion,
            sentence=self.sentence,
            document=self.document,
        )


def _mark(ids: list[int], words: dict[int, list[list[int]]]) -> list[bool]:
    """True at every token of an opinion word; `words` maps a first token to whole
    words, longest first."""
    marks, i = [False] * len(ids), 0
    while i < len(ids):
        hit = next((w for w in words.get(ids[i], ()) if ids[i : i + len(w)] == w), None)
        if hit:
            marks[i : i + len(hit)] = [True] * len(hit)
        i += len(hit) if hit else 1
    return marks


def encode(group: str, tokenizer: Tokenizer, held_out: set[str]) -> Encoded:
    """Reads and tokenizes one group of corpora."""
    words: dict[int, list[list[int]]] = {}
    for word in sorted(
        ENGLISH if group.startswith("en") else CHINESE, key=len, reverse=True
    ):
        ids = tokenizer.encode(word, add_special_tokens=False).ids
        if len(ids) == 1 or group.startswith("zh"):
            words.setdefault(ids[0], []).append(ids)
    tokens, opinion, sentence, document, flat, sizes = [], [], [0], [0], [], []

    def flush() -> None:
        for encoding in tokenizer.encode_batch(flat, add_special_tokens=False):
            tokens.append(np.array(encoding.ids, dtype=np.uint16))
            opinion.append(np.array(_mark(encoding.ids, words), dtype=bool))
            sentence.append(sentence[-1] + len(encoding.ids))
        document.extend((document[-1] + np.cumsum(sizes)).tolist())
        flat.clear()
        sizes.clear()

    for doc in documents(group, held_out):
        flat.extend(doc)
        sizes.append(len(doc))
        if len(flat) > 50_000:
            flush()
    flush()
    return Encoded(
        np.concatenate(tokens),
        np.concatenate(opinion),
        np.array(sentence),
        np.array(document),
    )


def load(group: str, tokenizer: Tokenizer, held_out: set[str], folder: Path) -> Encoded:
    """The encoded group from `folder`, made when it is not there yet."""
    path = folder / f"{group}.npz"
    if not path.exists():
        encode(group, tokenizer, held_out).save(path)
    with np.load(path) as data:
        return Encoded(
            **{
                name: data[name]
                for name in ("tokens", "opinion", "sentence", "document")
            }
        )
