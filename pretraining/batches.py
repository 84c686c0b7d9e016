"""Batches of rows of like length, in few different shapes: a processor prepares its
kernels for each shape anew."""

from functools import cache

import numpy as np
import torch

STEP = 16


@cache
def on_gpu() -> bool:
    """Whether there is a GPU; kept, for a forked worker cannot ask."""
    return torch.cuda.is_available()


def batch_tokens() -> int:
    """Tokens a batch: many fill a GPU. On a CPU they are few, for the loss leaves its
    first plateau after a number of steps, not of tokens."""
    return 32_768 if on_gpu() else 2048


def rounded(sizes: np.ndarray) -> np.ndarray:
    """Each size up to the next multiple of STEP."""
    return -(-sizes // STEP) * STEP


def padded(sizes: np.ndarray) -> int:
    """The longest of the sizes, rounded up."""
    return int(rounded(np.max(sizes)))


def like_length(
    sizes: np.ndarray, random: np.random.Generator, second: np.ndarray | None = None
) -> list[np.ndarray]:
    """Numbers of rows of like length together, every row in one batch, the batches in
    random order; `second` are the sizes of the rows' targets."""
    parts = [sizes] if second is None else [sizes, second]
    order, batches = np.lexsort([rounded(part) for part in parts[::-1]])[::-1], []
    while len(order):
        count = batch_tokens() // sum(padded(part[order[:1]]) for part in parts)
        # a later row may be the longest in its other part
        width = sum(padded(part[order[: max(1, count)]]) for part in parts)
        count = max(1, batch_tokens() // width)
        batches.append(order[:count])
        order = order[count:]
    random.shuffle(batches)
    return batches


def filled(batch: dict[str, np.ndarray], width: int) -> dict[str, np.ndarray]:
    """On a GPU the batch with as many rows as its width has room for, the new ones
    empty: one width, one shape. `width` is that of a row and its target."""
    more = batch_tokens() // width - len(batch["labels"])
    if not on_gpu() or more <= 0:
        return batch
    return {
        name: np.pad(
            value,
            ((0, more), (0, 0)),
            constant_values=-100 if name == "labels" else 0,
        )
        for name, value in batch.items()
    }
