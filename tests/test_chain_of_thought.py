"""Chain of thought, exported from chapter 6: prompts, the two calls, extraction, the
checker of steps and the vote; and the sums that `numerals` reads."""

import random
import re
from decimal import Decimal
from fractions import Fraction

import pytest
import torch

from prompttune_utils import arithmetic, hub
from prompttune_utils.arithmetic import Problem
from prompttune_utils.methods import chain_of_thought
from prompttune_utils.methods.chain_of_thought import (
    ANSWER_IS,
    PHRASE,
    PROPERTIES,
    THEREFORE,
    chat_ids,
    check_chain,
    complete,
    demonstration,
    extract,
    majority_vote,
    prompt_ids,
    query,
    zero_shot_cot,
)
from prompttune_utils.numerals import calculate, equations, numerals
from tools import notebooks

BALLS = Problem(
    "Tom has 5 balls. He buys 6 more. Then he loses 3 balls. "
    "How many balls does Tom have now?",
    (),
    8,
    "en",
    (("start", 5), ("+", 6), ("-", 3)),
)
APPLES = Problem(
    "食堂有23个苹果。用了20个。又买了6个。现在有几个苹果？",
    (),
    9,
    "zh",
    (("start", 23), ("-", 20), ("+", 6)),
)
NOTHING = set(PROPERTIES)
SOUND = "He buys 6 more, so 5 + 6 = 11. He loses 3, so 11 - 3 = 8. The answer is 8."
CHAINS = [  # problem, chain, what it lacks, whether its answer is right
    (BALLS, "Tom starts with 5. " + SOUND, set(), True),
    (
        APPLES,
        "食堂开始有23个。用了20个，所以23-20=3。又买了6个，所以3+6=9。答案是9个。",
        set(),
        True,
    ),
    (BALLS, "So 6 + 5 = 11. So 11 − 3 = 8. The answer is 8.00.", set(), True),
    (BALLS, "So 5 + 6 = 12. So 12 - 3 = 9. The answer is 9.", {"true"}, False),
    (BALLS, "So 5 + 6 = 12. So 12 - 3 = 8. The answer is 8.", {"true"}, True),
    (BALLS, "So 5 + 6 = 11. The answer is 11.", {"complete"}, False),
    (BALLS, "So 5 + 6 = 11. So 5 - 3 = 2. The answer is 2.", {"logical"}, False),
    (
        APPLES,
        "用了20个，所以23-20=3。又用了6个，所以3-6=-3。答案是-3。",
        {"complete", "feasible"},
        False,
    ),
    (
        BALLS,
        "So 5 + 6 = 11. He loses 3 of 40, so 11 - 3 = 8. The answer is 8.",
        {"verifiable"},
        True,
    ),
    (BALLS, "He has 11 then, and 8 in the end. The answer is 8.", NOTHING, True),
    (BALLS, "5 + 6 - 3 = 8. The answer is 8.", NOTHING, True),
    (BALLS, "So 5 + 6 = 11. So 11 - 3 = 8. The answer is 18.", set(), False),
]


@pytest.fixture(scope="module")
def tables():
    """The tables of cases that the chapter shows, CASES, CHAINS and its BALLS."""
    (chapter,) = notebooks.chapters(["06"])
    names = {"Problem": Problem, "PROPERTIES": PROPERTIES}
    for cell in notebooks.read(chapter).cells:
        if cell.id in ("cases", "chains"):
            exec(cell.source, names)
    return names


@pytest.fixture(scope="module")
def backbone():
    torch.set_num_threads(1)
    return hub.load("causal_lm", name="mini-gpt-s", verbose=False).frozen()


def test_extraction_of_the_chapters_cases(tables):
    assert len(tables["CASES"]) > 10
    for text, wanted in tables["CASES"]:
        read = extract(text, ANSWER_IS["zh" if "答案" in text else "en"])
        assert read == (None if wanted is None else Fraction(wanted)), text


def test_a_pattern_is_of_the_text_as_it_was_written():
    text = "therefore, the answer ( arabic numerals ) is 7."
    assert extract(text, ANSWER_IS["en"]) == 7
    assert extract(text, r"answer (?:\(arabic numerals\) )?is") is None
    assert extract("18") == extract("18.00")
    # its limit: the sentence says 48
    assert extract("The answer is 6 boxes, so 48.", ANSWER_IS["en"]) == 6


@pytest.mark.parametrize(
    "text, number",
    [
        ("12", "12"),
        ("0", "0"),
        (" 7 .", "7"),
        (" 8 apples, not 9", "8"),
        ("about 1,000,000 people", "1000000"),
        ("-0", "0"),
        ("eight", None),
        ("=", None),
        ("", None),
    ],
)
def test_extraction_of_a_bare_answer(text, number):
    assert extract(text) == (None if number is None else Decimal(number))


def test_checker_on_the_chapters_chains(tables):
    for chain, lacking in tables["CHAINS"]:
        checked = check_chain(chain, tables["BALLS"])
        assert {n for n in PROPERTIES if not checked[n]} == lacking, chain


