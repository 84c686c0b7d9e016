"""A reader's own task, exported from chapter 14: choosing, splitting, finding words,
the saved file and what is refused, the stream."""

import copy
import csv
import math
import tracemalloc

import pytest
import torch
from safetensors.torch import save_file

from prompttune_utils import hub
from prompttune_utils.data import load_task, majority, read_csv
from prompttune_utils.evaluation import score_rows
from prompttune_utils.methods.fine_tuning import HeadClassifier
from prompttune_utils.methods.prompt_oriented_fine_tuning import SoftPrompt
from prompttune_utils.methods.prompt_tuning import save_prompt, starting_vectors
from prompttune_utils.methods.templates_and_verbalizers import Template
from prompttune_utils.methods.your_own_task import (
    FEW,
    MANY,
    choose,
    correct,
    find_words,
    language_of,
    load,
    predict,
    save,
    split,
    start,
    train,
    tune,
)
from prompttune_utils.training import trainable

LABELS = ["very bad", "very good"]  # no tokens, and the same first word
HOSTILE = [
    "[MASK] [MASK] great",
    "字" * 5000,
    "\ud800\x00 ☃",
    "{soft:3} {mask} {text}",
    "a",
    "\u202e dog ﷽",
]


@pytest.fixture(scope="module")
def backbone():
    torch.set_num_threads(1)
    return hub.load_v1("masked_lm", verbose=False)


@pytest.fixture(scope="module")
def rows():
    pool = load_task("reviews-en").pool
    return [
        {"text": row["text"], "label": label}
        for label in (0, 1)
        for row in [row for row in pool if row["label"] == label][:40]
    ]


@pytest.fixture(scope="module")
def trained(backbone, rows):
    return train(
        rows,
        LABELS,
        backbone,
        "soft prompt",
        max_length=48,
        steps=4,
        learning_rate=0.03,
    )[0]


@pytest.fixture
def saved(trained, backbone, tmp_path):
    path = tmp_path / "mine.safetensors"
    save(path, trained, backbone)
    return path


def of(*sizes):
    """Rows with different texts, so many of each label."""
    return [
        {"text": f"{label} {i}", "label": label}
        for label, size in enumerate(sizes)
        for i in range(size)
    ]


@pytest.mark.parametrize(
    "size, method",
    [
        (3, "label words"),
        (FEW - 1, "label words"),
        (FEW, "soft prompt"),
        (MANY - 1, "soft prompt"),
        (MANY, "all weights"),
        (9999, "all weights"),
    ],
)
def test_the_rarest_label_chooses(size, method):
    advice = choose(of(size, 10_000, 20_000), ["rare", "b", "c"])
    assert advice.method == method and f"'rare', has {size} rows" in advice.why


def test_too_few_rows_are_named():
    with pytest.raises(
        ValueError,
        match="Row 12: its label 'goood' has 2 different texts and needs 3: "
        "correct its spelling, or add or drop rows",
    ):
        choose(of(11, 2), ["good", "goood"])
    with pytest.raises(ValueError, match="Row 5: its label 'b' has 1 different texts"):
        split([*of(4), *[{"text": "the same", "label": 1}] * 9], ["a", "b"])
    with pytest.raises(
        ValueError,
        match="No row has the label 'c': add rows, or leave it out of the labels",
    ):
        choose(of(9, 9), ["a", "b", "c"])


def test_split_is_stratified_seeded_and_apart():
    rows = of(50, 10, 3) * 2
    parts = split(rows, ["a", "b", "c"], seed=1)
    assert [
        [sum(row["label"] == label for row in part) for label in range(3)]
        for part in parts
    ] == [[30, 6, 1], [10, 2, 1], [10, 2, 1]]
    texts = [row["text"] for part in parts for row in part]
    assert len(set(texts)) == len(texts) == 63
    assert (
        split(rows, ["a", "b", "c"], seed=1)
        == parts
        != split(rows, ["a", "b", "c"], seed=2)
    )
    assert [row["label"] for row in parts[0]] != sorted(
        row["label"] for row in parts[0]
    )


