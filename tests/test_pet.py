"""PET, exported from chapter 7: what is hidden, how logits are merged and taught, how
iPET's sets grow."""

import math
import random
from collections import Counter

import pytest
import torch

from prompttune_utils import hub
from prompttune_utils.methods.pet import (
    PetModel,
    distil,
    hide_words,
    merge_logits,
    mlm_loss,
    multi_mask,
    next_set,
    soft_labels,
    soft_loss,
    teachers,
    text_places,
    with_gold,
)
from prompttune_utils.methods.templates_and_verbalizers import (
    PromptClassifier,
    Template,
    Verbalizer,
    encode,
    encode_batch,
)
from prompttune_utils.training import fit
from tests.test_prompt_oriented import with_dropout
from tests.tiny import trainable

ROWS = [
    {
        "text": "A warm and funny book about two sisters who run a small hotel by the "
        "sea.",
        "text_b": "The sisters own a hotel.",
        "label": 1,
    },
    {"text": "冷的汤，慢的服务，很贵。", "text_b": "cold soup", "label": 0},
    {"text": "word " * 300, "text_b": "Fine.", "label": 1},
]


@pytest.fixture(scope="module")
def backbone():
    torch.set_num_threads(1)
    return hub.load("masked_lm", name="mini-bert", verbose=False)


@pytest.fixture(scope="module")
def template(backbone):
    return Template(
        "Review: {text} It was {mask}. {sep} {text_b} Right?", backbone.tokenizer, 60
    )


def test_only_words_of_the_texts_are_hidden(backbone, template):
    """15 in a hundred of 23, 15 and 49 tokens; the template's words and marks stay."""
    tokenizer, generator, ways = backbone.tokenizer, random.Random(0), Counter()
    for row, count in zip(ROWS, (3, 2, 7)):
        whole, seen = encode(template, row), set()
        plain = whole["input_ids"]
        for _ in range(400):
            inputs, targets = hide_words(template, row, generator)
            ids = inputs["input_ids"]
            asked = [i for i, target in enumerate(targets) if target != -100]
            assert inputs["token_type_ids"] == whole["token_type_ids"]
            assert len(ids) == len(plain) == len(targets) and len(asked) == count
            for i, (now, before) in enumerate(zip(ids, plain)):
                assert targets[i] == before if i in asked else now == before
                if i in asked:
                    masked = now == tokenizer.mask_token_id
                    changed = "mask" if masked else "other"
                    ways["kept" if now == before else changed] += 1
            seen.update(asked)
        kept = [number for i, number in enumerate(plain) if i not in seen]
        right = "[CLS] review : it was [MASK] . [SEP] right ? [SEP]"
        assert " ".join(tokenizer.convert_ids_to_tokens(kept)) == right
    shares = [round(ways[w] / ways.total(), 1) for w in ("mask", "other", "kept")]
    assert shares == [0.8, 0.1, 0.1]


def test_the_places_of_a_text_are_its_tokens(backbone):
    template = Template("{mask}: {text_b} or {text}", backbone.tokenizer)
    row = {"text": "good soup", "text_b": "bad"}
    ids = encode(template, row)["input_ids"]
    tokens = backbone.tokenizer.convert_ids_to_tokens(ids)
    told = "".join(tokens[i] for i in text_places(template, row)).replace("##", "")
    assert told == "badgoodsoup"


def test_a_part_of_the_template_without_tokens_shifts_nothing(backbone):
    """A zero-width space makes no token: the words of the second text stand where they
    stand."""
    template = Template("{text} \u200b {mask} {text_b}", backbone.tokenizer)
    row, seen = {"text": "good", "text_b": "bad"}, set()
    for seed in range(30):
        _, targets = hide_words(template, row, random.Random(seed), 1.0)
        seen.add(tuple(i for i, target in enumerate(targets) if target != -100))
    assert seen == {(1, 3)}  # [CLS] good [MASK] bad [SEP]


@pytest.mark.parametrize("share", [0, -0.1, 1.5, float("nan")])
def test_a_share_of_hidden_words_that_is_none_is_refused(template, share):
    with pytest.raises(ValueError, match="choose one above 0, at most 1"):
        hide_words(template, ROWS[0], random.Random(0), share)


