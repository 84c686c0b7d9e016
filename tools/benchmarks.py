"""The course's methods on public data sets: `make benchmarks`, resumable, with
PROMPTTUNE_MIRROR or the Hugging Face hub.

Results are kept in prompttune_utils/assets/results/benchmarks.json with seeds, versions
and the weights' hashes, and the book shows them. Nothing is chosen on these data:
learning rates are those of chapter 13. A data set that is nowhere is named and left
out.
"""

import os
import random
from dataclasses import replace

import torch
from transformers import logging

from pretraining.evaluate_seq2seq import by_meaning
from prompttune_utils import hub, rates
from prompttune_utils.arithmetic import problems
from prompttune_utils.cache import unpack
from prompttune_utils.data import load_task, majority, read_rows
from prompttune_utils.evaluation import show
from prompttune_utils.methods.chain_of_thought import (
    ANSWER_IS,
    TRIGGER,
    complete,
    demonstration,
    extract,
    query,
    zero_shot_cot,
)
from prompttune_utils.methods.comparison import METHODS, STEPS, WORDINGS, run
from prompttune_utils.methods.p_tuning_v2 import PrefixTuned
from prompttune_utils.methods.prompt_tuning import (
    PromptTuned,
    TextToText,
    bleu,
    respaced,
    starting_vectors,
)
from prompttune_utils.methods.prompt_tuning import write as describe
from prompttune_utils.results import Recorded
from prompttune_utils.splits import rows_to_test
from prompttune_utils.training import fit

SEEDS, SHOTS = range(5), 16
# task -> the kind of task whose rates are taken
LIKE = {"sst2": "reviews", "chnsenticorp": "reviews", "eprstmt": "reviews"}
LIKE |= {"ag_news": "news"}
TASKS = list(LIKE)
WORDINGS |= {"ag_news": WORDINGS["news-en"]}
# the rates that chapters 9 and 11 chose on dev rows
WAYS = {"all weights": 1e-3, "prompt of 20": 0.3, "prefix of 16": 0.1}
ASKED = 200  # problems, and meaning representations


def chosen(name: str, method: str) -> float:
    """The learning rate, or the strength, that chapter 13 chose for this method on dev
    rows of other tasks or of the same kind."""
    if not METHODS[method].chosen:
        return 0.0
    return rates.rate(f"{method}, chapter 13", "mini-bert", LIKE[name], "few")


def classify(name: str, results: Recorded) -> None:
    """All methods of chapter 13 on one classification task, 16 rows a class."""

    def benchmark(name, method, rate, steps, seed):
        hits = unpack(run(method, name, SHOTS, rate, seed, steps)["test"]["right"])
        return {"accuracy": float(hits.mean())}

    gold = [row["label"] for row in rows_to_test(load_task(name), 400)]
    results.get(
        {"majority": name},
        lambda: {"majority": majority(gold), "test rows": len(gold)},
    )
    runs = [(method, STEPS["few"]) for method in METHODS] + [("prompt tuning", 0)]
    for method, steps in runs:
        setting = name, method, chosen(name, method), steps
        values = results.per_seed(benchmark, *setting, seeds=SEEDS)
        said = show([value["accuracy"] for value in values])
        print(f"{name}, {method}, {steps} steps: {said}", flush=True)


def backbones() -> dict:
    """Frozen backbones by role; they read both languages."""
    roles = "masked_lm", "causal_lm", "seq2seq_lm"
    return {role: hub.load(role, verbose=False).frozen() for role in roles}


def split(dataset: str, name: str) -> list[dict]:
    """The rows of one split, from the mirror or the hub."""
    return read_rows(hub.resolve(dataset, "*.jsonl*"), name)


