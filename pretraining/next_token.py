"""The next-token objective of mini-gpt: real text and generated documents, in batches
of like length."""

from collections.abc import Iterator

import numpy as np
from tokenizers import Tokenizer

from pretraining import corpora
from pretraining.batches import filled, like_length, padded
from pretraining.documents import Document, Documents, spare
from pretraining.draws import Texts

REAL = 0.45  # share of real text, by tokens
MIXTURE = {
    "en_reviews": 0.23,
    "zh_reviews": 0.19,
    "en_other": 0.36,
    "zh_other": 0.22,
}  # of the real text, by examples
LENGTHS = [64, 128, 256]  # windows of real text, in tokens
LONGEST = 512  # generated documents are cut there
DRAWN = 1024  # examples drawn at once and put into batches of like length
# share of the places that the loss looks at, beside the answers of the documents
ASKED_REAL, ASKED_GIVEN = 1.0, 0.25
# In the first part of the training most documents repeat themselves. In the mixture
# alone, looking back for a copy was not learned in
# 17M tokens; when it fills the batches it takes some hundred steps, and stays.
COPY_UNTIL, COPIES = 0.05, 0.8
SHORT = {"en": 130, "zh": 45}  # labelled reviews of at most so many characters


def reviews(held_out: set[str]) -> dict[str, list[tuple[str, int]]]:
    """language -> [(review, 0 or 1)] from the mirror, without the texts that are
    measured on."""

    def short(dataset: str, split: str, language: str) -> Iterator[tuple[str, int]]:
        for row in corpora.read_rows(dataset, split):
            text = " ".join(row["text"].split())
            judged = row.get("label") in (0, 1)  # many rows of the web have no label
            fits = 3 < len(text) <= SHORT[language]
            if judged and fits and corpora.key(text) not in held_out:
                yield text, int(row["label"])

    def endings() -> Iterator[tuple[str, int]]:
        """The last sentence of a film review mostly says what the whole review says."""
        for row in corpora.read_rows("stanfordnlp/imdb", "train"):
            last = corpora.sentences(row["text"], "en")[-1]
            if 20 < len(last) <= SHORT["en"] and corpora.key(last) not in held_out:
                yield last, int(row["label"])

    sources = {
        "en": [("yelp/sentences", "train"), ("nltk/pros_cons", "train")],
        "zh": [("SophonPlus/online_shopping_10_cats", "train")],
    }
    found = {}
    for language, named in sources.items():
        lines = corpora.COLLECTED[f"{language}_reviews"].split()
        named += [tuple(line.rsplit("/", 1)) for line in lines]
        found[language] = [
            pair for source in named for pair in short(*source, language)
        ]
    found["en"] += endings()
    return found


def sentence_pairs() -> list[tuple[str, str]]:
    """Short (Chinese, English) sentence pairs."""
    return [
        (r["zh"], r["en"])
        for r in corpora.read_rows("tatoeba/cmn-eng", "train")
        if len(r["zh"]) <= 14 and len(r["en"]) <= 45
    ]


def label_words(tokenizer: Tokenizer, test: bool = False) -> list[str]:
    """Words of one token that serve as arbitrary labels; the `spare` tenth appears as
    an arbitrary label in measurements only."""
    words = [
        w
        for w in tokenizer.get_vocab()
        if w.isascii() and w.isalpha() and 3 <= len(w) <= 8
    ]
    words = sorted(words, key=tokenizer.token_to_id)[:1500]
    return [
        w
        for w in [
            *words,
            *"abcdefghijklmnopqrstuvwxyz0123456789",
            *"甲乙丙丁红黄蓝绿大小东西南北",
        ]
        if spare("label", w) == test
    ]


def whole_words(tokenizer: Tokenizer) -> list[str]:
    """Every English word of one token, and every Chinese character."""
    words = [
        w
        for w in tokenizer.get_vocab()
        if (w.isascii() and w.isalpha() and len(w) > 2) or "一" <= w <= "鿿"
    ]
    return sorted(words, key=tokenizer.token_to_id)


