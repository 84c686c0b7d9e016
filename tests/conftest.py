"""What all tests share: one thread, no network, and the minis."""

import importlib.util
import json
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
for variable in ("PROMPTTUNE_SCALE", "PROMPTTUNE_RECORD", "PROMPTTUNE_DEVICE"):
    os.environ.pop(variable, None)

import pytest  # noqa: E402
import torch  # noqa: E402

from prompttune_utils.hub import ASSETS  # noqa: E402
from tools.notebooks import ROOT  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def recorded():
    """Reads measurements of a mini's card.

    recorded(name, count=5, **settings) gives the `count` values with these settings, in
    their order.
    """

    def values(name: str, count: int = 5, **settings) -> list:
        entries = json.loads(
            Path(ASSETS / name / "evaluation.json").read_text(encoding="utf-8")
        )
        found = [
            e["value"] for e in entries if settings.items() <= e["settings"].items()
        ]
        assert len(found) == count, (name, settings, len(found))
        return found

    return values


@pytest.fixture(scope="session")
def book_pages():
    """The module that fills the pages; Sphinx loads it by its path, and so does
    this."""
    spec = importlib.util.spec_from_file_location(
        "book_pages", ROOT / "book" / "_ext" / "book_pages.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
