"""Every chapter as a reader has it: the installed wheel, an empty folder, no network. It prints what its committed notebook shows.

The order is shuffled anew every day, so that no chapter comes to need what another left behind; PROMPTTUNE_ORDER=<number> repeats one.
"""

import datetime
import json
import os
import random
import shutil
import subprocess
import sys

import nbformat
import pytest

from tools.notebooks import CHECKED, ROOT, chapters, read, run, tags

ORDER = int(os.environ.get("PROMPTTUNE_ORDER", datetime.date.today().toordinal()))
# the interpreter loads it at its start: whatever asks for another machine fails, and is written down
BLOCKED = """
import os, sys

def watch(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if host not in (None, "", "localhost", "127.0.0.1", "::1"):
        with open(os.environ["ATTEMPTS"], "a") as attempts:
            print(event, host, file=attempts)
        raise OSError(f"the network is blocked, and {host} was asked for")

sys.addaudithook(watch)
"""
LOADED = """
import json, sys

print(json.dumps([path for m in [*sys.modules.values()] if isinstance(path := getattr(m, "__file__", None), str)]))
"""


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """A folder with what the wheel installs."""
    source, target = (
        tmp_path_factory.mktemp("source"),
        tmp_path_factory.mktemp("installed"),
    )
    for file in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT"):
        shutil.copy(ROOT / file, source)
    shutil.copytree(
        ROOT / "prompttune_utils",
        source / "prompttune_utils",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [
            *pip,
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            source,
            source,
        ],
        check=True,
    )
    (wheel,) = source.glob("*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--target", target, wheel],
        check=True,
    )
    (target / "sitecustomize.py").write_text(BLOCKED)
    return target


@pytest.fixture(scope="session")
def environment(installed, tmp_path_factory):
    """Ours, without a mirror and with caches that begin empty; the hub is not switched off, and nothing may ask for it."""
    caches = tmp_path_factory.mktemp("caches")
    dropped = ("PROMPTTUNE_MIRROR", "HF_HUB_OFFLINE")
    given = {"PYTHONPATH": str(installed), "HF_HOME": str(caches)}
    return {k: v for k, v in os.environ.items() if k not in dropped} | given


def printed(node) -> dict[str, str]:
    """What each checked cell prints, by its id."""
    return {
        c.id: "".join(o.text for o in c.outputs if o.get("name") == "stdout")
        for c in node.cells
        if CHECKED in tags(c)
    }


@pytest.mark.parametrize(
    "chapter",
    random.Random(ORDER).sample(chapters(), len(chapters())),
    ids=lambda c: c.stem,
)
def test_chapter_alone_prints_what_it_shows(
    chapter, installed, environment, tmp_path, capsys
):
    with capsys.disabled():
        print(f"\nPROMPTTUNE_ORDER={ORDER} {chapter.stem} ", end="", flush=True)
    node, folder, attempts = read(chapter), tmp_path / "empty", tmp_path / "attempts"
    node.cells.append(nbformat.v4.new_code_cell(LOADED))
    nbformat.write(node, tmp_path / chapter.name)
    folder.mkdir()
    executed, *_ = run(
        tmp_path / chapter.name, folder, environment | {"ATTEMPTS": str(attempts)}
    )
    assert printed(executed) == printed(node)
    files = json.loads(executed.cells[-1].outputs[0].text)
    assert str(installed / "prompttune_utils" / "__init__.py") in files
    assert [
        f for f in files if f.startswith(str(ROOT)) and not f.startswith(sys.prefix)
    ] == []
    assert not attempts.exists(), attempts.read_text()


def test_the_network_is_blocked(environment, tmp_path):
    """Names and addresses of other machines are refused and written down, this machine's are not."""
    code = """
import socket
for ask in (lambda: socket.getaddrinfo("huggingface.co", 443), lambda: socket.create_connection(("192.0.2.1", 80), 1)):
    try:
        ask()
    except OSError as error:
        print(error)
with socket.create_server(("localhost", 0)) as here:
    socket.create_connection(here.getsockname())
"""
    attempts = tmp_path / "attempts"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"ATTEMPTS": str(attempts)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"the network is blocked, and {host} was asked for"
        for host in ("huggingface.co", "192.0.2.1")
    ]
    assert [line.split()[1] for line in attempts.read_text().splitlines()] == [
        "huggingface.co",
        "192.0.2.1",
    ]
