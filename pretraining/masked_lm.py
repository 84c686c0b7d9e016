"""The masked-LM objective of mini-bert: which text stands in an example, and which
words are hidden in it.

Three levers bring the polarity of a review to the mask (compared in the card): hide
content words rather than function words, hide words that carry an opinion, and put a
short verdict sentence of the same review ("it was great.") behind other sentences of
it, its opinion word hidden, as a template will later do.
"""

from dataclasses import dataclass

import numpy as np

from pretraining.batches import padded, sorted_batches
from pretraining.encoded import Encoded

# share of the examples drawn from each group
MIXTURE = {"en_reviews": 0.40, "zh_reviews": 0.38, "en_other": 0.11, "zh_other": 0.11}
# (longest example in tokens, share of the examples)
LENGTHS = [(32, 0.5), (64, 0.3), (128, 0.2)]
MASKED = 0.15
DRAWN = 1024  # examples drawn at once and sorted by length, so that little is padding


@dataclass
class Recipe:
    """The levers; the defaults are the recipe of the shipped mini."""

    verdict: float = (
        0.6  # share of review examples that get a verdict sentence of the same review
    )
    opinion: float = 0.25  # chance that an opinion word of the context is hidden
    content_words: bool = True  # sample the other masks as word2vec subsamples words


