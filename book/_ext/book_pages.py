"""What the book needs beyond its settings: the tables of the status page, and a site without Thebe."""

import json
import re
import tomllib
from pathlib import Path

TIMINGS = Path("prompttune_utils", "assets", "results", "timings.json")


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


def fill(app, docname: str, source: list[str]) -> None:
    """Puts the rows where the status page says `% versions` and `% timings`; its words stay in the page, to be translated."""
    if docname == "book/status":
        for table in (versions, timings):
            source[0] = source[0].replace(f"% {table.__name__}", table(Path(app.srcdir)))


def drop_thebe(app, config) -> None:
    """Jupyter Book loads sphinx-thebe even where it is not wanted: a script of another host, declared twice on every page."""
    for listeners in app.events.listeners.values():
        listeners[:] = [it for it in listeners if not getattr(it.handler, "__module__", "").startswith("sphinx_thebe")]
    app.registry.css_files = [it for it in app.registry.css_files if it[0] != "sphinx-thebe.css"]


def setup(app) -> dict:
    app.connect("source-read", fill)
    app.connect("config-inited", drop_thebe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
