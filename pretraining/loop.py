"""The training loop of the minis: on a GPU where there is one, in bf16, with a learning
rate laid out on the clock, checkpoints, and an exact place to resume."""

import argparse
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from pretraining import stepping
from pretraining.batches import on_gpu
from pretraining.muon import Muon

PEAK = {"cuda": 3e-3, "cpu": 1e-3}  # the highest rate: large batches bear a higher one
WARMUP = 0.02  # share of the time
FLAT = 0.1  # until then the rate stays at its peak; then it falls linearly to 0
CHECKPOINT_SECONDS = 120
BLOCKS = ".layer.", ".layers.", ".block."  # in the names of the weights of the blocks


def device() -> str:
    """cuda where there is a GPU, else cpu."""
    return "cuda" if on_gpu() else "cpu"


class Batches(IterableDataset):
    """The batches of an objective for a DataLoader, whose workers draw while the GPU
    computes; `done` is the share of the training that lies behind, told to all."""

    def __init__(self, objective):
        self.objective = objective
        self.done = multiprocessing.Value("d", 0.0, lock=False)

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        if worker:  # each draws other examples
            self.objective.reseed(worker.id)
        while True:
            batch = self.objective.batch(self.done.value)
            yield {name: np.ascontiguousarray(value) for name, value in batch.items()}


def drawing(objective, workers: int) -> Callable[[float], dict]:
    """Gives one batch as tensors when told the share of the training that is done."""
    on_gpu()  # kept from here on
    batches = Batches(objective)
    forked = "fork" if workers else None
    loader = iter(
        DataLoader(
            batches,
            batch_size=None,
            num_workers=workers,
            multiprocessing_context=forked,
        )
    )

    def draw(done: float) -> dict:
        batches.done.value = done
        return next(loader)

    return draw


def train(
    model: torch.nn.Module,
    objective,
    loss_of: Callable,
    folder: Path,
    arguments: argparse.Namespace,
) -> None:
    """`pretrain` by the options of a command."""
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    workers = max(1, (os.cpu_count() or 1) - 1) if device() == "cuda" else 0
    draw = drawing(objective, workers)
    pretrain(model, draw, loss_of, folder, arguments.minutes, arguments.peak)


def options(description: str, minutes: float) -> argparse.ArgumentParser:
    """The options that the commands of all minis share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--minutes",
        type=float,
        default=minutes,
        help="the whole budget of wall clock, earlier runs included",
    )
    parser.add_argument("--folder", type=Path, help="where the training is kept")
    parser.add_argument(
        "--peak", type=float, default=PEAK[device()], help="the highest learning rate"
    )
    parser.add_argument("--threads", type=int, default=2)
    return parser


def steps_done(folder: Path) -> int:
    """Steps of earlier runs: they seed what a resumed run reads, so that it does not
    read the same examples again."""
    log = folder / "log.json"
    entries = json.loads(log.read_text()) if log.exists() else []
    return entries[-1]["step"] if entries else 0


def optimizers(model: torch.nn.Module, peak: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices of the blocks, AdamW for the rest.

    Muon's step is scaled to the size of AdamW's (Liu et al. 2025), so that both take
    one learning rate. T5's word vectors are of unit variance and take five times that.
    """
    matrices, vectors, rest = [], [], []
    for name, weight in model.named_parameters():
        of_block = any(block in name for block in BLOCKS) and "relative" not in name
        kind = matrices if of_block and weight.ndim == 2 else rest
        (vectors if name == "shared.weight" else kind).append(weight)
    # a recorded step reads its rates on the GPU
    where = rest[0].device
    rate = (lambda r: torch.tensor(r, device=where)) if where.type == "cuda" else float
    groups = [
        {"params": rest, "lr": rate(peak)},
        {"params": vectors, "lr": rate(5 * peak)},
    ]
    adamw = torch.optim.AdamW(
        groups,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
        capturable=where.type == "cuda",
    )
    return [Muon(matrices, rate(peak)), adamw]


def set_rate(group: dict, rate: float) -> None:
    """Sets the learning rate of an optimizer's group, a number or a tensor."""
    if torch.is_tensor(group["lr"]):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def rate_at(done: float) -> float:
    """The learning rate as a share of its peak."""
    return min(done / WARMUP, 1.0, (1 - done) / (1 - FLAT))


