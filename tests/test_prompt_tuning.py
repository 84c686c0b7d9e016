"""Prompt tuning, exported from chapter 9.

What moves, where vectors start, the bank, saving, and what is refused.
"""

import math
import re

import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

from prompttune_utils import hub
from prompttune_utils.methods.in_context_learning import InContext
from prompttune_utils.methods.prompt_tuning import (
    PromptBank,
    PromptedDecoder,
    PromptTuned,
    TextToText,
    bleu,
    checksum,
    common_tokens,
    load_prompt,
    respaced,
    save_prompt,
    starting_vectors,
    text_loss,
    write,
    write_on,
)
from prompttune_utils.training import fit
from tests.tiny import BART, T5, trainable

WORDS = ["差", "好"]
NO_FIT = r"shape \(20, 81\) does not fit mini-t5-s: it reads vectors \(P, 80\)\.$"
ROWS = [
    {"text": "房间很干净，服务也好", "label": 1},
    {"text": "cold soup", "label": 0},
    {"text": "等了很久 " * 60, "label": 0},
]


@pytest.fixture
def backbone():
    torch.set_num_threads(1)
    return hub.load("seq2seq_lm", name="mini-t5-s", verbose=False)


def test_the_prompt_stands_before_the_text_and_does_not_depend_on_the_batch(backbone):
    model = PromptTuned(
        backbone, starting_vectors(backbone, 5, "vocabulary", 0), WORDS, max_length=24
    )
    inputs, plain = (
        model.inputs(ROWS),
        TextToText(backbone, WORDS, max_length=24).inputs(ROWS),
    )
    assert inputs["inputs_embeds"].shape == (3, 5 + 24, 80) and inputs[
        "attention_mask"
    ].shape == (3, 29)
    assert (
        torch.equal(inputs["inputs_embeds"][:, :5], model.prompt.expand(3, -1, -1))
        and inputs["attention_mask"][:, :5].all()
    )
    assert torch.equal(inputs["attention_mask"][:, 5:], plain["attention_mask"])
    with torch.inference_mode():
        together, alone = (
            model.logits(ROWS),
            torch.cat([model.logits([row]) for row in ROWS]),
        )
    assert torch.allclose(together, alone, atol=1e-4 * float(alone.abs().max()))


def test_no_vectors_no_change(backbone):
    with torch.inference_mode():
        empty = PromptTuned(backbone, torch.zeros(0, 80), WORDS).logits(ROWS)
        assert torch.allclose(
            empty, TextToText(backbone, WORDS).logits(ROWS), atol=1e-4
        )


def test_exactly_the_prompt_moves(backbone):
    before = hub.weights_hash(backbone.model)
    model = PromptTuned(backbone, starting_vectors(backbone, 7, "random", 0), WORDS)
    start = model.prompt.detach().clone()
    assert trainable(model) == 7 * 80
    model.loss(ROWS).backward()
    assert {n for n, p in model.named_parameters() if p.grad is not None} == {
        "prompt"
    } and model.prompt.grad.abs().sum(1).all()
    fit(model, ROWS, model.loss, learning_rate=0.1, steps=3, batch_size=3)
    assert (
        not torch.equal(start, model.prompt)
        and hub.weights_hash(backbone.model) == before
    )


def test_the_backbone_that_is_given_stays_as_it_is(backbone):
    """A frozen backbone would turn what is tuned on it later into something else."""
    model = PromptTuned(backbone, starting_vectors(backbone, 3, "random", 0), WORDS)
    PromptBank(backbone, {"a": model.prompt}, WORDS)
    modes = []

    def after_step(step):
        modes.append((model.model.training, backbone.model.training))

    fit(model, ROWS, model.loss, learning_rate=0.1, steps=1, after_step=after_step)
    assert all(p.requires_grad for p in backbone.model.parameters())
    assert modes == [(False, False)]  # what is frozen stays in evaluation mode
    assert trainable(TextToText(backbone)) == sum(
        p.numel() for p in backbone.model.parameters()
    )


