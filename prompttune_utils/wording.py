"""Patterns and label words as somebody writes them: taken apart, checked, and made into
token ids. Chapter 3 builds its template and its verbalizer on these."""

import re
from collections.abc import Mapping

from prompttune_utils.reading import max_tokens, read_texts


def pieces_of(pattern: str, tokenizer) -> list[str]:
    """The words of a pattern and its slots in turn: words, slot, words, slot, words.

    Raises:
        ValueError: the tokenizer has no mask, or the slots are not those of a template.
    """
    marks = tokenizer.mask_token, tokenizer.cls_token, tokenizer.sep_token
    if None in marks:
        raise ValueError(
            f"The tokenizer for the template {pattern!r} lacks a mask, [CLS] or "
            "[SEP] token: take the tokenizer of a masked_lm."
        )
    pieces = re.split(r"\{([^{}]*)\}", pattern.replace(marks[0], "{mask}"))
    check_slots(pattern, pieces[1::2])
    return pieces


def check_slots(pattern: str, slots: list[str]) -> None:
    """Raises ValueError unless there is one {text}, one {mask}, at most one {text_b},
    and nothing unknown."""
    faults = [
        f"the unknown slot {{{name}}}"
        for name in sorted(set(slots) - {"text", "text_b", "mask", "sep"})
    ]
    faults += [
        f"{slots.count(name)} {{{name}}}"
        for name in sorted({"text", "mask", *slots} - {"sep"})
        if slots.count(name) != 1
    ]
    if faults:
        raise ValueError(
            f"The template {pattern!r} has {' and '.join(faults)}: write {{text}}, "
            "optional {text_b} and {sep}, and exactly one {mask}."
        )


def pattern_ids(tokenizer, words: str, before: str | None, after: str | None):
    """Token ids of the words between two slots of a pattern (None: its edge).

    Words beside the mask are read together with it, for some tokenizers make a token of
    the space between them and others do not. The space before a text is not read here.
    """
    left = tokenizer.mask_token if before == "mask" else ""
    right = tokenizer.mask_token if after == "mask" else ""
    words = words if right else words.rstrip()
    ids = tokenizer(left + words + right, add_special_tokens=False)["input_ids"]
    return ids[bool(left) : len(ids) - bool(right)]


def room_for_texts(template) -> int:
    """How many tokens of the texts a template leaves room for.

    Raises:
        ValueError: none.
    """
    # the words of the pattern, its mask and separators, and a mark at each end
    taken = [
        len(ids) if ids else name in ("mask", "sep") for name, ids in template.parts
    ]
    room = template.max_length - 2 - sum(taken)
    if room < 1:
        raise ValueError(
            f"The template {template.pattern!r} leaves no room for a text within "
            f"{template.max_length} tokens: shorten it or raise max_length."
        )
    return room


def check_template(template, backbone) -> None:
    """Raises ValueError for a template of another tokenizer, or one that takes more
    tokens than the model reads."""
    if template.tokenizer.mask_token_id != backbone.tokenizer.mask_token_id:
        raise ValueError(
            f"The template {template.pattern!r} was made with another tokenizer than "
            f"that of {backbone.name}: take a masked_lm and its tokenizer."
        )
    longest = max_tokens(backbone)
    if template.max_length > longest:
        raise ValueError(
            f"The template {template.pattern!r} takes {template.max_length} tokens and "
            f"{backbone.name} reads {longest}: lower its max_length."
        )


def first_ids(tokenizer, text: str, count: int) -> list[int]:
    """The first `count` token ids of a text; [MASK] in it is no mask."""

    def ids_of(part: str) -> list[int]:
        return read_texts(tokenizer, [part], add_special_tokens=False)["input_ids"][0]

    ids = ids_of(text[: 20 * count])  # enough of nearly every text
    if len(ids) <= count and len(text) > 20 * count:
        ids = ids_of(text)
    return ids[:count]


# -- label words


def label_words(words: Mapping[str, str | list[str]]) -> dict[str, list[str]]:
    """The words of each label as a list, without spaces around them.

    Raises:
        ValueError: this is no dictionary, or a label has no word.
    """
    if not isinstance(words, Mapping) or not words:
        raise ValueError(
            f"The label words are {words!r}: "
            "give a dictionary of each label and its word or words."
        )
    return {label: word_list(label, given) for label, given in words.items()}


def word_list(label, words: str | list[str]) -> list[str]:
    """A label's words, without spaces around them; ValueError if they are none."""
    words = [words] if isinstance(words, str) else words
    listed = isinstance(words, (list, tuple))
    if not listed or not all(isinstance(word, str) for word in words):
        raise ValueError(
            f"The words of the label {label!r} are {words!r}: "
            "give a word or a list of words."
        )
    if not words:
        raise ValueError(
            f"The label {label!r} has no word: give it one of the vocabulary."
        )
    return [word.strip() for word in words]


def label_ids(words: dict[str, list[str]], tokenizer) -> list[list[int]]:
    """For each label the token ids of its words, each once.

    Raises:
        ValueError: a word is not one token, or two labels share one.
    """
    out, taken = [], {}  # taken: token id -> the label that it stands for
    for label, options in words.items():
        ids = [word_id(tokenizer, label, word) for word in options]
        for i, word in zip(ids, options, strict=True):
            if taken.setdefault(i, label) != label:
                raise ValueError(
                    f"The label word {word!r} stands for {taken[i]!r} and for "
                    f"{label!r}: give every label words of its own."
                )
        out.append(list(dict.fromkeys(ids)))
    return out


def word_id(tokenizer, label, word: str) -> int:
    """The token id of a label word, read with a space before it."""
    ids = tokenizer(" " + word, add_special_tokens=False)["input_ids"]
    if len(ids) != 1 or ids[0] in tokenizer.all_special_ids:
        pieces = ", ".join(tokenizer.convert_ids_to_tokens(ids))
        raise ValueError(
            f"The label word {word!r} of {label!r} is not one token of this model "
            f"({pieces}): choose a word of its vocabulary."
        )
    return ids[0]
