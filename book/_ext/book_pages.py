"""What the book needs beyond its settings: the tables of the status page and of the
benchmarks, the answers of the claims ledger, and a site without Thebe."""

import json
import re
import tomllib
from pathlib import Path

RESULTS = Path("prompttune_utils", "assets", "results")
TIMINGS = RESULTS / "timings.json"
CLASSIFIED = ("sst2", "chnsenticorp", "eprstmt", "ag_news", "rte")


def versions(root: Path) -> str:
    """A table row for each package that pyproject.toml names, with the version that
    constraints.txt pins."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + extras["book"] + extras["test"]
    pinned = dict(
        re.findall(
            r"^([\w.-]+)==(\S+)",
            (root / "constraints.txt").read_text(encoding="utf-8"),
            re.M,
        )
    )
    pinned = {
        name.lower().replace("_", "-"): version for name, version in pinned.items()
    }
    names = sorted(re.match(r"[\w.-]+", line)[0].lower() for line in wanted)
    return "\n".join(f"| {name} | {pinned.get(name, '-')} |" for name in names)


def timings(root: Path) -> str:
    """A table row for each chapter that `make budget` measured, and their sum."""
    rows = (
        json.loads((root / TIMINGS).read_text(encoding="utf-8"))
        if (root / TIMINGS).exists()
        else []
    )
    if not rows:
        return "| - | - | - |"
    lines = [
        f"| [](../notebooks/{row['notebook']}.ipynb) | {row['cpu_seconds']:.1f} |"
        f" {row['wall_seconds']:.1f} |"
        for row in rows
    ]
    cpu, wall = (
        sum(row[key] for row in rows) for key in ("cpu_seconds", "wall_seconds")
    )
    return "\n".join([*lines, f"| **∑** | **{cpu:.1f}** | **{wall:.1f}** |"])


def speed(root: Path) -> str:
    """A table row for each ratio that `make bench` measured: model, what, against what,
    the ratio with its interval, the goal, seconds of both."""
    kept = root / RESULTS / "speed.json"
    rows = (
        json.loads(kept.read_text(encoding="utf-8"))["ratios"] if kept.exists() else []
    )
    lines = []
    for row in rows:
        ratio = f"**{row['ratio']:.2f}** ({row['low']:.2f} – {row['high']:.2f})"
        goal = "-" if row["goal"] is None else f"≤ {row['goal']:.2f}"
        lines.append(
            f"| {row['model']} | {row['what']} | {row['against']} | {ratio} | {goal} |"
            f" {row['seconds']:.3f} | {row['seconds_against']:.3f} |"
        )
    return "\n".join(lines) or "| - | - | - | - | - | - | - |"


def benchmarked(root: Path, run: str) -> dict[tuple, list]:
    """The values of one experiment of `make benchmarks`, by its settings; those of
    several seeds in one list. Controls are a run of their name."""
    kept, found = root / RESULTS / "benchmarks.json", {}
    for entry in json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []:
        settings = entry["settings"]
        if run in (settings.get("run"), *settings):
            found.setdefault(
                tuple(settings.get("settings", [settings.get(run)])), []
            ).append(entry["value"])
    return found


def shown(values: list[float], digits: int = 3) -> str:
    """Mean ± half-width of the 95 % interval; the mean alone of one value."""
    from prompttune_utils.evaluation import mean_interval

    mean, half = mean_interval(values)
    return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if len(values) > 1 else "")


def classification(root: Path) -> str:
    """A table row for each method, best mean accuracy first: accuracy on the five
    tasks; the untrained prompt and the majority among them."""
    rows: dict[str, dict[str, list]] = {}
    for (task, method, _, steps, *_), values in benchmarked(root, "benchmark").items():
        rows.setdefault(method if steps else f"{method}, untrained", {})[task] = [
            value["accuracy"] for value in values
        ]
    for (task,), values in benchmarked(root, "majority").items():
        if task in CLASSIFIED:
            rows.setdefault("*majority*", {})[task] = [values[0]["majority"]]
    mean = {
        name: (
            sum(sum(values) / len(values) for values in by_task.values()) / len(by_task)
        )
        for name, by_task in rows.items()
    }
    lines = []
    for name in sorted(rows, key=lambda name: -mean[name]):
        cells = [
            shown(rows[name][task]) if task in rows[name] else "-"
            for task in CLASSIFIED
        ]
        lines.append(f"| {name} | {' | '.join(cells)} | {mean[name]:.3f} |")
    return "\n".join(lines) or "| - | - | - | - | - | - | - |"


def writing(root: Path) -> str:
    """A table row for each way to write descriptions: BLEU on E2E."""
    rows = {
        way: shown(values, 1)
        for (way, _), values in benchmarked(root, "described").items()
    }
    for values in benchmarked(root, "copied").values():
        rows["*copying the input*"] = shown(values, 1)
    return "\n".join(f"| {way} | {bleu} |" for way, bleu in rows.items()) or "| - | - |"


def sums(root: Path) -> str:
    """A table row for each way to ask for a number: share of right answers."""
    ways: dict[str, dict[str, list]] = {}
    for (task, way), values in benchmarked(root, "solved").items():
        ways.setdefault(way, {})[task] = values
    ways["*most frequent answer of the test*"] = {
        task: [values[0]["majority"]]
        for (task,), values in benchmarked(root, "majority").items()
    }
    lines = [
        f"| {way} |"
        f" {' | '.join(shown(of[task]) if task in of else '-' for task in ('multiarith', 'gsm8k'))} |"
        for way, of in ways.items()
    ]
    return "\n".join(lines) or "| - | - | - |"


def knowledge(root: Path) -> str:
    """A table row for each LAMA relation that chapter 10 recorded: P@1 of the most
    frequent object, a manual template, a trained prompt."""
    entries = json.loads(
        (root / RESULTS / "10_p_tuning.json").read_text(encoding="utf-8")
    )
    found: dict[str, list[dict]] = {}
    for entry in entries:
        if entry["settings"].get("run") == "lama":
            found.setdefault(entry["settings"]["settings"][0], []).append(
                entry["value"]
            )
    ways = ("most frequent object", "hard", "all soft")
    return "\n".join(
        f"| {relation} |"
        f" {' | '.join(shown([run[way] for run in runs]) for way in ways)} |"
        for relation, runs in sorted(found.items())
    )


def answer(root: Path, claim: str, chapter: str) -> str:
    """What a chapter recorded of a claim, as markdown. Raises ValueError where it is
    there and recorded nothing."""
    if not (root / "notebooks" / f"{chapter}.ipynb").exists():
        return "*Not tested yet*: its chapter is planned."
    recorded = root / RESULTS / f"{chapter}.json"
    entries = (
        json.loads(recorded.read_text(encoding="utf-8")) if recorded.exists() else []
    )
    found = [e["value"] for e in entries if e["settings"] == {"claim": claim}]
    if not found:
        raise ValueError(
            f"book/claims.md: {chapter} gives no answer to {claim}: add one to its"
            " claims cell and run `make results`."
        )
    return (
        f"**{found[0]['verdict']}**, [](../notebooks/{chapter}.ipynb):"
        f" {found[0]['answer'].replace(' +- ', ' ± ')}"
    )


TABLES = {
    "book/status": (versions, timings),
    "book/benchmarks": (classification, writing, knowledge, sums, speed),
}


def fill(app, docname: str, source: list[str]) -> None:
    """Puts the rows where the pages say `% versions` and the like, and the answers into
    the ledger; the words stay in the pages, to be translated."""
    for table in TABLES.get(docname, ()):
        source[0] = source[0].replace(f"% {table.__name__}", table(Path(app.srcdir)))
    if docname == "book/claims":
        source[0] = re.sub(
            r"% answer (C\d\d) (\w+)",
            lambda found: answer(Path(app.srcdir), *found.groups()),
            source[0],
        )


def drop_thebe(app, config) -> None:
    """Jupyter Book loads sphinx-thebe even where it is not wanted: a script of another
    host, declared twice on every page."""
    for listeners in app.events.listeners.values():
        listeners[:] = [
            it
            for it in listeners
            if not getattr(it.handler, "__module__", "").startswith("sphinx_thebe")
        ]
    app.registry.css_files = [
        it for it in app.registry.css_files if it[0] != "sphinx-thebe.css"
    ]


def setup(app) -> dict:
    app.connect("source-read", fill)
    app.connect("config-inited", drop_thebe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