@pytest.mark.parametrize("problem, chain, lacking, right", CHAINS)
def test_checker_and_answer_apart(problem, chain, lacking, right):
    checked = check_chain(chain, problem)
    assert {n for n in PROPERTIES if not checked[n]} == lacking
    said = extract(chain, ANSWER_IS[problem.language])
    assert (said == problem.answer) == right


def test_a_problem_whose_operations_nobody_knows():
    asked = Problem("A box has 5 balls, another 6. How many?", (), 11, "en", ())
    checked = check_chain("so 5 + 6 = 12. The answer is 12.", asked)
    assert not checked["true"] and checked["feasible"] and checked["verifiable"]
    assert "logical" not in checked and "complete" not in checked
    assert checked["lines"] == [("5 + 6 = 12", False)]


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


def test_numerals_are_read_without_signs():
    assert numerals("from -3 to 1,234.5, not 7") == {3, Decimal("1234.5"), 7}


def test_a_later_sentence_about_the_answer_changes_nothing():
    checked = check_chain(SOUND + " I hope this answer is helpful!", BALLS)
    assert all(checked[name] for name in PROPERTIES)
    assert not check_chain("It has 9. " + SOUND, BALLS)["verifiable"]


@pytest.mark.parametrize("mark", ["[MASK]", "</s>"])
def test_marks_spelt_in_a_problem_stay_text(mark, backbone, monkeypatch):
    special, seen = set(backbone.tokenizer.added_tokens_decoder), []
    monkeypatch.setattr(
        chain_of_thought,
        "generate",
        lambda _, prompts, *__, **___: seen.extend(prompts) or [""] * len(prompts),
    )
    complete(backbone, [f"tom has 5 {mark} more", "tom has 5 more"], 8)
    begin = len(backbone.tokenizer("").input_ids)
    assert not special.intersection(seen[0][begin:])
    assert len(seen[0]) > len(seen[1]) + 1


@pytest.mark.parametrize("language", ["en", "zh"])
def test_one_changed_number_is_noticed(language):
    r = random.Random(0)
    for problem in arithmetic.problems(60, language, 3, seed=5):
        chain = demonstration(problem).partition("\n")[2]
        checked = check_chain(chain, problem)
        assert all(checked[name] for name in PROPERTIES)
        assert checked["result"] == problem.answer and len(checked["lines"]) == 3
        _, _, _, c = equations(chain)[r.randrange(3)]
        changed = re.sub(rf"= ?{c}\b", f"= {c + 1}", chain, count=1)
        assert changed != chain
        assert not check_chain(changed, problem)["true"]
        assert extract(changed, ANSWER_IS[language]) == problem.answer


def test_demonstrations_differ_in_the_steps_alone():
    for language in ("en", "zh"):
        (problem,) = arithmetic.problems(1, language, 2, seed=1)
        with_steps, direct = (demonstration(problem, s) for s in (True, False))
        assert with_steps.startswith(query(problem)) and direct.endswith("\n")
        for step in problem.steps:
            assert step in with_steps and step not in direct
        answer = f"{problem.answer}{'.' if language == 'en' else '。'}\n"
        assert with_steps.endswith(answer) and direct.endswith(answer)


def test_vote():
    assert majority_vote([8, None, 9, 9]) == 9
    assert majority_vote([8, 9, 9, 8]) == 8
    assert majority_vote([None, 4]) == 4
    assert majority_vote([None, None]) is None
    assert majority_vote([]) is None


def test_second_call_reads_the_first(backbone):
    tests = [
        *arithmetic.problems(2, "en", 2, seed=1),
        *arithmetic.problems(2, "zh", 2, seed=1),
    ]
    together = zero_shot_cot(backbone, tests)
    assert together == [zero_shot_cot(backbone, [p])[0] for p in tests]
    for problem, (z, said) in zip(tests, together, strict=True):
        assert not re.search(ANSWER_IS[problem.language], z)
        gap = " " if problem.language == "en" else ""
        end = PHRASE[problem.language] + gap + z + THEREFORE[problem.language]
        assert complete(backbone, [query(problem, end)], 8) == [said]
    right = [extract(said) == p.answer for p, (_, said) in zip(tests, together)]
    assert sum(right) >= 3


def test_a_word_therefore_within_the_steps_does_not_end_them(backbone, monkeypatch):
    said = iter([["6 more, therefore 5 + 6 = 11. Therefore, the answer is 11."], ["8"]])
    monkeypatch.setattr(chain_of_thought, "generate", lambda *_, **__: next(said))
    assert zero_shot_cot(backbone, [BALLS]) == [("6 more, therefore 5 + 6 = 11.", "8")]


def test_a_question_in_the_chat_template(backbone):
    """The template's marks are tokens, those spelt in what follows are text."""
    home = backbone.copy()
    home.tokenizer.chat_template = (
        "{{ bos_token }}user {{ messages[0].content }} "
        "{% if add_generation_prompt %}assistant {% endif %}"
    )
    ids = chat_ids(home, BALLS, " </s> Let's think.")
    text = home.tokenizer.decode(ids)
    assert text.index("user") < text.index("balls") < text.index("assistant")
    assert ids.count(home.tokenizer.eos_token_id) == 0
    assert ids != prompt_ids(home, BALLS, " </s> Let's think.")
