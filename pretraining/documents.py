"""Documents of the kind the web has, made by rule: lists of pairs, worked arithmetic,
reference pages, questions and answers.

What is measured later is kept out by construction: lists and questions use the train
split of each word list only, arithmetic only chains that are not `held_out`, numbers
only where `spare` is False. Reference pages may state a test fact as a sentence ("销售
means sell."): a list can ask for it, but no list has shown it.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from tokenizers import Tokenizer

from prompttune_utils import arithmetic
from prompttune_utils.hub import ASSETS
from prompttune_utils.instructions import KINDS as GROUPS
from prompttune_utils.instructions import in_chinese as number_zh
from prompttune_utils.instructions import in_words as number_word
from prompttune_utils.instructions import read as read_asset
from prompttune_utils.instructions import spare

ARROWS = ["->", "->", "->", "→", "=>", ":", "=", "|", "-"]
SEPARATORS = ["\n", "\n", "\n", ", ", "; ", "，", " / "]
# categories that lists ask for, and their Chinese names
CATEGORIES = GROUPS | {"number": "数字"}
# label words of the lists of opinions. negative/positive and 差/好 are left out: the
# chapters ask for those, and no list has shown them
OPINIONS = [
    ("bad", "good"), ("terrible", "great"), ("no", "yes"), ("hate", "love"),
    ("sad", "happy"), ("worst", "best"), ("poor", "fine"), ("minus", "plus"),
    ("坏", "棒"), ("消极", "积极"), ("负面", "正面"), ("差评", "好评"),
    ("不满", "满意"), ("否", "是"),
]  # fmt: skip
# titles of lists and wordings of questions; {} is the input
TITLES = {
    "zh_en": ["chinese to english", "translate into english", "中文到英文"],
    "en_zh": ["english to chinese", "translate into chinese", "英文到中文"],
    "antonym": ["opposites", "write the opposite"],
    "plural": ["plurals", "one and many"],
    "singular": ["many and one", "write the singular"],
    "past": ["past tense", "write the past tense"],
    "base": ["verbs without the past tense", "write the plain verb"],
    "first_letter": ["first letters", "write the first letter"],
    "category": ["what kind of thing", "groups of words"],
    "category_zh": ["词语分类", "这是什么"],
    "opinion_en": ["reviews", "good or bad", "opinions of customers"],
    "opinion_zh": ["评论", "好评还是差评"],
    "next_number": ["the next number", "count one further"],
    "last_number": ["the number before", "count one back"],
    "sum": ["add the two numbers", "sums"],
    "larger": ["the larger number", "which is more"],
    "number_word": ["numbers in words", "write the number as a word"],
    "word_number": ["words in numbers", "write the number in digits"],
    "number_zh": ["数字的中文", "numbers in chinese"],
    "first_word": ["the first word", "repeat the first word"],
    "second_word": ["the second word", "repeat the second word"],
    "same": ["say it again", "copy"],
}
QUESTIONS = {
    "zh_en": [
        "what is {} in english?",
        "what does {} mean?",
        "how do you say {} in english?",
        "{}用英文怎么说？",
    ],
    "en_zh": [
        "what is {} in chinese?",
        "how do you say {} in chinese?",
        "{}用中文怎么说？",
    ],
    "antonym": ["what is the opposite of {}?", "which word means the opposite of {}?"],
    "plural": ["what is the plural of {}?", "one {}, two what?"],
    "past": ["what is the past tense of {}?", "today i {}. what did i do yesterday?"],
    "first_letter": [
        "what is the first letter of {}?",
        "which letter does {} begin with?",
    ],
    "category": ["what kind of thing is {}?", "which group does {} belong to?"],
    "sum": ["what is {}?", "how much is {}?"],
    "next_number": ["which number comes after {}?"],
    "capital": ["what is the capital of {}?", "which city is the capital of {}?"],
    "language": ["what language do people speak in {}?"],
    "colour": ["what colour is {}?"],
    "kind": ["what is a {}?"],
}
WORD_PAGES = {
    "zh": [
        "{a} means {b}.",
        "in english, {a} is {b}.",
        "the english word for {a} is {b}.",
        "{a}的英文是{b}。",
        "{a}的意思是{b}。",
    ],
    "en": [
        "{b} in chinese is {a}.",
        "the chinese word for {b} is {a}.",
        "in chinese, {b} is {a}.",
        "{b}的中文是{a}。",
    ],
    "antonym": [
        "the opposite of {a} is {b}.",
        "{a} is the opposite of {b}.",
        "{a} and {b} are opposites.",
        "not {a} but {b}.",
    ],
    "first_letter": [
        "{a} begins with the letter {b}.",
        "{a} starts with {b}.",
        "the word {a} begins with {b}.",
    ],
}

# sentences that ask for steps; "let's think step by step." and 让我们一步一步来思考。
# are left out: the measurements ask with those
TRIGGERS = {
    "en": [
        " step by step:",
        " let's work it out step by step.",
        " let us think first.",
        " think about it slowly.",
        " we go step by step.",
        " let's solve this one step at a time.",
        " first, let's think.",
        " let me think.",
        " work it out:",
        " let's see.",
    ],
    "zh": [
        "一步一步算。",
        "我们先想一想。",
        "让我们仔细想一想。",
        "我们一步步来算。",
        "先思考，再回答。",
        "让我们慢慢想。",
        "分步计算：",
    ],
}


BACKWARDS = {
    "number_word": "word_number",
    "word_number": "number_word",
    "next_number": "last_number",
    "last_number": "next_number",
}


def spared(rule: str, a: str, b: str) -> bool:
    """True for a pair of numbers that no list may show: it is spare, or it is another
    rule's spare pair backwards."""
    return spare(rule, a) or (rule in BACKWARDS and spare(BACKWARDS[rule], b))


