"""What mini-gpt reads: generated documents that give away nothing that is measured
later, and batches that ask for the answers.

Nothing here needs the mirror: reviews and sentence pairs are invented, the real text is
a row of numbers.
"""

import json
import random
import re
from collections import Counter

import numpy as np
import pytest
from test_pretraining import corpus
from tokenizers import Tokenizer

from pretraining import documents, evaluate_causal
from pretraining.batches import batch_tokens
from pretraining.documents import (
    NUMBER_RULES,
    Document,
    Documents,
    layout,
    number_word,
    number_zh,
    read_asset,
    readable,
    spare,
    word_pairs,
)
from pretraining.draws import Texts
from pretraining.next_token import (
    ASKED_GIVEN,
    ASKED_REAL,
    COPIES,
    COPY_UNTIL,
    LENGTHS,
    LONGEST,
    MIXTURE,
    REAL,
    NextToken,
    label_words,
    whole_words,
)  # fmt: skip
from prompttune_utils import arithmetic
from prompttune_utils.hub import ASSETS

REVIEWS = {
    "en": [
        ("the soup was cold.", 0),
        ("boring, and far too long", 0),
        ("a warm and friendly place!", 1),
        ("i laughed all evening.", 1),
    ],
    "zh": [
        ("房间太小了", 0),
        ("等了一个小时，没人理。", 0),
        ("味道很好，下次还来。", 1),
        ("送货快，包装也好！", 1),
    ],
}
SENTENCES = [
    (f"我有{number_zh(n)}把雨伞。", f"i have {number_word(n)} umbrellas.")
    for n in range(2, 32)
]
LABELS = ["foo", "lum", "dax", "wug", "blick", "zap", "甲", "q"]
VOCABULARY_FILE = str(ASSETS / "mini-bert" / "tokenizer.json")
TOKENIZER = Tokenizer.from_file(VOCABULARY_FILE)
WORDS = sorted(whole_words(TOKENIZER))


def make(seed, labels=LABELS):
    return Documents(REVIEWS, SENTENCES, labels, WORDS, seed)


def drawn(count=4000, seed=0):
    made = make(seed)
    return [made.draw() for _ in range(count)]


DRAWN = drawn()
LISTS = [d for d in DRAWN if d.kind == "list"]


def of(kind, rule=""):
    return [d for d in DRAWN if d.kind == kind and d.rule.startswith(rule)]


# what is measured stays out

MEASURED = {
    (a.lower(), b.lower()) for pairs in word_pairs("test").values() for a, b in pairs
}
ANSWERS = {}
for a, b in MEASURED:
    ANSWERS.setdefault(a, []).append(b)
BETWEEN = re.compile(
    r" (?:->|→|=>|[:=|-]) |[\n ](?:sentiment|label|output|opinion|answer|a|y|情感|答): "
)
ASKED = [
    re.compile(re.escape(wording).replace(r"\{\}", "(.+?)"))
    for wordings in documents.QUESTIONS.values()
    for wording in wordings
]


def told_in_lists(text):
    """(every end of the text before it, the text after it) of each sign that can part
    an input from its output."""
    for sign in BETWEEN.finditer(text):
        before = text[max(0, sign.start() - 40) : sign.start()]
        yield (
            [
                before[i:]
                for i in range(len(before))
                if i == 0 or not before[i - 1].isalnum()
            ],
            text[sign.end() :],
        )


def leaks(document):
    """What a document gives away of the measurements, by its items and by its text."""
    found = [
        item
        for item in document.items
        if isinstance(item, tuple) and (item[0].lower(), item[1].lower()) in MEASURED
    ]
    found += [
        item
        for item in document.items
        if isinstance(item, arithmetic.Problem) and arithmetic.held_out(item.operations)
    ]
    if document.rule in NUMBER_RULES:
        found += [item for item in document.items if spare(document.rule, item[0])]
    if document.kind in ("list", "questions"):
        for inputs, after in told_in_lists(document.text.lower()):
            found += [
                (a, b)
                for a in inputs
                for b in ANSWERS.get(a, ())
                if re.match(re.escape(b) + r"(?!\w)", after)
            ]
    if document.kind == "questions":
        for (question, _), (answer, _) in zip(document.pieces, document.pieces[1:]):
            question = re.sub("^(?:question: |q: |问：)", "", question.lower())
            inputs = {a for wording in ASKED for a in wording.findall(question)}
            found += [(a, answer) for a in inputs if (a, answer.lower()) in MEASURED]
            found += [
                (a, answer)
                for a in inputs
                if answer.isdigit()
                and (
                    spare("sum", a)
                    if "+" in a
                    else spare("next_number", a) and a.isdigit()
                )
            ]
    return found


