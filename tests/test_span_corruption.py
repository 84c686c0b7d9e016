"""What mini-t5 reads: spans that can be put back, and at the end of the training
beginnings with their continuation.

The texts are rows of rising numbers, so a token tells its place.
"""

import numpy as np
import pytest
from test_pretraining import corpus

from pretraining import span_corruption
from pretraining.draws import Texts
from pretraining.masked_lm import MIXTURE, MaskedLM, Recipe
from pretraining.span_corruption import (
    LATE,
    LENGTHS,
    PREFIX_LM,
    RATE,
    SPAN,
    VERDICTS,
    SpanCorruption,
)

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
    words = MaskedLM(Texts(TEXTS), SPECIAL, VOCABULARY, Recipe(), seed)
    return SpanCorruption(words, sentinels, END, PAD, seed)


def unpadded(rows):
    """The rows of (tokens, sizes) as lists."""
    return [row[:size].tolist() for row, size in zip(*rows, strict=True)]


def corrupted(o, ids, hidden):
    """`corrupt` of one row: source, target."""
    source, target = o.corrupt(ids[None], hidden[None], np.array([len(ids)]))
    return unpadded(source)[0], unpadded(target)[0]


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
        source, target = corrupted(o, ids, hidden)
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
    source, target = corrupted(objective(sentinels=SENTINELS[:2]), ids, hidden)
    assert source == [50, 103, 51, 105, 106, END]
    assert target == [50, 101, 102, 51, 104, END]


def test_random_spans():
    """RATE of the tokens, in spans of SPAN on average, and never everything."""
    o, sizes = objective(), np.arange(140)
    hidden = o.hidden_spans(sizes, 140)
    assert not hidden[:2].any()
    for n in sizes[2:]:
        assert not hidden[n, n:].any() and 0 < hidden[n].sum() < n
        assert abs(hidden[n].sum() - n * RATE) <= 1
    many = o.hidden_spans(np.full(600, 128), 128)
    lengths = [row.sum() / runs(row) for row in many]
    assert np.mean(lengths) == pytest.approx(SPAN, abs=0.6)
    places = o.hidden_spans(np.full(600, 60), 60).mean(0)[5:55]
    assert places.std() < 0.05, "some places are hidden more often than others"


def test_windows():
    o = objective()
    windows = unpadded(o.windows(o.groups(1000), o.lengths(1000)))
    assert all(is_window(w) and len(w) <= max(n for n, _ in LENGTHS) for w in windows)
    groups = np.bincount([(w[0] - FIRST) // GROUP for w in windows]) / 1000
    assert groups == pytest.approx(list(MIXTURE.values()), abs=0.05)


def hidden_share(o, count):
    """Of `count` span-corruption examples, each checked to be a piece of the text: the
    share of hidden tokens."""
    hidden, all_ = 0, 0
    sources, targets = map(unpadded, o.spans(count))
    for source, target in zip(sources, targets, strict=True):
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
    inner = o.words.examples
    asked = []

    def examples(groups, lengths, masked):
        drawn = inner(groups, lengths, masked)
        rows = zip(drawn.ids, drawn.hidden, strict=True)
        asked.extend(ids[hidden].tolist() for ids, hidden in rows)
        return drawn

    monkeypatch.setattr(o.words, "examples", examples)
    targets = unpadded(o.spans(300)[1])
    assert [[t for t in target if t >= FIRST] for target in targets] == asked
    assert all(asked) and len(asked) == 300
    assert 0.05 < hidden_share(objective(), 300) < 0.25


def test_prefixes():
    """A beginning and how it goes on, both with an end, make a window."""
    o, cuts = objective(), []
    for source, target in zip(*map(unpadded, o.prefix(500)), strict=True):
        assert source[-1] == target[-1] == END and len(source) >= 2 and len(target) >= 3
        text = source[:-1] + target[:-1]
        assert is_window(text)
        cuts.append((len(source) - 1) / len(text))
    assert len(cuts) > 450
    assert np.mean(cuts) == pytest.approx(0.5, abs=0.05) and np.std(cuts) > 0.2


def test_reviews_go_on_with_their_verdict():
    """Of the reviews with a short sentence that judges, a share goes on with exactly
    that sentence; other text never does."""
    documents = [[[11, 12, 13], [14] * 40, [20, 21, 50], [15] * 20]] * 30
    texts = Texts({group: corpus(documents) for group in MIXTURE})
    o = SpanCorruption(
        MaskedLM(texts, SPECIAL, VOCABULARY, Recipe(), 0), SENTINELS, END, PAD, 0
    )
    told = []
    for source, target in zip(*map(unpadded, o.prefix(3000)), strict=True):
        told.append(target == [20, 21, 50, END] and source[-2] == 14)
    reviews = MIXTURE["en_reviews"] + MIXTURE["zh_reviews"]
    assert np.mean(told) == pytest.approx(VERDICTS * reviews, abs=0.05)


@pytest.mark.parametrize("spans", [True, False])
def test_batches(monkeypatch, spans):
    """Spans with sentinels, or beginnings without."""
    monkeypatch.setattr(span_corruption, "PREFIX_LM", (float(not spans),) * 2)
    o = objective()
    for batch in (o.batch(0.5) for _ in range(30)):
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


@pytest.mark.parametrize("done, share", [(0, 0.1), (LATE - 0.01, 0.1), (LATE, 0.65)])
def test_most_of_the_last_batches_are_beginnings(done, share):
    o = objective()
    spans = [np.isin(o.batch(done)["labels"], SENTINELS).any() for _ in range(400)]
    assert 1 - np.mean(spans) == pytest.approx(share, abs=0.07)
    assert share in PREFIX_LM


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
