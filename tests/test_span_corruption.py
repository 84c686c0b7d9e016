"""What mini-t5 reads: spans that can be put back, and at the end of the training
beginnings with their continuation.

The texts are rows of rising numbers, so a token tells its place.
"""

import numpy as np
import pytest
from test_pretraining import corpus

from pretraining import span_corruption
from pretraining.masked_lm import MIXTURE, MaskedLM, Recipe
from pretraining.span_corruption import LENGTHS, PREFIX_LM, RATE, SPAN, SpanCorruption

SPECIAL = {"[PAD]": 0, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "first_word": 100}
PAD, END = 0, 6
SENTINELS = list(range(50, 74))
FIRST, GROUP = (
    100,
    10_000,
)  # the first text token, and how many later the next group's text starts
SIZES = [9, 33, 5, 60, 20, 41]  # tokens of the sentences of each document
LONG = sum(SIZES)
STARTS = set(np.cumsum([0, *SIZES[:-1]]).tolist())


def real_documents(first):
    return [
        [
            list(range(s + sum(SIZES[:i]), s + sum(SIZES[: i + 1])))
            for i in range(len(SIZES))
        ]
        for s in range(first, first + 50 * LONG, LONG)
    ]


TEXTS = {
    group: corpus(real_documents(FIRST + GROUP * number))
    for number, group in enumerate(MIXTURE)
}
VOCABULARY = FIRST + GROUP * len(MIXTURE)


def objective(seed=0, sentinels=SENTINELS):
    words = MaskedLM(TEXTS, SPECIAL, VOCABULARY, Recipe(), seed)
    return SpanCorruption(TEXTS, words, sentinels, END, PAD, seed)


def filled(source, target, sentinels=SENTINELS):
    """The text of an example: each sentinel of the source replaced by what the target
    writes behind it."""
    spans = {}
    for token in target[:-1]:
        if token in sentinels:
            assert token not in spans
            span = spans[token] = []
        else:
            span.append(token)
    return [
        t
        for token in source[:-1]
        for t in (spans.pop(token) if token in sentinels else [token])
    ] + list(spans)


def marks(ids, sentinels=SENTINELS):
    return [token for token in ids if token in sentinels]


def is_window(text):
    """Neighbouring tokens of one document, from the start of a sentence on."""
    place = (text[0] - FIRST) % GROUP
    return (
        place % LONG in STARTS
        and (np.diff(text) == 1).all()
        and (place % LONG) + len(text) <= LONG
    )


def runs(hidden):
    return int((np.diff(np.concatenate([[0], hidden.astype(int)])) == 1).sum())


@pytest.mark.parametrize("count", [1, 3, 24])
def test_spans_can_be_put_back(count):
    """Whatever is hidden; runs beyond the last sentinel stay in the source and are not
    asked for."""
    r, sentinels, left = np.random.default_rng(0), SENTINELS[:count], 0
    o = objective(sentinels=sentinels)
    for _ in range(300):
        ids = np.arange(r.integers(1, 90)) + FIRST
        hidden = r.random(len(ids)) < r.random()
        source, target = (part.tolist() for part in o.corrupt(ids, hidden))
        used = min(runs(hidden), count)
        assert source[-1] == target[-1] == END
        assert marks(source, sentinels) == marks(target, sentinels) == sentinels[:used]
        assert filled(source, target, sentinels) == ids.tolist()
        edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden.astype(int)])) == 1)
        beyond = hidden & (
            np.arange(len(ids)) >= (edges[count] if len(edges) > count else len(ids))
        )
        assert [t for t in target[:-1] if t >= FIRST] == ids[hidden & ~beyond].tolist()
        left += beyond.any()
    assert left > 0


def test_corrupt_by_hand():
    ids, hidden = (
        np.array([101, 102, 103, 104, 105, 106]),
        np.array([True, True, False, True, False, True]),
    )
    source, target = objective(sentinels=SENTINELS[:2]).corrupt(ids, hidden)
    assert source.tolist() == [50, 103, 51, 105, 106, END] and target.tolist() == [
        50,
        101,
        102,
        51,
        104,
        END,
    ]


def test_random_spans():
    """RATE of the tokens, in spans of SPAN on average, and never everything."""
    o, lengths = objective(), []
    for n in range(2, 140):
        hidden = o.hidden_spans(n)
        assert (
            len(hidden) == n
            and 0 < hidden.sum() < n
            and abs(hidden.sum() - n * RATE) <= 1
        )
    for _ in range(300):
        hidden = o.hidden_spans(128)
        lengths.append(hidden.sum() / runs(hidden))
    assert np.mean(lengths) == pytest.approx(SPAN, abs=0.6)
    assert (
        np.mean([o.hidden_spans(60) for _ in range(300)], axis=0)[5:55].std() < 0.05
    ), "some places are hidden more often than others"


