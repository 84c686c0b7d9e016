"""The masked-LM objective of mini-bert: which text stands in an example, and which
words are hidden in it.

Three levers bring the polarity of a review to the mask (compared in the card): hide
content words rather than function words, hide words that carry an opinion, and put a
short verdict sentence of the same review ("it was great.") behind other sentences of
it, its opinion word hidden, as a template will later do.
"""

from dataclasses import dataclass

import numpy as np

from pretraining.batches import filled, like_length, padded
from pretraining.draws import VERDICT, Texts, one_of_each_run

# share of the examples drawn from each group
MIXTURE = {"en_reviews": 0.38, "zh_reviews": 0.36, "en_other": 0.13, "zh_other": 0.13}
# (longest example in tokens, share of the examples)
LENGTHS = [(32, 0.45), (64, 0.33), (128, 0.22)]
# share of the tokens that are hidden, at the start and at the end of the training:
# many at first make more of each text, few at last make it like the later use
MASKED = (0.30, 0.15)
DRAWN = 4096  # examples drawn at once and put into batches of like length


def masked_share(done: float) -> float:
    """The share of hidden tokens when the share `done` of the training lies behind."""
    first, last = MASKED
    return first + (last - first) * min(1.0, max(0.0, done))


@dataclass
class Recipe:
    """The levers; the defaults are the recipe of the shipped mini."""

    verdict: float = (
        0.6  # share of review examples that get a verdict sentence of the same review
    )
    opinion: float = 0.25  # chance that an opinion word of the context is hidden
    content_words: bool = True  # sample the other masks as word2vec subsamples words


@dataclass
class Examples:
    """Examples side by side: ids, types (0 or 1) and hidden (bool), each (n, W), and
    the size of each row (n,)."""

    ids: np.ndarray
    types: np.ndarray
    hidden: np.ndarray
    sizes: np.ndarray


