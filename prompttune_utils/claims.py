"""One rule for the verdict on a claim.

A claim is written into `assets/claims.toml` before anything is recorded: what the
source says, and the parts that are tested, each with its direction, unit, smallest
effect that matters, seeds and rows. The chapter then gives the differences:

    claims.judge("C06", {"en": hits - majority, "zh": ...})  # (seeds, rows) each

and each part gets a verdict:

reproduced
    The whole 95 % interval of the mean lies beyond the smallest effect that matters.
contradicted
    The whole interval falls short of it.
undecided
    The smallest effect lies inside the interval: more seeds or rows would decide.
not testable here
    No model or data of the course can tell; the file says why.

A part says that one thing is larger than another. For "smaller", subtract the other way
round; for "no worse", the smallest effect is below 0.
"""

import json
import math
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from prompttune_utils import hub
from prompttune_utils.results import FOLDERS, RECORDED_BY, NotRecorded, recording
from prompttune_utils.tables import Table

FILE = hub.ASSETS / "claims.toml"
VERDICTS = ("reproduced", "contradicted", "undecided", "not testable here")
DRAWS = 4000
PART = {"says", "unit", "smallest", "backbone", "seeds", "rows", "not_testable"}
CLAIM = {"says", "chapter", "parts", "not_testable"}


def ledger(file: Path = FILE) -> dict[str, dict]:
    """The claims by number, each with its parts by name.

    Raises:
        ValueError: a claim or a part lacks something, or has what nobody reads.
    """
    claims = tomllib.loads(file.read_text(encoding="utf-8"))
    for number, claim in claims.items():
        where = f"{file.name}, {number}"
        check_keys(where, claim, {"says", "chapter"}, CLAIM)
        if ("not_testable" in claim) == bool(claim.get("parts")):
            raise ValueError(f"{where} needs either parts or not_testable: write one.")
        for name, part in claim.setdefault("parts", {}).items():
            here = f"{where}, part {name!r}"
            if "not_testable" in part:
                check_keys(here, part, {"says"}, PART)
                continue
            check_keys(here, part, {"says", "unit", "smallest", "backbone"}, PART)
            counts = [part[n] for n in ("seeds", "rows") if n in part]
            if not counts or any(type(n) is not int or n < 2 for n in counts):
                raise ValueError(f"{here} has {counts} seeds and rows: say from 2 on.")
            if type(part["smallest"]) not in (int, float):
                raise ValueError(f"{here} has no number as `smallest`: write one.")
    return claims


def check_keys(where: str, given: dict, needed: set[str], allowed: set[str]) -> None:
    """Refuses what lacks a key, or has one that nobody reads."""
    for name in sorted(needed - given.keys()):
        raise ValueError(f"{where} has no `{name}`: write it.")
    for name in sorted(given.keys() - allowed):
        raise ValueError(
            f"{where} has `{name}`, which nobody reads: use "
            f"{', '.join(sorted(allowed))}."
        )


# ---- the interval


def interval(differences, over: Sequence[str]) -> dict[str, float]:
    """Mean, 95 % interval and standard error of differences.

    Over seeds alone it is Student's t. Else it is a bootstrap: seeds and rows are drawn
    with replacement, each on their own, 4,000 times, always the same draws. The spread
    of each is widened as Student's t is for few values. Noise that belongs to neither
    alone is in the means of the seeds and in those of the rows; it is counted once.

    Args:
        differences: (seeds, rows), (seeds,) or (rows,).
        over: the names of the dimensions: "seeds", "rows" or both in this order.

    Returns:
        mean, low, high, error.
    """
    values = np.asarray(differences, dtype=float)
    mean = values.mean()
    if tuple(over) == ("seeds",):
        error = stats.sem(values)
        half = stats.t.ppf(0.975, len(values) - 1) * error
        low, high = mean - half, mean + half
    else:
        generator = np.random.default_rng(0)
        spread, variances = np.zeros(DRAWS), []
        for axis in range(values.ndim):
            other = tuple(a for a in range(values.ndim) if a != axis)
            means = values.mean(axis=other)  # (seeds,) or (rows,)
            n = len(means)
            drawn = generator.integers(n, size=(DRAWS, n))
            few = stats.t.ppf(0.975, n - 1) / stats.norm.ppf(0.975)
            few *= math.sqrt(n / (n - 1))
            spread += few * (means[drawn].mean(axis=1) - mean)
            variances.append(means.var(ddof=1) / n)
        if values.ndim == 2 and sum(variances) > 0:
            noise = values - values.mean(0) - values.mean(1, keepdims=True) + mean
            cells = values.size * (values.shape[0] - 1) * (values.shape[1] - 1)
            once = sum(variances) - (noise**2).sum() / cells
            spread *= math.sqrt(max(once, *variances) / sum(variances))
        low, high = mean + np.quantile(spread, [0.025, 0.975])
        error = spread.std()
    return {
        "mean": float(mean),
        "low": float(low),
        "high": float(high),
        "error": float(error),
    }


