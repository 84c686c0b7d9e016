"""37 small tasks in 13 clusters, each with ten instructions, for instruction tuning in
the manner of FLAN (Wei et al. 2022). The wordings stand in
`assets/instructions/tasks.toml`; the rows come from the packaged word lists, facts and
reviews, and from numbers. Chapter 5 builds on it."""

import json
import random
import re
import tomllib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from prompttune_utils.data import load_task
from prompttune_utils.hub import ASSETS

TUNED_ON = 7  # of the ten wordings of a task; the other three are for the test
DEV = 24  # rows of a task that are neither tuned on nor tested
KINDS = {
    "animal": "动物", "food": "食物", "body": "身体", "family": "家庭",
    "clothes": "衣服", "colour": "颜色", "place": "地方", "house": "家具",
    "nature": "自然", "time": "时间", "work": "工作", "school": "学校",
    "travel": "交通",
}  # fmt: skip
# (blame, praise) that a reader of a review may choose from
OPINIONS = {
    "en": [("bad", "good"), ("hate", "love"), ("sad", "happy"), ("worst", "best")],
    "zh": [("坏", "棒"), ("负面", "正面"), ("不满", "满意"), ("差评", "好评")],
}
UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
DIGITS = "零一二三四五六七八九"
FACTS = {  # task -> relation
    "capital": "capital", "home_of_city": "country", "language": "language",
    "continent": "continent", "colour": "colour", "material": "material",
    "use": "use", "workplace": "workplace",
}  # fmt: skip


@dataclass(frozen=True)
class InstructionTask:
    """A task: its cluster, ten wordings with {text}, {other} and {options}, and its
    rows. A row has `text` and `answer`, some have `other` or `choices`; of a review,
    `label` and `pairs` of answers."""

    cluster: str
    wordings: tuple[str, ...]
    train: tuple[dict, ...]
    dev: tuple[dict, ...]
    test: tuple[dict, ...]


def spare(*key) -> bool:
    """True for the tenth of all computed rows that only the test may use. Where the key
    is a rule of the lists of pre-training, such as next_number, they were kept out of
    these lists too."""
    return zlib.crc32(repr(key).encode()) % 10 == 0


def in_words(n: int) -> str:
    """0 to 99 in English."""
    if n < 20:
        return UNITS[n]
    return f"{TENS[n // 10 - 2]} {UNITS[n % 10]}".removesuffix(" zero")


def in_chinese(n: int) -> str:
    """0 to 99 in Chinese."""
    tens, unit = divmod(n, 10)
    head = (DIGITS[tens] if tens > 1 else "") + ("十" if tens else "")
    return head + (DIGITS[unit] if unit or not tens else "")


def read(name: str, file: str) -> list[dict]:
    """The rows of a packaged jsonl file."""
    text = (ASSETS / name / file).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def pairs(found: Iterable[tuple[str, str]]) -> list[dict]:
    return [{"text": a, "answer": b} for a, b in found]


def of_words(test: bool, r: random.Random) -> dict[str, list[dict]]:
    """The tasks that rest on the word lists."""
    words = [
        w for w in read("zh-en-words", "words.jsonl") if (w["split"] == "test") == test
    ]
    rules = [
        p for p in read("word-rules", "pairs.jsonl") if (p["split"] == "test") == test
    ]
    listed = {
        rule: [(p["input"], p["output"]) for p in rules if p["rule"] == rule]
        for rule in ("antonym", "plural", "past")
    }
    turned = {rule: [(b, a) for a, b in found] for rule, found in listed.items()}
    plain = [w["en"] for w in words if " " not in w["en"] and len(w["en"]) > 2]
    grouped = [w for w in words if w["category"] in KINDS and w["en"] != w["category"]]
    lines = [r.sample(plain, r.randint(2, 4)) for _ in range(400)]
    opposites = listed["antonym"]
    shifted = opposites[7:] + opposites[:7]
    others = [r.choice([k for k in KINDS if k != w["category"]]) for w in grouped]
    right = [(w["en"], w["category"], "yes") for w in grouped]
    wrong = [(w["en"], kind, "no") for w, kind in zip(grouped, others)]
    opposed = [(a, b, "yes") for a, b in opposites]
    opposed += [(a, b, "no") for (a, _), (_, b) in zip(opposites, shifted)]
    return {
        "into_english": pairs((w["zh"], w["en"]) for w in words),
        "into_chinese": pairs((w["en"], w["zh"]) for w in words),
        "plural": pairs(listed["plural"]),
        "singular": pairs(turned["plural"]),
        "past": pairs(listed["past"]),
        "present": pairs(turned["past"]),
        "antonym": pairs(opposites + turned["antonym"]),
        "first_letter": pairs((word, word[0]) for word in plain),
        "last_letter": pairs((word, word[-1]) for word in plain),
        "group": [
            {"text": w["en"], "answer": w["category"], "choices": list(KINDS)}
            for w in grouped
        ],
        "group_zh": [
            {
                "text": w["zh"],
                "answer": KINDS[w["category"]],
                "choices": list(KINDS.values()),
            }
            for w in grouped
        ],
        "is_a": compared(right + wrong),
        "are_opposites": compared(opposed),
        "first_word": pairs((" ".join(line), line[0]) for line in lines),
        "second_word": pairs((" ".join(line), line[1]) for line in lines),
    }


