"""Rows as the classifiers read them: texts, labels, and token ids of a user's text.

A row is a dictionary with a `text`, in some tasks a second one, `text_b`, and the
number of a `label`. What is missing or of another kind is refused by name.
"""

from collections.abc import Mapping

from prompttune_utils.hub import position_limit


def check_rows(rows: list[dict]) -> None:
    """Raises ValueError if there are no rows."""
    if not rows:
        raise ValueError("The list of rows is empty: give at least one row.")


def text_of(row: dict, column: str = "text") -> str:
    """The text of one row; half a character, which no tokenizer reads, becomes "?".

    Raises:
        ValueError: there is no text in this column.
    """
    text = row.get(column) if isinstance(row, Mapping) else None
    if not isinstance(text, str):
        raise ValueError(
            f"The row {str(row):.80} has no text under {column!r}: "
            f"give each row a string there."
        )
    return text.encode("utf-8", "replace").decode()


def texts_of(rows: list[dict], pairs: bool = True) -> list[list[str]]:
    """The texts of all rows, and after them the second texts if the rows have any.

    Raises:
        ValueError: no rows; a text is missing; there are second texts and the reader
            takes no `pairs`.
    """
    check_rows(rows)
    texts = [[text_of(row) for row in rows]]
    if any("text_b" in row for row in rows):
        if not pairs:
            raise ValueError(
                "The rows have a second text, 'text_b', and this classifier reads one: "
                "join the two under 'text'."
            )
        texts.append([text_of(row, "text_b") for row in rows])
    return texts


def labels_of(rows: list[dict], labels: int) -> list[int]:
    """The labels of all rows, each a number from 0 to `labels` - 1.

    Raises:
        ValueError: a label is missing or is no such number.
    """
    for row in rows:
        if row.get("label") not in range(labels):
            raise ValueError(
                f"The label of the row {str(row):.80} is {row.get('label')!r}: "
                f"give each row a number from 0 to {labels - 1}."
            )
    return [int(row["label"]) for row in rows]


def read_texts(tokenizer, *texts: list[str], **options) -> dict:
    """What `tokenizer(*texts, **options)` gives, with nothing in a text as a mark.

    The tokenizer still puts its own marks around the texts. A mark that a text spells,
    such as [MASK] or </s>, is cut into pieces like other words. Vocabularies of
    SentencePiece hold marks as whole pieces all the same; these become unknown tokens.

    Args:
        tokenizer: a tokenizer of transformers.
        texts: a list of texts, for pairs also a list of the second texts.
        options: of the tokenizer's call; it gives lists, not tensors.
    """
    inputs = tokenizer(
        *texts,
        split_special_tokens=True,
        return_special_tokens_mask=True,
        verbose=False,
        **options,
    )
    marks = set(tokenizer.all_special_ids)
    for ids, added in zip(inputs["input_ids"], inputs.pop("special_tokens_mask")):
        for place, by_tokenizer in enumerate(added):
            if ids[place] in marks and not by_tokenizer:
                ids[place] = tokenizer.unk_token_id
    return inputs


def max_tokens(backbone) -> int:
    """How many tokens a backbone's model and tokenizer take at once."""
    limit = backbone.tokenizer.model_max_length
    return min(limit, position_limit(backbone.model) or limit)
