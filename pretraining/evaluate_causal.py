"""Measures mini-gpt and mini-gpt-s: python -m pretraining.evaluate_causal mini-gpt

In-context learning, step-by-step arithmetic and real tasks, on pairs, problems and
texts that training has not seen; no weight changes, and nothing is chosen, so there is
no dev set. Prints the lines, keeps the values in evaluation.json beside the weights
(resumable) and writes the lines into the model's card.
"""

import random
import re
from functools import cache, partial

import torch

from pretraining import corpora
from pretraining.documents import NUMBER_RULES, computed, spare, spared, word_pairs
from pretraining.evaluate import command, opened
from pretraining.next_token import label_words
from prompttune_utils import arithmetic
from prompttune_utils.data import load_task
from prompttune_utils.evaluation import show
from prompttune_utils.methods.in_context_learning import generate as continued

SEEDS = range(5)
SHOTS = [0, 1, 2, 4, 8, 16]
QUERIES = 40  # at most, for each rule and seed
# the training text may state these pairs in another form: in a sentence, in an
# equation, or backwards; of the others the test pairs occur nowhere
STATED = [
    "zh_en", "en_zh", "antonym", "first_letter", "capital", "kind", "sum",
    "number_word", "word_number", "next_number", "last_number",
]  # fmt: skip
UNSEEN = [
    "plural",
    "past",
    "singular",
    "category",
    "category_zh",
    "larger",
    "number_zh",
]
ARBITRARY = ["arbitrary_category", "arbitrary_category_zh"]
INDUCTION = "orhonovich/instruction-induction"
DIRECT = {"en": " the answer is", "zh": "答案是"}
THINK = {"en": " let's think step by step.", "zh": "让我们一步一步来思考。"}
THEREFORE = {"en": " therefore, the answer is", "zh": "所以答案是"}
CONCLUSION = {"en": "therefore", "zh": "所以答案"}


def exact(
    backbone,
    prompts: list[str],
    answers: list[str],
    ends: str = "\n",
    batch_size: int = 64,
) -> list[bool]:
    """Whether greedy decoding after each prompt writes exactly the answer and its end:
    one forward pass, since every step must be the best."""
    tokenizer, model = backbone.tokenizer, backbone.model
    rows = []
    for prompt, answer in zip(prompts, answers, strict=True):
        start = tokenizer(prompt).input_ids
        rows.append(
            (start, tokenizer(answer + ends, add_special_tokens=False).input_ids)
        )
    found = [False] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    for at in range(0, len(order), batch_size):
        part = order[at : at + batch_size]
        ids = [torch.tensor(rows[i][0] + rows[i][1]) for i in part]
        batch = torch.nn.utils.rnn.pad_sequence(
            ids, batch_first=True, padding_value=tokenizer.pad_token_id
        )
        with torch.inference_mode():
            hidden = model.base_model(input_ids=batch).last_hidden_state
            for line, i in zip(hidden, part, strict=True):
                first, length = len(rows[i][0]), len(rows[i][1])
                best = model.get_output_embeddings()(
                    line[first - 1 : first - 1 + length]
                ).argmax(-1)
                found[i] = best.tolist() == rows[i][1]
    return found


def generate(backbone, prompts: list[str], tokens: int) -> list[str]:
    """Greedy continuations, cut at the first line break."""
    return continued(backbone, backbone.tokenizer(prompts).input_ids, tokens)


def rule_items(rule: str, seed: int, labels: list[str]) -> tuple[list, list]:
    """(pairs for demonstrations, held-out pairs to ask), shuffled."""
    r = random.Random(f"{rule} {seed}")
    if rule in NUMBER_RULES:
        known, asked = {}, {}
        for a, b in (computed(rule, r) for _ in range(2000)):
            if spare(rule, a):
                asked[a] = b
            elif not spared(rule, a, b):
                known[a] = b
        return list(known.items()), list(asked.items())
    train, test = word_pairs("train"), word_pairs("test")
    if rule not in ARBITRARY:
        return r.sample(train[rule], len(train[rule])), r.sample(
            test[rule], len(test[rule])
        )
    plain = rule.removeprefix("arbitrary_")
    groups = r.sample(
        [
            g
            for g in sorted({b for _, b in test[plain]})
            if sum(b == g for _, b in test[plain]) >= 4
        ],
        4,
    )
    named = dict(zip(groups, r.sample(labels, 4), strict=True))
    demonstrations = [
        (a, named[b])
        for a, b in r.sample(train[plain], len(train[plain]))
        if b in named
    ]
    by_group = {
        g: [pair for pair in demonstrations if pair[1] == named[g]] for g in groups
    }
    mixed = [
        pair
        for four in zip(*by_group.values(), strict=False)
        for pair in r.sample(four, 4)
    ]  # every four demonstrations hold each label once
    return mixed, [
        (a, named[b]) for a, b in r.sample(test[plain], len(test[plain])) if b in named
    ]