def test_a_text_that_looks_the_same_is_not_on_two_sides():
    """Case, width, normal form, spaces and signs that nobody sees make no new text."""
    rows = of(10, 10)
    again = ["{} ", "\u3000{}", "{}\u200b"]
    rows += [row | {"text": form.format(row["text"])} for form in again for row in rows]
    rows += [
        {"text": text, "label": 0} for text in ("Ａ ÉPICE", "a épice", "A  e\u0301pice")
    ]
    parts = split(rows, ["a", "b"])
    texts = [row["text"] for part in parts for row in part]
    assert len(texts) == 21 and set(texts) < {row["text"] for row in rows}
    assert "Ａ ÉPICE" in texts  # the first stays
    assert choose(rows, ["a", "b"]).why.startswith("The rarest label, 'b', has 10 rows")


def test_one_text_with_two_labels_is_named():
    rows = of(5, 5) + [{"text": " 0  3", "label": 1}]
    for function in (choose, split):
        with pytest.raises(
            ValueError,
            match="Rows 4 and 11 have the same text, and the labels 'a' and 'b': "
            "correct one of them, or drop both",
        ):
            function(rows, ["a", "b"])


@pytest.mark.parametrize(
    "labels, sentence",
    [
        (["good", "Good"], "The labels 'good' and 'Good' differ in nothing but case"),
        (["好", "坏", "好 "], "The labels '好' and '好 ' differ in nothing but"),
        (["a", "b", "a"], "The labels 'a' and 'a' differ in nothing but"),
        (["a"], "The labels are .*: give a list of two or more names"),
        ("ab", "The labels are 'ab': give a list of two or more names"),
        ([0, 1], "The labels are .*: give a list of two or more names"),
    ],
)
def test_labels_that_cannot_be_told_apart(labels, sentence, backbone):
    for function in (choose, split, lambda *given: train(*given, backbone)):
        with pytest.raises(ValueError, match=sentence) as error:
            function(of(5, 5), labels)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "bad, sentence",
    [
        ({"text": "x", "label": -1}, "Row 11 has the label -1: give the place"),
        ({"text": "x", "label": 2}, "Row 11 has the label 2: .* among the 2 labels"),
        ({"text": "x", "label": "b"}, "Row 11 has the label 'b'"),
        ({"text": "x", "label": True}, "Row 11 has the label True"),
        ({"text": "x", "label": 1.0}, "Row 11 has the label 1.0"),
        ({"text": "x"}, "Row 11 has the label None"),
        ({"text": " \n", "label": 0}, "Row 11 has no text: write one, or drop"),
        ({"text": 3, "label": 0}, "Row 11 has no text"),
        ({"text": "x", "text_b": "y", "label": 0}, "Row 11 has a second text, text_b"),
        ("x", "Row 11 has no text"),
    ],
)
def test_a_row_that_is_none_is_named(bad, sentence, backbone):
    rows = [*of(5, 5), bad]
    for function in (choose, split, lambda *given: train(*given, backbone)):
        with pytest.raises(ValueError, match=sentence):
            function(rows, ["a", "b"])
    with pytest.raises(ValueError, match="The rows are a generator: give a list"):
        choose((row for row in rows), ["a", "b"])


def test_words_are_found_for_any_labels(backbone, rows):
    """Also for more labels than words could be combined for; no word twice; the pair of
    opinions is sensible."""
    template = Template("{text} It was {mask}.", backbone.tokenizer, 48)
    many = [f"very {i}" for i in range(20)]
    words = find_words(
        backbone,
        template,
        [row | {"label": i % 20} for i, row in enumerate(rows)],
        many,
    )
    flat = [word for label in many for word in words[label]]
    assert list(words) == many and len(flat) == len(set(flat)) == 200
    found = find_words(
        backbone, template, load_task("reviews-en").pool[:200], ["neg", "pos"], k=30
    )
    assert {"terrible", "awful", "bad", "worse"} & set(found["neg"]) and {
        "great",
        "excellent",
        "wonderful",
        "beautiful",
    } & set(found["pos"])


def test_language():
    assert (
        language_of([{"text": "这家店的 Wi Fi ok"}]) == "zh"
        and language_of([{"text": "A fine 酒店 shop"}]) == "en"
    )


