"""Templates, verbalizers and the classifiers of chapters 2 and 3: faults are named, and
no text breaks a template."""

import copy
import functools
import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)

from prompttune_utils import hub
from prompttune_utils.methods.fine_tuning import HeadClassifier
from prompttune_utils.methods.prompt_oriented_fine_tuning import (
    FIRST_SOFT,
    FreeVectors,
    SoftPrompt,
    SoftTemplate,
)
from prompttune_utils.methods.templates_and_verbalizers import (
    PromptClassifier,
    Template,
    Verbalizer,
    encode,
    encode_batch,
)
from prompttune_utils.training import fit
from tests.tiny import trainable

TOKENIZER = AutoTokenizer.from_pretrained(hub.ASSETS / "mini-bert")
CLS, SEP, MASK = (
    TOKENIZER.cls_token_id,
    TOKENIZER.sep_token_id,
    TOKENIZER.mask_token_id,
)
LENGTH = 40
HOSTILE = [
    "",
    " \t\n",
    "\x00\x07\x1b\x7f\u200b\ufeff",
    "😀👩‍👩‍👧🇨🇳" * 30,
    "\u202eمرحبا بالعالم שלום",
    "a\u0300\u0301" * 200,
    "ﷺ㍿½" * 50,
    "good " * 20_000,
    "字" * 100_000,
    "x" * 100_000,
    " " * 100_000 + "good",
    "." * 100_000,
    "{text} {mask} {} {0} {sep",
    "It was [MASK].",
    "[MASK] [CLS] [SEP] [PAD] [UNK] <s> </s> <extra_id_0>",
    "[mask][MASK]" * 100,
    "[MASK]" * 1000,
    "\ud800 half a character",
    "%s %(x)s \\n \\x00 <b>&amp;</b> '; DROP TABLE texts; --",
    "١٢٣ १२३ Ⅷ ２０２４",
    "\r\n\u2028\x85",
    "\ufffe\uffff\U0010ffff",
]
PIECES = st.sampled_from(
    [*"a好 \n{}.", "😀", "\u202e", "\u0301", "ש", "[MASK]", "{mask}", "{text}", "[SEP]"]
)
TEXT = (
    st.text(max_size=60)
    | st.lists(PIECES, max_size=60).map("".join)
    | st.sampled_from(HOSTILE)
)
PATTERNS = [
    "{text} It was {mask}.",
    "Review: {text} 总之很{mask}。",
    "{mask}{text}",
    "{text} ? {mask}, {sep} {text_b}",
    "{text_b} So {mask} {text}",
    "{soft:3} {text} It was {mask}.{soft}",
    "{text_b} {soft} {sep} {mask} {soft:2} {text} !",
]
TEXTS, BATCHES = 50, 200


def ids_of(words):
    return TOKENIZER(words, add_special_tokens=False)["input_ids"]


@functools.cache
def text_ids(text):
    """The whole text; a mark that it spells is no mark."""
    whole = text.encode("utf-8", "replace").decode()
    options = {"split_special_tokens": True, "verbose": False}
    return TOKENIZER(whole, add_special_tokens=False, **options)["input_ids"]


