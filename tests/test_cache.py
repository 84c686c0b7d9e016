"""Recorded results: what makes one stale, what does not, and that none is lost."""

import json
import linecache
import re
import subprocess
import sys
import textwrap
import time
import types

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient

import prompttune_utils
from prompttune_utils import cache, data, hub
from prompttune_utils import identity as identity_module
from prompttune_utils.cache import Cache, Stale, pack, unpack
from prompttune_utils.identity import Walk
from prompttune_utils.results import NotRecorded

HELPER = '''
"""Words of the module."""

SCALE = 2
UNUSED = 5


def twice(x):
    """Doubles."""
    # a comment
    if x < 0:
        raise ValueError("x is negative: give another.")
    return SCALE * x


class Base:
    rate = 0.5

    def loss(self, x):
        return x * self.rate


class Child(Base):
    @property
    def more(self):
        return 1
'''
CHAPTER = '''
from dataclasses import dataclass
from prompttune_utils import toy_helper
from prompttune_utils.toy_helper import Child

STEPS, NAMES = 3, {"en": ("a", ["b"]), "zh": ("差", [])}
RAN = []


@dataclass(frozen=True)
class Setting:
    width: int = 4


SETTING = Setting()


def train_once(name, shots=16, *, seed):
    """Trains."""
    ran(name, seed)
    value = toy_helper.twice(STEPS) + Child().loss(shots) + Child().more
    return [value + seed, len(NAMES[name][0]) + SETTING.width]


def ran(name, seed):
    from builtins import print
    print("ran", name, seed)
'''


class Toy:
    """A chapter and a module that it uses, written into a folder, loaded as modules of
    the course, and edited."""

    def __init__(self, folder):
        self.folder = folder
        self.texts = {"toy_helper": HELPER, "toy_chapter": CHAPTER}

    def edit(self, old: str, new: str, module: str = "toy_chapter") -> None:
        assert self.texts[module].count(old) == 1
        self.texts[module] = self.texts[module].replace(old, new)

    def load(self):
        for name, text in self.texts.items():
            file = self.folder / f"{name}.py"
            file.write_text(text, encoding="utf-8")
            identity_module._codes.pop(str(file), None)
            linecache.checkcache(str(file))
            module = types.ModuleType(f"prompttune_utils.{name}")
            module.__file__ = str(file)
            sys.modules[module.__name__] = module
            setattr(prompttune_utils, name, module)
            exec(compile(text, str(file), "exec"), vars(module))
        return module


@pytest.fixture
def toy(tmp_path, monkeypatch):
    for name in ("toy_helper", "toy_chapter"):
        monkeypatch.setitem(sys.modules, f"prompttune_utils.{name}", None)
        monkeypatch.setattr(prompttune_utils, name, None, raising=False)
    # the same code is in another test's file
    monkeypatch.setattr(identity_module, "_sources", {})
    return Toy(tmp_path)


@pytest.fixture
def record(monkeypatch):
    """A function that records with PROMPTTUNE_RECORD=1 and leaves it unset."""

    def recorded(folder, run, *arguments, **named):
        monkeypatch.setenv("PROMPTTUNE_RECORD", "1")
        try:
            return Cache("99", folder=folder).get(run, *arguments, **named)
        finally:
            monkeypatch.delenv("PROMPTTUNE_RECORD")

    return recorded


def entries(folder):
    return json.loads((folder / "99.cache.json").read_text(encoding="utf-8"))


def test_a_result_is_run_once(toy, record, tmp_path, capsys):
    run = toy.load().train_once
    with pytest.raises(
        NotRecorded,
        match=r"^99.cache.json holds no result of toy_chapter.train_once\(name='en', "
        r"seed=0\): run `make results`.$",
    ):
        Cache("99", folder=tmp_path).get(run, "en", seed=0)
    first = record(tmp_path, run, "en", seed=0)
    assert first == [15.0, 5] and capsys.readouterr().out == "ran en 0\n"
    kept = Cache("99", folder=tmp_path)
    assert kept.get(run, name="en", seed=0) == first and kept.unused() == []
    assert capsys.readouterr().out == ""
    [entry] = entries(tmp_path)["entries"]
    assert entry["run"] == "toy_chapter.train_once"
    assert entry["arguments"] == {"name": "en", "seed": 0}
    assert entry["versions"]["torch"] == torch.__version__
    components = entries(tmp_path)["identities"][entry["identity"]]
    assert {"def toy_helper.twice", "value toy_helper.SCALE"} <= components.keys()
    assert "value toy_helper.UNUSED" not in components


