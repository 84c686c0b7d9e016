"""Measures mini-t5 and mini-t5-s: python -m pretraining.evaluate_seq2seq mini-t5

Filling of hidden spans, sentiment with a frozen model and a trained prompt, and
restaurant descriptions with full fine-tuning. The learning rate of the prompt is chosen
on dev rows. Prints the lines, keeps the values in evaluation.json beside the weights
(resumable) and writes the lines into the model's card.
"""

import copy
import random
from collections.abc import Iterable
from functools import partial

import torch

from pretraining import corpora
from pretraining.evaluate import command, dev_and_pool, opened
from prompttune_utils.data import load_task, majority
from prompttune_utils.evaluation import accuracy, score_rows, show
from prompttune_utils.methods.prompt_tuning import (
    PromptTuned,
    TextToText,
    bleu,
    respaced,
    write,
)
from prompttune_utils.restaurants import restaurants
from prompttune_utils.training import fit

SEEDS = range(5)
PROMPT = 20  # vectors
RATES = [0.03, 0.1, 0.3]
STEPS, BATCH = 200, 32
WORDS = {"sst2": ["bad", "good"], "chnsenticorp": ["差", "好"]}
LONGEST = 96
DESCRIBE = {"steps": 600, "batch_size": 32, "learning_rate": 1e-3}


def fill(backbone, rows: list[dict], seed: int) -> dict:
    """Hides one span of 1 to 3 tokens in each text: share of spans, and of their
    tokens, that the model fills exactly."""
    r, tokenizer = random.Random(seed), backbone.tokenizer
    sentinel = tokenizer.convert_tokens_to_ids("<extra_id_0>")
    sources, targets = [], []
    for row in rows:
        ids = tokenizer(row["text"], truncation=True, max_length=LONGEST).input_ids
        size = r.choice([1, 1, 2, 3])
        at = r.randrange(len(ids) - 1 - size)
        sources.append([*ids[:at], sentinel, *ids[at + size :]])
        targets.append([sentinel, *ids[at : at + size], tokenizer.eos_token_id])
    exact, tokens, right = 0, 0, 0
    for start in range(0, len(rows), 64):
        source, target = (
            torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(x) for x in part[start : start + 64]],
                batch_first=True,
                padding_value=fill_value,
            )
            for part, fill_value in ((sources, tokenizer.pad_token_id), (targets, -100))
        )
        with torch.inference_mode():
            best = backbone.model(
                input_ids=source,
                attention_mask=(source != tokenizer.pad_token_id).long(),
                labels=target,
            ).logits.argmax(-1)
        asked = target.ge(0) & target.ne(tokenizer.eos_token_id) & target.ne(sentinel)
        hit = (best == target) & asked
        exact += int((hit.sum(1) == asked.sum(1)).sum())
        tokens, right = tokens + int(asked.sum()), right + int(hit.sum())
    return {"exact": exact / len(rows), "tokens": right / tokens}


def with_prompt(backbone, words: list[str], seed: int) -> PromptTuned:
    """The frozen model behind PROMPT vectors, which start as vectors of common
    words."""
    matrix = backbone.model.get_input_embeddings().weight
    chosen = (
        torch.randperm(5000, generator=torch.Generator().manual_seed(seed))[:PROMPT]
        + len(matrix)
        - 5000
    )
    return PromptTuned(backbone, matrix[chosen], words, LONGEST)


def prompt_tuned(
    backbone,
    words: list[str],
    train: list[dict],
    rows: list[dict],
    rate: float,
    steps: int,
    seed: int,
) -> float:
    """Accuracy on `rows` after training the prompt alone."""
    model = with_prompt(backbone, words, seed)
    if steps:
        fit(
            model,
            train,
            model.label_loss,
            learning_rate=rate,
            steps=steps,
            batch_size=BATCH,
            seed=seed,
            weight_decay=0.0,
        )
    return accuracy(score_rows(rows, model.logits), [row["label"] for row in rows])


