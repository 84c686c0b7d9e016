"""Exercises: compares a reader's answer with the stored one and says what is wrong."""

import json
import math

import numpy as np
import torch

from prompttune_utils.hub import ASSETS
from prompttune_utils.results import recording

FILE = ASSETS / "exercises.json"
TOLERANCE = 1e-3  # relative and absolute: other processors round otherwise


def plain(answer):
    """The answer in lists, texts and numbers, as JSON has them."""
    if isinstance(answer, torch.Tensor):
        answer = answer.detach().cpu().numpy()
    if isinstance(answer, np.ndarray | np.generic):
        answer = answer.tolist()
    if isinstance(answer, dict):
        return {str(key): plain(value) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [plain(value) for value in answer]
    return answer


def difference(given, wanted, place: str = "") -> str | None:
    """Where and how two plain answers differ first, or None."""
    at = f" at {place}" if place else ""
    number = isinstance(wanted, int | float) and not isinstance(wanted, bool)
    if number and isinstance(given, int | float) and not isinstance(given, bool):
        if math.isclose(given, wanted, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            return None
        return f"the number{at} is {given:.4g}, and not what it should be"
    if type(given) is not type(wanted):
        named = {list: "a list or tensor", dict: "a dictionary", str: "a text"}
        kind = named.get(type(wanted), "a number")
        return f"there should be {kind}{at}, and there is {given!r:.60}"
    if isinstance(wanted, list):
        if len(given) != len(wanted):
            return (
                f"there should be {len(wanted)} items{at}, and there are {len(given)}"
            )
        pairs = enumerate(zip(given, wanted, strict=True))
    elif isinstance(wanted, dict):
        if set(given) != set(wanted):
            return f"the keys{at} should be {sorted(wanted)}, and are {sorted(given)}"
        pairs = ((key, (given[key], wanted[key])) for key in wanted)
    else:
        return None if given == wanted else f"{given!r:.60}{at} is not the answer"
    for key, (one, other) in pairs:
        found = difference(one, other, f"{place}[{key!r}]")
        if found:
            return found
    return None


def check(exercise: str, answer) -> None:
    """Prints whether an answer is right, and if not, where it differs.

    Args:
        exercise: chapter and number, such as "3.1".
        answer: a number, a text, a tensor, or lists and dictionaries of these; None, a
            list of None or ... as long as there is none.

    The right answers were computed by the folded solutions, under `make results`.

    Raises:
        LookupError: there is no such exercise.
    """
    kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    empty = isinstance(answer, list) and all(value is None for value in answer)
    if answer is None or answer is ... or empty:
        print(
            f"Exercise {exercise}: nothing yet. Fill in the function, then run again."
        )
        return
    given = plain(answer)
    if recording():
        kept[exercise] = given
        lines = [f"{json.dumps(k)}: {json.dumps(kept[k])}" for k in sorted(kept)]
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    if exercise not in kept:
        raise LookupError(
            f"There is no exercise {exercise!r}: choose one of {', '.join(kept)}."
        )
    wrong = difference(given, kept[exercise])
    print(f"Exercise {exercise}: {'right.' if wrong is None else f'{wrong}.'}")
