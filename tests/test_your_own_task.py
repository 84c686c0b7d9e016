"""A reader's own task, exported from chapter 14: choosing, the two experts and their
weights, training, the report, the saved file and what is refused, the stream."""

import csv
import math
import tracemalloc

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from prompttune_utils import hub
from prompttune_utils.data import few_shot, load_task, read_csv
from prompttune_utils.methods import your_own_task as own
from prompttune_utils.methods.fine_tuning import HeadClassifier
from prompttune_utils.methods.prompt_tuning import save_prompt
from tests.tiny import trainable

LABELS = ["very bad", "very good"]  # no tokens, and the same first word
TRAINED = ["soft prompt", "top layers", "all weights", "prompt and all weights"]
HOSTILE = ["[MASK] [MASK] great", "字" * 5000, "\ud800\x00 ☃", "{soft:3} {text}", "a"]


@pytest.fixture(scope="module")
def backbone():
    torch.set_num_threads(1)
    return hub.load("masked_lm", verbose=False)


@pytest.fixture(scope="module")
def rows():
    return few_shot(load_task("reviews-en").pool, 12, 0, dev=False)[0]


@pytest.fixture
def short(monkeypatch):
    """Training that is over after two rounds of two steps."""
    monkeypatch.setattr(own, "ROUND", 2)
    monkeypatch.setattr(own, "ROUNDS", 2)


@pytest.fixture(scope="module")
def frozen(backbone, rows):
    return own.train(rows, LABELS, backbone, "frozen encoder", max_length=48)


def of(*sizes):
    """Rows with different texts, so many of each label."""
    return [
        {"text": f"{label} {i}", "label": label}
        for label, size in enumerate(sizes)
        for i in range(size)
    ]


# ---- choosing


@pytest.mark.parametrize(
    "kind, size, method",
    [
        ("topics", 3, "frozen encoder"),
        ("topics", 1000, "frozen encoder"),
        ("opinions", 3, "label words"),
        ("opinions", 24, "label words"),
        ("opinions", 25, "prompt and all weights"),
        ("other", 40, "word counts"),
    ],
)
def test_the_rarest_label_and_the_kind_choose(kind, size, method):
    advice = own.choose(of(1500, size, 2000), ["a", "rare", "c"], kind)
    assert advice.method == method
    assert advice.why.startswith(f"3 labels, and {size} rows of the rarest, 'rare'")


def test_the_advice_names_methods_and_reasons():
    for kinds in own.ADVICE.values():
        assert set(kinds) == set(own.KINDS)
        for lines in kinds.values():
            assert set(lines.values()) <= set(own.METHODS) and min(lines) == 3
    assert set(own.WHY) == set(own.METHODS)
    with pytest.raises(ValueError, match="kind is 'news': choose one of topics, opin"):
        own.choose(of(5, 5), ["a", "b"], "news")


def test_the_advice_to_train_names_what_to_compare_with():
    why = own.choose(of(40, 40), ["a", "b"], "opinions").why
    assert "train 'frozen encoder' too, and keep the one with the better report" in why


def test_at_the_real_scale_nothing_is_asked_of_an_encoder(monkeypatch):
    monkeypatch.setenv("PROMPTTUNE_SCALE", "real")
    assert own.choose(of(50, 50), ["a", "b"], "opinions").method == "frozen encoder"
    assert own.rate_for("all weights") == own.RATES["real"]["all weights"]
    assert own.rate_for("frozen encoder") is None


def test_texts_that_look_the_same_count_once():
    rows = of(10, 10)
    again = ["{} ", "\u3000{}", "{}\u200b"]
    rows += [row | {"text": form.format(row["text"])} for form in again for row in rows]
    assert "and 10 rows" in own.choose(rows, ["a", "b"]).why
    assert len(own.different(rows)) == 20


def test_all_faults_of_the_rows_are_named_in_one_run():
    rows = of(4, 4) + [
        {"text": " ", "label": 0},
        {"text": "x", "label": 7},
        {"text": " 0  3", "label": 1},
        {"text": "y", "text_b": "z", "label": 1},
    ]
    with pytest.raises(ValueError, match="^The list of rows has 6 faults:\n") as error:
        own.choose(rows, ["a", "b", "B "])
    for part in (
        "The labels 'b' and 'B ' differ in nothing but case, width, form or spaces",
        "Row 9 has no text: write one, or drop the row",
        "Row 10 has the label 7: give the place of its label among the 3 labels",
        "Row 12 has a second text, text_b",
        "Rows 4 and 11 have the same text, and the labels 'a' and 'b': correct one",
        "The label 'B ' has too few different texts, 0 where 3 are needed: correct",
    ):
        assert f"\n- {part}" in str(error.value)


