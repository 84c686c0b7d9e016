"""Batches of rows of like length, in few different shapes: a CPU prepares its kernels
for each shape anew."""

# small batches: the loss leaves its first plateau after a number of steps, not of
# tokens
BATCH_TOKENS = 2048
STEP = 16


def padded(rows: list[tuple], part: int = 0) -> int:
    """Length of the longest `part` (0 input, 1 target) of the rows, rounded up."""
    return -(-max(len(row[part]) for row in rows) // STEP) * STEP


def sorted_batches(
    rows: list[tuple], parts: tuple[int, ...] = (0,)
) -> list[list[tuple]]:
    """Rows of like length together, BATCH_TOKENS a batch; `parts` are those whose
    tokens count."""
    rows, batches = (
        sorted(rows, key=lambda row: sum(len(row[part]) for part in parts)),
        [],
    )
    while rows:
        count = max(1, BATCH_TOKENS // sum(padded(rows[-1:], part) for part in parts))
        batches.append(rows[-count:])
        del rows[-count:]
    return batches
