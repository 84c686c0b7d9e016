"""Measures a mini on real data never seen in training:
python -m pretraining.evaluate mini-bert

Templates, label words and learning rates are chosen on dev data (SST-2's validation
split; 400 rows of ChnSentiCorp's train split); the test splits are only reported.
Prints the lines, keeps the values in evaluation.json beside the weights (resumable) and
writes the lines into the model's card.
"""

import argparse
import copy
import json
import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from transformers import logging

from pretraining.ship import milestones, ship
from prompttune_utils import hub
from prompttune_utils.data import few_shot, load_task, majority
from prompttune_utils.evaluation import accuracy, score_rows, show
from prompttune_utils.methods.fine_tuning import HeadClassifier
from prompttune_utils.methods.templates_and_verbalizers import (
    PromptClassifier,
    Template,
    Verbalizer,
)
from prompttune_utils.results import Recorded
from prompttune_utils.scoring import remove_prior
from prompttune_utils.training import fit

MARKS = ("<!-- measured: python -m pretraining.evaluate -->", "<!-- end -->")
SEEDS = range(5)
SHOTS = 16
PAIRS = {
    "sst2": [
        ("{text} It was {mask}.", "terrible", "great"),
        ("{text} {sep} It was {mask}.", "terrible", "great"),
        ("{text} It was a {mask} movie.", "bad", "great"),
        ("{text} I {mask} it.", "hated", "loved"),
        ("It was {mask}. {text}", "terrible", "great"),
    ],
    "chnsenticorp": [
        ("{text}，质量很{mask}。", "差", "好"),
        ("{text}，服务很{mask}。", "差", "好"),
        ("{text}，总体来说很{mask}。", "差", "好"),
        ("{text}，{mask}评。", "差", "好"),
        ("{text} 这条评论是{mask}。", "差", "好"),
    ],
}
RATES = {"prompt": [1e-5, 3e-5, 1e-4], "head": [1e-4, 3e-4, 1e-3]}
STEPS = 60


def classifier(backbone, task, pair) -> PromptClassifier:
    pattern, negative, positive = pair
    words = dict(zip(task.labels, (negative, positive), strict=True))
    return PromptClassifier(
        backbone,
        Template(pattern, backbone.tokenizer),
        Verbalizer(words, backbone.tokenizer),
    )


def zero_shot(backbone, task, parts: dict[str, list], prior_rows, pair) -> dict:
    """Accuracy on each part, plain and with the prior over unlabelled pool texts taken
    out."""
    prompt = classifier(backbone, task, pair)
    prior = score_rows(prior_rows, prompt.logits)
    out = {}
    for name, rows in parts.items():
        scores, gold = score_rows(rows, prompt.logits), [r["label"] for r in rows]
        out[name] = {
            "plain": accuracy(scores, gold),
            "calibrated": accuracy(remove_prior(scores, prior), gold),
        }
    return out


def tune(
    backbone, task, pool, rows, pair, method: str, rate: float, seed: int
) -> float:
    """Tunes all weights on 16 rows a class; accuracy on `rows`."""
    train, _ = few_shot(pool, SHOTS, seed, dev=False)
    if method == "prompt":
        copied = copy.copy(backbone)
        copied.model = copy.deepcopy(backbone.model)
        model = classifier(copied, task, pair)
        module = copied.model
        model.calibrate(
            random.Random(1).sample(pool, 400)
        )  # unlabelled, as for zero-shot
    else:
        module = model = HeadClassifier(
            backbone, len(task.labels), method.removeprefix("head-")
        )
    fit(
        module,
        train,
        model.loss,
        learning_rate=rate,
        steps=STEPS,
        batch_size=8,
        seed=seed,
    )
    return accuracy(score_rows(rows, model.logits), [r["label"] for r in rows])


def dev_and_pool(task) -> tuple[list, list]:
    """Rows to choose on, and rows to draw few-shot samples from; the two never meet."""
    if "validation" in task.extra:
        return task.extra["validation"], task.pool
    rows = random.Random(0).sample(task.pool, len(task.pool))
    return rows[:400], rows[400:]


def few_shot_line(
    backbone, recorded: Recorded, task, pool, dev, pairs, method: str
) -> str:
    """Picks the learning rate (and for prompts one of `pairs`) on dev, then tunes anew
    and reports the test split."""

    def runs(part: str, rows: list, pair, rate: float) -> list[float]:
        settings = {
            "task": task.name,
            "method": method,
            "shots": SHOTS,
            "pair": pair and list(pair),
            "rate": rate,
            "part": part,
        }
        run = partial(tune, backbone, task, pool, rows, pair, method, rate)
        return [
            recorded.get(settings | {"seed": seed}, partial(run, seed))
            for seed in SEEDS
        ]

    choices = [
        (pair, rate)
        for pair in (pairs if method == "prompt" else [None])
        for rate in RATES[method.split("-")[0]]
    ]
    pair, rate = max(choices, key=lambda choice: sum(runs("dev", dev, *choice)))
    what = f"{method} {' | '.join(pair)}" if pair else method
    tested = show(runs("test", task.test, pair, rate))
    return f"{SHOTS} per class, test {tested}, rate {rate:g}, {what} (chosen on dev)"


