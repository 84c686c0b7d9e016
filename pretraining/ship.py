"""Turns what was trained into packaged assets.

python -m pretraining.ship build/pretraining/mini-bert/state.pt mini-bert
python -m pretraining.ship build/pretraining/mini-gpt/state.pt mini-gpt
python -m pretraining.ship build/pretraining/word2vec-64.npy mini-word2vec
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from pretraining import mini_bert, mini_gpt, mini_t5
from pretraining.mini_bert import WORK
from pretraining.tokenizer import SENTINELS, for_bert, for_gpt, for_t5
from prompttune_utils.hub import ASSETS


def read_state(state_file: Path) -> dict[str, torch.Tensor]:
    """The weights in state.pt or tenth-N.pt of a training folder."""
    state = torch.load(state_file, weights_only=True)
    return {k: v.float() for k, v in state.get("model", state).items()}


def milestones(folder: Path) -> list[tuple[Path, int]]:
    """(file, tokens read by then) of each tenth of a training run, and of its end."""
    files = sorted(folder.glob("tenth-*.pt"), key=lambda p: int(p.stem.split("-")[1]))
    return [(file, torch.load(file, weights_only=True)["tokens"]) for file in [*files, folder / "state.pt"]]


def ship_bert(state_file: Path, target: Path) -> None:
    """Writes config.json, model.safetensors (fp16) and the tokenizer of mini-bert."""
    state = read_state(state_file)
    vocabulary, size = state["bert.embeddings.word_embeddings.weight"].shape
    layers = len({k.split(".")[3] for k in state if k.startswith("bert.encoder.layer")})
    model = mini_bert.new_model(vocabulary, size, layers)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=for_bert(Tokenizer.from_file(str(WORK / "tokenizer.json"))),
        model_max_length=128,
        pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip
    _write(model, state, tokenizer, target)


def ship_gpt(state_file: Path, target: Path) -> None:
    """Writes config.json, model.safetensors (fp16) and the tokenizer of mini-gpt or mini-gpt-s, whichever has the width of the weights."""
    state = read_state(state_file)
    vocabulary, width = state["gpt_neox.embed_in.weight"].shape
    name = next(name for name, shape in mini_gpt.SHAPES.items() if shape[0] == width)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=for_gpt(Tokenizer.from_file(str(WORK / "tokenizer.json"))),
        model_max_length=512, padding_side="left",
        pad_token="[PAD]", unk_token="[UNK]", bos_token="<s>", eos_token="</s>",
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    _write(mini_gpt.new_model(name, vocabulary), state, tokenizer, target)


def ship_t5(state_file: Path, target: Path) -> None:
    """Writes config.json, model.safetensors (fp16) and the tokenizer of mini-t5 or mini-t5-s, whichever has the width of the weights."""
    state = read_state(state_file)
    vocabulary, width = state["shared.weight"].shape
    name = next(name for name, shape in mini_t5.SHAPES.items() if shape[0] == width)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=for_t5(Tokenizer.from_file(str(WORK / "tokenizer.json"))),
        model_max_length=256,
        pad_token="[PAD]", unk_token="[UNK]", eos_token="</s>", extra_special_tokens=SENTINELS,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    _write(mini_t5.new_model(name, vocabulary), state, tokenizer, target)


def _write(model, state: dict[str, torch.Tensor], tokenizer: PreTrainedTokenizerFast, target: Path) -> None:
    model.load_state_dict(state)
    model.half().save_pretrained(target)
    tokenizer.save_pretrained(target)
    readable(target)


def ship_vectors(array: Path, target: Path) -> None:
    """Writes vectors.safetensors: `vectors` (vocabulary, size) in fp16, rows in the order of the tokenizer's ids."""
    target.mkdir(parents=True, exist_ok=True)
    save_file({"vectors": np.load(array).astype(np.float16)}, target / "vectors.safetensors")
    readable(target)


def readable(folder: Path) -> None:
    """safetensors writes files that only their owner may read."""
    for file in folder.iterdir():
        file.chmod(0o644)


def ship(source: Path, target: Path) -> None:
    """Ships what `source` holds."""
    if source.suffix == ".npy":
        ship_vectors(source, target)
        return
    state = read_state(source)
    (ship_gpt if "gpt_neox.embed_in.weight" in state else ship_t5 if "shared.weight" in state else ship_bert)(source, target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Turns trained weights into a packaged asset.")
    parser.add_argument("state", type=Path)
    parser.add_argument("target", help="a packaged name, or a folder when it holds a slash")
    arguments = parser.parse_args()
    ship(arguments.state, Path(arguments.target) if "/" in arguments.target else ASSETS / arguments.target)
