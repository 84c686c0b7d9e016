"""Smoke test of PROMPTTUNE_SCALE=full: the cells of every chapter run on other
architectures and tokenizers than the minis', without an error. No number is checked.

Tiny fresh models in hub layout stand for those of the hub. The cells run, but three
things are replaced, so that the whole takes seconds: of each recorded experiment only
the first setting runs in each language and stands for the others, a training stops
after 4 steps, and a live value is never compared with a recorded one. A chapter that
needs what another one has kept or chosen is run up to there. Cells of the real models
are left to test_real.py.
"""

import contextlib
import json
import random
import re
import string

import matplotlib
import pytest
import torch
from IPython.core.inputtransformer2 import TransformerManager
from tokenizers import ByteLevelBPETokenizer, SentencePieceUnigramTokenizer
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertTokenizer,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from prompttune_utils import hub, rates
from prompttune_utils.cache import Cache, bound, call_key, given_back
from prompttune_utils.data import load_task
from prompttune_utils.identity import label
from prompttune_utils.training import fit
from tools import notebooks

matplotlib.use("Agg")

CHAPTERS = [n for n in notebooks.chapters() if n.stem[0].isdigit()]
FULL = hub.SCALES["full"]


CHINESE = re.compile("[\u3000-\u9fff\uff00-\uffef]")


def texts(language):
    """All that the packaged data sets say; in English, for `zh` in both languages."""
    files = [
        f
        for kind in ("reviews-*", "news-en", "nli-en", "*words", "word-rules")
        for f in hub.ASSETS.glob(f"{kind}/*.jsonl")
    ]
    lines = [
        " ".join(map(str, json.loads(line).values()))
        for file in files
        for line in file.open(encoding="utf-8")
    ]
    return [line for line in lines if language == "zh" or not CHINESE.search(line)]


def bert(language):
    """Words that keep capitals, and other special tokens and ids than the minis have;
    the English one knows no Chinese."""
    words = [
        w
        for w in AutoTokenizer.from_pretrained(hub.ASSETS / "mini-bert").get_vocab()
        if not w.startswith(("[", "<"))
    ]
    words = {w for w in words if language == "zh" or not CHINESE.search(w)}
    objects = {
        json.loads(line)["object"]
        for line in (hub.ASSETS / "facts" / "facts.jsonl").open(encoding="utf-8")
    }
    words = sorted(
        words
        | {o for o in objects if " " not in o}
        | set(string.ascii_letters)
        | {f"##{letter}" for letter in string.ascii_letters}
    )
    random.Random(0).shuffle(words)
    special = {
        "mask_token": "<gap>",
        "sep_token": "<end>",
        "cls_token": "<start>",
        "unk_token": "<new>",
        "pad_token": "<void>",
    }
    vocabulary = {
        word: number
        for number, word in enumerate([*words[:7], *special.values(), *words[7:]])
    }
    tokenizer = BertTokenizer(
        vocabulary, do_lower_case=False, model_max_length=512, **special
    )
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.3,
    )
    return BertForMaskedLM(config), tokenizer


def qwen(language):
    """Bytes in place of words, and one mark for the end and for padding."""
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        texts(language), vocab_size=6000, special_tokens=["<|endoftext|>"]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        model_max_length=2048,
        chat_template="{% for m in messages %}{{ m.content }}\n{% endfor %}",
    )
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen2ForCausalLM(config), tokenizer