def test_no_document_gives_away_what_is_measured():
    assert [
        (d.rule, found)
        for d in [*DRAWN, *drawn(8000, seed=1)]
        if d.kind != "reference" and (found := leaks(d))
    ] == []


def hand_made(pairs, before, between, after):
    return Document("list", "", layout(pairs, before, between, after))


TEST = word_pairs("test")
STYLES = [
    ("", f" {arrow} ", after)
    for arrow in set(documents.ARROWS)
    for after in ("\n", ", ", "，", " / ")
]
STYLES += [
    ("input: ", "\noutput: ", "\n"),
    ("q: ", " a: ", "\n\n"),
    ("word: ", "\nlabel: ", "\n"),
    ("问: ", "\n答: ", "\n"),
    ("x: ", " y: ", "\n"),
]


@pytest.mark.parametrize("before, between, after", STYLES)
def test_a_leak_in_the_text_of_a_list_would_be_found(before, between, after):
    """Every test pair of every rule, behind a harmless pair of the train split and in
    any layout."""
    for rule, pairs in TEST.items():
        known = (
            word_pairs("train")[rule][0] if rule == "capital" else ("harmless", "pair")
        )
        for a, b in pairs[:6]:
            assert (a.lower(), b.lower()) in leaks(
                hand_made([known, (a, b)], before, between, after)
            ), (rule, a, b)
            assert (
                leaks(hand_made([known, (a, known[1])], before, between, after)) == []
            )


def test_a_leak_in_an_item_would_be_found():
    def found(kind, rule, item):
        return leaks(Document(kind, rule, items=[item])) == [item]

    for rule in ("zh_en", "en_zh", "antonym", "plural", "singular", "past", "base"):
        assert (
            found("list", rule, TEST[rule][0])
            and found("list", rule, TEST[rule][0][::-1])
            and found("questions", "mixed", TEST[rule][0])
        )
    for language in ("en", "zh"):
        assert found("problems", "", arithmetic.problems(1, language, 2, seed=0)[0])
        assert not found(
            "problems", "", arithmetic.problems(1, language, 2, seed=0, test=False)[0]
        )
    for rule in NUMBER_RULES:
        items = {documents.computed(rule, random.Random(seed)) for seed in range(300)}
        assert {found("list", rule, item) for item in items} == {True, False}


@pytest.mark.parametrize(
    "rule", [rule for rule in documents.QUESTIONS if rule not in NUMBER_RULES]
)
def test_a_leak_in_a_question_would_be_found(rule):
    a, b = TEST[rule][0]
    for wording in documents.QUESTIONS[rule]:
        text = [(f"q: {wording.format(a)}\na: ", False), (b, True), ("\n", True)]
        assert leaks(Document("questions", "mixed", text)) == [(a.lower(), b)]


def test_rules_share_no_measured_pair():
    train = {pair for pairs in word_pairs("train").values() for pair in pairs} | {
        (word, word) for word in WORDS
    }
    assert train & {pair for pairs in TEST.values() for pair in pairs} == set()


@pytest.mark.parametrize("rule", TEST)
def test_splits_of_a_rule(rule):
    """They share no input and no pair, and a rule that is asked backwards has the same
    split there."""
    train, test = word_pairs("train")[rule], TEST[rule]
    assert len(test) >= 14 and {a for a, _ in train}.isdisjoint(a for a, _ in test)
    back = {
        "zh_en": "en_zh",
        "plural": "singular",
        "past": "base",
        "antonym": "antonym",
    }
    for one, other in [*back.items(), *((b, a) for a, b in back.items())]:
        if rule == one:
            assert {(b, a) for a, b in test} == set(TEST[other]) and {
                (b, a) for a, b in train
            } == set(word_pairs("train")[other])


