"""Where recorded results stand, and what the tools record: `make benchmarks`, the page
of the real models (`make real`) and the measurements of the minis' cards.

A tool asks `Recorded(...).get(settings, run)`. Normally the stored value comes back.
With PROMPTTUNE_RECORD=1 what is missing, or was made with other weights, is run and
stored, entry by entry, so an interrupted recording goes on where it stopped. The
results of the scale `real` are in a folder of their own. At the full scale nothing is
shipped, so what is missing is always run, and kept in `results-full/`. Chapters ask
`cache.Cache` instead.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

from prompttune_utils.hub import ASSETS, scale

FOLDER = ASSETS / "results"
FOLDERS = {"mini": FOLDER, "real": FOLDER / "real", "full": Path("results-full")}
# what records the results that are shipped
RECORDED_BY = {"mini": "make results", "real": "make real"}


class NotRecorded(LookupError):
    """A chapter or a tool asks for a result that nobody recorded."""


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


class Recorded:
    """The results in one file.

    Args:
        name: of the file, without ending.
        weights: `hub.weights_hash` of the backbone; entries of other weights do not
            count.
        folder: another one than that of the scale.
    """

    def __init__(self, name: str, weights: str, folder: Path | None = None):
        self.weights = weights
        self.path = (folder or FOLDERS[scale()]) / f"{name}.json"
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
