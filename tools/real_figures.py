"""Measures the two real models on SST-2: `make real`, resumable.

The course's own methods, as the chapters export them. The figures are kept in
prompttune_utils/assets/results/real/real_figures.json, and the page "A real model"
shows them. Nothing is chosen on the test rows: the one rate that is chosen, that of the
soft prompt, is chosen on rows of the validation split. SST-2 comes from
PROMPTTUNE_MIRROR or the Hugging Face hub.
"""

import os
import random

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from prompttune_utils import hub
from prompttune_utils.data import Task, few_shot, load_task, majority
from prompttune_utils.evaluation import accuracy, score_rows, show
from prompttune_utils.methods.fine_tuning import pool
from prompttune_utils.methods.in_context_learning import (
    CachedInContext,
    InContext,
    calibrate,
    left_padded,
    token_ids,
)
from prompttune_utils.reading import read_texts
from prompttune_utils.results import Recorded
from prompttune_utils.scoring import label_scores, remove_prior
from prompttune_utils.training import fit

TEMPLATE, WORDS = "Review: {text}\nSentiment: {label}\n", ["negative", "positive"]
# 15 tokens
START = "Is the sentiment of this review positive or negative? Answer in one word."
TESTED, CHOSEN_ON, UNLABELLED = 400, 200, 64  # rows
STEPS, BATCH, RATES = 60, 8, (1e-3, 3e-3, 1e-2, 3e-2)
TRAINED_ON = (32, 200, 2000)  # rows of the head
DRAWS, SEEDS, RATE_SEED = range(5), range(5), 5
PRIORS = ("none", "content-free", "unlabelled")


class SoftPrompt(InContext):
    """Trained vectors (P, d) before what a frozen decoder reads.

    They start as the embeddings of the text `start`.
    """

    def __init__(self, backbone, template: str, words: list[str], start: str):
        super().__init__(backbone.frozen(), template, words)
        embeddings = self.backbone.model.get_input_embeddings().weight
        vectors = embeddings[token_ids(backbone, start)]
        self.prompt = torch.nn.Parameter(vectors.detach().clone())

    def forward(self, rows: list[dict]) -> torch.Tensor:
        """Logits (B, labels); padding stands between the vectors and the texts."""
        inputs, count = left_padded(self.queries(rows), self.backbone), len(self.prompt)
        words = self.backbone.model.get_input_embeddings()(inputs.pop("input_ids"))
        prompt = self.prompt.expand(len(rows), -1, -1)
        inputs["inputs_embeds"] = torch.cat([prompt, words], 1)  # (B, P + T, d)
        mask, positions = inputs["attention_mask"], inputs["position_ids"]
        seen = mask.new_ones(len(rows), count)
        inputs["attention_mask"] = torch.cat([seen, mask], 1)
        before = torch.arange(count, device=mask.device).expand(len(rows), -1)
        inputs["position_ids"] = torch.cat([before, positions + count], 1)
        return label_scores(self.backbone.model, inputs, self.label_ids)


def measured(scores: torch.Tensor, rows: list[dict]) -> dict[str, float]:
    """Accuracy, and the area under the ROC curve, which no threshold changes, of scores
    (B, 2)."""
    gold = [row["label"] for row in rows]
    return {
        "accuracy": accuracy(scores, gold),
        "auc": roc_auc_score(gold, scores[:, 1] - scores[:, 0]),
    }


def in_context(backbone, task: Task, shots: int, seed: int) -> dict[str, dict]:
    """Accuracy and AUC with `shots` demonstrations a class, by the prior that is taken
    out of the scores: prior -> measured."""
    drawn = few_shot(task.pool, shots, seed, dev=False)[0] if shots else []
    shown = [(row["text"], WORDS[row["label"]]) for row in drawn]
    prompt = CachedInContext(backbone, TEMPLATE, WORDS, shown)
    texts = random.Random(seed).sample(task.pool, UNLABELLED)
    logits = score_rows(task.test, prompt)
    calibrate(prompt)  # by content-free texts
    without = {
        "none": logits,
        "content-free": remove_prior(logits, prompt.prior.cpu()),
        "unlabelled": remove_prior(logits, score_rows(texts, prompt)),
    }
    return {prior: measured(scores, task.test) for prior, scores in without.items()}