def test_where_vectors_start(backbone):
    matrix = backbone.model.get_input_embeddings().weight
    assert starting_vectors(backbone, 100, "random", 0).abs().max() <= 0.5
    words = starting_vectors(backbone, 4, "label words", 3, WORDS)
    ids = backbone.tokenizer(WORDS, add_special_tokens=False).input_ids
    assert torch.equal(
        words[:2], torch.stack([matrix[i].mean(0) for i in ids])
    ) and torch.equal(words[2:], starting_vectors(backbone, 4, "vocabulary", 3)[2:])
    assert all((matrix == row).all(1).any() for row in words)
    with pytest.raises(
        ValueError,
        match="cannot start from 'zeros': choose random, vocabulary, label words, task",
    ):
        starting_vectors(backbone, 4, "zeros", 0)


def test_label_words_that_begin_alike(backbone):
    """The first token that differs is compared.

    As with SentencePiece, which may write the mark of a word's beginning as a token.
    """
    words = ["很差", "很好"]
    ids = [
        backbone.tokenizer(word, add_special_tokens=False).input_ids for word in words
    ]
    model, inputs = TextToText(backbone, words), TextToText(backbone).inputs(ROWS)
    begun = torch.tensor(
        [[backbone.model.config.decoder_start_token_id, ids[0][0]]] * len(ROWS)
    )
    with torch.inference_mode():
        logits = backbone.model(**inputs, decoder_input_ids=begun).logits[:, -1]
        assert ids[0][0] == ids[1][0] and torch.allclose(
            model.logits(ROWS), logits[:, [ids[0][1], ids[1][1]]], atol=1e-4
        )
    for wrong in (["很", "很好"], ["很差", "很好", "很好吃"]):
        with pytest.raises(
            ValueError,
            match="begin with the same token of mini-t5-s: choose words that differ",
        ):
            TextToText(backbone, wrong)


def test_many_prompts_in_one_batch(backbone):
    prompts = {
        name: starting_vectors(backbone, size, "vocabulary", size)
        for name, size in (("a", 3), ("b", 9))
    }
    bank = PromptBank(backbone, prompts, WORDS)
    rows = [row | {"prompt": name} for row in ROWS for name in prompts]
    with torch.inference_mode():
        mixed = bank.logits(rows)
        for name, vectors in prompts.items():
            apart = PromptTuned(backbone, vectors, WORDS).logits(ROWS)
            assert torch.allclose(
                mixed[[i for i, row in enumerate(rows) if row["prompt"] == name]],
                apart,
                atol=1e-4 * float(apart.abs().max()),
            )
    with pytest.raises(
        ValueError, match="There is no prompt 'c' in the bank: it has a, b"
    ):
        bank.logits([ROWS[0] | {"prompt": "c"}])


def test_saving_and_what_is_refused(backbone, tmp_path):
    vectors, path = (
        starting_vectors(backbone, 20, "vocabulary", 0),
        tmp_path / "reviews.safetensors",
    )
    save_prompt(path, vectors, backbone)
    assert (
        torch.equal(load_prompt(path, backbone), vectors)
        and path.stat().st_size < 20 * 80 * 4 + 400
    )
    with pytest.raises(
        ValueError,
        match="reviews.safetensors was trained for mini-t5-s .* and mini-t5 has the "
        "weights .*: load it with its own backbone",
    ):
        load_prompt(path, hub.load("seq2seq_lm", verbose=False))
    save_file({"prompt": vectors}, str(tmp_path / "bare.safetensors"))
    with pytest.raises(ValueError, match="bare.safetensors"):
        load_prompt(tmp_path / "bare.safetensors", backbone)
    (tmp_path / "half.safetensors").write_bytes(path.read_bytes()[:200])
    (tmp_path / "text.safetensors").write_text("no safetensors")
    save_file({"other": vectors}, str(tmp_path / "foreign.safetensors"))
    for name in ("half", "text", "foreign"):
        with pytest.raises(
            ValueError,
            match=rf"{name}.safetensors is no saved prompt, or is damaged \(.*\): "
            r"save it again with save_prompt\.$",
        ):
            load_prompt(tmp_path / f"{name}.safetensors", backbone)
    with pytest.raises(
        ValueError,
        match=NO_FIT,
    ):
        PromptTuned(backbone, torch.zeros(20, 81))
    with pytest.raises(ValueError, match=NO_FIT):
        PromptBank(backbone, {"a": vectors, "b": torch.zeros(20, 81)})
    with pytest.raises(ValueError, match=NO_FIT):
        save_prompt(path, torch.zeros(20, 81), backbone)


