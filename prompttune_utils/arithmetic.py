"""Arithmetic word problems of one to three steps, with the steps that solve them, in
English and Chinese.

A problem is a chain of operations told as a story. Which chains belong to the test
split is fixed by a checksum over their numbers, so no story around other names can
bring a test problem into training.
"""

import random
import zlib
from dataclasses import dataclass

LARGEST = 99  # no number of a story is larger

_PEOPLE = {
    "en": [
        ("tom", "he"),
        ("ben", "he"),
        ("sam", "he"),
        ("jack", "he"),
        ("peter", "he"),
        ("paul", "he"),
    ]
    + [
        ("mary", "she"),
        ("anna", "she"),
        ("lucy", "she"),
        ("kate", "she"),
        ("emma", "she"),
        ("jane", "she"),
    ],
    "zh": [
        (name, name)
        for name in ("小明", "小红", "小李", "小王", "小丽", "小华", "小刚", "小芳")
    ],
}
_THINGS = {
    "en": [
        "apples",
        "books",
        "pens",
        "eggs",
        "cards",
        "stones",
        "flowers",
        "stars",
        "coins",
        "balls",
        "cakes",
        "letters",
        "pictures",
        "stamps",
        "shells",
    ],
    "zh": [
        "苹果",
        "鸡蛋",
        "球",
        "气球",
        "桃子",
        "梨",
        "香蕉",
        "李子",
        "面包",
        "玩具",
        "杯子",
        "石头",
    ],
}
# operation -> [(what happens, the sentence of the solution before its equation)]
_EVENTS = {
    "en": {
        "each": [
            (
                "{name} has {a} boxes with {n} {things} in each box.",
                "{a} boxes with {n} each make",
            ),
            (
                "{name} has {a} bags. there are {n} {things} in each bag.",
                "{a} bags with {n} each make",
            ),
        ],
        "+": [
            ("{they} buys {n} more.", "{they} buys {n} more, so"),
            ("then {they} finds {n} more {things}.", "{they} finds {n} more, so"),
            ("{friend} gives {name} {n} more {things}.", "{name} gets {n} more, so"),
            ("the next day {they} gets {n} more.", "{they} gets {n} more, so"),
        ],
        "-": [
            ("{they} gives {n} to {friend}.", "{they} gives away {n}, so"),
            ("then {they} loses {n} {things}.", "{they} loses {n}, so"),
            ("{they} sells {n} of them.", "{they} sells {n}, so"),
            ("{friend} takes {n} of the {things}.", "{friend} takes {n}, so"),
        ],
        "*": [
            (
                "{friend} has {n} times as many as {name}.",
                "{friend} has {n} times as many, so",
            )
        ],
        "/": [
            (
                "{they} shares them equally among {n} friends.",
                "{n} friends share them, so",
            )
        ],
    },
    "zh": {
        "each": [
            ("{name}有{a}盒{things}，每盒{n}个。", "{a}盒每盒{n}个，所以"),
            ("{name}有{a}袋{things}，每袋有{n}个。", "{a}袋每袋{n}个，所以"),
        ],
        "+": [
            ("又买了{n}个。", "又买了{n}个，所以"),
            ("{friend}又给了{name}{n}个。", "得到{n}个，所以"),
            ("后来又找到{n}个。", "找到{n}个，所以"),
        ],
        "-": [
            ("送给{friend}{n}个。", "送出{n}个，所以"),
            ("后来丢了{n}个。", "丢了{n}个，所以"),
            ("卖掉了{n}个。", "卖掉{n}个，所以"),
        ],
        "*": [("{friend}的{things}是{name}的{n}倍。", "{friend}有{n}倍，所以")],
        "/": [("把它们平均分给{n}个朋友。", "{n}个朋友平均分，所以")],
    },
}
_START = {
    "en": ("{name} has {a} {things}.", "{name} starts with {a}."),
    "zh": ("{name}有{a}个{things}。", "{name}开始有{a}个。"),
}
_ASK = {
    "en": {
        "": "how many {things} does {name} have now?",
        "*": "how many {things} does {friend} have?",
        "/": "how many {things} does each friend get?",
        "each": "how many {things} does {name} have?",
    },
    "zh": {
        "": "{name}现在有几个{things}？",
        "*": "{friend}有几个{things}？",
        "/": "每个朋友得到几个？",
        "each": "{name}一共有几个{things}？",
    },
}


