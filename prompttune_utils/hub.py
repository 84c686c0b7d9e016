"""Where models and data come from: a path, a packaged asset, a mirror folder, or the Hugging Face hub, in this order."""

import contextlib
import copy
import dataclasses
import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"

# role -> language -> (model, learning rate for tuning all its weights through a prompt, and with a new head), for each PROMPTTUNE_SCALE
SCALES = {
    "mini": {
        "masked_lm": {"en": ("mini-bert", 3e-5, 3e-4), "zh": ("mini-bert", 3e-5, 3e-4)},
        "causal_lm": {"en": ("mini-gpt", 3e-4, 3e-4), "zh": ("mini-gpt", 3e-4, 3e-4)},
        "seq2seq_lm": {"en": ("mini-t5", 1e-3, 1e-3), "zh": ("mini-t5", 1e-3, 1e-3)},
    },
    "full": {
        "masked_lm": {
            "en": ("google-bert/bert-base-uncased", 2e-5, 2e-5),
            "zh": ("google-bert/bert-base-chinese", 2e-5, 2e-5),
        },
        "causal_lm": {
            "en": ("Qwen/Qwen2.5-0.5B-Instruct", 1e-5, 1e-5),
            "zh": ("Qwen/Qwen2.5-0.5B-Instruct", 1e-5, 1e-5),
        },
        "seq2seq_lm": {
            "en": ("google/t5-base-lm-adapt", 1e-4, 1e-4),
            "zh": ("google/mt5-base", 1e-4, 1e-4),
        },
    },
}
CLASSES = {
    "masked_lm": "AutoModelForMaskedLM",
    "causal_lm": "AutoModelForCausalLM",
    "seq2seq_lm": "AutoModelForSeq2SeqLM",
}


class NotFound(FileNotFoundError):
    """A model or data set that resolves nowhere."""


@dataclass
class Place:
    """Where a name was found: `kind` is path, asset, mirror or hub; `location` is a folder, or the hub id."""

    name: str
    kind: str
    location: str

    def __str__(self) -> str:
        where = {
            "path": f"folder {self.location}",
            "asset": "packaged with the course",
            "mirror": "mirror",
            "hub": "Hugging Face hub",
        }
        return f"{self.name}: {where[self.kind]}"


@dataclass
class Backbone:
    """A loaded language model and its tokenizer, with defaults for tuning all weights.

    Whoever trains weights trains those of a `copy()`; whoever trains a prompt before the
    model takes `frozen()`. Neither touches the backbone it was given.

    `model` is on `device`; `learning_rate` is for tuning all weights through a prompt,
    `head_learning_rate` for tuning them with a new head.
    """

    name: str
    model: object
    tokenizer: object
    learning_rate: float
    place: Place
    device: str
    head_learning_rate: float = 3e-5

    def copy(self) -> "Backbone":
        """The same backbone with weights of its own, all of them free to train."""
        model = copy.deepcopy(self.model).requires_grad_(True).eval()
        return dataclasses.replace(self, model=model)

    def frozen(self) -> "Backbone":
        """The same backbone without gradients: it shares the memory of the weights, and
        nothing else (mode, hooks, config, requires_grad)."""
        from torch.nn import Parameter

        memo = {id(p): Parameter(p.detach(), False) for p in self.model.parameters()}
        return dataclasses.replace(self, model=copy.deepcopy(self.model, memo).eval())


def scale() -> str:
    """`mini` or `full`, from PROMPTTUNE_SCALE (default mini). Raises ValueError for another word."""
    chosen = os.environ.get("PROMPTTUNE_SCALE", "mini")
    if chosen not in SCALES:
        raise ValueError(
            f"PROMPTTUNE_SCALE is {chosen!r}: set it to one of {', '.join(SCALES)}."
        )
    return chosen


