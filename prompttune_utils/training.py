"""One training loop for every method: seeded, with a progress bar, resumable to the
same numbers, on one process or, by Accelerate, on several."""

import contextlib
import copy
import math
import os
import random
import zipfile
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast, gather_object, reduce, set_seed
from tqdm.auto import tqdm
from transformers import get_linear_schedule_with_warmup


def fit(
    model: torch.nn.Module,
    rows: list[dict],
    loss_of: Callable[[list[dict]], torch.Tensor] | None = None,
    *,
    learning_rate: float | Mapping[str, float],
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
    """Tunes the parameters of `model` that require a gradient, by AdamW with a linear
    schedule.

    The random state of the process is seeded here and given back at the end. Under
    `accelerate launch` the processes share every batch and end with the same weights,
    those of one process but for rounding (random masks such as dropout's apart, which
    each process draws for its own rows).

    Args:
        model: its parameters with requires_grad are tuned; it is left in eval mode,
            also when the training is interrupted.
        rows: training rows, passed over in a new seeded order as often as `steps`
            needs.
        loss_of: maps a batch of rows to a scalar loss, their mean (default: the model's
            own `loss`). With a checkpoint it must draw its random numbers from the
            global generators, which are saved.
        learning_rate: peak of the schedule: up over the share `warmup` of the steps,
            then linearly down to 0. For different rates: the name of a part of the
            model, such as "head" -> the rate of the parameters in it.
        steps: number of optimizer steps.
        batch_size: rows a step, of all processes together.
        seed: order of the rows and everything random in the model.
        checkpoint: a folder for this run alone, the same for all processes. The run is
            saved there every `checkpoint_every` steps; the same call goes on from it
            after a cut, and ends with the same numbers as an unbroken one.
        progress: show a bar (on stderr).
        after_step: called with the number of the step just taken.

    Returns:
        The loss of every step.

    Raises:
        ValueError: no rows, nothing to tune, a setting out of its range, a parameter
            without a learning rate, a batch that the processes cannot share evenly, or
            a checkpoint that is damaged or of another run.
    """
    loss_of = model.loss if loss_of is None else loss_of
    rates = learning_rate if isinstance(learning_rate, Mapping) else {"": learning_rate}
    for rate in rates.values():
        _check(learning_rate=rate)
    _check(
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        warmup=warmup,
        weight_decay=weight_decay,
        checkpoint_every=checkpoint_every,
    )
    settings = {  # plain numbers, also of numpy's
        "learning_rate": (
            {name: float(rate) for name, rate in rates.items()}
            if isinstance(learning_rate, Mapping)
            else float(learning_rate)
        ),
        "steps": int(steps),
        "batch_size": int(batch_size),
        "seed": int(seed),
        "warmup": float(warmup),
        "weight_decay": float(weight_decay),
    }
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
    groups = _groups(model, rates)
    with _processes() as processes, _random_state_kept():
        several = processes.num_processes > 1
        share, rest = divmod(batch_size, processes.num_processes)
        if rest:
            raise ValueError(
                f"A batch of {batch_size} rows cannot be shared by "
                f"{processes.num_processes} processes: choose a multiple of "
                f"{processes.num_processes} as batch_size."
            )
        set_seed(settings["seed"])
        if several:  # a start drawn before the seed differs from process to process
            for tensor in [*model.parameters(), *model.buffers()]:
                broadcast(tensor.data)
        optimizer = torch.optim.AdamW(
            groups, weight_decay=settings["weight_decay"], fused=True
        )
        schedule = get_linear_schedule_with_warmup(
            optimizer, int(warmup * steps), steps
        )
        order, generator = [], torch.Generator().manual_seed(settings["seed"])
        while len(order) < steps * batch_size:
            order += torch.randperm(len(rows), generator=generator).tolist()
        losses, before, saved = [], None, None
        if checkpoint is not None:
            settings["processes"] = processes.num_processes
            saved = _Checkpoint(checkpoint, settings, model, rows, optimizer, schedule)
            losses = saved.load()
            before = losses.pop() if losses else None  # of the step that is repeated
        steps_left = tqdm(
            range(len(losses), steps),
            total=steps,
            initial=len(losses),
            disable=not (progress and processes.is_main_process),
            desc="training",
        )
        try:
            model.train()
            optimizer.zero_grad()  # what somebody else's backward pass has left
            for step in steps_left:
                first = step * batch_size + processes.process_index * share
                batch = [rows[i] for i in order[first : first + share]]
                due = saved and (step + 1) % checkpoint_every == 0
                moving = saved.moving() if due else None
                loss = loss_of(batch)
                loss.backward()
                if several:
                    loss = reduce(loss.detach(), "mean")
                    for p in tuned:
                        p.grad = None if p.grad is None else reduce(p.grad, "mean")
                losses.append(loss.item())
                repeated, before = before, None
                if repeated is not None:
                    saved.compare(repeated, losses)
                elif due:
                    saved.save(moving, losses)
                torch.nn.utils.clip_grad_norm_(tuned, 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                if after_step and repeated is None:
                    after_step(step + 1)
        finally:
            model.eval()
            optimizer.zero_grad()
    return losses


def _groups(model: torch.nn.Module, rates: Mapping[str, float]) -> list[dict]:
    """The tuned parameters, those of one rate together; "" stands for all of them."""
    groups = {name: {"params": [], "lr": float(rate)} for name, rate in rates.items()}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parts = [p for p in groups if not p or f"{name}.".startswith(f"{p}.")]
            if len(parts) != 1:
                raise ValueError(
                    f"The parameter {name} is in {len(parts)} of the parts that have a "
                    f"learning rate ({', '.join(groups)}): give it one rate."
                )
            groups[parts[0]]["params"].append(parameter)
    for part, group in groups.items():
        if not group["params"]:
            raise ValueError(
                f"There is a learning rate for {part}, where nothing is trained: "
                "take it out, or name another part."
            )
    return list(groups.values())


def _check(**settings) -> None:
    """Raises ValueError for a setting that is out of its range."""
    for name, value in settings.items():
        if name in ("steps", "batch_size", "checkpoint_every"):
            sound = isinstance(value, Integral) and value >= 1
            wanted = "a whole number from 1 on"
        elif name == "seed":
            sound = isinstance(value, Integral) and 0 <= value < 2**32
            wanted = "a whole number from 0 to 2**32 - 1"
        elif name == "warmup":
            sound = isinstance(value, Real) and 0 <= value <= 1
            wanted = "a share of the steps, from 0 to 1"
        elif name == "weight_decay":
            sound = isinstance(value, Real) and 0 <= value < math.inf
            wanted = "a number from 0 on"
        else:
            sound = isinstance(value, Real) and 0 < value < math.inf
            wanted = "a number above 0"
        if not sound:
            raise ValueError(f"{name} is {value!r}: give {wanted}.")


@contextlib.contextmanager
def _processes() -> Iterator[PartialState]:
    """Accelerate's view of the processes that share this run; made only for the time of
    the run unless it was there before."""
    there = bool(PartialState._shared_state)
    try:
        yield PartialState()
    finally:
        if not there:
            PartialState._reset_state()


@contextlib.contextmanager
def _random_state_kept() -> Iterator[None]:
    """Afterwards the global random generators go on as if nothing had been drawn."""
    state = _random_state()
    try:
        yield
    finally:
        _set_random_state(state)


def _random_state() -> dict:
    """The state of the global random generators, in types that `torch.load` trusts."""
    kind, keys, *rest = np.random.get_state()
    state = {
        "python": random.getstate(),
        "numpy": (kind, keys.tolist(), *rest),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def _set_random_state(state: dict) -> None:
    """Undoes what was drawn since `_random_state`; another machine's devices are left
    out."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])


class _Checkpoint:
    """The checkpoint of one run, in a folder of its own.

    It holds the state before its last step, and the losses up to this step. Whoever
    goes on from it repeats the step, and the same loss must come out: else the
    backbone, the template or whatever else computes the loss is not that of the run.
    """

    MEND = "give another folder as checkpoint, or delete this one"

    def __init__(
        self, folder: str | Path, settings: dict, model, rows, optimizer, schedule
    ):
        self.folder = Path(folder)
        self.file = self.folder / "checkpoint.pt"
        self.part = self.folder / "checkpoint.pt.part"  # while it is being written
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.settings = settings | _fingerprints(model, rows)

    def load(self) -> list[float]:
        """Puts the run where it was before the last step that was saved.

        Returns:
            The losses up to and with this step; none at the start of a run.

        Raises:
            ValueError: the folder is not a checkpoint's, or is one of another run.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            held = {path.name for path in self.folder.iterdir()} - {self.part.name}
            if not os.access(self.folder, os.W_OK):
                raise PermissionError
        except OSError as error:
            raise ValueError(
                f"The checkpoint {self.folder} cannot be used as a folder "
                f"({type(error).__name__}): give another one."
            ) from None
        if not held:
            return []
        if self.file.name not in held:
            raise ValueError(
                f"The folder {self.folder} holds other things than a checkpoint "
                f"({min(held)}): give a new or an empty folder as checkpoint."
            )
        try:
            with zipfile.ZipFile(self.file) as archive:  # torch tests no checksums
                if archive.testzip():
                    raise zipfile.BadZipFile
            saved = torch.load(self.file, "cpu", weights_only=True)
            there = {name: saved["settings"][name] for name in self.settings}
        except Exception as error:  # each kind of damage has a class of its own
            raise ValueError(
                f"The checkpoint {self.file} cannot be read "
                f"({type(error).__name__}): {self.MEND}."
            ) from None
        other = [
            f"another {name}"
            if isinstance(here, str)
            else f"{name} was {there[name]} and is {here}"
            for name, here in self.settings.items()
            if there[name] != here
        ]
        if other:
            raise ValueError(
                f"The checkpoint in {self.folder} is of another run "
                f"({', '.join(other)}): {self.MEND}."
            )
        self.start = copy.deepcopy(_moved(self.model))
        self.model.load_state_dict(saved["weights"], strict=False)
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        _set_random_state(saved["random"][PartialState().process_index])
        return saved["losses"]

    def compare(self, before: float, losses: list[float]) -> None:
        """Raises ValueError when the loss of the repeated step, the last of `losses`,
        is not what it was before; the model gets back the weights that it came with."""
        if math.isclose(losses[-1], before, rel_tol=1e-4, abs_tol=1e-7):
            return
        self.model.load_state_dict(self.start, strict=False)
        raise ValueError(
            f"The checkpoint in {self.folder} is of another run (the loss of step "
            f"{len(losses)} was {before:.6g} and is {losses[-1]:.6g}, so what computes "
            f"it has changed): {self.MEND}."
        )

    def moving(self) -> dict:
        """What a forward pass changes, as it is before it: the random state of every
        process, and the buffers."""
        buffers = {name: value.clone() for name, value in self.model.named_buffers()}
        return {"random": gather_object([_random_state()]), "buffers": buffers}

    def save(self, moving: dict, losses: list[float]) -> None:
        """Saves the state before the optimizer's step, with the loss that leads to it.

        The main process writes, into another file that is renamed when it is complete,
        so that a kill never leaves half a checkpoint.
        """
        processes = PartialState()
        if processes.is_main_process:
            state = {
                "settings": self.settings,
                "losses": losses,
                "weights": _moved(self.model) | moving["buffers"],
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "random": moving["random"],
            }
            torch.save(state, self.part)
            self.part.replace(self.file)
        processes.wait_for_everyone()


def _moved(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What training changes: all of the state dict but the frozen parameters."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return {
        name: value
        for name, value in model.state_dict().items()
        if name not in parameters or parameters[name].requires_grad
    }


def _fingerprints(model: torch.nn.Module, rows: list[dict]) -> dict[str, str]:
    """Hashes of what a run cannot change under way without being another run."""
    from datasets.fingerprint import Hasher

    tuned, frozen = [], []
    for name, p in model.named_parameters(remove_duplicate=False):
        if p.requires_grad:
            tuned.append((name, tuple(p.shape), str(p.dtype)))
        else:
            frozen.append((name, Hasher.hash(p.detach())))
    # row by row: a list with one object twice has another hash than one with two equals
    return {
        "list of rows": Hasher.hash([Hasher.hash(row) for row in rows]),
        "list of tuned parameters": Hasher.hash(tuned),
        "set of frozen weights": Hasher.hash(frozen),
    }
