"""Predictions in batches of like length, accuracy, and what several seeds say together."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy import stats


def score_rows(
    rows: list[dict], score: Callable[[list[dict]], torch.Tensor], batch_size: int = 64
) -> torch.Tensor:
    """Applies `score` (rows -> (B, labels)) to all rows, in batches of like length, without gradients.

    Returns:
        (len(rows), labels) on the CPU, in the order of `rows`.
    """
    order = sorted(
        range(len(rows)),
        key=lambda i: len(rows[i]["text"]) + len(rows[i].get("text_b", "")),
    )
    out: list[torch.Tensor | None] = [None] * len(rows)
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            for i, line in zip(part, score([rows[i] for i in part]).cpu(), strict=True):
                out[i] = line
    return torch.stack(out).clone()


def accuracy(scores: torch.Tensor | Sequence[int], gold: Sequence[int]) -> float:
    """Share of rows whose best label (or given prediction) is the gold one."""
    predicted = (
        scores.argmax(-1).tolist()
        if isinstance(scores, torch.Tensor) and scores.ndim == 2
        else list(scores)
    )
    if len(predicted) != len(gold):
        raise ValueError(
            f"{len(predicted)} predictions for {len(gold)} gold labels: score the same rows."
        )
    return sum(int(p) == int(g) for p, g in zip(predicted, gold, strict=True)) / len(
        gold
    )


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean over seeds and the half-width of its 95 % interval (Student's t); the half-width of one value is nan."""
    array = np.asarray(values, dtype=float)
    if len(array) < 2:
        return float(array.mean()), float("nan")
    return float(array.mean()), float(
        stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array))
    )


def show(values: Sequence[float]) -> str:
    """`0.812 +- 0.014`: mean and half-width of the 95 % interval."""
    mean, half = mean_interval(values)
    return f"{mean:.3f} +- {half:.3f}"


def inside(live: float, recorded: Sequence[float], slack: float = 0.02) -> bool:
    """Whether a live value falls into the recorded spread (min to max, widened by `slack` for other processors)."""
    return min(recorded) - slack <= live <= max(recorded) + slack