@pytest.mark.parametrize("side", ["right", "left"])
def test_mlm_loss_is_that_of_the_library(backbone, template, side, monkeypatch):
    """Whatever side the user's tokenizer pads on."""
    hidden, generator = [], random.Random(3)
    for row in ROWS:
        hidden.append(hide_words(template, row, generator))
    width = max(len(targets) for _, targets in hidden)
    batch = {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    for inputs, targets in hidden:
        gap = [0] * (width - len(targets))
        batch["input_ids"].append(inputs["input_ids"] + gap)
        batch["token_type_ids"].append(inputs["token_type_ids"] + gap)
        batch["attention_mask"].append([1] * len(targets) + gap)
    labels = [targets + [-100] * (width - len(targets)) for _, targets in hidden]
    monkeypatch.setattr(backbone.tokenizer, "padding_side", side)
    with torch.inference_mode():
        right = backbone.model(
            **{name: torch.tensor(rows) for name, rows in batch.items()},
            labels=torch.tensor(labels),
        ).loss
        ours = mlm_loss(backbone.model, template, ROWS, random.Random(3))
    assert ours.item() == pytest.approx(right.item(), rel=1e-5)


def test_a_text_without_words_is_refused_before_the_training(backbone, template):
    """It would make the loss, and then all weights, NaN."""
    words = Verbalizer({"negative": "bad", "positive": "good"}, backbone.tokenizer)
    empty = {"text": " ", "text_b": "\u200b"}
    with pytest.raises(ValueError, match="Unlabelled row 1 has no word: leave it out"):
        PetModel(backbone, template, words, [ROWS[0], empty])
    with pytest.raises(ValueError, match="These 1 rows have no word to hide"):
        mlm_loss(backbone.model, template, [empty], random.Random(0))


def test_merging():
    logits = torch.tensor([[[1.0, 0.0]], [[3.0, -2.0]], [[-4.0, 8.0]]])
    assert torch.allclose(merge_logits(logits), logits.mean(0))
    assert torch.allclose(
        merge_logits(logits, [1, 3, 0]), 0.25 * logits[0] + 0.75 * logits[1]
    )
    for wrong in ([1, 2], [0, 0, 0], [1, -1, 1], [1, 1, math.nan], [1, 1, math.inf]):
        with pytest.raises(
            ValueError, match="give one a model, not negative, at least one above 0"
        ):
            merge_logits(logits, wrong)


def test_soft_labels_and_their_loss():
    soft = soft_labels(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), 2.0)
    assert soft[0, 0].item() == pytest.approx(math.e / (math.e + 1)) and soft[
        1
    ].tolist() == [0.5, 0.5]
    logits = torch.tensor([[1.0, -1.0], [0.5, 0.0]], requires_grad=True)
    by_hand = (
        sum(
            (p * (p.log() - q)).sum()
            for p, q in zip(soft, (logits / 2).log_softmax(-1))
        )
        / 2
        * 4
    )
    assert torch.allclose(soft_loss(logits, soft), by_hand, atol=1e-6)
    assert soft_loss(
        torch.tensor([[2.0, 0.0], [0.0, 0.0]]), soft
    ).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("temperature", [0, -2.0, math.nan, math.inf])
def test_a_temperature_that_is_none_is_refused(backbone, temperature):
    logits = torch.zeros(1, 2)
    how = {"learning_rate": 1e-4, "steps": 1, "temperature": temperature}
    for soften in (
        lambda: soft_labels(logits, temperature),
        lambda: soft_loss(logits, logits.softmax(-1), temperature),
        lambda: distil(backbone, ROWS[:1], logits.softmax(-1), **how),
    ):
        with pytest.raises(ValueError, match="choose one above 0, such as 2"):
            soften()


def test_soft_labels_of_another_shape_or_kind_are_refused(backbone):
    with pytest.raises(ValueError, match=r"\(2, 3\) and soft labels \(2, 1\) differ"):
        soft_loss(torch.zeros(2, 3), torch.ones(2, 1))
    for wrong in (
        torch.tensor([[3.0, -1.0], [0.0, 2.0], [1.0, 0.0]]),  # logits
        torch.tensor([[0.9, 0.1], [0.2, 0.8]]),  # two for three rows
        torch.tensor([0.9, 0.1, 0.0]),
        torch.tensor([[0.9, 0.1], [0.2, 0.8], [math.nan, 1.0]]),
    ):
        with pytest.raises(ValueError, match="give what soft_labels makes of logits"):
            distil(backbone, ROWS, wrong, learning_rate=1e-4, steps=1)


def test_distillation_looks_at_no_gold_label_and_leaves_the_backbone(backbone):
    rows = [{"text": row["text"], "label": row["label"]} for row in ROWS]
    before, students = hub.weights_hash(backbone.model), []
    for taught in (rows, [row | {"label": 1 - row["label"]} for row in rows]):
        student = distil(
            backbone,
            taught,
            torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]),
            learning_rate=1e-4,
            steps=3,
            batch_size=2,
        )
        students.append(hub.weights_hash(student))
    assert students[0] == students[1] and hub.weights_hash(backbone.model) == before


