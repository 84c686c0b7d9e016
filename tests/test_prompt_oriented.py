"""Soft slots, adapters, LoRA and searches, exported from chapter 8: shapes, what moves,
what stays, that a new part changes nothing, and that a search finds what it says."""

import copy
import dataclasses
import random

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from prompttune_utils import hub
from prompttune_utils.data import few_shot, load_task
from prompttune_utils.evaluation import accuracy, score_rows
from prompttune_utils.methods.prompt_oriented_fine_tuning import (
    FIRST_SOFT,
    MOVES,
    Adapter,
    FreeVectors,
    SoftPrompt,
    SoftTemplate,
    around_the_word,
    as_pattern,
    flip,
    insert_adapters,
    insert_lora,
    longer,
    mask_logits,
    next_words,
    prepare,
    search_template,
    search_words,
    t5_templates,
    word_ids,
)
from prompttune_utils.methods.templates_and_verbalizers import (
    PromptClassifier,
    Template,
    Verbalizer,
    encode,
    encode_batch,
)
from prompttune_utils.training import fit
from tests.test_prompting import HOSTILE
from tests.tiny import trainable

ROWS = [
    {"text": "A warm and funny book.", "label": 1},
    {"text": "cold " * 400, "label": 0},
]


@pytest.fixture
def backbone():
    torch.set_num_threads(1)
    return hub.load("masked_lm", verbose=False)


def with_dropout(backbone):
    """A tiny BERT that drops half of its states; it reads what the backbone reads."""
    config = BertConfig(
        vocab_size=len(backbone.tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        hidden_dropout_prob=0.5,
    )
    torch.manual_seed(0)
    return dataclasses.replace(backbone, model=BertForMaskedLM(config).eval())


def byte_level(words, **marks):
    """A byte-level tokenizer as RoBERTa's: a word has the space before it in its token
    (\u0120)."""
    vocab, merges = {mark: i for i, mark in enumerate(marks.values())}, []
    for letter in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocab[letter] = len(vocab)
    for word in words:
        for i in range(1, len(word)):
            if word[: i + 1] not in vocab:
                vocab[word[: i + 1]] = len(vocab)
                merges.append((word[:i], word[i]))
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks)


@pytest.fixture
def verbalizer(backbone):
    return Verbalizer({"negative": "terrible", "positive": "great"}, backbone.tokenizer)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_breaks_a_soft_template(backbone, text):
    template = SoftTemplate(
        "{soft:2} {text} It {soft} was {mask}.{soft}", backbone.tokenizer, 40
    )
    ids = encode(template, {"text": text})["input_ids"]
    assert len(ids) <= 40 and ids.count(backbone.tokenizer.mask_token_id) == 1
    assert [i for i in ids if i >= FIRST_SOFT] == [
        FIRST_SOFT + i for i in range(template.soft)
    ] and template.soft == 4


@pytest.mark.parametrize(
    "pattern, message",
    [
        ("{text} {soft:0} {mask}", "unknown slot {soft:0}"),
        ("{text} {soft:2}", "0 {mask}"),
        ("{text} {soft:x} {mask}", "unknown slot {soft:x}"),
        ("{text} [MASK] {soft} {mask}", "2 {mask}"),
        ("{text} {soft} {mask} {text}", "2 {text}"),
        ("{text} \u2603 {soft} {mask}", "words that the tokenizer does not know"),
        ("{text} {soft:125} {mask}", "no room for a text within 128 tokens"),
    ],
)
def test_faulty_soft_template_is_named(backbone, pattern, message):
    with pytest.raises(ValueError) as error:
        SoftTemplate(pattern, backbone.tokenizer)
    assert message in str(error.value)


def test_slots_stand_where_the_pattern_has_them(backbone):
    tokenizer = backbone.tokenizer
    template = SoftTemplate(
        "Well,{soft:2} {text} It {soft} was {mask}.{sep}{soft:3} {text_b}", tokenizer
    )
    ids = encode(template, {"text": "good", "text_b": "bad"})["input_ids"]
    shown = [
        f"P{i - FIRST_SOFT}" if i >= FIRST_SOFT else tokenizer.convert_ids_to_tokens(i)
        for i in ids
    ]
    right = "[CLS] well , P0 P1 good it P2 was [MASK] . [SEP] P3 P4 P5 bad [SEP]"
    assert " ".join(shown) == right and template.soft == 6
    assert template.room == template.max_length - len(ids) + 2