def test_no_row_of_a_word_list_is_lost():
    """But for those that the tokenizer cannot write, a few Chinese words with a rare
    character."""
    both = {
        rule: set(pairs) | set(TEST[rule])
        for rule, pairs in word_pairs("train").items()
    }
    words = {(row["zh"], row["en"]) for row in read_asset("zh-en-words", "words.jsonl")}
    assert both["zh_en"] == {
        pair for pair in words if "[UNK]" not in TOKENIZER.encode(pair[0]).tokens
    } and len(both["zh_en"]) > 0.95 * len(words)
    for row in read_asset("word-rules", "pairs.jsonl"):
        assert (row["input"], row["output"]) in both[row["rule"]]
    for row in read_asset("facts", "facts.jsonl"):
        pair = (row["subject_zh"], row["object_zh"])
        assert (
            row["relation"] == "opposite"
            or pair in both[row["relation"] + "_zh"]
            or not readable("".join(pair))
        )


def test_no_spare_sum_on_a_page_of_sums():
    assert [
        a
        for d in of("sums")
        for a in re.findall(r"^(\d+ \+ \d+) =", d.text, re.MULTILINE)
        if spare("sum", a)
    ] == []


def test_a_tenth_is_spare():
    shares = [
        np.mean([spare(rule, str(n)) for n in range(400)]) for rule in NUMBER_RULES
    ]
    assert np.mean(shares) == pytest.approx(0.1, abs=0.02) and min(shares) > 0.05


# documents say what is true


def test_every_kind_and_rule_is_drawn():
    shares = Counter(d.kind for d in DRAWN)
    assert {kind: n / len(DRAWN) for kind, n in shares.items()} == pytest.approx(
        documents.KINDS, abs=0.03
    )
    assert {d.rule for d in LISTS} == set(documents.RULES)
    assert {d.rule for d in of("problems")} == {
        f"{style}_{language}"
        for style in ("steps", "think", "direct")
        for language in ("en", "zh")
    }
    assert {d.rule for d in of("reference")} == {
        "zh_en",
        "antonym",
        "first_letter",
        "facts",
    }


def test_layout_marks_answers():
    """An answer ends with what stands behind it: a model must also learn to stop."""
    pieces = layout([("hot", "cold"), ("up", "down")], "q: ", "\na: ", "\n")
    once = [("q: hot\na: ", False), ("cold", True), ("\n", True)]
    assert pieces == [*once, ("q: up\na: ", False), ("down", True), ("\n", True)]
    assert (
        Document("list", "antonym", pieces).text == "q: hot\na: cold\nq: up\na: down\n"
    )


def test_lists_write_their_items():
    """A title at most, then each item once and in order: what is checked of the items
    holds for the text."""
    titled = 0
    for d in LISTS:
        first = len(d.pieces) - 3 * len(d.items)
        title, lines = "".join(piece for piece, _ in d.pieces[:first]), d.pieces[first:]
        frame, after, a = lines[0][0], lines[2][0], d.items[0][0]
        frames = [
            (frame[: m.start()], frame[m.end() :])
            for m in re.finditer(re.escape(a), frame)
        ]  # "word: word" has two
        assert 1 <= len(d.items) <= 20 and any(
            lines == layout(d.items, before, between, after)
            for before, between in frames
        ), d.text
        assert d.text == "".join(piece for piece, _ in d.pieces)
        assert not title or title.rstrip(":.\n") in documents.TITLES[d.rule]
        titled += bool(title)
    assert 0.1 < titled / len(LISTS) < 0.25


NUMBERS = [
    (0, "zero", "零"),
    (7, "seven", "七"),
    (10, "ten", "十"),
    (13, "thirteen", "十三"),
    (20, "twenty", "二十"),
    (42, "forty two", "四十二"),
]
NUMBERS += [
    (50, "fifty", "五十"),
    (80, "eighty", "八十"),
    (99, "ninety nine", "九十九"),
]