def t5(language):
    """T5 as of version 1.1: gated, the output matrix apart from the embeddings; pieces
    of SentencePiece."""
    unigram = SentencePieceUnigramTokenizer()
    unigram.train_from_iterator(
        texts(language),
        vocab_size=6000,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer = T5Tokenizer(
        [tuple(piece) for piece in json.loads(unigram.to_str())["model"]["vocab"]],
        model_max_length=512,
    )
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=tokenizer.pad_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return T5ForConditionalGeneration(config), tokenizer


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """A folder laid out as the hub. The models have 2 layers and random weights: other
    tokenizers, architectures and end marks than the minis."""
    root = tmp_path_factory.mktemp("mirror")
    for role, make in (("masked_lm", bert), ("causal_lm", qwen), ("seq2seq_lm", t5)):
        for language, (name, *_) in FULL[role].items():
            torch.manual_seed(0)
            for part in make(language):
                part.save_pretrained(root / name)
    for name, language in (("SetFit/sst2", "en"), ("lansinuote/ChnSentiCorp", "zh")):
        (root / name).mkdir(parents=True)
        task = load_task(f"reviews-{language}")
        for split in ("train", "validation", "test"):
            # as many that a chapter draws from them
            rows = task.pool + task.test if split == "test" else task.pool
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
            (root / name / f"{split}.jsonl").write_text("\n".join(lines), "utf-8")
    said = [{"text": row["text"]} for row in load_task("reviews-en").pool]
    for name, labels in (("bbc", 5), ("sst2", 2)):  # chapter 14 draws files from them
        (root / "own-tasks" / name).mkdir(parents=True)
        rows = [row | {"label": n % labels} for n, row in enumerate(said)]
        for split, part in (("pool", rows[50:]), ("test", rows[:50])):
            content = "\n".join(map(json.dumps, part))
            (root / "own-tasks" / name / f"{split}.jsonl").write_text(content, "utf-8")
    return root


def first_call(self, run, *arguments, **named):
    """Calls each function once for each language and data set (and for chapter 5's
    "name", which has more to say), and gives its value for all other arguments; stands
    for `Cache.get`. What a chapter asks the minis for by name is read as it was
    kept."""
    if self.scale == "mini":
        name = label(run)
        new = {"run": name, "arguments": bound(run, name, arguments, named)}
        call = call_key(new)
        return given_back(self.entries[call, self.calls[call][0]])
    asked = repr((arguments, named))
    words = ("zh", "sst2", "chnsenticorp", "'name'", "'dev'")
    kind = run.__name__, *(word in asked for word in words)
    seen = self.__dict__.setdefault("seen", {})
    if kind not in seen:
        seen[kind] = json.loads(json.dumps(run(*arguments, **named)))
    return seen[kind]


def first_calls(self, run, *arguments, seeds=range(5), **named):
    """The same of `Cache.per_seed`."""
    return [first_call(self, run, *arguments, **named, seed=seed) for seed in seeds]


class OfAnother(Exception):
    """A chapter has come to what another one has kept or chosen, which at this scale is
    missing."""


def of_another(*_, **__):
    """Stands for `rates.rate` and `Cache.read` of another chapter: here the smoke test
    of a chapter ends."""
    raise OfAnother


def short_fit(*given, steps, after_step=None, **more):
    """Takes 4 steps, and says of the others what the last gave; stands for `fit`."""
    losses = fit(*given, steps=min(steps, 4), after_step=after_step, **more)
    for step in range(len(losses) + 1, steps + 1):
        if after_step:
            after_step(step)
    return losses + losses[-1:] * (steps - len(losses))


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.stem)
def test_chapter_runs_at_full_without_an_error(chapter, mirror, monkeypatch, tmp_path):
    monkeypatch.setenv("PROMPTTUNE_SCALE", "full")
    monkeypatch.setenv("PROMPTTUNE_MIRROR", str(mirror))
    monkeypatch.setattr(torch.cuda, "is_available", bool)
    monkeypatch.setattr("prompttune_utils.training.fit", short_fit)
    monkeypatch.chdir(tmp_path)
    # the live value of one setting beside the stand-in of another says nothing
    monkeypatch.setattr(
        "prompttune_utils.evaluation.inside", lambda live, recorded, slack=0: True
    )
    resolve, places = hub.resolve, []
    monkeypatch.setattr(
        hub, "resolve", lambda *given: places.append(resolve(*given)) or places[-1]
    )
    names = {"__name__": "__main__", "display": print}
    monkeypatch.setattr(Cache, "get", first_call)
    monkeypatch.setattr(Cache, "per_seed", first_calls)
    read = Cache.read  # what a chapter has kept itself, at another scale, it may read
    monkeypatch.setattr(
        Cache,
        "read",
        lambda kept, *given, **more: (
            read if kept.chapter == chapter.stem else of_another
        )(kept, *given, **more),
    )
    monkeypatch.setattr("prompttune_utils.cache.changed_witness", lambda entry: None)
    own = {key for key, e in rates.entries().items() if e["chapter"] == chapter.stem}
    chosen = rates.rate  # and a rate that it has chosen itself
    monkeypatch.setattr(
        rates,
        "rate",
        lambda *asked: (chosen if " | ".join(map(str, asked)) in own else of_another)(
            *asked
        ),
    )
    with contextlib.suppress(OfAnother):
        for cell in notebooks.code_cells(notebooks.read(chapter)):
            source = TransformerManager().transform_cell(cell.source)  # its !pip, too
            exec(compile(source, f"{chapter.stem}, cell {cell.id}", "exec"), names)
    assert "mirror" in {place.kind for place in places}
