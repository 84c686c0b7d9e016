"""Muon, in a form that a GPU can replay: torch.optim.Muon reads its learning rate on
the CPU at every step, and steps one matrix at a time."""

import math

import torch

MOMENTUM, DECAY = 0.95, 0.1
# Newton and Schulz's iteration, which makes a matrix nearly orthogonal (Jordan et al.)
ITERATIONS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum (Jordan et al. 2024), its step scaled to the size of
    AdamW's (Liu et al. 2025). Matrices of one shape are stepped together.

    Args:
        matrices: weights of two dimensions.
        lr: the learning rate, a number, or a tensor for a captured step.
    """

    def __init__(self, matrices: list[torch.nn.Parameter], lr: float | torch.Tensor):
        shapes: dict[tuple, list] = {}
        for matrix in matrices:
            shapes.setdefault(tuple(matrix.shape), []).append(matrix)
        super().__init__([{"params": group} for group in shapes.values()], {"lr": lr})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            weights, rate = group["params"], group["lr"]
            gradients = torch.stack([weight.grad for weight in weights])
            state = self.state[weights[0]]  # of the whole group
            if not state:
                state["momentum"] = torch.zeros_like(gradients)
            state["momentum"].lerp_(gradients, 1 - MOMENTUM)
            moved = orthogonal(gradients.lerp(state["momentum"], MOMENTUM))
            moved *= 0.2 * math.sqrt(max(moved.shape[1:]))
            torch._foreach_mul_(weights, 1 - rate * DECAY)
            torch._foreach_sub_(weights, list((rate * moved).unbind(0)))


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """The nearest matrices (n, r, c) with equal singular values, roughly."""
    x = matrices.bfloat16()
    tall = x.size(1) > x.size(2)
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * (square @ square)) @ x
    return (x.mT if tall else x).float()
