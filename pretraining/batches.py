"""Batches of rows of like length, in few different shapes: a processor prepares its
kernels for each shape anew."""

from functools import cache

import numpy as np
import torch

STEP = 16


@cache
def batch_tokens() -> int:
    """Tokens a batch: many fill a GPU. On a CPU they are few, for the loss leaves its
    first plateau after a number of steps, not of tokens."""
    return 32_768 if torch.cuda.is_available() else 2048


def padded(sizes: np.ndarray) -> int:
    """The longest of the sizes, rounded up."""
    return int(-(-np.max(sizes) // STEP) * STEP)


def like_length(
    sizes: np.ndarray, random: np.random.Generator, second: np.ndarray | None = None
) -> list[np.ndarray]:
    """Numbers of rows of like length together, every row in one batch, the batches in
    random order; `second` are the sizes of the rows' targets."""
    parts = [sizes] if second is None else [sizes, second]
    order, batches = np.argsort(sum(parts), kind="stable")[::-1], []
    while len(order):
        width = sum(padded(part[order[:1]]) for part in parts)
        count = max(1, batch_tokens() // width)
        batches.append(order[:count])
        order = order[count:]
    random.shuffle(batches)
    return batches
