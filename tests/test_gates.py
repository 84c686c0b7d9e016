"""The guards of the notebooks are shown to fail: each test damages a small sound
chapter in one way, and a guard must say so."""

import os
import re
import shutil

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import notebooks

FIGURE = """import base64
from IPython.display import Image
pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
Image(base64.b64decode(pixel + "WjR9awAAAABJRU5ErkJggg=="))"""
PROSE = """The mean of 4 runs is 0.875, or 87.5 %, with a 95 % interval of `0.123` and
$\\alpha = 0.456$ (section 2.1).

```{admonition} Note
:width: 33 %
Qwen2.5 is at [home](https://example.org/2103.10385), and not below 0.875.
```"""
METHOD = "#| export\nimport math\n\n\ndef root(x):\n    return math.sqrt(x)"


@pytest.fixture(scope="session")
def chapter(tmp_path_factory):
    """A tiny sound chapter, executed for real."""
    path = tmp_path_factory.mktemp("book") / "notebooks" / "01_tiny.ipynb"
    path.parent.mkdir()
    cells = [
        new_markdown_cell("# A tiny chapter\n\nIt takes a root.", id="title"),
        new_code_cell(
            "#| default_exp methods.tiny",
            id="module",
            metadata={"tags": ["remove-cell"]},
        ),
        new_code_cell(METHOD, id="method"),
        new_code_cell(
            'print(f"mean {root(0.765625):.3f}")',
            id="result",
            metadata={"tags": ["nbval-check-output"]},
        ),
        new_code_cell(
            FIGURE,
            id="figure",
            metadata={
                "mystnb": {"image": {"alt": "A single coloured pixel, nothing else"}}
            },
        ),
        new_markdown_cell(PROSE, id="prose"),
        new_markdown_cell(
            "The paper reports 91.2 % {cite}`lester2021power`.",
            id="paper",
            metadata={"tags": ["cited"]},
        ),
    ]
    nbformat.write(new_notebook(cells=cells), path)
    notebooks.bootstrap([path])
    nbformat.write(notebooks.run(path)[0], path)
    notebooks.bind([path])
    return path


@pytest.fixture
def node(chapter):
    """The chapter's content, to damage."""
    return notebooks.read(chapter)


def cell(node, name):
    return next(c for c in node.cells if c.id == name)


def all_problems(node):
    return [problem for guard in notebooks.GUARDS for problem in guard(node)]


def test_sound_chapter_passes(node):
    assert all_problems(node) == []


def set_output(name, text):
    return lambda node: cell(node, name).outputs[0].update(text=text)


def strip(node):
    for c in notebooks.code_cells(node):
        c.outputs, c.execution_count = [], None


def strip_outputs_only(node):
    for c in notebooks.code_cells(node):
        c.outputs = []


