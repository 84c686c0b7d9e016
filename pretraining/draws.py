"""Many examples at once, by operations on whole arrays: which text stands in them, and
which words are hidden.

The texts are read once into arrays, and a draw of thousands of examples is a few dozen
operations of NumPy, so that a GPU need not wait for its batches.
"""

from collections.abc import Mapping

import numpy as np

from pretraining.encoded import Encoded

VERDICT = (2, 12)  # shortest and longest verdict sentence, in tokens
SIZE = 128  # a document is drawn in proportion to its size, up to so many tokens


class Texts:
    """All groups of corpora in one set of arrays.

    tokens (n,); opinion (n,) bool; sentence (m + 1,) offsets into tokens; document
    (k + 1,) offsets into sentences; owner (m,) the document of each sentence; verdicts:
    the numbers of the sentences of reviews that are short and judge, in order.
    """

    def __init__(self, corpora: Mapping[str, Encoded]):
        self.names = list(corpora)
        parts = list(corpora.values())
        self.tokens = np.concatenate([part.tokens for part in parts]).astype(np.int64)
        self.opinion = np.concatenate([part.opinion for part in parts])
        self.sentence = _joined([part.sentence for part in parts])
        self.document = _joined([part.document for part in parts])
        # where the groups begin and end, in tokens and in documents
        self.token_edges = np.cumsum([0, *(len(part.tokens) for part in parts)])
        self.edges = np.cumsum([0, *(len(part.document) - 1 for part in parts)])
        self.owner = np.repeat(np.arange(self.edges[-1]), np.diff(self.document))
        sizes = np.diff(self.sentence[self.document])
        self.sums = np.cumsum(np.minimum(sizes, SIZE))
        length = np.diff(self.sentence)
        judging = np.concatenate([[0], np.cumsum(self.opinion)])
        judges = np.diff(judging[self.sentence]) > 0
        reviews = np.array([name.endswith("reviews") for name in self.names])
        of_review = np.repeat(reviews, np.diff(self.document[self.edges]))
        short = (length >= VERDICT[0]) & (length <= VERDICT[1])
        self.verdicts = np.flatnonzero(judges & of_review & short)

    def draw_documents(
        self, groups: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        """A document of each group (n,), in proportion to its size."""
        before = np.concatenate([[0], self.sums])[self.edges]
        place = random.integers(before[groups], before[groups + 1])
        return np.searchsorted(self.sums, place, side="right")

    def draw_verdicts(
        self, documents: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        """A verdict sentence of each document (n,), -1 where there is none."""
        low = np.searchsorted(self.verdicts, self.document[documents])
        high = np.searchsorted(self.verdicts, self.document[documents + 1])
        chosen = low + (random.random(len(low)) * (high - low)).astype(int)
        padded = np.append(self.verdicts, -1)
        return np.where(high > low, padded[np.minimum(chosen, len(padded) - 1)], -1)

    def draw_windows(
        self, groups: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Running text: where the sentence of a random token of each group begins, and
        where its document ends."""
        place = random.integers(self.token_edges[groups], self.token_edges[groups + 1])
        first = np.searchsorted(self.sentence, place, side="right") - 1
        end = self.sentence[self.document[self.owner[first] + 1]]
        return self.sentence[first], end

    def gather(
        self, values: np.ndarray, start: np.ndarray, size: np.ndarray, width: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """values[start : start + size] of each row (n, width), and where a row has
        them (bool); beyond them stands anything."""
        places = start[:, None] + np.arange(width)
        inside = np.arange(width) < size[:, None]
        return values[np.minimum(places, len(values) - 1)], inside


def _joined(offsets: list[np.ndarray]) -> np.ndarray:
    """Offsets of several corpora as those of one."""
    shift = np.cumsum([0, *(part[-1] for part in offsets)])
    moved = [part[1:] + s for part, s in zip(offsets, shift[:-1], strict=True)]
    return np.concatenate([[0], *moved]).astype(np.int64)


def packed(values: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The kept values of each row (n, W) moved to its left, and how many they are."""
    order = np.argsort(~keep, axis=1, kind="stable")
    return np.take_along_axis(values, order, axis=1), keep.sum(1)


def ended(
    rows: np.ndarray, sizes: np.ndarray, end: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each row (n, W) with an end behind its first `size` tokens, and the new sizes."""
    rows = np.pad(rows, ((0, 0), (0, 1)))
    rows[np.arange(len(rows)), sizes] = end
    return rows, sizes + 1


def one_of_each_run(marked: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Of half of the runs of marked tokens (n, W) leaves one token only, at random."""
    before = np.pad(marked, ((0, 0), (1, 0)))[:, :-1]
    run = np.cumsum((marked & ~before).flatten())  # a number for each run of all rows
    run = np.where(marked.flatten(), run, 0)
    noise = random.random(len(run))
    highest = np.zeros(run.max(initial=0) + 1)
    np.maximum.at(highest, run, noise)
    alone = random.random(len(highest)) < 0.5
    kept = ~alone[run] | (noise == highest[run])
    return marked & kept.reshape(marked.shape)
