"""How the minis are made, on corpora small enough to check by hand. Nothing here needs
the mirror."""

import contextlib
import gzip
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoTokenizer
from transformers.utils import import_utils

from pretraining import (
    batches,
    corpora,
    encoded,
    loop,
    mini_bert,
    mini_gpt,
    mini_t5,
    next_token,
    ship,
    stepping,
)
from pretraining import tokenizer as tokenizers_
from pretraining.draws import Texts, one_of_each_run
from pretraining.masked_lm import MASKED, MIXTURE, MaskedLM, Recipe, masked_share
from pretraining.muon import Muon
from prompttune_utils import hub

SPECIAL = {"[PAD]": 0, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "first_word": 10}
UNKNOWN, VOCABULARY = 1, 60
OPINIONS = range(50, 56)


def corpus(documents):
    """Documents of sentences of token ids; ids from 50 on judge."""
    flat = [s for d in documents for s in d]
    tokens = np.array([t for s in flat for t in s], dtype=np.uint16)
    offsets = np.cumsum([0, *map(len, flat)])
    return encoded.Encoded(
        tokens, np.isin(tokens, OPINIONS), offsets, np.cumsum([0, *map(len, documents)])
    )


def objective(documents, recipe=None, seed=0):
    return MaskedLM(
        Texts({group: corpus(documents) for group in MIXTURE}),
        SPECIAL,
        VOCABULARY,
        recipe or Recipe(),
        seed,
    )


WORDS = np.random.default_rng(0).integers(10, 50, 4000).tolist()
# reviews of ordinary words with unknown ones between them, an opinion here and there, a
# short verdict, an empty sentence at the end
REVIEWS = [
    [
        WORDS[i : i + 9],
        [UNKNOWN, 50, *WORDS[i + 9 : i + 30]],
        [20, 21, 51 + i % 5],
        WORDS[i + 30 : i + 90],
        [],
    ]
    for i in range(0, 3900, 90)
]


def examples(o, group, length=64, count=300, masked=MASKED[1]):
    groups = np.full(count, o.texts.names.index(group))
    drawn = o.examples(groups, np.full(count, length), masked)
    rows = zip(drawn.ids, drawn.types, drawn.hidden, drawn.sizes, strict=True)
    for ids, types, hidden, size in rows:
        assert size <= length
        assert not hidden[size:].any()
        yield ids[:size].tolist(), types[:size].tolist(), hidden[:size]


@pytest.mark.parametrize("length", [32, 64, 128])
@pytest.mark.parametrize("group", MIXTURE)
def test_example_has_the_form_of_bert(group, length):
    for ids, types, hidden in examples(objective(REVIEWS), group, length):
        assert ids[0] == SPECIAL["[CLS]"] and ids[-1] == SPECIAL["[SEP]"]
        assert types == sorted(types) and set(types) <= {0, 1}
        assert ids.count(SPECIAL["[SEP]"]) == 1 + types[-1]
        assert types[-1] == 0 or ids[types.index(1) - 1] == SPECIAL["[SEP]"]
        assert min(np.array(ids)[hidden], default=10) >= SPECIAL["first_word"], (
            "a special or unknown token was hidden"
        )


def test_every_example_with_a_word_asks_something():
    for ids, _, hidden in examples(
        objective(REVIEWS, Recipe(verdict=0, opinion=0)), "zh_reviews", 32
    ):
        assert hidden.any() == (max(ids) >= SPECIAL["first_word"])


def test_rows_of_unknown_or_empty_text_do_not_stop_the_run():
    o = objective([[[UNKNOWN] * 5, []], [[UNKNOWN], [UNKNOWN, UNKNOWN]]])
    assert not any(hidden.any() for *_, hidden in examples(o, "zh_other"))


def test_opinion_word_of_the_verdict_is_hidden():
    """The verdict [20, 21, 50] stands once, whole, beside other sentences of its
    review, and its opinion word is asked for."""
    documents = [[[11, 12, 13], [14] * 40, [20, 21, 50], [15] * 20]]
    before = 0
    for ids, _, hidden in examples(
        objective(documents, Recipe(verdict=1, opinion=0)), "en_reviews"
    ):
        place = ids.index(50)
        assert (
            ids.count(50) == 1
            and ids[place - 2 : place] == [20, 21]
            and hidden[place]
            and not hidden[place - 2 : place].any()
        )
        assert {11, 14, 15} & set(ids)
        before += place == 3
    assert 0.1 < before / 300 < 0.4


