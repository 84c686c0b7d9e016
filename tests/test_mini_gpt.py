"""What the chapters on large models need of mini-gpt, measured on held-out items; and
the ways to ask it agree with each other."""

import pytest
import torch

from pretraining import evaluate_causal as measured
from pretraining.loop import asked_rows
from pretraining.mini_gpt import SHAPES, new_model, next_token_loss
from prompttune_utils import arithmetic, hub

EXAMPLE = "你好->hello, 再见->goodbye, 购买->purchase, 销售->"


@pytest.fixture(scope="module")
def backbone():
    torch.set_num_threads(1)
    return hub.load("causal_lm", verbose=False)


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


@pytest.mark.parametrize(
    "rules, least",
    [
        ([*measured.STATED, *measured.UNSEEN, *measured.ARBITRARY], 0.50),
        (measured.STATED, 0.60),
        (measured.ARBITRARY, 0.40),
        (measured.UNSEEN, 0.40),
    ],
    ids=["all", "stated", "arbitrary", "unseen"],
)
def test_demonstrations_help(recorded, rules, least):
    """16 demonstrations against none, no weight changed, on pairs in no list of the
    training text."""
    rise = [
        mean(recorded("mini-gpt", what="in_context", rule=r, shots=16))
        - mean(recorded("mini-gpt", what="in_context", rule=r, shots=0))
        for r in rules
    ]
    assert mean(rise) >= least


@pytest.mark.parametrize("name", ["mini-gpt", "mini-gpt-s"])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("steps", [2, 3])
@pytest.mark.parametrize("shown, gain", [("few", 0.30), ("zero", 0.20)])
def test_steps_help(recorded, name, language, steps, shown, gain):
    """Thinking step by step against answering at once, with demonstrations and without;
    the sentence that asks for it is new to both."""
    with_steps, direct = (
        recorded(
            name,
            what="word_problems",
            language=language,
            steps=steps,
            way=f"{shown}-{way}",
        )
        for way in ("steps", "direct")
    )
    assert mean(with_steps) - mean(direct) >= gain


@pytest.mark.parametrize("shown", ["few", "zero"])
def test_the_small_one_gains_no_less_from_steps(recorded, shown):
    """What chapter 6 shows of the two sizes: both solve nearly all with steps, and
    mini-gpt guesses more of the direct answers. Should a new mini-gpt-s fall behind its
    twin, the chapter has to say so."""

    def gain(name: str) -> float:
        with_steps, direct = (
            mean(
                v
                for language in ("en", "zh")
                for steps in (2, 3)
                for v in recorded(
                    name, what="word_problems", language=language, steps=steps, way=way
                )
            )
            for way in (f"{shown}-steps", f"{shown}-direct")
        )
        return with_steps - direct

    assert 0.8 < gain("mini-gpt") < gain("mini-gpt-s")


@pytest.mark.parametrize(
    "rules, least", [(measured.STATED, 0.86), (measured.UNSEEN, 0.68)]
)
def test_many_are_right_after_demonstrations(recorded, rules, least):
    """16 shown."""
    values = [
        mean(recorded("mini-gpt", what="in_context", rule=r, shots=16)) for r in rules
    ]
    assert mean(values) >= least


def test_the_example_of_the_source_document(backbone):
    assert (
        measured.generate(backbone, [EXAMPLE], 4)[0].partition(",")[0].strip() == "sell"
    )


@pytest.mark.parametrize("shots", [0, 4, 16])
@pytest.mark.parametrize("rule", ["plural", "arbitrary_category"])
def test_recorded_lists_come_again(recorded, backbone, rule, shots):
    """Points of the card, run anew, so that the tests above judge today's code: other
    processors may tip a single query."""
    (value,) = recorded(
        "mini-gpt", count=1, what="in_context", rule=rule, shots=shots, seed=0
    )
    assert abs(measured.in_context(backbone, rule, shots, 0) - value) <= 0.06


@pytest.mark.parametrize("name", ["mini-gpt", "mini-gpt-s"])
@pytest.mark.parametrize("way", ["zero-steps", "zero-direct"])
def test_recorded_problems_come_again(recorded, name, way):
    settings = {"language": "en", "steps": 2, "way": way}
    (value,) = recorded(name, count=1, what="word_problems", seed=0, **settings)
    model = hub.load("causal_lm", name=name, verbose=False)
    again = measured.word_problems(model, *settings.values(), 0)
    assert abs(again - value) <= 0.04


