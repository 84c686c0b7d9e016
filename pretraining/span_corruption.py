"""The two objectives of mini-t5: span corruption, and towards the end mostly prefix-LM
(Raffel et al. 2020; Lester et al. 2021)."""

import numpy as np

from pretraining.batches import filled, like_length, padded
from pretraining.draws import ended, packed
from pretraining.masked_lm import MASKED, MIXTURE, MaskedLM

# share of the batches that are prefix-LM before and after LATE of the training: without
# it a frozen model answers a trained prompt with sentinels
PREFIX_LM, LATE = (0.1, 0.65), 0.75
# share of the prefix-LM examples of reviews whose continuation is a verdict sentence
VERDICTS = 0.4
# share of the span-corruption examples that hide what the masked-LM recipe hides:
# mostly single content and opinion words
WORDS = 0.6
# of the other examples: share of hidden tokens, mean length of a span
RATE, SPAN = 0.15, 3
LENGTHS = [(32, 0.4), (64, 0.35), (128, 0.25)]
DRAWN = 2048

Rows = tuple[np.ndarray, np.ndarray]  # tokens (n, W), size of each row (n,)


class SpanCorruption:
    """Draws batches: dict of input_ids, attention_mask (B, T) for the encoder and
    labels (B, U), -100 at padding.

    Args:
        words: the masked-LM objective over the same texts; it chooses words to hide.
        sentinels: ids of <extra_id_0> ...; end, pad: ids of special tokens.
    """

    def __init__(
        self, words: MaskedLM, sentinels: list[int], end: int, pad: int, seed: int
    ):
        self.texts, self.words = words.texts, words
        self.sentinels, self.end, self.pad = np.array(sentinels), end, pad
        self.random, self.seed = np.random.default_rng(seed), seed
        self.waiting: dict[str, list] = {"spans": [], "prefix": []}

    def reseed(self, worker: int) -> None:
        """Other examples for each of several workers with the same seed."""
        self.random = np.random.default_rng([self.seed, worker])
        self.words.reseed(worker)

    def groups(self, count: int) -> np.ndarray:
        """Numbers of groups, in the shares of the mixture."""
        names = [self.texts.names.index(name) for name in MIXTURE]
        return self.random.choice(names, size=count, p=list(MIXTURE.values()))

    def lengths(self, count: int) -> np.ndarray:
        sizes, shares = zip(*LENGTHS, strict=True)
        return self.random.choice(sizes, size=count, p=shares)

    def windows(self, groups: np.ndarray, lengths: np.ndarray) -> Rows:
        """Pieces of documents that start with a sentence."""
        begin, end = self.texts.draw_windows(groups, self.random)
        sizes, width = np.minimum(end - begin, lengths), int(lengths.max(initial=1))
        return self.texts.gather(self.texts.tokens, begin, sizes, width)[0], sizes

    def hidden_spans(self, sizes: np.ndarray, width: int) -> np.ndarray:
        """Which tokens are hidden (n, width): spans of SPAN tokens on average, RATE of
        all tokens, never everything; nothing in rows of one token."""
        r, n = self.random, len(sizes)
        hidden, place = np.zeros((n, width), bool), np.arange(width)
        wanted = np.clip(np.rint(sizes * RATE).astype(int), 1, np.maximum(sizes, 1) - 1)
        left = wanted
        while left.any():
            size = np.minimum(r.geometric(1 / SPAN, n), left)
            start = r.integers(0, sizes - size + 1)[:, None]
            hidden |= (place >= start) & (place < start + size[:, None])
            left = wanted - hidden.sum(1)
        return hidden

    def spans(self, count: int) -> tuple[Rows, Rows]:
        """Span-corruption examples: encoder rows, decoder rows."""
        words = int(self.random.binomial(count, WORDS))
        by_word = self.words.examples(
            self.groups(words), self.lengths(words), MASKED[1]
        )
        special = [self.words.special["[CLS]"], self.words.special["[SEP]"]]
        text = np.arange(by_word.ids.shape[1]) < by_word.sizes[:, None]
        text &= ~np.isin(by_word.ids, special)
        ids, sizes = packed(by_word.ids, text)
        hidden, _ = packed(by_word.hidden, text)
        more, more_sizes = self.windows(
            self.groups(count - words), self.lengths(count - words)
        )
        spans = self.hidden_spans(more_sizes, more.shape[1])
        ids, hidden = _stacked(ids, more), _stacked(hidden, spans)
        return self.corrupt(ids, hidden, np.concatenate([sizes, more_sizes]))

    def corrupt(
        self, ids: np.ndarray, hidden: np.ndarray, sizes: np.ndarray
    ) -> tuple[Rows, Rows]:
        """Replaces each run of hidden tokens by the next sentinel; the target lists
        sentinel and run in turn. Runs beyond the last sentinel stay."""
        inside = np.arange(ids.shape[1]) < sizes[:, None]
        hidden = hidden & inside
        starts = hidden & ~np.pad(hidden, ((0, 0), (1, 0)))[:, :-1]
        run = np.cumsum(starts, axis=1) - 1
        hidden &= run < len(self.sentinels)
        starts &= hidden
        sentinel = self.sentinels[np.clip(run, 0, len(self.sentinels) - 1)]
        source = packed(np.where(starts, sentinel, ids), inside & (~hidden | starts))
        pairs = np.stack([sentinel, ids], axis=2).reshape(len(ids), -1)
        asked = np.stack([starts, hidden], axis=2).reshape(len(ids), -1)
        return ended(*source, self.end), ended(*packed(pairs, asked), self.end)

    def prefix(self, count: int) -> tuple[Rows, Rows]:
        """Prefix-LM examples: the beginning of a text, and how it goes on."""
        x, r = self.texts, self.random
        groups, lengths = self.groups(count), self.lengths(count)
        begin, end = x.draw_windows(groups, r)
        end = np.minimum(end, begin + lengths)
        cut = r.integers(begin + 1, np.maximum(end - 1, begin + 2))
        # in reviews: all that stands before a verdict, and the verdict
        documents = x.draw_documents(groups, r)
        verdict = x.draw_verdicts(documents, r)
        first = x.sentence[x.document[documents]]
        told = (verdict >= 0) & (x.sentence[verdict] > first)
        told &= r.random(count) < VERDICTS
        begin = np.where(told, np.maximum(first, x.sentence[verdict] - lengths), begin)
        cut = np.where(told, x.sentence[verdict], cut)
        end = np.where(told, x.sentence[verdict + 1], end)
        kept = end - begin >= 4  # too short to be cut
        begin, cut, end = begin[kept], cut[kept], end[kept]
        rows = []
        for start, sizes in ((begin, cut - begin), (cut, end - cut)):
            ids, _ = x.gather(x.tokens, start, sizes, int(sizes.max()))
            rows.append(ended(ids, sizes, self.end))
        return rows[0], rows[1]

    def batch(self, done: float) -> dict[str, np.ndarray]:
        """A batch of either objective, in the shares that are due when the share `done`
        of the training lies behind."""
        share = PREFIX_LM[int(done >= LATE)]
        kind = "prefix" if self.random.random() < share else "spans"
        if not self.waiting[kind]:
            source, target = {"prefix": self.prefix, "spans": self.spans}[kind](DRAWN)
            self.waiting[kind] = [
                self.collate(source, target, rows)
                for rows in like_length(source[1], self.random, target[1])
            ]
        return self.waiting[kind].pop()

    def collate(
        self, source: Rows, target: Rows, rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """The rows as a batch, padded on the right."""
        (ids, mask), (labels, asked) = (
            _cropped(part, sizes, rows) for part, sizes in (source, target)
        )
        batch = {
            "input_ids": np.where(mask, ids, self.pad),
            "attention_mask": mask.astype(int),
            "labels": np.where(asked, labels, -100),
        }
        return filled(batch, ids.shape[1] + labels.shape[1])


def _cropped(
    ids: np.ndarray, sizes: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The rows in the width of the longest of them, and where they have tokens."""
    width = padded(sizes[rows])
    ids = np.pad(ids[rows], ((0, 0), (0, max(0, width - ids.shape[1]))))
    return ids[:, :width], np.arange(width) < sizes[rows, None]


def _stacked(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """One below the other, the narrower one filled up."""
    width = max(one.shape[1], two.shape[1])
    return np.vstack(
        [np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in (one, two)]
    )
