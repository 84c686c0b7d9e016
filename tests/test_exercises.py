"""What `check` says of right, wrong and missing answers."""

import numpy as np
import pytest
import torch

from prompttune_utils import exercises
from prompttune_utils.exercises import check

RIGHT = {"probabilities": torch.tensor([[0.25, 0.75]]), "label": "great", "rows": 3}


@pytest.fixture(autouse=True)
def stored(tmp_path, monkeypatch):
    monkeypatch.setattr(exercises, "FILE", tmp_path / "exercises.json")
    monkeypatch.setenv("PROMPTTUNE_RECORD", "1")
    check("3.1", RIGHT)
    monkeypatch.setenv("PROMPTTUNE_RECORD", "0")


@pytest.mark.parametrize(
    "answer, said",
    [
        (RIGHT, "right."),
        (RIGHT | {"probabilities": np.array([[0.2501, 0.7499]])}, "right."),
        (None, "nothing yet. Fill in the function, then run again."),
        ([None, None], "nothing yet. Fill in the function, then run again."),
        (..., "nothing yet. Fill in the function, then run again."),
        (
            RIGHT | {"probabilities": torch.tensor([[0.75, 0.25]])},
            "the number at ['probabilities'][0][0] is 0.75, and not what it should be.",
        ),
        (
            RIGHT | {"probabilities": torch.tensor([0.25])},
            "there should be a list or tensor at ['probabilities'][0], and there is "
            "0.25.",
        ),
        (
            RIGHT | {"probabilities": torch.zeros(2, 2)},
            "there should be 1 items at ['probabilities'], and there are 2.",
        ),
        (RIGHT | {"label": "bad"}, "'bad' at ['label'] is not the answer."),
        (RIGHT | {"rows": True}, "there should be a number at ['rows'], and there"),
        (RIGHT | {"rows": float("nan")}, "the number at ['rows'] is nan, and not what"),
        ({"label": "great"}, "the keys should be ['label', 'probabilities', 'rows']"),
        (0.5, "there should be a dictionary, and there is 0.5."),
    ],
)
def test_what_is_said(capsys, answer, said):
    capsys.readouterr()
    check("3.1", answer)
    assert capsys.readouterr().out.startswith(f"Exercise 3.1: {said}")


def test_an_exercise_that_is_not_there():
    with pytest.raises(LookupError, match="no exercise '9.9': choose one of 3.1"):
        check("9.9", 1)