def test_exact_is_greedy_decoding(backbone):
    """Teacher forcing finds exactly the answers that decoding writes, right and wrong
    ones, whatever the padding."""
    known, asked = measured.rule_items("past", 0, [])
    prompts = [
        measured.list_prompt(known[:n], a)
        for n, (a, _) in zip(range(12), asked, strict=False)
    ]
    answers = [b for _, b in asked[: len(prompts)]]
    hits = measured.exact(backbone, prompts, answers)
    written = measured.generate(backbone, prompts, 12)
    assert hits == [
        w.strip() == b for w, b in zip(written, answers, strict=True)
    ] and 0 < sum(hits) < len(hits)


def test_left_padding_changes_nothing(backbone):
    """Chapter 4 pads on the left; positions must count from the first real token."""
    tokenizer, model = backbone.tokenizer, backbone.model
    assert tokenizer.padding_side == "left"
    batch = tokenizer(
        ["cat -> cats\ndog ->", "a -> b\nc -> d\ne -> f\ng ->"],
        return_tensors="pt",
        padding=True,
    )
    positions = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
    with torch.inference_mode():
        together = model(**batch, position_ids=positions).logits[:, -1]
        alone = [
            model(**tokenizer(text, return_tensors="pt")).logits[0, -1]
            for text in ("cat -> cats\ndog ->", "a -> b\nc -> d\ne -> f\ng ->")
        ]
    assert torch.allclose(together, torch.stack(alone), atol=1e-4)


def test_tokenizer(backbone):
    tokenizer = backbone.tokenizer
    ids = tokenizer("小明有12个苹果。tom has 7 - 5 = 2.").input_ids
    assert ids[0] == tokenizer.bos_token_id and ids.count(tokenizer.bos_token_id) == 1
    assert (
        tokenizer.decode(ids, skip_special_tokens=True)
        == "小明有12个苹果。tom has 7 - 5 = 2."
    )


def test_number_in():
    assert (
        measured.number_in(" 14. then 3") == 14 and measured.number_in("none") is None
    )


def test_demonstrations_differ_in_their_steps_alone():
    problem = arithmetic.problems(1, "en", 2, 0)[0]
    direct, worked = measured.solved(problem, False), measured.solved(problem, True)
    assert direct.endswith(f"a: the answer is {problem.answer}.\n") and worked.endswith(
        f"the answer is {problem.answer}.\n"
    )
    assert worked.replace(" " + " ".join(problem.steps), "") == direct


def test_arbitrary_labels_hold_each_group_once_in_four():
    known, asked = measured.rule_items("arbitrary_category", 1, list("abcdefgh"))
    assert all(
        len({label for _, label in known[i : i + 4]}) == 4
        for i in range(0, len(known) - 4, 4)
    )
    assert {label for _, label in asked} <= {label for _, label in known} and not {
        a for a, _ in asked
    } & {a for a, _ in known}


@pytest.mark.parametrize("name", SHAPES)
def test_the_loss_is_the_one_of_transformers(name):
    """Our loss skips padding and the places not asked for; with nothing skipped it is
    the model's own."""
    model = new_model(name, 300)
    ids = torch.randint(7, 300, (3, 16), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    with torch.no_grad():
        ours, theirs = (
            next_token_loss(model, {"input_ids": ids, "labels": labels}),
            model(input_ids=ids, labels=labels).loss,
        )
        assert torch.allclose(ours, theirs, atol=1e-5)
        labels[:, :8] = -100
        assert torch.allclose(
            next_token_loss(model, {"input_ids": ids, "labels": labels}),
            model(input_ids=ids, labels=labels).loss,
            atol=1e-5,
        )


def test_asked_rows_are_filled_up_with_ignored_ones():
    hidden, labels = torch.randn(2, 10, 4), torch.full((2, 10), -100)
    labels[0, 3], labels[1, 9] = 5, 6
    rows, asked = asked_rows(hidden[:, :-1], labels[:, 1:])
    assert (
        len(rows) == 64 and asked[:2].tolist() == [5, 6] and (asked[2:] == -100).all()
    )
    assert torch.equal(rows[0], hidden[0, 2]) and torch.equal(rows[1], hidden[1, 8])