class NextToken:
    """Draws batches: dict of input_ids, attention_mask, labels (B, T); labels are -100
    where the loss does not look."""

    def __init__(
        self,
        texts: Texts,
        documents: Documents,
        tokenizer: Tokenizer,
        seed: int,
        copy_until: float = COPY_UNTIL,
    ):
        self.texts, self.documents, self.tokenizer = texts, documents, tokenizer
        self.copy_until = copy_until
        self.start, self.end, self.pad = (
            tokenizer.token_to_id(t) for t in ("<s>", "</s>", "[PAD]")
        )
        self.random, self.seed, self.known = np.random.default_rng(seed), seed, {}
        # windows of real text, and batches, drawn and not yet used
        self.windows, self.waiting = [], []
        self.count = {"real": 0, "made": 0}

    def reseed(self, worker: int) -> None:
        """Other examples for each of several workers with the same seed."""
        self.random = np.random.default_rng([self.seed, worker])
        self.documents.random.seed(f"{self.seed} {worker}")

    def ids(self, piece: str) -> list[int]:
        """Token ids of a piece; short pieces come again and again, so they are kept."""
        if piece not in self.known:
            encoded = self.tokenizer.encode(piece, add_special_tokens=False).ids
            if len(piece) > 24:
                return encoded
            self.known[piece] = encoded
        return self.known[piece]

    def real(self) -> tuple[np.ndarray, np.ndarray]:
        """A window of real text that starts with a sentence: ids, asked (bool)."""
        r, x = self.random, self.texts
        if not self.windows:
            names = [x.names.index(name) for name in MIXTURE]
            groups = r.choice(names, size=DRAWN, p=list(MIXTURE.values()))
            begin, end = x.draw_windows(groups, r)
            stop = np.minimum(end, begin + r.choice(LENGTHS, size=DRAWN) - 2)
            self.windows = list(zip(begin, stop, stop == end, strict=True))
        begin, stop, last = self.windows.pop()
        ids = [self.start, *x.tokens[begin:stop], *([self.end] if last else [])]
        asked = r.random(len(ids)) < ASKED_REAL
        asked[-1] = True  # a batch that asks nothing has no loss
        return np.array(ids), asked

    def encode(self, document: Document) -> tuple[np.ndarray, np.ndarray]:
        """A generated document: ids, asked (bool): every answer, and some of the
        rest."""
        ids, asked = [self.start], [False]
        for piece, answer in document.pieces:
            new = self.ids(piece)
            ids += new
            asked += [answer] * len(new)
        ids.append(self.end)
        asked.append(True)
        asked = np.array(asked) | (self.random.random(len(ids)) < ASKED_GIVEN)
        return np.array(ids)[:LONGEST], asked[:LONGEST]

    def row(self, done: float) -> tuple[np.ndarray, np.ndarray]:
        if done < self.copy_until and self.random.random() < COPIES:
            return self.encode(self.documents.repeat())
        kind = (
            "real" if self.count["real"] <= REAL * sum(self.count.values()) else "made"
        )
        row = self.real() if kind == "real" else self.encode(self.documents.draw())
        self.count[kind] += len(row[0])
        return row

    def batch(self, done: float) -> dict[str, np.ndarray]:
        """A batch of what is due when the share `done` of the training lies behind."""
        if not self.waiting:
            rows = [self.row(done) for _ in range(DRAWN)]
            sizes = np.array([len(ids) for ids, _ in rows])
            self.waiting = [
                [rows[i] for i in batch] for batch in like_length(sizes, self.random)
            ]
        return self.collate(self.waiting.pop())

    def collate(
        self, rows: list[tuple[np.ndarray, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """Pads on the right."""
        shape = (len(rows), padded([len(ids) for ids, _ in rows]))
        ids, mask, labels = (
            np.full(shape, self.pad),
            np.zeros(shape, int),
            np.full(shape, -100),
        )
        for i, (row, asked) in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
            labels[i, : len(row)] = np.where(asked, row, -100)
        labels[:, 0] = -100
        batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        return filled(batch, shape[1])