class MaskedLM:
    """Draws batches: dict of input_ids, token_type_ids, attention_mask, labels (B, T),
    labels -100 where nothing is hidden."""

    def __init__(
        self,
        corpora: dict[str, Encoded],
        special: dict[str, int],
        vocabulary: int,
        recipe: Recipe,
        seed: int,
    ):
        self.corpora, self.special, self.vocabulary, self.recipe = (
            corpora,
            special,
            vocabulary,
            recipe,
        )
        self.random, self.waiting = np.random.default_rng(seed), []
        counts = sum(
            np.bincount(c.tokens, minlength=vocabulary) for c in corpora.values()
        )
        frequency = counts / counts.sum()
        self.weight = (
            np.minimum(1, np.sqrt(1e-3 / np.maximum(frequency, 1e-9)))
            if recipe.content_words
            else np.ones(vocabulary)
        )
        self.weight[: special["first_word"]] = 0
        self.cumulative, self.verdicts = {}, {}
        for name, c in corpora.items():
            sizes = c.sentence[c.document[1:]] - c.sentence[c.document[:-1]]
            self.cumulative[name] = np.cumsum(np.minimum(sizes, 128))
            length = np.diff(c.sentence)
            has = np.add.reduceat(np.append(c.opinion, False), c.sentence[:-1]) * (
                length > 0
            )
            self.verdicts[name] = (
                (length >= 2) & (length <= 12) & (has > 0) & name.endswith("reviews")
            )

    def example(
        self, group: str, length: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One example: ids, token types, hidden (bool), each of at most `length`."""
        c, r = self.corpora[group], self.random
        doc = int(
            np.searchsorted(
                self.cumulative[group],
                r.integers(self.cumulative[group][-1]),
                side="right",
            )
        )
        first, last = int(c.document[doc]), int(c.document[doc + 1])
        verdict = None
        if r.random() < self.recipe.verdict:
            choices = np.flatnonzero(self.verdicts[group][first:last])
            if len(choices) and last - first > 1:
                verdict = first + int(r.choice(choices))
        room = (
            length
            - 3
            - (
                int(c.sentence[verdict + 1] - c.sentence[verdict])
                if verdict is not None
                else 0
            )
        )
        room = max(8, int(room * r.uniform(0.4, 1)))
        start = int(r.integers(first, last))
        if verdict is not None and start == verdict:
            start = verdict + 1 if verdict + 1 < last else verdict - 1
        pieces, used, s = [], 0, start
        while s < last and used < room and s != verdict:
            a, b = int(c.sentence[s]), int(c.sentence[s + 1])
            b = min(b, a + room - used)
            pieces.append((a, b))
            used += b - a
            s += 1
        context = np.concatenate([np.arange(a, b) for a, b in pieces])
        hidden = r.random(len(context)) < self.budget(c.tokens[context])
        hidden |= c.opinion[context] & (r.random(len(context)) < self.recipe.opinion)
        words = np.flatnonzero(self.weight[c.tokens[context]])
        if len(words) and verdict is None and not hidden.any():
            hidden[r.choice(words)] = True  # every example asks something
        parts = [(context, hidden)]
        if verdict is not None:
            span = np.arange(c.sentence[verdict], c.sentence[verdict + 1])
            parts.insert(
                1 if r.random() < 0.75 else 0, (span, self.partly(c.opinion[span]))
            )
        elif len(pieces) > 1 and r.random() < 0.3:
            cut = pieces[0][1] - pieces[0][0]
            parts = [(context[:cut], hidden[:cut]), (context[cut:], hidden[cut:])]
        separate = len(parts) > 1 and r.random() < 0.4
        cls, sep = self.special["[CLS]"], self.special["[SEP]"]
        ids, types, hide = [[cls]], [[0]], [[False]]
        for number, (where, what) in enumerate(parts):
            kind = number if separate else 0
            end = number == len(parts) - 1 or separate
            ids.append(np.append(c.tokens[where], sep) if end else c.tokens[where])
            hide.append(np.append(what, False) if end else what)
            types.append(np.full(len(ids[-1]), kind))
        return tuple(np.concatenate(x)[:length] for x in (ids, types, hide))

    def partly(self, marked: np.ndarray) -> np.ndarray:
        """Of half of the opinion words of several tokens, hides one token only: a
        template often gives the rest away (很[MASK])."""
        hidden, edges = (
            marked.copy(),
            np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(int), [0]]))),
        )
        for first, last in edges.reshape(-1, 2):
            if last - first > 1 and self.random.random() < 0.5:
                hidden[first:last] = False
                hidden[self.random.integers(first, last)] = True
        return hidden

    def budget(self, tokens: np.ndarray) -> np.ndarray:
        """Chance of each context token to be hidden, MASKED on average."""
        weight = self.weight[tokens]
        return np.minimum(0.8, weight * MASKED * len(tokens) / max(weight.sum(), 1e-9))

    def batch(self) -> dict[str, np.ndarray]:
        if not self.waiting:
            r = self.random
            lengths = r.choice(
                [n for n, _ in LENGTHS], size=DRAWN, p=[share for _, share in LENGTHS]
            )
            groups = r.choice(list(MIXTURE), size=DRAWN, p=list(MIXTURE.values()))
            self.waiting += sorted_batches(
                [self.example(g, int(n)) for g, n in zip(groups, lengths)]
            )
            r.shuffle(self.waiting)
        return self.collate(self.waiting.pop())

    def collate(
        self, rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """Pads the rows and hides what is to be guessed: 85 % become [MASK], 5 % a
        random word, 10 % stay."""
        r, special = self.random, self.special
        shape = (len(rows), padded(rows))
        ids, types, mask, labels = (
            np.full(shape, special["[PAD]"]),
            np.zeros(shape, int),
            np.zeros(shape, int),
            np.full(shape, -100),
        )
        for i, (row, kind, hide) in enumerate(rows):
            n, row, chance = len(row), row.astype(int), r.random(len(row))
            labels[i, :n] = np.where(hide, row, -100)
            shown = np.where(
                chance < 0.85,
                special["[MASK]"],
                np.where(
                    chance < 0.95,
                    row,
                    r.integers(special["first_word"], self.vocabulary, n),
                ),
            )
            ids[i, :n], types[i, :n], mask[i, :n] = np.where(hide, shown, row), kind, 1
        # a random start teaches every position, also those behind a later prefix
        offset = int(r.integers(0, 64)) if r.random() < 0.25 else 0
        positions = np.broadcast_to(np.arange(offset, offset + shape[1]), shape)
        return {
            "input_ids": ids,
            "token_type_ids": types,
            "attention_mask": mask,
            "labels": labels,
            "position_ids": positions,
        }