@pytest.mark.parametrize("n, word, zh", NUMBERS)
def test_numbers_in_words(n, word, zh):
    assert (number_word(n), number_zh(n)) == (word, zh)


def test_no_two_numbers_have_one_word():
    assert (
        len({number_word(n) for n in range(100)})
        == len({number_zh(n) for n in range(100)})
        == 100
    )


NUMBER_OF = {number_word(n): n for n in range(100)}
HOLDS = {
    "next_number": lambda a, b: int(b) == int(a) + 1,
    "last_number": lambda a, b: int(b) == int(a) - 1,
    "sum": lambda a, b: int(b) == sum(map(int, a.split(" + "))),
    "larger": lambda a, b: (
        int(b) == max(map(int, a.split())) > min(map(int, a.split()))
    ),
    "number_word": lambda a, b: NUMBER_OF[b] == int(a),
    "word_number": lambda a, b: NUMBER_OF[a] == int(b),
    "number_zh": lambda a, b: number_zh(int(a)) == b,
    "first_letter": lambda a, b: b == a[0] and len(a) > 2,
    "first_word": lambda a, b: a.split()[0] == b and len(a.split()) == 2,
    "second_word": lambda a, b: a.split()[1] == b and len(a.split()) == 2,
    "same": lambda a, b: a == b,
    "sentence_zh_en": lambda a, b: (a, b) in SENTENCES,
    "sentence_en_zh": lambda a, b: (b, a) in SENTENCES,
}


@pytest.mark.parametrize("rule", HOLDS)
def test_computed_items_obey_their_rule(rule):
    found = of("list", rule)
    assert found and all(
        HOLDS[rule](a, b) for d in found if d.rule == rule for a, b in d.items
    )


def test_word_items_stand_in_the_assets():
    words, rules, facts = (
        read_asset("zh-en-words", "words.jsonl"),
        read_asset("word-rules", "pairs.jsonl"),
        read_asset("facts", "facts.jsonl"),
    )
    true = {("zh_en", w["zh"], w["en"]) for w in words} | {
        ("en_zh", w["en"], w["zh"]) for w in words
    }
    true |= {("category", w["en"], w["category"]) for w in words} | {
        ("category_zh", w["zh"], documents.CATEGORIES.get(w["category"])) for w in words
    }
    true |= {(row["rule"], row["input"], row["output"]) for row in rules}
    for rule, back in (
        ("antonym", "antonym"),
        ("plural", "singular"),
        ("past", "base"),
    ):
        true |= {
            (back, row["output"], row["input"]) for row in rules if row["rule"] == rule
        }
    true |= {
        (f["relation"] + suffix, f["subject" + suffix], f["object" + suffix])
        for f in facts
        for suffix in ("", "_zh")
    }
    ruled = [d for d in LISTS if d.rule in TEST and d.rule != "first_letter"]
    assert (
        len({d.rule for d in ruled}) >= 20
        and [
            (d.rule, *item)
            for d in ruled
            for item in d.items
            if (d.rule, *item) not in true
        ]
        == []
    )


def test_opinions_follow_the_reviews():
    """One word for bad, one for good, and they are a pair; of the lists with arbitrary
    labels any two given labels."""
    mixed = Counter()
    for d in of("list", "opinion") + of("list", "arbitrary_opinion"):
        language = (
            "zh"
            if d.items[0] in [(text, d.items[0][1]) for text, _ in REVIEWS["zh"]]
            else "en"
        )
        truth = dict(REVIEWS[language])
        words = {truth[text]: word for text, word in d.items}
        assert all(words[truth[text]] == word for text, word in d.items) and len(
            set(words.values())
        ) == len(words)
        if d.rule == "arbitrary_opinion":
            assert set(words.values()) <= set(LABELS)
        else:
            assert any(
                all(pair[label] == word for label, word in words.items())
                for pair in documents.OPINIONS
            ), words
            assert d.rule == f"opinion_{language}"
            mixed[language, d.items[0][1].isascii()] += 1
    assert (
        len(mixed) == 4
        and mixed["zh", True] < mixed["zh", False]
        and mixed["en", False] < mixed["en", True]
    )


