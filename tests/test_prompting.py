"""Templates, verbalizers and the classifiers of chapters 2 and 3: faults are named, and no text breaks a template."""

import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
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
from prompttune_utils.methods.prompt_oriented import (
    FIRST_SOFT,
    FreeVectors,
    SoftPrompt,
    SoftTemplate,
)
from prompttune_utils.methods.prompting import (
    PromptClassifier,
    Template,
    Verbalizer,
    encode,
    encode_batch,
)

TOKENIZER = AutoTokenizer.from_pretrained(hub.ASSETS / "mini-bert")
CLS, SEP, MASK, UNK = (
    TOKENIZER.cls_token_id,
    TOKENIZER.sep_token_id,
    TOKENIZER.mask_token_id,
    TOKENIZER.unk_token_id,
)
LENGTH = 40
HOSTILE = [
    "", " \t\n", "\x00\x07\x1b\x7f\u200b\ufeff", "😀👩‍👩‍👧🇨🇳" * 30, "\u202eمرحبا بالعالم שלום", "a\u0300\u0301" * 200, "ﷺ㍿½" * 50,
    "good " * 20_000, "字" * 100_000, "x" * 100_000, " " * 100_000 + "good", "." * 100_000,
    "{text} {mask} {} {0} {sep", "It was [MASK].", "[MASK] [CLS] [SEP] [PAD] [UNK] <s> </s> <extra_id_0>", "[mask][MASK]" * 100, "[MASK]" * 1000,
    "\ud800 half a character", "%s %(x)s \\n \\x00 <b>&amp;</b> '; DROP TABLE texts; --", "١٢٣ १२३ Ⅷ ２０２４", "\r\n\u2028\x85", "\ufffe\uffff\U0010ffff",
]  # fmt: skip
PIECES = st.sampled_from(
    [*"a好 \n{}.", "😀", "\u202e", "\u0301", "ש", "[MASK]", "{mask}", "{text}", "[SEP]"]
)
TEXT = (
    st.text(max_size=60)
    | st.lists(PIECES, max_size=60).map("".join)
    | st.sampled_from(HOSTILE)
)
PATTERNS = [
    "{text} It was {mask}.", "Review: {text} 总之很{mask}。", "{mask}{text}", "{text} ? {mask}, {sep} {text_b}", "{text_b} So {mask} {text}",
    "{soft:3} {text} It was {mask}.{soft}", "{text_b} {soft} {sep} {mask} {soft:2} {text} !",
]  # fmt: skip
TEXTS, BATCHES = 50, 200


def ids_of(words):
    return TOKENIZER(words, add_special_tokens=False)["input_ids"]


def text_ids(text):
    return [
        UNK if i in TOKENIZER.all_special_ids else i
        for i in ids_of(text[: 20 * LENGTH].encode("utf-8", "replace").decode())
    ]


