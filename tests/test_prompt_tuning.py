"""Prompt tuning, exported from chapter 9: what moves, where vectors start, the bank, saving and what is refused."""

import pytest
import torch
from safetensors.torch import save_file

from prompttune_utils import hub
from prompttune_utils.data import load_task, majority
from prompttune_utils.evaluation import accuracy, score_rows
from prompttune_utils.methods.prompt_tuning import (
    PromptBank,
    PromptTuned,
    TextToText,
    bleu,
    load_prompt,
    save_prompt,
    starting_vectors,
    write,
)
from prompttune_utils.training import fit, trainable

WORDS = ["差", "好"]
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
            model.scores(ROWS),
            torch.cat([model.scores([row]) for row in ROWS]),
        )
    assert torch.allclose(together, alone, atol=1e-4 * float(alone.abs().max()))


def test_no_vectors_no_change(backbone):
    with torch.inference_mode():
        empty = PromptTuned(backbone, torch.zeros(0, 80), WORDS).scores(ROWS)
        assert torch.allclose(
            empty, TextToText(backbone, WORDS).scores(ROWS), atol=1e-4
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
        match="cannot start from 'zeros': choose random, vocabulary or label words",
    ):
        starting_vectors(backbone, 4, "zeros", 0)


def test_label_words_that_begin_alike(backbone):
    """As with SentencePiece, which may write the mark of a word's beginning as a token of its own: the first token that differs is compared."""
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
            model.scores(ROWS), logits[:, [ids[0][1], ids[1][1]]], atol=1e-4
        )
    for wrong in (["很", "很好"], ["很差", "很好", "很好吃"]):
        with pytest.raises(
            ValueError,
            match="begin with the same token of mini-t5-s: choose words that differ at once",
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
        mixed = bank.scores(rows)
        for name, vectors in prompts.items():
            apart = PromptTuned(backbone, vectors, WORDS).scores(ROWS)
            assert torch.allclose(
                mixed[[i for i, row in enumerate(rows) if row["prompt"] == name]],
                apart,
                atol=1e-4 * float(apart.abs().max()),
            )
    with pytest.raises(
        ValueError, match="There is no prompt 'c' in the bank: it has a, b"
    ):
        bank.scores([ROWS[0] | {"prompt": "c"}])


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
        match="reviews.safetensors was trained for mini-t5-s .* and mini-t5 has the weights .*: load it with its own backbone",
    ):
        load_prompt(path, hub.load("seq2seq_lm", name="mini-t5", verbose=False))
    save_file({"prompt": vectors}, str(tmp_path / "bare.safetensors"))
    with pytest.raises(ValueError, match="bare.safetensors"):
        load_prompt(tmp_path / "bare.safetensors", backbone)
    (tmp_path / "half.safetensors").write_bytes(path.read_bytes()[:200])
    (tmp_path / "text.safetensors").write_text("no safetensors")
    save_file({"other": vectors}, str(tmp_path / "foreign.safetensors"))
    for name in ("half", "text", "foreign"):
        with pytest.raises(
            ValueError,
            match=rf"{name}.safetensors is no saved prompt, or is damaged \(.*\): save it again with save_prompt\.$",
        ):
            load_prompt(tmp_path / f"{name}.safetensors", backbone)
    with pytest.raises(
        ValueError,
        match=r"A prompt of the shape \(20, 81\) does not fit mini-t5-s: it reads vectors \(P, 80\)",
    ):
        PromptTuned(backbone, torch.zeros(20, 81))


def test_a_trained_prompt_beats_its_controls(backbone):
    """Chinese reviews, the backbone frozen: above majority, untrained prompt and random weights, by 5 points."""
    task, reached = load_task("reviews-zh"), {}
    for control in (None, "untrained", "random weights"):
        if control == "random weights":
            torch.manual_seed(0)
            backbone.model = type(backbone.model)(backbone.model.config).eval()
        model = PromptTuned(
            backbone, starting_vectors(backbone, 20, "vocabulary", 0), WORDS
        )
        if control != "untrained":
            fit(
                model,
                task.pool,
                model.label_loss,
                learning_rate=0.3,
                steps=100,
                batch_size=16,
                weight_decay=0.0,
            )
        reached[control] = accuracy(score_rows(task.test, model.scores), task.gold)
    assert reached[None] >= 0.05 + max(
        reached["untrained"], reached["random weights"], majority(task.gold)
    ), reached


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
