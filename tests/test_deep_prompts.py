"""P-tuning v2 and Prefix-Tuning, exported from chapter 11.

Shapes, what gets gradients, what stays, what is refused, and entity F1 by hand.
"""

import copy
import random

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5ForConditionalGeneration,
)

from prompttune_utils import hub, tagged
from prompttune_utils.methods.fine_tuning import HeadClassifier
from prompttune_utils.methods.in_context_learning import InContext
from prompttune_utils.methods.p_tuning_v2 import (
    DeepPrompts,
    InputPrompts,
    PrefixDecoder,
    PrefixEncoder,
    PrefixTuned,
    Tagger,
    attentions,
    begin_with,
    entity_f1,
    give_prefix,
    give_prompt,
    key_value_pairs,
    remembered,
    remembered_by_t5,
    spans,
    tag_rows,
)
from prompttune_utils.methods.prompt_oriented_fine_tuning import FreeVectors
from prompttune_utils.training import fit
from tests.tiny import DECODER, ENCODER, T5, trainable

TEXTS = ["A warm and funny book.", "冷的汤"]


@pytest.fixture
def bert():
    torch.set_num_threads(1)
    return hub.load("masked_lm", name="mini-bert", verbose=False)


def test_keys_and_values_of_a_prefix():
    prefix = torch.arange(3 * 2 * 4 * 6.0).view(3, -1)
    pairs = key_value_pairs(prefix, layers=4, heads=2)
    assert len(pairs) == 4 and {tuple(p.shape) for p in pairs} == {(2, 2, 3, 3)}
    assert torch.equal(
        pairs[1][0, 1, 2], prefix[2, 2 * 6 + 3 : 2 * 6 + 6]
    )  # layer 1, keys, second head, third virtual token
    assert trainable(PrefixEncoder(5, 5, 256)) == 2 * 5 * 5 * 256


@pytest.mark.parametrize("hidden", [0, 32])
def test_every_entry_of_the_prefix_and_nothing_else_moves(bert, hidden):
    before = hub.weights_hash(bert.model)
    deep = DeepPrompts(bert.model.base_model, PrefixEncoder(5, 5, 256, hidden))
    inputs = bert.tokenizer(TEXTS, padding=True, return_tensors="pt")

    def loss(rows):
        return deep(**inputs).last_hidden_state.square().mean()

    loss([]).backward()
    assert all(
        p.grad is not None and p.grad.ne(0).float().mean() > 0.99
        for p in deep.prefix.parameters()
    )
    assert all(p.grad is None for p in bert.model.parameters())
    fit(deep, [{}], loss, learning_rate=1e-2, steps=2, batch_size=1)
    assert hub.weights_hash(bert.model) == before
    with torch.inference_mode():
        first, again = (
            deep(**inputs).last_hidden_state,
            deep(**inputs).last_hidden_state,
        )  # a cache that grew would change the second
        alone = deep(**bert.tokenizer(TEXTS[:1], return_tensors="pt")).last_hidden_state
        assert torch.equal(first, again) and torch.allclose(
            first[:1, : alone.shape[1]], alone, atol=1e-4
        )
        if hidden:
            deep.prefix.drop_mlp()
            assert torch.allclose(deep(**inputs).last_hidden_state, first, atol=1e-5)


def test_a_text_too_long_for_the_prefix_is_named(bert):
    deep, limit = (
        DeepPrompts(bert.model.base_model, PrefixEncoder(5, 5, 256)),
        bert.model.config.max_position_embeddings,
    )
    ids = torch.full((1, limit - 4), 9)
    with pytest.raises(
        ValueError,
        match=f"{limit - 4} tokens and a prefix of 5 exceed the model's {limit} "
        "positions: cut the text or shorten the prefix",
    ):
        deep(ids, torch.ones_like(ids))


def test_all_three_prefixes_of_an_encoder_decoder_get_gradients():
    backbone = hub.load("seq2seq_lm", name="mini-t5-s", verbose=False)
    before = hub.weights_hash(backbone.model)
    tuned = PrefixTuned(backbone, 5)
    tuned.loss([{"text": text, "target": "好"} for text in TEXTS]).backward()
    graded = {n: p.grad for n, p in tuned.named_parameters() if p.requires_grad}
    assert len(graded) == 3 and all(
        g is not None and g.ne(0).float().mean() > 0.99 for g in graded.values()
    )
    assert (
        all(p.grad is None for p in backbone.model.parameters())
        and hub.weights_hash(backbone.model) == before
    )