@dataclass(frozen=True)
class Problem:
    """A word problem: `question`, the `steps` of its solution (sentences), `answer`,
    and its chain `operations`.

    `operations` starts with ("start", number), then (+ - * / or each, number).
    """

    question: str
    steps: tuple[str, ...]
    answer: int
    language: str
    operations: tuple[tuple[str, int], ...]


def held_out(operations: tuple[tuple[str, int], ...]) -> bool:
    """True for the tenth of all chains that only the test split may use, whatever the
    names, things and language."""
    return zlib.crc32(repr(operations).encode()) % 10 == 0


def problem(generator: random.Random, language: str, steps: int) -> Problem:
    """One problem with `steps` operations (1 to 4; the minis were trained on 1 to 3),
    of either split."""
    while True:
        operations, value = _chain(generator, steps)
        if value is not None:
            return _tell(generator, language, operations, value)


def problems(
    count: int, language: str, steps: int, seed: int, test: bool = True
) -> list[Problem]:
    """`count` problems with different chains, all of the test split, or (test=False)
    none of it.

    Raises:
        ValueError: unknown language, or another number of steps than 1 to 3.
    """
    if language not in _START or steps not in (1, 2, 3):
        raise ValueError(
            f"There are no problems in {language!r} with {steps} steps: choose en or "
            "zh, and 1, 2 or 3 steps."
        )
    generator, found = random.Random(f"{seed} {language} {steps}"), {}
    while len(found) < count:
        drawn = problem(generator, language, steps)
        if held_out(drawn.operations) == test:
            found.setdefault(drawn.operations, drawn)
    return list(found.values())


def _result(kind: str, value: int, n: int) -> int:
    return {"+": value + n, "-": value - n, "/": value // n}.get(kind, value * n)


def _chain(r: random.Random, steps: int) -> tuple[tuple, int | None]:
    """A chain and its value; the value is None when a number leaves 1 to LARGEST."""
    boxes = r.random() < 0.25
    value = r.randint(2, 9) if boxes else r.randint(3, 60)
    chain = [("start", value)]
    for number in range(steps):
        last = number == steps - 1
        kind = (
            "each"
            if boxes and number == 0
            else r.choice("++--*/" if last and steps > 1 else "+-")
        )
        n = r.randint(2, 9 if kind in ("each", "*", "/") else 30)
        if kind == "/" and value % n:
            return (), None
        value = _result(kind, value, n)
        if not 1 <= value <= LARGEST:
            return (), None
        chain.append((kind, n))
    return tuple(chain), value


def _tell(r: random.Random, language: str, operations: tuple, answer: int) -> Problem:
    (name, they), (friend, _) = r.sample(_PEOPLE[language], 2)
    words = {
        "name": name,
        "they": they,
        "friend": friend,
        "things": r.choice(_THINGS[language]),
        "a": operations[0][1],
    }
    story, steps, value = [], [], operations[0][1]
    if operations[1][0] != "each":
        told, solved = _START[language]
        story.append(told.format(**words))
        steps.append(solved.format(**words))
    for kind, n in operations[1:]:
        told, solved = r.choice(_EVENTS[language][kind])
        result = _result(kind, value, n)
        sign = "*" if kind == "each" else kind
        equation = f"{value} {sign} {n} = {result}"
        story.append(told.format(n=n, **words))
        steps.append(
            f"{solved.format(n=n, **words)} {equation}."
            if language == "en"
            else f"{solved.format(n=n, **words)}{equation.replace(' ', '')}。"
        )
        value = result
    asks = _ASK[language]
    story.append(asks.get(operations[-1][0], asks[""]).format(**words))
    return Problem(
        (" " if language == "en" else "").join(story),
        tuple(steps),
        answer,
        language,
        operations,
    )
