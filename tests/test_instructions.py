"""The packaged instructions: ten a task, well formed, distinct, none of them met in
pre-training; and rows whose test part nobody is tuned on."""

import random
import re
from collections import Counter

import pytest
from test_datasets import near_pairs
from transformers import AutoTokenizer

from pretraining import documents
from prompttune_utils import instructions
from prompttune_utils.hub import ASSETS
from prompttune_utils.instructions import fill, tasks, worded

SLOT = re.compile(r"\{(\w+)\}")
each = pytest.mark.parametrize("name", tasks())


def bare(text: str) -> str:
    """Letters alone, slots as one mark, small."""
    return (
        re.sub(r"[\W_]+", " ", SLOT.sub("0", text.replace("{}", "0"))).strip().lower()
    )


def test_how_many():
    sizes = Counter(task.cluster for task in tasks().values())
    assert len(tasks()) == 37 and len(sizes) == 13 and min(sizes.values()) >= 2
    assert [len(task.wordings) for task in tasks().values()] == [10] * 37


def test_no_kept_wording_is_nearly_one_that_is_tuned_on():
    """The English ones: the Chinese are too short for this measure (see the card)."""
    for task in tasks().values():
        bodies = [SLOT.sub(" ", w) for w in task.wordings]
        kept = set(bodies[instructions.TUNED_ON :])
        near = near_pairs([b for b in bodies if not re.search("[一-鿿]", b)])
        assert [pair for pair in near if len(kept & {*pair}) == 1] == []


def test_the_minis_can_read_the_wordings():
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "mini-gpt")
    for task in tasks().values():
        for wording in task.wordings:
            assert wording == " ".join(wording.split()), wording
            ids = tokenizer(SLOT.sub(" ", wording))["input_ids"]
            assert tokenizer.unk_token_id not in ids and len(ids) <= 32, wording


def test_card():
    card = (ASSETS / "instructions" / "README.md").read_text(encoding="utf-8")
    sizes = (
        f"370 instructions, ten for each of {len(tasks())} small tasks in 13 clusters"
    )
    for words in (sizes, "CC BY 4.0", "Known limits", "`{options}`"):
        assert words in card, words
    named = re.findall(r"^\| ([\w ]+) \| ([\w, ]+) \|", card, re.M)
    listed = {name: cluster for cluster, names in named for name in names.split(", ")}
    listed.pop("tasks")
    assert listed == {name: task.cluster for name, task in tasks().items()}


@each
def test_wordings(name):
    task = tasks()[name]
    assert len({bare(w) for w in task.wordings}) == 10
    slots = {frozenset(SLOT.findall(w)) for w in task.wordings}
    assert len(slots) == 1 and slots.pop() >= {"text"}
    for part in (task.wordings[: instructions.TUNED_ON], task.wordings[7:]):
        assert any(re.search("[一-鿿]", SLOT.sub("", w)) for w in part)


def test_no_wording_was_met_in_pretraining():
    """None is a question, a title or a sentence of a page."""
    met = [q for found in documents.QUESTIONS.values() for q in found]
    met += [t for found in documents.TITLES.values() for t in found]
    pages = [p for found in documents.WORD_PAGES.values() for p in found]
    drawn = documents.Documents({}, [], [], [], seed=0)
    for relation in drawn.relations.values():
        pages += [text for found in relation.values() for text in found]
    met += [re.sub(r"\{(a|b|subject|object|mask)\}", "{}", page) for page in pages]
    known = {bare(text) for text in met}
    for name, task in tasks().items():
        for wording in task.wordings:
            assert bare(wording) not in known, (name, wording)


@each
def test_test_rows_are_not_tuned_on(name):
    task = tasks()[name]

    def keys(rows):
        return {(row["text"], row.get("other")) for row in rows}

    assert len(task.test) >= 7 and len(task.dev) >= 9 and len(task.train) >= 28
    assert not keys(task.test) & keys(task.train + task.dev)
    assert not keys(task.dev) & keys(task.train)


@each
def test_rows_in_words(name):
    r = random.Random(0)
    for row in tasks()[name].test[:20]:
        for wording in tasks()[name].wordings:
            found = worded(name, row, wording, r)
            assert not SLOT.search(found["message"]) and found["answer"]
            if "options" in found:
                assert found["answer"] in found["options"]
                assert all(option in found["message"] for option in found["options"])
                assert len(set(found["options"])) == len(found["options"])


def test_options_come_in_any_order():
    r, places = random.Random(0), Counter()
    task = tasks()["group"]
    for _ in range(400):
        found = worded("group", task.train[0], task.wordings[0], r)
        places[found["options"].index(found["answer"])] += 1
    assert min(places[place] for place in range(4)) > 60


def test_numbers_are_those_of_pretraining():
    for n in range(99):
        assert instructions.in_words(n) == documents.number_word(n)
        assert instructions.in_chinese(n) == documents.number_zh(n)
        for rule in documents.NUMBER_RULES:
            assert instructions.spare(rule, n) == documents.spare(rule, n)


def test_fill():
    row = {"text": "{other}", "other": 1}
    assert fill("{text} and {other}", row) == "{other} and 1"
    with pytest.raises(
        ValueError, match="has the slot {answer}, which the row does not"
    ):
        fill("{text} {answer}", row)