def test_entities():
    assert spans(["B-name", "I-name", "O", "B-food", "B-food", "I-area"]) == {
        ("name", 0, 2),
        ("food", 3, 4),
        ("food", 4, 5),
        ("area", 5, 6),
    }
    assert entity_f1(
        [["B-name", "O", "B-food"]], [["B-name", "I-name", "B-food"]]
    ) == pytest.approx(0.5)
    assert entity_f1([["O"]], [["O"]]) == 0.0


TAGS = ["O", "B-PER", "I-PER"]


def around(kind, encoder, length):
    """An encoder with a prefix in every layer, or with a prompt before its input."""
    layers, width = encoder.config.num_hidden_layers, encoder.config.hidden_size
    if kind == "deep":
        return DeepPrompts(encoder, PrefixEncoder(length, layers, width))
    return InputPrompts(encoder, FreeVectors(torch.randn(length, width)))


def read(model, tokens, rows=1):
    ids = torch.full((rows, tokens), 9)
    return model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state


@pytest.mark.parametrize("kind", ["deep", "input"])
def test_the_encoder_that_is_given_stays_free(bert, kind):
    encoder = bert.model.base_model
    model = around(kind, encoder, 3)
    assert all(p.requires_grad for p in encoder.parameters())
    before = read(model, 8)
    model.train()
    assert not encoder.training
    model.eval()
    with torch.no_grad():  # the weights are shared: one step of whoever tunes them
        encoder.get_input_embeddings().weight[9].add_(1.0)
    assert not torch.equal(read(model, 8), before)


@pytest.mark.parametrize("kind", ["deep", "input"])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_text_and_prompt_fill_the_positions_and_no_more(kind, family):
    """A RoBERTa of 40 positions reads 38 tokens, for its first two are never used."""
    torch.manual_seed(0)
    shape = ENCODER | {"max_position_embeddings": 40, "pad_token_id": 1}
    if family == "roberta":
        model, limit = RobertaModel(RobertaConfig(**shape)), 38
    else:
        model, limit = BertModel(BertConfig(**shape)), 40
    encoder = model.eval()
    model = around(kind, encoder, 5)
    assert read(model, limit - 5).isfinite().all()
    what = "prefix" if kind == "deep" else "prompt"
    with pytest.raises(
        ValueError,
        match=f"{limit - 4} tokens and a {what} of 5 exceed the model's {limit} pos",
    ):
        read(model, limit - 4)


def test_prompts_of_another_width_are_refused(bert):
    encoder = bert.model.base_model
    deep = DeepPrompts(encoder, PrefixEncoder(5, 5, 96))
    with pytest.raises(
        ValueError, match="A prefix of the width 960 does not fit 5 layers of 256: make"
    ):
        read(deep, 8)
    shallow = InputPrompts(encoder, FreeVectors(torch.zeros(5, 255)))
    with pytest.raises(ValueError, match=r"shape \(5, 255\) does not fit word embedd"):
        read(shallow, 8)
    with pytest.raises(
        ValueError, match="A prefix of the width 7 cannot be shared by 2 layers of 3"
    ):
        key_value_pairs(torch.zeros(4, 7), 2, 3)


def tagger_of(bert, max_length=128):
    """A tagger that knows "anna", "bert" and no other word."""
    torch.manual_seed(0)
    tagger = Tagger(bert, TAGS, max_length)
    rows = [
        {"words": ["anna", "and", "bert"], "tags": ["B-PER", "O", "B-PER"]},
        {"words": ["we", "live", "here"], "tags": ["O", "O", "O"]},
    ]
    fit(tagger, rows, tagger.loss, learning_rate=1e-3, steps=15, batch_size=2)
    assert tag_rows(tagger, rows) == [row["tags"] for row in rows]
    return tagger


def test_every_word_has_a_tag_and_no_tag_moves_to_another_word(bert):
    tagger = tagger_of(bert)
    rows = [
        {"words": ["\ufe0f", "anna", "\u200b", "bert", ""]},
        {"words": ["anna"]},
        {"words": []},
    ]
    expected = [["O", "B-PER", "O", "B-PER", "O"], ["B-PER"], []]
    assert tag_rows(tagger, rows) == expected
    assert tag_rows(tagger, rows, batch_size=1) == expected
    tagger.max_length = 4  # two tokens beside [CLS] and [SEP]
    row = {"words": ["anna", "and", "bert", "anna"], "tags": ["O"] * 3 + ["B-PER"]}
    assert tag_rows(tagger, [row]) == [["B-PER", "O", "O", "O"]]
    assert tagger.loss([row]).isfinite()