def list_prompt(demonstrations: list[tuple[str, str]], query: str) -> str:
    """The demonstrations as lines `input -> output`, then the query."""
    return "".join(f"{a} -> {b}\n" for a, b in demonstrations) + f"{query} ->"


def in_context(backbone, rule: str, shots: int, seed: int) -> float:
    """Exact-match accuracy on held-out pairs after `shots` demonstrations, drawn anew
    for each query."""
    known, asked = rule_items(
        rule,
        seed,
        label_words(backbone.tokenizer.backend_tokenizer, test=True)
        if rule in ARBITRARY
        else [],
    )
    asked, r = asked[:QUERIES], random.Random(seed)
    if rule in ARBITRARY:
        starts = [4 * r.randint(0, len(known) // 4 - shots // 4 - 1) for _ in asked]
        prompts = [
            list_prompt(r.sample(known[s : s + max(4, shots)], shots), a)
            for s, (a, _) in zip(starts, asked, strict=True)
        ]
    else:
        prompts = [
            list_prompt(r.sample(known, min(shots, len(known))), a) for a, _ in asked
        ]
    hits = exact(backbone, prompts, [b for _, b in asked])
    return sum(hits) / len(hits)


def number_in(text: str) -> int | None:
    """The first number of a text."""
    found = re.search(r"\d+", text)
    return int(found.group()) if found else None


def ask(problem: arithmetic.Problem, answer: str = "") -> str:
    """A problem as the lines of a demonstration, up to the answer."""
    one, two = ("q: ", "a:") if problem.language == "en" else ("问：", "答：")
    return f"{one}{problem.question}\n{two}{answer}"


def solved(problem: arithmetic.Problem, steps: bool) -> str:
    """A worked demonstration."""
    end = "." if problem.language == "en" else "。"
    worked = (
        (
            " " + " ".join(problem.steps)
            if problem.language == "en"
            else "".join(problem.steps)
        )
        if steps
        else ""
    )
    return ask(problem, f"{worked}{DIRECT[problem.language]} {problem.answer}{end}\n")


def word_problems(
    backbone, language: str, steps: int, way: str, seed: int, count: int = 50
) -> float:
    """Share of held-out problems solved: few-direct, few-steps, zero-direct or
    zero-steps (two calls)."""
    tests = arithmetic.problems(count, language, steps, seed)
    r = random.Random(seed)
    if way.startswith("few"):
        pool = [
            p
            for n in (2, 3)
            for p in arithmetic.problems(40, language, n, seed, test=False)
        ]
        prompts = [
            "".join(solved(p, way == "few-steps") for p in r.sample(pool, 3)) + ask(t)
            for t in tests
        ]
        written = generate(
            backbone,
            [p + (DIRECT[language] if way == "few-direct" else "") for p in prompts],
            8 if way == "few-direct" else 90,
        )
    elif way == "zero-direct":
        written = generate(backbone, [ask(t, DIRECT[language]) for t in tests], 8)
    else:
        prompts = [ask(t, THINK[language]) for t in tests]
        written = generate(backbone, prompts, 90)
        thoughts = [
            w.partition(CONCLUSION[language])[0] for w in written
        ]  # what the model concludes by itself does not count
        written = generate(
            backbone,
            [
                p + " " + w.strip() + THEREFORE[language]
                for p, w in zip(prompts, thoughts, strict=True)
            ],
            8,
        )
    if way == "few-steps":
        written = [
            w.rpartition(DIRECT[language].strip())[2]
            if DIRECT[language].strip() in w
            else ""
            for w in written
        ]
    return (
        sum(number_in(w) == t.answer for w, t in zip(written, tests, strict=True))
        / count
    )


@cache
def induction_pairs(task: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(train, test) pairs of a real task; test pairs that stand in a training list are
    left out. Empty where a row is not one input and one output."""

    def pair(row: dict) -> tuple[str, str]:
        columns = ("cause", "effect") if "cause" in row else ("input", "output")
        return str(row[columns[0]]), str(row[columns[1]])

    listed = {pair for pairs in word_pairs("train").values() for pair in pairs}
    train, test = (
        [
            pair(row)
            for row in corpora.read_rows(f"{INDUCTION}/{task}", split)
            if "input" in row or "cause" in row
        ]
        for split in ("train", "test")
    )
    return train, [(a, b) for a, b in test if (a.lower(), b.lower()) not in listed]


def induction(
    backbone, task: str, shots: int, seed: int, count: int = 40
) -> float | None:
    """Exact match on a real task; None where it has no pairs."""
    r, (train, test) = random.Random(f"{task} {seed}"), induction_pairs(task)
    if not test:
        return None
    test = r.sample(test, min(count, len(test)))
    prompts = [list_prompt(r.sample(train, min(shots, len(train))), a) for a, _ in test]
    prompts = [
        p if len(backbone.tokenizer(p).input_ids) < 480 else list_prompt([], a)
        for p, (a, _) in zip(prompts, test, strict=True)
    ]
    hits = exact(backbone, prompts, [b for _, b in test])
    return sum(hits) / len(hits)


def perplexity(backbone, texts: list[str]) -> float:
    """Mean over all tokens, exponentiated."""
    total = count = 0
    for text in texts:
        ids = backbone.tokenizer(text, return_tensors="pt").input_ids[:, :256]
        with torch.inference_mode():
            loss = backbone.model(input_ids=ids, labels=ids).loss
        total, count = (
            total + float(loss) * (ids.shape[1] - 1),
            count + ids.shape[1] - 1,
        )
    return float(torch.tensor(total / count).exp())


def measure(name: str) -> list[str]:
    """The lines of the card; what is recorded for these weights is not run again."""
    backbone, recorded, say = opened("causal_lm", name)

    def values(run, **settings) -> list[float]:
        return [
            recorded.get(
                settings | {"what": run.__name__, "seed": s},
                partial(run, backbone, *settings.values(), s),
            )
            for s in SEEDS
        ]

    say(
        "in-context learning, exact match on held-out pairs after "
        f"{', '.join(map(str, SHOTS))} demonstrations"
    )
    kinds = {
        "stated in another form, in no list of the rule": STATED,
        "nowhere in training": UNSEEN,
        "arbitrary labels, 4 groups": ARBITRARY,
    }
    table = {
        rule: [values(in_context, rule=rule, shots=n) for n in SHOTS]
        for rule in [*STATED, *UNSEEN, *ARBITRARY]
    }
    for title, rules in [*kinds.items(), ("all rules", list(table))]:
        for rule in rules if title in kinds else []:
            say(
                f"  {rule:22} "
                + "  ".join(f"{sum(v) / len(v):.3f}" for v in table[rule])
            )
        means = [
            [
                sum(table[rule][k][s] for rule in rules) / len(rules)
                for s in range(len(SEEDS))
            ]
            for k in range(len(SHOTS))
        ]
        say(f"  mean, {title}: " + "  ".join(show(m) for m in means))
    example = "你好->hello, 再见->goodbye, 购买->purchase, 销售->"
    say(f"  {example} {generate(backbone, [example], 4)[0].partition(',')[0]}")
    for language in ("en", "zh"):
        for steps in (2, 3):
            row = {
                way: values(word_problems, language=language, steps=steps, way=way)
                for way in ("few-direct", "few-steps", "zero-direct", "zero-steps")
            }
            say(
                f"word problems {language}, {steps} steps: "
                + ", ".join(f"{way} {show(v)}" for way, v in row.items())
            )
    say("instruction-induction (real tasks), exact match at 0 and 8 demonstrations")
    for folder in sorted(
        path.parent for path in (corpora.mirror() / INDUCTION).glob("*/train.jsonl.gz")
    ):
        zero, eight = (values(induction, task=folder.name, shots=n) for n in (0, 8))
        say(
            f"  {folder.name:28} "
            + (
                "not a task of single inputs and outputs"
                if None in zero
                else f"{show(zero)}  {show(eight)}"
            )
        )
    for name_ in ("reviews-en", "reviews-zh", "news-en"):
        texts = [row["text"] for row in load_task(name_).test]
        value = recorded.get(
            {"perplexity": name_}, partial(perplexity, backbone, texts)
        )
        say(f"perplexity per token on {name_} (own text, not trained on): {value:.1f}")
    return say.lines


def known(backbone) -> dict:
    """One seed of some of the measurements above."""
    groups = (("stated", STATED), ("unseen", UNSEEN), ("arbitrary", ARBITRARY))
    lists = {
        title: sum(in_context(backbone, rule, 16, 0) for rule in rules) / len(rules)
        for title, rules in groups
    }
    return lists | {
        way: word_problems(backbone, "en", 2, way, 0)
        for way in ("zero-direct", "zero-steps")
    }


if __name__ == "__main__":
    command("causal_lm", measure, known)