@pytest.mark.parametrize(
    "labels, sentence",
    [
        (["good", "Good"], "The labels 'good' and 'Good' differ in nothing but case"),
        (["好", "坏", "好 "], "The labels '好' and '好 ' differ in nothing but"),
        (["café", "cafe\u0301"], "differ in nothing but case, width, form or spaces"),
        (
            ["ab", "ａｂ"],
            "The labels 'ab' and 'ａｂ' differ in nothing but case, width",
        ),
        (["a"], "The labels are .*: give a list of two or more names"),
        ("ab", "The labels are 'ab': give a list of two or more names"),
        ([0, 1], "The labels are .*: give a list of two or more names"),
    ],
)
def test_labels_that_cannot_be_told_apart(labels, sentence, backbone):
    sizes = [5] * len(labels)
    for function in (own.choose, lambda *given: own.train(*given, backbone)):
        with pytest.raises(ValueError, match=sentence) as error:
            function(of(*sizes), labels)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "bad, sentence",
    [
        ({"text": "x", "label": -1}, "Row 11 has the label -1: give the place"),
        ({"text": "x", "label": "b"}, "Row 11 has the label 'b'"),
        ({"text": "x", "label": True}, "Row 11 has the label True"),
        ({"text": "x", "label": 1.0}, "Row 11 has the label 1.0"),
        ({"text": "x"}, "Row 11 has the label None"),
        ({"text": 3, "label": 0}, "Row 11 has no text"),
        ("x", "Row 11 has no text"),
    ],
)
def test_a_row_that_is_none_is_named(bad, sentence, backbone):
    rows = [*of(5, 5), bad]
    for function in (own.choose, lambda *given: own.train(*given, backbone)):
        with pytest.raises(ValueError, match=sentence):
            function(rows, ["a", "b"])
    with pytest.raises(ValueError, match="The rows are a generator: give a list"):
        own.choose((row for row in rows), ["a", "b"])


def test_language():
    assert own.language_of([{"text": "这家店的 Wi Fi ok"}]) == "zh"
    assert own.language_of([{"text": "A fine 酒店 shop"}]) == "en"


# ---- the experts


def test_word_counts_are_those_of_scikit_learn():
    """Two labels and three; the layer gives what predict_log_proba gives."""
    from sklearn.linear_model import LogisticRegression

    for labels in (2, 3):
        rows = [
            {"text": text, "label": n % labels}
            for n, text in enumerate(["good film", "bad film", "a film", "bad"] * 5)
        ]
        counts = own.WordCounts("en").fit(rows, labels)
        x = counts.tfidf.transform(row["text"] for row in rows)
        fitted = LogisticRegression(C=30.0, max_iter=2000).fit(x, own.gold_of(rows))
        found = counts.log_p(rows).numpy()
        assert np.allclose(found, fitted.predict_log_proba(x), atol=1e-4)


def test_chinese_is_counted_by_characters():
    rows = [{"text": "很好吃", "label": 0}, {"text": "太差了", "label": 1}]
    names = own.WordCounts("zh").fit(rows, 2).tfidf.get_feature_names_out()
    assert {"好", "好吃"} < set(names)


def test_the_probe_reads_vectors_as_they_are():
    generator = np.random.default_rng(0)
    x = (3 + 5 * generator.normal(size=(60, 4))).astype(np.float32)
    gold = (x[:, 0] > 3).astype(int)
    found = own.Probe().fit(x, gold, 2).log_p(x)
    even = (x - x.mean(0)) / x.std(0)
    W, b = own.regression(even, gold, 2, strength=0.01)
    assert torch.allclose(
        found, torch.tensor(even @ W.T + b).log_softmax(-1), atol=1e-4
    )