def test_the_source_s_student_sees_the_true_labels_too():
    """They stand behind the soft ones, and are sure."""
    rows, soft = with_gold(ROWS[:2], torch.tensor([[0.9, 0.1], [0.2, 0.8]]), ROWS[1:])
    assert rows == [*ROWS[:2], *ROWS[1:]]
    assert soft.tolist()[2:] == [[1, 0], [0, 1]] and soft.dtype == torch.float32
    assert soft[:2].flatten().tolist() == pytest.approx([0.9, 0.1, 0.2, 0.8])
    rows, soft = with_gold(ROWS[:1], torch.tensor([[0.2, 0.3, 0.5]]), ROWS[:1])
    assert soft.tolist()[1] == [0, 1, 0]
    with pytest.raises(RuntimeError):  # a label that the soft labels do not have
        with_gold(ROWS[:1], torch.tensor([[1.0]]), ROWS[:1])


def test_a_student_learns_what_it_is_taught(backbone):
    """Even the wrong way round; and it reads no further than it is told."""
    rows = [
        {"text": f"The {thing} was {word}."}
        for thing in ("soup", "film", "room")
        for word in ("great", "terrible")
    ]
    soft = torch.tensor([[0.9, 0.1], [0.1, 0.9]] * 3)  # great is called 0
    how = {"learning_rate": 1e-3, "steps": 30, "batch_size": 6}
    student = distil(backbone, rows, soft, max_length=12, **how)
    assert student.predict(rows) == [0, 1] * 3 and student.max_length == 12


def test_training_starts_from_scores_without_their_prior(backbone):
    words = Verbalizer(
        {"negative": "terrible", "positive": "great"}, backbone.tokenizer
    )
    model = PetModel(
        backbone, Template("{text} Just {mask}!", backbone.tokenizer), words
    )
    model.calibrate(ROWS)
    scores = model(ROWS).log_softmax(-1) - model.prior
    gold = torch.tensor([row["label"] for row in ROWS])
    by_hand = torch.nn.functional.cross_entropy(scores, gold).item()
    assert model.loss(ROWS).item() == pytest.approx(by_hand, rel=1e-5)
    assert model.prior.std() > 0.1  # there was one


def test_auxiliary_loss_is_weighed_by_alpha(backbone):
    template = Template("{text} It was {mask}.", backbone.tokenizer)
    words, unlabelled = (
        Verbalizer({"negative": "terrible", "positive": "great"}, backbone.tokenizer),
        ROWS[:2],
    )
    with torch.inference_mode():
        plain = PromptClassifier(backbone, template, words).loss(ROWS)
        tuned = PetModel(
            backbone, template, words, unlabelled, seed=5, alpha=0.25, extra=2
        )
        generator = random.Random(5)
        hidden = mlm_loss(
            backbone.model, template, generator.sample(unlabelled, 2), generator
        )
        assert tuned.loss(ROWS).item() == pytest.approx(
            (0.75 * plain + 0.25 * hidden).item(), rel=1e-5
        )
        assert PetModel(backbone, template, words).loss(ROWS).item() == pytest.approx(
            plain.item(), rel=1e-6
        )
    assert tuned.model is not backbone.model


@pytest.mark.parametrize(
    "option", [{"alpha": -0.1}, {"alpha": 1.5}, {"alpha": math.nan}, {"extra": 0}]
)
def test_an_auxiliary_loss_that_is_none_is_refused(backbone, template, option):
    words = Verbalizer({"negative": "bad", "positive": "good"}, backbone.tokenizer)
    with pytest.raises(ValueError, match="choose 0 to 1, and 1 or more"):
        PetModel(backbone, template, words, ROWS, **option)


def test_all_weights_of_the_copy_train_whoever_froze_the_backbone(backbone, template):
    """With dropout, which is on while they train and off when they are asked."""
    words = Verbalizer({"negative": "bad", "positive": "good"}, backbone.tokenizer)
    frozen, same = with_dropout(backbone).frozen(), []
    tuned = PetModel(frozen, template, words, ROWS)
    assert trainable(tuned.model) == sum(p.numel() for p in frozen.model.parameters())

    def loss(rows):
        plain = [PromptClassifier.loss(tuned, rows) for _ in range(2)]
        same.append(torch.equal(*plain))
        return tuned.loss(rows)

    before = hub.weights_hash(frozen.model)
    fit(tuned.model, ROWS, loss, learning_rate=1e-3, steps=2, batch_size=2)
    with torch.inference_mode():
        assert torch.equal(tuned.logits(ROWS), tuned.logits(ROWS))
    assert same == [False, False]
    assert before == hub.weights_hash(frozen.model) != hub.weights_hash(tuned.model)
    assert not any(p.requires_grad for p in frozen.model.parameters())


