"""Turns what was trained into packaged assets.

python -m pretraining.ship build/pretraining/mini-bert/state.pt mini-bert
python -m pretraining.ship build/pretraining/word2vec-64.npy mini-word2vec
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from pretraining.mini_bert import WORK, new_model
from pretraining.tokenizer import for_bert
from prompttune_utils.hub import ASSETS


def ship_bert(state_file: Path, target: Path) -> None:
    """Writes config.json, model.safetensors (fp16) and the tokenizer; `state_file` is state.pt or tenth-N.pt of a training folder."""
    state = torch.load(state_file, weights_only=True)
    state = state.get("model", state)
    vocabulary, size = state["bert.embeddings.word_embeddings.weight"].shape
    layers = len({k.split(".")[3] for k in state if k.startswith("bert.encoder.layer")})
    model = new_model(vocabulary, size, layers)
    model.load_state_dict({k: v.float() for k, v in state.items()})
    model.half().save_pretrained(target)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=for_bert(Tokenizer.from_file(str(WORK / "tokenizer.json"))),
        model_max_length=128,
        pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("state", type=Path)
    parser.add_argument("target", help="a packaged name, or a folder when it holds a slash")
    arguments = parser.parse_args()
    ship = ship_vectors if arguments.state.suffix == ".npy" else ship_bert
    ship(arguments.state, Path(arguments.target) if "/" in arguments.target else ASSETS / arguments.target)