def test_bleu_and_writing(backbone):
    tokenizer = backbone.tokenizer
    assert bleu(
        tokenizer,
        ["the golden spoon is a cheap pub near the park ."],
        [["The Golden Spoon is a cheap pub near the park."]],
    ) == pytest.approx(100)
    assert (
        bleu(
            tokenizer,
            ["no word of it at all here"],
            [["The Golden Spoon is a cheap pub near the park."]],
        )
        < 5
    )
    model = PromptTuned(backbone, starting_vectors(backbone, 4, "vocabulary", 0))
    assert write(model, ROWS, 6) == [write(model, [row], 6)[0] for row in ROWS]


def tiny(backbone, model):
    """A small model with random weights, and the tokenizer of the backbone."""
    return hub.Backbone("tiny", model.eval(), backbone.tokenizer, 0.1, None, "cpu", 0.1)


def settings(backbone, shape, **more):
    vocabulary = backbone.model.config.vocab_size
    return shape | {"vocab_size": vocabulary, "decoder_start_token_id": 0} | more


def test_dropout_of_the_frozen_model_does_not_blur_the_prompt(backbone):
    torch.manual_seed(0)
    config = T5Config(**settings(backbone, T5, dropout_rate=0.5))
    small = tiny(backbone, T5ForConditionalGeneration(config))
    vectors = starting_vectors(small, 4, "vocabulary", 0)
    model, losses = PromptTuned(small, vectors, WORDS), []

    def loss(rows):
        losses.append([model.label_loss(rows).item() for _ in range(2)])
        return model.label_loss(rows)

    fit(model, ROWS, loss, learning_rate=0.1, steps=2, batch_size=3)
    assert all(first == second for first, second in losses)


def test_the_bank_does_not_move_with_a_prompt_in_training(backbone):
    model = PromptTuned(backbone, starting_vectors(backbone, 4, "vocabulary", 0), WORDS)
    bank, rows = PromptBank(backbone, {"a": model.prompt}, WORDS), [ROWS[0]]
    rows = [row | {"prompt": "a"} for row in rows]
    before = bank.logits(rows).detach()
    fit(model, ROWS, model.loss, learning_rate=0.3, steps=2)
    assert torch.equal(bank.logits(rows), before)
    assert not torch.allclose(model.logits(rows), before)


def test_control_tokens_that_are_spelt_in_a_text_stay_text(backbone):
    tokenizer, model = backbone.tokenizer, TextToText(backbone)
    controls = set(tokenizer.all_special_ids)
    for said in ("</s>", "<extra_id_0>", "<pad>", "<unk>"):
        ids = model.encode([f"cold {said} soup", "cold"])["input_ids"][0].tolist()
        assert controls & set(ids) == {tokenizer.eos_token_id} and ids[-1] in controls
        assert ids.count(tokenizer.eos_token_id) == 1
        written = respaced(tokenizer, said).replace(" ", "")
        assert written == said
        (vector,) = starting_vectors(backbone, 1, "label words", 0, [said])
        assert not (backbone.model.get_input_embeddings().weight == vector).all(1).any()
    target = {"text": "soup", "target": "cold </s> soup"}
    spelt = [tokenizer.eos_token_id, *tokenizer("soup").input_ids]
    labels = tokenizer("cold", add_special_tokens=False).input_ids + spelt
    with torch.inference_mode():
        stopped = backbone.model(
            **model.inputs([target]), labels=torch.tensor([labels])
        ).loss
        assert not torch.isclose(model.loss([target]), stopped, atol=1e-3)


