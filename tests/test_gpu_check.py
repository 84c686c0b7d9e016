"""The check on a GPU, as far as a CPU can tell: what counts as a difference."""

import copy
import subprocess
import sys

import pytest
import torch

from tools import gpu_check, notebooks

STORED = "accuracy 0.750, best of 3\nwords: good, bad\nloss 12.50 after 1e-3"


def executed(text, other="unchecked 1"):
    """A chapter that was executed and printed `text` in its checked cell."""
    cells = []
    for name, said, tags in (
        ("checked", text, [notebooks.CHECKED]),
        ("free", other, []),
    ):
        cell = notebooks.nbformat.v4.new_code_cell("print()", id=name)
        cell.outputs = [notebooks.nbformat.v4.new_output("stream", text=said)]
        cell.metadata["tags"] = tags
        cells.append(cell)
    return notebooks.nbformat.v4.new_notebook(cells=cells)


@pytest.mark.parametrize(
    "planted, found",
    [
        (("", ""), []),
        (("0.750", "0.769"), []),  # below 0.02
        (("12.50", "12.74"), []),  # below 2 %
        (("words:  good", "words: good"), []),
        (("0.750", "0.729"), ["checked: 0.750 and 0.729: "]),
        (("12.50", "12.76"), ["checked: 12.50 and 12.76: "]),
        (("best of 3", "best of 4"), ["checked: 3 and 4: "]),
        (("0.750", "nan"), ["checked: text: "]),
        (("good, bad", "bad, good"), ["checked: text: "]),
        (("\nloss 12.50 after 1e-3", ""), ["checked: 3 and 2 lines"]),
    ],
)
def test_planted_differences_are_found(planted, found):
    changed = STORED.replace(*planted) if planted[0] else STORED
    lines, said = gpu_check.compare(executed(STORED), executed(changed, "other 2"))
    assert lines == 3 and len(said) == len(found)
    assert all(one.startswith(start) for one, start in zip(said, found))


def test_planted_differences_of_logits_are_found():
    cpu = {"small": torch.tensor([0.1, -0.2]), "large": torch.tensor([50.0, -3.0])}
    cuda = copy.deepcopy(cpu)
    cuda["small"][0] += 0.0009
    cuda["large"][1] += 0.04
    assert [said for *_, said in gpu_check.real_differences(cpu, cuda)] == [[], []]
    cuda["small"][1] += 0.002
    cuda["large"][1] += 0.02
    rows = gpu_check.real_differences(cpu, cuda)
    assert [(name, count, len(said)) for name, count, said in rows] == [
        ("small", 2, 1),
        ("large", 2, 1),
    ]
    cuda["small"][0] = float("nan")
    assert gpu_check.real_differences(cpu, cuda)[0][2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so():
    done = subprocess.run(
        [sys.executable, "-m", "tools.gpu_check"],
        cwd=notebooks.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        "There is no GPU that torch can use on this machine: run this where "
        "torch.cuda.is_available() is True.\n"
    )
