"""The two objectives of mini-t5: span corruption, and in the last tenth of the steps
prefix-LM (Raffel et al. 2020; Lester et al. 2021)."""

import numpy as np

from pretraining.batches import padded, sorted_batches
from pretraining.encoded import Encoded
from pretraining.masked_lm import MIXTURE, MaskedLM

# share of the steps, at the end: without it a frozen model answers a trained prompt
# with sentinels
PREFIX_LM = 0.1
# share of the span-corruption examples that hide what the masked-LM recipe hides:
# mostly single content and opinion words
WORDS = 0.6
RATE, SPAN = (
    0.15,
    3,
)  # of the other examples: share of hidden tokens, mean length of a span
LENGTHS = [(32, 0.4), (64, 0.35), (128, 0.25)]
DRAWN = 512


class SpanCorruption:
    """Draws batches: dict of input_ids, attention_mask (B, T) for the encoder and
    labels (B, U), -100 at padding.

    Args:
        words: the masked-LM objective over the same texts; it chooses words to hide.
        sentinels: ids of <extra_id_0> ...; start, end, pad: ids of special tokens.
    """

    def __init__(
        self,
        texts: dict[str, Encoded],
        words: MaskedLM,
        sentinels: list[int],
        end: int,
        pad: int,
        seed: int,
    ):
        self.texts, self.words, self.sentinels, self.end, self.pad = (
            texts,
            words,
            sentinels,
            end,
            pad,
        )
        self.random = np.random.default_rng(seed)
        self.waiting: dict[str, list] = {"spans": [], "prefix": []}

    def window(self) -> np.ndarray:
        """A piece of a document that starts with a sentence."""
        r = self.random
        c = self.texts[r.choice(list(MIXTURE), p=list(MIXTURE.values()))]
        a, end = c.around(r.integers(len(c.tokens)))
        return c.tokens[a : min(end, a + self.length())].astype(int)

    def length(self) -> int:
        return int(
            self.random.choice(
                [n for n, _ in LENGTHS], p=[share for _, share in LENGTHS]
            )
        )

    def hidden_spans(self, n: int) -> np.ndarray:
        """Which of n tokens are hidden (bool): spans of SPAN tokens on average, RATE of
        all tokens, never everything."""
        hidden = np.zeros(n, bool)
        wanted = max(1, min(round(n * RATE), n - 1))
        while hidden.sum() < wanted:
            size = min(int(self.random.geometric(1 / SPAN)), wanted - int(hidden.sum()))
            start = int(self.random.integers(0, n - size + 1))
            hidden[start : start + size] = True
        return hidden

    def spans(self) -> tuple[np.ndarray, np.ndarray]:
        """One span-corruption example: encoder ids, decoder ids."""
        if self.random.random() < WORDS:
            group = self.random.choice(list(MIXTURE), p=list(MIXTURE.values()))
            ids, _, hidden = self.words.example(str(group), self.length())
            text = ~np.isin(
                ids, [self.words.special["[CLS]"], self.words.special["[SEP]"]]
            )
            ids, hidden = ids[text].astype(int), hidden[text].astype(bool)
        else:
            ids = self.window()
            hidden = (
                self.hidden_spans(len(ids))
                if len(ids) > 1
                else np.zeros(len(ids), bool)
            )
        return self.corrupt(ids, hidden)

    def corrupt(
        self, ids: np.ndarray, hidden: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Replaces each run of hidden tokens by the next sentinel; the target lists
        sentinel and run in turn. Runs beyond the last sentinel stay."""
        source, target, used, inside = [], [], -1, False
        for token, hide in zip(ids.tolist(), hidden.tolist(), strict=True):
            if hide and (inside or used + 1 < len(self.sentinels)):
                if not inside:
                    used, inside = used + 1, True
                    source.append(self.sentinels[used])
                    target.append(self.sentinels[used])
                target.append(token)
            else:
                inside = False
                source.append(token)
        return np.array([*source, self.end]), np.array([*target, self.end])

    def prefix(self) -> tuple[np.ndarray, np.ndarray]:
        """One prefix-LM example: the beginning of a text, and how it goes on."""
        ids = self.window()
        while len(ids) < 4:
            ids = self.window()
        cut = int(self.random.integers(1, len(ids) - 1))
        return np.append(ids[:cut], self.end), np.append(ids[cut:], self.end)

    def batch(self, done: float) -> dict[str, np.ndarray]:
        """A batch of the objective that is due when the share `done` of the training
        lies behind."""
        kind = "prefix" if done >= 1 - PREFIX_LM else "spans"
        waiting, draw = (
            self.waiting[kind],
            {"prefix": self.prefix, "spans": self.spans}[kind],
        )
        if not waiting:
            waiting += sorted_batches(
                [draw() for _ in range(DRAWN)], parts=(0, 1)
            )  # encoder and decoder
            self.random.shuffle(waiting)
        return self.collate(waiting.pop())

    def collate(
        self, rows: list[tuple[np.ndarray, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """Pads on the right."""
        source = np.full((len(rows), padded(rows, 0)), self.pad)
        mask, labels = (
            np.zeros_like(source),
            np.full((len(rows), padded(rows, 1)), -100),
        )
        for i, (ids, target) in enumerate(rows):
            source[i, : len(ids)], mask[i, : len(ids)], labels[i, : len(target)] = (
                ids,
                1,
                target,
            )
        return {"input_ids": source, "attention_mask": mask, "labels": labels}