def pretrain(
    model: torch.nn.Module,
    draw: Callable[[float], dict],
    loss_of: Callable[[torch.nn.Module, dict], torch.Tensor],
    folder: Path,
    minutes: float,
    peak: float = 1e-3,
) -> list[dict]:
    """Trains `model` for `minutes` of wall clock in all, counting what earlier runs in
    `folder` already spent.

    SIGTERM (`kill`) saves and stops, for a pause; a harder kill loses the steps since
    the last checkpoint.

    Args:
        draw: gives one batch, a dict of integer tensors (B, T), when told the share of
            the budget that is spent.
        loss_of: maps (model, batch) to a scalar loss.
        folder: holds `state.pt` and `log.json`; an interrupted run goes on from there.
        minutes: the whole budget; the learning rate falls to 0 at its end.

    Returns:
        The log: step, tokens, minutes, loss (mean since the last entry).
    """
    folder.mkdir(parents=True, exist_ok=True)
    where = device()
    model.to(where)
    steppers = optimizers(model, peak)
    highest = [float(g["lr"]) for stepper in steppers for g in stepper.param_groups]
    step_on = stepping.make(model, loss_of, steppers)
    step, tokens, spent, log = 0, 0, 0.0, []
    state_file = folder / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, map_location=where, weights_only=True)
        model.load_state_dict(state["model"])
        for stepper, kept in zip(steppers, state["optimizers"], strict=True):
            stepper.load_state_dict(kept)
        step, tokens, spent = state["step"], state["tokens"], state["seconds"]
        log = json.loads((folder / "log.json").read_text())
    groups = [group for stepper in steppers for group in stepper.param_groups]
    total, tenth = minutes * 60, int(10 * spent / (minutes * 60))
    started, saved, losses = time.monotonic() - spent, time.monotonic(), []
    stop = []
    before = signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    model.train()
    while not stop and (spent := time.monotonic() - started) < total:
        done = spent / total
        for group, rate in zip(groups, highest, strict=True):
            set_rate(group, rate * rate_at(done))
        batch = draw(done)
        try:
            loss = step_on(batch)
            if step % 500 == 499:  # seldom: a GPU would wait
                stepping.refuse_no_number(loss)
        except FloatingPointError as error:
            raise FloatingPointError(
                f"In training, {error} at step {step + 1}: start again from "
                f"{state_file} with a lower peak learning rate."
            ) from None
        step, tokens = step + 1, tokens + int(batch["attention_mask"].sum())
        losses.append(loss)
        if step % 500 == 0:
            entry = {
                "step": step,
                "tokens": tokens,
                "minutes": round(spent / 60, 2),
                "loss": round(float(torch.stack(losses).mean()), 4),
            }
            losses.clear()
            log.append(entry)
            print(json.dumps(entry), flush=True)
        if int(10 * done) > tenth:
            tenth = int(10 * done)
            small = {k: v.half().cpu() for k, v in model.state_dict().items()}
            torch.save(
                {"model": small, "step": step, "tokens": tokens},
                folder / f"tenth-{tenth}.pt",
            )
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            _save(state_file, model, steppers, step, tokens, spent, log)
            saved = time.monotonic()
    _save(state_file, model, steppers, step, tokens, spent, log)
    signal.signal(signal.SIGTERM, before)
    return log


def asked_rows(
    hidden: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of vectors (..., d) and labels (...) those that the loss asks for, (n, d) and
    (n,); n is filled up to a multiple of 64 with ignored ones. On a GPU all of them:
    a recorded step has one shape, and choosing costs more than it saves."""
    hidden, labels = hidden.flatten(0, 1), labels.flatten()
    if on_gpu():
        return hidden, labels
    where = torch.nonzero(labels >= 0).squeeze(1)
    if len(where) % 64 and len(where) < len(labels):
        where = torch.cat(
            [where, (labels < 0).nonzero()[0].expand(64 - len(where) % 64)]
        )
    return hidden[where], labels[where]


def mean_loss(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of scores (n, V) at the labels (n,) that are not -100; 0 where
    a batch happens to ask nothing."""
    return torch.nn.functional.cross_entropy(
        scores.float(), labels, reduction="sum"
    ) / (labels >= 0).sum().clamp(min=1)


def _save(
    path: Path, model, steppers, step: int, tokens: int, seconds: float, log: list
) -> None:
    """Writes beside and renames, so that a kill never leaves half a file."""
    new = path.with_suffix(".new")
    torch.save(
        {
            "model": model.state_dict(),
            "optimizers": [stepper.state_dict() for stepper in steppers],
            "step": step,
            "tokens": tokens,
            "seconds": seconds,
        },
        new,
    )
    (path.parent / "log.json").write_text(json.dumps(log))
    new.replace(path)