DAMAGES = {
    "stripped": (strip, "Not executed once"),
    "outputs stripped, counts kept": (strip_outputs_only, "stores nothing"),
    "cells run out of order": (
        lambda n: cell(n, "result").update(execution_count=9),
        "Not executed once",
    ),
    "cell run twice": (
        lambda n: [
            c.update(execution_count=c.execution_count + 1)
            for c in notebooks.code_cells(n)
        ],
        "Not executed once",
    ),
    "nothing checked": (
        lambda n: cell(n, "result").metadata.pop("tags"),
        "No cell is tagged",
    ),
    "checked cell without print": (
        lambda n: cell(n, "figure").metadata.update(tags=["nbval-check-output"]),
        "only print",
    ),
    "error stored": (
        lambda n: cell(n, "method").update(
            outputs=[
                nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])
            ]
        ),
        "an error",
    ),
    "text on stderr": (
        lambda n: cell(n, "result").outputs[0].update(name="stderr"),
        "stderr",
    ),
    "warning shown": (
        set_output("result", "mean 0.875\nFutureWarning: soon gone"),
        "FutureWarning",
    ),
    "no alt text": (
        lambda n: cell(n, "figure").metadata.pop("mystnb"),
        "mystnb.image.alt",
    ),
    "short alt text": (
        lambda n: cell(n, "figure").metadata.mystnb.image.update(alt="A figure"),
        "mystnb.image.alt",
    ),
    "image lost": (lambda n: cell(n, "figure").update(outputs=[]), "stores no image"),
    "cell skipped": (
        lambda n: cell(n, "method").metadata.update(tags=["nbval-skip"]),
        "nbval-skip",
    ),
    "comment marker": (
        lambda n: cell(n, "result").update(source="# NBVAL_CHECK_OUTPUT\nprint(1)"),
        "by a comment",
    ),
    "old version in the set-up cell": (
        lambda n: n.cells[1].update(
            source=re.sub(r"==\S+", "==0.0.0", n.cells[1].source)
        ),
        "bootstrap",
    ),
    "no set-up cell": (lambda n: n.cells.pop(1), "bootstrap"),
    "long cell": (
        lambda n: cell(n, "method").update(source="x = 1\n" * 41),
        "more than 40 lines",
    ),
    "wide code": (
        lambda n: cell(n, "method").update(source="x = " + "1" * 85),
        "a line of code of 89 columns",
    ),
    "wide output": (
        set_output("result", "mean 0.875 " + "." * 78),
        "a printed line of 89 columns",
    ),
    "wide Chinese output": (
        set_output("result", "mean 0.875 " + "好" * 39),
        "a printed line of 89 columns",
    ),
    "folded without a label": (
        lambda n: cell(n, "method").metadata.update(tags=["hide-cell"]),
        "is folded under ''",
    ),
    "set-up not folded": (
        lambda n: n.cells[1].metadata.update(tags=["set-up"]),
        "not the set-up cell",
    ),
    "no sentence under the title": (
        lambda n: cell(n, "title").update(source="# A tiny chapter"),
        "not a title and, under it, a plain sentence",
    ),
    "a role in the sentence": (
        lambda n: cell(n, "title").update(source="# Tiny\n\nA {term}`root`."),
        "not a title and, under it, a plain sentence",
    ),
    "ids repeat": (lambda n: cell(n, "method").update(id="result"), "repeat"),
    "id missing": (lambda n: cell(n, "method").pop("id"), "missing"),
    "invalid format": (
        lambda n: cell(n, "method").update(
            outputs=[nbformat.NotebookNode(output_type="figure")]
        ),
        "Not a valid notebook",
    ),
    "prose, a decimal changed": (
        lambda n: cell(n, "prose").update(source=PROSE.replace("is 0.875", "is 0.874")),
        "prose: 0.874 is bound to no printed line",
    ),
    "prose, a percentage changed": (
        lambda n: cell(n, "prose").update(source=PROSE.replace("87.5 %", "88 %")),
        "prose: 88 % is bound to no printed line",
    ),
    "prose, a directive changed": (
        lambda n: cell(n, "prose").update(source=PROSE.replace("below 0.875", "0.5")),
        "prose: 0.5 is bound to no printed line",
    ),
    "output changed under the prose": (
        set_output("result", "mean 0.874\n"),
        "prose: 0.875 does not stand in 'result | mean'",
    ),
    "the number moved to another line": (
        set_output("result", "mean 0.874\nspread 0.875\n"),
        "prose: 0.875 does not stand in 'result | mean'",
    ),
    "the number moved to another cell": (
        lambda n: cell(n, "prose").metadata.quotes.update({"0.875": "method | mean"}),
        "prose: 0.875 does not stand in 'method | mean'",
    ),
    "a quote is left over": (
        lambda n: cell(n, "prose").update(source="Nothing."),
        "quotes 0.875, which it does not say",
    ),
    "cited without citation": (
        lambda n: cell(n, "paper").update(source="The paper reports 91.2 %."),
        "cites nothing",
    ),
}


