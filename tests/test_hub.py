"""Where models come from: the order of the places, what each failure says, and the
packaged minis."""

import json
import os
import shutil
import subprocess
import sys
import traceback

import pytest
import torch
import transformers
from safetensors.torch import load, save

from prompttune_utils import hub
from tests.tiny import BART, DECODER, ENCODER, GPT2, T5


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    """No mirror, an empty working folder; the hub stays switched off unless a test
    opens it."""
    monkeypatch.delenv("PROMPTTUNE_MIRROR", raising=False)
    monkeypatch.chdir(tmp_path)


def place(folder, file="config.json"):
    folder.mkdir(parents=True)
    (folder / file).write_text("{}")
    return folder


@pytest.fixture
def copied(tmp_path):
    """A copy of mini-bert, to damage."""
    return shutil.copytree(hub.ASSETS / "mini-bert", tmp_path / "copied")


def test_order_of_places(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "ASSETS", tmp_path / "assets")
    monkeypatch.setenv("PROMPTTUNE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    name = "someone/model"
    assert hub.resolve(name).kind == "hub"
    for kind, folder in (
        ("mirror", tmp_path / "mirror" / name),
        ("asset", tmp_path / "assets" / name),
        ("path", tmp_path / name),
    ):
        place(folder)
        found = hub.resolve(name)
        assert found.kind == kind and (tmp_path / found.location).samefile(folder)
    assert str(found).startswith("someone/model: folder ")


def test_folder_without_the_wanted_file_does_not_count(monkeypatch, tmp_path):
    place(tmp_path / "someone" / "data", "notes.txt")
    monkeypatch.setenv("PROMPTTUNE_MIRROR", str(tmp_path / "mirror"))
    place(tmp_path / "mirror" / "someone" / "data", "train.jsonl.gz")
    assert hub.resolve("someone/data", "*.jsonl*").kind == "mirror"
    with pytest.raises(
        hub.NotFound, match=r"someone/data \(which has no config.json\)"
    ):
        hub.resolve("someone/data")


def test_name_that_is_nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("PROMPTTUNE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with pytest.raises(hub.NotFound) as error:
        hub.load("masked_lm", name="mini-brt")
    said = str(error.value)
    assert (
        said.startswith("'mini-brt' was not found in mini-brt, ")
        and str(tmp_path / "mirror" / "mini-brt") in said
    )
    assert (
        f"give a folder, a packaged name ({', '.join(hub.packaged())})" in said
        and "set PROMPTTUNE_MIRROR" in said
    )
    assert "switched off" not in said and "\n" not in said


@pytest.mark.parametrize("word", ["1", "true", "ON", "Yes"])
def test_offline(monkeypatch, word):
    monkeypatch.setenv("HF_HUB_OFFLINE", word)
    with pytest.raises(
        hub.NotFound,
        match="someone/model.*nor in the hub's cache, and the hub is switched off by "
        "HF_HUB_OFFLINE.*set PROMPTTUNE_MIRROR",
    ):
        hub.load("masked_lm", name="someone/model")


def test_hub_without_a_network(monkeypatch):
    """The network goes after the hub has answered; tests/test_robustness.py has it gone
    from the start."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(hub, "reachable", lambda: True)

    def fail(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", fail)
    with pytest.raises(
        hub.NotFound,
        match=r"'someone/model' could not be fetched from the hub \(OSError\): check "
        "the network, or set PROMPTTUNE_MIRROR",
    ):
        hub.load("masked_lm", name="someone/model")


WEIGHTS, QUERY = "model.safetensors", "bert.encoder.layer.2.attention.self.query.weight"


def more_tokens(folder, number):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"new{i}" for i in range(number)])
    tokenizer.save_pretrained(folder)


def edited(change):
    """Damage that changes the tensors, name -> tensor, of a model folder."""

    def damage(folder):
        tensors = load((folder / WEIGHTS).read_bytes())
        (folder / WEIGHTS).write_bytes(save(change(tensors), {"format": "pt"}))

    return damage


def cut(size):
    return lambda folder: (folder / WEIGHTS).write_bytes(
        (folder / WEIGHTS).read_bytes()[:size]
    )


def config(**changed):
    return lambda folder: (folder / "config.json").write_text(
        json.dumps(json.loads((folder / "config.json").read_text()) | changed)
    )


def one_number(value):
    """Damage that puts one such number into a tensor of the third layer."""

    def change(tensors):
        tensors[QUERY][0, 0] = value
        return tensors

    return edited(change)


UNREADABLE, LACKS, UNPLACED, NO_NUMBERS = (
    r"cannot be loaded as masked_lm \(.+\)",
    r"lack {} tensors of a masked_lm, or have them in another shape \(.+\)",
    r"have {} tensors in layers that its config.json does not describe \({}\)",
    rf"hold NaN or infinite numbers \({QUERY}\)",
)
ALL = 92  # tensors of mini-bert
ADAPTER = "bert.encoder.layer.2.output.adapter.down.weight"
DAMAGES = {
    "empty": (cut(0), UNREADABLE),
    "a few bytes": (cut(5), UNREADABLE),
    "cut early": (cut(10_000), UNREADABLE),
    "cut late": (cut(-100), UNREADABLE),
    "random bytes": (
        lambda folder: (folder / WEIGHTS).write_bytes(os.urandom(100_000)),
        UNREADABLE,
    ),
    "a text in its place": (
        lambda folder: (folder / WEIGHTS).write_text(
            "version https://git-lfs.github.com/spec/v1\n"
        ),
        UNREADABLE,
    ),
    "gone": (lambda folder: (folder / WEIGHTS).unlink(), UNREADABLE),
    "of a causal model": (
        lambda folder: shutil.copy(hub.ASSETS / "mini-gpt" / WEIGHTS, folder),
        LACKS.format(ALL),
    ),
    "of a seq2seq model": (
        lambda folder: shutil.copy(hub.ASSETS / "mini-t5" / WEIGHTS, folder),
        LACKS.format(ALL),
    ),
    "a tensor missing": (
        edited(lambda tensors: {k: v for k, v in tensors.items() if k != QUERY}),
        LACKS.format(1),
    ),
    "no head": (
        edited(
            lambda tensors: {
                k: v for k, v in tensors.items() if not k.startswith("cls.")
            }
        ),
        LACKS.format(r"\d"),
    ),
    "other names": (
        edited(lambda tensors: {f"x.{k}": v for k, v in tensors.items()}),
        LACKS.format(ALL),
    ),
    "another shape": (
        edited(lambda tensors: tensors | {QUERY: tensors[QUERY][:-1].contiguous()}),
        LACKS.format(1),
    ),
    "more layers wanted": (config(num_hidden_layers=7), LACKS.format(32)),
    "fewer layers wanted": (
        config(num_hidden_layers=3),
        UNPLACED.format(32, r"bert.encoder.layer.3.\S+"),
    ),
    "an adapter in a layer": (
        edited(lambda tensors: tensors | {ADAPTER: torch.zeros(2, 2)}),
        UNPLACED.format(1, ADAPTER),
    ),
    "NaN": (one_number(float("nan")), NO_NUMBERS),
    "infinite": (one_number(float("-inf")), NO_NUMBERS),
    "a longer tokenizer": (
        lambda folder: more_tokens(folder, 9),
        r"has a tokenizer of \d+ tokens and embeddings for \d+",
    ),
    "another vocabulary wanted": (config(vocab_size=9), LACKS.format(r"\d")),
    "no JSON": (lambda folder: (folder / "config.json").write_text("{"), UNREADABLE),
    "no tokenizer": (
        lambda folder: [f.unlink() for f in folder.glob("tokenizer*")],
        "has no tokenizer",
    ),
    "a broken tokenizer": (
        lambda folder: (folder / "tokenizer.json").write_bytes(os.urandom(1000)),
        UNREADABLE,
    ),
}


@pytest.mark.parametrize("damage, message", DAMAGES.values(), ids=DAMAGES)
def test_damaged_or_foreign_weights_are_refused_in_a_sentence(
    copied, capfd, damage, message
):
    """transformers itself only warns of missing tensors, and starts them at random."""
    damage(copied)
    with pytest.raises(
        ValueError,
        match=rf"copied' in \S+copied {message}: fetch or build the folder again",
    ) as error:
        hub.load("masked_lm", name=str(copied))
    assert (
        "\n" not in str(error.value)
        and "".join(traceback.format_exception(error.value)).count("Traceback") == 1
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["pytorch_model.bin", WEIGHTS])
def test_pickles_are_refused(copied, name):
    """A pickle runs code when it is read; this one would leave a file."""
    (copied / WEIGHTS).unlink()
    torch.save({"ran": Pickled(str(copied / "ran"))}, copied / name)
    with pytest.raises(
        ValueError, match="cannot be loaded as masked_lm .*(safetensors|Safetensor)"
    ):
        hub.load("masked_lm", name=str(copied))
    assert not (copied / "ran").exists()


class Pickled:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_code_of_a_model_folder_is_not_run(copied):
    (copied / "own.py").write_text("raise SystemExit('this code was run')")
    config = json.loads((copied / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.Config", "AutoModelForMaskedLM": "own.Model"},
    }
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="cannot be loaded as masked_lm"):
        hub.load("masked_lm", name=str(copied))


def with_tokenizer(folder, model, mini="mini-bert"):
    """Saves a tiny model beside the tokenizer of a mini."""
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(hub.ASSETS / mini / file, folder)
    return str(folder)


@pytest.mark.parametrize(
    "name, role, problem",
    [
        ("mini-t5", "masked_lm", "ValueError: Unrecognized configuration class.+"),
        ("mini-bert", "seq2seq_lm", "ValueError: Unrecognized configuration class.+"),
        ("mini-gpt", "masked_lm", "ValueError: Unrecognized configuration class.+"),
        (
            "mini-bert",
            "causal_lm",
            "its positions see later tokens, as those of an encoder do",
        ),
    ],
)
def test_model_of_another_kind(name, role, problem):
    with pytest.raises(
        ValueError, match=rf"'{name}' in \S+ cannot be loaded as {role} \({problem}\): "
    ) as error:
        hub.load(role, name=name)
    assert "\n" not in str(error.value) and "[transformers]" not in str(error.value)


@pytest.mark.parametrize(
    "name, role, changed, problem",
    [
        (
            "mini-bert",
            "masked_lm",
            {"is_decoder": True},
            "its positions do not see later tokens, as those of a decoder",
        ),
        (
            "mini-t5",
            "seq2seq_lm",
            {"is_encoder_decoder": False},
            "its config.json says that it is no encoder-decoder",
        ),
        (
            "mini-t5",
            "seq2seq_lm",
            {"decoder_start_token_id": None},
            "its config.json has no decoder_start_token_id",
        ),
    ],
)
def test_config_that_turns_a_model_into_another(tmp_path, name, role, changed, problem):
    folder = shutil.copytree(hub.ASSETS / name, tmp_path / "changed")
    config(**changed)(folder)
    with pytest.raises(
        ValueError,
        match=rf"loaded as {role} \({problem}\): choose a model made for this",
    ):
        hub.load(role, name=str(folder))


@torch.no_grad()
def test_bert_that_was_made_a_decoder_is_a_causal_model(tmp_path):
    """What is refused is that later tokens are seen, and no name of a class."""
    vocabulary = len(hub.load("masked_lm", verbose=False).tokenizer)
    settings = ENCODER | {"vocab_size": vocabulary, "is_decoder": True}
    bert = transformers.BertLMHeadModel(transformers.BertConfig(**settings))
    folder = with_tokenizer(tmp_path / "decoder", bert)
    model = hub.load("causal_lm", name=folder, verbose=False).model
    ids = torch.tensor([[7, 8, 9, 10]])
    changed = torch.tensor([[7, 8, 9, 99]])
    torch.testing.assert_close(model(ids).logits[:, :3], model(changed).logits[:, :3])


def test_weights_of_other_tasks_in_the_file_are_no_damage(tmp_path):
    """The files of BERT hold its pooler and its head for next sentences, too."""
    mini = hub.load("masked_lm", verbose=False).model
    bert = transformers.BertForPreTraining(mini.config)
    bert.load_state_dict(mini.state_dict(), strict=False)
    folder = with_tokenizer(tmp_path / "pretraining", bert)
    assert "cls.seq_relationship.weight" in load(
        (tmp_path / "pretraining" / WEIGHTS).read_bytes()
    )
    loaded = hub.load("masked_lm", name=folder, verbose=False).model
    assert hub.weights_hash(loaded) == hub.weights_hash(mini)


def test_masks_in_old_files_are_no_damage(tmp_path):
    """GPT-Neo's file keeps the causal mask of each layer."""
    vocabulary = len(hub.load("causal_lm", verbose=False).tokenizer)
    settings = transformers.GPTNeoConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        num_layers=2,
        attention_types=[[["global"], 2]],
        num_heads=2,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = transformers.GPTNeoForCausalLM(settings)
    folder = with_tokenizer(tmp_path / "old", model, "mini-gpt")
    mask = {"transformer.h.0.attn.attention.bias": torch.ones(1, 1, 4, 4).tril()}
    edited(lambda tensors: tensors | mask)(tmp_path / "old")
    loaded = hub.load("causal_lm", name=folder, verbose=False).model
    assert hub.weights_hash(loaded) == hub.weights_hash(model)


def test_layers_are_missed_in_a_file_without_the_prefix_too(tmp_path):
    """GPT-2's own file says h.0., its language model transformer.h.0."""
    vocabulary = len(hub.load("causal_lm", verbose=False).tokenizer)
    settings = GPT2 | {"vocab_size": vocabulary, "n_layer": 3}
    bare = transformers.GPT2Model(transformers.GPT2Config(**settings))
    folder = with_tokenizer(tmp_path / "bare", bare, "mini-gpt")
    assert (
        len(hub.load("causal_lm", name=folder, verbose=False).model.transformer.h) == 3
    )
    config(n_layer=2)(tmp_path / "bare")
    with pytest.raises(ValueError, match=r"not describe \(h\.2\.attn\S+\): fetch"):
        hub.load("causal_lm", name=folder)


def without_marks(folder, *marks):
    """Takes special tokens out of a tokenizer's settings."""
    file = folder / "tokenizer_config.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in kept.items() if k not in marks}))


def test_tokenizer_without_a_pad_token_pads_with_the_end_of_text(tmp_path):
    """As GPT-2's; what is padded is masked, so the token that pads changes nothing."""
    folder = shutil.copytree(hub.ASSETS / "mini-gpt", tmp_path / "gpt")
    without_marks(folder, "pad_token")
    tokenizer = hub.load("causal_lm", name=str(folder), verbose=False).tokenizer
    assert tokenizer.pad_token == tokenizer.eos_token is not None
    batch = tokenizer(["a", "a longer text"], padding=True)
    assert len({len(mask) for mask in batch["attention_mask"]}) == 1
    without_marks(folder, "pad_token", "eos_token")
    with pytest.raises(
        ValueError, match="neither a pad token nor an end of text: name"
    ):
        hub.load("causal_lm", name=str(folder))


@pytest.fixture
def cached(monkeypatch, tmp_path):
    """The hub's cache on this machine, with mini-bert in it as someone/model."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = tmp_path / "models--someone--model"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("a" * 40)
    return shutil.copytree(hub.ASSETS / "mini-bert", model / "snapshots" / ("a" * 40))


def test_offline_finds_what_the_hub_left_in_its_cache(cached, monkeypatch):
    code = (
        "from prompttune_utils import hub\n"
        "backbone = hub.load('masked_lm', name='someone/model')\n"
        "print(hub.weights_hash(backbone.model))"
    )
    given = os.environ | {"HF_HUB_CACHE": str(cached.parents[2]), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=given, capture_output=True, text=True
    )
    mini = hub.load("masked_lm", name="mini-bert", verbose=False)
    mini = hub.weights_hash(mini.model)
    assert done.stdout == f"someone/model: Hugging Face hub\n{mini}\n", done.stderr


def test_offline_cache_that_lacks_the_model(cached):
    assert hub.resolve("someone/model").kind == "hub"
    for name in ("someone/other", "no/name/of/the/hub", "someone/with space"):
        with pytest.raises(hub.NotFound, match="nor in the hub's cache"):
            hub.resolve(name)
    with pytest.raises(hub.NotFound):  # a model is no data set
        hub.resolve("someone/model", "*.jsonl*")
    (cached / "config.json").unlink()
    with pytest.raises(hub.NotFound):
        hub.resolve("someone/model")


def test_offline_finds_a_data_set_in_the_cache(cached):
    data = cached.parents[2] / "datasets--someone--data"
    (data / "refs").mkdir(parents=True)
    (data / "refs" / "main").write_text("b" * 40)
    (data / "snapshots" / ("b" * 40)).mkdir(parents=True)
    assert hub.resolve("someone/data", "*.jsonl*").kind == "hub"
    with pytest.raises(hub.NotFound):
        hub.resolve("someone/data")


def test_packaged_model_needs_no_home():
    """HOME cannot be written, as in some containers and labs."""
    code = "from prompttune_utils import hub; hub.load('masked_lm')"
    others = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_"))}
    given = others | {"HOME": "/proc/nope", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=given, capture_output=True, text=True
    )
    said = (done.returncode, done.stdout, done.stderr)
    assert said == (0, "mini-bert: packaged with the course\n", "")


def test_unknown_role_and_scale(monkeypatch):
    with pytest.raises(
        ValueError,
        match="There is no 'speech' at scale 'mini': choose one of masked_lm",
    ):
        hub.load("speech")
    with pytest.raises(
        ValueError,
        match="no masked_lm for the language 'fr' at scale 'mini': choose one of en",
    ):
        hub.load("masked_lm", "fr")
    with pytest.raises(hub.NotFound, match="'' was not found"):
        hub.load("masked_lm", name="")
    monkeypatch.setenv("PROMPTTUNE_SCALE", "huge")
    with pytest.raises(
        ValueError,
        match="PROMPTTUNE_SCALE is 'huge': set it to one of mini, real, full",
    ):
        hub.load("masked_lm")


def test_scale_chooses_the_model(monkeypatch):
    monkeypatch.setenv("PROMPTTUNE_SCALE", "full")
    with pytest.raises(
        hub.NotFound, match="'google-bert/bert-base-chinese' was not found"
    ):
        hub.load("masked_lm", "zh")


def test_hash_of_weights_sees_every_change():
    model = torch.nn.Linear(3, 2)
    before = hub.weights_hash(model)
    assert hub.weights_hash(model) == before and len(before) == 16
    with torch.no_grad():
        model.bias[1] = torch.nextafter(model.bias[1], torch.tensor(9.0))
    assert hub.weights_hash(model) != before


def test_hash_of_weights_of_any_type():
    """NumPy has no bfloat16; results are kept by the hash of float32."""
    model = torch.nn.Linear(2, 1)
    model.register_buffer("steps", torch.tensor(3))
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -2.0]]))
        model.bias.fill_(0.5)
    assert hub.weights_hash(model) == "5f0f0dc703919dfc"
    before = hub.weights_hash(model.bfloat16())
    assert hub.weights_hash(model) == before
    with torch.no_grad():
        model.weight[0, 1] = -2.015625  # the number beside -2 in bfloat16
    assert hub.weights_hash(model) != before


def test_packaged_names():
    assert {"mini-bert", "reviews-en", "reviews-zh"} <= set(
        hub.packaged()
    ) and "results" not in hub.packaged()


@pytest.mark.parametrize("name", hub.packaged())
def test_asset_is_small_and_has_a_card(name):
    assert sum(f.stat().st_size for f in (hub.ASSETS / name).iterdir()) <= 18e6
    card = hub.ASSETS / name / "README.md"
    assert card.exists() and len(card.read_text(encoding="utf-8")) > 300, (
        f"{name} has no card: write {card}"
    )


def test_mini_bert_loads(capsys):
    backbone = hub.load("masked_lm")
    assert capsys.readouterr().out == "mini-bert: packaged with the course\n"
    assert (
        backbone.place.kind == "asset"
        and backbone.device == "cpu"
        and not backbone.model.training
    )
    assert backbone.model.num_parameters() <= 9_000_000
    assert {p.dtype for p in backbone.model.parameters()} == {torch.float32}
    assert len(backbone.tokenizer) == backbone.model.config.vocab_size
    assert (
        backbone.tokenizer.model_max_length
        <= backbone.model.config.max_position_embeddings
    )
    assert (
        backbone.tokenizer("It was [MASK].", "很好")["token_type_ids"]
        == [0] * 6 + [1] * 3
    )


ROBERTA = ENCODER | {"pad_token_id": 1, "bos_token_id": 0}


@pytest.mark.parametrize(
    "architecture, settings, limit",
    [
        ("BertForMaskedLM", ENCODER | {"max_position_embeddings": 20}, 20),
        ("RobertaForMaskedLM", ROBERTA | {"max_position_embeddings": 20}, 18),
        ("MPNetForMaskedLM", ROBERTA | {"max_position_embeddings": 20}, 18),
        ("GPT2LMHeadModel", GPT2 | {"n_positions": 20}, 20),
        ("BartForConditionalGeneration", BART | {"max_position_embeddings": 20}, 20),
    ],
)
@torch.no_grad()
def test_position_limit_is_what_the_model_can_read(architecture, settings, limit):
    """RoBERTa's first positions serve no token, BART's table has two rows more."""
    model_class = getattr(transformers, architecture)
    model = model_class(model_class.config_class(**settings)).eval()
    assert hub.position_limit(model) == limit

    def read(length):
        inputs = {"input_ids": torch.full((1, length), 5)}
        if model.config.is_encoder_decoder:
            inputs["decoder_input_ids"] = torch.tensor([[2]])
        model(**inputs)

    read(limit)
    with pytest.raises((IndexError, RuntimeError)):
        read(limit + 1)


def test_position_limit_of_models_that_have_none_or_a_trained_one():
    t5 = transformers.T5Config(**T5, n_positions=20)  # as the file of t5-base says
    bloom = transformers.BloomConfig(vocab_size=60, hidden_size=16, n_layer=1, n_head=2)
    qwen = transformers.Qwen2Config(**DECODER, max_position_embeddings=20)
    assert hub.position_limit(transformers.T5ForConditionalGeneration(t5)) is None
    assert hub.position_limit(transformers.BloomForCausalLM(bloom)) is None
    assert hub.position_limit(transformers.Qwen2ForCausalLM(qwen)) == 20


BACKBONES = {
    "bert": ("BertForMaskedLM", ENCODER),
    "gpt": ("GPT2LMHeadModel", GPT2),
    "t5": ("T5ForConditionalGeneration", T5),
    "bart, which has buffers": ("BartForConditionalGeneration", BART),
}


@pytest.fixture(params=BACKBONES.values(), ids=BACKBONES)
def tiny(request):
    """A backbone of two layers; all of these tie their output matrix."""
    architecture, settings = request.param
    model_class = getattr(transformers, architecture)
    torch.manual_seed(0)
    model = model_class(model_class.config_class(**settings)).eval()
    found = hub.Place("tiny", "path", "tiny")
    return hub.Backbone("tiny", model, None, 1e-3, found, "cpu")


def logits_of(model):
    inputs = {"input_ids": torch.tensor([[5, 6, 7]])}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = torch.tensor([[0, 8]])
    return model(**inputs).logits


def memory(model):
    return {name: tensor.data_ptr() for name, tensor in model.named_parameters()}


def tied(model):
    return model.get_output_embeddings().weight is model.get_input_embeddings().weight


def train_a_step(model):
    """One step over everything that is free; gives the names of what has changed."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    logits_of(model).logsumexp(-1).sum().backward()
    optimizer.step()
    return {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}


def test_frozen_shares_its_weights_and_is_not_trained(tiny):
    frozen = tiny.frozen()
    assert memory(frozen.model) == memory(tiny.model)
    assert tied(frozen.model) and tied(tiny.model)
    assert not any(p.requires_grad for p in frozen.model.parameters())
    assert all(p.requires_grad for p in tiny.model.parameters())
    torch.testing.assert_close(logits_of(frozen.model), logits_of(tiny.model))


@torch.no_grad()
def test_frozen_sees_the_weights_that_its_original_gets(tiny):
    frozen, before = tiny.frozen(), logits_of(tiny.model)
    for p in tiny.model.parameters():
        p.add_(torch.randn_like(p))
    after = logits_of(frozen.model)
    assert not torch.allclose(after, before)
    torch.testing.assert_close(after, logits_of(tiny.model))


def test_frozen_shares_nothing_but_the_weights(tiny):
    """Mode, attention, buffers and hooks of the one are not those of the other."""
    frozen = tiny.frozen()
    frozen.model.train()
    frozen.model.set_attn_implementation("eager")
    frozen.model.config.output_hidden_states = True
    frozen.model.get_output_embeddings().register_forward_hook(lambda *_: 1 / 0)
    for buffer in frozen.model.buffers():
        buffer.zero_()
    assert not any(module.training for module in tiny.model.modules())
    assert tiny.model.config.output_hidden_states is False
    attention = {
        module.config._attn_implementation
        for module in tiny.model.modules()
        if hasattr(module, "config")
    }
    assert attention == {"sdpa"}
    again = tiny.frozen().model
    torch.testing.assert_close(logits_of(tiny.model), logits_of(again))


def test_copy_trains_all_its_weights_whatever_was_frozen_before(tiny):
    """A prompt on the frozen backbone must not turn later fine-tuning into a head
    alone, be it of the backbone itself or of what was frozen."""
    frozen = tiny.frozen()
    before = hub.weights_hash(tiny.model)
    for source in (tiny, frozen):
        copied = source.copy()
        assert tied(copied.model) and not copied.model.training
        assert not set(memory(copied.model).values()) & set(memory(tiny.model).values())
        assert train_a_step(copied.model) == set(memory(copied.model))
    assert hub.weights_hash(tiny.model) == hub.weights_hash(frozen.model) == before
    assert not any(p.requires_grad for p in frozen.model.parameters())