def test_arbitrary_labels():
    """From the given words alone, and one label for one thing throughout a list, though
    another in another list."""
    groups = {
        word: group
        for rule in ("category", "category_zh")
        for word, group in word_pairs("train")[rule]
    }
    meanings = {}
    for d in of("list", "arbitrary_category") + of("list", "arbitrary_pairs"):
        named = {
            (groups[a] if d.rule == "arbitrary_category" else a): b for a, b in d.items
        }
        assert set(named.values()) <= set(LABELS) and len(set(named.values())) == len(
            named
        ), d.items
        assert all(
            named[groups[a] if d.rule == "arbitrary_category" else a] == b
            for a, b in d.items
        ), d.items
        for thing, label in named.items():
            meanings.setdefault(label, set()).add(thing)
    assert set(meanings) == set(LABELS) and min(map(len, meanings.values())) > 20


def test_problems_of_a_document_are_told_alike():
    """All with their steps or all without, so that one way of answering is to be
    imitated."""
    for d in of("problems"):
        assert len(
            re.findall("^(?:q|question): |^(?:问|问题)：", d.text, re.MULTILINE)
        ) == len(d.items)
        assert all(p.question in d.text and p.language == d.rule[-2:] for p in d.items)
        assert {all(step in d.text for step in p.steps) for p in d.items} == {
            not d.rule.startswith("direct")
        }, d.text
        assert ("=" in d.text) == (not d.rule.startswith("direct"))
        calls = "|".join(map(re.escape, documents.TRIGGERS[d.rule[-2:]]))
        think = len(re.findall(rf"(?:answer:|a:|答：|回答：)(?:{calls})", d.text))
        assert think == (len(d.items) if d.rule.startswith("think") else 0)
        said = re.findall(
            r"(?:answer(?: \(arabic numerals\))? is |答案是)(\d+)", d.text
        )
        assert list(map(int, said)) == [p.answer for p in d.items]


def test_what_the_chapters_ask_with_is_in_no_document():
    """Neither the sentences that ask for steps nor the label words of the chapters:
    they measure what no text has shown. As arbitrary labels the words do not count."""
    asked = [*evaluate_causal.THINK.values(), "let's think step by step"]
    assert not any(call.strip() in d.text for d in DRAWN for call in asked)
    shown = {label for d in of("list", "opinion") for _, label in d.items}
    assert shown and not shown & {"negative", "positive", "差", "好"}