def test_the_side_of_the_padding_is_not_the_tokenizers(backbone):
    model = PromptTuned(backbone, starting_vectors(backbone, 4, "vocabulary", 0), WORDS)
    with torch.inference_mode():
        before = model.logits(ROWS)
        backbone.tokenizer.padding_side = "left"
        assert torch.equal(model.logits(ROWS), before)
        assert model.encode(["cold", "cold soup"])["attention_mask"][0, -1] == 0


def test_the_end_of_a_long_text_is_cut_whatever_side_the_tokenizer_cuts(backbone):
    backbone.tokenizer.truncation_side = "left"
    model = TextToText(backbone, max_length=4)
    ids = backbone.tokenizer("cold soup again").input_ids
    assert len(ids) > 4
    cut = [*ids[:3], backbone.tokenizer.eos_token_id]
    assert model.encode(["cold soup again"])["input_ids"].tolist() == [cut]
    assert backbone.tokenizer.truncation_side == "left"


def test_no_text_is_longer_than_the_model_can_read(backbone):
    torch.manual_seed(0)
    config = BartConfig(**settings(backbone, BART, max_position_embeddings=16))
    small = tiny(backbone, BartForConditionalGeneration(config))
    vectors, long = torch.zeros(10, 16), {"text": "soup " * 60, "label": 0}
    for model, length, total in (
        (TextToText(small, WORDS), 16, 16),
        (TextToText(small, WORDS, max_length=9), 9, 9),
        (PromptTuned(small, vectors, WORDS), 6, 16),
        (PromptBank(small, {"a": vectors, "b": vectors[:3]}, WORDS), 6, 16),
    ):
        row = long | {"prompt": "a"}
        assert model.inputs([row])["attention_mask"].shape[1] == total
        assert model.encode([row["text"]])["input_ids"].shape[1] == length
        assert model.logits([row]).isfinite().all()
    for vectors, length in ((torch.zeros(15, 16), 96), (torch.zeros(2, 16), 1)):
        with pytest.raises(
            ValueError, match=r"tiny can read \d tokens of it: choose a larger max_le"
        ):
            PromptTuned(small, vectors, WORDS, length)


@pytest.mark.parametrize("label", [2, -1, -100, None, "1"])
def test_a_label_without_a_word_is_refused(backbone, label):
    model = TextToText(backbone, WORDS)
    for loss in (model.loss, model.label_loss):
        with pytest.raises(
            ValueError, match=f"is {label!r}: give each row a number from 0 to 1"
        ):
            loss([ROWS[0], {"text": "cold", "label": label}])


def test_starts_that_are_refused(backbone):
    words = len(backbone.tokenizer)
    for arguments, problem in (
        ((words, "vocabulary", 0), f"{words} vectors cannot start from the"),
        ((4, "label words", 0), "4 vectors cannot start from 0 label words"),
        ((1, "label words", 0, WORDS), "1 vectors cannot start from 2 label words"),
        ((4, "label words", 0, ["好", ""]), "The label word '' has no token"),
        ((4, "task sentence", 0), "no task sentence to start from"),
    ):
        with pytest.raises(ValueError, match=problem):
            starting_vectors(backbone, *arguments)