def soft_prompt(
    backbone, task: Task, rows: list[dict], rate: float, steps: int, seed: int
) -> dict[str, float]:
    """Accuracy and AUC on `rows` of a soft prompt after so many steps; none before."""
    model = SoftPrompt(backbone, TEMPLATE, WORDS, START)
    if steps:
        fit(
            model,
            task.pool,
            model.loss,
            learning_rate=rate,
            steps=steps,
            batch_size=BATCH,
            seed=seed,
            weight_decay=0.0,
        )
    return measured(score_rows(rows, model.logits), rows)


def vectors(backbone, rows: list[dict]) -> torch.Tensor:
    """Mean vectors (rows, d) of the frozen encoder, on the CPU."""

    def encode(part: list[dict]) -> torch.Tensor:
        read = read_texts(backbone.tokenizer, [row["text"] for row in part])
        inputs = backbone.tokenizer.pad(read, padding_side="right", return_tensors="pt")
        inputs = inputs.to(backbone.device)
        states = backbone.model(**inputs).last_hidden_state  # (B, T, d)
        return pool(states, inputs["attention_mask"], "mean")

    return score_rows(rows, encode)


def head(before: torch.Tensor, task: Task, tested: torch.Tensor, count: int, seed: int):
    """Accuracy and AUC of logistic regression over frozen vectors of `count` rows."""
    order = random.Random(seed).sample(range(len(task.pool)), count)
    labels = [task.pool[i]["label"] for i in order]
    classifier = LogisticRegression(max_iter=1000).fit(before[order], labels)
    scores = torch.from_numpy(classifier.predict_log_proba(tested))
    return measured(scores, task.test)


def main() -> None:
    os.environ |= {"PROMPTTUNE_SCALE": "real", "PROMPTTUNE_RECORD": "1"}
    torch.set_num_threads(1)
    decoder, encoder = hub.load("causal_lm").frozen(), hub.load("encoder").frozen()
    weights = "+".join(hub.weights_hash(home.model) for home in (decoder, encoder))
    results, task = Recorded("real_figures", weights), load_task("sst2")
    task.test = random.Random(0).sample(task.test, TESTED)
    chosen_on = random.Random(0).sample(task.extra["validation"], CHOSEN_ON)

    def shown(shots, seed):
        return in_context(decoder, task, shots, seed)

    def classified(count, seed):
        kept = ready.get("vectors") or ready.setdefault(
            "vectors", [vectors(encoder, rows) for rows in (task.pool, task.test)]
        )
        return head(kept[0], task, kept[1], count, seed)

    def tried(rate, seed):
        return soft_prompt(decoder, task, chosen_on, rate, STEPS, seed)

    def prompted(rate, steps, seed):
        return soft_prompt(decoder, task, task.test, rate, steps, seed)

    ready = {}
    results.get({"majority": "sst2"}, lambda: majority(task.gold))
    for shots, draws in ((0, [0]), (2, DRAWS)):
        values = results.per_seed(shown, shots, seeds=draws)
        for prior in PRIORS:
            print(f"{2 * shots} shown, prior {prior}:", told(values, prior), flush=True)
    for count in TRAINED_ON:
        values = results.per_seed(classified, count, seeds=DRAWS)
        print(f"head, {count} rows:", told(values), flush=True)
    print("untrained:", told(results.per_seed(prompted, 0, 0, seeds=[0])), flush=True)
    dev = {rate: results.per_seed(tried, rate, seeds=[RATE_SEED])[0] for rate in RATES}
    rate = max(dev, key=lambda rate: dev[rate]["auc"])
    for seed in SEEDS:
        value = results.per_seed(prompted, rate, STEPS, seeds=[seed])
        print(f"soft prompt, rate {rate}, seed {seed}:", told(value), flush=True)


def told(values: list[dict], prior: str | None = None) -> str:
    """Accuracy and AUC over the draws, for a line."""
    values = [value[prior] if prior else value for value in values]
    return ", ".join(
        f"{name} {show([value[name] for value in values])}"
        if len(values) > 1
        else f"{name} {values[0][name]:.3f}"
        for name in ("accuracy", "auc")
    )


if __name__ == "__main__":
    main()