def kept(a, b, room):
    """How many tokens of two texts may stay: all that fit; else the longer gives way,
    and two long ones get half each."""
    if a + b <= room:
        return [(a, b)]
    if min(a, b) <= room // 2:
        return [(a, room - a) if a < b else (room - b, b)]
    return [(room // 2, room - room // 2), (room - room // 2, room // 2)]


def encodings(pattern, row):
    """What a row may be encoded as: each word of the pattern, one mask, and what fits
    of the texts."""
    fresh, special, parts, texts = (
        iter(range(FIRST_SOFT, FIRST_SOFT + 9)),
        {"mask": [MASK], "sep": [SEP]},
        [],
        {},
    )
    for slot, number, words in re.findall(r"\{(\w+):?(\d*)\}|([^{}\s][^{}]*)", pattern):
        if slot.startswith("text"):
            texts[slot] = text_ids(row[slot])
        parts.append(
            slot
            if slot in texts
            else ids_of(words)
            if words
            else special.get(slot) or [next(fresh) for _ in range(int(number or 1))]
        )
    (first, a), (second, b) = (*texts.items(), ("no second", []))[:2]
    room = LENGTH - 2 - sum(len(part) for part in parts if isinstance(part, list))
    for long_a, long_b in kept(len(a), len(b), room):
        cut = {first: a[:long_a], second: b[:long_b]}
        yield [
            CLS,
            *(
                i
                for part in parts
                for i in (cut[part] if isinstance(part, str) else part)
            ),
            SEP,
        ]


def test_ten_thousand_hostile_texts(mini):
    """Through template, tokenizer and scorer: no crash, each word of the template and
    one mask in place, finite scores."""
    seen, verbalizer = (
        {},
        Verbalizer({"negative": "bad", "positive": "good"}, TOKENIZER),
    )

    @settings(
        max_examples=BATCHES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(PATTERNS), st.lists(TEXT, min_size=TEXTS, max_size=TEXTS))
    def no_text_breaks_it(pattern, texts):
        rows = [
            {"text": text, "text_b": other}
            for text, other in zip(texts, texts[1:] + texts[:1])
        ]
        if "{soft" in pattern:
            template = SoftTemplate(pattern, TOKENIZER, LENGTH)
            prompt = SoftPrompt(
                mini, template, verbalizer, FreeVectors(torch.zeros(template.soft, 256))
            )
        else:
            prompt = PromptClassifier(
                mini, Template(pattern, TOKENIZER, LENGTH), verbalizer
            )
        for row in rows:
            encoded = encode(prompt.template, row)
            assert encoded["input_ids"] in list(encodings(pattern, row))
            place = encoded["input_ids"].index(SEP) + 1
            assert encoded["token_type_ids"] == [0] * place + [1] * (
                len(encoded["input_ids"]) - place
            )
        with torch.inference_mode():
            scores = prompt.logits(rows)
        assert scores.shape == (TEXTS, 2) and scores.isfinite().all()
        seen[pattern] = seen.get(pattern, 0) + TEXTS

    no_text_breaks_it()
    assert sum(seen.values()) >= 10_000 and set(seen) == set(PATTERNS)


FAULTS = {
    "no mask": (
        "{text} It was great.",
        r"has .*0 \{mask\}.*: write .* exactly one \{mask\}",
    ),
    "two masks": ("{text} {mask} or {mask}", r"has .*2 \{mask\}.*exactly one \{mask\}"),
    "a mask spelled out": ("{text} It was [MASK], {mask}.", r"has 2 \{mask\}: write"),
    "no text": ("It was {mask}.", r"has .*0 \{text\}"),
    "two texts": ("{text} {mask} {text}", r"has .*2 \{text\}"),
    "two second texts": ("{text} {mask} {text_b} {text_b}", r"has .*2 \{text_b\}"),
    "unknown slot": ("{text} {verdict} {mask}", r"has the unknown slot \{verdict\}"),
    "unknown slot, the name of a part": (
        "{text} {words} {mask}",
        r"has the unknown slot \{words\}",
    ),
    "empty slot": ("{text} {} {mask}", r"has the unknown slot \{\}"),
    "odd slot": (
        "{text} {the verdict} {mask}",
        r"has the unknown slot \{the verdict\}",
    ),
    "open brace": (
        "{text} was {mask",
        r"The template '\{text\} was \{mask' has 0 \{mask\}",
    ),
    "longer than the model": (
        "{text} " + "very " * 40 + "{mask}.",
        "leaves no room for a text within 40 tokens: shorten it or raise max_length",
    ),
}


@pytest.mark.parametrize("pattern, message", FAULTS.values(), ids=FAULTS)
def test_faulty_template_is_named(pattern, message):
    with pytest.raises(ValueError, match=message):
        Template(pattern, TOKENIZER, LENGTH)


@pytest.mark.parametrize("name", ["mini-gpt", "mini-t5"])
def test_template_for_a_model_without_a_mask_is_refused(name):
    tokenizer = AutoTokenizer.from_pretrained(hub.ASSETS / name)
    with pytest.raises(ValueError, match=r"template '\{text\} \{mask\}' lacks a mask"):
        Template("{text} {mask}", tokenizer)


def test_template_never_exceeds_the_model(mini):
    """More than the model reads would end in an IndexError of its positions."""
    template = Template("{text} It was {mask}.", TOKENIZER, 100_000)
    row = {"text": "good " * 5000}
    assert len(encode(template, row)["input_ids"]) == 128
    words = Verbalizer({"negative": "bad", "positive": "good"}, TOKENIZER)
    assert PromptClassifier(mini, template, words).logits([row]).isfinite().all()


def test_template_longer_than_a_model_whose_tokenizer_knows_no_limit(mini):
    unlimited = AutoTokenizer.from_pretrained(
        hub.ASSETS / "mini-bert", model_max_length=10**30
    )
    words = Verbalizer({"negative": "bad", "positive": "good"}, unlimited)
    PromptClassifier(mini, Template("{text} {mask}", unlimited, 128), words)
    with pytest.raises(ValueError, match="takes 129 tokens and mini-bert reads 128"):
        PromptClassifier(mini, Template("{text} {mask}", unlimited, 129), words)


def test_template_of_another_tokenizer_is_refused():
    template = Template("{text} {mask}", TOKENIZER, 40)
    gpt = hub.load("causal_lm", verbose=False)
    words = Verbalizer({"negative": "bad", "positive": "good"}, TOKENIZER)
    with pytest.raises(ValueError, match="another tokenizer than that of mini-gpt"):
        PromptClassifier(gpt, template, words)


def test_cut_keeps_the_beginning_of_a_text():
    """A word behind a long run of spaces is read; a long text loses its end alone."""
    template = Template("{text} {mask}", TOKENIZER, LENGTH)
    far = encode(template, {"text": " " * 100_000 + "good"})["input_ids"]
    assert far == [CLS, *ids_of("good"), MASK, SEP]
    long = encode(template, {"text": "one two " + "good " * 5000})["input_ids"]
    assert long[1:3] == ids_of("one two") and len(long) == LENGTH


def test_a_mask_that_a_text_spells_stays_readable():
    """It was read as an unknown token once; a text about masks is a text, too."""
    ids = encode(Template("{text} {mask}", TOKENIZER), {"text": "a [MASK] b"})
    assert TOKENIZER.decode(ids["input_ids"]) == "[CLS] a [ mask ] b [MASK] [SEP]"
    assert ids["input_ids"].count(MASK) == 1


ABSENT = {
    "no rows": ([], "list of rows is empty: give at least one row"),
    "no text": ([{"label": 0}], "has no text under 'text'"),
    "no second text": ([{"text": "a"}], r"row \{'text': 'a'\} has no text .* 'text_b'"),
    "in a later row": (
        [{"text": "a", "text_b": "b"}, {"text": "c", "text_b": None}],
        "'text_b': None} has no text under 'text_b': give each row a string",
    ),
}


@pytest.mark.parametrize("rows, message", ABSENT.values(), ids=ABSENT)
def test_a_row_without_its_texts_is_named(rows, message):
    with pytest.raises(ValueError, match=message):
        encode_batch(Template("{text} {mask} {text_b}", TOKENIZER), rows)


def test_token_types_stay_in_two_segments():
    types = encode(
        Template("{text} {sep} It was {mask} {sep} {text_b}", TOKENIZER),
        {"text": "a", "text_b": "b"},
    )["token_type_ids"]
    assert set(types) == {0, 1}


def test_batch_is_padded_and_finds_the_mask():
    template = Template("{mask} {text}", TOKENIZER, LENGTH)
    inputs, position = encode_batch(
        Template("{text} {mask}", TOKENIZER, LENGTH),
        [{"text": "good"}, {"text": "good good good"}, {"text": ""}],
    )
    assert (
        inputs["input_ids"].shape
        == inputs["attention_mask"].shape
        == inputs["token_type_ids"].shape
        == (3, 6)
    )
    assert position.tolist() == [2, 4, 1]
    assert inputs["attention_mask"].sum(1).tolist() == [4, 6, 3]
    assert encode_batch(template, [{"text": "good"}])[1].tolist() == [1]


def byte_level(mask="<mask>", words=("Ġgood", "ĠIt", "Ġwas", "good", "Review", "Ġso")):
    """A tokenizer of bytes and a few words, which carry the space before them."""
    marks = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = [*marks, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges = []
    for word in words:
        for end in range(2, len(word) + 1):
            if word[:end] not in vocabulary:
                vocabulary.append(word[:end])
                merges.append((word[: end - 1], word[end - 1]))
    bytes_ = Tokenizer(models.BPE({w: i for i, w in enumerate(vocabulary)}, merges))
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=bytes_,
        model_input_names=["input_ids", "attention_mask"],
        cls_token="<s>",
        pad_token="<pad>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token=mask,
    )


# RoBERTa's mask takes the space before it in; that of other tokenizers does not
MASKS = {"plain": "<mask>", "of RoBERTa": AddedToken("<mask>", lstrip=True)}


@pytest.mark.parametrize("text", ["good", "so good", " good", "", "It was <mask"])
@pytest.mark.parametrize(
    "pattern",
    [
        "Review: {text} It was {mask}.",
        "Review:{text} It was{mask} .",
        "Review: \t {text} It was {mask}",
        "{text} {mask}",
        "{mask} {text}",
        "So {mask}: {text}",
    ],
)
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_a_filled_template_has_the_ids_of_the_plain_sentence(mask, pattern, text):
    tokenizer = byte_level(mask)
    sentence = pattern.format(text=text, mask=tokenizer.mask_token)
    plain = tokenizer(sentence, add_special_tokens=False)["input_ids"]
    filled = encode(Template(pattern, tokenizer, 64), {"text": text})["input_ids"]
    assert tokenizer.convert_ids_to_tokens(
        filled[1:-1]
    ) == tokenizer.convert_ids_to_tokens(plain)


def test_a_second_text_keeps_the_space_before_it():
    tokenizer = byte_level(MASKS["of RoBERTa"])
    row = {"text": "good", "text_b": "good"}
    ids = encode(Template("{text} {mask}, {text_b}", tokenizer, 32), row)["input_ids"]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert tokens == ["<s>", "good", "<mask>", ",", "Ġgood", "</s>"]


def test_roberta():
    """Bytes, one segment, other marks: <mask> in a text is no mask, and the scores are
    the model's own."""
    tokenizer = byte_level(MASKS["of RoBERTa"])
    rows = [{"text": "so good", "label": 0}, {"text": "<mask></s>", "label": 1}]
    template = Template("{text} It {mask}.", tokenizer, 32)
    inputs, position = encode_batch(template, rows)
    assert set(inputs) == {"input_ids", "attention_mask"}
    assert (inputs["input_ids"] == tokenizer.mask_token_id).sum(1).tolist() == [1, 1]
    decoded = tokenizer.batch_decode(inputs["input_ids"])
    assert decoded[0].startswith("<s>so good It<mask>.</s>")
    assert decoded[1] == "<s><mask></s> It<mask>.</s>"  # the first one in letters
    config = RobertaConfig(
        vocab_size=300,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        pad_token_id=1,
    )
    model = RobertaForMaskedLM(config).eval()
    prompt = PromptClassifier(
        hub.Backbone("tiny", model, tokenizer, 1e-3, None, "cpu"),
        template,
        Verbalizer({"bad": "was", "good": "good"}, tokenizer),
    )
    words = tokenizer.convert_tokens_to_ids(["Ġwas", "Ġgood"])
    torch.testing.assert_close(
        prompt.logits(rows),
        model(**inputs).logits[torch.arange(2), position][:, words],
        atol=1e-5,
        rtol=1e-5,
    )


def test_verbalizer():
    verbalizer = Verbalizer(
        {"negative": ["bad", "terrible"], "positive": "great"}, TOKENIZER
    )
    assert [TOKENIZER.convert_ids_to_tokens(ids) for ids in verbalizer.ids] == [
        ["bad", "terrible"],
        ["great"],
    ]
    assert TOKENIZER.convert_ids_to_tokens(
        Verbalizer({"a": "好", "b": "差"}, TOKENIZER).ids[0]
    ) == ["好"]


WORDS = {
    "unknown": (
        {"bad": "\U0001f600", "good": "great"},
        r"label word '\U0001f600' of 'bad' is not one token of this model "
        r"\(\[UNK\]\): choose a word of its vocabulary",
    ),
    "several tokens": (
        {"bad": "terrible", "good": ["great", "better than ever"]},
        r"'better than ever' of 'good' is not one token of this model "
        r"\(better, than, ever\)",
    ),
    "several Chinese characters": (
        {"bad": "失望", "good": "好"},
        r"'失望' of 'bad' is not one token of this model \(失, 望\)",
    ),
    "empty": ({"bad": "", "good": "great"}, "label word '' of 'bad' is not one token"),
    "shared": (
        {"bad": "fine", "good": ["great", "fine"]},
        "label word 'fine' stands for 'bad' and for 'good': "
        "give every label words of its own",
    ),
    "shared but for case": (
        {"bad": "Great", "good": "great"},
        "'great' stands for 'bad' and for 'good'",
    ),
    "a special token": (
        {"bad": "[MASK]", "good": "great"},
        r"label word '\[MASK\]' of 'bad' is not one token",
    ),
    "no word": ({"bad": [], "good": "great"}, "label 'bad' has no word"),
    "shared but for spaces": (
        {"bad": "great", "good": " great "},
        "'great' stands for 'bad' and for 'good'",
    ),
    "spaces alone": ({"bad": " ", "good": "great"}, "'' of 'bad' is not one token"),
    "a list in one string": (
        {"bad": "bad, terrible", "good": "great"},
        r"'bad, terrible' of 'bad' is not one token of this model \(bad, ,, terrible\)",
    ),
    "None": (
        {"bad": None, "good": "great"},
        "words of the label 'bad' are None: give a word or a list of words",
    ),
    "a number in the list": (
        {"bad": ["bad", 0], "good": "great"},
        r"words of the label 'bad' are \['bad', 0\]: give a word or a list",
    ),
    "weighted words": (
        {"bad": {"bad": 0.7, "awful": 0.3}, "good": "great"},
        "words of the label 'bad' are {'bad': 0.7, 'awful': 0.3}: give a word",
    ),
    "no labels": ({}, "label words are {}: give a dictionary of each label"),
    "a list for the dictionary": (
        ["bad", "good"],
        r"label words are \['bad', 'good'\]: give a dictionary of each label",
    ),
}


@pytest.mark.parametrize("words, message", WORDS.values(), ids=WORDS)
def test_faulty_label_word_is_named(words, message):
    with pytest.raises(ValueError, match=message):
        Verbalizer(words, TOKENIZER)


def test_label_words_of_bytes_carry_the_space():
    """Written with or without a space, the word is the one that follows a space."""
    tokenizer = byte_level()
    for word in ("good", " good", "good "):
        ids = Verbalizer({"positive": word}, tokenizer).ids
        assert tokenizer.convert_ids_to_tokens(ids[0]) == ["Ġgood"]
    with pytest.raises(ValueError, match="'good' stands for 'a' and for 'b'"):
        Verbalizer({"a": "good", "b": " good"}, tokenizer)


@pytest.fixture(scope="module")
def mini():
    return hub.load("masked_lm", verbose=False)


def tiny(dropout=0.0, positions=128, tokenizer=TOKENIZER):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(TOKENIZER),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=positions,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    model = BertForMaskedLM(config).eval()
    return hub.Backbone("tiny", model, tokenizer, 1e-3, None, "cpu")


@pytest.fixture
def backbone():
    return tiny()


ROWS = [{"text": "good", "label": 1}, {"text": "very bad indeed", "label": 0}]


def test_prompt_classifier_by_hand(backbone):
    """Its scores are the full model's logits of the label words at the mask; its loss
    is over the labels only."""
    prompt = PromptClassifier(
        backbone,
        Template("{text} It was {mask}.", TOKENIZER),
        Verbalizer({"negative": "bad", "positive": ["good", "great"]}, TOKENIZER),
    )
    inputs = TOKENIZER(
        [row["text"] + " It was [MASK]." for row in ROWS],
        padding=True,
        return_tensors="pt",
    )
    at_mask = backbone.model(**inputs).logits[inputs["input_ids"] == MASK]
    bad, good, great = (ids_of(w)[0] for w in ("bad", "good", "great"))
    by_hand = torch.stack(
        [at_mask[:, bad], (at_mask[:, good] + at_mask[:, great]) / 2], dim=1
    )
    torch.testing.assert_close(prompt.logits(ROWS), by_hand, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        prompt.loss(ROWS),
        -(by_hand.log_softmax(1)[[0, 1], [1, 0]]).mean(),
        atol=1e-5,
        rtol=1e-5,
    )


def test_calibrate_leaves_no_label_ahead_on_its_texts(backbone):
    """Over its own texts, the corrected log-probabilities have the same mean for every
    label; a second call starts anew."""
    prompt = PromptClassifier(
        backbone,
        Template("{text} It was {mask}.", TOKENIZER),
        Verbalizer({"negative": "bad", "positive": "good"}, TOKENIZER),
    )
    plain = prompt.logits(ROWS)
    for _ in range(2):
        prompt.calibrate(ROWS)
        one, other = prompt.logits(ROWS).mean(0)
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    prompt.calibrate(ROWS[:1])
    torch.testing.assert_close(
        prompt.logits(ROWS[:1]), torch.zeros(1, 2), atol=1e-5, rtol=0
    )
    assert not torch.allclose(prompt.logits(ROWS[1:]), plain[1:])


def prompt_of(backbone):
    words = Verbalizer({"negative": "bad", "positive": "good"}, backbone.tokenizer)
    return PromptClassifier(
        backbone, Template("{text} It was {mask}.", backbone.tokenizer, 64), words
    )


def test_a_failed_calibration_keeps_the_prior(backbone):
    prompt = prompt_of(backbone)
    prompt.calibrate(ROWS)
    before = prompt.logits(ROWS)
    for rows in ([], [{"text": "a"}, {"text": None}]):
        with pytest.raises((ValueError, TypeError)):
            prompt.calibrate(rows)
    assert torch.equal(prompt.logits(ROWS), before)


@pytest.mark.parametrize("label", [2, -100, None])
@pytest.mark.parametrize("made", [prompt_of, lambda b: HeadClassifier(b, 2)])
def test_a_label_that_the_classifier_lacks_is_named(backbone, made, label):
    with pytest.raises(ValueError, match="give each row a number from 0 to 1"):
        made(backbone).loss([{"text": "good", "label": label}])


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_head_classifier(backbone, pooling):
    """It copies the backbone, looks at no padding, and reads pairs as two segments."""
    before = hub.weights_hash(backbone.model)
    head = HeadClassifier(backbone, 3, pooling).eval()
    together, alone = head.logits(ROWS), head.logits(ROWS[:1])
    assert together.shape == (2, 3)
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=1e-5)
    head.loss(ROWS).backward()
    assert (
        all(p.grad is None for p in backbone.model.parameters())
        and head.head.weight.grad.abs().sum() > 0
    )
    assert hub.weights_hash(backbone.model) == before
    pair = [{"text": "good", "text_b": "bad", "label": 0}]
    inputs = TOKENIZER("good", "bad", return_tensors="pt")
    states = head.model(**inputs).last_hidden_state
    vector = states[:, 0] if pooling == "cls" else states.mean(1)
    torch.testing.assert_close(head.logits(pair), head.head(vector))
    assert inputs["token_type_ids"].tolist() == [[0, 0, 0, 1, 1]]


def test_head_classifier_of_rows_where_some_have_a_second_text(backbone):
    """Once the first row decided, and second texts of later rows were not read."""
    rows = [{"text": "good"}, {"text": "good", "text_b": "bad"}]
    for mixed in (rows, rows[::-1]):
        with pytest.raises(
            ValueError, match=r"\{'text': 'good'\} has no text .*text_b"
        ):
            HeadClassifier(backbone, 2).logits(mixed)


def test_head_on_a_frozen_backbone_trains_all_its_weights(backbone):
    whole = trainable(HeadClassifier(backbone, 2))
    backbone.model.requires_grad_(False)
    head = HeadClassifier(backbone, 2)
    assert trainable(head) == whole == sum(p.numel() for p in head.parameters())
    assert not any(p.requires_grad for p in backbone.model.parameters())


@pytest.mark.parametrize("positions, known", [(64, 10**30), (128, 64)])
def test_head_classifier_reads_no_more_than_the_model(positions, known):
    tokenizer = AutoTokenizer.from_pretrained(
        hub.ASSETS / "mini-bert", model_max_length=known
    )
    head = HeadClassifier(tiny(0.0, positions, tokenizer), 2, max_length=1000)
    long, cut = {"text": "good " * 500}, {"text": "good " * 62}
    torch.testing.assert_close(head.logits([long]), head.logits([cut]))
    one_less = {"text": "good " * 61 + "bad"}
    assert not torch.allclose(head.logits([long]), head.logits([one_less]))


def t5():
    return hub.load("seq2seq_lm", verbose=False)


def gpt():
    return hub.load("causal_lm", verbose=False)


UNFIT = {
    "an unknown pooling": (tiny, {"pooling": "max"}, "no pooling 'max': choose cls or"),
    "an encoder-decoder": (t5, {"pooling": "mean"}, "mini-t5 is an encoder-decoder or"),
    "no [CLS] to read": (gpt, {}, r"mini-gpt begin with no \[CLS\] .* pooling mean"),
    "no room": (tiny, {"max_length": 3}, "max_length of 3 leaves no room for a text"),
}


@pytest.mark.parametrize("made, options, message", UNFIT.values(), ids=UNFIT)
def test_head_that_cannot_work_is_refused(made, options, message):
    with pytest.raises(ValueError, match=message):
        HeadClassifier(made(), 2, **options)


def test_marks_in_a_text_are_words_for_a_head(backbone):
    """[SEP] in a text does not end it, and [MASK] hides no word."""
    head = HeadClassifier(backbone, 2, "mean")
    spelt = {"text": "good [SEP] bad [MASK]"}
    words = {"text": "good [ SEP ] bad [ MASK ]"}
    torch.testing.assert_close(head.logits([spelt]), head.logits([words]))


def test_sides_that_the_user_changed_change_nothing():
    rows = [{"text": "good"}, {"text": "a very bad film " * 40}, {"text": ""}]
    turned = AutoTokenizer.from_pretrained(
        hub.ASSETS / "mini-bert", padding_side="left", truncation_side="left"
    )
    for made in (prompt_of, lambda b: HeadClassifier(b, 2)):
        scores = []
        for tokenizer in (TOKENIZER, turned):
            model = made(tiny(tokenizer=tokenizer))
            scores.append(model.logits(rows))
        torch.testing.assert_close(*scores, atol=1e-6, rtol=1e-6)
    assert (turned.padding_side, turned.truncation_side) == ("left", "left")


def test_a_used_head_can_be_copied(backbone):
    """The copy gives the same scores, and training it leaves the first one alone."""
    head = HeadClassifier(backbone, 2)
    before = head.logits(ROWS).detach()
    twin = copy.deepcopy(head)
    assert torch.equal(twin.logits(ROWS), before)
    fit(twin, ROWS, twin.loss, learning_rate=1e-2, steps=2, batch_size=2)
    assert torch.equal(head.logits(ROWS), before)
    assert not torch.equal(twin.logits(ROWS), before)


@pytest.mark.parametrize("method", ["prompt", "head"])
def test_dropout_is_on_in_training_and_off_in_scoring(method):
    """All weights train in training mode; before and after, scores repeat exactly."""
    backbone = tiny(dropout=0.5)
    if method == "head":
        model = module = HeadClassifier(backbone, 2)
    else:
        model, module = prompt_of(backbone), backbone.model
    first = model.logits(ROWS)
    assert torch.equal(model.logits(ROWS), first)
    twice = []

    def loss(rows):
        twice.append([model.loss(rows).item(), model.loss(rows).item()])
        return model.loss(rows)

    fit(module, ROWS, loss, learning_rate=1e-2, steps=3, batch_size=2)
    assert all(a != b for a, b in twice)
    after = model.logits(ROWS)
    assert torch.equal(model.logits(ROWS), after) and not torch.equal(after, first)