def test_repetitions():
    """What was said comes again, once or twice, and only then it is asked for; the
    words come from the given ones or from a sentence."""
    said_twice, single = 0, [sentence for pair in SENTENCES for sentence in pair]
    for d in of("repeat"):
        (said, asked), (gap, _) = d.pieces[:2]
        assert not asked and len(d.pieces) in (4, 6)
        assert d.pieces == [
            (said, False),
            (gap, False),
            *[(said, True), (gap, True)] * (len(d.pieces) // 2 - 1),
        ]
        assert (
            said in single
            or set(re.split(", |[ \n]", said)) <= set(WORDS)
            or set(said) <= set(WORDS)
        ), said
        said_twice += len(d.pieces) == 6
    assert 0.3 < said_twice / len(of("repeat")) < 0.7 and len(
        {d.text for d in of("repeat")}
    ) > 0.9 * len(of("repeat"))


def test_sums_are_true():
    signs = Counter()
    for d in of("sums"):
        for line in d.text.splitlines():
            a, sign, b, result = re.fullmatch(
                r"(\d+) ([-+*/]) (\d+) = (\d+)", line
            ).groups()
            a, b, result = int(a), int(b), int(result)
            assert {
                "+": a + b == result,
                "-": a - b == result,
                "*": a * b == result,
                "/": a == b * result,
            }[sign], line
            assert max(a, b, result) <= 99
            signs[sign] += 1
    assert set(signs) == set("+-*/")


def test_reference_pages_state_what_the_assets_say():
    words, facts = (
        read_asset("zh-en-words", "words.jsonl"),
        read_asset("facts", "facts.jsonl"),
    )
    relations = json.loads(
        (ASSETS / "facts" / "relations.json").read_text(encoding="utf-8")
    )
    opposites = [
        (row["input"], row["output"])
        for row in read_asset("word-rules", "pairs.jsonl")
        if row["rule"] == "antonym"
    ]
    pairs = {
        "zh": [(w["zh"], w["en"]) for w in words],
        "first_letter": [(w["en"], w["en"][0]) for w in words],
    }
    pairs |= {"en": pairs["zh"], "antonym": opposites + [(b, a) for a, b in opposites]}
    true = {
        wording.format(a=a, b=b)
        for page, wordings in documents.WORD_PAGES.items()
        for a, b in pairs[page]
        for wording in wordings
    }
    for fact in facts:
        for language, suffix in (("en", ""), ("zh", "_zh")):
            for wording in relations[fact["relation"]][language]:
                true.add(
                    wording.replace("{mask}", fact["object" + suffix]).replace(
                        "{subject}", fact["subject" + suffix]
                    )
                )
    for d in of("reference"):
        for before, answer, after in zip(
            d.pieces[::3], d.pieces[1::3], d.pieces[2::3], strict=True
        ):
            assert (before[1], answer[1], after[1]) == (False, True, False)
            assert (before[0] + answer[0] + after[0]).removesuffix(" ") in true, (
                before,
                answer,
                after,
            )


def test_seed_decides():
    assert (
        [d.text for d in drawn(50, 5)]
        == [d.text for d in drawn(50, 5)]
        != [d.text for d in drawn(50, 6)]
    )


# batches

# the real text: numbers that no tokenizer knows, 9,000 a group, so that a token tells
# its place
FIRST = 20_000
SIZES = [3, 11, 40, 1, 25, 70]  # tokens of the sentences of each document


def real_documents(first):
    starts = range(first, first + 9000, sum(SIZES))
    return [
        [
            list(range(s + sum(SIZES[:i]), s + sum(SIZES[: i + 1])))
            for i in range(len(SIZES))
        ]
        for s in starts
    ]


TEXTS = {
    group: corpus(real_documents(FIRST + 10_000 * number))
    for number, group in enumerate(MIXTURE)
}
START, END, PAD = (TOKENIZER.token_to_id(t) for t in ("<s>", "</s>", "[PAD]"))


def objective(seed=0):
    return NextToken(Texts(TEXTS), make(seed, label_words(TOKENIZER)), TOKENIZER, seed)


def batches(count, seed=0, done=0.5):
    o = objective(seed)
    return [o.batch(done) for _ in range(count)]


BATCHES = batches(120)


def test_batches():
    for batch in BATCHES:
        ids, mask, labels = (
            batch["input_ids"],
            batch["attention_mask"].astype(bool),
            batch["labels"],
        )
        assert {value.shape for value in batch.values()} == {ids.shape} and list(
            batch
        ) == ["input_ids", "attention_mask", "labels"]
        assert (
            ids.shape[1] % 16 == 0
            and ids.size <= batch_tokens()
            and mask.any(0)[-16:].any()
        ), "a row shorter by a step would do"
        assert (
            (np.diff(mask.astype(int)) <= 0).all()
            and (ids[~mask] == PAD).all()
            and (ids[mask] != PAD).all()
        )
        asked = labels != -100
        assert (
            (labels[asked] == ids[asked]).all()
            and not asked[~mask].any()
            and not asked[:, 0].any()
            and asked.any()
        )
        assert (ids[:, 0] == START).all() and mask.sum(1).max() <= LONGEST


def test_share_of_real_text():
    tokens = Counter()
    for batch in BATCHES:
        for row, length in zip(batch["input_ids"], batch["attention_mask"].sum(1)):
            tokens["real" if row[1] >= FIRST else "made"] += int(length)
    assert tokens["real"] / tokens.total() == pytest.approx(REAL, abs=0.03)


def test_the_beginning_is_for_copies(monkeypatch):
    """Before COPY_UNTIL most documents repeat themselves; after it their share is that
    of the mixture."""
    drawn = []
    for done in (0.0, 0.99 * COPY_UNTIL, COPY_UNTIL, 0.9):
        o = objective()
        repeat = o.documents.repeat
        count = []
        monkeypatch.setattr(
            o.documents,
            "repeat",
            lambda repeat=repeat, count=count: count.append(1) or repeat(),
        )
        for _ in range(400):
            o.row(done)
        drawn.append(len(count) / 400)
    assert min(drawn[:2]) > COPIES - 0.06 and max(drawn[2:]) < 0.2


def test_real_windows():
    """Each starts where a sentence starts and goes on to the end of its document, or as
    far as the window reaches."""
    o, groups, shares, cut = objective(), Counter(), [], 0
    for _ in range(1500):
        ids, asked = o.real()
        assert ids[0] == START and len(ids) == len(asked) <= max(LENGTHS)
        text = ids[1:-1] if ids[-1] == END else ids[1:]
        group, place = divmod(int(text[0]) - FIRST, 10_000)
        assert (np.diff(text) == 1).all() and place % sum(SIZES) in np.cumsum(
            [0, *SIZES]
        )
        whole = (place + len(text)) % sum(SIZES) == 0
        assert whole == (ids[-1] == END) and place // sum(SIZES) == (
            place + len(text) - 1
        ) // sum(SIZES)
        assert whole or len(ids) + 1 in LENGTHS
        groups[list(MIXTURE)[group]] += 1
        shares.append(asked.mean())
        cut += not whole
    assert all(
        groups[group] / 1500 == pytest.approx(share, abs=0.04)
        for group, share in MIXTURE.items()
    )
    assert (
        np.mean(shares) == pytest.approx(ASKED_REAL, abs=0.03)
        and 0.1 < cut / 1500 < 0.9
    )


