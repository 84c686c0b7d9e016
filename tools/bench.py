"""Measures the speed of the course's methods, and prints and keeps the ratios: against
PEFT, the bare backbone and the plain ways.

    python tools/bench.py [--pairs 40] [--base-pairs 6] [--output FILE]

All sides of a group take one batch, one thread and plain (eager) attention, without
dropout. A repetition runs each of them once, in an order that is reversed every second
time; a ratio is taken within a repetition, of CPU times, so load on the machine hits
both sides alike.
"""

import argparse
import copy
import json
import platform
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import scipy.stats
import torch
import transformers
from peft import (
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    get_peft_model,
)
from torch.nn.functional import cross_entropy

from prompttune_utils import hub
from prompttune_utils.methods.fine_tuning import HeadClassifier
from prompttune_utils.methods.in_context_learning import CachedInContext, InContext
from prompttune_utils.methods.p_tuning import PromptEncoder
from prompttune_utils.methods.p_tuning_v2 import (
    DeepPrompts,
    InputPrompts,
    PrefixEncoder,
)
from prompttune_utils.methods.prompt_oriented_fine_tuning import FreeVectors
from prompttune_utils.results import FOLDER
from prompttune_utils.scoring import label_scores, last_layer_at

ROWS, LENGTH, PROMPT, LABELS, HIDDEN, SHOWN = 8, 64, 20, 2, 512, 16
BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
}
SHORT = "last layer at one place"
PEFT = {"task_type": "SEQ_CLS", "num_virtual_tokens": PROMPT}


def backbones(role: str) -> dict[str, hub.Backbone]:
    """The packaged mini, and one of its kind with random weights and the shape of
    BERT-base (the encoder with its vocabulary, too)."""
    mini = hub.load(role, verbose=False)
    config = copy.deepcopy(mini.model.config)
    config.update(BASE | ({"vocab_size": 30522} if role == "masked_lm" else {}))
    torch.manual_seed(0)
    model = type(mini.model)._from_config(config, attn_implementation="eager").eval()
    return {
        mini.name: mini,
        "base size": hub.Backbone(
            "base size", model, mini.tokenizer, 1e-3, mini.place, "cpu"
        ),
    }


