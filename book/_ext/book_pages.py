"""What the book needs beyond its settings: the tables of the status page, the answers of the claims ledger, and a site without Thebe."""

import json
import re
import tomllib
from pathlib import Path

RESULTS = Path("prompttune_utils", "assets", "results")
TIMINGS = RESULTS / "timings.json"


def versions(root: Path) -> str:
    """A table row for each package that pyproject.toml names, with the version that constraints.txt pins."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + extras["book"] + extras["test"]
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", (root / "constraints.txt").read_text(encoding="utf-8"), re.M))
    pinned = {name.lower().replace("_", "-"): version for name, version in pinned.items()}
    names = sorted(re.match(r"[\w.-]+", line)[0].lower() for line in wanted)
    return "\n".join(f"| {name} | {pinned.get(name, '-')} |" for name in names)


def timings(root: Path) -> str:
    """A table row for each chapter that `make budget` measured, and their sum."""
    rows = json.loads((root / TIMINGS).read_text(encoding="utf-8")) if (root / TIMINGS).exists() else []
    if not rows:
        return "| - | - | - |"
    lines = [f"| [](../notebooks/{row['notebook']}.ipynb) | {row['cpu_seconds']:.1f} | {row['wall_seconds']:.1f} |" for row in rows]
    cpu, wall = (sum(row[key] for row in rows) for key in ("cpu_seconds", "wall_seconds"))
    return "\n".join([*lines, f"| **∑** | **{cpu:.1f}** | **{wall:.1f}** |"])


def answer(root: Path, claim: str, chapter: str) -> str:
    """What a chapter recorded of a claim, as markdown. Raises ValueError where it is there and recorded nothing."""
    if not (root / "notebooks" / f"{chapter}.ipynb").exists():
        return "*Not tested yet*: its chapter is planned."
    recorded = root / RESULTS / f"{chapter}.json"
    entries = json.loads(recorded.read_text(encoding="utf-8")) if recorded.exists() else []
    found = [e["value"] for e in entries if e["settings"] == {"claim": claim}]
    if not found:
        raise ValueError(f"book/claims.md: {chapter} gives no answer to {claim}: add one to its claims cell and run `make results`.")
    return f"**{found[0]['verdict']}**, [](../notebooks/{chapter}.ipynb): {found[0]['answer'].replace(' +- ', ' ± ')}"


def fill(app, docname: str, source: list[str]) -> None:
    """Puts the rows where the status page says `% versions` and `% timings`, and the answers into the ledger; the words stay in the pages, to be translated."""
    if docname == "book/status":
        for table in (versions, timings):
            source[0] = source[0].replace(f"% {table.__name__}", table(Path(app.srcdir)))
    if docname == "book/claims":
        source[0] = re.sub(r"% answer (C\d\d) (\w+)", lambda found: answer(Path(app.srcdir), *found.groups()), source[0])


def drop_thebe(app, config) -> None:
    """Jupyter Book loads sphinx-thebe even where it is not wanted: a script of another host, declared twice on every page."""
    for listeners in app.events.listeners.values():
        listeners[:] = [it for it in listeners if not getattr(it.handler, "__module__", "").startswith("sphinx_thebe")]
    app.registry.css_files = [it for it in app.registry.css_files if it[0] != "sphinx-thebe.css"]


def setup(app) -> dict:
    app.connect("source-read", fill)
    app.connect("config-inited", drop_thebe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