def test_pieces_and_whole_text_have_the_same_tokens():
    """A prompt is tokenized whole, so the documents must not be cut where a word goes
    on."""
    o = objective()
    for d in DRAWN[:1000]:
        pieces = [i for piece, _ in d.pieces for i in o.ids(piece)]
        assert pieces == TOKENIZER.encode(d.text, add_special_tokens=False).ids, d.text


def test_every_answer_is_asked():
    o, given, cut = objective(), [], 0
    for d in DRAWN[:1000]:
        ids, asked = o.encode(d)
        pieces = [
            (TOKENIZER.encode(piece, add_special_tokens=False).ids, answer)
            for piece, answer in d.pieces
        ]
        whole = [START, *(i for new, _ in pieces for i in new), END]
        answer = np.array(
            [False, *(answer for new, answer in pieces for _ in new), True]
        )[:LONGEST]
        assert ids.tolist() == whole[:LONGEST] and len(asked) == len(ids)
        assert answer.sum() > 1 and asked[answer].all()
        given.extend(asked[~answer])
        cut += len(whole) > LONGEST
    assert np.mean(given) == pytest.approx(ASKED_GIVEN, abs=0.01) and 0 < cut < 200


def test_batches_depend_on_the_seed_alone():
    one, two, three = batches(3, 1), batches(3, 1), batches(3, 2)
    assert all(np.array_equal(a[k], b[k]) for a, b in zip(one, two) for k in a)
    assert any(
        a["input_ids"].shape != b["input_ids"].shape
        or (a["input_ids"] != b["input_ids"]).any()
        for a, b in zip(one, three)
    )


def test_words_depend_on_the_file_alone():
    """Otherwise the same seed draws other documents in each process."""
    assert whole_words(TOKENIZER) == whole_words(Tokenizer.from_file(VOCABULARY_FILE))


def test_label_words():
    """One token each, so that a label is one guess; those of the measurements have
    never been a label."""
    train, test = label_words(TOKENIZER), label_words(TOKENIZER, test=True)
    assert set(train).isdisjoint(test) and len(set(train + test)) == len(train + test)
    assert (
        len(test) / len(train + test) == pytest.approx(0.1, abs=0.02)
        and len(train) > 1000
    )
    for word in train + test:
        (token,) = TOKENIZER.encode(word, add_special_tokens=False).ids
        assert TOKENIZER.id_to_token(token) == word
    d = make(0, train)
    labels = {
        b
        for _ in range(300)
        for rule in ("arbitrary_category", "arbitrary_opinion", "arbitrary_pairs")
        for _, b in d.pair_list(rule).items
    }
    assert labels <= set(train) and len(labels) > 500
