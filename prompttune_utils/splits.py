"""Which rows are trained on, chosen on and tested on: drawn once, the same for all."""

import random

from prompttune_utils.data import Task, few_shot


def train_and_dev(
    task: Task, shots: int | str = "all", seed: int = 0, most: int = 200
) -> tuple[list[dict], list[dict]]:
    """Rows to train on, and rows to choose settings on.

    Args:
        task: whose pool is divided.
        shots: rows a class that are trained on, or "all" of what is left.
        seed: of the draw of the training rows. The dev rows are always the same.
        most: dev rows at most; a sixth of the pool, if that is less.

    Returns:
        (train, dev), without a row in common.
    """
    rows = random.Random(0).sample(task.pool, len(task.pool))
    count = min(most, len(rows) // 6)
    dev, train = rows[:count], rows[count:]
    if shots != "all":
        train = few_shot(train, shots, seed, dev=False)[0]
    return train, dev


def rows_to_test(task: Task, most: int = 400) -> list[dict]:
    """The task's test rows; of a larger test set `most` rows, drawn once."""
    if len(task.test) <= most:
        return task.test
    return random.Random(0).sample(task.test, most)


def prior_texts(task: Task, seed: int, count: int = 64) -> list[dict]:
    """Texts of the training part to take a model's prior from. Their labels are not
    looked at: the rows have none any more."""
    train, _ = train_and_dev(task)
    drawn = random.Random(seed).sample(train, min(count, len(train)))
    return [
        {name: value for name, value in row.items() if name != "label"} for row in drawn
    ]