def test_the_prior_is_that_of_even_labels_and_the_share_is_put_in(backbone, rows):
    """The mean over the labels' rows comes out, however many there are of each, and the
    label's share goes in."""
    uneven = rows[:40] + rows[40:50]
    prompt = start(
        uneven,
        LABELS,
        backbone,
        "{text} It was {mask}.",
        {"very bad": "bad", "very good": "good"},
        48,
    )
    scores = score_rows(uneven, prompt.scores)
    differences = (scores[:, 1] - scores[:, 0]).split([40, 10])
    assert sum(part.mean() for part in differences).item() / 2 == pytest.approx(
        torch.tensor(10 / 40).log().item(), abs=1e-4
    )


def test_training_beats_chance_on_rows_held_out_and_keeps_the_backbone(backbone):
    """Chinese opinions by the file's own report, and on the task's other rows; the
    backbone does not change."""
    task, before = load_task("reviews-zh"), hub.weights_hash(backbone.model)
    prompt, report = train(
        task.pool[:200], ["差评", "好评"], backbone, "label words", max_length=48
    )
    assert (
        report["majority"] < 0.6 < report["test"]
        and sum(report["rows"]) == 200
        and prompt.prompt().shape[0] == 0
    )
    assert correct(prompt, task.test[:100]) > 0.08 + majority(
        [row["label"] for row in task.test[:100]]
    )
    train(
        task.pool[:60],
        ["差评", "好评"],
        backbone,
        "all weights",
        max_length=48,
        steps=2,
    )
    assert hub.weights_hash(backbone.model) == before


@pytest.mark.parametrize("method", ["label words", "soft prompt", "all weights"])
def test_the_backbone_is_left_as_it_was(method, backbone, rows, tmp_path):
    """Also its gradients, its mode, and that all of it is free to train."""
    home = backbone.copy()
    home.model.train()
    before = hub.weights_hash(home.model)
    prompt, _ = train(rows, LABELS, home, method, max_length=48, steps=2)
    if method != "all weights":
        save(tmp_path / "p", prompt, home)
        load(tmp_path / "p", home).loss(rows[:4]).backward()
    weights = list(home.model.parameters())
    assert all(weight.requires_grad and weight.grad is None for weight in weights)
    assert home.model.training and hub.weights_hash(home.model) == before
    head = HeadClassifier(home, 2, max_length=48)
    assert trainable(head) == trainable(HeadClassifier(backbone.copy(), 2))


@pytest.mark.parametrize("method", ["label words", "soft prompt", "all weights"])
def test_dropout_is_on_only_where_weights_are_tuned(method, backbone, rows):
    """All minis have none; with some, answers do not depend on chance."""
    home, on = backbone.copy(), []
    for module in home.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3
    home.model.register_forward_pre_hook(lambda model, _: on.append(model.training))
    prompt, report = train(rows, LABELS, home, method, max_length=48, steps=3)
    assert sum(on) == (3 if method == "all weights" else 0) and not on[-1]
    first, again = (score_rows(rows, prompt.scores) for _ in range(2))
    assert torch.equal(first, again)
    assert train(rows, LABELS, home, method, max_length=48, steps=3)[1] == report


def test_training_that_harms_is_undone(backbone):
    """Trained on turned labels: right by the true ones before, so the vectors go back;
    judged by turned ones they stay."""
    pool = load_task("reviews-zh").pool[:80]
    turned = [row | {"label": 1 - row["label"]} for row in pool]
    for dev, undone in ((pool, True), (turned, False)):
        prompt = start(
            pool,
            ["差评", "好评"],
            backbone,
            "{text} {soft:3} 质量很{mask}。",
            {"差评": "差", "好评": "好"},
            48,
        )
        before, right = prompt.prompt().detach().clone(), correct(prompt, dev)
        tune(prompt, prompt.prompt, turned, dev, 0.1, 30, 0)
        assert (
            torch.equal(prompt.prompt(), before) == undone
            and (correct(prompt, dev) == right) == undone
        )


