"""Numbers and sums read out of free text, as language models write it. Chapter 6 uses
it to find the answer of a text, and to check its steps.

A number is read whole, with its sign, separators, decimals, power, fraction or 万, or
not at all: None says that the text leaves open which number is meant.
"""

import operator
import re
from decimal import Decimal
from fractions import Fraction

# full-width forms, other signs and spaces -> the plain ones
PLAIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
PLAIN |= str.maketrans(
    "−‒–—×⋅·÷⁄∕￥’\u00a0\u2007\u2009\u202f\u3000", "----***///¥'     "
)
PLAIN |= str.maketrans(
    {"¼": " 1/4", "½": " 1/2", "¾": " 3/4", "⅓": " 1/3", "⅔": " 2/3"}
)
# of LaTeX and of Markdown, what stands in and around numbers
MARKUP = {
    r"\\[dt]?frac\{(\d+)\}\{(\d+)\}": r" \1/\2",
    r"\{,\}": ",",
    r"\\!|\\(?=[$%,])|(?<!\d)\*\*|\*\*(?!\d)": "",
    r"(?<=\d)( ?)(?:[xX]|\\times|\\cdot)( ?)(?=\d)": r"\1*\2",
    r"\b(approx|ca)\.": r"\1",
    "千克": "kg",
    "千米": "km",
}


def plain(text: str) -> str:
    """A text with its numbers, signs and spaces written in the plainest way."""
    text = text.translate(PLAIN)
    for pattern, instead in MARKUP.items():
        text = re.sub(pattern, instead, text)
    return text


NUMBER = re.compile(
    r"""
    (?P<sign> - | \+ | 负\ ? | \b(?:minus|negative)\  )?
    (?: (?:US|CA|AU|HK)?[$€£¥]\ ? )?  (?P<minus> - )?  (?= \.?\d )
    (?P<whole> \d{1,3}(?:,\d{3})+ | \d{1,3}(?:\ \d{3})+ | \d{1,3}(?:'\d{3})+ | \d* )
    (?P<part> \.\d+ )?
    (?: (?:\ (?P<top>\d{1,15}))?  \ ?/\ ?  (?P<bottom>\d{1,15}) )?
    (?: e(?P<power>[-+]?\d{1,3}) )?
    (?: \ ?(?P<unit> 万亿|亿|百万|千万|万|(?:hundred|thousand|(?:m|b|tr)illion)s?\b) )?
    """,
    re.I | re.X,
)
ZEROS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
ZEROS |= {"万": 4, "百万": 6, "千万": 7, "亿": 8, "万亿": 12}


def value(found: re.Match) -> Decimal | Fraction | None:
    """The number that NUMBER found: a Fraction where it is written with a stroke."""
    negative = found["minus"] or (found["sign"] or "+")[0].lower() in "-负mn"
    sign, whole = "-" if negative else "", re.sub("[, ']", "", found["whole"])
    if not found["bottom"]:
        unit = (found["unit"] or "").lower().rstrip("s")
        zeros = int(found["power"] or 0) + ZEROS.get(unit, 0)
        number = Decimal(f"{sign}{whole or 0}{found['part'] or ''}e{zeros}")
        return Decimal(f"{number:f}")  # 30000, not 3E+4
    # 1 000/2: 1000/2, or 1 and 000/2?
    odd = found["part"] or found["power"] or found["unit"] or " " in found["whole"]
    if odd or not 1 <= len(whole) <= 15 or not int(found["bottom"]):
        return None
    amount = Fraction(f"{found['top'] or whole}/{found['bottom']}")
    if found["top"]:
        amount = amount + int(whole) if amount < 1 else None
    return -amount if negative and amount else amount