def test_a_tokenizer_without_an_unknown_token_can_have_slots():
    tokenizer = byte_level(
        ["\u0120It"], cls_token="<s>", pad_token="<pad>", sep_token="</s>",
        mask_token="<mask>",
    )  # fmt: skip
    assert tokenizer.unk_token is None
    template = SoftTemplate("{text} It{soft:2}{mask}", tokenizer, 32)
    ids = encode(template, {"text": ""})["input_ids"]
    left = [i for i in ids if i not in tokenizer.all_special_ids]
    it = tokenizer.convert_tokens_to_ids("\u0120It")
    assert left == [it, FIRST_SOFT, FIRST_SOFT + 1]


def test_a_prompt_that_does_not_fit_its_slots_is_refused(backbone, verbalizer):
    template = SoftTemplate("{text} {soft:2} {mask}", backbone.tokenizer)
    for shape in ((3, 256), (1, 256), (2, 200)):
        prompt = FreeVectors(torch.zeros(shape))
        soft = SoftPrompt(backbone, template, verbalizer, prompt)
        with pytest.raises(ValueError, match=r"want \(2, 256\): give as many vectors"):
            soft.logits(ROWS)


def test_a_prompt_of_32_bits_reads_with_a_backbone_of_16(backbone, verbalizer):
    half = dataclasses.replace(backbone, model=backbone.copy().model.bfloat16())
    template = SoftTemplate("{text} {soft:2} {mask}", backbone.tokenizer)
    start = backbone.model.get_input_embeddings().weight[1000:1002]
    scores = {}
    for home in (backbone, half):
        soft = SoftPrompt(home, template, verbalizer, FreeVectors(start))
        with torch.inference_mode():
            scores[home is half] = soft.logits(ROWS[:1])
    assert torch.allclose(scores[True], scores[False], rtol=0.05, atol=0.1)


def test_vectors_that_are_words_do_what_the_words_do(backbone, verbalizer):
    hard = PromptClassifier(
        backbone, Template("{text} It was {mask}.", backbone.tokenizer), verbalizer
    )
    ids = backbone.tokenizer("It was", add_special_tokens=False)["input_ids"]
    vectors = FreeVectors(backbone.model.get_input_embeddings().weight[ids])
    soft = SoftPrompt(
        backbone,
        SoftTemplate("{text} {soft:2} {mask}.", backbone.tokenizer),
        verbalizer,
        vectors,
    )
    with torch.inference_mode():
        assert torch.allclose(soft.logits(ROWS), hard.logits(ROWS), atol=1e-5)


def test_vectors_share_no_memory_with_their_start_and_can_be_copied_after_use(
    backbone, verbalizer
):
    start = torch.nn.Parameter(torch.ones(2, 256))
    vectors = FreeVectors(start)
    with torch.no_grad():
        start.fill_(5.0)
    assert torch.equal(vectors(), torch.ones(2, 256))
    template = SoftTemplate("{text} {soft:2} {mask}", backbone.tokenizer)
    soft = SoftPrompt(backbone.frozen(), template, verbalizer, vectors)
    fit(vectors, ROWS, soft.loss, learning_rate=1e-2, steps=2, batch_size=2)
    twin = copy.deepcopy(soft)
    with torch.inference_mode():
        before = twin.logits(ROWS)
        assert torch.equal(before, soft.logits(ROWS))
    fit(vectors, ROWS, soft.loss, learning_rate=1e-2, steps=2, batch_size=2)
    with torch.inference_mode():
        assert torch.equal(before, twin.logits(ROWS))
        assert not torch.equal(before, soft.logits(ROWS))


