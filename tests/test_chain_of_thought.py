"""Chain of thought, exported from chapter 6: prompts, the two calls, extraction, the
checker of steps and the vote."""

import random
import re
from decimal import Decimal
from fractions import Fraction

import pytest
import torch

from prompttune_utils import arithmetic, hub
from prompttune_utils.methods import chain_of_thought
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
        if cell.id in ("cases", "stories", "chains", "chains-more"):
            exec(cell.source.partition("\nfor ")[0], names)
    return names


def test_extraction_of_the_chapters_cases(tables):
    assert len(tables["CASES"]) > 10
    assert [extract(text, trigger) for text, trigger, _ in tables["CASES"]] == [
        None if n is None else Fraction(n) for *_, n in tables["CASES"]
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


@pytest.mark.parametrize(
    "chain, lines",
    [
        ("so 5 + 6 = 11.5.", []),
        ("so 2.5 + 3 = 5.", []),
        (".5 + 3 = 4", []),
        ("5 + 6 = 11 - 3 = 8", []),
        ("9 + 5 + 6 = 11", []),
        ("1,000 + 5 = 1,005.", [(1000, "+", 5, 1005)]),
        ("1,000 + 5 = 1, 005", []),
        ("５＋６＝１１，", [(5, "+", 6, 11)]),
        ("所以23-20=3，3+6=9。", [(23, "-", 20, 3), (3, "+", 6, 9)]),
        ("3 x 4 = 12. 12 ÷ 4 = 3", [(3, "*", 4, 12), (12, "/", 4, 3)]),
        ("9" * 5000 + " + 1 = 2", []),
    ],
)
def test_only_whole_numbers_make_a_line(chain, lines):
    assert equations(chain) == lines


def test_a_sign_that_is_none():
    with pytest.raises(ValueError, match="There is no sign 'x': use one of"):
        calculate(2, "x", 3)


def test_a_later_sentence_about_the_answer_changes_nothing(tables):
    problem, chain, lacking, _ = tables["CHAINS"][0]
    judged = check(chain + " I hope this answer is helpful!", problem)
    assert {n for n in PROPERTIES if not judged[n]} == lacking == set()
    assert "The answer is 9" not in chain
    assert not check("It has 9. " + chain, problem)["verifiable"]


@pytest.mark.parametrize("mark", ["[MASK]", "</s>"])
def test_marks_spelt_in_a_problem_stay_text(mark, monkeypatch):
    backbone = hub.load("causal_lm", name="mini-gpt-v1", verbose=False)
    special, seen = set(backbone.tokenizer.added_tokens_decoder), []
    monkeypatch.setattr(
        chain_of_thought,
        "generate",
        lambda _, prompts, *__, **___: seen.extend(prompts) or [""] * len(prompts),
    )
    write(backbone, [f"tom has 5 {mark} more", "tom has 5 more"], 8)
    begin = len(backbone.tokenizer("").input_ids)
    assert not special.intersection(seen[0][begin:])
    assert len(seen[0]) > len(seen[1]) + 1


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
        _, _, _, c = equations(chain)[r.randrange(3)]
        changed = re.sub(rf"= ?{c}\b", f"= {c + 1}", chain, count=1)
        assert changed != chain
        assert not check(changed, problem)["true"]
        assert extract(changed, TRIGGER[language]) == problem.answer


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
    backbone = hub.load("causal_lm", name="mini-gpt-v1", verbose=False)
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
