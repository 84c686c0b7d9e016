"""Numbers read out of answers: the whole numeral exactly, or None, whatever stands
around it."""

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompttune_utils.methods.chain_of_thought import ANSWER_IS, extract

QUICK = settings(max_examples=200, deadline=None)

READ = [
    ("The answer is $9{,}500.", "9500"),
    (r"The answer is \boxed{9\,500}.", "9500"),
    ("The answer is 1 000.", "1000"),
    ("The answer is 1\u202f000\u202f000.", "1000000"),
    ("答案是1，000。", "1000"),
    ("答案是：１，２３４．５元。", "1234.5"),
    ("The answer is 1/2.", "1/2"),
    ("The answer is 18 / 4.", "9/2"),
    ("The answer is 1 1/2 cups.", "3/2"),
    ("The answer is 1½ cups.", "3/2"),
    (r"The answer is $\frac{3}{4}$.", "3/4"),
    ("The answer is .5", "1/2"),
    ("The answer is −5.", "-5"),
    ("The answer is minus 5.", "-5"),
    ("The answer is -$5.", "-5"),
    ("答案是负5。", "-5"),
    ("The answer is 1.5e-3.", "0.0015"),
    ("The answer is 3 million.", "3000000"),
    ("答案是3万。", "30000"),
    ("答案是2.5亿元。", "250000000"),
    ("答案是5千克。", "5"),
    ("The answer is 50%.", "50"),
    ("答案是百分之50。", "50"),
    ("The answer is €5.", "5"),
    ("The answer is US$1,234.50.", "1234.5"),
    ("The answer is **18**.", "18"),
    ("The answer is:\n\n18", "18"),
    ("The answer is approx. 5.", "5"),
    ("The answer is x = 5.", "5"),
    ("The answer is 18 (check: 18 + 2 = 20).", "18"),
    ("答案是18（20-2=18）。", "18"),
    ("The answer is $18.00, as 20 - 2 = 18.", "18"),
    ("The answer is 5 + 6 - 3 = 11 - 3 = 8.", "8"),
    ("The answer is 9. I hope this answer is helpful!", "9"),
    ("The answer is 9. No: the answer is 8.", "8"),
]
UNREAD = [
    "The answer is 3. 5",
    "The answer is 1, 000.",
    "The answer is 1.000.000.",
    "The answer is 1,00,000.",
    "The answer is 3,5.",
    "The answer is 3:45.",
    "The answer is 3-4.",
    "The answer is 3 or 4.",
    "The answer is 5².",
    "The answer is 2^10.",
    "The answer is 2**10.",
    "The answer is 1.5 × 10^3.",
    "The answer is 5k.",
    "The answer is 5π.",
    "The answer is 5 and a half.",
    "The answer is 5/0.",
    "The answer is 3/4/2024.",
    "The answer is COVID-19.",
    "The answer is 5 + 6.",
    "The answer is 18 = 20 - 2.",
    "The answer is not 5 but 6.",
    "The answer is twice 5.",
    "The answer is 9. No: the answer is not known.",
    "The answer is 9. No: the answer is eight.",
    "The answer is 7. So the answer is",
    "答案是3万5千。",
    "答案是5千。",
    "答案是5个半。",
    "答案是三分之2。",
    "答案是不到5个。",
]


def trigger(text: str) -> str:
    return ANSWER_IS["zh" if "答案是" in text else "en"]


@pytest.mark.parametrize("text, number", READ)
def test_the_whole_numeral_is_read(text, number):
    assert extract(text, trigger(text)) == Fraction(number)


@pytest.mark.parametrize("text", UNREAD)
def test_what_is_not_sure_is_none(text):
    assert extract(text, trigger(text)) is None


def grouped(number: int, separator: str) -> str:
    return f"{number:,}".replace(",", separator)


@st.composite
def numerals(draw) -> tuple[str, Fraction]:
    """A numeral in one of many notations, and the number that it means."""
    whole = draw(st.integers(0, 10**9))
    separator = draw(st.sampled_from(["", ",", " ", "'", "，", "\u202f", "{,}"]))
    text, number = grouped(whole, separator), Fraction(whole)
    kind = draw(st.sampled_from(["whole", "decimal", "power", "unit", "over", "mixed"]))
    small, large = draw(st.integers(1, 98)), draw(st.integers(99, 999))
    if kind == "decimal":
        digits = draw(st.text("0123456789", min_size=1, max_size=5))
        text, number = f"{text}.{digits}", number + Fraction(Decimal(f"0.{digits}"))
    elif kind == "power":
        text, number = f"{small}e{small % 7}", Fraction(small * 10 ** (small % 7))
    elif kind == "unit":
        unit, zeros = draw(st.sampled_from([("万", 4), (" million", 6), ("亿", 8)]))
        text, number = text + unit, number * 10**zeros
    elif kind == "over":
        text, number = f"{small}/{large}", Fraction(small, large)
    elif kind == "mixed":
        text = f"{whole} {small}/{large}"
        number += Fraction(small, large)
    sign = draw(st.sampled_from(["", "", "-", "−", "+", "minus ", "负"]))
    money = draw(st.sampled_from(["", "", "$", "€", "￥"])) if "m" not in sign else ""
    return sign + money + text, -number if sign in (
        "-",
        "−",
        "minus ",
        "负",
    ) else number


WORDS = st.text(st.sampled_from("abcdehilmnoprstuw 的是个有苹果"), max_size=12)
BEHIND = [
    "",
    ".",
    "。",
    "!",
    "%.",
    " %",
    " apples.",
    " kg.",
    "元。",
    "个，",
    ", as 20 - 2 = 18.",
    " (check: 18 + 2 = 20).",
    ". I hope this answer is helpful!",
    ".\n\nQ: tom has 5 apples.",
]


@QUICK
@given(numerals(), WORDS, st.sampled_from(BEHIND), WORDS, st.booleans())
def test_a_numeral_is_read_exactly_or_not_at_all(numeral, before, behind, after, zh):
    text, number = numeral
    lead = "so 5 + 6 = 11. 答案是" if zh else "so 5 + 6 = 11. The answer is "
    text = f"{lead}{before and before + ' '}{text}{behind}{behind and ' ' + after}"
    assert extract(text, trigger(text)) in (number, None), text


@QUICK
@given(numerals())
def test_a_plain_sentence_is_read(numeral):
    text, number = numeral
    assert extract(f"The answer is {text}.", ANSWER_IS["en"]) == number
    assert extract(text) == number


@QUICK
@given(st.text(st.sampled_from("0123456789,.' /-:"), min_size=1, max_size=9))
def test_no_digit_is_left_over(text):
    """What is read out of digits and marks alone has all of the digits, in order."""
    answer = extract(f"The answer is {text} apples", ANSWER_IS["en"])
    if isinstance(answer, Decimal):
        digits = re.sub(r"\D", "", text)
        assert re.sub(r"\D", "", f"{answer:f}").lstrip("0") == digits.lstrip("0"), text
    elif answer is not None:
        mixed = re.fullmatch(r"\D*(?:(\d+) )?([\d,']+) ?/ ?(\d+)\D*", text)
        whole, top, bottom = (re.sub(r"\D", "", part or "0") for part in mixed.groups())
        assert abs(answer) == int(whole) + Fraction(int(top), int(bottom)), text


@QUICK
@given(st.text(max_size=40), st.text(max_size=20))
def test_no_text_is_an_error(before, behind):
    for text in (before, f"{before} the answer is {behind}", f"{before}5{behind}"):
        extract(text)
        extract(text, ANSWER_IS["en"])
