"""A new chapter, by the text of CONTRIBUTING.md.

Its steps are read there and done for a toy chapter in a copy of the repository. Then
the guards are silent, and they speak when a step is left out. The toy chapter tests no
claim and records nothing, so these two steps change nothing for it.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import notebooks
from tools.notebooks import ROOT

NUMBER, NAME = "15", "majority_vote"
CHAPTER = f"notebooks/{NUMBER}_{NAME}"
METHOD = """#| export
from math import comb


def majority_is_right(readers: int, right: float) -> float:
    \"\"\"Chance that more than half of the readers are right, each with the chance
    `right` and on their own.\"\"\"
    return sum(
        comb(readers, k) * right**k * (1 - right) ** (readers - k)
        for k in range(readers // 2 + 1, readers + 1)
    )"""
FIGURE = """from matplotlib import pyplot as plt

from prompttune_utils import plots  # noqa: F401  the course's style

counts = [1, 3, 5, 7, 9]
plt.figure(figsize=(4, 2.5))
plt.plot(counts, [majority_is_right(n, 0.7) for n in counts], "o-")
plt.xlabel("readers")
plt.ylabel("chance to be right")
plt.show()"""
EXERCISES = """## Exercises

:::{admonition} Exercise 1
What happens when each reader is right in 40 of 100 texts?
:::"""
ALT = "A curve that rises from 0.7 with one reader towards 0.9 with nine readers."
SOLUTION = {"code_prompt_show": "Solution 1", "code_prompt_hide": "Solution 1"}
CELLS = [
    new_markdown_cell(
        "# Majority vote\n\nSeveral readers who are often right are right more often"
        " together.",
        id="title",
    ),
    new_markdown_cell(
        "**You will be able to** say when a {term}`majority vote` helps"
        " {cite:p}`condorcet1785essai`.\n\n**It takes** a while, ten minutes to read.",
        id="aims",
    ),
    new_code_cell(
        f"#| default_exp methods.{NAME}",
        id="module",
        metadata={"tags": ["remove-cell"]},
    ),
    new_code_cell(METHOD, id="majority"),
    new_code_cell(
        'print(f"three readers: {majority_is_right(3, 0.7):.3f}")',
        id="check-three",
        metadata={"tags": ["nbval-check-output"]},
    ),
    new_markdown_cell(
        "Three such readers are right in 78.4 % of the texts.", id="said"
    ),
    new_code_cell(FIGURE, id="curve", metadata={"mystnb": {"image": {"alt": ALT}}}),
    new_markdown_cell(EXERCISES, id="exercises"),
    new_code_cell(
        '# Solution 1\nprint(f"nine readers: {majority_is_right(9, 0.4):.2f}")',
        id="solution-1",
        metadata={"tags": ["hide-cell"], "mystnb": SOLUTION},
    ),
]
SOURCE = """
@book{condorcet1785essai,
  author    = {Condorcet, Nicolas de},
  title     = {Essai sur l'application de l'analyse},
  publisher = {Imprimerie royale},
  year      = {1785}
}
"""
CLAIM = f"""
[C99]
chapter = "{Path(CHAPTER).name}"
says = "Many readers know more than one."
not_testable = "a toy has no readers"
"""
TERM = """
majority vote
  多数表决. The label that most of several readers give.
:::
"""


def write_chapter(root: Path) -> None:
    node = nbformat.from_dict(new_notebook(cells=CELLS))
    nbformat.write(node, root / f"{CHAPTER}.ipynb")


def replace(path: Path, pattern: str, text: str) -> None:
    """Puts a text in the place of the last match in a file."""
    old = path.read_text(encoding="utf-8")
    last = list(re.finditer(pattern, old))[-1]
    path.write_text(old[: last.start()] + text + old[last.end() :], encoding="utf-8")


# the places that CONTRIBUTING names -> what the toy chapter brings there
PLACES = {
    "notebooks/NN_name.ipynb": write_chapter,
    "_toc.yml": lambda root: replace(
        root / "_toc.yml",
        r"(?=  - caption: Appendix)",
        f"      - file: {CHAPTER}\n",
    ),
    "book/references.bib": lambda root: replace(
        root / "book" / "references.bib", r"\Z", SOURCE
    ),
    "book/glossary.md": lambda root: replace(
        root / "book" / "glossary.md", r":::\n", TERM
    ),
    "prompttune_utils/assets/claims.toml": lambda root: replace(
        root / "prompttune_utils" / "assets" / "claims.toml", r"\Z", CLAIM
    ),
}


def steps() -> list[str]:
    """The place or the command that each step of CONTRIBUTING names first."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## Add a chapter\n")[2].partition("\n### ")[0]
    place = r"[\w./]+\.(?:ipynb|yml|bib|md|json|toml)"
    named = rf"`({place}|make \w+|[^`]*tools/notebooks\.py [^`]+)`"
    return [
        re.search(named, step)[1]
        for step in re.findall(r"^\d+\. .*(?:\n   .*)*", section, re.M)
    ]


def command(step: str, root: Path) -> subprocess.CompletedProcess:
    """Runs a command of CONTRIBUTING in the copy."""
    words = step.replace("NN", NUMBER).replace(".venv/bin/python", "PYTHON").split()
    given = dict(word.split("=") for word in words if "=" in word)
    words = [sys.executable if w == "PYTHON" else w for w in words if "=" not in w]
    environment = os.environ | given | {"PYTHONPATH": str(root)}
    return subprocess.run(
        words, cwd=root, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="session")