@cache
def _tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(ASSETS / "mini-bert" / "tokenizer.json"))


@cache
def readable(text: str) -> bool:
    """Whether the minis' tokenizer knows every character: a model cannot learn to write
    [UNK]."""
    return "[UNK]" not in _tokenizer().encode(text, add_special_tokens=False).tokens


@cache
def word_pairs(split: str) -> dict[str, list[tuple[str, str]]]:
    """rule -> (input, output) pairs of one split, `train` or `test`, for the rules that
    rest on word lists.

    Pairs that the tokenizer cannot write are left out, and of the train split those
    that are a test pair of another rule.
    """
    words = [
        row for row in read_asset("zh-en-words", "words.jsonl") if row["split"] == split
    ]
    rules = [
        row for row in read_asset("word-rules", "pairs.jsonl") if row["split"] == split
    ]
    facts = [
        row
        for row in read_asset("facts", "facts.jsonl")
        if (row["split"] == "test") == (split == "test")
    ]
    pairs = {
        "zh_en": [(w["zh"], w["en"]) for w in words],
        "en_zh": [(w["en"], w["zh"]) for w in words],
    }
    for rule, back in (("antonym", None), ("plural", "singular"), ("past", "base")):
        pairs[rule] = [
            (row["input"], row["output"]) for row in rules if row["rule"] == rule
        ]
        turned = [(b, a) for a, b in pairs[rule]]
        if back is None:
            pairs[rule] += turned
        else:
            pairs[back] = turned
    pairs["first_letter"] = [(w["en"], w["en"][0]) for w in words if len(w["en"]) > 2]
    pairs["category"] = [
        (w["en"], w["category"])
        for w in words
        if w["category"] in CATEGORIES and w["en"] != w["category"]
    ]
    pairs["category_zh"] = [
        (w["zh"], CATEGORIES[w["category"]])
        for w in words
        if w["category"] in CATEGORIES
    ]
    for relation in (
        "capital",
        "language",
        "continent",
        "currency",
        "country",
        "kind",
        "colour",
        "material",
        "use",
        "workplace",
    ):
        for suffix in ("", "_zh"):
            pairs[relation + suffix] = [
                (f["subject" + suffix], f["object" + suffix])
                for f in facts
                if f["relation"] == relation
            ]
    asked = (
        {pair for listed in word_pairs("test").values() for pair in listed}
        if split == "train"
        else set()
    )
    return {
        rule: [
            pair
            for pair in listed
            if readable(pair[0] + " " + pair[1]) and pair not in asked
        ]
        for rule, listed in pairs.items()
    }