def test_the_loss_of_a_tagger_counts_first_tokens_of_words(bert):
    torch.manual_seed(0)
    tagger = Tagger(bert, TAGS)
    row = {"words": ["\ufe0f", "unbelievably", "anna"], "tags": ["O", "O", "B-PER"]}
    ids = bert.tokenizer("unbelievably anna").input_ids
    assert len(ids) > 4  # the first word has several tokens
    with torch.inference_mode():
        states = tagger.encoder(torch.tensor([ids])).last_hidden_state[0]
        logits = tagger.head(states[[1, len(ids) - 2]])
        by_hand = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1]))
        assert torch.isclose(tagger.loss([row]), by_hand, atol=1e-5)


def test_control_tokens_among_the_words_stay_text(bert):
    tagger = tagger_of(bert)
    words, seen = ["[SEP]", "anna", "[MASK]", "[PAD]"], []
    hook = tagger.encoder.register_forward_pre_hook(
        lambda module, args, inputs: seen.append(inputs["input_ids"][0].tolist()),
        with_kwargs=True,
    )
    assert len(tag_rows(tagger, [{"words": words}])[0]) == 4
    hook.remove()
    tokenizer, controls = bert.tokenizer, set(bert.tokenizer.all_special_ids)
    assert [i for i in seen[0] if i in controls] == [
        tokenizer.cls_token_id,
        tokenizer.sep_token_id,
    ]


def test_the_side_of_the_padding_is_not_the_tokenizers(bert):
    tagger = tagger_of(bert)
    rows = [{"words": ["anna"]}, {"words": ["we", "live", "here", "anna"]}]
    expected = tag_rows(tagger, rows)
    bert.tokenizer.padding_side = "left"
    assert tag_rows(tagger, rows) == expected
    assert tagger.read(rows)[1][0] == {0: 1}


def test_rows_that_a_tagger_refuses(bert):
    tagger = Tagger(bert, TAGS)
    for row, problem in (
        ({"words": ["anna"], "tags": ["O", "O"]}, "1 words and 2 tags: give one tag"),
        ({"words": ["anna"], "tags": ["B-LOC"]}, "tag 'B-LOC': use one of O, B-PER"),
        ({"words": ["\ufe0f"], "tags": ["O"]}, "No word of the batch has a token"),
    ):
        with pytest.raises(ValueError, match=problem):
            tagger.loss([row])
    with pytest.raises(ValueError, match=r"The tags \['B-PER'\] lack O: add it"):
        Tagger(bert, ["B-PER"])
    for lines in ([["O"]], [["O", "O"], ["O"]], []):
        with pytest.raises(ValueError, match="with one tag for each word"):
            entity_f1(lines, [["O", "O"]])


def test_a_copy_after_use_is_a_model_of_its_own():
    backbone = hub.load("seq2seq_lm", name="mini-t5-s", verbose=False)
    tuned = PrefixTuned(backbone, 3, words=["差", "好"])
    rows = [{"text": text, "label": 1} for text in TEXTS]
    tuned.loss(rows).backward()
    before = tuned.logits(rows).detach()
    copied = copy.deepcopy(tuned)
    assert torch.equal(copied.logits(rows), before)
    fit(copied, rows, copied.loss, learning_rate=0.3, steps=2)
    assert torch.equal(tuned.logits(rows), before)
    assert not torch.allclose(copied.logits(rows), before)
    kept = [
        value
        for module in tuned.modules()
        for value in vars(module).values()
        if isinstance(value, torch.Tensor)
    ]
    assert kept == []


def test_an_error_in_between_leaves_no_prefix_behind():
    backbone = hub.load("seq2seq_lm", name="mini-t5-s", verbose=False)
    tuned = PrefixTuned(backbone, 3)
    with pytest.raises(IndexError):
        tuned.model.encoder(input_ids=torch.tensor([[10**6]]))
    copy.deepcopy(tuned)


def test_the_t5_that_is_given_stays_as_it_is():
    backbone = hub.load("seq2seq_lm", name="mini-t5-s", verbose=False)
    before = backbone.model.config._attn_implementation
    PrefixTuned(backbone, 3)
    assert backbone.model.config._attn_implementation == before != "prefix"
    assert all(p.requires_grad for p in backbone.model.parameters())
    assert not backbone.model.encoder._forward_pre_hooks