def test_training_without_bounds_is_undone_and_refused(backbone, rows):
    words = {"very bad": "bad", "very good": "good"}
    pattern = "{text} {soft:3} It was {mask}."
    prompt = start(rows, LABELS, backbone.frozen(), pattern, words, 48)
    before = prompt.prompt().detach().clone()
    with pytest.raises(
        ValueError, match="choose a smaller learning_rate|learning rate"
    ):
        tune(prompt, prompt.prompt, rows, rows[:8], 1e37, 3, 0)
    assert torch.equal(prompt.prompt(), before)


@pytest.mark.parametrize(
    "option, value",
    [
        ("seed", -1),
        ("seed", None),
        ("seed", 0.5),
        ("steps", -1),
        ("steps", 2.5),
        ("steps", True),
        ("max_length", 0),
        ("max_length", "48"),
        ("learning_rate", 0),
        ("learning_rate", -0.1),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("learning_rate", "0.003"),
    ],
)
def test_an_option_that_cannot_be_followed_is_named(option, value, backbone, rows):
    with pytest.raises(ValueError, match=f"{option} is {value!r}: give a ") as error:
        train(rows, LABELS, backbone, "soft prompt", **{option: value})
    assert "\n" not in str(error.value)


def test_no_steps_leave_the_prompt_as_it_starts(backbone, rows):
    prompt, report = train(
        rows, LABELS, backbone, "soft prompt", max_length=48, steps=0
    )
    start_of_it = starting_vectors(backbone, 3, "vocabulary", 0)
    assert torch.equal(prompt.prompt(), start_of_it)
    assert report["dev"] == report["dev untrained"]


def test_what_train_refuses(backbone, rows):
    with pytest.raises(
        ValueError,
        match="'magic' cannot train .*: "
        "choose one of label words, soft prompt, all weights",
    ):
        train(rows, LABELS, backbone, "magic")
    with pytest.raises(
        ValueError,
        match="'soft prompt' cannot train '{text} {mask}': .* "
        "with a slot such as {soft:3}",
    ):
        train(rows, LABELS, backbone, "soft prompt", pattern="{text} {mask}")
    with pytest.raises(
        ValueError,
        match="There are label words for very bad, and the labels are very bad, "
        "very good: give words for each label",
    ):
        train(rows, LABELS, backbone, "label words", words={"very bad": "bad"})
    with pytest.raises(ValueError, match="There are label words for no label"):
        train(rows, LABELS, backbone, "label words", words={})
    for pattern in ("{text} {text_b} {mask}", 3):
        with pytest.raises(
            ValueError, match="The template .* does not fit rows with one text: write"
        ):
            train(rows, LABELS, backbone, "label words", pattern=pattern)
    for method, pattern in (("", None), ("label words", "")):
        with pytest.raises(ValueError):  # and not the default in its place
            train(rows, LABELS, backbone, method, pattern=pattern)
    template = Template("{text} It was {mask}.", backbone.tokenizer)
    with pytest.raises(ValueError, match="whole words, .*: choose a smaller k"):
        find_words(backbone, template, rows, LABELS, k=100_000)
    with pytest.raises(ValueError, match="No row has the label 'very good'"):
        start(rows[:40], LABELS, backbone, "{text} It was {mask}.")
    with pytest.raises(
        ValueError, match="The label word 'very bad' of 'very bad' is not one token"
    ):
        train(
            rows,
            LABELS,
            backbone,
            "label words",
            words={label: label for label in LABELS},
        )


def test_saved_and_loaded_is_the_same_bit_by_bit(trained, backbone, saved, rows):
    again = load(saved, backbone)
    asked = rows + [{"text": text, "label": 0} for text in HOSTILE]
    assert (
        torch.equal(score_rows(asked, trained.scores), score_rows(asked, again.scores))
        and saved.stat().st_size < 5_000
    )
    assert (
        again.verbalizer.words == trained.verbalizer.words
        and again.template.max_length == 48
    )