class Say:
    """Prints the lines of a card and keeps them."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        print(line, flush=True)


def opened(role: str, name: str) -> tuple[hub.Backbone, Recorded, Say]:
    """The mini, its recorded measurements, and the card's lines, the first of which
    says which weights these are."""
    backbone = hub.load(role, name=name, verbose=False)
    recorded, say = (
        Recorded(
            "evaluation",
            hub.weights_hash(backbone.model),
            Path(backbone.place.location),
        ),
        Say(),
    )
    size = sum(p.numel() for p in backbone.model.parameters())
    say(f"weights {recorded.weights}, {size:,} parameters")
    return backbone, recorded, say


def measure(name: str) -> list[str]:
    """The lines of the card; what is recorded for these weights is not run again."""
    backbone, recorded, say = opened("masked_lm", name)
    for task_name, pairs in PAIRS.items():
        task = load_task(task_name)
        dev, pool = dev_and_pool(task)
        prior_rows = random.Random(1).sample(pool, 400)
        say(
            f"{task_name}: {len(task.test)} test rows, "
            f"majority {majority(task.gold):.3f}"
        )
        zero = []
        for pair in pairs:
            zero.append(
                recorded.get(
                    {"task": task_name, "zero-shot": list(pair)},
                    partial(
                        zero_shot,
                        backbone,
                        task,
                        {"dev": dev, "test": task.test},
                        prior_rows,
                        pair,
                    ),
                )
            )
            columns = "  ".join(
                f"{part} {zero[-1][part]['plain']:.3f} "
                f"{zero[-1][part]['calibrated']:.3f}"
                for part in ("dev", "test")
            )
            say(f"  zero-shot, plain and calibrated: {columns}  {' | '.join(pair)}")
        order = sorted(
            range(len(pairs)), key=lambda i, zero=zero: -zero[i]["dev"]["calibrated"]
        )
        chosen = zero[order[0]]["test"]
        say(
            f"  chosen on dev: {' | '.join(pairs[order[0]])}: "
            f"test plain {chosen['plain']:.3f}, calibrated {chosen['calibrated']:.3f}"
        )
        for method in ("prompt", "head-cls", "head-mean"):
            say(
                "  "
                + few_shot_line(
                    backbone,
                    recorded,
                    task,
                    pool,
                    dev,
                    [pairs[i] for i in order[:2]],
                    method,
                )
            )
    return say.lines


def known(backbone) -> dict:
    """Zero-shot accuracy on dev, prior out, with the first template of each task."""
    out = {}
    for task_name, pairs in PAIRS.items():
        task = load_task(task_name)
        dev, pool = dev_and_pool(task)
        out[task_name] = zero_shot(
            backbone, task, {"dev": dev}, random.Random(1).sample(pool, 400), pairs[0]
        )["dev"]["calibrated"]
    return out


def tenths(
    role: str, folder: Path, name: str, measured: Callable[[hub.Backbone], dict]
) -> None:
    """What a mini knows after each tenth of its training in `folder`, beside the tokens
    read by then, into tenths.json of the asset `name`."""
    rows = []
    for state, tokens in milestones(folder):
        ship(state, folder / state.stem)
        rows.append(
            {"tokens": tokens}
            | measured(
                hub.load(role, name=str((folder / state.stem).resolve()), verbose=False)
            )
        )
        print(rows[-1], flush=True)
    (hub.ASSETS / name / "tenths.json").write_text(
        "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8"
    )


def write_card(folder: Path, lines: list[str]) -> None:
    """Puts the lines between the two marks of the card."""
    card = folder / "README.md"
    before, _, rest = card.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    card.write_text(
        "\n".join(
            [before + MARKS[0], "", "```text", *lines, "```", "", MARKS[1] + after]
        ),
        encoding="utf-8",
    )


def command(
    role: str,
    measured: Callable[[str], list[str]],
    known: Callable[[hub.Backbone], dict],
) -> None:
    """The command line of the three evaluations: measures a mini and writes its card,
    or with --tenths its tenths.json."""
    parser = argparse.ArgumentParser(
        description="Measures a mini on data that its training has not seen, and "
        "writes its card."
    )
    parser.add_argument("name", help="a packaged name or a folder")
    parser.add_argument(
        "--tenths", type=Path, help="a training folder: measure its tenths instead"
    )
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    os.environ["PROMPTTUNE_RECORD"] = "1"
    torch.set_num_threads(1)
    if arguments.tenths:
        tenths(role, arguments.tenths, arguments.name, known)
    else:
        write_card(Path(hub.resolve(arguments.name).location), measured(arguments.name))


if __name__ == "__main__":
    command("masked_lm", measure, known)