def test_a_model_that_is_no_t5_is_refused(bert):
    with pytest.raises(ValueError, match="attention of a bert is not known here: take"):
        attentions(bert.model)


def test_dropout_of_the_frozen_model_does_not_blur_a_prefix(bert):
    torch.manual_seed(0)
    backbone = hub.load("seq2seq_lm", name="mini-t5-s", verbose=False)
    vocabulary = {"vocab_size": backbone.model.config.vocab_size}
    config = T5Config(**T5 | vocabulary, dropout_rate=0.5)
    backbone.model = T5ForConditionalGeneration(config).eval()
    vocabulary = {"vocab_size": len(bert.tokenizer)}
    small = BertConfig(**ENCODER | vocabulary, hidden_dropout_prob=0.5)
    bert.model = BertForMaskedLM(small).eval()
    deep = HeadClassifier(bert, 2, pooling="mean")
    deep.encoder = DeepPrompts(deep.encoder, PrefixEncoder(3, 2, 16))
    rows = [{"text": text, "label": 1} for text in TEXTS]
    tuned = PrefixTuned(backbone, 3, words=["差", "好"])
    for model in (tuned, deep):
        losses = []

        def loss(batch, model=model, losses=losses):
            losses.append(model.loss(batch).item())
            return model.loss(batch)

        taken = fit(model, rows, loss, learning_rate=0.1, steps=2, batch_size=2)
        assert losses == taken  # a `Method` keeps what is frozen in evaluation mode
        with torch.inference_mode():
            first = model.logits(rows)
            assert torch.equal(model.logits(rows), first)
            alone = torch.cat([model.logits([row]) for row in rows])
            assert torch.allclose(alone, first, atol=1e-4)


QUERY, WORDS = "{text} -> {label}\n", ["bad", "good"]
ROWS = [
    {"text": "A warm and funny book.", "label": 1, "target": "good"},
    {"text": "Cold soup.", "label": 0, "target": "bad"},
]


@pytest.fixture
def gpt():
    return hub.load("causal_lm", name="mini-gpt-s", verbose=False)


def test_a_prefix_that_remembers_words_does_what_the_words_do(gpt):
    """Before a decoder, which reads the words first, it must be the same exactly."""
    task = "say whether it is bad or good : "
    asked = InContext(gpt.frozen(), QUERY, WORDS, task=task)
    deep = PrefixDecoder(gpt, len(asked.prefix), QUERY, WORDS, sentence=task)
    assert torch.allclose(deep.score(ROWS), asked.score(ROWS), atol=1e-3)
    alone = torch.cat([deep.score([row]) for row in ROWS])  # without the padding
    assert torch.allclose(deep.score(ROWS), alone, atol=1e-3)


def test_heads_that_share_keys_and_values_share_the_prefix(gpt):
    vocabulary = {"vocab_size": len(gpt.tokenizer)}
    torch.manual_seed(0)
    gpt.model = LlamaForCausalLM(LlamaConfig(**DECODER | vocabulary)).eval()
    asked = InContext(gpt.frozen(), QUERY, WORDS, task="bad or good ? ")
    count = len(asked.prefix)
    deep = PrefixDecoder(gpt, count, QUERY, WORDS, sentence="bad or good ? ")
    assert deep.trainable == count * 2 * 2 * 8  # two layers, two heads of four
    assert torch.allclose(deep.score(ROWS), asked.score(ROWS), atol=1e-4)


def test_a_decoder_trains_its_prefix_and_nothing_else(gpt):
    before = hub.weights_hash(gpt.model)
    deep = PrefixDecoder(gpt, 4, QUERY, WORDS, hidden=8, dropout=0.1)
    fit(deep, ROWS, learning_rate=1e-2, steps=2, batch_size=2)
    assert hub.weights_hash(gpt.model) == before
    moved = {n for n, p in deep.named_parameters() if p.requires_grad}
    assert moved and all(name.startswith("keys_values.") for name in moved)
    with pytest.raises(ValueError, match="and mini-gpt-s reads 512: show fewer"):
        PrefixDecoder(gpt, 512, QUERY, WORDS).score(ROWS)