def test_no_verdict_for_other_text_or_without_the_lever():
    documents = [[[11] * 30, [20, 21, 50]]]
    for o, group in (
        (objective(documents, Recipe(verdict=1)), "en_other"),
        (objective(documents, Recipe(verdict=0)), "en_reviews"),
    ):
        assert any(50 not in ids for ids, *_ in examples(o, group, count=50))
    long = objective([[[11] * 30, [20] * 12 + [50]], [[50, 21]]]).texts
    own = len(long.sentence[:-1]) // len(MIXTURE)  # sentences of each group
    reviews = [n for n, name in enumerate(MIXTURE) if name.endswith("reviews")]
    assert long.verdicts.tolist() == [own * n + 2 for n in reviews]


def share_hidden(recipe, tokens):
    ids, hidden = zip(
        *[
            (ids, hidden)
            for ids, _, hidden in examples(
                objective(REVIEWS, recipe), "en_other", 128, 600
            )
        ]
    )
    wanted = np.isin(np.concatenate(ids), tokens)
    return np.concatenate(hidden)[wanted].mean()


def test_levers_hide_opinions_and_rare_words():
    ordinary = range(10, 50)
    assert share_hidden(Recipe(0, 0, False), ordinary) == pytest.approx(
        MASKED[1], abs=0.02
    )
    assert (
        share_hidden(Recipe(0, 0.5, False), OPINIONS)
        > 0.5
        > 0.2
        > share_hidden(Recipe(0, 0.5, False), ordinary)
    )
    o = objective([[[11] * 99 + [12]]] * 20, Recipe(0, 0, True))
    tokens = np.array([[11, 12] * 50])
    common, rare = o.budget(tokens, tokens > 0, MASKED[1])[0, :2]
    assert rare > 3 * common and (common + rare) / 2 == pytest.approx(MASKED[1])


def test_the_share_of_masks_falls():
    """From 30 % at the start to 15 % at the end, in what is drawn, too."""
    assert [masked_share(done) for done in (0, 0.5, 1, 1.2)] == pytest.approx(
        [0.30, 0.225, 0.15, 0.15]
    )
    shares = []
    for done in (0.0, 1.0):
        o, hidden, ordinary = objective(REVIEWS, Recipe(0, 0, False)), 0, 0
        for _ in range(20):
            batch = o.batch(done)
            labels, mask = batch["labels"], batch["attention_mask"]
            hidden += (labels != -100).sum()
            ids = np.where(labels >= 0, labels, batch["input_ids"])
            ordinary += (mask.astype(bool) & (ids >= SPECIAL["first_word"])).sum()
        shares.append(hidden / ordinary)
    assert shares == pytest.approx([0.30, 0.15], abs=0.02)


def test_half_of_the_long_opinions_hide_one_token():
    marked = np.tile([False, True, True, True, False, True, False], (4000, 1))
    left = one_of_each_run(marked, np.random.default_rng(0))
    assert not (left & ~marked).any()
    assert left[:, 5].all()  # a run of one token stays
    run = left[:, 1:4]
    assert set(run.sum(1)) == {1, 3}
    assert (run.sum(1) == 1).mean() == pytest.approx(0.5, abs=0.03)
    assert run[run.sum(1) == 1].mean(0) == pytest.approx([1 / 3] * 3, abs=0.05)


def test_documents_are_drawn_by_group_and_size():
    texts = Texts({"a": corpus([[[10] * 30], [[11] * 10]]), "b": corpus([[[12] * 5]])})
    random = np.random.default_rng(0)
    drawn = texts.draw_documents(np.repeat([0, 1], 4000), random)
    assert set(drawn[:4000]) == {0, 1} and set(drawn[4000:]) == {2}
    assert (drawn[:4000] == 0).mean() == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("targets", [False, True])
def test_batches_of_like_length_hold_every_row_once(monkeypatch, targets):
    monkeypatch.setattr(batches, "batch_tokens", lambda: 256)
    random = np.random.default_rng(0)
    sizes = random.integers(1, 129, 500)
    second = random.integers(1, 65, 500) if targets else None
    made = batches.like_length(sizes, random, second)
    assert sorted(np.concatenate(made).tolist()) == list(range(500))
    both = sizes + (second if targets else 0)
    spread = [np.ptp(both[rows]) for rows in made]
    assert np.mean(spread) < 8 and min(map(len, made)) < 4 < max(map(len, made))
    if not targets:
        full = [len(rows) * batches.padded(sizes[rows]) for rows in made]
        assert max(full) <= 256