def e2e(home, results: Recorded) -> None:
    """BLEU on E2E of the encoder-decoder after 150 steps of 16 rows."""
    train = [
        {"text": row["text"], "target": said}
        for row in by_meaning(split("tuetschek/e2e_nlg", "train"))
        for said in row["references"]
    ]
    test = random.Random(0).sample(
        by_meaning(split("tuetschek/e2e_nlg", "test")), ASKED
    )
    references = [row["references"] for row in test]

    def described(way, rate, seed):
        torch.manual_seed(seed)
        model = {
            "all weights": lambda: TextToText(home.copy()),
            "prompt of 20": lambda: PromptTuned(
                home, starting_vectors(home, 20, "vocabulary", seed)
            ),
            "prefix of 16": lambda: PrefixTuned(home, 16),
        }[way]()
        fit(
            model if way != "all weights" else model.model,
            train,
            model.loss,
            learning_rate=rate,
            steps=150,
            batch_size=16,
            seed=seed,
            weight_decay=0.0,
        )
        return bleu(home.tokenizer, describe(model, test, tokens=60), references)

    results.get(
        {"copied": "e2e"},
        lambda: bleu(
            home.tokenizer,
            [respaced(home.tokenizer, row["text"]) for row in test],
            references,
        ),
    )
    for way, rate in WAYS.items():
        values = results.per_seed(described, way, rate, seeds=SEEDS)
        print(f"E2E, {way}: BLEU {show(values)}", flush=True)


def word_problems(name: str) -> list[tuple[str, float]]:
    """(question, answer) of 200 test problems."""
    if name == "gsm8k":
        rows = [
            (row["question"], row["answer"].rpartition("####")[2])
            for row in split("openai/gsm8k", "test")
        ]
    else:
        rows = [
            (row["question"], row["final_ans"])
            for row in split("ChilleD/MultiArith", "test")
        ]
    return [
        (question, float(str(answer).replace(",", "")))
        for question, answer in random.Random(0).sample(rows, ASKED)
    ]


def arithmetic(name: str, home, results: Recorded) -> None:
    """Share of right answers of the decoder, nothing trained: direct, with steps, with
    four worked problems of the course before them."""
    rows = word_problems(name)
    like = problems(1, "en", 2, seed=0)[0]
    asked = [replace(like, question=question) for question, _ in rows]

    def solved(name, way, seed):
        if way == "zero-shot, steps":
            said = [answer for _, answer in zero_shot_cot(home, asked)]
        else:
            shots = (
                problems(4, "en", 2, seed=seed, test=False) if "few-shot" in way else []
            )
            before = "".join(demonstration(shot, "steps" in way) for shot in shots)
            end = "" if "steps" in way else TRIGGER["en"]
            said = complete(
                home,
                [before + query(problem, end) for problem in asked],
                90 if "steps" in way else 8,
            )
        answers = [
            extract(text, ANSWER_IS["en"] if way == "few-shot, steps" else "")
            for text in said
        ]
        return sum(
            answer is not None and float(answer) == gold
            for answer, (_, gold) in zip(answers, rows, strict=True)
        ) / len(rows)

    golds = [gold for _, gold in rows]
    results.get(
        {"majority": name},
        lambda: {"majority": majority(golds), "test rows": len(rows)},
    )
    for way in (
        "zero-shot, direct",
        "zero-shot, steps",
        "few-shot, direct",
        "few-shot, steps",
    ):
        values = results.per_seed(
            solved, name, way, seeds=SEEDS if "few" in way else [0]
        )
        print(
            f"{name}, {way}: {show(values) if len(values) > 1 else values[0]}",
            flush=True,
        )


def main() -> None:
    os.environ["PROMPTTUNE_RECORD"] = "1"
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    homes = backbones()
    weights = {home.name: hub.weights_hash(home.model) for home in homes.values()}
    results = Recorded("benchmarks", "+".join(weights.values()))
    work = [(e2e, homes["seq2seq_lm"], results)]
    work += [
        (arithmetic, name, homes["causal_lm"], results)
        for name in ("multiarith", "gsm8k")
    ]
    work += [(classify, name, results) for name in TASKS]
    missing = []
    for task, *given in work:
        try:
            task(*given)
        except hub.NotFound as error:
            missing.append(str(error))
            print(error, flush=True)
    if missing:
        raise SystemExit(
            f"{len(missing)} data sets are missing, the rest is recorded: set "
            "PROMPTTUNE_MIRROR to a folder that holds them."
        )


if __name__ == "__main__":
    main()