class MaskedLM:
    """Draws batches: dict of input_ids, token_type_ids, attention_mask, labels (B, T),
    labels -100 where nothing is hidden."""

    def __init__(
        self,
        texts: Texts,
        special: dict[str, int],
        vocabulary: int,
        recipe: Recipe,
        seed: int,
    ):
        self.texts, self.special, self.vocabulary = texts, special, vocabulary
        self.recipe, self.seed = recipe, seed
        self.random, self.waiting = np.random.default_rng(seed), []
        counts = np.bincount(texts.tokens, minlength=vocabulary)
        frequency = counts / counts.sum()
        self.weight = (
            np.minimum(1, np.sqrt(1e-3 / np.maximum(frequency, 1e-9)))
            if recipe.content_words
            else np.ones(vocabulary)
        )
        self.weight[: special["first_word"]] = 0

    def reseed(self, worker: int) -> None:
        """Other examples for each of several workers with the same seed."""
        self.random = np.random.default_rng([self.seed, worker])

    def draw(self, count: int, masked: float) -> Examples:
        """`count` examples of the mixture, of which the share `masked` is hidden."""
        r = self.random
        names = [self.texts.names.index(name) for name in MIXTURE]
        groups = r.choice(names, size=count, p=list(MIXTURE.values()))
        lengths, shares = zip(*LENGTHS, strict=True)
        return self.examples(groups, r.choice(lengths, size=count, p=shares), masked)

    def examples(
        self, groups: np.ndarray, lengths: np.ndarray, masked: float
    ) -> Examples:
        """One example of each group (n,), of at most `lengths` (n,) tokens."""
        x, r, n = self.texts, self.random, len(groups)
        documents = x.draw_documents(groups, r)
        first, last = x.document[documents], x.document[documents + 1]
        verdict = x.draw_verdicts(documents, r)
        verdict[(r.random(n) >= self.recipe.verdict) | (last - first < 2)] = -1
        has = verdict >= 0
        size = np.where(has, x.sentence[verdict + 1] - x.sentence[verdict], 0)
        room = ((lengths - 3 - size) * r.uniform(0.5, 1, n)).astype(int)
        start = r.integers(first, last)
        beside = np.where(verdict + 1 < last, verdict + 1, verdict - 1)
        start = np.where(has & (start == verdict), beside, start)
        # the context: sentences from there on, up to the verdict or the document's end
        begin, width = x.sentence[start], int(lengths.max(initial=1))
        stop = x.sentence[np.where(has & (verdict > start), verdict, last)]
        length = np.minimum(stop - begin, np.maximum(room, 8))
        hidden = self.hidden_words(begin, length, width, masked, has)
        judged, inside = x.gather(x.opinion, x.sentence[verdict], size, VERDICT[1])
        hidden = np.hstack([hidden, one_of_each_run(judged & inside, r)])
        # two parts: context and verdict, or the context cut behind its first sentence
        cut = np.minimum(x.sentence[start + 1] - begin, length)
        two = ~has & (length > cut) & (r.random(n) < 0.3)
        one = (begin, np.where(two, cut, length), np.zeros(n, int))
        other = (begin + cut, np.where(two, length - cut, 0), cut)
        other = np.where(has, (x.sentence[verdict], size, width + 0 * size), other)
        swapped = has & (r.random(n) >= 0.75)
        separate = (has | two) & (r.random(n) < 0.4)
        parts = np.where(swapped, other, one), np.where(swapped, one, other)
        return self.joined(*parts, separate, hidden, width)

    def hidden_words(
        self,
        begin: np.ndarray,
        length: np.ndarray,
        width: int,
        masked: float,
        has_verdict: np.ndarray,
    ) -> np.ndarray:
        """Which tokens of the contexts are hidden (n, width)."""
        x, r = self.texts, self.random
        tokens, inside = x.gather(x.tokens, begin, length, width)
        opinion, _ = x.gather(x.opinion, begin, length, width)
        hidden = r.random(tokens.shape) < self.budget(tokens, inside, masked)
        hidden |= opinion & inside & (r.random(tokens.shape) < self.recipe.opinion)
        # every example asks something
        words = inside & (self.weight[tokens] > 0)
        chosen = (words * r.random(tokens.shape)).argmax(1)
        bare = ~has_verdict & ~hidden.any(1) & words.any(1)
        hidden[bare, chosen[bare]] = True
        return hidden

    def budget(
        self, tokens: np.ndarray, inside: np.ndarray, masked: float
    ) -> np.ndarray:
        """Chance of each context token (n, W) to be hidden, `masked` on average."""
        weight = self.weight[tokens] * inside
        total = np.maximum(weight.sum(1), 1e-9)
        return np.minimum(0.8, weight * (masked * inside.sum(1) / total)[:, None])

    def joined(
        self,
        one: np.ndarray,
        two: np.ndarray,
        separate: np.ndarray,
        hidden: np.ndarray,
        width: int,
    ) -> Examples:
        """[CLS] one two [SEP], with a [SEP] between them where they are `separate`.

        A part (3, n): where it begins in the tokens, its size (0 for none), and where
        in a row of `hidden` its marks begin.
        """
        x, (cls, sep) = self.texts, (self.special[t] for t in ("[CLS]", "[SEP]"))
        separate = separate.astype(int)
        sizes = 2 + one[1] + separate + two[1]
        ids = np.full((len(sizes), width), cls)
        marked = np.zeros(ids.shape, bool)
        place = np.arange(width)[None] - 1  # in the first part
        second = place - (one[1] + separate)[:, None]  # in the second
        for (begin, size, marks), at in ((one, place), (two, second)):
            here = (at >= 0) & (at < size[:, None])
            tokens = x.tokens[np.clip(begin[:, None] + at, 0, len(x.tokens) - 1)]
            ids = np.where(here, tokens, ids)
            column = np.clip(marks[:, None] + at, 0, hidden.shape[1] - 1)
            marked |= here & np.take_along_axis(hidden, column, axis=1)
        ends = (second == -1) & (separate > 0)[:, None] | (second == two[1][:, None])
        ids = np.where(ends, sep, ids)
        types = ((second >= 0) & (separate > 0)[:, None]).astype(int)
        return Examples(ids, types, marked, sizes)

    def batch(self, done: float) -> dict[str, np.ndarray]:
        """A batch of what is due when the share `done` of the training lies behind."""
        if not self.waiting:
            drawn = self.draw(DRAWN, masked_share(done))
            self.waiting = [
                self.collate(drawn, rows)
                for rows in like_length(drawn.sizes, self.random)
            ]
        return self.waiting.pop()

    def collate(self, drawn: Examples, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The rows as a batch, and hides what is to be guessed: 85 % become [MASK], 5 %
        a random word, 10 % stay."""
        r, special, width = self.random, self.special, padded(drawn.sizes[rows])
        width = min(width, drawn.ids.shape[1])
        ids, types, hidden = (
            part[rows, :width] for part in (drawn.ids, drawn.types, drawn.hidden)
        )
        mask = np.arange(width) < drawn.sizes[rows, None]
        chance = r.random(ids.shape)
        word = r.integers(special["first_word"], self.vocabulary, ids.shape)
        other = np.where(chance < 0.95, ids, word)
        shown = np.where(chance < 0.85, special["[MASK]"], other)
        shown = np.where(hidden, shown, ids)
        # a random start teaches every position, also those behind a later prefix
        offset = int(r.integers(0, 64)) if r.random() < 0.25 else 0
        positions = np.broadcast_to(np.arange(offset, offset + width), ids.shape)
        batch = {
            "input_ids": np.where(mask, shown, special["[PAD]"]),
            "token_type_ids": np.where(mask, types, 0),
            "attention_mask": mask.astype(int),
            "labels": np.where(mask & hidden, ids, -100),
            "position_ids": positions,
        }
        return filled(batch, width)