def test_what_an_encoder_remembers_is_what_it_computes(bert):
    ids = bert.tokenizer("a warm book").input_ids
    vectors = remembered(bert.model, ids)
    encoder = bert.model.base_model
    with torch.no_grad():
        x = encoder.embeddings(torch.tensor([ids]))
        first = encoder.encoder.layer[0].attention.self
        assert torch.allclose(vectors[:, :256], first.key(x)[0], atol=1e-4)
        assert torch.allclose(vectors[:, 256:512], first.value(x)[0], atol=1e-4)
    for hidden in (0, 64):
        torch.manual_seed(0)
        prefix = PrefixEncoder(len(ids), 5, 256, hidden)
        begin_with(prefix, vectors)
        left = (prefix.computed() - vectors).square().mean() / vectors.var()
        assert left < 0.2 and (hidden or left == 0)
        assert all(p.grad is None for p in prefix.parameters())
    with pytest.raises(ValueError, match="read as many tokens"):
        begin_with(PrefixEncoder(len(ids) + 1, 5, 256), vectors)


def test_what_a_t5_remembers_has_the_shapes_of_its_prefixes():
    backbone = hub.load("seq2seq_lm", name="mini-t5-s", verbose=False)
    ids = backbone.tokenizer("a warm book").input_ids
    found = remembered_by_t5(backbone.model, ids)
    tuned = PrefixTuned(backbone, len(ids), sentence="a warm book")
    for kind, prefix in tuned.prefixes.items():
        assert found[kind].shape == prefix.start.shape
    block = backbone.model.encoder.block[0].layer[0]
    with torch.no_grad():
        x = block.layer_norm(backbone.model.shared(torch.tensor([ids])))
        keys = block.SelfAttention.k(x)[0]
    assert torch.allclose(found["encoder"][:, : keys.shape[1]], keys, atol=1e-4)
    assert not any(m._forward_hooks for m in backbone.model.modules())


@pytest.mark.parametrize("kind", ["deep", "input"])
def test_prompt_and_head_have_rates_of_their_own(bert, kind):
    torch.manual_seed(0)
    method = HeadClassifier(bert, 2, "mean")
    if kind == "deep":
        give_prefix(method, 70, dropout=0.1, sentence="say bad or good : ")
    else:
        give_prompt(method, FreeVectors(torch.randn(70, 256)))
    part = "model.prefix" if kind == "deep" else "model.prompt"
    assert method.max_length == 192 - 70
    start = copy.deepcopy(method)
    fit(method, ROWS, learning_rate={part: 1e-9, "head": 0.1}, steps=2, batch_size=2)
    for name, p in method.named_parameters():
        moved = (p - start.get_parameter(name)).abs().max()
        wanted = name.startswith("head.")
        assert bool(moved > 1e-3) == wanted, name
    with pytest.raises(ValueError, match="exceed the model's 192 positions"):
        give_prefix(HeadClassifier(bert, 2), 190)


def test_dropout_of_a_prefix_is_for_training_alone():
    prefix = PrefixEncoder(4, 2, 8, dropout=0.5)
    assert (prefix() == 0).any()
    assert torch.equal(prefix.eval()(), prefix.start)


def test_f1_is_that_of_seqeval():
    """The same tags gave these numbers in seqeval 1.2.2."""
    for tags, value in (
        (tagged.TAGS[:5], 0.2210086733054931),
        (TAGS, 0.27428571428571424),
    ):
        draw = random.Random(0)
        said, gold = ([draw.choices(tags, k=12) for _ in range(200)] for _ in "ab")
        assert entity_f1(said, gold) == pytest.approx(value, abs=1e-12)


def test_sentences_of_the_splits_share_no_name():
    for kind in ("name", "owner", "food"):
        used = {}
        for split in ("train", "dev", "test"):
            rows = tagged.sentences(200, 0, split)
            assert rows == tagged.sentences(200, 0, split)
            used[split] = {
                word
                for row in rows
                for word, tag in zip(row["words"], row["tags"], strict=True)
                if tag.endswith(f"-{kind}")
            }
        assert len(used["train"]) >= 15 and not used["train"] & used["test"]
        assert not used["dev"] & (used["train"] | used["test"])
    assert len(tagged.names("train")) > 600


def test_tags_of_the_sentences_are_sound():
    for row in tagged.sentences(300, 1, "train"):
        before = "O"
        assert set(row["tags"]) <= set(tagged.TAGS)
        for tag in row["tags"]:
            assert not tag.startswith("I-") or before[2:] == tag[2:]
            before = tag
    near = [
        " ".join(row["words"][first:end])
        for row in tagged.sentences(300, 0, "test")
        for kind, first, end in spans(row["tags"])
        if kind == "near"
    ]
    assert len(set(near) & set(tagged.names("test"))) > 20  # restaurants as landmarks