def by_meaning(rows: Iterable[dict]) -> list[dict]:
    """E2E rows gathered: one for each meaning representation, with all its
    references."""
    grouped: dict[str, list[str]] = {}
    for row in rows:
        grouped.setdefault(row["meaning_representation"], []).append(
            row["human_reference"]
        )
    return [{"text": text, "references": said} for text, said in grouped.items()]


def describe(backbone, train: list[dict], test: list[dict], seed: int) -> dict:
    """Tunes all weights on data-to-text; BLEU on `test`, and that of copying the
    input."""
    copied = copy.copy(backbone)
    copied.model = copy.deepcopy(backbone.model).requires_grad_(True)
    model = TextToText(copied, max_length=LONGEST)
    fit(
        copied.model,
        [
            {"text": row["text"], "target": said}
            for row in train
            for said in row["references"]
        ],
        model.loss,
        seed=seed,
        **DESCRIBE,
    )
    references, same = (
        [row["references"] for row in test],
        [respaced(copied.tokenizer, row["text"]) for row in test],
    )
    return {
        "bleu": bleu(copied.tokenizer, write(model, test), references),
        "copy": bleu(copied.tokenizer, same, references),
    }


def measure(name: str) -> list[str]:
    """The lines of the card; what is recorded for these weights is not run again."""
    backbone, recorded, say = opened("seq2seq_lm", name)
    for task_name in ("reviews-en", "reviews-zh", "news-en"):
        rows = load_task(task_name).test
        filled = [
            recorded.get(
                {"fill": task_name, "seed": s}, partial(fill, backbone, rows, s)
            )
            for s in SEEDS
        ]
        say(
            f"hidden spans of 1 to 3 tokens, {task_name}: "
            f"exact {show([f['exact'] for f in filled])}, "
            f"tokens {show([f['tokens'] for f in filled])}"
        )
    for task_name, words in WORDS.items():
        task = load_task(task_name)
        dev, train = dev_and_pool(task)

        def runs(
            part: str,
            rate: float,
            steps: int,
            seeds,
            task=task,
            words=words,
            dev=dev,
            train=train,
        ) -> list[float]:
            rows = dev if part == "dev" else task.test
            settings = {"task": task.name, "part": part, "rate": rate, "steps": steps}
            return [
                recorded.get(
                    settings | {"seed": s},
                    partial(prompt_tuned, backbone, words, train, rows, rate, steps, s),
                )
                for s in seeds
            ]

        rate = max(RATES, key=lambda rate: runs("dev", rate, STEPS, SEEDS[:1])[0])
        say(
            f"{task_name}, frozen, prompt of {PROMPT} vectors, {len(train)} rows: "
            f"test {show(runs('test', rate, STEPS, SEEDS))}, "
            f"rate {rate} (chosen on dev); "
            f"untrained prompt {show(runs('test', 0.0, 0, SEEDS))}; "
            f"majority {majority(task.gold):.3f}"
        )
    for title, train, test in (
        ("own restaurants", restaurants(2000, 0, test=False), restaurants(300, 0)),
        (
            "E2E",
            *(
                by_meaning(corpora.read_rows("tuetschek/e2e_nlg", split))
                for split in ("train", "test")
            ),
        ),
    ):
        value = recorded.get(
            {"describe": title, **DESCRIBE}, partial(describe, backbone, train, test, 0)
        )
        say(
            f"data to text, {title}: BLEU {value['bleu']:.1f} "
            f"(all weights tuned, {DESCRIBE['steps']} steps), "
            f"copying the input {value['copy']:.1f}"
        )
    return say.lines


def known(backbone) -> dict:
    """One seed of the hidden spans."""
    return {
        name: fill(backbone, load_task(name).test, 0)["tokens"]
        for name in ("reviews-en", "reviews-zh", "news-en")
    }


if __name__ == "__main__":
    command("seq2seq_lm", measure, known)
