"""How the minis are made, on corpora small enough to check by hand. Nothing here needs
the mirror."""

import contextlib
import gzip
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from pretraining import corpora, encoded, loop, mini_bert, ship
from pretraining import tokenizer as tokenizers_
from pretraining.masked_lm import MASKED, MIXTURE, MaskedLM, Recipe
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
        {group: corpus(documents) for group in MIXTURE},
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


def examples(o, group, length=64, count=300):
    for _ in range(count):
        ids, types, hidden = o.example(group, length)
        assert len(ids) == len(types) == len(hidden) <= length
        yield ids.tolist(), types.tolist(), hidden


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
    long = objective([[[11] * 30, [20] * 12 + [50]], [[50, 21]]], Recipe(verdict=1))
    assert not any(
        v.any() for name, v in long.verdicts.items() if name.endswith("other")
    )
    assert long.verdicts["en_reviews"].tolist() == [False, False, True]


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
        MASKED, abs=0.02
    )
    assert (
        share_hidden(Recipe(0, 0.5, False), OPINIONS)
        > 0.5
        > 0.2
        > share_hidden(Recipe(0, 0.5, False), ordinary)
    )
    o = objective([[[11] * 99 + [12]]] * 20, Recipe(0, 0, True))
    common, rare = o.budget(np.array([11, 12] * 50))[:2]
    assert rare > 3 * common and (common + rare) / 2 == pytest.approx(MASKED)


def test_batch():
    o, masked, random, asked = objective(REVIEWS), 0, 0, 0
    truth = set(range(10, VOCABULARY))
    for _ in range(40):
        batch = o.batch()
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
    batches = [[o.batch() for _ in range(3)] for o in (one, two, three)]
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
    return {k: torch.from_numpy(v.copy()) for k, v in o.batch().items()}


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
    second = mini_bert.new_model(
        VOCABULARY, 32, 1, np.ones((VOCABULARY, 32), dtype=np.float32)
    )
    starts = run(second)
    assert starts[0] == hub.weights_hash(first)
    assert len(starts) == pytest.approx(18, abs=1)
    end = torch.load(tmp_path / "state.pt", weights_only=True)
    assert (
        end["step"] == 12 + len(starts)
        and end["tokens"] > state["tokens"] > 0
        and end["optimizer"]["state"][0]["step"] == end["step"]
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
    } | {"mini-gpt-s", "mini-t5-s"}
    assert [
        n
        for n in minis
        if AutoTokenizer.from_pretrained(hub.ASSETS / n).get_vocab()
        != tokenizer.get_vocab()
    ] == []
    assert tokenizer.encode("good 好").tokens == ["good", "好"]  # nothing added
