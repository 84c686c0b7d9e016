"""Learning rates: for each method, backbone, task and number of rows a class, chosen on
dev rows, inside its grid, by the chapter that the entry names.

They stand in `assets/rates.json`. A chapter chooses with `choose`; later chapters read
with `rate`. Which rates to try, `to_try` says.
"""

import json
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np

from prompttune_utils.hub import ASSETS, scale
from prompttune_utils.results import RECORDED_BY, recording

FILE = ASSETS / "rates.json"
LADDER = [float(f"{a}e{b}") for b in range(-7, 4) for a in (1, 3)]  # 1e-7, 3e-7, ...


def entries() -> dict[str, dict]:
    """`method | backbone | task | shots` -> rate, dev accuracies, chapter."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def _key(method: str, backbone: str, task: str, shots: int | str) -> str:
    return f"{method} | {backbone} | {task} | {shots}"


def to_try(
    first: float | Sequence[float], found: Mapping[float, float | Sequence[float]]
) -> list[float]:
    """The learning rates to try next, none when the best of all lies between two others
    or equals one that does.

    Args:
        first: rates of `LADDER` to begin with; one alone is the middle one of three.
            After them comes one more at a time, beside whichever outer one is the best.
        found: learning rate -> what was reached on dev rows, the higher, the better.

    Raises:
        ValueError: the next rate would lie beyond `LADDER`.
    """
    if isinstance(first, float):
        at = LADDER.index(first)
        first = LADDER[at - 1 : at + 2]
    if left := [rate for rate in first if rate not in found]:
        return left
    low, high = LADDER.index(min(found)), LADDER.index(max(found))
    outer = np.mean(found[LADDER[low]]), np.mean(found[LADDER[high]])
    between = [np.mean(found[r]) for r in found if LADDER[low] < r < LADDER[high]]
    if max(between) >= max(outer):
        return []
    at = low - 1 if outer[0] >= outer[1] else high + 1
    if not 0 <= at < len(LADDER):
        raise ValueError(
            f"The best learning rate lies beyond {LADDER[0]:g} to {LADDER[-1]:g}: look "
            "at the method, or at the scale of what it trains."
        )
    return [LADDER[at]]


def choose(
    chapter: str,
    method: str,
    backbone: str,
    task: str,
    shots: int | str,
    tried: Mapping[float, Sequence[float]],
) -> float:
    """The learning rate with the best mean accuracy on dev rows. Where one between
    equals the smallest or the largest of the grid, it is the one between.

    Args:
        chapter: who chooses. shots: rows a class that are trained on, or "all".
        tried: learning rate -> accuracies on dev rows over seeds.

    Raises:
        ValueError: the smallest or the largest rate of the grid is better than all
            between, so a still better one may lie outside; or another one is kept in
            `rates.json`.
    """
    key = _key(method, backbone, task, shots)
    grid = {rate: round(fmean(tried[rate]), 4) for rate in sorted(tried)}
    best = max(grid, key=grid.get)
    between = [rate for rate in list(grid)[1:-1] if grid[rate] == grid[best]]
    if between:
        best = between[0]
    else:
        raise ValueError(
            f"The best learning rate of {key} is {best:g}, at the edge of its grid "
            f"({', '.join(f'{r:g}: {v:.3f}' for r, v in grid.items())}): try more."
        )
    given = {
        "rate": best,
        "dev": {f"{rate:g}": value for rate, value in grid.items()},
        "chapter": chapter,
    }
    kept = entries()
    if recording() and scale() in RECORDED_BY and kept.get(key) != given:
        kept[key] = given
        lines = [f"{json.dumps(k)}: {json.dumps(kept[k])}" for k in sorted(kept)]
        part = FILE.with_suffix(".part")
        part.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        part.replace(FILE)
    elif kept.get(key) != given and scale() in RECORDED_BY:
        raise ValueError(
            f"{FILE.name} keeps another rate of {key}: run `{RECORDED_BY[scale()]}`."
        )
    return best


def rate(method: str, backbone: str, task: str, shots: int | str) -> float:
    """The learning rate that a chapter has chosen.

    Raises:
        LookupError: none has.
    """
    key = _key(method, backbone, task, shots)
    kept = entries()
    if key not in kept:
        near = [k for k in kept if k.startswith(f"{method} | {backbone} | ")]
        raise LookupError(
            f"{FILE.name} has no rate of {key}: choose one with rates.choose"
            + (f", or take that of {near[0]}." if near else ".")
        )
    return kept[key]["rate"]