@pytest.mark.parametrize(
    "labels", [['a "b", c', "a\n{mask}"], ["很好很好", "很好很坏"], ["", "\\"]]
)
def test_any_label_names_survive_the_file(labels, backbone, rows, tmp_path):
    prompt = start(
        rows,
        labels,
        backbone,
        "{text} It was {mask}.",
        {labels[1]: "good", labels[0]: "bad"},
        48,
    )
    save(tmp_path / "p", prompt, backbone)
    assert load(tmp_path / "p", backbone).verbalizer.words == {
        labels[0]: ["bad"],
        labels[1]: ["good"],
    }


@pytest.mark.parametrize(
    "damage",
    [
        "cut off",
        "empty",
        "one bit of a vector",
        "one letter of a word",
        "no safetensors",
    ],
)
def test_a_damaged_file_is_refused_in_one_sentence(damage, saved, backbone):
    content = saved.read_bytes()
    at = content.index(b"It was")
    saved.write_bytes(
        {
            "cut off": content[:-1],
            "empty": b"",
            "one bit of a vector": content[:-1] + bytes([content[-1] ^ 1]),
            "one letter of a word": content[:at] + b"It wos" + content[at + 6 :],
            "no safetensors": b"PK\x03\x04" + bytes(100),
        }[damage]
    )
    with pytest.raises(
        ValueError,
        match="mine.safetensors (is no complete safetensors file|was changed after it "
        "was saved).*: save the prompt again",
    ) as error:
        load(saved, backbone)
    assert "\n" not in str(error.value)


def test_a_prompt_is_kept_in_a_file_that_can_be_written(trained, backbone, tmp_path):
    for path in (tmp_path / "no" / "p", tmp_path):
        with pytest.raises(ValueError, match="cannot be written .*: give a file in an"):
            save(path, trained, backbone)
        with pytest.raises(
            ValueError, match="There is no file .*: give one that `save`"
        ):
            load(path, backbone)
    assert list(tmp_path.iterdir()) == []
    raw = SoftPrompt(backbone, trained.template, trained.verbalizer, trained.prompt)
    with pytest.raises(
        ValueError, match="has no prior: save one that `train` returned"
    ):
        save(tmp_path / "raw", raw, backbone)
    raw.prior = torch.zeros(1, 3)
    save(tmp_path / "raw", raw, backbone)
    with pytest.raises(ValueError, match="raw has 3 vectors and a prior of 3 labels"):
        load(tmp_path / "raw", backbone)


def test_half_precision_is_kept(backbone, rows, tmp_path):
    home = backbone.copy()
    home.model.bfloat16()
    prompt, _ = train(rows, LABELS, home, "soft prompt", max_length=48, steps=2)
    save(tmp_path / "p", prompt, home)
    again = load(tmp_path / "p", home)
    assert again.prompt().dtype == torch.bfloat16
    assert torch.equal(score_rows(rows, prompt.scores), score_rows(rows, again.scores))


def test_files_of_other_kinds_are_refused(backbone, tmp_path):
    save_file({"weight": torch.zeros(3)}, str(tmp_path / "other.safetensors"))
    save_prompt(tmp_path / "nine.safetensors", torch.zeros(2, 192), backbone)
    for name, lacks in (
        ("other", "backbone, checksum"),
        ("nine", "(checksum, )?max_length, pattern, prior, words:"),
    ):
        with pytest.raises(
            ValueError,
            match=f"{name}.safetensors holds no prompt of this kind, for it lacks "
            f"{lacks}.*give a file that `save` wrote",
        ):
            load(tmp_path / f"{name}.safetensors", backbone)


def test_another_backbone_is_refused(saved, backbone):
    other = copy.copy(backbone)
    other.name, other.model = "other-bert", type(backbone.model)(backbone.model.config)
    with pytest.raises(
        ValueError,
        match="mine.safetensors was trained for mini-bert .* and other-bert has the "
        "weights .*: load it with its own backbone",
    ):
        load(saved, other)


def test_a_tuned_model_is_kept_beside_its_prompt(backbone, rows, tmp_path):
    prompt, _ = train(rows, LABELS, backbone, "all weights", max_length=48, steps=2)
    with pytest.raises(
        ValueError,
        match="has not the weights of mini-bert, since all of them were tuned: "
        "keep it with prompt.model.save_pretrained",
    ):
        save(tmp_path / "p", prompt, backbone)
    prompt.model.save_pretrained(tmp_path / "model")
    backbone.tokenizer.save_pretrained(tmp_path / "model")
    home = hub.load("masked_lm", name=str(tmp_path / "model"), verbose=False)
    save(tmp_path / "p", prompt, home)
    assert torch.equal(
        score_rows(rows, prompt.scores),
        score_rows(rows, load(tmp_path / "p", home).scores),
    )


