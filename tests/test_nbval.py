"""Every chapter, run once by nbval as a reader has it: the installed wheel, a folder
with nothing else in it, no network.

Marked cells must print what the committed notebook shows, every cell must run, and the
order of the chapters is drawn by a seed that is printed: PROMPTTUNE_ORDER=<seed>
repeats it.
"""

import json
import os
import random
import shutil
import subprocess
import sys

import nbformat
import pytest

from tools.notebooks import ROOT, chapters, code_cells, nbval, read

ORDER = int(
    os.environ.get("PROMPTTUNE_ORDER") or random.SystemRandom().randrange(10**6)
)
SHUFFLED = random.Random(ORDER).sample(chapters(), len(chapters()))
# The interpreter loads it at its start: whatever asks for another machine fails, and is
# written down.
BLOCKED = """
import os, sys

def watch(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto"):
        where = arguments[1]
        host = where[0] if isinstance(where, tuple) else None
    else:
        return
    if host not in (None, "", "localhost", "127.0.0.1", "::1"):
        with open(os.environ["ATTEMPTS"], "a") as attempts:
            print(event, host, file=attempts)
        raise OSError(f"the network is blocked, and {host} was asked for")

sys.addaudithook(watch)
"""
# the last cell of each chapter under test: which files the kernel has loaded, and which
# kept results of its cache files no cell has asked for
LAST = """
import gc, json, os, sys
from prompttune_utils.cache import Cache

files = [getattr(module, "__file__", None) for module in [*sys.modules.values()]]
unused = {}
for cache in [found for found in gc.get_objects() if isinstance(found, Cache)]:
    new = set(cache.unused())
    unused[str(cache.path)] = unused.get(str(cache.path), new) & new
with open(os.environ["SEEN"], "w") as seen:
    unused = {path: sorted(calls) for path, calls in unused.items()}
    json.dump([[f for f in files if isinstance(f, str)], unused], seen)
"""


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """A folder with what the wheel installs."""
    source, target = map(tmp_path_factory.mktemp, ("source", "installed"))
    for file in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT"):
        shutil.copy(ROOT / file, source)
    package, unwanted = "prompttune_utils", shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / package, source / package, ignore=unwanted)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", source]
    subprocess.run([*wheel, source], check=True)
    (built,) = source.glob("*.whl")
    install = [*pip, "install", "--no-deps", "--no-index", "--target", target]
    subprocess.run([*install, built], check=True)
    (target / "sitecustomize.py").write_text(BLOCKED)
    return target


@pytest.fixture(scope="session")
def environment(installed, tmp_path_factory):
    """Ours, without a mirror and with caches that begin empty. The hub is not switched
    off, and nothing may ask for it."""
    dropped = ("PROMPTTUNE_MIRROR", "HF_HUB_OFFLINE")
    caches = str(tmp_path_factory.mktemp("caches"))
    given = {"PYTHONPATH": str(installed), "HF_HOME": caches, "OMP_NUM_THREADS": "1"}
    return {k: v for k, v in os.environ.items() if k not in dropped} | given


@pytest.mark.parametrize("chapter", SHUFFLED, ids=lambda c: c.stem)
def test_chapter_prints_what_it_shows(
    chapter, installed, environment, tmp_path, capsys
):
    with capsys.disabled():
        print(f"\nPROMPTTUNE_ORDER={ORDER} {chapter.stem} ", end="", flush=True)
    node, alone = read(chapter), tmp_path / "alone" / chapter.name
    node.cells.append(nbformat.v4.new_code_cell(LAST, id="last"))
    alone.parent.mkdir()
    nbformat.write(node, alone)
    attempts, seen = tmp_path / "attempts", tmp_path / "seen"
    watched = environment | {"ATTEMPTS": str(attempts), "SEEN": str(seen)}
    done, counts = nbval(alone, watched)
    assert done.returncode == 0, done.stdout[-6000:]
    assert counts == {"tests": len(code_cells(node)), "skipped": 0}
    files, unused = json.loads(seen.read_text())
    assert str(installed / "prompttune_utils" / "__init__.py") in files
    ours = [
        f for f in files if f.startswith(str(ROOT)) and not f.startswith(sys.prefix)
    ]
    assert ours == []
    results = installed / "prompttune_utils" / "assets" / "results"
    kept = {str(f) for f in results.rglob(f"{chapter.stem}.cache.json")}
    assert unused == dict.fromkeys(kept, []), "no cell asks for these kept results"
    assert not attempts.exists(), attempts.read_text()


def test_the_network_is_blocked(environment, tmp_path):
    """Other machines are refused and written down, this machine is not."""
    code = """
import socket
for ask in (
    lambda: socket.getaddrinfo("huggingface.co", 443),
    lambda: socket.create_connection(("192.0.2.1", 80), 1),
):
    try:
        ask()
    except OSError as error:
        print(error)
with socket.create_server(("localhost", 0)) as here:
    socket.create_connection(here.getsockname())
"""
    attempts, hosts = tmp_path / "attempts", ["huggingface.co", "192.0.2.1"]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"ATTEMPTS": str(attempts)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    refused = [f"the network is blocked, and {host} was asked for" for host in hosts]
    assert done.stdout.splitlines() == refused
    assert [line.split()[1] for line in attempts.read_text().splitlines()] == hosts
