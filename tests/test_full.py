"""The chapters on a large decoder at PROMPTTUNE_SCALE=full: a tiny fresh model in hub layout stands for the one of the hub.

Every cell runs. Of each recorded experiment the first setting runs, and stands for the others, so that the whole takes seconds.
"""

import json
import shutil

import matplotlib
import pytest
import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from prompttune_utils import hub
from prompttune_utils.results import Recorded
from tools import notebooks

matplotlib.use("Agg")

CHAPTERS = [n for n in notebooks.chapters() if n.stem[:2] in ("04", "05", "06")]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """A folder laid out as the hub, with a Qwen of 2 layers and random weights: another tokenizer, architecture and end mark than the minis have."""
    root = tmp_path_factory.mktemp("mirror")
    folder = root / hub.SCALES["full"]["causal_lm"]["en"][0]
    texts = [line for kind in ("reviews-*", "news-en", "*words", "word-rules") for file in hub.ASSETS.glob(f"{kind}/*.jsonl") for line in file.open()]
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator((" ".join(map(str, json.loads(line).values())) for line in texts), vocab_size=6000, special_tokens=["<|endoftext|>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>", model_max_length=2048)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=2048, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shutil.copytree(hub.ASSETS / "mini-bert", root / hub.SCALES["full"]["masked_lm"]["en"][0])  # chapter 5 asks a masked model beside
    return root


def first_of_each(self, settings, run):
    """Runs the first setting of every experiment, and gives its value for all the others; stands for `Recorded.get`."""
    kind = settings.get("run") or ", ".join(settings)
    seen = self.__dict__.setdefault("seen", {})
    if kind not in seen:
        seen[kind] = json.loads(json.dumps(run()))
    return seen[kind]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.stem)
def test_chapter_runs_at_full(chapter, mirror, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PROMPTTUNE_SCALE", "full")
    monkeypatch.setenv("PROMPTTUNE_MIRROR", str(mirror))
    monkeypatch.setattr(torch.cuda, "is_available", bool)
    monkeypatch.setattr(Recorded, "get", first_of_each)
    monkeypatch.chdir(tmp_path)
    names, experiments = {"__name__": "__main__", "display": print}, False
    for cell in notebooks.code_cells(notebooks.read(chapter)):
        experiments = experiments or "Recorded(" in cell.source
        try:
            exec(compile(cell.source.replace("    %pip", "    pass  #"), f"{chapter.stem}, cell {cell.id}", "exec"), names)
        except AssertionError:  # what a trained model must show, a fresh one need not; the checks of the method itself it must pass
            assert experiments, f"cell {cell.id} fails on another model"
    assert "mirror" in capsys.readouterr().out
    assert experiments