def test_outputs_and_references_belong_together(backbone):
    for outputs, references in (
        (["a"], [["a"], ["b"]]),
        (["a"], [[]]),
        ([], []),
    ):
        with pytest.raises(ValueError, match="give one list for each output"):
            bleu(backbone.tokenizer, outputs, references)
    # the second row has one reference only, and it counts there alone
    assert bleu(
        backbone.tokenizer,
        ["the old town has a cheap pub", "a warm and funny book"],
        [
            ["nothing", "the old town has a cheap pub"],
            ["a warm and funny book"],
        ],
    ) == pytest.approx(100)


def test_a_prompt_file_with_one_bit_flipped_is_refused(backbone, tmp_path):
    path = tmp_path / "p"
    save_prompt(path, torch.ones(2, 80), backbone)
    sound = path.read_bytes()
    head = len(sound) - 2 * 80 * 4
    for place in [*range(0, head, 7), *range(head, len(sound), 41)]:
        bit = 1 << place % 8
        path.write_bytes(
            sound[:place] + bytes([sound[place] ^ bit]) + sound[place + 1 :]
        )
        with pytest.raises(ValueError, match="p is no saved prompt, or is damaged"):
            load_prompt(path, backbone)
    path.write_bytes(sound)
    assert torch.equal(load_prompt(path, backbone), torch.ones(2, 80))


def test_places_where_no_prompt_can_be_saved_or_found(backbone, tmp_path):
    vectors = torch.zeros(2, 80)
    for path in (tmp_path / "no folder" / "p", tmp_path):
        with pytest.raises(
            ValueError, match=re.escape(f"The prompt cannot be saved as {path} (")
        ):
            save_prompt(path, vectors, backbone)
        with pytest.raises(ValueError, match=re.escape(f"There is no file {path}: ")):
            load_prompt(path, backbone)
    assert list(tmp_path.iterdir()) == []


def test_the_checksum_is_that_of_the_bytes():
    numbers = torch.tensor([[1.0, -2.0]])
    about = {"backbone": "mini", "checksum": "old"}
    assert checksum(about, {"a": numbers}) == checksum(
        {"backbone": "mini"}, {"a": numbers}
    )
    found = {
        checksum(about | more, {"a": vectors})
        for more in ({}, {"weights": "1"})
        for vectors in (numbers, -numbers, numbers.bfloat16(), numbers[0, 0])
    }
    assert len(found) == 8 and all(re.fullmatch("[0-9a-f]{16}", text) for text in found)


def test_vectors_of_a_smaller_type_are_saved(backbone, tmp_path):
    vectors = torch.full((2, 80), math.pi, dtype=torch.bfloat16)
    save_prompt(tmp_path / "p", vectors, backbone)
    loaded = load_prompt(tmp_path / "p", backbone)
    assert loaded.dtype == torch.bfloat16 and torch.equal(loaded, vectors)


def test_a_prompt_before_weights_of_a_smaller_type(backbone):
    vectors = starting_vectors(backbone, 4, "vocabulary", 0)
    expected = PromptTuned(backbone, vectors, WORDS).logits(ROWS).detach()
    backbone.model.bfloat16()
    model = PromptTuned(backbone, vectors, WORDS)
    bank = PromptBank(backbone, {"a": vectors}, WORDS)
    rows = [row | {"prompt": "a"} for row in ROWS]
    for found in (model.logits(ROWS), bank.logits(rows)):
        assert torch.allclose(found, expected, atol=0.1 * float(expected.abs().max()))


def test_a_prompt_starts_from_a_sentence_or_from_common_words(backbone):
    matrix = backbone.model.get_input_embeddings().weight
    ids = backbone.tokenizer("is it good ?", add_special_tokens=False).input_ids
    start = starting_vectors(backbone, 6, "task sentence", sentence="is it good ?")
    assert torch.equal(start, matrix[[ids[i % len(ids)] for i in range(6)]])
    common = common_tokens(backbone, ["good good good food", "good food is here"], 2)
    assert backbone.tokenizer.convert_ids_to_tokens(common) == ["good", "food"]
    drawn = starting_vectors(backbone, 2, "vocabulary", 0, among=common)
    assert all((matrix[common] == row).all(1).any() for row in drawn)
    with pytest.raises(ValueError, match="3 vectors cannot start from the 2 words"):
        starting_vectors(backbone, 3, "vocabulary", 0, among=common)


