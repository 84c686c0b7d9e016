"""Where models come from: the order of the places, what each failure says, and the packaged minis."""

import json
import os
import shutil
import traceback

import pytest
import torch
import transformers
from safetensors.torch import load, save

from prompttune_utils import hub


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    """No mirror, an empty working folder; the hub stays switched off unless a test opens it."""
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
        match="someone/model.*the hub is switched off by HF_HUB_OFFLINE.*set PROMPTTUNE_MIRROR",
    ):
        hub.load("masked_lm", name="someone/model")


def test_hub_without_a_network(monkeypatch):
    """The network goes after the hub has answered; tests/test_robustness.py has it gone from the start."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(hub, "reachable", lambda: True)

    def fail(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", fail)
    with pytest.raises(
        hub.NotFound,
        match=r"'someone/model' could not be fetched from the hub \(OSError\): check the network, or set PROMPTTUNE_MIRROR",
    ):
        hub.load("masked_lm", name="someone/model")


WEIGHTS, QUERY = "model.safetensors", "bert.encoder.layer.2.attention.self.query.weight"


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


UNREADABLE, LACKS = (
    r"cannot be loaded as masked_lm \(.+\)",
    r"lack {} tensors of a masked_lm, or have them in another shape \(.+\)",
)
ALL = 76  # tensors of mini-bert
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
    "more layers wanted": (config(num_hidden_layers=6), LACKS.format(32)),
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
    """transformers itself only warns of missing tensors, and starts them anew at random."""
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


def test_model_of_another_kind(tmp_path):
    config = transformers.T5Config(
        vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(hub.ASSETS / "mini-bert" / file, tmp_path / "t5")
    with pytest.raises(ValueError, match="cannot be loaded as masked_lm"):
        hub.load("masked_lm", name=str(tmp_path / "t5"))


def test_unknown_role_and_scale(monkeypatch):
    with pytest.raises(
        ValueError,
        match="There is no 'speech' at scale 'mini': choose one of masked_lm",
    ):
        hub.load("speech")
    monkeypatch.setenv("PROMPTTUNE_SCALE", "huge")
    with pytest.raises(
        ValueError, match="PROMPTTUNE_SCALE is 'huge': set it to one of mini, full"
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


def test_packaged_names():
    assert {"mini-bert", "reviews-en", "reviews-zh"} <= set(
        hub.packaged()
    ) and "results" not in hub.packaged()


@pytest.mark.parametrize("name", hub.packaged())
def test_asset_is_small_and_has_a_card(name):
    assert sum(f.stat().st_size for f in (hub.ASSETS / name).iterdir()) <= 12e6
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
    assert backbone.model.num_parameters() <= 5_000_000
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


def test_assets_fit_the_wheel():
    assert sum(f.stat().st_size for f in hub.ASSETS.rglob("*") if f.is_file()) <= 40e6


SMALL = dict(
    vocab_size=60,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
)
T5 = dict(
    vocab_size=60,
    d_model=16,
    d_kv=8,
    d_ff=16,
    num_layers=1,
    num_heads=2,
    decoder_start_token_id=0,
)
BART = dict(
    vocab_size=60,
    d_model=16,
    encoder_layers=1,
    decoder_layers=1,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=16,
    decoder_ffn_dim=16,
    decoder_start_token_id=2,
    bos_token_id=0,
    eos_token_id=2,
)


@pytest.mark.parametrize(
    "architecture, settings, limit",
    [
        ("BertForMaskedLM", SMALL | {"max_position_embeddings": 20}, 20),
        ("RobertaForMaskedLM", SMALL | {"max_position_embeddings": 20}, 18),
        ("MPNetForMaskedLM", SMALL | {"max_position_embeddings": 20}, 18),
        (
            "GPT2LMHeadModel",
            {"vocab_size": 60, "n_embd": 16, "n_layer": 1, "n_head": 2}
            | {"n_positions": 20, "bos_token_id": 0, "eos_token_id": 0},
            20,
        ),
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
    qwen = transformers.Qwen2Config(
        **SMALL, num_key_value_heads=2, max_position_embeddings=20
    )
    assert hub.position_limit(transformers.T5ForConditionalGeneration(t5)) is None
    assert hub.position_limit(transformers.BloomForCausalLM(bloom)) is None
    assert hub.position_limit(transformers.Qwen2ForCausalLM(qwen)) == 20
