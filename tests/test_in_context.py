"""In-context learning, exported from chapter 4: prompts, padding, the cache,
calibration and what is refused."""

import copy

import pytest
import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
)

from pretraining.next_token import label_words
from prompttune_utils import hub
from prompttune_utils.evaluation import score_rows
from prompttune_utils.methods.in_context_learning import (
    CachedInContext,
    InContext,
    calibrate,
    generate,
    left_padded,
    token_ids,
)
from prompttune_utils.prompting import first_tokens, split_template
from prompttune_utils.scoring import remove_prior

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
    return hub.load("causal_lm", verbose=False)


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
    first = score_rows(ROWS, plain.logits)
    for size in (1, 2, 5):
        assert torch.allclose(
            score_rows(ROWS, cached.logits, batch_size=size),
            first,
            atol=1e-5 * float(first.abs().max()),
        )


def test_the_task_stands_before_everything(backbone):
    for shown in (SHOWN, []):
        prompt = InContext(backbone, LIST, WORDS, shown, task="rate it.\n")
        (query,) = prompt.queries([{"text": "fine"}])
        whole = "".join(f"{text} -> {label}\n" for text, label in shown)
        ids = token_ids(backbone, f"rate it.\n{whole}fine ->", begin=True)
        assert prompt.prefix + query == ids


@pytest.mark.parametrize("kind", [InContext, CachedInContext])
def test_it_is_a_method_in_which_nothing_is_trained(backbone, kind):
    """Predictions, hits and the prior of unlabelled texts are those of `Method`."""
    prompt = kind(backbone.frozen(), LIST, WORDS, SHOWN)
    rows = [row | {"label": 1} for row in ROWS]
    raw = prompt.score(rows)
    assert prompt.trainable == 0
    assert prompt.predict(rows) == raw.argmax(-1).tolist()
    assert prompt.hits(rows).tolist() == [p == 1 for p in prompt.predict(rows)]
    prompt.calibrate(rows)
    taken = remove_prior(raw, raw).softmax(-1)
    assert torch.allclose(prompt.score(rows).softmax(-1), taken, atol=1e-4)
    assert torch.allclose(score_rows(rows, prompt), raw, atol=1e-4)  # as it was


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
                [prompt.logits([{"text": text}]) for text in ("N/A", "", "[MASK]")]
            ).exp()  # p / p_cf
        assert torch.allclose(odds.mean(0), torch.ones(2), atol=1e-4)


def other_model(backbone, model):
    """The tokenizer of a backbone before another model."""
    other = copy.copy(backbone)
    other.model, other.tokenizer = model.eval(), copy.deepcopy(backbone.tokenizer)
    return other


def gpt2(backbone, dropout=0.0):
    """A small GPT-2 with random weights: learned positions, 64 of them."""
    torch.manual_seed(0)
    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
    shape = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
    size = {"vocab_size": len(backbone.tokenizer), "initializer_range": 0.3}
    return other_model(backbone, GPT2LMHeadModel(GPT2Config(**size, **shape, **rates)))


def bloom(backbone):
    """A small BLOOM with random weights: no limit of positions in its configuration."""
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "n_layer": 2, "n_head": 2, "initializer_range": 0.3}
    config = BloomConfig(vocab_size=len(backbone.tokenizer), **shape)
    return other_model(backbone, BloomForCausalLM(config))


@pytest.mark.parametrize("make", [gpt2, bloom])
def test_other_models_and_no_pad_token(backbone, make):
    """Scores and texts neither need a pad token nor depend on the batch."""
    other = make(backbone)
    rows, shown = [{"text": text} for text in ("fine", "not so good", "x")], SHOWN[:1]
    written = []
    for pad in (backbone.tokenizer.pad_token, None):
        other.tokenizer.pad_token = pad
        scores = []
        for kind in (InContext, CachedInContext):
            prompt = kind(other, LIST, WORDS, shown)
            scores += [score_rows(rows, prompt.logits, batch_size=n) for n in (3, 1)]
        assert all(torch.allclose(s, scores[0], atol=1e-4) for s in scores)
        written.append(prompt.complete(rows))
    assert written[0] == written[1] == [prompt.complete([row])[0] for row in rows]


def test_nothing_goes_beyond_what_the_model_reads(backbone):
    """64 positions: a prompt, the cached way, and what is to be written."""
    other = gpt2(backbone)
    fits = "good " * (64 - len(token_ids(other, " ->", begin=True)))
    for kind in (InContext, CachedInContext):
        kind(other, LIST, WORDS).logits([{"text": fits}])
        with pytest.raises(
            ValueError, match="A prompt has 65 tokens, and mini-gpt rea"
        ):
            kind(other, LIST, WORDS).logits([{"text": fits + "good"}])
        prompt = kind(other, LIST, WORDS, [("good " * 30, "positive")])
        with pytest.raises(ValueError, match="A prompt has 6[0-9] tokens, .* reads 64"):
            prompt.logits([{"text": "good " * 28}])
    prompt = token_ids(other, "good " * 40, begin=True)
    assert generate(other, [prompt, prompt[:3]], 64 - len(prompt), stop="")
    with pytest.raises(
        ValueError, match="has 41 tokens and 24 more are to be written, and .* reads 64"
    ):
        generate(other, [prompt[:3], prompt], 24)