SENTENCE_END = re.compile(r"\.(?!\d)|[!?。！？\n]")
CLAUSE_END = re.compile(
    rf",(?!\d{{3}})|[;:()；]|{SENTENCE_END.pattern}|\b(?:not|as|because|since|so)\b"
)
# words before a number that leave open whether it is the answer
UNSURE = re.compile(
    r"\b(?:not?|never|n?either|nor|un(?:known|clear)|cannot)\b|n't\b"
    r"|\b(?:between|half|twice|double)\b"
    r"|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b"
    r"|\b(?:\w+teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|hundred|dozen)\b"
    r"|[不非未无没]|零下|\\(?!boxed|text|\W)",
    re.I,
)
# what may touch a number in front, and what may not; what makes it another one behind
BEFORE = re.compile(r"(?:^|[\s(\[{\"“‘`=:≈~<>≤≥]|[一-鿿](?<![点之])|百分之)$")
OPERATOR = re.compile(r"[-+*/^√] ?$|\w\($")
AFTER = re.compile(
    r" ?(?:[+*^√]|-(?= ?[a-z]\b)|/(?![a-z]{2})|[b-zα-ω]\b|\\(?!text|\W))|_|[^\w\n(]*\d"
    r"|[^\s\w.,;:!?()\[\]{}\"'`%°$€£¥…。、；！？“”‘’|<>~=/\\-]",
    re.I,
)
MORE = re.compile(
    r"\b(?:half|halves|quarters?|thirds?|hundred|thousand|dozen|below)\b|illion|半",
    re.I,
)


def read_number(text: str) -> Decimal | Fraction | None:
    """The number that a plain text begins with, read as a whole; None when unsure."""
    found = NUMBER.search(text)
    if not found:
        return None
    lead, rest = text[: found.start()], text[found.end() :]
    clause, sentence = CLAUSE_END.split(rest)[0], SENTENCE_END.split(rest)[0]
    if UNSURE.search(lead) or SENTENCE_END.search(lead) or OPERATOR.search(lead):
        return None
    if not BEFORE.search(lead) or lead.rstrip()[-1:].isnumeric():
        return None
    if "=" in clause:  # it calculates: the result stands behind the last equals sign
        last = clause.rindex("=") + 1
        return read_number(rest[last:]) if sentence.rindex("=") < last else None
    if AFTER.match(rest) or rest.lstrip(" ")[:1].isnumeric() or MORE.search(clause):
        return None
    return None if any(c.isdigit() for c in clause) else value(found)


def answer_place(text: str, trigger: str) -> re.Match | None:
    """The last match of the trigger that an answer can follow: not one in a sentence
    of words, such as "I hope this answer is helpful!"."""
    for found in reversed(list(re.finditer(trigger, text, flags=re.I))):
        behind = text[found.end() :].lstrip(" \n:")
        sentence = SENTENCE_END.split(behind)[0]
        words = len(sentence) < len(behind) and not UNSURE.search(sentence)
        if not words or any(c.isnumeric() for c in sentence):
            return found
    return None


WHOLE = r"(?:\d{1,3}(?:,\d{3})+|\d{1,15})"
# not after half of a numeral or a calculation, and not before the rest of one
EQUATION = re.compile(
    rf"(?<![-+*/=\d.])(?<![-+*/=] )(-?{WHOLE}) ?([-+*/]) ?({WHOLE}) ?= ?(-?{WHOLE})"
    r"(?!\.?\d|, ?\d{3}(?!\d)| ?[-+*/] ?\d)"
)
SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": Fraction}


def calculate(a: int, sign: str, b: int) -> Fraction | None:
    """a + b, a - b, a * b or a / b; None when dividing by zero."""
    if sign not in SIGNS:
        raise ValueError(f"There is no sign {sign!r}: use one of {' '.join(SIGNS)}.")
    return None if sign == "/" and b == 0 else Fraction(SIGNS[sign](a, b))


def equations(chain: str) -> list[tuple[int, str, int, int]]:
    """The lines (a, sign, b, c) of a chain, each written a + b = c with one of the four
    signs and whole numbers."""
    found = EQUATION.findall(plain(chain))
    return [
        (int(a.replace(",", "")), s, int(b.replace(",", "")), int(c.replace(",", "")))
        for a, s, b, c in found
    ]


def numerals(text: str) -> set[Decimal]:
    """All numbers of a text, without their signs."""
    found = re.findall(r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?", plain(text))
    return {Decimal(numeral.replace(",", "")) for numeral in found}
