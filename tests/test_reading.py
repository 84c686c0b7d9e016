"""How rows are read: what is missing is named, and no text spells a control token."""

import math

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)

from prompttune_utils import hub
from prompttune_utils.reading import (
    labels_of,
    max_tokens,
    read_texts,
    text_of,
    texts_of,
)

TOKENIZERS = {
    name: AutoTokenizer.from_pretrained(hub.ASSETS / name)
    for name in ("mini-bert", "mini-t5", "mini-gpt")
}


def test_texts_and_pairs():
    rows = [{"text": "a", "text_b": "x"}, {"text": "", "text_b": "y"}]
    assert texts_of(rows) == [["a", ""], ["x", "y"]]
    assert texts_of([{"text": "a", "other": None}]) == [["a"]]
    assert text_of({"text": "half \ud800"}) == "half ?"


MISSING = {
    "no rows": ([], "list of rows is empty"),
    "no text": ([{"label": 1}], r"row \{'label': 1\} has no text under 'text'"),
    "None": ([{"text": None}], "has no text under 'text'"),
    "a number": ([{"text": "a"}, {"text": 3.5}], r"row \{'text': 3.5\} has no text"),
    "an empty cell of pandas": ([{"text": math.nan}], "has no text under 'text'"),
    "a string for a row": (["good"], "row good has no text under 'text'"),
    "no second text in a later row": (
        [{"text": "a", "text_b": "x"}, {"text": "b"}],
        r"row \{'text': 'b'\} has no text under 'text_b'",
    ),
    "a second text in a later row only": (
        [{"text": "a"}, {"text": "b", "text_b": "x"}],
        r"row \{'text': 'a'\} has no text under 'text_b'",
    ),
}


@pytest.mark.parametrize("rows, message", MISSING.values(), ids=MISSING)
def test_a_missing_text_is_named(rows, message):
    with pytest.raises(ValueError, match=message):
        texts_of(rows)


def test_a_reader_of_one_text_refuses_pairs():
    with pytest.raises(ValueError, match="'text_b', and this classifier reads one"):
        texts_of([{"text": "a", "text_b": "b"}], pairs=False)


def test_labels():
    rows = [{"label": label} for label in (0, np.int64(2), 1.0, True)]
    assert labels_of(rows, 3) == [0, 2, 1, 1]


@pytest.mark.parametrize("label", [-1, -100, 2, 0.5, "1", None, math.nan])
def test_a_label_out_of_range_is_named(label):
    """-100 would be left out of the loss in silence, -1 would end in an IndexError."""
    with pytest.raises(ValueError, match=r"label of the row .* number from 0 to 1"):
        labels_of([{"text": "a", "label": 0}, {"text": "a", "label": label}], 2)


def test_a_row_without_a_label_is_named():
    with pytest.raises(ValueError, match=r"row \{'text': 'a'\} is None: give each row"):
        labels_of([{"text": "a"}], 2)


SPELT = "A [MASK] film [SEP] it </s> was [CLS] <extra_id_0> [PAD] good <s>."


@pytest.mark.parametrize("name", TOKENIZERS)
def test_marks_in_a_text_stay_text(name):
    """The tokenizer's own marks stand around the text, none stands in it."""
    tokenizer = TOKENIZERS[name]
    bare = read_texts(tokenizer, [SPELT], add_special_tokens=False)["input_ids"][0]
    assert not set(bare) & set(tokenizer.all_special_ids)
    assert tokenizer.decode(bare).replace(" ", "") == SPELT.lower().replace(" ", "")
    around = read_texts(tokenizer, [SPELT])["input_ids"][0]
    empty = read_texts(tokenizer, [""])["input_ids"][0]
    assert sorted(around) == sorted(bare + empty)
    plain = ["One good film.", "酒店很干净。"]
    assert read_texts(tokenizer, plain)["input_ids"] == tokenizer(plain)["input_ids"]


def test_marks_that_the_vocabulary_of_sentencepiece_holds_become_unknown():
    """XLM-R's and T5's have <mask> and </s> as whole pieces, with the best score."""
    marks = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = [(letter, -5.0) for letter in "▁abcdefghijklmnopqrstuvwxyz<>/"]
    pieces = [(mark, 0.0) for mark in marks] + letters
    unigram = Tokenizer(models.Unigram(pieces, unk_id=3))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=unigram,
        cls_token="<s>",
        pad_token="<pad>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
    ids = read_texts(tokenizer, ["a <mask> b</s>"])["input_ids"][0]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert tokens == ["▁", "a", "▁", "<unk>", "▁", "b", "<unk>"]


@pytest.mark.parametrize(
    "config, model, known, readable",
    [
        (BertConfig, BertForMaskedLM, 512, 60),
        (RobertaConfig, RobertaForMaskedLM, 512, 58),  # positions begin at 2
        (BertConfig, BertForMaskedLM, 40, 40),  # the tokenizer says less
    ],
)
def test_max_tokens_is_what_the_model_takes_without_an_error(
    config, model, known, readable
):
    small = dict(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=60,
        pad_token_id=1,
    )
    network = model(config(**small)).eval()
    tokenizer = AutoTokenizer.from_pretrained(
        hub.ASSETS / "mini-bert", model_max_length=known
    )
    backbone = hub.Backbone("tiny", network, tokenizer, 1e-3, None, "cpu")
    assert max_tokens(backbone) == readable
    ids = torch.full((1, readable), 5)
    assert network(ids).logits.isfinite().all()
    if readable < known:
        with pytest.raises((IndexError, RuntimeError)):
            network(torch.full((1, readable + 1), 5))