def test_batch():
    o, masked, random, asked = objective(REVIEWS), 0, 0, 0
    truth = set(range(10, VOCABULARY))
    for _ in range(40):
        batch = o.batch(1.0)
        ids, labels, mask = (
            batch["input_ids"],
            batch["labels"],
            batch["attention_mask"].astype(bool),
        )
        assert {value.shape for value in batch.values()} == {ids.shape} and len(
            batch
        ) == 5
        assert mask[:, 0].all() and (np.diff(mask.astype(int)) <= 0).all()
        assert (
            (ids[~mask] == SPECIAL["[PAD]"]).all()
            and (labels[~mask] == -100).all()
            and (ids < VOCABULARY).all()
        )
        hidden = labels != -100
        assert set(labels[hidden].tolist()) <= truth
        assert (ids[~hidden & mask] != SPECIAL["[MASK]"]).all()
        assert (ids[:, 0] == SPECIAL["[CLS]"]).all()
        positions = batch["position_ids"]
        assert (
            (np.diff(positions) == 1).all()
            and positions.min() >= 0
            and positions.max() < 192
        )
        asked += hidden.sum()
        masked += (ids[hidden] == SPECIAL["[MASK]"]).sum()
        random += ((ids != labels) & hidden & (ids != SPECIAL["[MASK]"])).sum()
    assert masked / asked == pytest.approx(
        0.85, abs=0.02
    ) and random / asked == pytest.approx(0.05, abs=0.01)


def test_batches_depend_on_the_seed_alone():
    one, two, three = (objective(REVIEWS, seed=seed) for seed in (1, 1, 2))
    batches = [[o.batch(0.5) for _ in range(3)] for o in (one, two, three)]
    for a, b in zip(batches[0], batches[1]):
        assert all(np.array_equal(a[k], b[k]) for k in a)
    assert any(
        a["input_ids"].shape != b["input_ids"].shape
        or (a["input_ids"] != b["input_ids"]).any()
        for a, b in zip(batches[0], batches[2])
    )


# corpora


def test_sentences():
    english = (
        'It was great!  "So <b>good</b>." He said &quot;no&quot;.<br /><br />Mr. X came'
    )
    assert corpora.sentences(english, "en") == [
        "It was great!",
        '"So <b>good</b>.',
        'He said "no".',
        "Mr.",
        "X came",
    ]
    assert corpora.sentences("房间很好，早餐一般。\n下次还来！ ok", "zh") == [
        "房间很好，",
        "早餐一般。",
        "下次还来！",
        "ok",
    ]
    assert corpora.sentences(" <br> \n\n ", "en") == corpora.sentences("", "zh") == []


def test_key():
    assert (
        corpora.key("It's GREAT, 真的 !")
        == "itsgreat真的"
        == corpora.key("its great真的")
    )


