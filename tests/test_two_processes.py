"""`accelerate launch` on two processes of the CPU gives what one process gives."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from safetensors.torch import load_file

from prompttune_utils import hub
from prompttune_utils.data import load_task, read_csv
from prompttune_utils.methods import your_own_task as own
from prompttune_utils.training import fit

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {"learning_rate": 0.03, "steps": 6, "batch_size": 8}
WORDS = {"negative": "terrible", "positive": "great"}

TWICE = f"""
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import save_file

sys.path.insert(0, {str(ROOT / "tests")!r})
import test_two_processes as here
from prompttune_utils import training

accelerator, folder, vectors, losses = Accelerator(), Path(sys.argv[1]), {{}}, {{}}
assert accelerator.num_processes == 2


def run(name, **options):
    prompt, rows = here.prompt_and_rows()
    if accelerator.process_index:
        prompt.prompt.vectors.data.add_(1)  # a start of its own, which must not matter
    settings = here.SETTINGS | options
    losses[name] = torch.tensor(here.fit(prompt.prompt, rows, prompt.loss, **settings))
    vectors[name] = prompt.prompt().detach()


def stop(step):
    if step == 4:
        raise InterruptedError


run("plain")
try:
    run("cut off", checkpoint=folder / "run", checkpoint_every=3, after_step=stop)
except InterruptedError:
    pass
run("resumed", checkpoint=folder / "run", checkpoint_every=3)
try:
    run("odd", batch_size=7)
except ValueError as error:
    (folder / f"error{{accelerator.process_index}}").write_text(str(error))
training.reduce = lambda tensor, reduction: tensor
run("each for itself")
values = vectors | {{f"losses, {{name}}": kept for name, kept in losses.items()}}
save_file(values, str(folder / f"{{accelerator.process_index}}.safetensors"))
"""


def prompt_and_rows():
    torch.set_num_threads(1)
    backbone, rows = (
        hub.load("masked_lm", verbose=False),
        load_task("reviews-en").pool[:32],
    )
    backbone.model.requires_grad_(False)
    pattern = "{text} {soft:3} It was {mask}."
    return own.prompt_with(backbone, pattern, WORDS, 48, 0), rows


def launch(script, *arguments):
    """Runs a script on two processes, on the CPU."""
    options = [
        "--multi_gpu",
        "--num_machines=1",
        "--num_processes=2",
        "--mixed_precision=no",
        "--dynamo_backend=no",
        "--main_process_port=0",
    ]
    environment = os.environ | {
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
    }
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        *options,
        str(script),
        *map(str, arguments),
    ]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """What each of the two processes ended with."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "twice.py").write_text(TWICE)
    launch(folder / "twice.py", folder)
    return folder, [
        load_file(folder / f"{process}.safetensors") for process in range(2)
    ]


def test_two_processes_give_the_result_of_one(twice):
    prompt, rows = prompt_and_rows()
    before = prompt.prompt().detach().clone()
    losses = torch.tensor(fit(prompt.prompt, rows, prompt.loss, **SETTINGS))
    one = prompt.prompt().detach()
    assert (one - before).abs().max() > 0.05
    for ended in twice[1]:
        assert torch.allclose(
            ended["plain"], one, rtol=0, atol=1e-5
        ) and torch.allclose(ended["losses, plain"], losses, rtol=0, atol=1e-5)
        # so the comparison would notice gradients that are not averaged
        assert (ended["each for itself"] - one).abs().max() > 1e-3
    assert torch.equal(*(ended["plain"] for ended in twice[1]))


def test_cut_off_and_resumed_on_two_processes(twice):
    for ended in twice[1]:
        assert torch.equal(ended["resumed"], ended["plain"]) and torch.equal(
            ended["losses, resumed"], ended["losses, plain"]
        )
    assert [p.name for p in twice[0].glob("run*/*")] == ["checkpoint.pt"]


def test_a_checkpoint_of_two_is_not_one_of_one(twice):
    """Each process had random numbers of its own; one process has no use for two."""
    prompt, rows = prompt_and_rows()
    with pytest.raises(ValueError, match=r"run \(processes was 2 and is 1\): give"):
        fit(prompt.prompt, rows, prompt.loss, checkpoint=twice[0] / "run", **SETTINGS)


def test_a_batch_that_two_cannot_share(twice):
    for process in range(2):
        assert (twice[0] / f"error{process}").read_text() == (
            "A batch of 7 rows cannot be shared by 2 processes: choose a multiple of 2 "
            "as batch_size."
        )


LESS = """
from prompttune_utils.methods import your_own_task as own

own.ROUND, own.ROUNDS = 4, 2
"""


def test_the_script_of_the_chapter(tmp_path, monkeypatch):
    """Chapter 14's script, as it stands there but for shorter training: the saved
    prompt is that of one process, and one process reports."""
    chapter = nbformat.read(ROOT / "notebooks" / "14_your_own_task.ipynb", as_version=4)
    space = {}
    exec(next(cell.source for cell in chapter.cells if cell.id == "script"), space)
    (tmp_path / "train_own.py").write_text(LESS + space["SCRIPT"])
    pool = load_task("reviews-en").pool
    rows = [row for label in (0, 1) for row in pool if row["label"] == label]
    rows = rows[:20] + rows[-20:]
    path = tmp_path / "yours.csv"
    path.write_text(
        "comment,verdict\n"
        + "".join(
            '"{}",{}\n'.format(row["text"].replace('"', '""'), row["label"])
            for row in rows
        ),
        encoding="utf-8",
    )
    said = launch(tmp_path / "train_own.py", path, tmp_path / "p")
    assert said.count("soft prompt") == 1
    read, labels = read_csv(path, text="comment", label="verdict")
    monkeypatch.setattr(own, "ROUND", 4)
    monkeypatch.setattr(own, "ROUNDS", 2)
    home = own.backbone_for(read)
    found, _ = own.train(read, labels, home, "soft prompt", kind="opinions")
    both = own.load(tmp_path / "p", home)
    assert torch.allclose(
        both.network.prompt(), found.network.prompt(), rtol=0, atol=1e-4
    )
    assert torch.allclose(both.network.prior, found.network.prior, atol=1e-5)
