"""One training loop for every method, on Accelerate: seeded, with a progress bar, resumable to the same numbers, on one process or several."""

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import broadcast, set_seed
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import get_linear_schedule_with_warmup


class _Progress:
    """What a checkpoint has to remember beside weights and optimizer."""

    def __init__(self) -> None:
        self.step, self.losses = 0, []

    def state_dict(self) -> dict:
        return {"step": self.step, "losses": self.losses}

    def load_state_dict(self, state: dict) -> None:
        self.step, self.losses = state["step"], state["losses"]


def fit(
    model: torch.nn.Module,
    rows: list[dict],
    loss_of: Callable[[list[dict]], torch.Tensor],
    *,
    learning_rate: float,
    steps: int,
    batch_size: int = 8,
    seed: int = 0,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 100,
    progress: bool = False,
    after_step: Callable[[int], None] | None = None,
) -> list[float]:
    """Tunes the parameters of `model` that require a gradient, by AdamW with a linear schedule.

    Under `accelerate launch` the processes share every batch and end with the same weights, those of one process but for rounding
    (random masks such as dropout's apart, which each process draws for its own rows).

    Args:
        model: its parameters with requires_grad are tuned; it is left in eval mode.
        rows: training rows, passed over in a new seeded order as often as `steps` needs.
        loss_of: maps a batch of rows to a scalar loss, their mean.
        learning_rate: peak of the schedule: up over the share `warmup` of the steps, then linearly down to 0.
        steps: number of optimizer steps.
        batch_size: rows a step, of all processes together.
        seed: order of the rows and everything random in the model.
        checkpoint: a folder, the same for all processes: saved there every `checkpoint_every` steps; a run that was cut off goes on from it and
            ends with the same numbers as an unbroken one.
        progress: show a bar (on stderr).
        after_step: called with the number of the step just taken.

    Returns:
        The loss of every step.

    Raises:
        ValueError: no rows, nothing to tune, or a batch that the processes cannot share evenly.
    """
    tuned = [p for p in model.parameters() if p.requires_grad]
    if not rows or not tuned:
        raise ValueError(
            "There is nothing to train: "
            + (
                "no parameter of the model has requires_grad=True."
                if rows
                else "the list of rows is empty."
            )
        )
    set_seed(seed)
    accelerator = Accelerator(
        device_placement=False,
        dataloader_config=DataLoaderConfiguration(split_batches=True),
    )
    processes = accelerator.num_processes
    if batch_size % processes:
        raise ValueError(
            f"A batch of {batch_size} rows cannot be shared by {processes} processes: choose a multiple of {processes} as batch_size."
        )
    if processes > 1:  # a start drawn before the seed differs from process to process
        for tensor in [*model.parameters(), *model.buffers()]:
            broadcast(tensor.data)
    optimizer = torch.optim.AdamW(tuned, lr=learning_rate, weight_decay=weight_decay)
    schedule = get_linear_schedule_with_warmup(optimizer, int(warmup * steps), steps)
    order, generator = [], torch.Generator().manual_seed(seed)
    while len(order) < steps * batch_size:
        order += torch.randperm(len(rows), generator=generator).tolist()
    # with a generator of its own: else a loader draws from the one of the dropout masks each time that it is started
    loader = DataLoader(
        [rows[i] for i in order[: steps * batch_size]],
        batch_size=batch_size,
        collate_fn=list,
        generator=generator,
    )
    state = _Progress()
    # evaluation_mode: not wrapped for several processes, since only a call of the wrapper itself would average gradients, and loss_of calls inner parts
    accelerator.prepare_model(model, evaluation_mode=True)
    optimizer, schedule, loader = accelerator.prepare(optimizer, schedule, loader)
    accelerator.register_for_checkpointing(state)
    if checkpoint and Path(checkpoint).is_dir():
        accelerator.load_state(str(checkpoint))
        loader = accelerator.skip_first_batches(loader, state.step)
    model.train()
    for batch in tqdm(
        loader,
        total=steps,
        initial=state.step,
        disable=not (progress and accelerator.is_main_process),
        desc="training",
    ):
        loss = loss_of(batch)
        accelerator.backward(loss)
        if processes > 1:
            loss = accelerator.reduce(loss.detach(), "mean")
            for p in tuned:
                p.grad = None if p.grad is None else accelerator.reduce(p.grad, "mean")
        accelerator.clip_grad_norm_(tuned, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        state.step += 1
        state.losses.append(loss.item())
        if checkpoint and state.step % checkpoint_every == 0:
            _save(accelerator, Path(checkpoint))
        if after_step:
            after_step(state.step)
    model.eval()
    return state.losses


def _save(accelerator: Accelerator, folder: Path) -> None:
    """Saves beside and swaps, so that a kill never leaves half a checkpoint. The main process writes, each adds the state of its random numbers."""
    new, old = (
        folder.with_name(folder.name + ".new"),
        folder.with_name(folder.name + ".old"),
    )
    if accelerator.is_main_process:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(new))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        if folder.is_dir():
            folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    accelerator.wait_for_everyone()


def trainable(model: torch.nn.Module) -> int:
    """Number of parameters that are tuned; a shared tensor counts once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
