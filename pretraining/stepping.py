"""One step of training. On a GPU it is recorded once for each shape of batch and then
replayed: a mini has so small layers that starting their kernels takes longer than
running them."""

from collections.abc import Callable

import torch

Loss = Callable[[torch.nn.Module, dict], torch.Tensor]
WARM = 2  # steps before the first recording: the optimizers make their state in them


def refuse_no_number(loss: torch.Tensor) -> None:
    """Raises FloatingPointError for a loss that is infinite or no number."""
    if not loss.isfinite():
        raise FloatingPointError(f"the loss is {loss.item()}")


class Step:
    """Forward, backward and the optimizers' steps on a batch of tensors.

    Args:
        loss_of: maps (model, batch) to a scalar loss.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        loss_of: Loss,
        steppers: list[torch.optim.Optimizer],
    ):
        self.model, self.loss_of, self.steppers = model, loss_of, steppers
        self.weights = [w for w in model.parameters() if w.requires_grad]
        self.device = self.weights[0].device.type

    def __call__(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The loss, a scalar; the weights have moved."""
        for stepper in self.steppers:
            stepper.zero_grad(set_to_none=True)
        with torch.autocast(self.device, dtype=torch.bfloat16):
            loss = self.loss_of(self.model, batch)
        self.check(loss)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        for stepper in self.steppers:
            stepper.step()
        return loss.detach()

    def check(self, loss: torch.Tensor) -> None:
        """Before a loss of no number spoils the weights."""
        refuse_no_number(loss)


class ReplayedStep(Step):
    """The same as CUDA graphs, one for each shape of batch."""

    def __init__(self, *given):
        super().__init__(*given)
        self.graphs: dict[tuple, tuple] = {}
        self.stream, self.pool, self.warm = torch.cuda.Stream(), None, 0

    def check(self, loss: torch.Tensor) -> None:
        """Nothing: a recorded step cannot ask."""

    def __call__(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        if self.warm < WARM:
            self.warm += 1
            with torch.cuda.stream(self.stream):
                given = {name: value.to("cuda") for name, value in batch.items()}
                loss = super().__call__(given)
            torch.cuda.current_stream().wait_stream(self.stream)
            return loss
        shape = tuple(tuple(value.shape) for value in batch.values())
        if shape not in self.graphs:
            self.graphs[shape] = self.recorded(batch)
        graph, inputs, loss = self.graphs[shape]
        for name, value in batch.items():
            inputs[name].copy_(value, non_blocking=True)
        graph.replay()
        return loss.clone()

    def recorded(self, batch: dict[str, torch.Tensor]) -> tuple:
        """The graph of a step on batches of this shape, its inputs and its loss."""
        inputs = {name: value.to("cuda") for name, value in batch.items()}
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            loss = super().__call__(inputs)
        self.pool = self.pool or graph.pool()
        return graph, inputs, loss


def make(*given) -> Step:
    """The step for the device that the model lies on; takes what Step takes."""
    weight = next(given[0].parameters())
    return (ReplayedStep if weight.device.type == "cuda" else Step)(*given)
