"""Measures a mini on real data never seen in training: python -m pretraining.evaluate mini-bert

Templates, label words and learning rates are chosen on dev data (SST-2's validation split; 600 rows of ChnSentiCorp's
train split); the test splits are only reported. Writes prompttune_utils/assets/results/<name>-card.json (resumable) and
prints the card's table.
"""

import argparse
import copy
import random

from transformers import logging

from prompttune_utils import hub
from prompttune_utils.data import few_shot, load_task, majority
from prompttune_utils.evaluation import accuracy, score_rows, show
from prompttune_utils.methods.fine_tuning import HeadClassifier
from prompttune_utils.methods.prompting import PromptClassifier, Template, Verbalizer
from prompttune_utils.results import Recorded
from prompttune_utils.scoring import remove_prior
from prompttune_utils.training import fit

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
        ("{text} 很{mask}。", "差", "好"),
        ("{text} 这条评论是{mask}的。", "差", "好"),
        ("很{mask}。{text}", "差", "好"),
        ("{text} 总之，非常{mask}意。", "失", "满"),
        ("{text} {sep} {mask}错。", "太", "不"),
    ],
}
RATES = {"prompt": [1e-4, 3e-4, 1e-3], "head": [1e-4, 3e-4, 1e-3, 3e-3]}
STEPS = {"prompt": 60, "head": 60}


def classifier(backbone, task, pair) -> PromptClassifier:
    pattern, negative, positive = pair
    words = dict(zip(task.labels, (negative, positive), strict=True))
    return PromptClassifier(backbone, Template(pattern, backbone.tokenizer), Verbalizer(words, backbone.tokenizer))


def zero_shot(backbone, task, dev, prior_rows, pair) -> dict:
    """Accuracy on dev and test, plain and with the prior over unlabelled pool texts taken out."""
    prompt = classifier(backbone, task, pair)
    prior = score_rows(prior_rows, prompt.scores)
    out = {}
    for name, rows in (("dev", dev), ("test", task.test)):
        scores, gold = score_rows(rows, prompt.scores), [r["label"] for r in rows]
        out[name] = {"plain": accuracy(scores, gold), "calibrated": accuracy(remove_prior(scores, prior), gold)}
    return out


def tune(backbone, task, pool, dev, pair, method: str, rate: float, seed: int) -> dict:
    """Tunes all weights on 16 rows a class; accuracy on dev and test."""
    train, _ = few_shot(pool, SHOTS, seed, dev=False)
    if method == "prompt":
        copied = copy.copy(backbone)
        copied.model = copy.deepcopy(backbone.model)
        model = classifier(copied, task, pair)
        module = copied.model
    else:
        module = model = HeadClassifier(backbone, len(task.labels), method.removeprefix("head-"))
    fit(module, train, model.loss, learning_rate=rate, steps=STEPS["prompt" if method == "prompt" else "head"], batch_size=8, seed=seed)
    return {name: accuracy(score_rows(rows, model.scores), [r["label"] for r in rows]) for name, rows in (("dev", dev), ("test", task.test))}


def dev_and_pool(task) -> tuple[list, list]:
    """Rows to choose on, and rows to draw few-shot samples from; the two never meet."""
    if "validation" in task.extra:
        return task.extra["validation"], task.pool
    rows = random.Random(0).sample(task.pool, len(task.pool))
    return rows[:600], rows[600:]


def measure(name: str) -> None:
    backbone = hub.load("masked_lm", name=name)
    recorded = Recorded(f"{backbone.name.rstrip('/').split('/')[-1]}-card", hub.weights_hash(backbone.model))
    for task_name, pairs in PAIRS.items():
        task = load_task(task_name)
        dev, pool = dev_and_pool(task)
        prior_rows = random.Random(1).sample(pool, 400)
        print(f"\n{task_name}: majority {majority(task.gold):.3f}, {len(task.test)} test rows")
        zero = []
        for pair in pairs:
            value = recorded.get({"task": task_name, "zero-shot": list(pair)}, lambda p=pair: zero_shot(backbone, task, dev, prior_rows, p))
            zero.append(value)
            print(f"  zero-shot {' | '.join(pair):45} dev {value['dev']['plain']:.3f} {value['dev']['calibrated']:.3f}  test {value['test']['plain']:.3f} {value['test']['calibrated']:.3f}", flush=True)
        best = max(range(len(pairs)), key=lambda i: zero[i]["dev"]["calibrated"])
        print(f"  chosen on dev: {pairs[best]}: test plain {zero[best]['test']['plain']:.3f}, calibrated {zero[best]['test']['calibrated']:.3f}")
        for method in ("prompt", "head-cls", "head-mean"):
            runs = {}
            for rate in RATES[method.split("-")[0]]:
                settings = {"task": task_name, "method": method, "shots": SHOTS, "rate": rate, "pair": list(pairs[best]) if method == "prompt" else None}
                runs[rate] = [
                    recorded.get(settings | {"seed": seed}, lambda m=method, r=rate, s=seed: tune(backbone, task, pool, dev, pairs[best], m, r, s)) for seed in SEEDS
                ]
            rate = max(runs, key=lambda r: sum(v["dev"] for v in runs[r]))
            print(f"  {SHOTS} per class, {method:9} rate {rate:g} (chosen on dev): test {show([v['test'] for v in runs[rate]])}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name", nargs="?", default="mini-bert", help="a packaged name or a folder")
    logging.set_verbosity_error()
    measure(parser.parse_args().name)