def batch(vocabulary: int) -> dict[str, torch.Tensor]:
    """input_ids and attention_mask (ROWS, LENGTH) of full rows, and labels (ROWS,)."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(10, vocabulary, (ROWS, LENGTH), generator=generator)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.arange(ROWS) % LABELS,
    }


def step(model: torch.nn.Module, loss):
    """A training step of what requires a gradient: forward, backward, and the fused
    AdamW that both `fit` and the Trainer of transformers use."""
    tuned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(tuned, lr=1e-4, fused=True)

    def run():
        loss().backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def ours(
    backbone: hub.Backbone, around, prompt: torch.nn.Module, inputs: dict, short=False
) -> tuple:
    """The step of a classifier whose encoder stands in `around` (InputPrompts or
    DeepPrompts), and its number of tuned parameters. `short`: the last layer works for
    the first token alone, which is the only one that the head reads."""
    model = HeadClassifier(backbone, LABELS)
    model.model = around(model.model, copy.deepcopy(prompt))
    encoder, place = model.model.encoder, PROMPT if around is InputPrompts else 0
    read = {k: inputs[k] for k in ("input_ids", "attention_mask")}

    def loss():
        vectors = model.model(**read).last_hidden_state[:, 0]
        return cross_entropy(model.head(vectors), inputs["labels"])

    def short_loss():
        with last_layer_at(encoder, place) as states:
            model.model(**read)
        return cross_entropy(model.head(states[0]), inputs["labels"])

    return step(model.train(), short_loss if short else loss), model.trainable


def theirs(backbone: hub.Backbone, config, inputs: dict) -> tuple:
    """The step of PEFT's classifier over the same weights, and its number of tuned
    parameters."""
    bert = transformers.BertForSequenceClassification._from_config(
        copy.deepcopy(backbone.model.config), attn_implementation="eager"
    )
    # not strict, for it has a pooler beside
    bert.bert.load_state_dict(backbone.model.base_model.state_dict(), strict=False)
    model = get_peft_model(bert, config)
    if {m.config._attn_implementation for m in (bert.bert, backbone.model)} != {
        "eager"
    }:
        raise SystemExit(
            "The two sides compute attention in different ways: load both as eager."
        )
    tuned = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return step(model.train(), lambda: model(**inputs).loss), tuned


def floors(backbone: hub.Backbone, inputs: dict) -> tuple:
    """The frozen encoder alone, forward and backward: to vectors before the text, and
    to a ready cache of keys and values in every layer."""
    encoder, config = (
        copy.deepcopy(backbone.model.base_model).requires_grad_(False).train(),
        backbone.model.config,
    )
    words = encoder.get_input_embeddings()(inputs["input_ids"])
    before = torch.randn(ROWS, PROMPT, config.hidden_size, requires_grad=True)
    mask = torch.ones(ROWS, PROMPT + LENGTH, dtype=torch.long)
    shape = (
        ROWS,
        config.num_attention_heads,
        PROMPT,
        config.hidden_size // config.num_attention_heads,
    )
    pairs = [
        (torch.randn(shape, requires_grad=True), torch.randn(shape, requires_grad=True))
        for _ in range(config.num_hidden_layers)
    ]

    def at_input():
        encoder(
            inputs_embeds=torch.cat([before, words], 1), attention_mask=mask
        ).last_hidden_state[:, PROMPT].sum().backward()
        before.grad = None

    def in_layers():
        cache = transformers.DynamicCache()
        for layer, pair in enumerate(pairs):
            cache.update(*pair, layer)
        encoder(
            input_ids=inputs["input_ids"], attention_mask=mask, past_key_values=cache
        ).last_hidden_state[:, 0].sum().backward()
        for tensor in sum(pairs, ()):
            tensor.grad = None

    return at_input, in_layers


def training(backbone: hub.Backbone) -> Iterator[tuple[dict, list[tuple]]]:
    """Groups of sides (name -> run) that are measured together, and what is compared in
    each: (ours, against, goal or None). One after the other, for each holds several
    models."""
    config, inputs = backbone.model.config, batch(backbone.model.config.vocab_size)
    width, layers = config.hidden_size, config.num_hidden_layers
    at_input, in_layers = floors(backbone, inputs)
    methods = {
        "prompt tuning": (
            InputPrompts,
            FreeVectors(torch.randn(PROMPT, width)),
            PromptTuningConfig(**PEFT),
            at_input,
        ),
        "P-tuning": (
            InputPrompts,
            PromptEncoder(PROMPT, width),
            PromptEncoderConfig(
                **PEFT,
                encoder_reparameterization_type="LSTM",
                encoder_num_layers=2,
                encoder_dropout=0.0,
                encoder_hidden_size=width // 2,
            ),
            at_input,
        ),
        "P-tuning v2": (
            DeepPrompts,
            PrefixEncoder(PROMPT, layers, width),
            PrefixTuningConfig(**PEFT),
            in_layers,
        ),
        "prefix-tuning": (
            DeepPrompts,
            PrefixEncoder(PROMPT, layers, width, HIDDEN),
            PrefixTuningConfig(
                **PEFT, prefix_projection=True, encoder_hidden_size=HIDDEN
            ),
            in_layers,
        ),
    }
    for name, (around, prompt, asked, floor) in methods.items():
        (own, tuned), (short, _), (other, also) = (
            ours(backbone, around, prompt, inputs),
            ours(backbone, around, prompt, inputs, short=True),
            theirs(backbone, asked, inputs),
        )
        if tuned != also:
            raise SystemExit(
                f"{name}: ours tunes {tuned} parameters and PEFT's {also}: give both "
                "the same."
            )
        shorter = f"{name}, {SHORT}"
        sides = {name: own, shorter: short, "PEFT": other, "floor": floor}
        pairs = [
            (side, against, goal)
            for side in (name, shorter)
            for against, goal in {"PEFT": 1.0, "floor": 1.05}.items()
        ]
        # no method that runs the whole backbone can be faster against PEFT than this
        pairs.append(("floor", "PEFT", None))
        if name == "P-tuning v2":
            sides["input floor"] = at_input
            pairs.append((name, "input floor", None))
        yield sides, pairs


def scoring(backbone: hub.Backbone) -> tuple[dict, list[tuple]]:
    """Label words at one position, against the logits of the whole vocabulary at every
    position."""
    model, inputs = backbone.model, batch(backbone.model.config.vocab_size)
    del inputs["labels"]
    position = torch.full((ROWS,), LENGTH - 3)
    sides = {
        "label words": lambda: label_scores(model, inputs, [[20], [30]], position),
        "all logits": lambda: model(**inputs).logits[torch.arange(ROWS), position][
            :, [20, 30]
        ],
    }
    return sides, [("label words", "all logits", 1.0)]


def demonstrations(backbone: hub.Backbone) -> tuple[dict, list[tuple]]:
    """In-context scores with the demonstrations' keys and values kept, against reading
    them again with every query."""
    shown = [
        ("the room was clean and the staff were kind", "good"),
        ("we waited for an hour and the soup was cold", "bad"),
    ] * (SHOWN // 2)
    rows = [{"text": "a quiet place with good food, but far too dear"}] * ROWS
    cached, plain = (
        kind(backbone, "{text} -> {label}\n", ["good", "bad"], shown)
        for kind in (CachedInContext, InContext)
    )
    return {
        "demonstration cache": lambda: cached.logits(rows),
        "no cache": lambda: plain.logits(rows),
    }, [("demonstration cache", "no cache", 1.0)]


def measure(sides: dict, repetitions: int) -> dict[str, np.ndarray]:
    """CPU seconds of each side, one number a repetition; the first run of each does not
    count."""
    times = {name: [] for name in sides}
    for repetition in range(-1, repetitions):
        for name in sorted(sides, key=list(sides).index, reverse=repetition % 2 == 1):
            before = time.process_time()
            sides[name]()
            times[name].append(time.process_time() - before)
    return {name: np.array(values[1:]) for name, values in times.items()}


def compare(
    times: dict[str, np.ndarray], own: str, against: str, goal: float | None
) -> dict:
    """The median of the ratios within repetitions, with its 95 % bootstrap interval."""
    ratios = times[own] / times[against]
    low, high = scipy.stats.bootstrap(
        (ratios,), np.median, method="percentile", rng=0
    ).confidence_interval
    seconds = {name: round(float(np.median(times[name])), 5) for name in (own, against)}
    return {
        "what": own,
        "against": against,
        "ratio": round(float(np.median(ratios)), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "goal": goal,
        "seconds": seconds[own],
        "seconds_against": seconds[against],
        "pairs": len(ratios),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=40, help="repetitions on the mini")
    parser.add_argument(
        "--base-pairs",
        type=int,
        default=6,
        help="repetitions on the model of BERT-base's size",
    )
    parser.add_argument("--output", type=Path, default=FOLDER / "speed.json")
    given = parser.parse_args()
    if min(given.pairs, given.base_pairs) < 2:
        parser.error("an interval needs two repetitions: give --pairs 2 or more.")
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    rows = []
    print(
        f"{'model':10}{'what':38}{'against':14}{'ratio':>6}  {'95 % interval':15}"
        f"{'goal':>5}{'seconds':>8}{'against':>8}"
    )
    for role, inference in (("masked_lm", scoring), ("causal_lm", demonstrations)):
        for name, backbone in backbones(role).items():
            repetitions = given.pairs if name != "base size" else given.base_pairs
            with torch.inference_mode():
                results = [
                    (measure((group := inference(backbone))[0], repetitions), group[1])
                ]
            if role == "masked_lm":
                results = [
                    (measure(sides, repetitions), pairs)
                    for sides, pairs in training(backbone)
                ] + results
            for times, pairs in results:
                for pair in pairs:
                    rows.append({"model": name} | compare(times, *pair))
                    r = rows[-1]
                    interval = f"{r['low']:.3f} to {r['high']:.3f}"
                    print(
                        f"{name:10}{r['what']:38}{r['against']:14}{r['ratio']:6.3f}"
                        f"  {interval:15}{r['goal'] or '-':>5}{r['seconds']:8.4f}"
                        f"{r['seconds_against']:8.4f}",
                        flush=True,
                    )
    settings = {
        "rows": ROWS,
        "tokens": LENGTH,
        "prompt": PROMPT,
        "labels": LABELS,
        "hidden": HIDDEN,
        "demonstrations": SHOWN,
        "base": BASE,
    }
    versions = {p: version(p) for p in ("torch", "transformers", "peft")} | {
        "python": platform.python_version()
    }
    kept = {"settings": settings, "versions": versions, "ratios": rows}
    given.output.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
