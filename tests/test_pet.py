"""PET, exported from chapter 7: what is hidden, how logits are merged and taught, how iPET's sets grow."""

import copy
import math
import random
from collections import Counter

import pytest
import torch

from prompttune_utils import hub
from prompttune_utils.data import few_shot, load_task, majority
from prompttune_utils.evaluation import accuracy, score_rows
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
)
from prompttune_utils.methods.prompting import (
    PromptClassifier,
    Template,
    Verbalizer,
    encode,
    encode_batch,
)
from prompttune_utils.training import fit

ROWS = [
    {
        "text": "A warm and funny book about two sisters who run a small hotel by the sea.",
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
    tokenizer, generator, ways = backbone.tokenizer, random.Random(0), Counter()
    for _ in range(400):
        for row in ROWS:
            whole, (inputs, targets) = (
                encode(template, row),
                hide_words(template, row, generator),
            )
            ids, plain = inputs["input_ids"], whole["input_ids"]
            texts = [i for i, t in enumerate(targets) if t != -100]
            assert (
                len(ids) == len(plain) == len(targets)
                and inputs["token_type_ids"] == whole["token_type_ids"]
            )
            assert all(targets[i] == plain[i] for i in texts) and all(
                a == b for i, (a, b) in enumerate(zip(ids, plain)) if i not in texts
            )
            words = tokenizer.convert_ids_to_tokens([plain[i] for i in texts])
            assert not {"[MASK]", "[SEP]", "[CLS]", "review", ":", "?", "right"} & set(
                words
            ) - {":", "?"}
            ways.update(
                "mask"
                if ids[i] == tokenizer.mask_token_id
                else "kept"
                if ids[i] == plain[i]
                else "other"
                for i in texts
            )
    total = sum(ways.values())
    assert [round(ways[w] / total, 1) for w in ("mask", "other", "kept")] == [
        0.8,
        0.1,
        0.1,
    ]
    fixed = len(encode(template, {"text": "", "text_b": ""})["input_ids"])
    assert total / 400 == pytest.approx(
        sum(
            max(1, round(0.15 * (len(encode(template, r)["input_ids"]) - fixed)))
            for r in ROWS
        )
    )


def test_mlm_loss_is_that_of_the_library(backbone, template):
    rows, generator = ROWS[:1], random.Random(3)
    inputs, targets = hide_words(template, rows[0], random.Random(3))
    batch = {k: torch.tensor([v]) for k, v in inputs.items()}
    with torch.inference_mode():
        assert mlm_loss(
            backbone.model, template, rows, generator
        ).item() == pytest.approx(
            backbone.model(**batch, labels=torch.tensor([targets])).loss.item(),
            rel=1e-5,
        )


def test_merging():
    logits = torch.tensor([[[1.0, 0.0]], [[3.0, -2.0]], [[-4.0, 8.0]]])
    assert torch.allclose(merge_logits(logits), logits.mean(0))
    assert torch.allclose(
        merge_logits(logits, [1, 3, 0]), 0.25 * logits[0] + 0.75 * logits[1]
    )
    for wrong in ([1, 2], [0, 0, 0], [1, -1, 1]):
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


def test_no_model_teaches_itself():
    generator = random.Random(0)
    for own in range(9):
        drawn = [teachers(9, own, generator) for _ in range(50)]
        assert all(own not in d and len(d) == len(set(d)) == 2 for d in drawn) and {
            i for d in drawn for i in d
        } == set(range(9)) - {own}
    assert len(teachers(2, 0, generator)) == 1


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
        match="Label 0 is given to 20 of 40 texts and wanted for 29: give more texts or a smaller growth",
    ):
        next_set(labelled, unlabelled, logits, 30, random.Random(0))


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


def test_what_pet_learns_beats_its_controls(backbone):
    """8 labelled news stories, all weights moving: above the majority, the untrained prompt and random weights, by 5 points; its student, too."""
    task = load_task("news-en")
    labelled, _ = few_shot(task.pool, 2, 0, dev=False)
    unlabelled, test, gold = (
        [{"text": row["text"]} for row in task.pool[:80]],
        task.test[:150],
        task.gold[:150],
    )
    before, reached, taught = (
        hub.weights_hash(backbone.model),
        {"majority": majority(gold)},
        {},
    )
    for control in ("trained", "untrained", "random weights"):
        home = copy.copy(backbone)
        torch.manual_seed(0)
        if control == "random weights":
            home.model = type(backbone.model)(backbone.model.config).eval()
        words = Verbalizer({label: label for label in task.labels}, home.tokenizer)
        tuned = PetModel(
            home,
            Template("{text} This is about {mask}.", home.tokenizer),
            words,
            unlabelled,
            extra=1,
        )
        if control != "untrained":
            fit(
                tuned.model,
                labelled,
                tuned.loss,
                learning_rate=3e-4,
                steps=15,
                batch_size=4,
                warmup=0.0,
            )
        reached[control] = accuracy(score_rows(test, tuned.scores), gold)
        taught[control] = tuned
    student = distil(
        backbone,
        unlabelled,
        soft_labels(score_rows(unlabelled, taught["trained"].scores)),
        learning_rate=3e-4,
        steps=40,
        batch_size=8,
    )
    floor, reached["student"] = (
        0.05 + max(value for name, value in reached.items() if name != "trained"),
        accuracy(score_rows(test, student.scores), gold),
    )
    assert min(reached["trained"], reached["student"]) >= floor, reached
    assert hub.weights_hash(backbone.model) == before and all(
        p.grad is None for p in backbone.model.parameters()
    )