def verdict(low: float, high: float, smallest: float) -> str:
    """The verdict on "larger by more than `smallest`" from the interval."""
    if low > smallest:
        return "reproduced"
    return "contradicted" if high < smallest else "undecided"


def whole(verdicts: Sequence[str]) -> str:
    """One word for all parts of a claim: theirs, where it is the same for all; else
    `in part` where some are reproduced, and `undecided` where none is.

    One contradicted part does not undo another that was reproduced, and does not hide
    behind it either: the ledger shows every part, and its totals count parts.
    """
    if len(set(verdicts)) == 1:
        return verdicts[0]
    return "in part" if "reproduced" in verdicts else "undecided"


def p_value(found: dict[str, float], smallest: float, seeds: int | None) -> float:
    """Two-sided p of a mean that lies at `smallest`: by Student's t for seeds alone
    (their number is given then), else by the normal distribution."""
    away = abs(found["mean"] - smallest)
    if found["error"] == 0:
        return float(away == 0)
    score = away / found["error"]
    tail = stats.norm.sf(score) if seeds is None else stats.t.sf(score, seeds - 1)
    return float(2 * tail)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted by Holm (1979) for being many, in their order.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    for p in p_values:
        if not 0 <= p <= 1:
            raise ValueError(f"{p!r} is no p value: give numbers from 0 to 1.")
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


MANY = 100  # times as many seeds and rows: the mean is as good as the smallest effect


def needed(found: dict[str, float], smallest: float, counts: dict) -> dict | None:
    """How many seeds and rows would decide, if the mean stayed and the interval shrank
    with the square root of their number; None if they were MANY times as many."""
    away = found["mean"] - smallest
    reach = found["mean"] - found["low"] if away > 0 else found["high"] - found["mean"]
    if away == 0 or (reach / away) ** 2 > MANY:
        return None
    factor = (reach / away) ** 2
    return {name: math.floor(factor * n) + 1 for name, n in counts.items()}


# ---- the answer of a chapter


def judged(number: str, differences: Mapping[str, object], claim: dict) -> dict:
    """The answers to the parts of a claim: name -> mean, low, high, p, verdict, ...

    Raises:
        ValueError: parts are missing or unknown, or are not what was announced.
    """
    parts = claim["parts"]
    asked = [name for name, part in parts.items() if "not_testable" not in part]
    for name in sorted(set(asked) ^ set(differences)):
        problem = "is missing" if name in asked else "is not announced"
        raise ValueError(
            f"{number}: the part {name!r} {problem}: give {', '.join(asked) or 'none'}."
        )
    answers = {}
    for name in asked:
        part = parts[name]
        counts = {n: part[n] for n in ("seeds", "rows") if n in part}
        values = checked(f"{number}, part {name!r}", differences[name], counts)
        found = interval(values, list(counts))
        smallest = part["smallest"]
        word = verdict(found["low"], found["high"], smallest)
        only_seeds = counts["seeds"] if list(counts) == ["seeds"] else None
        answers[name] = {
            **{key: round(found[key], 4) for key in ("mean", "low", "high")},
            "smallest": smallest,
            "p": float(f"{p_value(found, smallest, only_seeds):.3g}"),
            "verdict": word,
            **counts,
            "unit": part["unit"],
            "backbone": part["backbone"],
        }
        if word == "undecided":
            answers[name]["needed"] = needed(found, smallest, counts)
    return answers