def test_a_new_adapter_is_the_identity_and_has_the_parameters_of_the_formula():
    adapter, states = Adapter(24, 5), torch.randn(3, 7, 24)
    assert torch.equal(adapter(states), states)
    assert trainable(adapter) == 2 * 24 * 5 + 5 + 24


@pytest.mark.parametrize(
    "moves, layers",
    [
        ("houlsby", 12),
        ("pfeiffer", 12),
        ("lora", 12),
        ("top layers", 3),
        ("prompt only", 0),
        ("full", 12),
    ],
)
def test_counts_at_the_shape_of_bert_base(moves, layers):
    """By hand: an adapter of bottleneck b has 2 d b + b + d parameters, a LayerNorm
    2 d, a layer 12 d^2 + 13 d."""
    d, b, config = 768, 48, BertConfig()
    with torch.device("meta"):
        model = prepare(BertForMaskedLM(config), moves, b)
    adapter = 2 * d * b + b + d
    small = {"houlsby": 2 * adapter + 4 * d, "pfeiffer": adapter}
    small["lora"] = 2 * 2 * d * (b // 2)  # A and B beside two matrices
    a_layer = small.get(moves, 12 * d * d + 13 * d)
    outside = (
        (config.vocab_size + 512 + 2) * d
        + 2 * d
        + d * d
        + d
        + 2 * d
        + config.vocab_size
        if moves == "full"
        else 0
    )
    assert trainable(model) == layers * a_layer + outside


@pytest.mark.parametrize("kind", ["houlsby", "pfeiffer"])
def test_names_after_adapters_are_put_in(backbone, kind):
    """What a checkpoint of the backbone holds keeps its names; new ones are those of
    the adapters alone."""
    old = set(backbone.model.state_dict())
    insert_adapters(backbone.model, kind)
    new = set(backbone.model.state_dict()) - old
    places = ["output", "attention.output"] if kind == "houlsby" else ["output"]
    parts = [f"{way}.{what}" for way in ("down", "up") for what in ("weight", "bias")]
    assert old <= set(backbone.model.state_dict())
    assert new == {
        f"bert.encoder.layer.{layer}.{place}.dropout.1.{part}"
        for layer in range(5)
        for place in places
        for part in parts
    }


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda m: insert_adapters(m, "Houlsby"), "choose houlsby or pfeiffer"),
        (lambda m: insert_adapters(m, "houlsby", 0), "a bottleneck of 1 or more"),
        (lambda m: insert_lora(m, 0), "choose 1 or more"),
        (
            lambda m: prepare(m, "adapter"),
            "choose one of full, houlsby, pfeiffer, lora",
        ),
        (lambda m: prepare(m, "Full"), "choose one of full, houlsby, pfeiffer, lora"),
    ],
)
def test_a_misspelt_option_is_refused_and_changes_nothing(backbone, change, message):
    model, names = backbone.model, set(backbone.model.state_dict())
    model.cls.requires_grad_(False)
    free = [p.requires_grad for p in model.parameters()]
    with pytest.raises(ValueError, match=message):
        change(model)
    assert set(model.state_dict()) == names
    assert [p.requires_grad for p in model.parameters()] == free


@pytest.mark.parametrize("moves", MOVES)
@pytest.mark.parametrize("before", ["houlsby", "lora"])
def test_a_model_with_adapters_is_not_prepared_again(backbone, moves, before):
    model = prepare(backbone.model, before)
    names = set(model.state_dict())
    with pytest.raises(ValueError, match="has adapters already: take a fresh copy"):
        prepare(model, moves)
    assert set(model.state_dict()) == names


def test_a_model_of_another_family_is_refused():
    config = T5Config(
        vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2
    )
    for change in (
        lambda m: insert_adapters(m, "pfeiffer"),
        lambda m: prepare(m, "full"),
    ):
        with pytest.raises(ValueError, match="choose a masked LM of BERT's family"):
            change(T5ForConditionalGeneration(config))