def test_another_chapter_reads_a_result(toy, record, tmp_path):
    run = toy.load().train_once
    first = record(tmp_path, run, "en", shots=8, seed=0)
    kept, name = Cache("99", folder=tmp_path), "toy_chapter.train_once"
    assert kept.read(name, seeds=[0], name="en", shots=8) == [first]
    for wrong in ({"shots": 16}, {}, {"shots": 8, "seeds": [0, 1]}):
        with pytest.raises(
            NotRecorded,
            match=r"^99.cache.json holds no results of toy_chapter.train_once\("
            r"name='en',.* seed=[01]\): run `make results`.$",
        ):
            kept.read(name, **{"seeds": [0], "name": "en"} | wrong)


CHANGES = {
    "its body": ("+ seed", "+ 1 + seed", "toy_chapter", "`toy_chapter.train_once` was"),
    "a default": ("shots=16", "shots=17", "toy_chapter", r"`.*train_once\(shots=\)`"),
    "a constant": ("STEPS, NAMES = 3", "STEPS, NAMES = 4", "toy_chapter", "STEPS`"),
    "a nested one": ('["b"]', '["c"]', "toy_chapter", "reads another `.*NAMES`"),
    "a setting": ("Setting()", "Setting(5)", "toy_chapter", "another `.*SETTING`"),
    "a helper": ("SCALE * x", "x * SCALE", "toy_helper", "`toy_helper.twice`, which"),
    "its constant": ("SCALE = 2", "SCALE = 3", "toy_helper", "another `.*SCALE`"),
    "its condition": ("if x < 0", "if x < -1", "toy_helper", "`toy_helper.twice`"),
    "a class": ("rate = 0.5", "rate = 0.6", "toy_helper", "another `.*Base.rate`"),
    "a base": ("x * self.rate", "self.rate * x", "toy_helper", "`toy_helper.Base.los"),
    "a property": ("return 1", "return 2", "toy_helper", "`toy_helper.Child.more`"),
    "a local import": ("from builtins", "from math", "toy_chapter", "`.*ran`"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_makes_a_result_stale(change, toy, record, tmp_path):
    old, new, module, said = CHANGES[change]
    record(tmp_path, toy.load().train_once, "en", seed=0)
    toy.edit(old, new, module)
    run = toy.load().train_once
    with pytest.raises(Stale, match=said) as error:
        Cache("99", folder=tmp_path).get(run, "en", seed=0)
    sentence = str(error.value)
    assert sentence.endswith(": run `make results`.") and "\n" not in sentence


@pytest.mark.parametrize(
    "old, new, module",
    [
        ("Doubles", "Gives twice as much", "toy_helper"),
        ("a comment", "another comment\n\n    # and a line", "toy_helper"),
        ("x is negative", "x must not be below 0", "toy_helper"),
        ("def twice(x):", "def twice(x: float) -> float:", "toy_helper"),
        ("Words of", "Other words of\n\n", "toy_helper"),
        ("UNUSED = 5", "UNUSED = 6", "toy_helper"),
        ("return SCALE * x", "return (SCALE  *  x)", "toy_helper"),
        ("Trains", "Trains\n\n    at length", "toy_chapter"),
    ],
)
def test_what_leaves_it_good(old, new, module, toy, record, tmp_path):
    first = record(tmp_path, toy.load().train_once, "en", seed=0)
    toy.edit(old, new, module)
    run = toy.load().train_once
    assert Cache("99", folder=tmp_path).get(run, "en", seed=0) == first


def written(tmp_path, text: str, **names):
    """The function `run` of a text, as a cell of a notebook has it."""
    file = str(tmp_path / "cell_1")
    source = textwrap.dedent(text)
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    space = {"__name__": "__main__", **names}
    exec(compile(source, file, "exec"), space)
    return space["run"]


def test_weights_and_rows_are_read_by_content(tmp_path, record):
    backbone = hub.load("encoder", name="mini-bert-s", verbose=False)
    task = data.load_task("reviews-en")
    rows, array = task.test[:3], np.arange(6.0).reshape(2, 3)
    text = """
        def run(seed):
            return backbone.name, len(task.test), rows[0]["label"], float(array.sum())
        """
    names = {"backbone": backbone, "task": task, "rows": rows, "array": array}
    run = written(tmp_path, text, **names)
    record(tmp_path, run, 0)

    def stale(said):
        with pytest.raises(Stale, match=said):
            Cache("99", folder=tmp_path).get(run, 0)

    assert Cache("99", folder=tmp_path).get(run, 0)[0] == backbone.name
    weight = next(backbone.model.parameters())
    with torch.no_grad():
        weight[0, 0] += 1
    stale("`run` reads other weights of `backbone` than when it was recorded")
    with torch.no_grad():
        weight[0, 0] -= 1
    kept = weight.data.clone()
    weight.data.normal_()  # without a new version
    stale("other weights of `backbone`")
    weight.data.copy_(kept)
    assert Cache("99", folder=tmp_path).get(run, 0)
    label = task.test[1]["label"]
    task.test[1]["label"] = 1 - label
    stale("other rows in `rows` than .* [(]and 1 more[)]")
    task.test[1]["label"] = label
    array.shape = (3, 2)
    stale("another `array`")
    array.shape = (2, 3)
    backbone.learning_rate *= 2
    stale("other weights of `backbone`")


def test_a_run_that_changes_what_it_reads_is_refused(tmp_path, record):
    text = """
        seen = []
        def run(seed):
            seen.append(seed)
            return len(seen)
        """
    run = written(tmp_path, text)
    with pytest.raises(ValueError, match="`run` changes what it reads.*`seen`.*a copy"):
        record(tmp_path, run, 0)
    assert not (tmp_path / "99.cache.json").exists()


def test_cycles_and_kept_functions_end(tmp_path):
    text = """
        import functools
        class Node:
            def next(self):
                return other(Node)
        node = Node()
        node.me, node.all = node, []
        node.all.append(node.all)
        @functools.cache
        def run(seed=node):
            return other(seed) + len(node.all)
        def other(x):
            return run(x) if x else Node
        """
    found = Walk(written(tmp_path, text)).components
    assert {"def run", "def other", "class Node", "def Node.next"} <= found.keys()
    assert found == Walk(written(tmp_path, text)).components


@pytest.mark.parametrize(
    "text, said",
    [
        ("run = lambda seed: seed", "source of `<lambda>` cannot be read: write it"),
        ("f = lambda x: x\ndef run(seed): return f(seed)", "`<lambda>` cannot be read"),
        (
            "import threading\nx = threading.Lock()\ndef run(seed): return x",
            "`run` reads `x`, and what is in a _thread.lock cannot be told: make it "
            "inside the function, or give",
        ),
        ("from math import sqrt as run", "`math.sqrt` is no function of the course"),
    ],
)
def test_what_has_no_identity(text, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        Walk(written(tmp_path, text))
    with pytest.raises(ValueError, match="source of `run` cannot be read: write it w"):
        space = {"__name__": "__main__"}
        exec("def run(): pass", space)
        Walk(space["run"])


def test_a_file_that_was_edited_after_it_was_loaded(toy, tmp_path):
    run = toy.load().train_once
    file = tmp_path / "toy_helper.py"
    file.write_text(HELPER.replace("SCALE * x", "SCALE + x"), encoding="utf-8")
    with pytest.raises(
        ValueError, match="toy_helper.py was edited after `toy_helper.t"
    ):
        Walk(run)


# witnesses


def test_what_a_run_loads_itself(tmp_path, record, monkeypatch):
    mirror = tmp_path / "mirror"
    folder = mirror / "SetFit" / "sst2"
    folder.mkdir(parents=True)
    for split in ("train", "test", "validation"):
        (folder / f"{split}.jsonl").write_text('{"text": "a", "label": 0}\n')
    monkeypatch.setenv("PROMPTTUNE_MIRROR", str(mirror))
    text = """
        from prompttune_utils import data, hub
        def run(seed):
            backbone = hub.load("encoder", name="mini-bert-s", verbose=False)
            tasks = data.load_task("sst2"), data.load_task("news-en")
            return [len(task.test) for task in tasks]
        """
    run = written(tmp_path, text)
    value = record(tmp_path, run, 0)
    [entry] = entries(tmp_path)["entries"]
    assert {
        "asset:mini-bert-s",
        "asset:news-en/pool.jsonl",
        "mirror:SetFit/sst2/test.jsonl",
    } <= entry["witnesses"].keys()
    kept = Cache("99", folder=tmp_path)
    assert kept.get(run, 0) == value
    (folder / "test.jsonl").write_text('{"text": "ab", "label": 0}\n')
    with pytest.raises(
        Stale,
        match="another content of SetFit/sst2/test.jsonl than the mirror has now: run",
    ):
        kept.get(run, 0)
    monkeypatch.delenv("PROMPTTUNE_MIRROR")  # absent: nothing to compare with
    assert kept.get(run, 0) == value
    entry["witnesses"]["asset:mini-bert-s"] = "0123456789"
    text = json.dumps(entries(tmp_path) | {"entries": [entry]})
    (tmp_path / "99.cache.json").write_text(text)
    with pytest.raises(Stale, match="of mini-bert-s than the asset has now"):
        Cache("99", folder=tmp_path).get(run, 0)
    with pytest.raises(Stale, match="of mini-bert-s than the asset has now: run `make"):
        Cache("99", folder=tmp_path).read("run", seeds=[0])
    assert kept.outdated() == []
    assert Cache("99", folder=tmp_path).outdated() == ["run(seed=0)"]


def test_what_an_earlier_call_loaded_for_this_one(tmp_path, record):
    text = """
        import functools
        from prompttune_utils import data
        @functools.cache
        def task():
            return data.load_task("news-en")
        def run(seed):
            return len(task().test)
        """
    run = written(tmp_path, text)
    record(tmp_path, run, 0)
    record(tmp_path, run, 1)
    both = [entry["witnesses"] for entry in entries(tmp_path)["entries"]]
    assert all("asset:news-en/test.jsonl" in witnesses for witnesses in both)


# recording


def test_a_kill_between_two_calls_loses_one(toy, tmp_path, monkeypatch, capsys):
    toy.edit('print("ran", name, seed)', "if seed == 2: raise KeyboardInterrupt")
    run = toy.load().train_once
    monkeypatch.setenv("PROMPTTUNE_RECORD", "1")
    with pytest.raises(KeyboardInterrupt):
        Cache("99", folder=tmp_path).per_seed(run, "en")
    assert len(entries(tmp_path)["entries"]) == 2
    assert [f.name for f in tmp_path.glob("99*")] == ["99.cache.json"]


def test_processes_record_different_chapters(tmp_path, toy, monkeypatch):
    run = toy.load().train_once
    monkeypatch.setenv("PROMPTTUNE_RECORD", "1")
    one, other = Cache("1", folder=tmp_path), Cache("2", folder=tmp_path)
    one.get(run, "en", seed=0), other.get(run, "en", seed=1), one.get(run, "zh", seed=0)
    for name, count in (("1", 2), ("2", 1)):
        text = (tmp_path / f"{name}.cache.json").read_text(encoding="utf-8")
        assert len(re.findall(r'^\{.*"arguments"', text, re.M)) == count


def test_json_is_what_comes_back(tmp_path, record):
    text = """
        def run(pair, seed):
            return {"pair": pair, 1: (True, None)}
        """
    run = written(tmp_path, text)
    first = record(tmp_path, run, ("a", "b"), seed=0)
    assert first == {"pair": ["a", "b"], "1": [True, None]}
    kept = Cache("99", folder=tmp_path)
    assert kept.get(run, ["a", "b"], 0) == kept.get(run, seed=0, pair=("a", "b"))
    kept.get(run, ["a", "b"], 0)["pair"].append("c")
    assert kept.get(run, ["a", "b"], 0) == first
    with pytest.raises(ValueError, match="An argument of `run` cannot be kept as JSON"):
        kept.get(run, {1, 2}, 0)
    with pytest.raises(ValueError, match="`run` cannot be called so .*: give the argu"):
        kept.get(run, 0)
    other = written(tmp_path, "def run(seed):\n    return {seed}")
    with pytest.raises(ValueError, match=r"The result of run\(seed=0\) cannot be kept"):
        record(tmp_path, other, 0)


@pytest.mark.parametrize("word", ["yes", "2", "true"])
def test_another_word_for_recording(word, toy, tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTTUNE_RECORD", word)
    with pytest.raises(ValueError, match=f"PROMPTTUNE_RECORD is '{word}': set it to 1"):
        Cache("99", folder=tmp_path).get(toy.load().train_once, "en", seed=0)


def test_at_the_full_scale_it_is_always_run(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTTUNE_SCALE", "full")
    monkeypatch.chdir(tmp_path)
    kept = Cache("99")
    assert kept.get(toy.load().train_once, "en", seed=0) == [15.0, 5]
    assert (tmp_path / "results-full" / "99.cache.json").exists()
    toy.edit("+ seed", "+ 1 + seed")
    assert kept.get(toy.load().train_once, "en", seed=0) == [16.0, 5]


def test_results_of_another_scale_are_only_read(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTTUNE_RECORD", "1")
    with pytest.raises(NotRecorded, match="run `make real`"):
        Cache("99", "real", tmp_path).get(toy.load().train_once, "en", seed=0)
    with pytest.raises(ValueError, match="The scale is 'large': use one of mini, real"):
        Cache("99", "large")


def test_one_call_with_two_values_of_a_constant(tmp_path, monkeypatch):
    """A chapter may change what its function reads and ask again."""
    text = "STEPS = 3\ndef run(seed):\n    return STEPS"
    run = written(tmp_path, text)
    for record in ("1", "0"):
        monkeypatch.setenv("PROMPTTUNE_RECORD", record)
        kept = Cache("99", folder=tmp_path)
        for steps in (3, 4):
            run.__globals__["STEPS"] = steps
            assert kept.get(run, 0) == steps
    assert kept.unused() == []
    assert Cache("99", folder=tmp_path).unused() == ["run(seed=0)"] * 2


def recorded_seeds(toy, tmp_path, monkeypatch, capsys, seeds=range(6)):
    """Records some seeds: their values, and which were run."""
    run = toy.load().train_once
    with monkeypatch.context() as patched:
        patched.setenv("PROMPTTUNE_RECORD", "1")
        values = Cache("99", folder=tmp_path).per_seed(run, "en", seeds=seeds)
    out = capsys.readouterr().out
    return values, re.findall(r"ran en (\d)", out), out


def test_a_refactoring_is_checked_on_two_calls(toy, tmp_path, monkeypatch, capsys):
    first, ran, _ = recorded_seeds(toy, tmp_path, monkeypatch, capsys)
    assert len(ran) == 6
    toy.edit("return SCALE * x", "both = SCALE * x\n    return both", "toy_helper")
    again, ran, out = recorded_seeds(toy, tmp_path, monkeypatch, capsys)
    assert again == first and len(ran) == 2
    assert "2 results are the same after the edit, 4 others are kept." in out
    stamped = [e.get("restamped", False) for e in entries(tmp_path)["entries"]]
    assert sum(stamped) == 4 and len(entries(tmp_path)["identities"]) == 1
    assert recorded_seeds(toy, tmp_path, monkeypatch, capsys)[1] == []


def test_an_edit_that_changes_numbers_runs_all(toy, tmp_path, monkeypatch, capsys):
    recorded_seeds(toy, tmp_path, monkeypatch, capsys)
    toy.edit("+ seed,", "+ seed + 1e-3,")
    values, ran, out = recorded_seeds(toy, tmp_path, monkeypatch, capsys)
    assert sorted(ran) == list("012345") and [v[0] for v in values][0] == 15.001
    assert "2 results are not the same after the edit, 4 others are run." in out
    toy.edit("STEPS, NAMES = 3", "STEPS, NAMES = 4")  # no refactoring
    assert len(recorded_seeds(toy, tmp_path, monkeypatch, capsys)[1]) == 6


def test_each_method_stands_for_itself_after_an_edit():
    group = [
        {"run": "r", "arguments": {"m": m, "seed": s}, "cpu_seconds": c + s}
        for m, c in (("a", 1), ("b", 30))
        for s in range(5)
    ]
    chosen = [tuple(e["arguments"].values()) for e in cache.probes(group[::-1])]
    assert chosen == [("a", 0), ("a", 1), ("b", 0)]


def test_packed_rows():
    for count in (0, 1, 7, 8, 9, 200):
        hits = np.random.default_rng(count).random(count) < 0.5
        assert unpack(json.loads(json.dumps(pack(hits)))).tolist() == hits.tolist()
    assert pack(torch.tensor([1.0, 0.0, 1.0])) == "3:a0"
    for wrong in ([0.5], [[True]], [2]):
        with pytest.raises(ValueError, match="more than one row|no True and False"):
            pack(wrong)
    for wrong in ("", "3", "9:a0", "x:a0"):
        with pytest.raises(ValueError, match="is no packed row: give what `pack`"):
            unpack(wrong)


def test_asking_is_quick(tmp_path, record):
    """A chapter asks hundreds of times."""
    text = """
        from prompttune_utils import training, evaluation, data
        def run(seed):
            few = data.few_shot, evaluation.score_rows
            if seed > 99:
                training.fit(backbone.model, task.pool, None)
            return 1
        """
    backbone = hub.load("masked_lm", verbose=False)
    task = data.load_task("reviews-en")
    run = written(tmp_path, text, backbone=backbone, task=task)
    record(tmp_path, run, 0)
    kept = Cache("99", folder=tmp_path)
    kept.get(run, 0)
    seconds = []
    for _ in range(20):
        before = time.process_time()
        kept.get(run, 0)
        seconds.append(time.process_time() - before)
    assert min(seconds) < 0.02  # the best, for the machine may be busy
    assert "def data.few_shot" in Walk(run).components


HELPERS = """
STEPS = 3
def helper(x):
    return STEPS * x


class Net:
    rate = 1

    def go(self, x):
        return helper(x)"""
ASK = """
from prompttune_utils.cache import Cache
def run(seed):
    return Net().go(seed)


try:
    print(Cache("99", folder=".").per_seed(run, seeds=range(3)))
except LookupError as error:
    print(error)"""


def test_functions_of_a_notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(hub.ASSETS.parent.parent))
    helpers = {
        HELPERS: "[0, 3, 6]",
        HELPERS.replace("return helper", "# why\n        return helper"): "[0, 3, 6]",
        HELPERS.replace("STEPS = 3", "STEPS = 4"): "`run` reads another `STEPS` than",
        HELPERS.replace("STEPS *", "STEPS +"): "`helper`, which `run` uses, was edited",
        HELPERS.replace("rate = 1", "rate = 2"): "`run` reads another `Net.rate`",
    }
    record = "import os\nos.environ['PROMPTTUNE_RECORD'] = "
    cells = [record + "'1'", HELPERS, ASK, record + "'0'"]
    for text in helpers:
        cells += [text, ASK]
    node = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(node, kernel_name="python3", resources=resources).execute()
    shown = [cell.outputs[0].text for cell in node.cells if cell.outputs]
    for said, text in zip(["[0, 3, 6]", *helpers.values()], shown, strict=True):
        assert said in text


def test_an_identity_is_the_same_in_every_process(tmp_path):
    """Whatever the order of sets and the places in memory are."""
    (tmp_path / "chapter.py").write_text(
        "from prompttune_utils import data, evaluation, identity\n"
        "WORDS = {'a', 'b', 'c', 'd', data.Task}\n"
        "def run(seed):\n    return evaluation.score_rows, data.few_shot, WORDS\n"
        "print(identity.Walk(run).components)\n"
    )
    said = [
        subprocess.run(
            [sys.executable, "chapter.py"],
            cwd=tmp_path,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(hub.ASSETS.parent.parent)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1] and "def evaluation.score_rows" in said[0]