def kept(a, b, room):
    """How many tokens of two texts may stay: all that fit; else the longer gives way, and two long ones get half each."""
    if a + b <= room:
        return [(a, b)]
    if min(a, b) <= room // 2:
        return [(a, room - a) if a < b else (room - b, b)]
    return [(room // 2, room - room // 2), (room - room // 2, room // 2)]


def encodings(pattern, row):
    """What a row may be encoded as: each word of the pattern, one mask, and of the texts what fits."""
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
    """Through template, tokenizer and scorer: no crash, each word of the template and one mask in place, finite scores."""
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
                mini, template, verbalizer, FreeVectors(torch.zeros(template.soft, 192))
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
            scores = prompt.scores(rows)
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


def test_template_never_exceeds_the_model():
    """max_length beyond what the model reads would end in an IndexError of its positions."""
    template = Template("{text} It was {mask}.", TOKENIZER, 100_000)
    assert (
        len(encode(template, {"text": "good " * 5000})["input_ids"])
        <= TOKENIZER.model_max_length
    )


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


def test_roberta():
    """Bytes, one segment, other special tokens: <mask> in a text is no mask, and template words keep the space before them."""
    letters = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        "<mask>",
        *sorted(pre_tokenizers.ByteLevel.alphabet()),
        "Ġa",
        "Ġb",
    ]
    bytes_ = Tokenizer(
        models.BPE({w: i for i, w in enumerate(letters)}, [("Ġ", "a"), ("Ġ", "b")])
    )
    bytes_.pre_tokenizer, bytes_.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    special = dict(
        cls_token="<s>",
        pad_token="<pad>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bytes_,
        model_input_names=["input_ids", "attention_mask"],
        **special,
    )
    rows = [{"text": "so good", "label": 0}, {"text": "<mask></s>", "label": 1}]
    template = Template("{text} It {mask}.", tokenizer, 32)
    inputs, position = encode_batch(template, rows)
    assert set(inputs) == {"input_ids", "attention_mask"}
    assert (inputs["input_ids"] == tokenizer.mask_token_id).sum(1).tolist() == [1, 1]
    assert tokenizer.decode(inputs["input_ids"][0]) == "<s>so good It<mask>.</s>"
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
        Verbalizer({"bad": "b", "good": "a"}, tokenizer),
    )
    words = tokenizer.convert_tokens_to_ids(["Ġb", "Ġa"])
    torch.testing.assert_close(
        prompt.scores(rows),
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
        r"label word '\U0001f600' of 'bad' is not one token of this model \(\[UNK\]\): choose a word of its vocabulary",
    ),
    "several tokens": (
        {"bad": "terrible", "good": ["great", "better than ever"]},
        r"'better than ever' of 'good' is not one token of this model \(better, than, ever\)",
    ),
    "several Chinese characters": (
        {"bad": "失望", "good": "好"},
        r"'失望' of 'bad' is not one token of this model \(失, 望\)",
    ),
    "empty": ({"bad": "", "good": "great"}, "label word '' of 'bad' is not one token"),
    "shared": (
        {"bad": "fine", "good": ["great", "fine"]},
        "label word 'fine' stands for 'bad' and for 'good': give every label words of its own",
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
}


@pytest.mark.parametrize("words, message", WORDS.values(), ids=WORDS)
def test_faulty_label_word_is_named(words, message):
    with pytest.raises(ValueError, match=message):
        Verbalizer(words, TOKENIZER)


@pytest.fixture(scope="module")
def mini():
    return hub.load("masked_lm", name="mini-bert", verbose=False)


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(TOKENIZER),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=128,
    )
    return hub.Backbone(
        "tiny", BertForMaskedLM(config).eval(), TOKENIZER, 1e-3, None, "cpu"
    )


ROWS = [{"text": "good", "label": 1}, {"text": "very bad indeed", "label": 0}]


def test_prompt_classifier_by_hand(backbone):
    """Its scores are the full model's logits of the label words at the mask; its loss is over the labels only."""
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
    torch.testing.assert_close(prompt.scores(ROWS), by_hand, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        prompt.loss(ROWS),
        -(by_hand.log_softmax(1)[[0, 1], [1, 0]]).mean(),
        atol=1e-5,
        rtol=1e-5,
    )


def test_calibrate_leaves_no_label_ahead_on_its_texts(backbone):
    """Over the texts that it was estimated on, the corrected log-probabilities have mean 0 for every label; a second call starts anew."""
    prompt = PromptClassifier(
        backbone,
        Template("{text} It was {mask}.", TOKENIZER),
        Verbalizer({"negative": "bad", "positive": "good"}, TOKENIZER),
    )
    plain = prompt.scores(ROWS)
    for _ in range(2):
        prompt.calibrate(ROWS)
        torch.testing.assert_close(
            prompt.scores(ROWS).mean(0), torch.zeros(2), atol=1e-5, rtol=0
        )
    prompt.calibrate(ROWS[:1])
    torch.testing.assert_close(
        prompt.scores(ROWS[:1]), torch.zeros(1, 2), atol=1e-5, rtol=0
    )
    assert not torch.allclose(prompt.scores(ROWS[1:]), plain[1:])


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_head_classifier(backbone, pooling):
    """It copies the backbone, does not look at the padding, and reads pairs as two segments."""
    before = hub.weights_hash(backbone.model)
    head = HeadClassifier(backbone, 3, pooling).eval()
    together, alone = head.scores(ROWS), head.scores(ROWS[:1])
    assert together.shape == (2, 3)
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=1e-5)
    head.loss(ROWS).backward()
    assert (
        all(p.grad is None for p in backbone.model.parameters())
        and head.head.weight.grad.abs().sum() > 0
    )
    assert hub.weights_hash(backbone.model) == before
    pair = [{"text": "good", "text_b": "bad", "label": 0}]
    assert not torch.allclose(head.scores(pair), alone)