@pytest.mark.parametrize("damage, message", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_named(node, damage, message):
    damage(node)
    assert any(message in problem for problem in all_problems(node)), all_problems(node)


def test_measured_time_is_said(chapter, node, tmp_path):
    kept, path = tmp_path / notebooks.TIMINGS, tmp_path / chapter.name

    def problems(said):
        cell(node, "title").source = f"# Tiny\n\n{said}, an hour to read."
        nbformat.write(node, path)
        return notebooks.time_problems(path, tmp_path)

    assert "was not measured" in problems(notebooks.takes(31))[0]
    kept.parent.mkdir(parents=True)
    kept.write_text('[{"notebook": "01_tiny", "cpu_seconds": 31.0, "wall_seconds": 1}]')
    assert notebooks.takes(31).startswith("**It takes** about 30 seconds of CPU time")
    assert problems(notebooks.takes(31)) == []
    assert "make budget" in problems(notebooks.takes(61))[0]
    assert "make budget" in problems("It takes long")[0]


def test_binding_takes_the_nearest_line_and_keeps_what_holds(node, tmp_path):
    path = tmp_path / "n.ipynb"
    set_output("result", "mean 0.875\nspread 0.875\nother 0.1\n")(node)
    cell(node, "prose").metadata.quotes["0.875"] = "result | spread"
    cell(node, "prose").source += "\n\nAnd 0.1 beside 0.2."
    nbformat.write(node, path)
    notebooks.bind([path])
    bound = notebooks.read(path)
    assert cell(bound, "prose").metadata.quotes == {
        "0.875": "result | spread",
        "87.5 %": "result | mean",
        "0.1": "result | other",
    }
    assert ["0.2 is bound to no" in it for it in all_problems(bound)] == [True]


def test_reading_repairs_nothing(chapter, node, tmp_path):
    cell(node, "method")["id"] = "result"
    (tmp_path / "n.ipynb").write_text(nbformat.v4.writes(node), encoding="utf-8")
    assert notebooks.format_problems(notebooks.read(tmp_path / "n.ipynb"))


@pytest.mark.parametrize(
    "printed, exit_code", [("mean 0.875\n", 0), ("mean 0.874\n", 1)]
)
def test_nbval_compares_stored_numbers(node, tmp_path, printed, exit_code):
    cell(node, "result").outputs[0].text = printed
    nbformat.write(node, tmp_path / "n.ipynb")
    done, counts = notebooks.nbval(tmp_path / "n.ipynb", dict(os.environ))
    assert done.returncode == exit_code, done.stdout
    assert counts == {"tests": len(notebooks.code_cells(node)), "skipped": 0}
    assert ("Cell outputs differ" in done.stdout) == bool(exit_code)


def test_export_is_compared(chapter):
    root = chapter.parent.parent
    notebooks.export([chapter], root)
    assert notebooks.export_problems([chapter], root) == []
    module = root / notebooks.METHODS / "tiny.py"
    text = module.read_text()
    assert (
        "DO NOT EDIT" in text
        and "../../notebooks/01_tiny.ipynb" in text
        and not list(root.rglob("_modidx.py"))
    )

    module.write_text(text.replace("math.sqrt(x)", "x ** 0.5"))
    assert "edit the chapter" in notebooks.export_problems([chapter], root)[0]
    notebooks.export([chapter], root)
    assert module.read_text() == text

    (module.parent / "stranger.py").write_text("x = 1\n")
    assert (
        "stranger.py comes from no chapter"
        in notebooks.export_problems([chapter], root)[0]
    )
    (module.parent / "stranger.py").unlink()
    module.rename(module.with_name("left_over.py"))
    assert len(notebooks.export_problems([chapter], root)) == 2
    notebooks.export([chapter], root)
    assert notebooks.export_problems([chapter], root) == []


def test_two_chapters_cannot_export_one_module(chapter):
    twin = chapter.with_name("02_twin.ipynb")
    twin.write_bytes(chapter.read_bytes())
    assert any(
        "give one another default_exp" in p
        for p in notebooks.export_problems([chapter, twin], chapter.parent.parent)
    )
    twin.unlink()


def test_a_module_has_the_name_of_its_chapter(chapter, tmp_path):
    renamed = tmp_path / "01_small.ipynb"
    renamed.write_bytes(chapter.read_bytes())
    problems = notebooks.export_problems([renamed], chapter.parent.parent)
    assert any("`#| default_exp methods.small`" in p for p in problems), problems


def test_export_without_a_module_is_an_error(node, tmp_path):
    node.cells.remove(cell(node, "module"))
    nbformat.write(node, tmp_path / "n.ipynb")
    with pytest.raises(SystemExit, match="default_exp"), pytest.warns(UserWarning):
        notebooks.exported(tmp_path / "n.ipynb")


def test_exported_code_brings_its_imports(node, tmp_path):
    cell(node, "method").source = METHOD.replace("import math\n", "")
    nbformat.write(node, tmp_path / "n.ipynb")
    assert any(
        "lacks ['math']" in p
        for p in notebooks.export_problems([tmp_path / "n.ipynb"], tmp_path)
    )


def test_cpu_seconds_are_those_of_the_kernel(node, tmp_path):
    cell(
        node, "method"
    ).source += "\n\n\nimport time\nwhile time.process_time() < 2:\n    pass"
    nbformat.write(node, tmp_path / "n.ipynb")
    _, cpu, wall = notebooks.run(tmp_path / "n.ipynb")
    assert cpu >= 2 and wall > 1


def test_failing_chapter_is_not_stored(node, tmp_path):
    cell(node, "method").source = "1 / 0"
    nbformat.write(node, tmp_path / "n.ipynb")
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        notebooks.run(tmp_path / "n.ipynb")


def test_toc_names_what_exists(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_a.ipynb").touch()
    (tmp_path / "index.md").touch()
    toc = tmp_path / "_toc.yml"
    toc.write_text("format: jb-book\nroot: index\nchapters:\n- file: notebooks/01_a\n")
    assert notebooks.toc_problems(tmp_path) == []
    toc.write_text("format: jb-book\nroot: index\nchapters:\n- file: notebooks/02_b\n")
    assert len(notebooks.toc_problems(tmp_path)) == 2


def test_readme_lists_the_chapters(chapter, tmp_path):
    (tmp_path / "notebooks").mkdir()
    shutil.copy(chapter, tmp_path / "notebooks")
    (tmp_path / "_toc.yml").write_text(
        "root: index\nchapters:\n- file: notebooks/01_tiny"
    )
    readme, row = (
        tmp_path / "README.md",
        "| 01 | [Tiny](notebooks/01_tiny.ipynb) | Old. |",
    )
    readme.write_text(f"# All\n\n| | chapter | |\n|---|---|---|\n{row}\n\nThe end.\n")
    assert "make export" in notebooks.readme_problems(tmp_path)[0]
    notebooks.export([chapter], tmp_path)
    new = "| 01 | [A tiny chapter](notebooks/01_tiny.ipynb) | It takes a root. |"
    assert new in readme.read_text() and readme.read_text().endswith("\n\nThe end.\n")
    assert notebooks.readme_problems(tmp_path) == []


def test_broken_link_breaks_the_build(tmp_path):
    (tmp_path / "_config.yml").write_text(
        "title: Tiny\nonly_build_toc_files: true\nexecute:\n  execute_notebooks:"
        " 'off'\n"
    )
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    (tmp_path / "index.md").write_text("# Tiny\n\nRead [the rest](missing.md).\n")
    done = notebooks.build_book(tmp_path, tmp_path / "out")
    assert done.returncode != 0
    assert re.findall("WARNING: .*", done.stderr) and "missing.md" in done.stderr
