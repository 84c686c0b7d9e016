"""Slots of a template for free vectors: found, counted, checked. And what chapter 8
asks of a model and its tokenizer: its layers, and the words it has whole."""

import re

import torch
from torch import nn

from prompttune_utils.wording import check_slots

FIRST_SOFT = 10_000_000  # no word has this id; the prompt's vectors count on from it
SOFT_SLOT = re.compile(r"\{soft(?::([1-9]\d*))?\}")


def soft_sizes(pattern: str) -> list[int]:
    """How many vectors each slot of a pattern stands for; 0 for {text} and its like."""
    sizes = []
    for slot in re.findall(r"\{[^{}]*\}", pattern):
        soft = SOFT_SLOT.fullmatch(slot)
        sizes.append(int(soft[1] or 1) if soft else 0)
    return sizes


def check_soft_pattern(pattern: str, tokenizer) -> str:
    """The pattern with {mask} for the tokenizer's mask. Raises ValueError unless its
    other slots are those of a template."""
    written = pattern.replace(tokenizer.mask_token or "{mask}", "{mask}")
    check_slots(pattern, re.findall(r"\{([^{}]*)\}", SOFT_SLOT.sub("", written)))
    return written


def fill_slots(template, sizes: list[int]) -> None:
    """Gives each soft slot of a template, read as {sep}, the ids of its vectors.

    Raises:
        ValueError: the tokenizer does not know a word of the pattern, or no room is
            left for a text.
    """
    sizes, first = list(sizes), FIRST_SOFT
    for place, (name, ids) in enumerate(template.parts):
        size = 0 if name == "words" else sizes.pop(0)
        if name == "words" and template.tokenizer.unk_token_id in ids:
            raise ValueError(
                f"The template {template.pattern!r} has words that the tokenizer does "
                "not know: write others."
            )
        if size:
            template.parts[place] = ("words", list(range(first, first + size)))
            first, template.room = first + size, template.room + 1 - size
    if template.room < 1:
        raise ValueError(
            f"The template {template.pattern!r} leaves no room for a text within "
            f"{template.max_length} tokens: shorten it or raise max_length."
        )


def check_vectors(vectors: torch.Tensor, template, width: int) -> None:
    """Raises ValueError unless there is one vector of this width for each soft slot."""
    wanted = (template.soft, width)
    if vectors.shape != wanted:
        raise ValueError(
            f"The prompt has the shape {tuple(vectors.shape)} and the slots of "
            f"{template.pattern!r} want {wanted}: give as many vectors."
        )


def fresh_layers(model) -> nn.ModuleList:
    """The layers of a model of BERT's family.

    Raises:
        ValueError: a model of another family, or one that has adapters or LoRA.
    """
    encoder = getattr(model.base_model, "encoder", None)
    layers = getattr(encoder, "layer", None)
    if layers is None or not hasattr(layers[0], "output"):
        raise ValueError(
            f"{type(model).__name__} has no layers like BERT's: choose a masked LM of "
            "BERT's family."
        )
    names = [name for name, _ in model.named_parameters()]
    if any(".lora_A." in name or ".down." in name for name in names):
        raise ValueError(
            "The model has adapters already: take a fresh copy of the backbone's model."
        )
    return layers


def word_ids(tokenizer, signs: bool = False) -> list[int]:
    """Ids of the vocabulary's whole words: letters only, or also single `signs` such as
    the full stop, and read back as the same single token when they stand behind a
    space."""
    words = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
    read = tokenizer(
        [" " + word.strip() for word in words],
        add_special_tokens=False,
        split_special_tokens=True,
    )["input_ids"]

    def wanted(word: str) -> bool:
        return word.isalpha() or (signs and word in [*".,!?:;，。！？：；、"])

    return [
        number
        for number, word in enumerate(words)
        if wanted(word.strip()) and read[number] == [number]
    ]