@pytest.mark.parametrize("moves", MOVES)
def test_exactly_what_is_declared_moves(backbone, verbalizer, moves):
    tuned = copy.copy(backbone)
    tuned.model = prepare(copy.deepcopy(backbone.model), moves)
    vectors = FreeVectors(torch.randn(2, backbone.model.config.hidden_size) * 0.02)
    soft = SoftPrompt(
        tuned,
        SoftTemplate("{text} {soft:2} {mask}.", backbone.tokenizer),
        verbalizer,
        vectors,
    )
    before = {n: p.detach().clone() for n, p in soft.named_parameters()}
    declared = {n for n, p in soft.named_parameters() if p.requires_grad}
    soft.loss(ROWS).backward()
    assert {n for n, p in soft.named_parameters() if p.grad is not None} == declared
    soft.zero_grad()
    rates = {"prompt": 1e-2} | ({} if moves == "prompt only" else {"model": 1e-3})
    fit(soft, ROWS, learning_rate=rates, steps=3, batch_size=2)
    moved = {n for n, p in soft.named_parameters() if not torch.equal(p, before[n])}
    assert moved <= declared and len(moved) >= 0.9 * len(declared)


def test_dropout_is_on_in_the_model_that_trains_alone(backbone, verbalizer):
    """A prompt that trains alone stands before a model in eval mode; a model that
    trains along drops states. Afterwards scores are the same twice."""
    home, seen = with_dropout(backbone), {}
    template = SoftTemplate("{text} {soft:2} {mask}.", backbone.tokenizer)
    for way in ("prompt alone", "with the model"):
        vectors = FreeVectors(torch.randn(2, 32))
        own = home.frozen() if way == "prompt alone" else home.copy()
        soft = SoftPrompt(own, template, verbalizer, vectors)

        def loss(rows, soft=soft, way=way):
            first, second = soft.loss(rows), soft.loss(rows)
            seen.setdefault(way, []).append(torch.equal(first, second))
            return second

        module = vectors if way == "prompt alone" else [own.model, vectors]
        module = module if way == "prompt alone" else torch.nn.ModuleList(module)
        fit(module, ROWS, loss, learning_rate=1e-3, steps=2, batch_size=2)
        with torch.inference_mode():
            assert torch.equal(soft.logits(ROWS), soft.logits(ROWS))
    assert seen == {"prompt alone": [True, True], "with the model": [False, False]}


def test_the_backbone_stays_as_it_was_given(backbone, verbalizer):
    """Neither a prompt before `frozen()` nor adapters in a `copy()` are seen in it."""
    before = hub.weights_hash(backbone.model)
    template = SoftTemplate("{text} {soft:2} {mask}.", backbone.tokenizer)
    vectors = FreeVectors(torch.zeros(2, 256))
    soft = SoftPrompt(backbone.frozen(), template, verbalizer, vectors)
    fit(vectors, ROWS, soft.loss, learning_rate=1e-2, steps=1, batch_size=2)
    prepare(backbone.copy().model, "houlsby")
    assert hub.weights_hash(backbone.model) == before
    assert all(p.requires_grad and p.grad is None for p in backbone.model.parameters())


def test_whole_words_of_a_byte_level_tokenizer_have_the_space_before_them():
    tokenizer = byte_level(
        ["\u0120good", "ing", "\u0120was"], pad_token="<pad>", mask_token="<mask>"
    )
    words = tokenizer.convert_ids_to_tokens(word_ids(tokenizer))
    assert {"\u0120good", "\u0120was"} <= set(words) and "ing" not in words
    assert all(word.startswith("\u0120") for word in words)


def test_logits_at_the_mask_are_the_models_own(backbone):
    """Also what its head does before and behind the matrix: here a bias."""
    torch.nn.init.normal_(backbone.model.cls.predictions.bias)
    template = Template("{text} It was {mask}.", backbone.tokenizer)
    inputs, position = encode_batch(template, ROWS)
    with torch.inference_mode():
        right = backbone.model(**inputs).logits[torch.arange(2), position]
    assert torch.allclose(mask_logits(backbone, template, ROWS), right, atol=1e-4)


