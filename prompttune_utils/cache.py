"""Results that are too long for a live chapter: run once by the chapter's own code, and
kept with everything that decides them.

    cache = Cache("01_four_paradigms")
    hits = cache.per_seed(run, "reviews-en", 16)  # run("reviews-en", 16, seed=0), ...

Normally the kept value comes back. With PROMPTTUNE_RECORD=1 (`make results`) what is
missing or stale is run and kept, call by call, so that an interrupted recording goes on
where it stopped. At the full scale nothing is shipped: what is missing is always run,
and kept in `results-full/` beside the notebook.

A kept value is good as long as its call has the same **identity**: the source of the
function and of all the course's code that it can reach, and the values that this code
reads: constants, rows, weights. Comments, docstrings, annotations and errors are no
part of it. The code of `hub` and the readers of `data` are not looked into; instead the
**witnesses** of a call, the files that its run loaded, must be what they were, where
they are at hand. Other packages count by name, and their version stands beside the
value.
"""

import contextlib
import hashlib
import inspect
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from prompttune_utils import data, hub
from prompttune_utils.identity import Walk, short, weights_of
from prompttune_utils.results import FOLDERS, RECORDED_BY, NotRecorded, recording


class Stale(LookupError):
    """A kept result was made by other code, values, weights or data than now."""


def pack(hits) -> str:
    """A row of yes and no as text, for JSON: the number of rows and hexadecimal digits.

    >>> pack([True, False, True, True])
    '4:b0'
    """
    hits = np.asarray(hits)
    if hits.ndim != 1 or not np.isin(hits, (0, 1)).all():
        raise ValueError(
            f"There is more than one row of True and False in {hits.shape}: give one."
        )
    return f"{len(hits)}:{np.packbits(hits.astype(bool)).tobytes().hex()}"


