"""The training loop: seeded, resumable to the same numbers, and it touches only what
may be tuned."""

import math
import os
import random
import re

import numpy as np
import pytest
import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState, GradientState

from prompttune_utils.hub import weights_hash
from prompttune_utils.training import fit

ROWS = [
    {"text": str(i), "x": [float(i % 3), float(i % 5), 1.0], "label": int(i % 3 == 2)}
    for i in range(11)
]
SETTINGS = dict(learning_rate=0.05, steps=23, batch_size=4)


class Tiny(torch.nn.Module):
    """A frozen layer, dropout, a layer to tune."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.frozen, self.head = (
            torch.nn.Linear(3, 8).requires_grad_(False),
            torch.nn.Linear(8, 2),
        )
        self.drop, self.seen = torch.nn.Dropout(0.3), []

    def loss(self, rows):
        assert self.training
        self.seen.append([row["text"] for row in rows])
        x = torch.tensor([row["x"] for row in rows])
        return torch.nn.functional.cross_entropy(
            self.head(self.drop(self.frozen(x).tanh())),
            torch.tensor([row["label"] for row in rows]),
        )


def train(model=None, **options):
    model = model or Tiny()
    return model, fit(model, ROWS, model.loss, **(SETTINGS | options))


def test_same_seed_same_numbers():
    (one, losses), (two, again) = train(seed=3), train(seed=3)
    assert losses == again and len(losses) == 23
    assert weights_hash(one) == weights_hash(two)
    assert one.seen == two.seen
    assert train(seed=4)[0].seen != one.seen and train(seed=4)[1] != losses


def test_it_learns_and_ends_in_eval_mode():
    model, losses = train(steps=200)
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])
    assert not model.training


def test_every_row_in_every_pass():
    model, _ = train(steps=11, batch_size=4)
    texts = [text for batch in model.seen for text in batch]
    assert len(texts) == 44
    for start in range(0, 44, 11):
        assert sorted(texts[start : start + 11], key=int) == [
            row["text"] for row in ROWS
        ]
    assert texts[:11] != texts[11:22]


def test_only_what_requires_a_gradient_moves():
    model, fresh = train()[0], Tiny()
    for name, value in model.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[name]) == name.startswith(
            "frozen"
        ), name
    assert all(p.grad is None for p in model.frozen.parameters())


def test_schedule_by_hand():
    """Warmup over a tenth, then linearly down: with Adam and one constant gradient
    every step moves by the learning rate."""
    weight = torch.nn.Parameter(torch.zeros(1))
    model, places = torch.nn.ParameterList([weight]), []
    fit(
        model,
        ROWS,
        lambda _: model[0].sum(),
        learning_rate=1.0,
        steps=20,
        weight_decay=0.0,
        after_step=lambda _: places.append(weight.item()),
    )
    moved = [a - b for a, b in zip([0.0, *places], places)]
    assert moved == pytest.approx([0, 0.5] + [1 - i / 18 for i in range(18)], abs=1e-4)


class Killed(Exception):
    pass


def kill_at(last):
    def after_step(step):
        if step == last:
            raise Killed

    return after_step


@pytest.mark.parametrize("last", [3, 5, 7, 20, 22])
def test_killed_and_resumed_equals_unbroken(tmp_path, last):
    unbroken, losses = train(seed=1)
    options = dict(seed=1, checkpoint=tmp_path / "run", checkpoint_every=5)
    with pytest.raises(Killed):
        train(after_step=kill_at(last), **options)
    model, steps = Tiny(), []
    # what it starts from must not matter once there is a checkpoint
    with torch.no_grad():
        for p in model.head.parameters():
            p.add_(0 if last < 5 else 1)
    torch.rand(7)
    _, resumed = train(model, after_step=steps.append, **options)
    assert steps[0] == last // 5 * 5 + 1
    assert resumed == losses
    assert weights_hash(model) == weights_hash(unbroken)


def test_killed_twice_and_while_saving(tmp_path):
    """Half a file of a save that was killed does not stop the next one."""
    options = dict(seed=1, checkpoint=str(tmp_path / "run"), checkpoint_every=5)
    for last in (7, 12):
        with pytest.raises(Killed):
            train(after_step=kill_at(last), **options)
        (tmp_path / "run" / "checkpoint.pt.part").write_text("half a file")
    assert train(**options)[1] == train(seed=1)[1]
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["checkpoint.pt"]


def test_finished_run_is_not_trained_again(tmp_path):
    """It asks one batch again, to see that the loss is still the same."""
    options = dict(steps=10, checkpoint=tmp_path / "run", checkpoint_every=5)
    model, losses = train(**options)
    again, same = train(after_step=kill_at(10), **options)
    assert same == losses and weights_hash(again) == weights_hash(model)
    assert again.seen == model.seen[-1:] and not again.training


def test_buffers_go_on_too(tmp_path):
    """Batch norm's running means move with every forward pass; the repeated step must
    not move them twice."""

    def normed(**options):
        model = Tiny()
        model.drop = torch.nn.BatchNorm1d(8)
        return train(model, **options)

    unbroken, losses = normed()
    options = dict(checkpoint=tmp_path / "run", checkpoint_every=5)
    with pytest.raises(Killed):
        normed(after_step=kill_at(12), **options)
    resumed, same = normed(**options)
    assert same == losses and weights_hash(resumed) == weights_hash(unbroken)


def test_frozen_weights_are_not_saved(tmp_path):
    train(checkpoint=tmp_path / "run", checkpoint_every=5)
    saved = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert sorted(saved["weights"]) == ["head.bias", "head.weight"]


OTHER_SETTINGS = {
    "learning_rate was 0.05 and is 0.9": dict(learning_rate=0.9),
    "steps was 23 and is 10": dict(steps=10),
    "steps was 23 and is 40": dict(steps=40),
    "batch_size was 4 and is 2": dict(batch_size=2),
    "seed was 0 and is 7": dict(seed=7),
    "warmup was 0.1 and is 0.0": dict(warmup=0),
    "weight_decay was 0.01 and is 0.1": dict(weight_decay=0.1),
    "seed was 0 and is 7, weight_decay": dict(seed=7, weight_decay=0.1),
}


def other_rows(model):
    rows = [row | {"label": 1 - row["label"]} for row in ROWS]
    return model, rows, model.loss


def other_frozen_weights(model):
    model.frozen.weight[0, 0] += 0.001
    return model, ROWS, model.loss


def other_shape(model):
    model.head = torch.nn.Linear(8, 3)
    return model, ROWS, model.loss


def less_to_tune(model):
    model.head.bias.requires_grad_(False)
    return model, ROWS, model.loss


def other_loss(model):
    return model, ROWS, lambda rows: 1.01 * model.loss(rows)


def other_module_behind_the_loss(model):
    """What is tuned is the head; the layer below is not seen from there."""
    model.train()
    model.frozen.weight[0, 0] += 0.1
    return model.head, ROWS, model.loss


OTHERS = {
    "another list of rows": other_rows,
    "another set of frozen weights": other_frozen_weights,
    "another list of tuned parameters": other_shape,
    "another list of tuned parameters, another set of frozen weights": less_to_tune,
    r"the loss of step 20 was 0\.\d+ and is 0\.\d+": other_loss,
    "the loss of step 20": other_module_behind_the_loss,
}


@pytest.mark.parametrize("what, others", OTHER_SETTINGS.items())
def test_checkpoint_of_other_settings_is_refused(tmp_path, what, others):
    options = dict(checkpoint=tmp_path / "run", checkpoint_every=5)
    _, losses = train(**options)
    with pytest.raises(ValueError, match=re.escape(f"another run ({what}")):
        train(**options | others)
    assert train(**options)[1] == losses


@pytest.mark.parametrize("what, change", OTHERS.items())
def test_checkpoint_of_another_training_is_refused(tmp_path, what, change):
    """The model that is refused keeps its weights, and the checkpoint its run."""
    options = SETTINGS | dict(checkpoint=tmp_path / "run", checkpoint_every=5)
    model = Tiny().train()
    tuned = model.head if change is other_module_behind_the_loss else model
    losses = fit(tuned, ROWS, model.loss, **options)
    with torch.no_grad():
        other = Tiny()
        changed = change(other)
    weights = weights_hash(other)
    with pytest.raises(
        ValueError,
        match=rf"The checkpoint in \S+run is of another run \(.*{what}.*\): give "
        r"another folder as checkpoint, or delete this one\.$",
    ):
        fit(*changed, **options)
    assert weights_hash(other) == weights
    model = Tiny().train()
    tuned = model.head if change is other_module_behind_the_loss else model
    assert fit(tuned, ROWS, model.loss, **options) == losses


def test_equal_rows_are_the_same_rows(tmp_path):
    """Tensors, sets and a row that stands twice are told by their values."""

    def rows():
        made = [{"x": torch.ones(1) * i, "words": {"a", "b"}, "i": i} for i in range(4)]
        return made + [{"x": torch.zeros(1), "words": {"b", "a"}, "i": 0}]

    def go(given):
        torch.manual_seed(0)
        model = torch.nn.Linear(1, 1)
        return fit(
            model,
            given,
            lambda batch: model(torch.stack([row["x"] for row in batch])).mean(),
            checkpoint=tmp_path / "run",
            checkpoint_every=5,
            **SETTINGS,
        )

    once, twice = rows(), rows()
    twice[-1] = twice[0]
    assert go(once) == go(twice)
    twice[-1] = twice[1]
    with pytest.raises(ValueError, match="another list of rows"):
        go(twice)


def test_a_loss_that_cannot_go_on_is_refused(tmp_path):
    """Random numbers of its own are in no checkpoint: other numbers would follow."""

    def go(after_step=None):
        model, own = Tiny(), random.Random(0)
        return fit(
            model,
            ROWS,
            lambda rows: own.random() * model.loss(rows),
            checkpoint=tmp_path / "run",
            checkpoint_every=5,
            after_step=after_step,
            **SETTINGS,
        )

    with pytest.raises(Killed):
        go(kill_at(7))
    with pytest.raises(ValueError, match="the loss of step 5 was"):
        go()


def test_only_its_own_folder_is_touched(tmp_path):
    """Whatever lies beside the folder stays; parents and an empty folder are fine."""
    for name in ("run.old", "run.new", "run.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("mine")
    (tmp_path / "run").mkdir()
    for folder in (tmp_path / "run", tmp_path / "deep" / "down"):
        train(checkpoint=folder, checkpoint_every=1)
        assert [p.name for p in folder.iterdir()] == ["checkpoint.pt"]
    for name in ("run.old", "run.new", "run.part"):
        assert (tmp_path / name / "thesis.txt").read_text() == "mine"


def test_folders_that_are_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    other = (
        r"^The folder \S+ holds other things than a checkpoint \(thesis.txt\): give "
    )
    with pytest.raises(ValueError, match=other):
        train(checkpoint=tmp_path)
    for path in (tmp_path / "thesis.txt", tmp_path / "thesis.txt" / "run"):
        with pytest.raises(ValueError, match=r"cannot be used as a folder \(\w+\): "):
            train(checkpoint=path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["mine"]


def test_folder_that_cannot_be_written(tmp_path, monkeypatch):
    """Said at once, not when the first checkpoint is due; root may write everywhere, so
    the answer of the system is put in its mouth."""
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(ValueError, match=r"as a folder \(PermissionError\): "):
        train(checkpoint=tmp_path / "run")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"thesis",
        lambda content: content[: len(content) // 2],
        # one bit of a weight, of Adam's state or of the random state
        *[
            lambda content, share=share: (
                content[: int(share * len(content))]
                + bytes([content[int(share * len(content))] ^ 64])
                + content[int(share * len(content)) + 1 :]
            )
            for share in (0.05, 0.3, 0.5)
        ],
    ],
)
def test_damaged_checkpoint(tmp_path, damage):
    options = dict(checkpoint=tmp_path / "run", checkpoint_every=5)
    train(**options)
    file = tmp_path / "run" / "checkpoint.pt"
    file.write_bytes(content := damage(file.read_bytes()))
    with pytest.raises(
        ValueError,
        match=r"^The checkpoint \S+ cannot be read \(\w+\): give another folder as "
        r"checkpoint, or delete this one\.$",
    ):
        train(**options)
    assert file.read_bytes() == content


def test_something_else_than_a_checkpoint(tmp_path):
    torch.save({"weights": torch.ones(2)}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="cannot be read"):
        train(checkpoint=tmp_path)


@pytest.mark.parametrize(
    "name, value",
    [
        *[(name, 0) for name in ("steps", "batch_size", "checkpoint_every")],
        *[(name, -1) for name in ("steps", "batch_size", "checkpoint_every")],
        *[(name, 2.5) for name in ("steps", "batch_size", "checkpoint_every")],
        *[("learning_rate", value) for value in (0, -0.1, math.inf, math.nan, "0.1")],
        *[("warmup", value) for value in (-0.1, 1.1, math.nan, 10)],
        *[("weight_decay", value) for value in (-0.1, math.inf, math.nan)],
        *[("seed", value) for value in (-1, 2**32, 0.5, None)],
    ],
)
def test_settings_out_of_range(name, value):
    model = Tiny().eval()
    weights = weights_hash(model)
    with pytest.raises(
        ValueError, match=f"^{name} is {re.escape(repr(value))}: give a "
    ):
        train(model, **{name: value})
    assert model.seen == [] and weights_hash(model) == weights


def test_settings_on_the_edge_and_of_numpy():
    edge = dict(steps=1, batch_size=1, checkpoint_every=1, seed=2**32 - 1)
    assert len(train(warmup=0, weight_decay=0, **edge)[1]) == 1
    assert len(train(warmup=1, **edge)[1]) == 1
    of_numpy = dict(steps=np.int64(3), learning_rate=np.float64(0.05), seed=np.int32(0))
    assert train(**of_numpy)[1] == train(steps=3)[1]


def test_settings_of_numpy_can_be_saved(tmp_path):
    options = dict(checkpoint=tmp_path / "run", checkpoint_every=5)
    losses = train(seed=np.int64(1), learning_rate=np.float64(0.05), **options)[1]
    assert train(seed=1, **options)[1] == losses


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_in_a_step(error):
    """Dropout is off, no gradient is left, and the random numbers are the caller's."""
    model = Tiny()
    calls = []

    def loss(rows):
        if len(calls) == 3:
            model.loss(rows).backward()  # the stop comes in the backward pass
            raise error
        calls.append(rows)
        return model.loss(rows)

    before = drawn_next()
    with pytest.raises(error):
        fit(model, ROWS, loss, **SETTINGS)
    assert not any(module.training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert drawn_next() == before


def drawn_next():
    """What each global generator gives next, without moving it."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    drawn = random.random(), np.random.rand(), torch.rand(1).item()
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    return drawn


def test_random_numbers_of_the_caller_stay():
    torch.manual_seed(11)
    np.random.seed(11)
    random.seed(11)
    model, before = Tiny(), drawn_next()

    def loss(rows):
        return model.loss(rows) + 0 * (random.random() + np.random.rand())

    fit(model, ROWS, loss, **SETTINGS)
    assert drawn_next() == before


def test_gradients_of_the_caller_do_not_count():
    model = Tiny().train()
    (100 * model.loss(ROWS)).backward()
    model.seen.clear()
    assert train(model)[1] == train()[1]


def test_state_of_accelerate():
    """An Accelerator made before changes no number; fit leaves it, or its absence."""

    class Called(Tiny):
        def forward(self, rows):
            return Tiny.loss(self, rows)

        def loss(self, rows):
            return self(rows)  # where mixed precision would set in

    def state():
        return [
            dict(kind._shared_state)
            for kind in (PartialState, AcceleratorState, GradientState)
        ]

    def forget():
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()

    forget()
    try:
        model, losses = train(Called())
        assert state() == [{}, {}, {}] and "forward" not in vars(model)
        Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=4)
        before = state()
        model, again = train(Called())
        assert again == losses and state() == before and "forward" not in vars(model)
    finally:
        forget()


def test_model_stays_on_its_device():
    """A mini is run on the CPU also where there is a GPU; the loop must not move it
    away from its inputs."""
    model = Tiny()

    def moved(*_, **__):
        raise AssertionError("the loop moved the model")

    model.to = moved
    train(model, steps=2)


def test_nothing_to_train():
    model = Tiny()
    with pytest.raises(
        ValueError, match="There is nothing to train: the list of rows is empty"
    ):
        fit(model, [], model.loss, **SETTINGS)
    with pytest.raises(
        ValueError, match="no parameter of the model has requires_grad=True"
    ):
        fit(model.requires_grad_(False), ROWS, model.loss, **SETTINGS)