def test_no_row_is_answered_by_experts_that_were_fitted_to_it(monkeypatch):
    seen = []
    rows, x = of(10, 15), np.random.default_rng(0).normal(size=(25, 3))

    class Spy(own.WordCounts):
        def fit(self, some, labels):
            seen.append({row["text"] for row in some})
            return super().fit(some, labels)

        def log_p(self, some):
            assert not seen[-1] & {row["text"] for row in some}
            return super().log_p(some)

    monkeypatch.setattr(own, "WordCounts", Spy)
    words, network = own.crossed(rows, x.astype(np.float32), 2, "en", 0)
    assert len(seen) == 5 and words.shape == network.shape == (25, 2)
    assert torch.allclose(words.exp().sum(-1), torch.ones(25))


def test_words_must_earn_their_place():
    gold = torch.arange(100) % 2
    right = torch.nn.functional.one_hot(gold, 2).float()
    blind = torch.zeros(100, 2).log_softmax(-1)
    knows = (4 * right).log_softmax(-1)
    assert own.weigh(blind, knows, gold)[0] == 0
    assert own.weigh(knows, blind, gold)[0] > 0
    # a gain that a few rows bring by chance is none
    lucky = blind.clone()
    lucky[:2] = knows[:2]
    assert own.weigh(lucky, blind, gold)[0] == 0


def test_label_words_of_opinions_and_of_topics(backbone):
    reviews = few_shot(load_task("reviews-en").pool, 16, 0, dev=False)[0]
    pattern = own.PATTERNS["en"]["opinions"]
    words = own.words_for(reviews, ["bad", "good"], backbone, pattern, 48)
    assert {"terrible", "awful", "bad"} <= set(words["bad"])
    assert {"great", "excellent"} <= set(words["good"])
    news = load_task("news-en")
    rows = few_shot(news.pool, 16, 0, dev=False)[0]
    pattern = own.PATTERNS["en"]["topics"]
    words = own.topic_words(rows, news.labels, backbone, pattern, 48)
    flat = [word for label in news.labels for word in words[label]]
    assert len(flat) == len(set(flat)) == 10 * len(news.labels)
    assert {"team", "won"} & set(words["sports"])
    assert {"prices", "price", "stock", "dollars"} & set(words["business"])
    assert not {"great", "awful", "terrible", "perfect"} & set(words["business"])


def test_words_are_found_for_many_labels(backbone, rows):
    many = [f"very {i}" for i in range(12)]
    labelled = [row | {"label": i % 12} for i, row in enumerate(rows)]
    for words in (
        own.words_for(labelled, many, backbone, "{text} It was {mask}.", 48),
        own.topic_words(labelled, many, backbone, "{text} It was {mask}.", 48),
    ):
        flat = [word for label in many for word in words[label]]
        assert list(words) == many and len(flat) == len(set(flat)) == 120


def test_rows_sorted_by_their_labels_are_read_alike():
    """A thousand of them, so many of each label, in their order."""
    rows = of(900, 30, 900)
    read = own.a_thousand(rows, 3)
    assert np.bincount(own.gold_of(read)).tolist() == [333, 30, 333]
    assert read == [row for row in rows if row in read]
    assert own.a_thousand(rows[:40], 3) == rows[:40]


def test_too_many_labels_for_the_words_of_a_model():
    with pytest.raises(ValueError, match="knows 20 whole words, too few for 3 labels"):
        own.shared_out(torch.zeros(3, 20), ["a", "b", "c"], list(range(20)), None, 10)


# ---- training


def test_the_report(frozen, rows):
    """Each row was judged; the shares are those of the lines; the intervals hold."""
    found, report = frozen
    assert found.network is not None and report["judged"] == len(rows)
    named = [line["what answers"] for line in report["lines"]]
    assert named == ["word counts", "network", "both", "the most frequent label"]
    assert report["lines"][2]["right"] == report["right"]
    assert set(report["found"]) == set(LABELS)
    assert "word counts" in report["says"] or "network" in report["says"]
    assert own.line_of("x", np.array([True] * 8 + [False] * 2)) == {
        "what answers": "x",
        "right": 0.8,
        "95 % interval": "0.49 to 0.94",
    }


def test_the_verdict_of_the_report():
    yes, no = np.ones(100, bool), np.zeros(100, bool)
    half = np.arange(100) % 2 == 0
    assert own.verdict(yes, half).startswith("The word counts alone are better")
    assert own.verdict(no, half).startswith("The network earns its place")
    assert own.verdict(half, half).startswith("Within the margin of error")