def test_the_stream_keeps_its_order_and_is_read_as_far_as_needed(trained, rows):
    texts = [row["text"] for row in rows] + HOSTILE
    taken = []

    def stream():
        for number in range(10_000):
            taken.append(number)
            yield {"t": texts[number % len(texts)]}

    answers = predict(trained, stream(), text="t", batch_size=2)
    first = [next(answers) for _ in range(100)]
    assert len(taken) <= 100 + 16 * 2  # at most sixteen batches of 2 in memory
    alone = score_rows([{"text": text} for text in texts], trained.scores).softmax(-1)
    for (label, probability), expected in zip(first, [*alone, *alone], strict=False):
        assert (
            label == LABELS[expected.argmax()] or abs(expected[0] - expected[1]) < 1e-3
        )
        assert probability == pytest.approx(expected.max().item(), abs=1e-3)
    assert list(predict(trained, [])) == []


def test_a_stream_does_not_grow(trained):
    rows = ({"text": "fine", "note": f"{number:>100000}"} for number in range(400))
    tracemalloc.start()
    list(predict(trained, rows, batch_size=1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6  # the rows together are 40 MB


@pytest.mark.parametrize("bad", [{"t": ""}, {"t": " \n"}, {"t": None}, {}, {"t": 3.5}])
def test_a_row_without_text_is_named(bad, trained):
    with pytest.raises(
        ValueError,
        match="Row 3 of the stream has no text in the column 't': "
        "name another column with text=, or leave the row out",
    ):
        list(predict(trained, [{"t": "a"}, {"t": "b"}, bad], text="t"))


def test_rows_before_a_fault_are_answered(trained):
    """A fault of a row, and one of the source, in the first block of rows and later."""

    def broken():
        yield from [{"text": "fine"}] * 40
        raise OSError("the source has gone")

    for stream, kind in (
        ([{"text": "fine"}] * 40 + [{"text": ""}], ValueError),
        (broken(), OSError),
    ):
        answers = predict(trained, stream, batch_size=2)
        assert len([next(answers) for _ in range(40)]) == 40
        with pytest.raises(kind):
            next(answers)


@pytest.mark.parametrize("size", [0, -1, 2.0, None, True])
def test_the_batch_size_is_refused_at_the_call(size, trained):
    with pytest.raises(
        ValueError, match="batch_size is .*: give a whole number from 1"
    ):
        predict(trained, [{"text": "fine"}], batch_size=size)


@pytest.mark.parametrize("header", ["comment", '"comment"'])
def test_a_byte_order_mark_in_a_stream_is_named(header, trained, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text(f"\ufeff{header},id\nfine,1\n", encoding="utf-8")
    with (
        open(path, encoding="utf-8", newline="") as file,
        pytest.raises(
            ValueError,
            match="begins with a byte-order mark: open the file with encoding='utf-8-",
        ),
    ):
        list(predict(trained, csv.DictReader(file), text="comment"))
    with open(path, encoding="utf-8-sig", newline="") as file:
        assert len(list(predict(trained, csv.DictReader(file), text="comment"))) == 1


def test_from_a_csv_to_an_answer(backbone, rows, tmp_path):
    path = tmp_path / "yours.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["comment", "verdict"])
        writer.writerows([row["text"], LABELS[row["label"]]] for row in rows)
    read, labels = read_csv(path, text="comment", label="verdict")
    assert labels == LABELS and choose(read, labels).method == "soft prompt"
    prompt, report = train(
        read, labels, backbone, choose(read, labels).method, max_length=48, steps=2
    )
    save(tmp_path / "p", prompt, backbone)
    answers = list(predict(load(tmp_path / "p", backbone), read))
    assert {label for label, _ in answers} == set(LABELS) and report["rows"] == [
        48,
        16,
        16,
    ]
