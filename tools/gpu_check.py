"""Runs the course on a GPU and compares what comes out with the CPU's numbers.

    python -m tools.gpu_check [--chapters 01 04 ...] [--output FILE]

At the scale `mini`, every chapter is executed on `cuda`, and the cells whose output is
checked are compared with the outputs that are stored, which are the CPU's. At the scale
`real`, where `make real-model` was run, the measurements of tools/real_figures.py are
made on packaged reviews, on both devices, and the real parts of the chapters are run.
Nothing is written but the file asked for. The exit code is 1 where something differs.

A number may differ by 0.02, or by 2 % of itself: training on a GPU adds in another
order, and an answer of some test rows may change with it. Text may not differ.
"""

import argparse
import json
import os
import random
import re
from contextlib import contextmanager
from pathlib import Path

import torch
from nbformat import NotebookNode

from prompttune_utils import hub
from prompttune_utils.data import load_task
from tools import notebooks, real_figures
from tools.real_model import SOURCES

ABSOLUTE, RELATIVE = 0.02, 0.02
# logits themselves, of float32 on both devices
LOGITS = 1e-3
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
ROWS, STEPS = 64, 5


def line_differs(cpu: str, cuda: str) -> str | None:
    """What differs between a line of the CPU and one of the GPU; None if nothing does
    beyond the tolerances."""
    here, there = NUMBER.findall(cpu), NUMBER.findall(cuda)
    words = [" ".join(NUMBER.sub("#", line).split()) for line in (cpu, cuda)]
    if words[0] != words[1]:
        return "text"
    for one, other in zip(here, there, strict=True):
        away = abs(float(one) - float(other))
        if not away <= max(ABSOLUTE, RELATIVE * abs(float(one))):
            return f"{one} and {other}"
    return None


def compare(cpu: NotebookNode, cuda: NotebookNode) -> tuple[int, list[str]]:
    """The number of lines compared, and a sentence for each that differs, of two
    executed copies of a chapter; only cells whose output is checked count."""
    lines, differences = 0, []
    done = {cell.id: cell for cell in notebooks.code_cells(cuda)}
    for cell in notebooks.code_cells(cpu):
        if notebooks.CHECKED not in notebooks.tags(cell):
            continue
        here = notebooks.text_of(cell).splitlines()
        there = notebooks.text_of(done[cell.id]).splitlines()
        lines += len(here)
        if len(here) != len(there):
            differences.append(f"{cell.id}: {len(here)} and {len(there)} lines")
            continue
        for one, other in zip(here, there, strict=True):
            if found := line_differs(one, other):
                differences.append(f"{cell.id}: {found}: {one!r} and {other!r}")
    return lines, differences


@contextmanager
def setting(**given: str):
    """Variables of the environment, for the time of a block."""
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def chapter(notebook: Path) -> tuple[int, list[str]]:
    """Compares a chapter run on the GPU with the outputs that it stores."""
    try:
        with setting(PROMPTTUNE_DEVICE="cuda", PROMPTTUNE_SCALE="mini"):
            done, _, _ = notebooks.run(notebook)
    except SystemExit as error:
        return 0, [str(error).splitlines()[-1]]
    return compare(notebooks.read(notebook), done)


def real_values(device: str) -> dict[str, torch.Tensor]:
    """What the real models give on one device for packaged reviews: name -> numbers."""
    task = load_task("reviews-en")
    rows = random.Random(0).sample(task.test, ROWS)
    with setting(PROMPTTUNE_DEVICE=device, PROMPTTUNE_SCALE="real"):
        decoder = hub.load("causal_lm", verbose=False).frozen()
        encoder = hub.load("encoder", verbose=False).frozen()
    found = {"vectors of the encoder": real_figures.vectors(encoder, rows)}
    words, template = real_figures.WORDS, real_figures.TEMPLATE
    shown = [(row["text"], words[row["label"]]) for row in task.pool[:4]]
    for name, kind in (
        ("in context", real_figures.InContext),
        ("in context, cached", real_figures.CachedInContext),
    ):
        prompt = kind(decoder, template, words, shown)
        found[name] = real_figures.score_rows(rows, prompt.logits)
    soft = real_figures.SoftPrompt(decoder, template, words, real_figures.START)
    soft.to(decoder.device)
    found["soft prompt, untrained"] = real_figures.score_rows(rows, soft.logits)
    losses = real_figures.fit(
        soft, task.pool, soft.loss, learning_rate=1e-3, steps=STEPS, seed=0
    )
    found["losses of a soft prompt"] = torch.tensor(losses)
    return found


def real_differences(
    cpu: dict[str, torch.Tensor], cuda: dict[str, torch.Tensor]
) -> list[tuple[str, int, list[str]]]:
    """A row (name, numbers compared, what differs) for each value of both devices."""
    rows = []
    for name, one in cpu.items():
        away = float((one - cuda[name]).abs().max())
        bound = LOGITS * max(1.0, float(one.abs().max()))
        said = [] if away <= bound else [f"{away:.2g} apart, {bound:.2g} allowed"]
        rows.append((name, one.numel(), said))
    return rows


def real_part(notebook: Path) -> list[str]:
    """What goes wrong when the real part of a chapter is run on the GPU."""
    try:
        with setting(PROMPTTUNE_DEVICE="cuda", PROMPTTUNE_SCALE="real"):
            notebooks.real([notebook])
    except SystemExit as error:
        return [str(error).splitlines()[-1]]
    return []


def show(where: str, compared: int, differences: list[str]) -> None:
    """A line of the table, and one for each difference."""
    print(f"{where:44}{compared:9}{len(differences):9}", flush=True)
    for said in differences:
        print(f"    {said}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--chapters", nargs="*", default=[], help="all if none is given"
    )
    parser.add_argument("--output", type=Path, help="a JSON file for the table")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit(
            "There is no GPU that torch can use on this machine: run this where "
            "torch.cuda.is_available() is True."
        )
    chosen = notebooks.chapters(given.chapters)
    print(f"{torch.cuda.get_device_name()}: numbers may differ by {ABSOLUTE} or by")
    print(f"{RELATIVE:.0%} in chapters, logits of the real models by {LOGITS:.1%}")
    print(f"{'where':44}{'compared':>9}{'differ':>9}")
    rows = []
    for notebook in chosen:
        rows.append((notebook.stem, *chapter(notebook)))
        show(*rows[-1])
    if all((hub.models_folder() / name).is_dir() for name in SOURCES):
        found = real_differences(real_values("cpu"), real_values("cuda"))
        parts = [n for n in chosen if notebooks.real_part(n)]
        found += [(f"{n.stem}, real part", 1, real_part(n)) for n in parts]
        for row in found:
            show(*row)
        rows += found
    else:
        print("The real models are not here: run `make real-model`.")
    if given.output:
        kept = [dict(zip(("where", "compared", "differ"), row)) for row in rows]
        given.output.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    if any(differences for _, _, differences in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
