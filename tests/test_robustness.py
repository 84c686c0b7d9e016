"""What happens to a run that is killed, and without a network: processes of their own,
which end by SIGKILL or talk to a wall."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from prompttune_utils.results import Recorded

TRAIN = """
import json, os, signal, sys
from pathlib import Path
import torch
from prompttune_utils import hub
from prompttune_utils.data import load_task
from prompttune_utils.methods.prompt_oriented_fine_tuning import (
    FreeVectors, SoftPrompt, SoftTemplate,
)
from prompttune_utils.methods.templates_and_verbalizers import Verbalizer
from prompttune_utils.training import fit

folder, killed = sys.argv[1:]
torch.set_num_threads(1)
backbone = hub.load("masked_lm", verbose=False).frozen()
template = SoftTemplate("{soft:4} {text} It was {mask}.", backbone.tokenizer, 48)
verbalizer = Verbalizer({"negative": "bad", "positive": "good"}, backbone.tokenizer)
start = torch.randn(4, 256, generator=torch.Generator().manual_seed(0))
soft = SoftPrompt(backbone, template, verbalizer, FreeVectors(start))

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def after_step(step):
    if killed == "in a step" and step == 13:
        die()
    if killed == "while saving" and step == 9:
        Path.replace = die  # the second checkpoint is written, but not in its place
    print(step, flush=True)

losses = fit(
    soft.prompt, load_task("reviews-en").pool, soft.loss, after_step=after_step,
    learning_rate=0.1, steps=20, batch_size=4, seed=1,
    checkpoint=folder, checkpoint_every=5,
)
print(json.dumps({"losses": losses, "vectors": soft.prompt().flatten().tolist()}))
"""

RECORD = """
import os, signal, sys
from pathlib import Path
from prompttune_utils.results import Recorded

folder, killed = Path(sys.argv[1]), sys.argv[2]

def measured(setting, seed):
    with open(folder / "ran", "a") as log:
        print(seed, file=log)
    if killed == "in a run" and seed == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if killed == "while saving" and seed == 3:
        Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    return setting * seed

print(Recorded("chapter", "weights", folder).per_seed(measured, 0.1))
"""


def run(
    code: str, *arguments, timeout: int = 300, **environment
) -> subprocess.CompletedProcess:
    """Runs `code` in a process of its own; a variable given as None is not set."""
    given = {k: v for k, v in (os.environ | environment).items() if v is not None}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=given,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    done = run(TRAIN, tmp_path_factory.mktemp("unbroken") / "run", "never")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "killed, last, goes_on",
    [("in a step", 12, 11), ("while saving", 9, 6)],
)
def test_soft_prompt_killed_in_mid_training_ends_with_the_same_numbers(
    unbroken, tmp_path, killed, last, goes_on
):
    """Vectors and losses are equal to the last bit."""
    first = run(TRAIN, tmp_path / "run", killed)
    assert first.returncode == -signal.SIGKILL and first.stdout.splitlines() == [
        str(step) for step in range(1, last + 1)
    ], first.stderr
    second = run(TRAIN, tmp_path / "run", "never")
    assert second.returncode == 0, second.stderr
    *steps, numbers = second.stdout.splitlines()
    assert steps[0] == str(goes_on)
    assert (
        json.loads(numbers) == json.loads(unbroken[-1])
        and len(json.loads(numbers)["losses"]) == 20
    )


@pytest.mark.parametrize("killed", ["in a run", "while saving"])
def test_killed_recording_goes_on_where_it_stopped(tmp_path, killed):
    first = run(RECORD, tmp_path, killed, PROMPTTUNE_RECORD="1")
    assert first.returncode == -signal.SIGKILL, first.stderr
    kept = Recorded("chapter", "weights", tmp_path).entries
    assert [entry["settings"]["seed"] for entry in kept] == [0, 1, 2]
    second = run(RECORD, tmp_path, "never", PROMPTTUNE_RECORD="1")
    assert second.stdout == f"{[0.1 * seed for seed in range(5)]}\n", second.stderr
    assert (tmp_path / "ran").read_text().split() == ["0", "1", "2", "3", "3", "4"]
    assert Recorded("chapter", "weights", tmp_path).entries[:3] == kept


ASK = """
import sys, time
import datasets, transformers
from prompttune_utils import data, hub

before = time.perf_counter()
try:
    {}
except hub.NotFound as error:
    print(error)
print(time.perf_counter() - before, file=sys.stderr)
"""
ASKED = {
    "model": (
        'hub.load("masked_lm", name="google-bert/bert-base-uncased")',
        "'google-bert/bert-base-uncased'",
    ),
    "data set": ('data.load_task("sst2")', "'SetFit/sst2'"),
}


@pytest.mark.parametrize("network", ["refuses", "swallows"])
@pytest.mark.parametrize("call, name", ASKED.values(), ids=ASKED)
def test_no_network_is_one_sentence_and_no_hang(tmp_path, network, call, name):
    """All connections go to a proxy: a port where nobody listens, or one that takes
    everything and never answers."""
    with socket.socket() as wall:
        wall.bind(("127.0.0.1", 0))
        if network == "swallows":
            wall.listen(64)
        proxy = dict.fromkeys(
            ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"],
            f"http://127.0.0.1:{wall.getsockname()[1]}",
        )
        others = dict.fromkeys(
            [
                "NO_PROXY",
                "no_proxy",
                "ALL_PROXY",
                "all_proxy",
                "HF_ENDPOINT",
                "HF_HUB_OFFLINE",
                "PROMPTTUNE_MIRROR",
            ]
        )
        done = run(ASK.format(call), HF_HOME=str(tmp_path), **proxy, **others)
    mend = "check the network, or set PROMPTTUNE_MIRROR to a folder that holds it."
    assert (
        done.stdout
        == f"{name} could not be fetched from the hub (it does not answer): {mend}\n"
    ), done.stderr
    assert float(done.stderr) < 60  # and nothing else is said
