"""One setting, the repository's address in _config.yml, makes the Colab button, the
set-up cell and "How to run it" work. Before it is set, all three say what works."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from bs4 import BeautifulSoup

from prompttune_utils import __version__
from tools import notebooks
from tools.notebooks import ROOT, chapters

URL = "https://github.com/someone/somewhere"
COLAB = "https://colab.research.google.com/github/someone/somewhere/blob/main/"
PLACE = re.compile(r"https://github\.com/OWNER/\S+")


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """The book's sources with an address, and its first chapter."""
    root = tmp_path_factory.mktemp("copy")
    for name in ("_config.yml", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    for name in ("book", "prompttune_utils"):
        unwanted = shutil.ignore_patterns("*.safetensors", "__pycache__")
        shutil.copytree(ROOT / name, root / name, ignore=unwanted)
    (root / "notebooks").mkdir()
    shutil.copy(chapters()[0], root / "notebooks")
    config = (ROOT / "_config.yml").read_text(encoding="utf-8")
    (root / "_config.yml").write_text(PLACE.sub(URL, config), encoding="utf-8")
    pages = ["notebooks/" + chapters()[0].stem, "book/status", "book/real_model"]
    pages += ["book/glossary"]
    listed = "".join(f"- file: {page}\n" for page in [*pages, "book/references"])
    toc = f"format: jb-book\nroot: book/running\nchapters:\n{listed}"
    (root / "_toc.yml").write_text(toc, encoding="utf-8")
    return root


def test_the_address_is_a_placeholder_or_a_repository():
    url = notebooks.address()
    assert url is None or re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url)


def test_setup_cell_follows_the_setting(copied):
    (chapter,) = (copied / "notebooks").glob("*.ipynb")
    before = notebooks.read(chapter).cells[1].source
    notebooks.bootstrap([chapter], copied)
    after = notebooks.read(chapter).cells[1].source
    assert URL not in before and f'repository = "git+{URL}"' in after
    rest = [text.partition("\n\nimport ")[2] for text in (before, after)]
    assert rest[0] == rest[1] and len(rest[0]) > 100


@pytest.mark.parametrize(
    "url, index_has_it, wanted",
    [
        (URL, True, ["install -q prompttune-utils==VERSION"]),
        (
            URL,
            False,
            [
                "install -q prompttune-utils==VERSION",
                f"install -q git+{URL}",
            ],
        ),
        (None, False, ["install -q prompttune-utils==VERSION"]),
    ],
)
def test_colab_asks_the_index_then_the_repository(
    tmp_path, monkeypatch, url, index_has_it, wanted
):
    """IPython runs the set-up cell with a `pip` that writes down what it is asked."""
    monkeypatch.setattr(notebooks, "address", lambda root: url)
    cell = notebooks.bootstrap_code()
    pip = tmp_path / "bin" / "pip"
    pip.parent.mkdir()
    refuse = "" if index_has_it else 'case "$*" in *==*) exit 1;; esac\n'
    pip.write_text(f'#!/bin/sh\necho "$*" >> "{tmp_path}/asked"\n{refuse}')
    pip.chmod(0o755)
    fake = (
        "import sys, types\nsys.modules['google.colab'] = types.ModuleType('colab')\n"
    )
    (tmp_path / "cell.ipy").write_text(fake + cell)
    path = f"{pip.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "cell.ipy"],
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == [line.replace("VERSION", __version__) for line in wanted]
    assert ("See On Colab in How to run it." in done.stdout) == (url is None)


def test_button_and_page_follow_the_setting(copied, tmp_path):
    done = notebooks.build_book(copied, tmp_path)
    site = tmp_path / "_build" / "html"
    assert site.is_dir(), done.stderr[-3000:]
    name = f"notebooks/{chapters()[0].stem}"
    page = (site / f"{name}.html").read_text(encoding="utf-8")
    links = [a["href"] for a in BeautifulSoup(page, "html.parser").select("a[href]")]
    assert f"{COLAB}{name}.ipynb" in links
    running = (site / "book" / "running.html").read_text(encoding="utf-8")
    assert URL in running and f"prompttune-utils=={__version__}" in running
    assert "no public address" not in running
    for path in site.rglob("*.html"):
        assert "OWNER" not in path.read_text(encoding="utf-8"), path


def test_button_is_there_when_it_leads_somewhere():
    here = notebooks.address() is not None
    site = ROOT / "_build" / "html"
    pages = list((site / "notebooks").glob("*.html"))
    assert len(pages) == len(chapters())
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert ("colab.research" in text) == here and "OWNER" not in text, page.name
    running = (site / "book" / "running.html").read_text(encoding="utf-8")
    assert ("no public address yet" in running) != here
