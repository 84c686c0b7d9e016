"""The training loop: seeded, resumable to the same numbers, and it touches only what may be tuned."""

import copy

import pytest
import torch

from prompttune_utils.hub import weights_hash
from prompttune_utils.training import fit, trainable

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
    """Warmup over a tenth, then linearly down: with Adam and one constant gradient every step moves by the learning rate."""
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
    with (
        torch.no_grad()
    ):  # what it starts from must not matter once there is a checkpoint
        for p in model.head.parameters():
            p.add_(0 if last < 5 else 1)
    torch.rand(7)
    _, resumed = train(model, after_step=steps.append, **options)
    assert steps[0] == last // 5 * 5 + 1
    assert resumed == losses
    assert weights_hash(model) == weights_hash(unbroken)


def test_killed_twice_and_while_saving(tmp_path, monkeypatch):
    """A kill between two renames leaves folders behind; they must not stop the next checkpoint."""
    options = dict(seed=1, checkpoint=str(tmp_path / "run"), checkpoint_every=5)
    for last in (7, 12):
        with pytest.raises(Killed):
            train(after_step=kill_at(last), **options)
        for left in ("run.old", "run.new"):
            (tmp_path / left / "deep").mkdir(parents=True)
            (tmp_path / left / "half").write_text("half a file")
    assert train(**options)[1] == train(seed=1)[1]
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_finished_run_is_not_trained_again(tmp_path):
    options = dict(steps=10, checkpoint=tmp_path / "run", checkpoint_every=5)
    model, losses = train(**options)
    again, same = train(after_step=kill_at(11), **options)
    assert same == losses and weights_hash(again) == weights_hash(model)
    assert again.seen == [] and not again.training


def test_model_stays_on_its_device():
    """A mini is run on the CPU also where there is a GPU; the loop must not move it away from its inputs."""
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
        ValueError,
        match="There is nothing to train: no parameter of the model has requires_grad=True",
    ):
        fit(model.requires_grad_(False), ROWS, model.loss, **SETTINGS)


def test_trainable_counts_a_shared_tensor_once():
    model = Tiny()
    model.again = copy.copy(model.head)
    model.again.weight = model.head.weight
    assert trainable(model) == 8 * 2 + 2 and trainable(model.frozen) == 0
