"""The descriptions of restaurants say what the data say, all of it and nothing else, in
different sentences."""

import random
import re

import pytest

from prompttune_utils import restaurants as module
from prompttune_utils.restaurants import NAMES, SLOTS, held_out, linear, restaurants

TEST, TRAIN = restaurants(300, seed=0), restaurants(300, seed=0, test=False)
ROWS = TEST + TRAIN
PRICE = {"cheap": "cheap", "moderate": "moderately priced", "expensive": "expensive"}
RATING = r"\b(?:rating is|rate it as|a|an) {}\b"


def says(text, slot, value):
    """Whether a description says a value, in a wording that a reader recognises."""
    if slot == "price":
        return PRICE[value] in text
    if slot == "rating":
        return bool(re.search(RATING.format(value), text))
    if slot == "children":
        return any(said in text for said in module._CHILDREN[value])
    return bool(
        re.search(
            rf"\b{re.escape(value)}\b", text, re.IGNORECASE if slot == "near" else 0
        )
    )


def test_every_value_is_said_and_nothing_else():
    """A restaurant says its own value of each slot; of a slot that it lacks it says
    none."""
    for row in ROWS:
        for text in row["references"]:
            for slot, values in ({"name": NAMES} | SLOTS).items():
                wanted = [row["data"][slot]] if slot in row["data"] else []
                assert [
                    value for value in values if says(text, slot, value)
                ] == wanted, (slot, row["data"], text)


def test_every_slot_is_needed():
    """The check above can fail: a description of the same restaurant without one value
    does not say it."""
    for row in ROWS[:50]:
        for slot in set(row["data"]) - {"name", "kind"}:
            less = module.describe(
                {k: v for k, v in row["data"].items() if k != slot}, random.Random(0)
            )
            assert not says(less, slot, row["data"][slot])


def test_data():
    for row in ROWS:
        data = row["data"]
        assert list(data)[0] == "name" and data["name"] in NAMES
        assert list(data)[1:] == [slot for slot in SLOTS if slot in data], (
            "not in the order of SLOTS"
        )
        assert "kind" in data and 4 <= len(data) <= 7
        assert all(data[slot] in SLOTS[slot] for slot in list(data)[1:])
    assert {(slot, value) for row in ROWS for slot, value in row["data"].items()} >= {
        (slot, v) for slot, values in SLOTS.items() for v in values
    }
    assert {row["data"]["name"] for row in ROWS} == set(NAMES)


def test_linear_keeps_the_order():
    assert (
        linear({"name": "Golden Spoon", "kind": "pub", "price": "cheap"})
        == "name[Golden Spoon], kind[pub], price[cheap]"
    )
    assert linear({"price": "cheap", "kind": "pub"}) == "price[cheap], kind[pub]"
    assert all(row["text"] == linear(row["data"]) for row in ROWS)


def test_splits_share_no_data():
    assert {row["text"] for row in TEST}.isdisjoint(row["text"] for row in TRAIN)
    assert (
        len({row["text"] for row in TEST}) == len({row["text"] for row in TRAIN}) == 300
    )
    assert all(held_out(row["data"]) for row in TEST) and not any(
        held_out(row["data"]) for row in TRAIN
    )


def test_a_fifth_is_held_out():
    generator = random.Random(0)
    drawn = {
        linear(data): held_out(data)
        for data in (module.draw(generator) for _ in range(4000))
    }
    assert sum(drawn.values()) / len(drawn) == pytest.approx(0.2, abs=0.02)


def test_references_differ():
    assert all(
        len(set(row["references"])) == len(row["references"]) <= 3 for row in ROWS
    )
    assert (
        sum(len(row["references"]) == 3 for row in ROWS) > 0.9 * len(ROWS)
        and min(len(row["references"]) for row in ROWS) > 1
    )
    assert {
        len(row["references"]) for row in restaurants(20, seed=0, references=1)
    } == {1}


@pytest.mark.parametrize("test", [True, False])
def test_seed_decides(test):
    one, two, three = (restaurants(20, seed, test) for seed in (1, 1, 2))
    assert one == two != three


def test_sentences():
    """Each starts with a capital and ends with a period; an before a vowel, a before
    another letter."""
    articles = set()
    for row in ROWS:
        for text in row["references"]:
            assert not re.search(r"[{}\[\]]|  |,,| ,", text), text
            assert all(
                re.fullmatch(r"[A-Z][^.]*\.", sentence)
                for sentence in re.split(r"(?<=\.) ", text)
            ), text
            found = re.findall(r"\b(an?) (\w)", text)
            assert found and all(
                (article == "an") == (letter.lower() in "aeiou")
                for article, letter in found
            ), text
            articles.update(article for article, _ in found)
    assert articles == {"a", "an"}
