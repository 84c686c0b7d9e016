"""Prompts for models that read from left to right: templates taken apart, label words
as tokens, and what is refused. Chapter 4 builds on it."""

import re

from prompttune_utils.hub import position_limit
from prompttune_utils.reading import read_texts


def token_ids(backbone, text: str, begin: bool = False) -> list[int]:
    """Token ids of a text. A mark such as [MASK] or </s> spelt in it stays text.

    begin: also what the tokenizer puts at the beginning of every text.
    """
    read = read_texts(backbone.tokenizer, [text], add_special_tokens=begin)
    return read["input_ids"][0]


def check_length(tokens: int, backbone, to_write: int = 0) -> None:
    """Raises ValueError when a prompt, with what is to be written, is too long."""
    limit = position_limit(backbone.model)
    if limit is not None and tokens + to_write > limit:
        more = f" and {to_write} more are to be written" if to_write else ""
        raise ValueError(
            f"A prompt has {tokens} tokens{more}, and {backbone.name} reads {limit}: "
            "show fewer or shorter demonstrations, or shorten the text."
        )


def split_template(template: str) -> tuple[str, str, str]:
    """A template as (query with {text}, the space before the label, what ends it).

    Braces that hold neither word are text. Raises ValueError for another form.
    """
    if re.findall(r"\{([^{}]*)\}", template) != ["text", "label"]:
        raise ValueError(
            f"The template {template!r} is not one {{text}} followed by one "
            "{label}: write it like '{text} -> {label}\\n'."
        )
    ask, end = template.split("{label}")
    return ask.rstrip(" "), ask[len(ask.rstrip(" ")) :], end


def first_tokens(backbone, words: list[str]) -> list[list[int]]:
    """The id of each word's first token, as `label_scores` wants them.

    Raises ValueError when a word has no token, or two words begin alike.
    """
    ids = [token_ids(backbone, word)[:1] for word in words]
    for word, first in zip(words, ids, strict=True):
        if first in ([], [backbone.tokenizer.unk_token_id]):
            raise ValueError(
                f"The label word {word!r} has no token of {backbone.name}: "
                "choose another word."
            )
    if len({tuple(i) for i in ids}) < len(words):
        raise ValueError(
            f"Two of the label words {words} begin with the same token of "
            f"{backbone.name}: choose words that differ at once."
        )
    return ids


def after_space(
    backbone, words: list[str], space: str = " "
) -> tuple[str, list[list[int]]]:
    """What of the space before the words belongs to the query, and the ids of the
    words' first tokens behind it."""
    try:
        return "", first_tokens(backbone, [space + word for word in words])
    except ValueError:
        # some tokenizers make the space a token of its own, before Chinese words
        return space, first_tokens(backbone, words)


def how_to_write(backbone, tokens: int, stop: str, temperature: float) -> dict:
    """What `generate` of transformers is told: greedy at temperature 0, above it all
    tokens are sampled from."""
    tokenizer, stops = backbone.tokenizer, token_ids(backbone, stop)
    ends = [tokenizer.eos_token_id] + (stops if len(stops) == 1 else [])
    ends = [token for token in ends if token is not None]
    how = {"max_new_tokens": tokens, "eos_token_id": ends or None}
    how |= {"do_sample": False, "repetition_penalty": 1.0}
    if temperature:
        how |= {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    pad = tokenizer.pad_token_id
    if pad is None and ends:
        pad = ends[0]  # a text that has ended is filled up with it
    return how | {"pad_token_id": pad}