def test_windows():
    o = objective()
    windows = [o.window() for _ in range(1000)]
    assert all(is_window(w) and len(w) <= max(n for n, _ in LENGTHS) for w in windows)
    groups = np.bincount([(int(w[0]) - FIRST) // GROUP for w in windows]) / 1000
    assert groups == pytest.approx(list(MIXTURE.values()), abs=0.05)


def hidden_share(o, count):
    """Of `count` span-corruption examples, each checked to be a piece of the text: the
    share of hidden tokens."""
    hidden, all_ = 0, 0
    for _ in range(count):
        source, target = (part.tolist() for part in o.spans())
        text = filled(source, target)
        assert (
            source[-1] == target[-1] == END and is_window(text) and min(text) >= FIRST
        )
        assert marks(source) == marks(target) == SENTINELS[: len(marks(source))] != []
        assert len(source) > 1 + len(marks(source)), "everything is hidden"
        hidden, all_ = hidden + len(target) - 1 - len(marks(target)), all_ + len(text)
    return hidden / all_


def test_examples_with_random_spans(monkeypatch):
    monkeypatch.setattr(span_corruption, "WORDS", 0)
    assert hidden_share(objective(), 500) == pytest.approx(RATE, abs=0.01)


def test_examples_with_words(monkeypatch):
    """The masked-LM objective says what is hidden; its own special tokens are in no
    example."""
    monkeypatch.setattr(span_corruption, "WORDS", 1)
    o = objective()
    inner = o.words.example
    asked = []

    def example(group, length):
        ids, types, hidden = inner(group, length)
        asked.append(ids[hidden].tolist())
        return ids, types, hidden

    monkeypatch.setattr(o.words, "example", example)
    for _ in range(300):
        _, target = o.spans()
        assert [t for t in target.tolist() if t >= FIRST] == asked[-1] != []
    assert 0.05 < hidden_share(objective(), 300) < 0.25


def test_prefixes():
    """A beginning and how it goes on, both with an end, make a window."""
    o, cuts = objective(), []
    for _ in range(500):
        source, target = o.prefix()
        assert source[-1] == target[-1] == END and len(source) >= 2 and len(target) >= 3
        text = np.append(source[:-1], target[:-1])
        assert is_window(text)
        cuts.append((len(source) - 1) / len(text))
    assert np.mean(cuts) == pytest.approx(0.5, abs=0.05) and np.std(cuts) > 0.2


@pytest.mark.parametrize(
    "done, spans",
    [(0.0, True), (1 - PREFIX_LM - 0.01, True), (1 - PREFIX_LM, False), (1.0, False)],
)
def test_batches(done, spans):
    """Spans with sentinels first, in the last part of the training beginnings
    without."""
    o = objective()
    for batch in (o.batch(done) for _ in range(30)):
        source, mask, labels = (
            batch["input_ids"],
            batch["attention_mask"].astype(bool),
            batch["labels"],
        )
        assert (
            list(batch) == ["input_ids", "attention_mask", "labels"]
            and source.shape == mask.shape
            and len(labels) == len(source)
        )
        assert source.shape[1] % 16 == 0 == labels.shape[1] % 16
        assert mask[:, -16:].any() and (labels[:, -16:] != -100).any(), (
            "a width less by a step would do"
        )
        for row, seen, target in zip(source, mask, labels):
            asked = target != -100
            assert (np.diff(seen.astype(int)) <= 0).all() and (
                np.diff(asked.astype(int)) <= 0
            ).all(), "a gap between tokens"
            assert (
                (row[~seen] == PAD).all() and PAD not in row[seen] and PAD not in target
            )
            one, two = row[seen].tolist(), target[asked].tolist()
            assert one[-1] == two[-1] == END and (one.count(END), two.count(END)) == (
                1,
                1,
            )
            assert marks(one) == marks(two) and bool(marks(one)) == spans == (
                two[0] == SENTINELS[0]
            )
            assert is_window(filled(one, two) if spans else one[:-1] + two[:-1])


def test_the_objective_can_change_between_two_batches():
    o = objective()
    kinds = [
        bool(np.isin(o.batch(done)["labels"], SENTINELS).any())
        for done in (0, 1, 0, 1, 0.5)
    ]
    assert kinds == [True, False, True, False, True]


@pytest.mark.parametrize("done", [0, 1])
def test_batches_depend_on_the_seed_alone(done):
    one, two, three = (
        [o.batch(done) for _ in range(3)] for o in map(objective, (1, 1, 2))
    )
    assert all(np.array_equal(a[k], b[k]) for a, b in zip(one, two) for k in a)
    assert any(
        a[k].shape != b[k].shape or (a[k] != b[k]).any()
        for a, b in zip(one, three)
        for k in a
    )