def test_the_cache_follows_the_weights(backbone):
    """However the weights change, the cached scores stay the plain ones."""
    changing = backbone.copy()
    weight = changing.model.get_input_embeddings().weight
    view = changing.frozen()
    prompts = [CachedInContext(b, LIST, WORDS, SHOWN) for b in (changing, view)]

    def add():
        with torch.no_grad():
            weight.mul_(1.1)

    def merge():
        weight.data += 0.1

    def load():
        changing.model.load_state_dict(backbone.model.state_dict())

    before = [score_rows(ROWS, prompt.logits) for prompt in prompts]
    for change in (add, merge, load):
        change()
        plain = score_rows(ROWS, InContext(changing, LIST, WORDS, SHOWN).logits)
        for prompt in prompts:
            assert torch.allclose(score_rows(ROWS, prompt.logits), plain, atol=1e-3)
        if change is not load:
            assert not torch.allclose(before[0], plain, atol=1e-2)
    prompt.prefix = prompt.prefix[:1]
    none = score_rows(ROWS, InContext(changing, LIST, WORDS).logits)
    assert torch.allclose(score_rows(ROWS, prompt.logits), none, atol=1e-3)


def test_a_cached_prompt_after_use(backbone):
    """It can be copied, used with and without gradients, and asked empty queries."""
    prompt = CachedInContext(backbone, "{text}{label}\n", WORDS, SHOWN)
    plain = InContext(backbone, "{text}{label}\n", WORDS, SHOWN)
    scores = score_rows(ROWS, prompt.logits)
    assert torch.allclose(scores, score_rows(ROWS, plain.logits), atol=1e-3)
    again = prompt.logits(ROWS)
    assert torch.allclose(again, scores, atol=1e-3) and not again.requires_grad
    copied = copy.deepcopy(prompt)
    assert torch.allclose(score_rows(ROWS, copied.logits), scores, atol=1e-3)


def test_scores_of_a_model_with_dropout_are_the_same_twice(backbone):
    dropped = gpt2(backbone, dropout=0.5)
    rows = [{"text": "fine"}, {"text": "not so good"}]
    for kind in (InContext, CachedInContext):
        prompt = kind(dropped, LIST, WORDS, SHOWN[:1])
        assert torch.equal(prompt.logits(rows), prompt.logits(rows))
    assert not dropped.model.training


@pytest.mark.parametrize("mark", ["[MASK]", "</s>", "<s>", "[PAD]", "[UNK]"])
def test_marks_spelt_in_a_text_stay_text(backbone, mark):
    """Only what begins every text is a control token; the words around it are kept."""
    special = set(backbone.tokenizer.added_tokens_decoder)
    plain = InContext(backbone, LIST, WORDS, [("so fine", "positive")])
    prompt = InContext(backbone, LIST, WORDS, [(f"so {mark} fine", "positive")])
    begin = token_ids(backbone, "", begin=True)
    assert special.issuperset(begin)
    newline = set(token_ids(backbone, "\n"))
    assert not (special - newline).intersection(prompt.prefix[len(begin) :])
    (query,) = prompt.queries([{"text": f"so {mark} fine"}])
    assert not (special - newline).intersection(query)
    assert len(prompt.prefix) > len(plain.prefix) + 1  # spelt out: several tokens


def test_braces_are_text(backbone):
    for template in ("{text} :} {label}\n", '{"a": {text}, "b": {label}}\n'):
        ask, space, end = split_template(template)
        prompt = InContext(backbone, template, WORDS, [("a {b} {text} {", "positive")])
        whole = ask.replace("{text}", "a {b} {text} {", 1) + space + "positive" + end
        (query,) = prompt.queries([{"text": "{label} {0} }"}])
        whole += ask.replace("{text}", "{label} {0} }", 1)
        assert prompt.prefix + query == token_ids(backbone, whole, begin=True)


def test_a_template_without_an_end(backbone):
    prompt = InContext(backbone, "{text} -> {label}", WORDS)
    ended = InContext(backbone, LIST, WORDS)
    rows = [{"text": "i loved it"}]
    assert torch.equal(prompt.logits(rows), ended.logits(rows))
    assert prompt.complete(rows)[0].startswith(ended.complete(rows)[0])
    with pytest.raises(ValueError, match="demonstrations run into each other: end it"):
        InContext(backbone, "{text} -> {label}", WORDS, SHOWN)


@pytest.mark.parametrize(
    "template",
    [
        "{text}",
        "{label} {text}",
        "{text} {text} {label}",
        "{text} {x} {label}",
        "{text!r} {label}",
        "{text} {label} {label}",
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
        InContext(backbone, LIST, WORDS).logits([{"text": "good " * 600}])
    for word in ("", "\U0001f40c"):
        with pytest.raises(
            ValueError, match="has no token of mini-gpt: choose another"
        ):
            InContext(backbone, LIST, ["positive", word])
    with pytest.raises(
        ValueError, match="A prompt has no tokens: give each prompt one"
    ):
        left_padded([[1], []], backbone)
    with pytest.raises(ValueError, match="content-free texts are 'N/A': give a tuple"):
        calibrate(InContext(backbone, LIST, WORDS), "N/A")


def test_the_made_up_labels_of_chapter_4_were_no_labels_in_training(backbone):
    assert {"rock", "star", "city", "cut"} <= set(
        label_words(backbone.tokenizer.backend_tokenizer, test=True)
    )