def write(folder, split, column, texts):
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / f"{split}.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(
            json.dumps({column: text}, ensure_ascii=False) + "\n" for text in texts
        )


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror with one measured data set and one source a language."""
    monkeypatch.setenv("PROMPTTUNE_MIRROR", str(tmp_path))
    monkeypatch.setattr(corpora, "HELD_OUT", [("some/test", "text")])
    monkeypatch.setattr(
        corpora,
        "SOURCES",
        {
            "en_reviews": [("some/en", "train", ["text"])],
            "zh_reviews": [("some/zh", "train", ["text"])],
        },
    )
    monkeypatch.setattr(tokenizers_, "SOURCES", corpora.SOURCES)
    return tmp_path


def test_planted_duplicates_are_dropped(mirror):
    whole, sentence = (
        "A film of rare, quiet and lasting beauty.",
        "I would gladly watch the whole thing again tomorrow.",
    )
    chinese = "这家酒店的早餐实在是太丰盛了"
    # only the whole of it is long enough to know it again
    short = "Too long. Too loud. Too little heart, no jokes."
    write(
        mirror / "some/test",
        "test",
        "text",
        [whole, short, f"Fun. {sentence}", f"很好，{chinese}。", "Great movie!"],
    )
    write(
        mirror / "some/test",
        "unlabeled",
        "text",
        ["These words are free to be trained on, all of them."],
    )
    keys = corpora.held_out_keys()
    kept = "These words are free to be trained on, all of them."
    write(mirror / "some/en", "train", "text", [
        whole.upper().replace(" ", "  "),  # the same text in another dress
        # holds a measured sentence
        f"The cast is good. {sentence.lower()} So is the music.",
        sentence,
        short,
        kept, kept + "!",  # twice the same
        "Great movie!  We laughed.",  # short sentences are common property
        "ok",
    ])  # fmt: skip
    write(
        mirror / "some/zh",
        "train",
        "text",
        [f"房间一般，{chinese}，下次还来", "很好，很好"],
    )
    assert list(corpora.documents("en_reviews", keys)) == [
        ["The cast is good.", "So is the music."],
        [kept],
        ["Great movie!", "We laughed."],
    ]
    assert list(corpora.documents("zh_reviews", keys)) == [
        ["房间一般，", "下次还来"],
        ["很好，", "很好"],
    ]
    assert len(list(corpora.documents("en_reviews", set()))) == 6


def test_labelled_reviews(mirror, monkeypatch):
    """Short ones with a label; held-out ones, long ones and unlabelled rows are left
    out. Of film reviews the last sentence."""

    def rows(name, *given):
        path = mirror / f"{name}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(path, "wt", encoding="utf-8") as file:
            for text, label in given:
                file.write(json.dumps({"text": text, "label": label}) + "\n")

    monkeypatch.setattr(
        corpora, "COLLECTED", {"en_reviews": "a/b/web", "zh_reviews": "c/d/web"}
    )
    rows("yelp/sentences/train", ("Warm  soup!", 1), ("Cold soup.", 0))
    rows("nltk/pros_cons/train", ("held out", 1), ("x" * 131, 1))
    rows("stanfordnlp/imdb/train", ("It is long. I was glad when it was over.", 0))
    rows("a/b/web", ("so-so", None), ("never again", 0), ("no label", -1))
    rows("SophonPlus/online_shopping_10_cats/train", ("房间很大", 1))
    rows("c/d/web", ("太吵了，睡不着", 0))
    assert next_token.reviews({corpora.key("held out")}) == {
        "en": [
            ("Warm soup!", 1),
            ("Cold soup.", 0),
            ("never again", 0),
            ("I was glad when it was over.", 0),
        ],
        "zh": [("房间很大", 1), ("太吵了，睡不着", 0)],
    }


def test_pretraining_without_a_mirror(monkeypatch):
    for folder in ("", "/no/such/folder"):
        monkeypatch.setenv("PROMPTTUNE_MIRROR", folder)
        with pytest.raises(
            SystemExit, match="set PROMPTTUNE_MIRROR to a folder laid out by hub id"
        ):
            next(corpora.read_rows("some/test", "train"))


@pytest.fixture
def tokenizer(mirror):
    """Learned from a few lines."""
    write(
        mirror / "some/en",
        "train",
        "text",
        [f"Room {n} of 42 was great. A great hotel, very clean." for n in range(60)],
    )
    write(
        mirror / "some/zh",
        "train",
        "text",
        [f"房间{n}号很不错，我不推荐，推荐。" for n in range(60)],
    )
    return tokenizers_.train(mirror / "build" / "tokenizer.json", set())


def test_tokenizer(tokenizer):
    assert [tokenizer.token_to_id(t) for t in tokenizers_.SPECIAL] == list(range(7))
    assert tokenizer.encode(
        "GREAT hotel, 42 房间 [MASK]", add_special_tokens=False
    ).tokens == ["great", "hotel", ",", "4", "2", "房", "间", "[MASK]"]
    pair = tokenizers_.for_bert(tokenizer).encode("great", "不错")
    assert pair.tokens == [
        "[CLS]",
        "great",
        "[SEP]",
        "不",
        "错",
        "[SEP]",
    ] and pair.type_ids == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    "group, first, judging",
    [
        ("en_reviews", "Room 0 of 42 was great.", "great great clean"),
        ("zh_reviews", "房间0号很不错，", "不错 不推荐 推荐"),
    ],
)
def test_encoded_corpus(tokenizer, tmp_path, monkeypatch, group, first, judging):
    """Offsets lead back to the sentences, whole opinion words are marked, and the array
    file is made once."""
    made = encoded.load(group, tokenizer, set(), tmp_path)
    monkeypatch.setattr(encoded, "documents", None)
    c = encoded.load(group, tokenizer, set(), tmp_path)
    assert all(np.array_equal(vars(made)[k], vars(c)[k]) for k in vars(c))
    assert len(c.document) == 61 and c.sentence[-1] == len(c.tokens) == len(c.opinion)
    assert (
        c.tokens[: c.sentence[1]].tolist()
        == tokenizer.encode(first, add_special_tokens=False).ids
    )
    document = slice(0, c.sentence[c.document[1]])
    marked = [tokenizer.id_to_token(i) for i in c.tokens[document][c.opinion[document]]]
    assert "".join(marked) == judging.replace(" ", "")


# training


def batch_of(o):
    return {k: torch.from_numpy(v.copy()) for k, v in o.batch(0.5).items()}


def test_loss_is_that_of_the_full_model():
    model, batch = mini_bert.new_model(VOCABULARY, 32, 1), batch_of(objective(REVIEWS))
    with torch.no_grad():
        torch.testing.assert_close(
            mini_bert.masked_loss(model, batch),
            model(**batch).loss,
            atol=1e-5,
            rtol=1e-5,
        )


class Killed(Exception):
    pass


@pytest.fixture
def clock(monkeypatch):
    """A clock that only `draw` moves, by one second a batch; a checkpoint after every
    step."""
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    return now


def test_pretraining_resumes(tmp_path, clock):
    def run(model, die_at=None):
        o, starts, drawn = objective(REVIEWS), [], []

        def draw(_):
            if len(drawn) == die_at:
                raise Killed
            drawn.append(1)
            clock.seconds += 1
            return batch_of(o)

        def loss(model, batch):
            starts.append(hub.weights_hash(model))
            return mini_bert.masked_loss(model, batch)

        with contextlib.suppress(Killed):
            loop.pretrain(model, draw, loss, tmp_path, minutes=0.5)
        return starts

    first = mini_bert.new_model(VOCABULARY, 32, 1)
    assert len(run(first, die_at=12)) == 12
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == 12 and state["seconds"] == pytest.approx(12, abs=1)
    (tmp_path / "state.new").write_text("half a file")

    clock.seconds += 5000  # a night later
    second = mini_bert.new_model(VOCABULARY, 32, 1)
    starts = run(second)
    assert starts[0] == hub.weights_hash(first)
    assert len(starts) == pytest.approx(18, abs=1)
    end = torch.load(tmp_path / "state.pt", weights_only=True)
    assert (
        end["step"] == 12 + len(starts)
        and end["tokens"] > state["tokens"] > 0
        and end["optimizers"][1]["state"][0]["step"] == end["step"]
    )

    third = mini_bert.new_model(VOCABULARY, 32, 1)
    assert run(third) == [] and hub.weights_hash(third) == hub.weights_hash(second)


def test_pretraining_learns(tmp_path, clock):
    """Every text is the same: the tiny model soon knows it by heart."""
    o, losses = objective([[[20, 21, 22, 23, 24, 25]]], Recipe(0, 0)), []

    def draw(_):
        clock.seconds += 1
        return batch_of(o)

    def loss(model, batch):
        losses.append(mini_bert.masked_loss(model, batch))
        return losses[-1]

    loop.pretrain(
        mini_bert.new_model(VOCABULARY, 32, 1),
        draw,
        loss,
        tmp_path,
        minutes=1,
        peak=5e-3,
    )
    assert losses[0] > 3.5 and losses[-1] < 1.5


def test_muon_moves_the_matrices_of_the_blocks_and_adamw_the_rest():
    models = {
        "bert": mini_bert.new_model(VOCABULARY, 32, 1),
        "gpt": mini_gpt.new_model("mini-gpt-s", VOCABULARY),
        "t5": mini_t5.new_model("mini-t5-s", VOCABULARY),
    }
    for kind, model in models.items():
        muon, adamw = loop.optimizers(model, 1e-3)
        names = {id(weight): name for name, weight in model.named_parameters()}
        moved = {
            stepper: {names[id(w)] for g in stepper.param_groups for w in g["params"]}
            for stepper in (muon, adamw)
        }
        assert moved[muon] | moved[adamw] == set(names.values())
        assert not moved[muon] & moved[adamw]
        blocks = {name for name in names.values() if re.search(r"\.\d+\.", name)}
        assert moved[muon] <= blocks
        left = {n for n in moved[adamw] & blocks if not n.endswith(".bias")}
        assert all(re.search("[Nn]orm|layer_?norm|relative", n) for n in left), kind
    five = [g["lr"] for g in adamw.param_groups]
    assert [names[id(w)] for w in adamw.param_groups[1]["params"]] == ["shared.weight"]
    assert five == [1e-3, 5e-3]


def test_the_rate_rises_stays_and_falls_to_nothing():
    rates = [loop.rate_at(done) for done in (0, 0.01, 0.02, 0.1, 0.55, 1)]
    assert rates == pytest.approx([0, 0.5, 1, 1, 0.5, 0])


def test_a_gpu_is_used_where_there_is_one(monkeypatch):
    for there, name, tokens in ((True, "cuda", 32_768), (False, "cpu", 2048)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        batches.on_gpu.cache_clear()
        assert loop.device() == name and batches.batch_tokens() == tokens


def test_workers_draw_different_batches_and_hear_how_far_the_training_is():
    class Told:
        def __init__(self):
            self.worker = -1

        def reseed(self, worker):
            self.worker = worker

        def batch(self, done):
            return {"told": np.array([self.worker, done])}

    alone = loop.drawing(Told(), workers=0)
    assert [alone(done)["told"].tolist() for done in (0.25, 0.5)] == [
        [-1, 0.25],
        [-1, 0.5],
    ]
    draw = loop.drawing(Told(), workers=2)
    told = [draw(0.75)["told"].tolist() for _ in range(40)]
    assert {worker for worker, _ in told} == {0, 1} and told[-1][1] == 0.75


def test_reseeded_objectives_draw_other_examples():
    drawn = []
    for worker in (0, 1, 1):
        o = objective(REVIEWS)
        o.reseed(worker)
        drawn.append(o.batch(0.5)["input_ids"].tolist())
    assert drawn[0] != drawn[1] == drawn[2]


def test_a_loss_that_is_no_number_stops_before_it_spoils_the_weights(tmp_path):
    o, steps = objective(REVIEWS), []
    model = mini_bert.new_model(VOCABULARY, 32, 1)

    def loss(model, batch):
        steps.append(1)
        return mini_bert.masked_loss(model, batch) * (
            float("nan") if len(steps) == 3 else 1
        )

    with pytest.raises(FloatingPointError, match="nan at step 3"):
        loop.pretrain(model, lambda _: batch_of(o), loss, tmp_path, minutes=1)
    assert all(p.isfinite().all() for p in model.parameters())


def test_shipped_folder_is_what_was_trained(tokenizer, mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(ship, "WORK", mirror / "build")
    model = mini_bert.new_model(tokenizer.get_vocab_size(), 32, 2)
    torch.save({"model": model.state_dict(), "step": 1}, tmp_path / "state.pt")
    ship.ship(tmp_path / "state.pt", tmp_path / "tiny")
    backbone = hub.load("masked_lm", name=str(tmp_path / "tiny"), verbose=False)
    for name, value in model.half().float().state_dict().items():
        assert torch.equal(backbone.model.state_dict()[name], value), name
    assert backbone.tokenizer("Great!", "不错")["token_type_ids"] == [
        0,
        0,
        0,
        0,
        1,
        1,
        1,
    ]
    assert (
        backbone.tokenizer.mask_token == "[MASK]"
        and backbone.tokenizer.model_max_length == 128
    )
    assert sorted(p.name for p in (tmp_path / "tiny").iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_a_new_training_takes_the_packaged_tokenizer(tmp_path, monkeypatch):
    monkeypatch.setattr(mini_bert, "WORK", tmp_path / "work")
    tokenizer = mini_bert.load_tokenizer(set())
    minis = {
        name for role in hub.SCALES["mini"].values() for name, *_ in role.values()
    } | {p.parent.name for p in hub.ASSETS.glob("mini-*/tokenizer.json")}
    assert [
        n
        for n in minis
        if AutoTokenizer.from_pretrained(hub.ASSETS / n).get_vocab()
        != tokenizer.get_vocab()
    ] == []
    assert tokenizer.encode("good 好").tokens == ["good", "好"]  # nothing added


class AsksBack(TorchDispatchMode):
    """Fails where an operation would hand a value of a GPU to the CPU."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        asking = ("_local_scalar_dense", "nonzero", "masked_select", "unique")
        assert not any(name in str(operation) for name in asking), operation
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["mini-bert", "mini-gpt-s", "mini-t5-s"])
def test_a_step_can_be_recorded(monkeypatch, name):
    """Nothing in a step asks for a value, and what asks in transformers knows that a
    step is being recorded."""
    monkeypatch.setattr(loop, "on_gpu", lambda: True)
    monkeypatch.setattr(import_utils, "is_cuda_stream_capturing", lambda: True)
    model, loss_of, batch = {
        "mini-bert": lambda: (
            mini_bert.new_model(VOCABULARY, 32, 1),
            mini_bert.masked_loss,
            batch_of(objective(REVIEWS)),
        ),
        "mini-gpt-s": lambda: (
            mini_gpt.new_model(name, VOCABULARY),
            mini_gpt.next_token_loss,
            {k: batch_of(objective(REVIEWS))[k] for k in ("input_ids", "labels")},
        ),
        "mini-t5-s": lambda: (
            mini_t5.new_model(name, VOCABULARY),
            mini_t5.seq2seq_loss,
            batch_of(objective(REVIEWS)),
        ),
    }[name]()
    muon, _ = loop.optimizers(model, 1e-3)
    for group in muon.param_groups:
        group["lr"] = torch.tensor(1e-3)
    step = stepping.Step(model, loss_of, [muon])
    step.check = lambda loss: None
    first = step(batch)
    with AsksBack():
        losses = [step(batch) for _ in range(3)]
    assert float(losses[-1]) < float(first)