def before(tmp_path_factory) -> Path:
    """The copy without the toy chapter: no weights, and the other chapters cut to their
    titles and the cells that judge claims, so that all is fast."""
    root = tmp_path_factory.mktemp("before") / "course"
    left_out = (".git", ".venv", "_build", "models", "mini-*", "__pycache__")
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*left_out))
    for other in root.glob("notebooks/*.ipynb"):
        node = notebooks.read(other)
        judging = [c for c in notebooks.code_cells(node) if "claims.judge(" in c.source]
        for cell in judging:  # the ledger links to them
            cell.outputs = []
        node.cells = [node.cells[0], *judging]
        nbformat.write(node, other)
    return root


@pytest.fixture(scope="session")
def walked(before, tmp_path_factory) -> Path:
    """The copy with the toy chapter, all steps done but the last, `make test`."""
    root = tmp_path_factory.mktemp("walked") / "course"
    shutil.copytree(before, root)
    *first, last = steps()
    assert last == "make test"
    for step in first:
        if step in PLACES:
            PLACES[step](root)
        else:
            done = command(step, root)
            assert done.returncode == 0, done.stdout + done.stderr
    return root


def problems(root: Path) -> list[str]:
    """What the guards of a chapter say, without a build of the book."""
    chapter = root / f"{CHAPTER}.ipynb"
    if not chapter.exists():
        return notebooks.toc_problems(root)
    node = notebooks.read(chapter)
    return [
        *notebooks.toc_problems(root),
        *notebooks.readme_problems(root),
        *notebooks.export_problems([chapter], root),
        *notebooks.time_problems(chapter, root),
        *(it for guard in notebooks.GUARDS for it in guard(node)),
    ]


@pytest.fixture
def copied(walked, tmp_path):
    """The walked copy, to damage."""
    shutil.copytree(walked, tmp_path / "course")
    return tmp_path / "course"


def leave_out(place: str, before: Path, root: Path) -> None:
    """Makes a place as it was before its step."""
    path = place.replace("notebooks/NN_name", CHAPTER)
    if (before / path).exists():
        shutil.copy(before / path, root / path)
    else:
        (root / path).unlink()


def test_the_text_names_five_places_at_most():
    named = [step for step in steps() if step in PLACES]
    commands = [s for s in steps() if s.startswith("make") or "notebooks.py" in s]
    assert named == list(PLACES) and len(named) <= 5
    assert named + commands == steps()


def test_the_guards_are_silent(walked):
    assert problems(walked) == []
    ruff = [sys.executable, "-m", "ruff"]
    for check in (["check"], ["format", "--check"]):
        subprocess.run([*ruff, *check, CHAPTER + ".ipynb"], cwd=walked, check=True)


def test_the_book_shows_the_chapter(walked, tmp_path):
    done = notebooks.build_book(walked, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    address = f"../{CHAPTER}.html"
    shown = {"index": address, "status": address, "references": "Condorcet"}
    shown["claims"] = "a toy has no readers"
    for page, what in (shown | {"glossary": "多数表决"}).items():
        html = (tmp_path / "_build/html/book" / f"{page}.html").read_text("utf-8")
        assert what in str(BeautifulSoup(html, "html.parser").select_one("article"))


@pytest.mark.parametrize(
    "place, message",
    [
        ("notebooks/NN_name.ipynb", f"_toc.yml names {CHAPTER}, which does not exist"),
        ("_toc.yml", f"_toc.yml does not name {CHAPTER}: add it."),
    ],
)
def test_a_place_left_out_is_named(before, copied, place, message):
    leave_out(place, before, copied)
    assert any(message in it for it in problems(copied)), problems(copied)


@pytest.fixture(scope="session")
def warnings(before, walked, tmp_path_factory) -> str:
    """Of a build of the book without the new source and the new term."""
    root = tmp_path_factory.mktemp("poorer") / "course"
    shutil.copytree(walked, root)
    for place in ("book/references.bib", "book/glossary.md"):
        leave_out(place, before, root)
    done = notebooks.build_book(root, root.parent)
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize("what", ["condorcet1785essai", "majority vote"])
def test_a_list_left_out_is_named_by_the_book(warnings, what):
    found = [line for line in warnings.splitlines() if "WARNING" in line]
    assert any(what in line and f"{CHAPTER}.ipynb" in line for line in found), found


def test_the_command_left_out_is_named(before, tmp_path):
    """The chapter as it was written, and nothing else done."""
    shutil.copytree(before, tmp_path / "course")
    for place in PLACES.values():
        place(tmp_path / "course")
    said = "\n".join(problems(tmp_path / "course"))
    for message in (
        "README.md has another table",
        "is not what 15_majority_vote.ipynb exports",
        "was not measured",
        "not the set-up cell",
        "Not executed once",
        "78.4 % is bound to no printed line",
    ):
        assert message in said


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("Three such", "Of 99.9 %, three such", "99.9 % is bound to no printed line"),
        (f"methods.{NAME}", "methods.vote", f"`#| default_exp methods.{NAME}`"),
    ],
)
def test_the_command_stops_at_a_problem(copied, old, new, message):
    path = copied / f"{CHAPTER}.ipynb"
    node = notebooks.read(path)
    for cell in node.cells:
        cell.source = cell.source.replace(old, new)
    nbformat.write(node, path)
    done = command(next(s for s in steps() if " chapter NN" in s), copied)
    assert done.returncode == 1 and message in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
