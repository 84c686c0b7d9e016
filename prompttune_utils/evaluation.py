"""Predictions in batches of like length, accuracy, and what several seeds say."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score


def score_rows(
    rows: list[dict], score: Callable[[list[dict]], torch.Tensor], batch_size: int = 64
) -> torch.Tensor:
    """Applies `score` to all rows, in batches of like length, without gradients.

    Args:
        rows: dicts with a `text`, and a `text_b` for pairs.
        score: takes B rows, gives (B, labels).
        batch_size: rows that `score` takes at once, at most.

    Returns:
        (len(rows), labels) on the CPU, in the order of `rows`.

    Raises:
        ValueError: no rows, no batch size, or not one line of scores a row.
    """
    if not rows:
        raise ValueError("There are no rows to score: give at least one.")
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(
            f"The batch size is {batch_size!r}: give a whole number from 1 on."
        )
    order = sorted(
        range(len(rows)),
        key=lambda i: len(rows[i]["text"]) + len(rows[i].get("text_b", "")),
    )
    out: list[torch.Tensor | None] = [None] * len(rows)
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            scores = score([rows[i] for i in part]).cpu()
            if len(scores) != len(part):
                raise ValueError(
                    f"{len(scores)} lines of scores came back for {len(part)} rows: "
                    "let `score` give one line a row."
                )
            for i, line in zip(part, scores):
                out[i] = line
    return torch.stack(out).clone()


def accuracy(scores: torch.Tensor | Sequence[int], gold: Sequence[int]) -> float:
    """Share of rows whose best label (or given prediction) is the gold one.

    Args:
        scores: (B, labels), or B predictions.
        gold: B labels.

    Raises:
        ValueError: not one prediction a label, or none at all.
    """
    if isinstance(scores, torch.Tensor) and scores.ndim == 2:
        scores = scores.argmax(-1)
    predicted = scores.tolist() if isinstance(scores, torch.Tensor) else list(scores)
    if len(predicted) != len(gold):
        raise ValueError(
            f"{len(predicted)} predictions for {len(gold)} gold labels: score the same "
            "rows."
        )
    if not predicted:
        raise ValueError("There are no predictions to count: score at least one row.")
    hits = sum(bool(p == g) for p, g in zip(predicted, gold, strict=True))
    return hits / len(predicted)


def auc(scores: torch.Tensor, gold: Sequence[int]) -> float:
    """Area under the ROC curve of two labels: the chance that a row of label 1 scores
    above a row of label 0. It does not depend on a threshold, so not on the prior.

    Args:
        scores: (B, 2) logits. gold: B labels, 0 or 1.

    Raises:
        ValueError: not two labels, or rows of one label only.
    """
    if scores.ndim != 2 or scores.shape[1] != 2 or set(gold) != {0, 1}:
        raise ValueError(
            f"The AUC is of two labels, and there are scores of shape "
            f"{tuple(scores.shape)} for the labels {sorted(set(gold))}: use accuracy."
        )
    return float(roc_auc_score(gold, scores[:, 1] - scores[:, 0]))


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean over seeds and the half-width of its 95 % interval (Student's t).

    The half-width of one value is nan.

    Raises:
        ValueError: there are no values.
    """
    array = np.asarray(values, dtype=float)
    if not len(array):
        raise ValueError("There are no values to average: give at least one.")
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
    """Whether a live value falls into the recorded spread.

    The spread is min to max, widened by `slack` for other processors.
    """
    return min(recorded) - slack <= live <= max(recorded) + slack