def test_word_counts_alone_need_no_network(rows, backbone, tmp_path):
    found, report = own.train(rows, LABELS, backbone, "word counts")
    assert found.network is None and report["says"] == "There is no network."
    own.save(tmp_path / "w", found, backbone)
    again = own.load(tmp_path / "w", None)
    assert torch.equal(found.score(rows), again.score(rows))


def test_it_beats_chance_on_rows_held_out(backbone):
    task = load_task("reviews-zh")
    rows = few_shot(task.pool, 40, 0, dev=False)[0]
    found, report = own.train(rows, ["差评", "好评"], backbone, max_length=48)
    assert report["method"] == "frozen encoder" and report["judged"] == 80
    assert found.right(task.test[:100]).mean() > 0.6 < report["right"]


@pytest.mark.parametrize("method", own.METHODS[1:])
def test_every_method_is_saved_and_read_again(method, backbone, rows, tmp_path, short):
    """With the same scores, bit by bit, also where weights have moved; the backbone,
    its gradients and its mode are left as they were."""
    home = backbone.copy()
    home.model.train()
    before = hub.weights_hash(home.model)
    found, report = own.train(
        rows, LABELS, home, method, "opinions", max_length=48, learning_rate=1e-4
    )
    assert report["method"] == method
    if method in TRAINED:
        assert len(found.dev) == 3 and found.steps in (0, 2, 4)
        assert found.steps == 2 * found.dev.index(min(found.dev))
    own.save(tmp_path / "p", found, home)
    again = own.load(tmp_path / "p", home)
    asked = [*rows, *({"text": text} for text in HOSTILE)]
    assert torch.equal(found.score(asked), again.score(asked))
    weights = list(home.model.parameters())
    assert all(weight.requires_grad and weight.grad is None for weight in weights)
    assert home.model.training and hub.weights_hash(home.model) == before
    head = HeadClassifier(home, 2, max_length=48)
    assert trainable(head) == trainable(HeadClassifier(backbone.copy(), 2))


