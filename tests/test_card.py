"""mini-bert's card repeats what was measured, and what was measured meets what the course needs."""

import os
from pathlib import Path

import pytest

from pretraining import evaluate
from prompttune_utils import hub

FOLDER = Path(hub.resolve("mini-bert").location)
NEEDS_MIRROR = pytest.mark.skipif(not os.environ.get("PROMPTTUNE_MIRROR"), reason="PROMPTTUNE_MIRROR is not set: the card is not compared with its data")


def between_the_marks(card: str) -> list[str]:
    return card.partition(evaluate.MARKS[0])[2].partition(evaluate.MARKS[1])[0].replace("```text", "").replace("```", "").strip().splitlines()


@NEEDS_MIRROR
def test_the_card_is_what_evaluate_prints(monkeypatch):
    monkeypatch.delenv("PROMPTTUNE_RECORD", raising=False)  # a value that is not recorded for these weights fails
    assert between_the_marks((FOLDER / "README.md").read_text(encoding="utf-8")) == [line.rstrip() for line in evaluate.measure("mini-bert")]


def test_a_changed_number_in_the_card_is_seen(tmp_path):
    (tmp_path / "README.md").write_text(f"before\n{evaluate.MARKS[0]}\nold\n{evaluate.MARKS[1]}\nafter\n", encoding="utf-8")
    evaluate.write_card(tmp_path, ["accuracy 0.750"])
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert card.startswith("before\n") and card.endswith("\nafter\n") and "old" not in card
    assert between_the_marks(card) == ["accuracy 0.750"]
    assert between_the_marks(card.replace("0.750", "0.751")) != ["accuracy 0.750"]
