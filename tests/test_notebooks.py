"""The committed chapters: executed, checked, described, and in step with the package.
tests/test_gates.py shows these guards fail."""

import importlib
import json
import re

import pytest

from prompttune_utils import cache, results
from tools import notebooks

CHAPTERS = notebooks.chapters()
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.stem)


def test_there_are_chapters():
    assert CHAPTERS


@pytest.mark.parametrize("guard", notebooks.GUARDS, ids=lambda g: g.__name__)
@each_chapter
def test_chapter_is_sound(chapter, guard):
    assert guard(notebooks.read(chapter)) == []


@each_chapter
def test_chapter_says_its_measured_time(chapter):
    assert notebooks.time_problems(chapter) == []


def test_methods_equal_a_fresh_export():
    assert notebooks.export_problems(CHAPTERS) == []


def test_methods_can_be_imported():
    for module in notebooks.ROOT.joinpath(notebooks.METHODS).glob("*.py"):
        importlib.import_module(f"prompttune_utils.methods.{module.stem}")


def test_table_of_contents_readme_and_chapters_agree():
    assert notebooks.toc_problems() == []
    assert notebooks.readme_problems() == []


@each_chapter
def test_kept_results_belong_to_the_packaged_files(chapter):
    """Where a chapter asks a Cache: weights and data that its runs loaded are those of
    the package. That their code is today's shows when the chapter is executed."""
    kept = cache.Cache(chapter.stem, "mini")
    if any(
        re.search(r"\bCache\(", c.source)
        for c in notebooks.code_cells(notebooks.read(chapter))
    ):
        assert kept.path.exists(), (
            f"{chapter.name} asks a Cache and {kept.path.name} is not there: run "
            "`make results`."
        )
    assert kept.outdated() == [], f"run `make results`: {kept.path.name}"


def test_every_recorded_file_has_its_chapter():
    names = {c.stem for c in CHAPTERS} | {notebooks.TIMINGS.stem, "speed"}
    assert {
        f.name.removesuffix(".json").removesuffix(".cache").removesuffix(".claims")
        for f in results.FOLDER.glob("*.json")
    } <= names


def test_benchmarks_show_the_recorded_speed():
    """Each ratio of `make bench` stands on the page, marked if it is over its goal."""
    page = next(c for c in CHAPTERS if c.stem == "A2_benchmarks")
    cells = notebooks.code_cells(notebooks.read(page))
    shown = "".join(str(cell.outputs) for cell in cells)
    for row in json.loads((results.FOLDER / "speed.json").read_text("utf-8"))["ratios"]:
        ratio = "{ratio:.2f} ({low:.2f} to {high:.2f})".format(**row)
        over = row["goal"] is not None and row["ratio"] > row["goal"]
        if row["what"] != "floor":
            assert f"{ratio}{' ✗ over' if over else ''}</td>" in shown