def offline() -> bool:
    """True when HF_HUB_OFFLINE forbids the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "0").upper() in {"1", "TRUE", "YES", "ON"}


def reachable(seconds: float = 10) -> bool:
    """Whether the hub answers within so many seconds; its own client would try again and again, for minutes."""
    import huggingface_hub

    answers = []

    def ask() -> None:
        with contextlib.suppress(Exception):
            answers.append(
                huggingface_hub.get_session().head(
                    huggingface_hub.constants.ENDPOINT, timeout=seconds
                )
            )

    # in a thread, for no timeout bounds how long a name is looked up, or how many addresses are tried
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return bool(answers)


def not_fetched(place: Place, cause: Exception | str) -> NotFound:
    """The error for what the hub did not give; one sentence."""
    cause = cause if isinstance(cause, str) else type(cause).__name__
    return NotFound(
        f"{place.name!r} could not be fetched from the hub ({cause}): check the network, or set PROMPTTUNE_MIRROR to a folder that holds it."
    )


def resolve(name: str, wanted: str = "config.json") -> Place:
    """Finds `name`; `wanted` is a file that a folder must hold to count (a glob pattern).

    Raises:
        NotFound: one sentence: what was looked for, where, and what to do.
    """
    looked = []
    folders = [("path", Path(name)), ("asset", ASSETS / name)]
    if os.environ.get("PROMPTTUNE_MIRROR"):
        folders.append(("mirror", Path(os.environ["PROMPTTUNE_MIRROR"]) / name))
    for kind, folder in folders:
        if folder.is_dir():
            if next(folder.glob(wanted), None):
                return Place(name, kind, str(folder))
            looked.append(f"{folder} (which has no {wanted})")
        else:
            looked.append(str(folder))
    if "/" in name and not name.startswith((".", "/", "~")) and not offline():
        return Place(name, "hub", name)
    raise NotFound(
        f"{name!r} was not found in {', '.join(looked)}"
        + (", and the hub is switched off by HF_HUB_OFFLINE" if offline() else "")
        + ": give a folder, a packaged name ("
        + ", ".join(packaged())
        + "), or set PROMPTTUNE_MIRROR to a folder that holds it."
    )


def packaged() -> list[str]:
    """Names of the packaged models and data sets."""
    return sorted(
        p.name for p in ASSETS.iterdir() if p.is_dir() and p.name != "results"
    )


def load(
    role: str, language: str = "en", name: str | None = None, verbose: bool = True
) -> Backbone:
    """Loads the language model for a role at the current scale.

    Args:
        role: masked_lm, causal_lm or seq2seq_lm.
        language: en or zh; the minis read both.
        name: another model than the scale's: a folder, a packaged name or a hub id.
        verbose: print where the model was found.

    Raises:
        NotFound: the model is nowhere. ValueError: unknown role, or weights that cannot be read.
    """
    import transformers

    table = SCALES[scale()]
    if role not in table:
        raise ValueError(
            f"There is no {role!r} at scale {scale()!r}: choose one of {', '.join(table)}."
        )
    chosen, learning_rate, head_learning_rate = table[role][language]
    place = resolve(name or chosen)
    device = "cpu"
    if scale() == "full":
        import torch

        device = (
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    # on CPUs the backward pass of torch's fused attention is slower than the plain one
    attention = {"attn_implementation": "eager"} if device == "cpu" else {}
    answers = place.kind != "hub" or reachable()
    try:
        with _quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                place.location, local_files_only=not answers
            )
            model, found = getattr(transformers, CLASSES[role]).from_pretrained(
                place.location,
                local_files_only=not answers,
                use_safetensors=True,
                dtype="float32",
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                **attention,
            )
    except (
        Exception
    ) as error:  # every backend has its own class for a damaged or missing file
        if place.kind == "hub":
            raise not_fetched(
                place, error if answers else "it does not answer"
            ) from None
        cause = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:120]}"
        raise ValueError(
            f"{place.name!r} in {place.location} cannot be loaded as {role} ({cause}): fetch or build the folder again."
        ) from None
    # these would start anew, at random
    if unfit := sorted(
        {*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}
    ):
        raise ValueError(
            f"The weights of {place.name!r} in {place.location} lack {len(unfit)} tensors of a {role}, or have them in another shape ({unfit[0]}): "
            "fetch or build the folder again, or choose a model made for this."
        )
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ValueError(
            f"{place.name!r} in {place.location} has no tokenizer: fetch or build the folder again."
        )
    if verbose:
        print(place)
    return Backbone(
        place.name,
        model.to(device).eval(),
        tokenizer,
        learning_rate,
        place,
        device,
        head_learning_rate,
    )


def position_limit(model) -> int | None:
    """How many tokens the model can read at once; None where nothing limits them.

    The limit is that of the positions: a table of learned ones (BERT, GPT-2, BART), or
    the length that rotary ones were made for (Qwen). RoBERTa and its kin number their
    positions from `padding_idx + 1`, so the first rows of their table serve no token.
    Relative positions and positions by distance (T5, BLOOM) have no limit. An
    encoder-decoder gives the limit of its encoder.
    """
    config = model.config.get_text_config(encoder=model.config.is_encoder_decoder)
    names = "max_position_embeddings", "max_encoder_position_embeddings", "max_seq_len"
    limits = [getattr(config, name, None) or 0 for name in names]
    if max(limits) <= 0:  # XLNet says -1
        return None
    for name, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)
        if name.endswith(".position_embeddings") and padding is not None:
            return max(limits) - padding - 1
    return max(limits)


@contextlib.contextmanager
def _quiet():
    """No progress bars, and no report of weights beside what `load` says itself."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def weights_hash(model) -> str:
    """SHA-256 (first 16 hex digits) over the names and values of all weights: equal before and after when a backbone is frozen."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
