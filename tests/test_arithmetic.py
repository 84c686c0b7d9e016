"""The word problems can be trusted: their solutions are true, and no chain of the test
split is ever trained on."""

import random
import re

import pytest

from prompttune_utils import arithmetic
from prompttune_utils.arithmetic import held_out, problem, problems

LANGUAGES, STEPS = ["en", "zh"], [1, 2, 3]
EQUATION = re.compile(r"(\d+) ?([-+*/]) ?(\d+) ?= ?(\d+)[.。]$")
CALCULATE = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__truediv__}
r = random.Random(0)
DRAWN = {
    (language, steps): [problem(r, language, steps) for _ in range(600)]
    for language in LANGUAGES
    for steps in STEPS
}
ALL = [p for drawn in DRAWN.values() for p in drawn]
each_kind = pytest.mark.parametrize("language, steps", DRAWN)


def equations(p):
    """(left, sign, right, result) of each step that calculates."""
    found = [EQUATION.search(step) for step in p.steps]
    return [(int(m[1]), m[2], int(m[3]), int(m[4])) for m in found if m]


@each_kind
def test_solution_is_true(language, steps):
    """Each equation holds, goes on where the last one ended, and the last one ends at
    the answer."""
    for p in DRAWN[language, steps]:
        solved = equations(p)
        assert len(solved) == steps and p.language == language
        assert all(CALCULATE[sign](a, b) == result for a, sign, b, result in solved), p
        assert [p.operations[0][1]] + [result for *_, result in solved] == [
            a for a, *_ in solved
        ] + [p.answer], p


@each_kind
def test_numbers_are_small(language, steps):
    for p in DRAWN[language, steps]:
        assert all(
            1 <= number <= 99
            for number in map(int, re.findall(r"\d+", " ".join([p.question, *p.steps])))
        ), p


@each_kind
def test_question_tells_the_chain(language, steps):
    """The question names the numbers of the operations in their order and no other; so
    do the equations."""
    for p in DRAWN[language, steps]:
        numbers = [number for _, number in p.operations]
        assert list(map(int, re.findall(r"\d+", p.question))) == numbers, p
        assert [(sign, b) for _, sign, b, _ in equations(p)] == [
            ("*" if kind == "each" else kind, n) for kind, n in p.operations[1:]
        ], p


def test_steps_without_an_equation_only_start():
    """A chain that starts with one number says it first; boxes calculate at once."""
    for p in ALL:
        boxes = p.operations[1][0] == "each"
        assert len(p.steps) == len(equations(p)) + (not boxes)
        assert boxes == bool(EQUATION.search(p.steps[0]))


@each_kind
def test_splits_share_no_chain(language, steps):
    test, train = (
        problems(60, language, steps, seed=1, test=test) for test in (True, False)
    )
    assert all(held_out(p.operations) for p in test) and not any(
        held_out(p.operations) for p in train
    )
    assert {len(p.operations) for p in test + train} == {steps + 1}
    assert (
        len({p.operations for p in test})
        == len(test)
        == 60
        == len({p.operations for p in train})
    )


def test_split_depends_on_the_numbers_alone():
    """The same chain told again, around other names and in the other language, stays in
    its split."""
    for p in ALL[::20]:
        told = [
            arithmetic._tell(random.Random(seed), language, p.operations, p.answer)
            for seed in range(3)
            for language in LANGUAGES
        ]
        assert len({t.question for t in told}) > 1
        assert {held_out(t.operations) for t in told} == {held_out(p.operations)}
        assert (
            {t.answer for t in told}
            == {p.answer}
            == {equations(t)[-1][-1] for t in told}
        )


@pytest.mark.parametrize("steps", STEPS)
def test_a_tenth_is_held_out(steps):
    generator = random.Random(1)
    chains = {
        problem(generator, language, steps).operations
        for language in LANGUAGES
        for _ in range(3000)
    }
    assert sum(map(held_out, chains)) / len(chains) == pytest.approx(0.1, abs=0.02)


@each_kind
def test_seed_decides(language, steps):
    one, two, three = (problems(20, language, steps, seed) for seed in (1, 1, 2))
    assert one == two != three


@pytest.mark.parametrize("language, steps", [("fr", 1), ("en", 4), ("zh", 0)])
def test_unknown_problems(language, steps):
    with pytest.raises(
        ValueError,
        match=f"There are no problems in '{language}' with {steps} steps: choose en or "
        "zh, and 1, 2 or 3 steps.",
    ):
        problems(1, language, steps, seed=0)


def pattern(wording):
    """A wording as a regular expression."""
    return re.sub(r"\\{\w+\\}", r"[^ .,。，]+", re.escape(wording))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_wording_is_told(language):
    drawn = [p for p in ALL if p.language == language]
    questions, solutions = (
        "\n".join(texts)
        for texts in ([p.question for p in drawn], [" ".join(p.steps) for p in drawn])
    )
    told = [
        wordings for kind in arithmetic._EVENTS[language].values() for wordings in kind
    ] + [arithmetic._START[language]]
    asked = arithmetic._ASK[language].values()
    assert [w for w, _ in told if not re.search(pattern(w), questions)] + [
        w for _, w in told if not re.search(pattern(w), solutions)
    ] == []
    assert [
        w for w in asked if not re.search(pattern(w) + "$", questions, re.MULTILINE)
    ] == []


def test_texts_are_whole():
    """No slot is left open, each language stands alone, and two different people take
    part."""
    for p in ALL:
        text = " ".join([p.question, *p.steps])
        assert not re.search("[{}]|  ", text) and bool(re.search("[一-鿿]", text)) == (
            p.language == "zh"
        ), p
        assert p.language == "en" or not re.search("[A-Za-z]", text), p
        names = [
            name
            for name, _ in arithmetic._PEOPLE[p.language]
            if re.search(rf"\b{name}\b" if p.language == "en" else name, text)
        ]
        assert 1 <= len(names) <= 2, p