def unpack(text: str) -> np.ndarray:
    """What `pack` was given, as booleans of shape (rows,)."""
    found = re.fullmatch(r"(\d+):((?:[0-9a-f]{2})*)", text)
    if not found or len(found[2]) != 2 * ((int(found[1]) + 7) // 8):
        raise ValueError(f"{text[:40]!r} is no packed row: give what `pack` returned.")
    bits = np.frombuffer(bytes.fromhex(found[2]), dtype=np.uint8)
    return np.unpackbits(bits, count=int(found[1])).astype(bool)


# ---- witnesses


def witness_hash(witness: str) -> str | None:
    """The hash of a model's weights or of a data file, `kind:name`; None where it is
    not at hand."""
    kind, _, name = witness.partition(":")
    place = hub.places(name).get(kind)
    if place is None:
        return None
    if place.is_dir():
        files = sorted(place.glob("*.safetensors"))
        if kind == "asset":
            files += sorted(place.glob("tokenizer.json"))
    else:
        files = [place, place.with_name(place.name + ".gz")]
        files = [file for file in files if file.is_file()][:1]
    return short(" ".join(map(file_hash, files))) if files else None


def changed_witness(entry: dict) -> str | None:
    """The first witness of an entry that is at hand and is another now."""
    for witness, kept in entry["witnesses"].items():
        if witness_hash(witness) not in (None, kept):
            return witness
    return None


_files: dict[tuple, str] = {}


def file_hash(file: Path) -> str:
    """The hash of a file's content, unpacked; read once as long as it is the same."""
    about = file.stat()
    key = str(file.resolve()), about.st_mtime_ns, about.st_size
    if key not in _files:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            # of the weights alone: a file's head depends on who wrote it
            _files[key] = weights_of(load_file(file))
        else:
            _files[key] = hashlib.sha256(data._bytes_of(file)).hexdigest()
    return _files[key]


# ---- what is kept


class Cache:
    """The kept results of one chapter, in `<chapter>.cache.json`.

    Args:
        chapter: the notebook's name without ending.
        scale: whose results; the scale that is set, when None. Those of another scale
            are only read.
        folder: another folder than that of the scale.
    """

    def __init__(
        self, chapter: str, scale: str | None = None, folder: Path | None = None
    ):
        self.scale = scale or hub.scale()
        if self.scale not in FOLDERS:
            raise ValueError(
                f"The scale is {scale!r}: use one of {', '.join(FOLDERS)}."
            )
        self.chapter = chapter
        self.path = Path(folder or FOLDERS[self.scale]) / f"{chapter}.cache.json"
        self.identities: dict[str, dict[str, str]] = {}
        self.entries: dict[tuple[str, str], dict] = {}  # by call and identity
        if self.path.exists():
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            self.identities = kept["identities"]
            for entry in kept["entries"]:
                self.entries[call_key(entry), entry["identity"]] = entry
        self.calls: dict[str, list[str]] = {}  # call -> identities of its entries
        for call, key in self.entries:
            self.calls.setdefault(call, []).append(key)
        self.asked: set[tuple[str, str]] = set()

    def get(self, run: Callable, *arguments, **named):
        """What `run(*arguments, **named)` gives, as JSON gives it back (a tuple comes
        back as a list).

        Args:
            run: a function of the chapter or the course. It seeds what it draws, and
                changes nothing that it reads.
            arguments, named: its arguments, of JSON's kinds.

        Raises:
            NotRecorded, Stale: there is no such result, or it was made by other code,
                values, weights or data, and this is no recording.
            ValueError: the call has no identity, or no result that can be kept.
        """
        return self._get(run, Walk(run), arguments, named)

    def per_seed(
        self, run: Callable, *arguments, seeds: Iterable[int] = range(5), **named
    ) -> list:
        """What `run(*arguments, **named, seed=s)` gives for each seed, as in `get`."""
        walk = Walk(run)
        return [self._get(run, walk, arguments, named | {"seed": s}) for s in seeds]

    def read(self, run: str, seeds: Iterable[int] = range(5), **arguments) -> list:
        """What another chapter has kept of its function `run`, a value for each seed.
        That chapter answers for its code; weights and data are looked at here too.

        Args:
            run: the name of the function.
            arguments: all that it was given, the seed apart, by their names.

        Raises:
            NotRecorded, Stale: there is no such result, or not one alone, or it was
                made with other weights or data.
        """
        mend = self._mend("run that chapter first.")
        values = []
        for seed in seeds:
            given = as_json(arguments | {"seed": seed}, f"An argument of `{run}`")
            new = {"run": run, "arguments": given}
            call = call_key(new)
            kept = [self.entries[call, key] for key in self.calls.get(call, [])]
            if len(kept) != 1:
                raise NotRecorded(
                    f"{self.path.name} holds {len(kept) or 'no'} results of "
                    f"{told(new)}: {mend}"
                )
            witness = changed_witness(kept[0])
            if witness:
                raise self._other_content(new, witness, mend)
            values.append(given_back(kept[0]))
        return values

    def unused(self) -> list[str]:
        """The kept calls that nobody has asked for since this cache was opened."""
        return [
            told(entry) for key, entry in self.entries.items() if key not in self.asked
        ]

    def outdated(self) -> list[str]:
        """The kept calls whose witnesses, where they are at hand, are others now."""
        return [
            told(entry) for entry in self.entries.values() if changed_witness(entry)
        ]

    def _get(self, run, walk: Walk, arguments: tuple, named: dict):
        new = {"run": walk.run, "arguments": bound(run, walk.run, arguments, named)}
        call, key = call_key(new), identity_key(walk.components)
        entry = self.entries.get((call, key))
        problem = self._problem(new, call, entry, walk)
        if problem:
            records = recording() or self.scale not in RECORDED_BY
            if not records or self.scale != hub.scale():
                raise problem
            if entry is None and isinstance(problem, Stale):
                entry = self._restamped(run, walk, call, key)
            else:
                entry = None
            if entry is None:
                entry = self._run(run, walk, new, lambda: run(*arguments, **named))
        self.asked.add((call, key))
        return given_back(entry)

    def _problem(self, new: dict, call: str, entry: dict | None, walk: Walk):
        """The error that says why there is no good result of this call, or None."""
        mend = self._mend("set PROMPTTUNE_SCALE to full.")
        if entry is not None:
            witness = changed_witness(entry)
            if witness is None:
                return None
            return self._other_content(new, witness, mend)
        others = self.calls.get(call)
        if not others:
            return NotRecorded(
                f"{self.path.name} holds no result of {told(new)}: {mend}"
            )
        old = self.identities[others[0]]
        return Stale(
            f"{self.path.name} holds {told(new)} as it was: "
            f"{what_changed(walk.run, old, walk.components)}: {mend}"
        )

    def _mend(self, otherwise: str) -> str:
        """What records this scale's results; `otherwise`, where none are shipped."""
        known = self.scale in RECORDED_BY
        return f"run `{RECORDED_BY[self.scale]}`." if known else otherwise

    def _other_content(self, new: dict, witness: str, mend: str) -> Stale:
        kind, _, name = witness.partition(":")
        return Stale(
            f"{self.path.name} holds {told(new)} with another content of {name} than "
            f"the {kind} has now: {mend}"
        )

    def _run(self, run, walk: Walk, new: dict, call: Callable[[], object]) -> dict:
        """Runs a call and keeps it."""
        begun, before = len(hub.LOADED), time.process_time()
        value = call()
        seconds = time.process_time() - before
        after = Walk(run).components
        if after != walk.components:
            raise ValueError(
                f"`{walk.run}` changes what it reads, so that no second run would be "
                f"like the first ({what_changed(walk.run, walk.components, after)}): "
                "let it work on a copy."
            )
        # where functions keep what they loaded, an earlier call may have loaded it
        loaded = hub.LOADED if walk.keeps_results else hub.LOADED[begun:]
        found = {name: witness_hash(name) for name in sorted(set(loaded))}
        entry = new | {
            "value": as_json(value, f"The result of {told(new)}"),
            "identity": identity_key(walk.components),
            "witnesses": {name: kept for name, kept in found.items() if kept},
            "cpu_seconds": round(seconds, 2),
            "versions": {p: version(p) for p in ("torch", "transformers")}
            | {"python": platform.python_version()},
        }
        self._keep(entry, walk)
        self._save()
        return entry

    def _keep(self, entry: dict, walk: Walk) -> None:
        """Puts an entry where its call had one; but a chapter may ask for one call
        twice, with another value of what it reads in between."""
        call, key = call_key(entry), entry["identity"]
        for other in self.calls.get(call, []):
            if (call, other) not in self.asked:
                del self.entries[call, other]
        self.entries[call, key] = entry
        self.calls[call] = [k for c, k in self.entries if c == call]
        self.identities[key] = dict(sorted(walk.components.items()))

    def _restamped(self, run, walk: Walk, call: str, key: str) -> dict | None:
        """After a refactoring: the entry of this call, where other calls of the
        function, run again, give what was kept; None where it has to be run.

        Only where the source alone changed.
        """
        old = self.calls[call][0]
        before, after = self.identities[old], walk.components
        changed = [n for n in before.keys() & after.keys() if before[n] != after[n]]
        if any(not name.startswith(("def ", "class ")) for name in changed):
            return None
        group = [
            entry
            for (_, identity), entry in self.entries.items()
            if identity == old and entry["run"] == walk.run
        ]
        chosen = probes(group)
        others = [entry for entry in group if entry not in chosen]
        if not others:
            return None
        same = True
        for entry in chosen:
            new = {name: entry[name] for name in ("run", "arguments")}
            try:
                again = self._run(run, walk, new, lambda new=new: rerun(run, new))
            except Exception:  # it comes again where this call is asked for
                same = False
                break
            same = same and is_close(entry["value"], again["value"])
        if same:
            for entry in others:
                self._keep(entry | {"identity": key, "restamped": True}, walk)
            self._save()
        say(
            f"{walk.run}: {len(chosen)} results are {'' if same else 'not '}the same "
            f"after the edit, {len(others)} others are {'kept' if same else 'run'}."
        )
        return self.entries.get((call, key))

    def _save(self) -> None:
        """Writes the file: whole, or not at all."""
        entries = sorted(
            self.entries.values(), key=lambda e: (call_key(e), e["identity"])
        )
        used = {entry["identity"] for entry in entries}
        self.identities = {
            key: self.identities[key] for key in sorted(used & self.identities.keys())
        }
        lines = [json.dumps(e, ensure_ascii=False, sort_keys=True) for e in entries]
        text = '{\n"identities": '
        text += json.dumps(self.identities, ensure_ascii=False, indent=1)
        text += ',\n"entries": [\n' + ",\n".join(lines) + "\n]\n}\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        new.write_text(text, encoding="utf-8")
        new.replace(self.path)


def probes(group: list[dict]) -> list[dict]:
    """The calls that stand for all of a group: the two cheapest, and the cheapest one
    with each text among the arguments, such as the name of a method."""
    group = sorted(group, key=lambda entry: (entry["cpu_seconds"], call_key(entry)))
    chosen, covered = [], set()
    for number, entry in enumerate(group):
        texts = {(k, v) for k, v in entry["arguments"].items() if isinstance(v, str)}
        if number < 2 or not texts <= covered:
            chosen.append(entry)
            covered |= texts
    return chosen


def say(line: str) -> None:
    """Prints, but never into a notebook, where it would stay."""
    if not type(sys.stdout).__module__.startswith("ipykernel"):
        print(line, flush=True)


def given_back(entry: dict):
    """A copy of a kept value. A result that is part of another's run has that one's
    witnesses too."""
    hub.LOADED.extend(entry["witnesses"])
    return json.loads(json.dumps(entry["value"]))


def bound(run, name: str, arguments: tuple, named: dict) -> dict:
    """The arguments by the names of the function's parameters, as JSON has them."""
    try:
        found = inspect.signature(run).bind(*arguments, **named).arguments
    except TypeError as error:
        raise ValueError(
            f"`{name}` cannot be called so ({error}): give the arguments that it takes."
        ) from None
    return as_json(found, f"An argument of `{name}`")


def rerun(run, entry: dict):
    """The call of an entry again."""
    call = inspect.signature(run).bind_partial()
    call.arguments.update(entry["arguments"])
    return run(*call.args, **call.kwargs)


def as_json(value, what: str):
    """A value as JSON gives it back."""
    with contextlib.suppress(TypeError, ValueError):
        return json.loads(json.dumps(value))
    raise ValueError(
        f"{what} cannot be kept as JSON: use numbers, texts, lists and dicts of them."
    )


def call_key(entry: dict) -> str:
    return json.dumps([entry["run"], entry["arguments"]], sort_keys=True)


def identity_key(components: dict[str, str]) -> str:
    return short(json.dumps(components, sort_keys=True))


def told(entry: dict) -> str:
    """A call as a chapter would write it."""
    arguments = [f"{name}={value!r}" for name, value in entry["arguments"].items()]
    return f"{entry['run']}({', '.join(arguments)})"


def what_changed(run: str, old: dict[str, str], new: dict[str, str]) -> str:
    """Half a sentence on the first difference between two identities."""
    changed = sorted(n for n in old.keys() | new.keys() if old.get(n) != new.get(n))
    # what is in both says more than what was added with an edit; values before code
    order = ["value", "rows", "weights", "def", "class"]
    both = [n for n in changed if n in old and n in new] or changed
    first = min(both, key=lambda n: (order.index(n.split(" ")[0]), n))
    kind, _, name = first.partition(" ")
    if kind in ("def", "class"):
        said = f"`{name}` was edited"
        if name != run and kind == "def":
            said = f"`{name}`, which `{run}` uses, was edited"
    else:
        other = {"value": "another `{}`", "rows": "other rows in `{}`"}
        form = other.get(kind, "other weights of `{}`")
        said = f"`{run}` reads {form.format(name)} than when it was recorded"
    return said + (f" (and {len(both) - 1} more)" if len(both) > 1 else "")


def is_close(old, new) -> bool:
    """Whether two JSON values are the same, floats to a millionth."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(is_close(old[k], new[k]) for k in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(is_close, old, new))
    if isinstance(old, float) and isinstance(new, float):
        return bool(np.isclose(old, new, rtol=1e-6, atol=0, equal_nan=True))
    return type(old) is type(new) and old == new
