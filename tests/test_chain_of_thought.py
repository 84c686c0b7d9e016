"""Chain of thought, exported from chapter 6: prompts, the two calls, extraction, the checker of steps and the vote."""

import random
from decimal import Decimal
from fractions import Fraction

import pytest
import torch

from prompttune_utils import arithmetic, hub
from prompttune_utils.methods.chain_of_thought import (
    PROPERTIES,
    THINK,
    TRIGGER,
    ask,
    calculate,
    check,
    equations,
    extract,
    think,
    vote,
    worked,
    write,
)
from tools import notebooks


@pytest.fixture(scope="module")
def tables():
    """The tables of cases that the chapter shows, CASES and CHAINS."""
    (chapter,) = notebooks.chapters(["06"])
    names = {"arithmetic": arithmetic, "TRIGGER": TRIGGER, "PROPERTIES": PROPERTIES}
    for cell in notebooks.read(chapter).cells:
        if cell.id in ("cases", "chains"):
            exec(cell.source.partition("\nfor ")[0], names)
    return names


def test_extraction_of_the_chapters_cases(tables):
    assert len(tables["CASES"]) > 10
    assert [extract(text, trigger) for text, trigger, _ in tables["CASES"]] == [
        None if n is None else Decimal(n) for *_, n in tables["CASES"]
    ]


@pytest.mark.parametrize(
    "text, number",
    [
        ("12", "12"),
        ("0", "0"),
        (" 7 .", "7"),
        ("about 1,000,000 people", "1000000"),
        ("-0", "0"),
        ("eight", None),
        ("=", None),
    ],
)
def test_extraction_of_a_bare_answer(text, number):
    assert extract(text) == (None if number is None else Decimal(number))


def test_checker_on_the_chapters_chains(tables):
    for problem, chain, lacking, right in tables["CHAINS"]:
        judged = check(chain, problem)
        assert (
            {n for n in PROPERTIES if not judged[n]},
            extract(chain, TRIGGER[problem.language]) == problem.answer,
        ) == (set(lacking), right), chain


def test_lines_of_a_chain():
    assert equations("5 + 6 = 11, 11-3=8; 8 × 2 = 16. 16 ÷ 4 = 4, 1 + 2 + 3 = 6") == [
        (5, "+", 6, 11),
        (11, "-", 3, 8),
        (8, "*", 2, 16),
        (16, "/", 4, 4),
    ]
    assert [calculate(7, sign, 2) for sign in "+-*/"] == [
        9,
        5,
        14,
        Fraction(7, 2),
    ] and calculate(7, "/", 0) is None
    assert [equations(line) for line in ("7 - 9 = -2", "-2 + 3 = 1")] == [
        [(7, "-", 9, -2)],
        [(-2, "+", 3, 1)],
    ]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_one_changed_number_is_noticed(language):
    r = random.Random(0)
    for problem in arithmetic.problems(60, language, 3, seed=5):
        chain = worked(problem, steps=True).partition("\n")[2]
        judged = check(chain, problem)
        assert (
            all(judged[name] for name in PROPERTIES)
            and judged["result"] == problem.answer
            and len(judged["lines"]) == 3
        )
        a, sign, b, c = equations(chain)[r.randrange(3)]
        for wrong in (f"= {c + 1}", f"={c + 1}"):
            changed = chain.replace(wrong.replace(str(c + 1), str(c)), wrong)
            assert changed == chain or not check(changed, problem)["true"]


def test_vote():
    assert (
        vote([8, None, 9, 9]) == 9
        and vote([8, 9, 9, 8]) == 8
        and vote([None, 4]) == 4
        and vote([None, None]) is None
        and vote([]) is None
    )


def test_second_call_reads_the_first():
    torch.set_num_threads(1)
    backbone = hub.load("causal_lm", name="mini-gpt", verbose=False)
    tests = [
        *arithmetic.problems(2, "en", 2, seed=1),
        *arithmetic.problems(2, "zh", 2, seed=1),
    ]
    together = think(backbone, tests)
    assert together == [think(backbone, [p])[0] for p in tests]
    for problem, (thoughts, said) in zip(tests, together, strict=True):
        gap, therefore = (
            (" ", " Therefore, the answer is")
            if problem.language == "en"
            else ("", "所以答案是")
        )
        assert write(
            backbone,
            [ask(problem, THINK[problem.language]) + gap + thoughts + therefore],
            8,
        ) == [said]
    assert (
        sum(
            extract(said) == p.answer
            for p, (_, said) in zip(tests, together, strict=True)
        )
        >= 3
    )