@pytest.fixture
def decoder():
    torch.set_num_threads(1)
    return hub.load("causal_lm", name="mini-gpt-s", verbose=False)


QUERY = "{text} -> {label}\n"


def prompted(decoder, sentence: str, words=("bad", "good")) -> PromptedDecoder:
    """A prompt before a decoder that is made of the words of a sentence."""
    ids = decoder.tokenizer(sentence, add_special_tokens=False).input_ids
    vectors = decoder.model.get_input_embeddings().weight[ids]
    return PromptedDecoder(decoder, vectors, QUERY, words)


def test_before_a_decoder_vectors_of_words_are_these_words(decoder):
    rows = [{"text": "cold soup"}, {"text": "a film that I liked a lot , and so on"}]
    model = prompted(decoder, "is it good ?")
    asked = InContext(decoder, "is it good ? " + QUERY, ["bad", "good"])
    together = model.score(rows)
    assert torch.allclose(together, asked.score(rows), atol=1e-3)
    alone = torch.cat([model.score([row]) for row in rows])
    assert torch.allclose(together, alone, atol=1e-3)


def test_before_a_decoder_the_prompt_alone_moves_and_learns_to_write(decoder):
    rows = [{"text": "the food was good"}, {"text": "the room was good and cheap"}]
    model, before = prompted(decoder, "well"), hub.weights_hash(decoder.model)
    first = text_loss(model, rows).item()
    how = {"learning_rate": 0.1, "steps": 30, "batch_size": 2}
    fit(model, rows, lambda batch: text_loss(model, batch), **how)
    assert text_loss(model, rows).item() < 0.7 * first
    assert hub.weights_hash(decoder.model) == before
    assert hub.weights_hash(model.model) == before
    assert [n for n, p in model.named_parameters() if p.requires_grad] == ["prompt"]
    ids = decoder.tokenizer(rows[0]["text"], add_special_tokens=False).input_ids
    # the mean over the tokens, each predicted from what stands before it
    read = model.inputs([ids])
    with torch.inference_mode():
        logits = model.model(**read).logits[0, -len(ids) - 1 : -1]
    by_hand = torch.nn.functional.cross_entropy(logits, torch.tensor(ids))
    assert math.isclose(text_loss(model, rows[:1]).item(), by_hand.item(), rel_tol=1e-4)


def test_what_a_decoder_writes_does_not_depend_on_the_batch(decoder):
    model = prompted(decoder, "is it good ?")
    texts = ["the food", "the room was small and"]
    together = write_on(model, texts, 8)
    assert together == [write_on(model, [text], 8)[0] for text in texts]


def test_vectors_that_do_not_fit_a_decoder(decoder):
    with pytest.raises(ValueError, match=r"\(3, 5\) does not fit mini-gpt-s"):
        PromptedDecoder(decoder, torch.zeros(3, 5), QUERY)


def test_a_saved_prompt_comes_back_as_a_method(backbone, tmp_path):
    model = PromptTuned(backbone, starting_vectors(backbone, 4, "vocabulary", 0), WORDS)
    model.save(tmp_path / "kept.safetensors")
    other = PromptTuned(backbone, torch.zeros(4, 80), WORDS)
    other.load(tmp_path / "kept.safetensors")
    assert torch.equal(other.prompt, model.prompt)
    longer = PromptTuned(backbone, torch.zeros(5, 80), WORDS)
    with pytest.raises(ValueError, match="has prompt in another shape"):
        longer.load(tmp_path / "kept.safetensors")
