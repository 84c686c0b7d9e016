"""In-context learning, exported from chapter 4: prompts, padding, the cache, calibration and what is refused."""

import pytest
import torch

from pretraining.next_token import label_words
from prompttune_utils import hub
from prompttune_utils.evaluation import score_rows
from prompttune_utils.methods.in_context import (
    CachedInContext,
    InContext,
    calibrate,
    first_tokens,
    generate,
    left_padded,
    split_template,
)

LIST = "{text} -> {label}\n"
WORDS = ["negative", "positive"]
SHOWN = [
    ("good food.", "positive"),
    ("cold, rude and late.", "negative"),
    ("房间很干净", "positive"),
]
ROWS = [
    {"text": text}
    for text in (
        "i loved it",
        "the worst meal of my life, truly awful and cold and never again",
        "",
        "服务太差",
        "ok {label}",
    )
]


@pytest.fixture(scope="module")
def backbone():
    torch.set_num_threads(1)
    return hub.load("causal_lm", name="mini-gpt", verbose=False)


def test_a_prompt_is_the_demonstrations_and_the_query(backbone):
    prompt = InContext(backbone, LIST, WORDS, SHOWN)
    (query,) = prompt.queries([{"text": "fine"}])
    whole = "".join(f"{text} -> {label}\n" for text, label in SHOWN) + "fine ->"
    assert prompt.prefix + query == backbone.tokenizer(whole).input_ids
    other = InContext(backbone, LIST, WORDS, SHOWN[::-1])
    assert (
        sorted(other.prefix) == sorted(prompt.prefix) and other.prefix != prompt.prefix
    )  # another order changes the prompt, and only its order


@pytest.mark.parametrize("shown", [SHOWN, []], ids=["3 shown", "none shown"])
def test_cached_scores_are_the_plain_ones(backbone, shown):
    plain, cached = (
        kind(backbone, LIST, WORDS, shown) for kind in (InContext, CachedInContext)
    )
    first = score_rows(ROWS, plain.scores)
    for size in (1, 2, 5):
        assert torch.allclose(
            score_rows(ROWS, cached.scores, batch_size=size),
            first,
            atol=1e-5 * float(first.abs().max()),
        )


def test_padding_stands_on_the_left_and_positions_skip_it(backbone):
    inputs = left_padded([[7, 8, 9], [5]], backbone)
    pad = backbone.tokenizer.pad_token_id
    assert inputs["input_ids"].tolist() == [[7, 8, 9], [pad, pad, 5]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 1]] and inputs[
        "position_ids"
    ].tolist() == [[0, 1, 2], [0, 0, 0]]


def test_writing_does_not_depend_on_the_batch(backbone):
    prompts = [
        backbone.tokenizer(text).input_ids
        for text in (
            "big -> small\nhot ->",
            "你好->hello, 再见->goodbye, 购买->purchase, 销售->",
        )
    ]
    together = generate(backbone, prompts, 6)
    assert together == [generate(backbone, [p], 6)[0] for p in prompts]
    torch.manual_seed(0)
    one = generate(backbone, prompts, 6, temperature=2.0)
    torch.manual_seed(0)
    assert one == generate(backbone, prompts, 6, temperature=2.0) != together


def test_calibrated_content_free_texts_are_uniform_on_average(backbone):
    for kind in (InContext, CachedInContext):
        prompt = kind(backbone, LIST, WORDS, SHOWN)
        calibrate(prompt)
        with torch.inference_mode():
            odds = torch.cat(
                [prompt.scores([{"text": text}]) for text in ("N/A", "", "[MASK]")]
            ).exp()  # p / p_cf
        assert torch.allclose(odds.mean(0), torch.ones(2), atol=1e-4)


@pytest.mark.parametrize(
    "template",
    [
        "{text}",
        "{label} {text}",
        "{text} {text} {label}",
        "{text} {x} {label}",
        "text label",
    ],
)
def test_templates_that_are_none(template):
    with pytest.raises(
        ValueError, match="is not one {text} followed by one {label}: write it like"
    ):
        split_template(template)


def test_what_else_is_refused(backbone):
    with pytest.raises(
        ValueError,
        match="begin with the same token of mini-gpt: choose words that differ at once",
    ):
        first_tokens(backbone, [" terrible food", " terrible"])
    with pytest.raises(
        ValueError,
        match="A prompt has 6[0-9][0-9] tokens, and mini-gpt reads 512: show fewer",
    ):
        InContext(backbone, LIST, WORDS).scores([{"text": "good " * 600}])


def test_the_made_up_labels_of_chapter_4_were_no_labels_in_training(backbone):
    assert {"rock", "star", "city", "cut"} <= set(
        label_words(backbone.tokenizer.backend_tokenizer, test=True)
    )