class Falling(torch.nn.Module):
    """One number; its answers are best where it is 1."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(()))

    def score(self, rows):
        right = -((self.w - 1) ** 2).detach().expand(len(rows))
        return torch.stack([right, torch.full_like(right, -0.5)], -1)

    def loss(self, rows):
        return -self.w  # ever larger: past the best on the dev rows


def test_training_stops_when_the_dev_curve_is_flat():
    network, rows = Falling(), of(8)
    losses = own.until_flat(network, rows, rows, 0.02, 0)
    best = losses.index(min(losses))
    assert best > 0 and len(losses) - 1 == best + own.PATIENCE < own.ROUNDS
    assert network.score(rows)[0, 0].item() > -0.2  # the best round came back


def test_training_without_bounds_is_undone():
    class Bursting(Falling):
        def score(self, rows):
            return super().score(rows) if self.w == 0 else torch.full((8, 2), math.nan)

    network = Bursting()
    losses = own.until_flat(network, of(8), of(8), 0.02, 0)
    assert network.w == 0 and losses[1:] == [math.inf] * own.PATIENCE


@pytest.mark.parametrize(
    "option, value",
    [
        ("seed", -1),
        ("seed", 0.5),
        ("max_length", 0),
        ("max_length", "48"),
        ("learning_rate", 0),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("learning_rate", "0.003"),
    ],
)
def test_an_option_that_cannot_be_followed_is_named(option, value, backbone, rows):
    if value == 0 and option == "learning_rate":
        value = -0.1
    with pytest.raises(ValueError, match=f"{option} is {value!r}: give a ") as error:
        own.train(rows, LABELS, backbone, "soft prompt", **{option: value})
    assert "\n" not in str(error.value)


def test_what_train_refuses(backbone, rows):
    with pytest.raises(ValueError, match="method is 'magic': choose one of word count"):
        own.train(rows, LABELS, backbone, "magic")
    with pytest.raises(ValueError, match="There is no option 'lenght': give pattern"):
        own.train(rows, LABELS, backbone, lenght=3)
    with pytest.raises(ValueError, match="The template .* has nothing to train: write"):
        own.train(rows, LABELS, backbone, "soft prompt", pattern="{text} {mask}")
    with pytest.raises(
        ValueError,
        match="There are label words for very bad, and the labels are very bad, "
        "very good: give words for each label",
    ):
        own.train(rows, LABELS, backbone, "label words", words={"very bad": "bad"})
    with pytest.raises(ValueError, match="There are label words for no label"):
        own.train(rows, LABELS, backbone, "label words", words={})
    for pattern in ("{text} {text_b} {mask}", 3):
        with pytest.raises(
            ValueError, match="The template .* does not fit rows with one text: write"
        ):
            own.train(rows, LABELS, backbone, "label words", pattern=pattern)
    encoder = hub.load("encoder", name="mini-bert", verbose=False)
    with pytest.raises(ValueError, match="fills no gaps, so it cannot be asked for"):
        own.train(rows, LABELS, encoder, "label words")


@pytest.mark.parametrize("method", ["word counts", "frozen encoder"])
def test_texts_without_words_are_refused(method, backbone):
    signs = [
        {"text": sign * (n + 1), "label": label}
        for label, sign in enumerate("☃!")
        for n in range(4)
    ]
    with pytest.raises(ValueError, match="Too few of the texts hold a word of two let"):
        own.train(signs, LABELS, backbone, method, max_length=16)


def test_no_backbone(rows, frozen, saved, tmp_path):
    for wrong in (None, "mini-bert"):
        kind = type(wrong).__name__
        with pytest.raises(ValueError, match=f"backbone is of the type {kind}: give"):
            own.train(rows, LABELS, wrong)
        with pytest.raises(ValueError, match=f"backbone is of the type {kind}: give"):
            own.save(tmp_path / "p", frozen[0], wrong)
        with pytest.raises(ValueError, match=f"backbone is of the type {kind}: give"):
            own.load(saved, wrong)


def test_another_kind_of_backbone_is_not_saved_with(frozen, tmp_path):
    other = hub.load("masked_lm", name="mini-bert-s", verbose=False)
    with pytest.raises(ValueError, match="was not trained on mini-bert-s: save it"):
        own.save(tmp_path / "p", frozen[0], other)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_file_to_save_in(frozen, backbone, tmp_path):
    """Nothing is left beside it."""
    (tmp_path / "models").mkdir()
    with pytest.raises(ValueError, match="models cannot be written .*: give a file in"):
        own.save(tmp_path / "models", frozen[0], backbone)
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_words_by_hand_are_given_by_label(rows, backbone):
    with pytest.raises(ValueError, match="words for no label.*give words for each"):
        own.train(rows, LABELS, backbone, "label words", words=list(LABELS))


def test_words_by_hand_are_taken(backbone, rows):
    words = {"very bad": "bad", "very good": "good"}
    found, _ = own.train(rows, LABELS, backbone, "label words", "opinions", words=words)
    assert found.network.verbalizer.words == {n: [w] for n, w in words.items()}


# ---- the file


@pytest.fixture
def saved(frozen, backbone, tmp_path):
    path = tmp_path / "mine.safetensors"
    own.save(path, frozen[0], backbone)
    return path


def test_a_small_file(saved):
    assert saved.stat().st_size < 50_000


def test_damaged_files_are_refused(saved, backbone, tmp_path):
    whole = saved.read_bytes()
    for content, sentence in (
        (whole[:-100], "no complete safetensors file"),
        (b"\x89PNG" + bytes(200), "no complete safetensors file"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "was changed after it was saved"),
    ):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(ValueError, match=f"bad .*{sentence}.*: save the"):
            own.load(tmp_path / "bad", backbone)
    with pytest.raises(ValueError, match="There is no file .*none: give one that"):
        own.load(tmp_path / "none", backbone)
    with pytest.raises(ValueError, match="There is no file"):
        own.load(tmp_path, backbone)
    with pytest.raises(ValueError, match="cannot be written .*existing folder"):
        own.save(tmp_path / "no" / "p", own.load(saved, backbone), backbone)


def test_files_of_another_kind_are_refused(backbone, tmp_path):
    save_file({"a": torch.zeros(2)}, str(tmp_path / "a"))
    save_prompt(tmp_path / "b", torch.zeros(2, 256), backbone)
    for name in "ab":
        with pytest.raises(ValueError, match=f"{name} holds no classifier of this ch"):
            own.load(tmp_path / name, backbone)


def test_another_backbone_is_refused(saved, backbone):
    with pytest.raises(
        ValueError,
        match="mine.safetensors was trained for mini-bert .* and mini-bert has the "
        "weights .*: load it with its own backbone",
    ):
        own.load(saved, backbone.reinitialised(0))


# ---- the stream


def test_the_stream_keeps_its_order_and_is_read_as_far_as_needed(frozen, rows):
    found = frozen[0]
    texts = [row["text"] for row in rows] + HOSTILE
    taken = []

    def stream():
        for number in range(10_000):
            taken.append(number)
            yield {"t": texts[number % len(texts)]}

    answers = own.predict(found, stream(), text="t", at_once=40)
    first = [next(answers) for _ in range(60)]
    assert len(taken) <= 80
    alone = found.score([{"text": text} for text in texts]).exp()
    for (label, probability), expected in zip(first, [*alone] * 3, strict=False):
        assert probability == pytest.approx(expected.max().item(), abs=1e-3)
        assert label == LABELS[expected.argmax()] or abs(probability - 0.5) < 1e-3
    assert list(own.predict(found, [])) == []


def test_a_stream_does_not_grow(frozen):
    rows = ({"text": "fine", "note": f"{number:>100000}"} for number in range(200))
    tracemalloc.start()
    list(own.predict(frozen[0], rows, at_once=16))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6  # the rows together are 20 MB


@pytest.mark.parametrize("bad", [{"t": ""}, {"t": " \n"}, {"t": None}, {}, {"t": 3.5}])
def test_a_row_without_text_is_named(bad, frozen):
    with pytest.raises(
        ValueError,
        match="Row 3 of the stream has no text in the column 't': "
        "name another column with text=, or leave the row out",
    ):
        list(own.predict(frozen[0], [{"t": "a"}, {"t": "b"}, bad], text="t"))


@pytest.mark.parametrize("stream", ["a text", {"text": "a text"}, None, 3])
def test_a_stream_that_is_none_is_refused_at_the_call(stream, frozen):
    with pytest.raises(ValueError, match="The stream is of the type .*: give a list"):
        own.predict(frozen[0], stream)


def test_a_text_is_no_row(frozen):
    with pytest.raises(ValueError, match="Row 1 of the stream is a text: give rows, s"):
        list(own.predict(frozen[0], ["Where is my parcel?"]))


def test_rows_before_a_fault_are_answered(frozen):
    """A fault of a row, and one of the source, in the first block of rows and later."""

    def broken():
        yield from [{"text": "fine"}] * 40
        raise OSError("the source has gone")

    for stream, kind in (
        ([{"text": "fine"}] * 40 + [{"text": ""}], ValueError),
        (broken(), OSError),
    ):
        answers = own.predict(frozen[0], stream, at_once=32)
        assert len([next(answers) for _ in range(40)]) == 40
        with pytest.raises(kind):
            next(answers)


@pytest.mark.parametrize("size", [0, -1, 2.0, None, True])
def test_the_size_of_a_block_is_refused_at_the_call(size, frozen):
    with pytest.raises(ValueError, match="at_once is .*: give a whole number from 1"):
        own.predict(frozen[0], [{"text": "fine"}], at_once=size)


@pytest.mark.parametrize("header", ["comment", '"comment"'])
def test_a_byte_order_mark_in_a_stream_is_named(header, frozen, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text(f"\ufeff{header},id\nfine,1\n", encoding="utf-8")
    with (
        open(path, encoding="utf-8", newline="") as file,
        pytest.raises(
            ValueError,
            match="begins with a byte-order mark: open the file with encoding='utf-8-",
        ),
    ):
        list(own.predict(frozen[0], csv.DictReader(file), text="comment"))
    with open(path, encoding="utf-8-sig", newline="") as file:
        answers = own.predict(frozen[0], csv.DictReader(file), text="comment")
        assert len(list(answers)) == 1


def test_from_a_csv_to_an_answer(backbone, rows, tmp_path):
    path = tmp_path / "yours.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["comment", "verdict"])
        writer.writerows([row["text"], LABELS[row["label"]]] for row in rows)
    read, labels = read_csv(path, text="comment", label="verdict")
    assert labels == LABELS
    advice = own.choose(read, labels, "opinions")
    home = own.backbone_for(read)
    found, _ = own.train(read, labels, home, advice.method, "opinions", max_length=48)
    own.save(tmp_path / "p", found, home)
    answers = list(own.predict(own.load(tmp_path / "p", home), read))
    assert advice.method == "label words" and {label for label, _ in answers} == {
        *LABELS
    }
