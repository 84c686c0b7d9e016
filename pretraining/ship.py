"""Turns what was trained into packaged assets.

python -m pretraining.ship build/pretraining/mini-bert/state.pt mini-bert
python -m pretraining.ship build/pretraining/mini-gpt/state.pt mini-gpt
python -m pretraining.ship build/pretraining/word2vec-64.npy mini-word2vec
"""

import argparse
from collections.abc import Callable
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
    return [
        (file, torch.load(file, weights_only=True)["tokens"])
        for file in [*files, folder / "state.pt"]
    ]


def bert(
    state: dict[str, torch.Tensor],
) -> tuple[torch.nn.Module, PreTrainedTokenizerFast]:
    """mini-bert of the shape of the weights, and its tokenizer."""
    vocabulary, size = state["bert.embeddings.word_embeddings.weight"].shape
    layers = len({k.split(".")[3] for k in state if k.startswith("bert.encoder.layer")})
    names = {
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }
    return mini_bert.new_model(vocabulary, size, layers), _tokenizer(
        for_bert, 128, **names
    )


def gpt(
    state: dict[str, torch.Tensor],
) -> tuple[torch.nn.Module, PreTrainedTokenizerFast]:
    """mini-gpt or mini-gpt-s, whichever has the width of the weights, and its
    tokenizer."""
    vocabulary, width = state["gpt_neox.embed_in.weight"].shape
    return mini_gpt.new_model(_name(mini_gpt.SHAPES, width), vocabulary), _tokenizer(
        for_gpt, 512, padding_side="left", bos_token="<s>", eos_token="</s>"
    )


def t5(
    state: dict[str, torch.Tensor],
) -> tuple[torch.nn.Module, PreTrainedTokenizerFast]:
    """mini-t5 or mini-t5-s, whichever has the width of the weights, and its
    tokenizer."""
    vocabulary, width = state["shared.weight"].shape
    return mini_t5.new_model(_name(mini_t5.SHAPES, width), vocabulary), _tokenizer(
        for_t5, 256, eos_token="</s>", extra_special_tokens=SENTINELS
    )


# a weight that only this kind of model has -> model and tokenizer for such weights
KINDS = {
    "bert.embeddings.word_embeddings.weight": bert,
    "gpt_neox.embed_in.weight": gpt,
    "shared.weight": t5,
}


def _name(shapes: dict[str, tuple], width: int) -> str:
    return next(name for name, shape in shapes.items() if shape[0] == width)


def _tokenizer(
    prepared: Callable[[Tokenizer], Tokenizer], longest: int, **options
) -> PreTrainedTokenizerFast:
    options = {"model_input_names": ["input_ids", "attention_mask"]} | options
    tokenizer = prepared(Tokenizer.from_file(str(WORK / "tokenizer.json")))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=longest,
        pad_token="[PAD]",
        unk_token="[UNK]",
        **options,
    )


def ship_model(state: dict[str, torch.Tensor], target: Path) -> None:
    """Writes config.json, model.safetensors (fp16) and the tokenizer."""
    model, tokenizer = next(make for weight, make in KINDS.items() if weight in state)(
        state
    )
    model.load_state_dict(state)
    model.half().save_pretrained(target)
    tokenizer.save_pretrained(target)
    readable(target)


def ship_vectors(array: Path, target: Path) -> None:
    """Writes vectors.safetensors: `vectors` (vocabulary, size) in fp16, rows in the
    order of the tokenizer's ids."""
    target.mkdir(parents=True, exist_ok=True)
    save_file(
        {"vectors": np.load(array).astype(np.float16)}, target / "vectors.safetensors"
    )
    readable(target)


def readable(folder: Path) -> None:
    """safetensors writes files that only their owner may read."""
    for file in folder.iterdir():
        file.chmod(0o644)


def ship(source: Path, target: Path) -> None:
    """Ships what `source` holds."""
    if source.suffix == ".npy":
        ship_vectors(source, target)
    else:
        ship_model(read_state(source), target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Turns trained weights into a packaged asset."
    )
    parser.add_argument("state", type=Path)
    parser.add_argument(
        "target", help="a packaged name, or a folder when it holds a slash"
    )
    arguments = parser.parse_args()
    ship(
        arguments.state,
        Path(arguments.target)
        if "/" in arguments.target
        else ASSETS / arguments.target,
    )