def test_a_search_for_words_that_cannot_be_is_refused(backbone):
    template = Template("{text} It was {mask}.", backbone.tokenizer)
    for rows, labels, k, message in (
        (ROWS[:1], 2, 5, "give rows of each label"),
        (ROWS, 1, 5, "give rows of each label"),
        (ROWS, 2, 0, "choose k so that"),
        (ROWS, 2, 600, "choose k so that"),
        (ROWS, 2, 100_000, "choose k so that"),
        ([ROWS[0], ROWS[0] | {"label": 0}], 2, 1, "choose a larger k"),
    ):
        with pytest.raises(ValueError, match=message):
            search_words(backbone, template, rows, labels, k)


def test_a_search_for_a_template_that_cannot_be_is_refused(backbone, verbalizer):
    template = SoftTemplate("{text} {soft:2} {mask}.", backbone.tokenizer)
    vectors = FreeVectors(torch.zeros(2, 256))
    soft = SoftPrompt(backbone.frozen(), template, verbalizer, vectors)
    for rows, rounds, k, message in (
        (ROWS[:1], 1, 2, "give 2 rows or more"),
        (ROWS, 0, 2, "1 round or more"),
        (ROWS, 1, 0, "candidate words"),
        (ROWS, 1, 100_000, "candidate words"),
    ):
        with pytest.raises(ValueError, match=message):
            search_template(soft, rows, rounds, k, random.Random(0))