def checked(where: str, differences, counts: dict[str, int]) -> np.ndarray:
    """The differences as an array of the shape that was announced."""
    try:
        values = np.asarray(differences, dtype=float)
    except (TypeError, ValueError):
        values = np.empty(0)
    shape = tuple(counts.values())
    if values.shape != shape:
        raise ValueError(
            f"{where}: the differences have the shape {values.shape}, announced are "
            f"{shape} ({', '.join(counts)}): give these, or change {FILE.name}."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"{where}: the differences hold NaN or infinite numbers: find out why."
        )
    return values


def judge(
    number: str, differences: Mapping[str, object], folder: Path | None = None
) -> Table:
    """The verdicts on a claim, as a table; kept in `<chapter>.claims.json`.

    Args:
        number: as in the ledger, `C06`.
        differences: part -> paired differences of each seed and row, (seeds, rows);
            (seeds,) or (rows,) where the other is not announced.
        folder: another folder for the answers than that of the scale.

    Raises:
        ValueError: an unknown claim or part, differences that are not what was
            announced, or another answer than the one kept.
        NotRecorded: no answer is kept, and this is no recording.
    """
    claims = ledger()
    if number not in claims:
        raise ValueError(
            f"There is no claim {number!r} in {FILE.name}: write it there first."
        )
    claim, scale = claims[number], hub.scale()
    if "not_testable" in claim:
        raise ValueError(
            f"{number} is not testable here, {FILE.name} says: give no differences."
        )
    new = {"scale": scale, "parts": judged(number, differences, claim)}
    path = Path(folder or FOLDERS[scale]) / f"{claim['chapter']}.claims.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if recording() or scale not in RECORDED_BY:
        save(path, kept | {number: new})
    elif number not in kept:
        raise NotRecorded(
            f"{path.name} holds no answer to {number}: run `{RECORDED_BY[scale]}`."
        )
    elif not is_same(kept[number], new):
        raise ValueError(
            f"{path.name} keeps another answer to {number} than its differences give "
            f"now: run `{RECORDED_BY[scale]}`."
        )
    return table(number, claim, new["parts"])


def is_same(one, other) -> bool:
    """Whether two answers are the same, numbers to the last digit but one."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            is_same(one[key], other[key]) for key in one
        )
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=0.02, abs_tol=2e-4)
    return one == other


def save(path: Path, answers: dict) -> None:
    """Writes the answers of a chapter: a line for each part, whole or not at all."""
    lines = []
    for number, answer in sorted(answers.items()):
        parts = [
            f"  {json.dumps(name, ensure_ascii=False)}: "
            + json.dumps(part, ensure_ascii=False)
            for name, part in answer["parts"].items()
        ]
        head = f'"{number}": {{"scale": "{answer["scale"]}", "parts": {{\n'
        lines.append(head + ",\n".join(parts) + "\n}}")
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    new.replace(path)


def effect(answer: dict) -> str:
    """`+0.031 (+0.010 to +0.052)`: the mean and its 95 % interval."""
    return f"{answer['mean']:+.3f} ({answer['low']:+.3f} to {answer['high']:+.3f})"


def would_decide(answer: dict) -> str:
    """What would decide an undecided part."""
    if answer["needed"] is None:
        return "more rows would hardly decide"
    counts = [f"{n:,} {name}" for name, n in answer["needed"].items()]
    return f"about {' and '.join(counts)} would decide"


def table(number: str, claim: dict, answers: dict[str, dict]) -> Table:
    """The verdicts as a table: a row for each part."""
    rows = []
    for name, part in claim["parts"].items():
        if "not_testable" in part:
            cells = "–", "–", f"not testable here: {part['not_testable']}"
        else:
            answer = answers[name]
            word = answer["verdict"]
            if word == "undecided":
                word += f"; {would_decide(answer)}"
            cells = effect(answer), f"{answer['smallest']:+.3g}", word
        columns = "effect (95 % interval)", "matters from", "verdict"
        rows.append({"part": name} | dict(zip(columns, cells)))
    return Table(rows, f"{number}. {claim['says']}")