def test_our_muon_is_the_one_of_torch():
    """Three steps on matrices of two shapes, with a rate in a number or a tensor."""
    random = torch.Generator().manual_seed(0)
    shapes = [(8, 12), (8, 12), (12, 8)]
    start = [torch.randn(shape, generator=random) for shape in shapes]
    gradients = [
        [torch.randn(shape, generator=random) for shape in shapes] for _ in range(3)
    ]

    def moved(make):
        weights = [torch.nn.Parameter(weight.clone()) for weight in start]
        stepper = make(weights)
        for step in gradients:
            for weight, gradient in zip(weights, step, strict=True):
                weight.grad = gradient.clone()
            stepper.step()
        return torch.cat([weight.detach().flatten() for weight in weights])

    theirs = moved(
        lambda weights: torch.optim.Muon(
            weights, lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
        )
    )
    way = theirs - torch.cat([weight.flatten() for weight in start])
    for rate in (1e-2, torch.tensor(1e-2)):
        ours = moved(lambda weights, rate=rate: Muon(weights, rate))
        # both round to bf16 within, in another order
        assert (ours - theirs).norm() < 0.03 * way.norm()


def test_a_gpu_gets_few_shapes(monkeypatch):
    """Rows are filled up with empty ones, so that the width of a batch says its shape;
    on a CPU nothing is added."""
    monkeypatch.setattr(batches, "batch_tokens", lambda: 256)
    given = {"input_ids": np.ones((3, 32), int), "labels": np.ones((3, 16), int)}
    assert batches.filled(given, 48) is given
    monkeypatch.setattr(batches, "on_gpu", lambda: True)
    full = batches.filled(given, 48)
    assert full["input_ids"].shape == (5, 32) and full["labels"].shape == (5, 16)
    assert (full["input_ids"][3:] == 0).all() and (full["labels"][3:] == -100).all()
    assert (full["labels"][:3] == 1).all()


def test_a_resumed_training_goes_on_with_the_falling_rate(tmp_path, clock):
    """What a state brings back is the rate of the last step: the next one sets it."""
    rates = []

    def run(seconds):
        def draw(_):
            clock.seconds += 1
            return batch_of(o)

        def loss(model, batch):
            rates.append([g["lr"] for s in made for g in s.param_groups])
            return mini_bert.masked_loss(model, batch)

        o, model = objective(REVIEWS), mini_bert.new_model(VOCABULARY, 32, 1)
        loop.pretrain(model, draw, loss, tmp_path, minutes=seconds / 60)

    made, real = [], loop.optimizers

    def kept(model, peak):
        made[:] = real(model, peak)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "optimizers", kept)
        run(10)
        first = len(rates)
        run(20)
    assert all(a[0] > b[0] for a, b in zip(rates[first:], rates[first + 1 :]))