def computed(rule: str, r: random.Random) -> tuple[str, str]:
    """One pair of a rule over numbers."""
    n, m = r.randint(0, 98), r.randint(0, 98)
    return {
        "next_number": lambda: (str(n), str(n + 1)),
        "last_number": lambda: (str(n + 1), str(n)),
        "sum": lambda: (f"{n // 2} + {m // 2}", str(n // 2 + m // 2)),
        "larger": lambda: (f"{n} {m + (n == m)}", str(max(n, m + (n == m)))),
        "number_word": lambda: (str(n), number_word(n)),
        "word_number": lambda: (number_word(n), str(n)),
        "number_zh": lambda: (str(n), number_zh(n)),
    }[rule]()


NUMBER_RULES = [
    "next_number",
    "last_number",
    "sum",
    "larger",
    "number_word",
    "word_number",
    "number_zh",
]
# rule -> how often a list follows it
RULES = {
    "zh_en": 10, "en_zh": 8, "antonym": 6, "plural": 4, "singular": 2, "past": 4,
    "base": 2, "first_letter": 4, "category": 5, "category_zh": 3,
    **dict.fromkeys(NUMBER_RULES, 2), "first_word": 4, "second_word": 4, "same": 3,
    "opinion_en": 7, "opinion_zh": 6,
    "arbitrary_category": 14, "arbitrary_opinion": 6, "arbitrary_pairs": 14,
    "capital": 2, "language": 1, "continent": 1, "currency": 1, "country": 1, "kind": 2,
    "colour": 1, "material": 1, "use": 1, "workplace": 1,
    "capital_zh": 1, "language_zh": 1, "kind_zh": 1, "colour_zh": 1, "country_zh": 1,
    "sentence_zh_en": 2, "sentence_en_zh": 2,
}  # fmt: skip
KINDS = {
    "list": 0.42,
    "repeat": 0.15,
    "problems": 0.20,
    "sums": 0.05,
    "reference": 0.13,
    "questions": 0.05,
}


@dataclass
class Document:
    """Text in pieces, each with whether it is an answer that the text before it
    determines; `items` are the pairs or problems used."""

    kind: str
    rule: str
    pieces: list[tuple[str, bool]] = field(default_factory=list)
    items: list = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(piece for piece, _ in self.pieces)


class Documents:
    """Draws documents.

    Args:
        reviews: language -> [(text, 0 or 1)], real labelled reviews for the lists of
            opinions.
        sentences: [(Chinese, English)], real sentence pairs.
        labels: the words that may serve as arbitrary labels.
        words: the words that texts say twice; the more different ones, the sooner a
            model learns to look back.
    """

    def __init__(
        self,
        reviews: dict[str, list[tuple[str, int]]],
        sentences: list[tuple[str, str]],
        labels: list[str],
        words: list[str],
        seed: int,
    ):
        self.random = random.Random(seed)
        self.reviews, self.sentences, self.labels = reviews, sentences, labels
        self.pairs = word_pairs("train")
        test = word_pairs("test")
        self.known = {
            rule: self.pairs[rule] + test[rule]
            for rule in ("zh_en", "antonym", "first_letter")
        }
        self.words = words
        self.facts = read_asset("facts", "facts.jsonl")
        self.relations = json.loads(
            (ASSETS / "facts" / "relations.json").read_text(encoding="utf-8")
        )
        self.by_group: dict[str, dict[str, list[str]]] = {}
        for rule in ("category", "category_zh"):
            for word, group in self.pairs[rule]:
                self.by_group.setdefault(rule, {}).setdefault(group, []).append(word)

    def draw(self) -> Document:
        kind = self.random.choices(list(KINDS), list(KINDS.values()))[0]
        return {
            "list": self.pair_list,
            "repeat": self.repeat,
            "problems": self.problems,
            "sums": self.sums,
            "reference": self.reference,
            "questions": self.questions,
        }[kind]()

    def pair_list(self, rule: str | None = None) -> Document:
        """A list of pairs under one rule."""
        r = self.random
        rule = rule or r.choices(list(RULES), list(RULES.values()))[0]
        long = rule.startswith(("opinion", "sentence")) or rule == "arbitrary_opinion"
        count = r.randint(1, 10 if long else 20)
        pairs = self._pairs(rule, count)
        document = Document("list", rule, items=pairs)
        title = r.choice(TITLES[rule]) if rule in TITLES and r.random() < 0.25 else None
        if title:
            document.pieces.append((title + r.choice([":\n", "\n", ".\n"]), False))
        document.pieces += layout(pairs, *self._style(rule))
        return document

    def _style(self, rule: str) -> tuple[str, str, str]:
        """What stands before the input, between input and output, and after the
        output."""
        r = self.random
        if r.random() < 0.75:
            return "", f" {r.choice(ARROWS)} ", r.choice(SEPARATORS)
        if "opinion" in rule:
            one, two = r.choice(
                [
                    ("review", "sentiment"),
                    ("text", "label"),
                    ("input", "output"),
                    ("review", "opinion"),
                    ("评论", "情感"),
                ]
            )
        else:
            one, two = r.choice(
                [
                    ("input", "output"),
                    ("q", "a"),
                    ("question", "answer"),
                    ("word", "label"),
                    ("x", "y"),
                    ("问", "答"),
                ]
            )
        return f"{one}: ", r.choice(["\n", " "]) + f"{two}: ", r.choice(["\n", "\n\n"])

    def _pairs(self, rule: str, count: int) -> list[tuple[str, str]]:
        r = self.random
        if rule in self.pairs:
            return r.sample(self.pairs[rule], min(count, len(self.pairs[rule])))
        if rule in NUMBER_RULES:
            return self._fresh(count, rule, lambda: computed(rule, r))
        if rule in ("first_word", "second_word"):
            drawn = [r.sample(self.words, 2) for _ in range(count)]
            return [(f"{a} {b}", a if rule == "first_word" else b) for a, b in drawn]
        if rule == "same":
            return [(w, w) for w in r.sample(self.words, count)]
        if rule.startswith("sentence"):
            drawn = r.sample(self.sentences, count)
            return [
                (zh, en) if rule == "sentence_zh_en" else (en, zh) for zh, en in drawn
            ]
        if rule.startswith("opinion"):
            # now and then English label words for Chinese reviews, or the other way
            # round
            zh = (rule[-2:] == "zh") != (r.random() < 0.15)
            return self._opinions(
                rule[-2:],
                count,
                r.choice([words for words in OPINIONS if words[0].isascii() != zh]),
            )
        if rule == "arbitrary_opinion":
            return self._opinions(
                r.choice(["en", "zh"]), count, r.sample(self.labels, 2)
            )
        # the same few pairs again and again: nothing but the list itself tells the
        # answer
        if rule == "arbitrary_pairs":
            names = r.sample(self.words, r.randint(2, 6))
            told = dict(zip(names, r.sample(self.labels, len(names)), strict=True))
            return [(name, told[name]) for name in r.choices(names, k=count)]
        groups = self.by_group[r.choice(["category", "category_zh"])]
        chosen = r.sample(sorted(groups), r.randint(2, 4))
        named = dict(zip(chosen, r.sample(self.labels, len(chosen)), strict=True))
        drawn: dict[str, str] = {}
        while len(drawn) < min(count, 3 * len(chosen) + 8):
            group = r.choice(chosen)
            drawn[r.choice(groups[group])] = named[group]
        return list(drawn.items())

    def _fresh(
        self, count: int, rule: str, draw: Callable[[], tuple[str, str]]
    ) -> list[tuple[str, str]]:
        found: dict[str, str] = {}
        while len(found) < count:
            a, b = draw()
            if not spared(rule, a, b):
                found[a] = b
        return list(found.items())

    def _opinions(
        self, language: str, count: int, words: tuple[str, str]
    ) -> list[tuple[str, str]]:
        drawn = [self.random.choice(self.reviews[language]) for _ in range(count)]
        return [(text, words[label]) for text, label in drawn]

    def repeat(self) -> Document:
        """Words in a row that come again in the same order: a refrain, a table with the
        same columns, a quoted line."""
        r = self.random
        line = [*r.choices(self.words, k=r.randint(3, 24))]
        if r.random() < 0.2:
            line = list(r.choice(r.choice(self.sentences)))
        between = "" if max(map(len, line)) == 1 else r.choice([" ", " ", ", ", "\n"])
        said, gap = between.join(line), r.choice(["\n", "\n\n", " ; ", ". "])
        return Document(
            "repeat",
            "repeat",
            [
                (said, False),
                (gap, False),
                *[(said, True), (gap, True)] * r.randint(1, 2),
            ],
        )

    def problems(self) -> Document:
        """Word problems, all solved step by step or all answered at once."""
        r = self.random
        language = r.choice(["en", "en", "zh"])
        style = r.choices(["steps", "think", "direct"], [0.45, 0.25, 0.3])[0]
        document = Document("problems", f"{style}_{language}")
        ask, answer = ("q: ", "a:") if language == "en" else ("问：", "答：")
        if r.random() < 0.3:
            ask, answer = (
                ("question: ", "answer:") if language == "en" else ("问题：", "回答：")
            )
        gap = r.choice(["\n", "\n\n"])
        for _ in range(r.choice([1, 1, 2, 3, 4, 5])):
            p = arithmetic.problem(r, language, r.choice([1, 2, 2, 3, 3]))
            while arithmetic.held_out(p.operations):
                p = arithmetic.problem(r, language, len(p.operations) - 1)
            document.items.append(p)
            document.pieces.append((f"{ask}{p.question}\n{answer}", False))
            said = (
                str(p.answer)
                if language == "en" or r.random() < 0.5
                else f"{p.answer}个"
            )
            stop = "." if language == "en" else "。"
            if style == "direct":
                ending = (
                    r.choice([" the answer is ", " the answer (arabic numerals) is "])
                    if language == "en"
                    else "答案是"
                )
                document.pieces += [
                    (ending, False),
                    (f"{p.answer}{stop}", True),
                    (gap, True),
                ]
                continue
            if style == "think":
                document.pieces.append((r.choice(TRIGGERS[language]), False))
            steps = " " + " ".join(p.steps) if language == "en" else "".join(p.steps)
            if language == "en":
                ending = (
                    " the answer is "
                    if style == "steps"
                    else r.choice(
                        [
                            " therefore, the answer is ",
                            " therefore, the answer (arabic numerals) is ",
                        ]
                    )
                )
            else:
                ending = "答案是" if style == "steps" else "所以答案是"
            document.pieces += [
                (steps, True),
                (f"{ending}{said}{stop}", True),
                (gap, True),
            ]
        return document

    def sums(self) -> Document:
        """A page of sums."""
        r = self.random
        document = Document("sums", "sums")
        for _ in range(r.randint(4, 24)):
            sign = r.choice("++--*/")
            if sign in "+-":
                a, b = (
                    r.randint(0, arithmetic.LARGEST),
                    r.randint(0, arithmetic.LARGEST),
                )
                a, b = (
                    (min(a, b), abs(a - b)) if sign == "+" else (max(a, b), min(a, b))
                )
                result = a + b if sign == "+" else a - b
            else:
                b, result = r.randint(2, 9), r.randint(1, 49)
                if b * result > arithmetic.LARGEST:
                    result = r.randint(1, 9)
                a = b * result
                if sign == "*":
                    a, result = result, a
            if sign == "+" and spare("sum", f"{a} + {b}"):
                continue
            document.pieces += [
                (f"{a} {sign} {b} = ", False),
                (str(result), True),
                ("\n", True),
            ]
        return document

    def reference(self) -> Document:
        """A page that states facts in sentences: of a dictionary, a list of opposites,
        a spelling book, an encyclopedia."""
        r = self.random
        kind = r.choices(
            ["zh_en", "antonym", "first_letter", "facts"], [0.5, 0.15, 0.15, 0.2]
        )[0]
        document = Document("reference", kind)
        for _ in range(r.randint(3, 12)):
            if kind == "facts":
                fact = r.choice(self.facts)
                language = r.choice(["en", "en", "zh"])
                suffix = "" if language == "en" else "_zh"
                text = r.choice(self.relations[fact["relation"]][language]).replace(
                    "{mask}", "{object}"
                )
                pair = {
                    "subject": fact["subject" + suffix],
                    "object": fact["object" + suffix],
                }
            else:
                a, b = r.choice(self.known[kind])
                text = r.choice(
                    WORD_PAGES[r.choice(["zh", "en"]) if kind == "zh_en" else kind]
                )
                pair = {"a": a, "b": b}
                if kind == "antonym" and r.random() < 0.5:
                    pair = {"a": b, "b": a}
            last = max(pair, key=lambda slot, text=text: text.index("{" + slot + "}"))
            before, after = text.split("{" + last + "}")
            document.pieces += [
                (before.format(**pair), False),
                (pair[last], True),
                (after + " ", False),
            ]
        return document

    def questions(self) -> Document:
        """Questions and answers on mixed subjects, from the train splits."""
        r = self.random
        document = Document("questions", "mixed")
        one, two = r.choice(
            [("question: ", "answer: "), ("q: ", "a: "), ("", ""), ("问：", "答：")]
        )
        for _ in range(r.randint(2, 10)):
            rule = r.choice(list(QUESTIONS))
            ((a, b),) = self._pairs(rule, 1)
            document.items.append((a, b))
            question = r.choice(QUESTIONS[rule]).format(a)
            document.pieces += [
                (f"{one}{question}{r.choice([chr(10), ' '])}{two}", False),
                (b, True),
                ("\n", True),
            ]
        return document


def layout(
    pairs: list[tuple[str, str]], before: str, between: str, after: str
) -> list[tuple[str, bool]]:
    """The pieces of a list; what follows an output counts as part of the answer, since
    it ends it."""
    pieces = []
    for a, b in pairs:
        pieces += [(f"{before}{a}{between}", False), (b, True), (after, True)]
    return pieces