def test_no_model_teaches_itself():
    generator = random.Random(0)
    for own in range(9):
        drawn = [teachers(9, own, generator) for _ in range(50)]
        assert all(own not in d and len(d) == len(set(d)) == 2 for d in drawn) and {
            i for d in drawn for i in d
        } == set(range(9)) - {own}
    assert len(teachers(2, 0, generator)) == 1
    for models, own, share in ((1, 0, 0.25), (3, 3, 0.25), (3, -1, 0.25), (3, 0, 1.5)):
        with pytest.raises(ValueError, match="2 models or more from 0, and choose"):
            teachers(models, own, generator, share)


def test_next_set_is_balanced_confident_and_named_when_short():
    labelled = [{"text": "a", "label": 0}, {"text": "b", "label": 1}]
    unlabelled = [{"text": str(i), "label": 9} for i in range(40)]
    logits = torch.tensor(
        [[3.0 if i < 2 else 0.1, 0.0] if i % 2 == 0 else [0.0, 0.1] for i in range(40)]
    )
    grown = next_set(labelled, unlabelled, logits, 5, random.Random(0))
    assert (
        Counter(row["label"] for row in grown) == {0: 5, 1: 5}
        and grown[:2] == labelled
        and len({row["text"] for row in grown}) == 10
    )
    assert all(
        int(row["text"]) % 2 == row["label"] for row in grown[2:]
    )  # the models' labels, not the texts' own
    sure = (
        sum(
            "0"
            in {
                r["text"]
                for r in next_set(labelled, unlabelled, logits, 5, random.Random(s))
            }
            for s in range(200)
        )
        / 200
    )
    assert sure > 4 / 20  # drawn more often than by chance
    with pytest.raises(
        ValueError,
        match="Label 0 is given to 20 of 40 texts and wanted for 29: give more texts "
        "or a smaller growth",
    ):
        next_set(labelled, unlabelled, logits, 30, random.Random(0))
    for texts, table, growth in (
        (unlabelled, logits, 1),
        (unlabelled, logits, math.nan),
        (unlabelled[:9], logits, 2),
        (unlabelled, logits.clone().fill_diagonal_(math.nan), 2),
    ):
        with pytest.raises(ValueError, match="and a growth above 1"):
            next_set(labelled, texts, table, growth, random.Random(0))


def test_multi_mask_by_hand(backbone):
    tokenizer, text = backbone.tokenizer, "The soup was {mask}."
    one, order = multi_mask(backbone, text, "great")
    inputs, position = encode_batch(
        Template("{text} was {mask}.", tokenizer), [{"text": "The soup"}]
    )
    with torch.inference_mode():
        assert one == pytest.approx(
            backbone.model(**inputs)
            .logits[0, position[0]]
            .log_softmax(-1)[tokenizer.convert_tokens_to_ids("great")]
            .item(),
            abs=1e-4,
        )
    assert order == ["great"]
    total, order = multi_mask(backbone, text, "糟糕")
    assert sorted(order) == sorted(["糟", "糕"]) and total < 0


def test_a_text_that_spells_a_mask_has_no_more_masks(backbone):
    """By hand: the letters of [MASK] and [SEP] are read as letters."""
    tokenizer = backbone.tokenizer
    plain = {"add_special_tokens": False, "split_special_tokens": True}
    before = tokenizer("Press [MASK] or [SEP], it was", **plain)["input_ids"]
    mask, cls, sep = (
        tokenizer.mask_token_id,
        tokenizer.cls_token_id,
        tokenizer.sep_token_id,
    )
    stop = tokenizer.convert_tokens_to_ids(".")
    assert mask not in before and sep not in before
    ids = torch.tensor([[cls, *before, mask, stop, sep]])
    with torch.inference_mode():
        table = backbone.model(input_ids=ids).logits[0, len(before) + 1].log_softmax(-1)
    right = table[tokenizer.convert_tokens_to_ids("great")].item()
    said, order = multi_mask(backbone, "Press [MASK] or [SEP], it was {mask}.", "great")
    assert said == pytest.approx(right, abs=1e-4) and order == ["great"]


@pytest.mark.parametrize(
    "text, word, message",
    [
        ("It was [MASK].", "great", "has 0 {mask}: write exactly one"),
        ("{mask} or {mask}", "great", "has 2 {mask}: write exactly one"),
        ("It was {mask}.", " ", "unknown to mini-bert: choose another"),
        ("It was {mask}.", "\u2603", "unknown to mini-bert: choose another"),
        ("cold " * 190 + "{mask}.", "great", "194 tokens with its masks and mini-bert"),
    ],
)
def test_a_text_or_word_that_cannot_be_asked_is_refused(backbone, text, word, message):
    with pytest.raises(ValueError) as error:
        multi_mask(backbone, text, word)
    assert message in str(error.value)