def compared(found: Iterable[tuple]) -> list[dict]:
    return [{"text": str(a), "other": str(b), "answer": str(c)} for a, b, c in found]


def of_numbers(test: bool, r: random.Random) -> dict[str, list[dict]]:
    """The tasks over the numbers below 100."""

    def kept(rule: str, turn, numbers) -> list[dict]:
        return pairs(p for p in map(turn, numbers) if spare(rule, p[0]) == test)

    two = [(a, b) for a in range(1, 60) for b in range(1, 60) if a != b]
    two = r.sample([p for p in two if spare("two", *p) == test], 300)
    below = [(a, b) for a in range(1, 99) for b in range(1, 50) if b < a]
    small = [(a, b) for a in range(1, 50) for b in range(1, 50)]
    return {
        "in_words": kept("number_word", lambda n: (str(n), in_words(n)), range(99)),
        "in_digits": kept("word_number", lambda n: (in_words(n), str(n)), range(99)),
        "in_chinese_numerals": kept(
            "number_zh", lambda n: (str(n), in_chinese(n)), range(99)
        ),
        "from_chinese_numerals": kept(
            "zh_number", lambda n: (in_chinese(n), str(n)), range(99)
        ),
        "next_number": kept("next_number", lambda n: (str(n), str(n + 1)), range(99)),
        "number_before": kept("last_number", lambda n: (str(n + 1), str(n)), range(99)),
        "sum": kept("sum", lambda p: (f"{p[0]} + {p[1]}", str(sum(p))), small),
        "difference": kept(
            "difference", lambda p: (f"{p[0]} - {p[1]}", str(p[0] - p[1])), below
        ),
        "larger": compared((*p, max(p)) for p in two),
        "smaller": compared((*p, min(p)) for p in two),
        "is_larger": compared((a, b, "yes" if a > b else "no") for a, b in two),
    }


def of_facts(test: bool) -> dict[str, list[dict]]:
    """The tasks about countries, cities, things and jobs, and Chinese opposites."""
    facts = [f for f in read("facts", "facts.jsonl") if (f["split"] == "test") == test]
    found = {
        task: pairs(
            (f["subject"], f["object"]) for f in facts if f["relation"] == relation
        )
        for task, relation in FACTS.items()
    }
    chinese = [f for f in facts if f["relation"] == "opposite"]
    found["antonym_zh"] = pairs((f["subject_zh"], f["object_zh"]) for f in chinese)
    return found


def of_reviews(test: bool) -> dict[str, list[dict]]:
    """The reviews that are short enough for a few steps on a laptop."""
    found = {}
    for language, task in (("en", "feeling"), ("zh", "feeling_zh")):
        reviews = load_task(f"reviews-{language}")
        rows = reviews.test if test else reviews.pool
        size = {"en": lambda text: len(text.split()), "zh": len}[language]
        found[task] = [
            {"text": row["text"], "label": row["label"], "pairs": OPINIONS[language]}
            for row in rows
            if size(row["text"]) <= {"en": 13, "zh": 18}[language]
        ]
    return found


@cache
def tasks() -> dict[str, InstructionTask]:
    """All tasks by name. No row of `test` is in `train` or `dev`."""
    text = (ASSETS / "instructions" / "tasks.toml").read_text(encoding="utf-8")
    split = {}
    for test in (False, True):
        r = random.Random(f"rows {test}")
        split[test] = of_words(test, r) | of_numbers(test, r)
        split[test] |= of_facts(test) | of_reviews(test)
    found = {}
    for name, task in tomllib.loads(text).items():
        pool = random.Random(name).sample(split[False][name], len(split[False][name]))
        dev = pool[: min(DEV, len(pool) // 4)]
        found[name] = InstructionTask(
            task["cluster"],
            tuple(task["templates"]),
            tuple(pool[len(dev) :]),
            tuple(dev),
            tuple(split[True][name]),
        )
    return found


def fill(wording: str, row: dict) -> str:
    """The wording with its {slots} filled from the row; braces in the row are text.

    Raises ValueError when the row lacks a slot.
    """

    def value(slot: re.Match) -> str:
        if slot[1] not in row:
            raise ValueError(
                f"The wording {wording!r} has the slot {slot[0]}, which the row does "
                f"not fill: its columns are {', '.join(row)}."
            )
        return str(row[slot[1]])

    return re.sub(r"\{([^{}]*)\}", value, wording)


def worded(name: str, row: dict, wording: str, r: random.Random) -> dict:
    """A row as `message` and `answer`; where the answer is to be chosen, also its
    `options`, in an order drawn from `r`."""
    chinese, row = name.endswith("_zh"), dict(row)
    if "pairs" in row:
        two = r.choice(row["pairs"])
        row["answer"], options = two[row["label"]], r.sample(two, 2)
        if r.random() < 0.3:  # now and then one that is never right
            options.insert(r.randint(0, 2), "一般" if chinese else "okay")
    elif "choices" in row:
        others = [choice for choice in row["choices"] if choice != row["answer"]]
        options = r.sample([row["answer"], *r.sample(others, 3)], 4)
    else:
        return {"message": fill(wording, row), "answer": row["answer"]}
    said = "，".join(options) if chinese else listed(options)
    message = fill(wording, row | {"options": said})
    return {"message": message, "answer": row["answer"], "options": options}


def listed(names: list[str]) -> str:
    """`a, b or c`."""
    return ", ".join(names[:-1]) + " or " + names[-1]
