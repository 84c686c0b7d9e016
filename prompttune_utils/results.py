"""Recorded results: what is too long for a live chapter is run once by the same cells,
and kept as JSON.

A chapter asks `Recorded(...).get(settings, run)`. Normally the stored value comes back.
With PROMPTTUNE_RECORD=1 (`make results`) what is missing, or was made with other
weights, is run and stored, entry by entry, so an interrupted recording goes on where it
stopped. The results of the scale `real` are in a folder of their own (`make real`). At
the full scale nothing is shipped, so what is missing is always run, and kept in
`results-full/` beside the notebook.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from textwrap import fill

from prompttune_utils.evaluation import mean_interval, show
from prompttune_utils.hub import ASSETS, scale

FOLDER = ASSETS / "results"
FOLDERS = {"mini": FOLDER, "real": FOLDER / "real", "full": Path("results-full")}
# what records the results that are shipped
RECORDED_BY = {"mini": "make results", "real": "make real"}
# the weakest first; needs scale: cannot show at this size, or shows only a trend
VERDICTS = ("refuted here", "needs scale", "reproduced")
Differences = Mapping[str, Sequence[float]]


class NotRecorded(LookupError):
    """A chapter asks for a result that nobody recorded with these weights."""


def recording() -> bool:
    """Whether PROMPTTUNE_RECORD asks to run and store what is missing.

    Raises:
        ValueError: it is another word than 1 or 0.
    """
    given = os.environ.get("PROMPTTUNE_RECORD", "")
    if given not in ("", "0", "1"):
        raise ValueError(
            f"PROMPTTUNE_RECORD is {given!r}: set it to 1 to record, or to 0."
        )
    return given == "1"


def of_the_real_models(**settings) -> list:
    """What the page of the real models has kept of the runs with these settings
    (tools/real_figures.py), in the order of recording.

    Raises:
        NotRecorded: there is none.
    """
    file = FOLDERS["real"] / "real_figures.json"
    found = [
        entry["value"]
        for entry in json.loads(file.read_text(encoding="utf-8"))
        if all(entry["settings"].get(name) == given for name, given in settings.items())
    ]
    if not found:
        raise NotRecorded(
            f"{file.name} holds no run with {settings}: run `{RECORDED_BY['real']}`."
        )
    return found


def judged(differences: Differences, beyond: float = 0.0) -> str:
    """The verdict on the claim that these differences lie above `beyond`.

    It is reproduced when the 95 % interval lies above it in more than half of the
    settings and below it in none; refuted here when it lies above it in none, or below
    it in more than half; else it needs scale.

    Args:
        differences: setting -> values over seeds or rows.

    Raises:
        ValueError: there are no differences.
    """
    if not differences:
        raise ValueError("There are no differences to judge: give at least one.")
    pairs = [
        (mean - beyond, half) for mean, half in map(mean_interval, differences.values())
    ]
    above = sum(mean > half for mean, half in pairs)
    below = sum(-mean > half for mean, half in pairs)
    if not above or below > len(pairs) / 2:
        return "refuted here"
    return "reproduced" if above > len(pairs) / 2 and not below else "needs scale"


def weakest(*verdicts: str) -> str:
    """The verdict on a claim that says several things at once."""
    return min(verdicts, key=VERDICTS.index)


def told(what: str, parts: Mapping[str, str | Sequence[float]]) -> str:
    """`what; name: value; name: value`; values over seeds as mean and interval."""
    return "; ".join(
        [
            what,
            *(
                f"{name}: {value if isinstance(value, str) else show(value)}"
                for name, value in parts.items()
            ),
        ]
    )


class Recorded:
    """The results of one chapter.

    Args:
        chapter: the notebook's name without ending.
        weights: `hub.weights_hash` of the backbone; entries of other weights do not
            count.
    """

    def __init__(self, chapter: str, weights: str, folder: Path | None = None):
        self.chapter, self.weights = chapter, weights
        self.path = (folder or FOLDERS[scale()]) / f"{chapter}.json"
        self.entries = (
            json.loads(self.path.read_text(encoding="utf-8"))
            if self.path.exists()
            else []
        )

    def find(self, settings: dict) -> dict | None:
        """The entry with these settings and our weights, or None."""
        settings = json.loads(json.dumps(settings))  # tuples come back as lists
        return next(
            (
                e
                for e in self.entries
                if e["settings"] == settings and e["weights"] == self.weights
            ),
            None,
        )

    def claim(
        self,
        number: str,
        verdict: str,
        what: str,
        parts: Mapping[str, str | Sequence[float]] = {},
    ) -> None:
        """Prints the chapter's answer to a claim of the ledger (`C14`), and keeps it
        when recording: `what`, and a line for each part.

        Args:
            what: what was measured.
            parts: name -> a text, or values over seeds, of which mean and interval are
                told.

        Raises:
            ValueError: another verdict than those of `VERDICTS`, or an answer that
                differs from the one kept.
        """
        if verdict not in VERDICTS:
            raise ValueError(
                f"The verdict on {number} is {verdict!r}: use one of "
                f"{', '.join(VERDICTS)}."
            )
        given = {"verdict": verdict, "answer": told(what, parts)}
        if recording():
            self.entries = [
                e for e in self.entries if e["settings"] != {"claim": number}
            ]
        kept = self.get({"claim": number}, lambda: given)
        if kept != given and scale() in RECORDED_BY:
            raise ValueError(
                f"{self.path.name} keeps another answer to {number}, {kept}, than "
                f"{given}: run `{RECORDED_BY[scale()]}`."
            )
        for part in f"{number} {verdict}: {given['answer']}".split("; "):
            indent = "" if part.startswith(f"{number} ") else "    "
            print(fill(part, 88, initial_indent=indent, subsequent_indent="    "))

    def judge(
        self,
        number: str,
        what: str,
        differences: Differences,
        also: Mapping[str, Differences] = {},
        beyond: float = 0.0,
    ) -> None:
        """Answers a claim that one thing is larger than another by the rule of
        `judged`.

        Args:
            what: what is subtracted from what.
            differences: setting -> their differences over seeds (or rows).
            also: what -> differences of the other things that the claim says; it holds
                as well as the weakest of them.
            beyond: by how much larger; a negative one for "not smaller by more than
                that".
        """
        parts = {what: differences} | also
        verdicts = [judged(part, beyond) for part in parts.values()]
        self.claim(
            number, weakest(*verdicts), "; ".join(told(*part) for part in parts.items())
        )

    def get(
        self, settings: dict, run: Callable[[], float | dict | list]
    ) -> float | dict | list:
        """The value recorded for `settings`; run and kept first when recording.

        Raises:
            NotRecorded: it is not there and this is no recording.
        """
        entry = self.find(settings)
        if entry is None:
            if not recording() and scale() in RECORDED_BY:
                raise NotRecorded(
                    f"{self.path.name} holds no result of {settings} for the weights "
                    f"{self.weights}: run `{RECORDED_BY[scale()]}`."
                )
            before = time.process_time()
            value = run()
            entry = {
                "settings": settings,
                "value": value,
                "weights": self.weights,
                "cpu_seconds": round(time.process_time() - before, 2),
                "versions": {p: version(p) for p in ("torch", "transformers")}
                | {"python": platform.python_version()},
            }
            entry = json.loads(json.dumps(entry))  # what a later run will read
            self.entries = [
                e for e in self.entries if e["settings"] != entry["settings"]
            ] + [entry]
            self._save()
        return entry["value"]

    def per_seed(
        self, run: Callable, *settings, seeds: Iterable[int] = range(5), **more
    ) -> list:
        """What `run(*settings, seed)` gives for each seed, as in `get`.

        `more` joins the settings that are kept (weights of another model).
        """
        return [
            self.get(
                {"run": run.__name__, "settings": list(settings), "seed": s} | more,
                lambda s=s: run(*settings, s),
            )
            for s in seeds
        ]

    def _save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        ordered = sorted(
            self.entries, key=lambda e: json.dumps(e["settings"], sort_keys=True)
        )
        new = self.path.with_suffix(".new")
        new.write_text(
            "[\n"
            + ",\n".join(
                json.dumps(e, ensure_ascii=False, sort_keys=True) for e in ordered
            )
            + "\n]\n",
            encoding="utf-8",
        )
        new.replace(self.path)