def test_words_that_are_found_separate_the_classes(backbone):
    task = load_task("reviews-en")
    train, _ = few_shot(task.pool, 16, 0, dev=False)
    template = Template("{text} It was {mask}.", backbone.tokenizer)
    found = search_words(backbone, template, train, labels=2, k=5, apart=True)
    assert (
        all(len(set(words)) == 2 for words in found)
        and len(found) == len(set(found)) <= 25
    )
    reached = []
    for words in (found[0], found[len(found) // 2], found[-1]):
        classifier = PromptClassifier(
            backbone,
            template,
            Verbalizer({word: word for word in words}, backbone.tokenizer),
        )
        classifier.calibrate(train)
        scores = score_rows(train, classifier.logits)
        reached.append(accuracy(scores, [row["label"] for row in train]))
    assert (
        reached == sorted(reached, reverse=True)
        and reached[0] >= 0.75
        and reached[0] > reached[-1]
    ), (found, reached)


def test_a_search_for_a_template_never_makes_the_loss_worse(backbone, verbalizer):
    train, _ = few_shot(load_task("reviews-en").pool, 4, 0, dev=False)
    backbone.model.requires_grad_(False)
    matrix, allowed = (
        backbone.model.get_input_embeddings().weight,
        torch.tensor(word_ids(backbone.tokenizer)),
    )
    prompt = SoftPrompt(
        backbone,
        SoftTemplate("{text} {soft:2} {mask}.", backbone.tokenizer),
        verbalizer,
        FreeVectors(matrix[allowed[:2]]),
    )
    flipped = set()
    for slot in (0, 1, 0, 1):
        with torch.inference_mode():
            before = prompt.loss(train).item()
        old, new = (
            prompt.prompt.vectors[slot].detach().clone(),
            flip(prompt, slot, train, train, allowed, k=8, must=False),
        )
        with torch.inference_mode():
            after = prompt.loss(train).item()
        assert torch.equal(
            prompt.prompt.vectors[slot], old if new is None else matrix[new]
        )
        assert after == before if new is None else after < before
        flipped.add(new is None)
    assert False in flipped
    trail = search_template(prompt, train, rounds=2, k=4, generator=random.Random(0))
    assert (
        len(trail) == 2
        and set(sum(trail, [])) <= set(allowed.tolist())
        and torch.equal(prompt.prompt.vectors, matrix[trail[-1]])
    )


# ---- LoRA and adapters are what the formulas say


def test_lora_adds_b_times_a(backbone):
    """W h + B A h in query and value, and nothing else; new, it adds nothing."""
    old = copy.deepcopy(backbone.model)
    model = prepare(backbone.model, "lora", 8)
    query = model.bert.encoder.layer[0].attention.self.query
    states = torch.randn(2, 5, 256)
    W = old.bert.encoder.layer[0].attention.self.query
    assert torch.equal(query(states), W(states))
    torch.nn.init.normal_(query.lora_B["default"].weight)
    A, B = query.lora_A["default"].weight, query.lora_B["default"].weight
    assert (A.shape, B.shape) == ((4, 256), (256, 4))
    added = states @ A.T @ B.T
    assert torch.allclose(query(states), W(states) + added, atol=1e-4)
    names = {n for n, p in model.named_parameters() if p.requires_grad}
    assert len(names) == 5 * 2 * 2 and all(".lora_" in name for name in names)


def test_an_adapter_is_its_formula():
    adapter, h = Adapter(24, 5), torch.randn(7, 24)
    torch.nn.init.normal_(adapter.up.weight)
    inner = torch.nn.functional.gelu(h @ adapter.down.weight.T + adapter.down.bias)
    by_hand = h + inner @ adapter.up.weight.T + adapter.up.bias
    assert torch.allclose(adapter(h), by_hand, atol=1e-6)


# ---- templates that T5 writes


@pytest.fixture(scope="module")
def t5():
    torch.set_num_threads(1)
    return hub.load("seq2seq_lm", verbose=False).frozen()


WORDS = ["terrible", "great"]


def test_t5_reads_the_text_and_the_word_between_two_gaps(t5):
    rows = [{"text": "Fun.", "label": 1}, {"text": "<extra_id_0> cold", "label": 0}]
    given = around_the_word(t5, rows, WORDS)
    read = t5.tokenizer.convert_ids_to_tokens(given["input_ids"][0])
    wanted = ["fun", ".", "<extra_id_0>", "great", "<extra_id_1>", "</s>"]
    assert [token for token in read if token != "[PAD]"] == wanted
    marks = t5.tokenizer.convert_tokens_to_ids(["<extra_id_0>", "<extra_id_1>"])
    for ids in given["input_ids"].tolist():  # a mark that a text spells is none
        assert [i for i in ids if i in marks] == marks
    long = around_the_word(t5, [{"text": "cold " * 400, "label": 0}], WORDS)
    assert long["input_ids"].shape[1] <= 102


def test_the_rows_vote_together(t5):
    """The sum over rows of what the model says of each row alone."""
    rows = [{"text": "A warm book.", "label": 1}, {"text": "Cold soup.", "label": 0}]
    first = t5.tokenizer.convert_tokens_to_ids("<extra_id_0>")
    begun = [[0, first], [0, first, 100]]

    def said(part):
        given = around_the_word(t5, part, WORDS)
        encoded = t5.model.get_encoder()(**given).last_hidden_state
        return [
            next_words(t5, encoded, given["attention_mask"], [ids])[0] for ids in begun
        ]

    with torch.inference_mode():
        together, alone = said(rows), [said([row]) for row in rows]
    for number, line in enumerate(together):
        assert torch.allclose(line, sum(one[number] for one in alone), atol=1e-3)


def test_a_beam_is_one_token_longer_and_its_marks_come_in_order():
    log_p = torch.log(torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]]))
    second, end = 2, 3
    best = longer([(0.0, [9]), (-0.1, [9, second])], log_p, 3, second, [end])
    assert [ids for _, ids in best] == [[9, second, 0], [9, second], [9, second, 1]]
    assert best[0][0] == pytest.approx(-0.1 + log_p[1, 0].item())
    assert all(second in ids for _, ids in best if ids[-1] == end)


def test_t5_writes_templates_that_can_be_used(backbone, t5):
    rows, _ = few_shot(load_task("reviews-en").pool, 4, 0, dev=False)
    found = t5_templates(t5, rows, WORDS)
    assert found and len(found) == len(set(found))
    for pattern in found:
        Template(pattern, backbone.tokenizer)
    assert any("was {mask}" in p or "is {mask}" in p for p in found), found
    first, second, third = (
        t5.tokenizer.convert_tokens_to_ids(f"<extra_id_{n}>") for n in range(3)
    )
    it = t5.tokenizer("it", add_special_tokens=False)["input_ids"]
    ids = [0, first, *it, second, third]
    assert as_pattern(t5.tokenizer, ids, second) == "{text} it {mask}"
