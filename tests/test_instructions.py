"""The packaged instruction templates are what their card says: ten a task, well formed,
distinct, and marked."""

import json
import re
from string import Formatter

import pytest
from test_datasets import key, near_pairs
from transformers import AutoTokenizer

from prompttune_utils.hub import ASSETS

FOLDER = ASSETS / "instructions"
TASKS = json.loads((FOLDER / "templates.json").read_text(encoding="utf-8"))
ANSWER = {
    "translation_zh_en": "english",
    "translation_en_zh": "chinese",
}  # elsewhere: answer
each = pytest.mark.parametrize("name", TASKS)


def slots_of(string):
    return [field for _, field, _, _ in Formatter().parse(string) if field is not None]


def wording(template):
    return re.sub(r"\{\w+\}", " ", template["input"])


@each
def test_fields_and_counts(name):
    task = TASKS[name]
    assert list(task) == ["about", "held_out", "slots", "answers", "templates"]
    assert len(task["templates"]) == 10
    assert all(
        list(template) == ["input", "target", "turned", "held_out"]
        for template in task["templates"]
    )
    assert sum(template["turned"] for template in task["templates"]) == (
        0 if name in ANSWER else 2
    )


@each
def test_held_out_templates(name):
    held = [template for template in TASKS[name]["templates"] if template["held_out"]]
    assert len(held) == 3 and not any(template["turned"] for template in held)


def test_held_out_tasks():
    assert len(TASKS) >= 10
    assert [name for name, task in TASKS.items() if task["held_out"]] == [
        "topic",
        "plural",
    ]


@each
def test_slots(name):
    task, used = TASKS[name], set()
    goal = ANSWER.get(name, "answer")
    for template in task["templates"]:
        shown, wanted = slots_of(template["input"]), slots_of(template["target"])
        assert shown and len(set(shown)) == len(shown) and len(wanted) == 1, template
        assert template["target"] == f"{{{wanted[0]}}}" and wanted[0] not in shown, (
            template
        )
        assert (
            (wanted[0] != goal and goal in shown)
            if template["turned"]
            else wanted[0] == goal
        ), template
        used |= {*shown, *wanted}
    assert used == set(task["slots"])
    if "options" in task["slots"]:
        marks = [
            template["held_out"]
            for template in task["templates"]
            if "options" in slots_of(template["input"])
        ]
        assert len(marks) >= 3 and set(marks) == {False, True}, (
            "options must occur in trained and in held-out templates"
        )


@each
def test_answers_are_documented(name):
    answers = TASKS[name]["answers"]
    assert answers is None or (
        len(set(answers)) == len(answers) >= 2
        and all(a in TASKS[name]["slots"]["answer"] for a in answers)
    )


def test_templates_are_distinct():
    inputs = [
        wording(template) for task in TASKS.values() for template in task["templates"]
    ]
    keys = [key(text) for text in inputs]
    assert all(keys) and len(set(keys)) == len(keys)
    assert near_pairs(inputs) == []


def test_the_minis_can_read_the_templates():
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "mini-bert")
    for task in TASKS.values():
        for template in task["templates"]:
            assert template["input"] == " ".join(template["input"].split()), template
            ids = tokenizer(wording(template))["input_ids"]
            assert tokenizer.unk_token_id not in ids and len(ids) <= 32, template


def test_card():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for word in (
        f"{10 * len(TASKS)} instruction templates",
        f"{len(TASKS)} tasks",
        "CC BY 4.0",
        "Known limits",
        "`options`",
    ):
        assert word in card, word
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (\d \|.*)$", card, re.M))
    expected = {
        n: f"{sum(t['turned'] for t in task['templates'])} | "
        + ("whole task |" if task["held_out"] else "|")
        for n, task in TASKS.items()
    }
    assert rows == expected
