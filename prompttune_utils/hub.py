"""Where models and data come from.

In this order: a path, a packaged asset, what `make real-model` fetched, a mirror
folder, the Hugging Face hub.
"""

import contextlib
import copy
import dataclasses
import hashlib
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"

# PROMPTTUNE_SCALE -> role -> language -> (model, learning rate for tuning all its
# weights through a prompt, the same with a new head)
SCALES = {
    "mini": {
        "masked_lm": {"en": ("mini-bert", 3e-5, 3e-4), "zh": ("mini-bert", 3e-5, 3e-4)},
        "causal_lm": {"en": ("mini-gpt", 3e-4, 3e-4), "zh": ("mini-gpt", 3e-4, 3e-4)},
        "seq2seq_lm": {"en": ("mini-t5", 1e-3, 1e-3), "zh": ("mini-t5", 1e-3, 1e-3)},
        "encoder": {"en": ("mini-bert", 3e-5, 3e-4), "zh": ("mini-bert", 3e-5, 3e-4)},
    },
    # no chapter has chosen rates for these two yet
    "real": {
        "causal_lm": {"en": ("HuggingFaceTB/SmolLM2-135M-Instruct", 1e-5, 1e-5)},
        "encoder": {"en": ("sentence-transformers/all-MiniLM-L6-v2", 5e-5, 5e-5)},
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
        "encoder": {
            "en": ("google-bert/bert-base-uncased", 2e-5, 2e-5),
            "zh": ("google-bert/bert-base-chinese", 2e-5, 2e-5),
        },
    },
}
CLASSES = {
    "masked_lm": "AutoModelForMaskedLM",
    "causal_lm": "AutoModelForCausalLM",
    "seq2seq_lm": "AutoModelForSeq2SeqLM",
    "encoder": "AutoModel",
}
# What this process read, in its order: `kind:name` of a model's folder or a data file.
# By it, a recorded result knows what its run loaded.
LOADED: list[str] = []
# what old files keep of each layer beside its weights: masks, angles of positions
CONSTANTS = "attn.bias", "attention.bias", "masked_bias", "causal_mask", "inv_freq"


class NotFound(FileNotFoundError):
    """A model or data set that resolves nowhere."""


@dataclass
class Place:
    """Where a name was found.

    `kind` is path, asset, models, mirror or hub; `location` is a folder, or the hub id.
    """

    name: str
    kind: str
    location: str

    def __str__(self) -> str:
        where = {
            "path": f"folder {self.location}",
            "asset": "packaged with the course",
            "models": "fetched by `make real-model`",
            "mirror": "mirror",
            "hub": "Hugging Face hub",
        }
        return f"{self.name}: {where[self.kind]}"


@dataclass
class Backbone:
    """A loaded language model and its tokenizer, with defaults for tuning all weights.

    Whoever trains weights trains those of a `copy()`; whoever trains a prompt before
    the model takes `frozen()`. Neither touches the backbone it was given.

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
        return dataclasses.replace(self, model=frozen_view(self.model).eval())

    def reinitialised(self, seed: int) -> "Backbone":
        """The same architecture with random weights, drawn from `seed`: the control
        for what pre-training brings. The global random state is left as it was."""
        import torch

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = type(self.model)(copy.deepcopy(self.model.config))
        model = model.to(self.device).eval()
        return dataclasses.replace(self, model=model)


def frozen_view(module):
    """The same weights, in the same memory, in modules of their own; no gradients."""
    from torch.nn import Parameter

    memo = {id(p): Parameter(p.detach(), False) for p in module.parameters()}
    return copy.deepcopy(module, memo)


def scale() -> str:
    """`mini`, `real` or `full`, from PROMPTTUNE_SCALE (default mini).

    Raises:
        ValueError: it is another word.
    """
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
    """Whether the hub answers within so many seconds.

    Its own client would try again and again, for minutes. False when HF_HUB_OFFLINE
    forbids the hub.
    """
    if offline():
        return False
    import huggingface_hub

    answers = []

    def ask() -> None:
        with contextlib.suppress(Exception):
            answers.append(
                huggingface_hub.get_session().head(
                    huggingface_hub.constants.ENDPOINT, timeout=seconds
                )
            )

    # in a thread, for no timeout bounds how long a name is looked up, or how many
    # addresses are tried
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return bool(answers)


def not_fetched(place: Place, cause: Exception | str) -> NotFound:
    """The error for what the hub did not give; one sentence."""
    cause = cause if isinstance(cause, str) else type(cause).__name__
    return NotFound(
        f"{place.name!r} could not be fetched from the hub ({cause}): check the "
        "network, or set PROMPTTUNE_MIRROR to a folder that holds it."
    )


def in_cache(name: str, wanted: str) -> bool:
    """Whether the hub's cache on this machine holds `name`.

    It is a model if the wanted file is its config.json, else a data set.
    """
    from huggingface_hub import snapshot_download

    is_model = wanted == "config.json"
    try:
        folder = snapshot_download(
            name,
            repo_type="model" if is_model else "dataset",
            allow_patterns=wanted if is_model else None,
            local_files_only=True,
        )
    except (OSError, ValueError):  # not there; no name of the hub
        return False
    return not is_model or (Path(folder) / wanted).is_file()


def models_folder() -> Path:
    """The folder of the models that `make real-model` fetches, by hub id.

    It is the one that PROMPTTUNE_MODELS names, or `models/` in the repository; where
    the course is installed without its repository, one in the cache of the user.
    """
    if os.environ.get("PROMPTTUNE_MODELS"):
        return Path(os.environ["PROMPTTUNE_MODELS"])
    repository = Path(__file__).parent.parent
    if (repository / "pyproject.toml").is_file():
        return repository / "models"
    return Path.home() / ".cache" / "prompttune" / "models"


def places(name: str) -> dict[str, Path]:
    """Where on this machine `name` may lie: kind of place -> path, the first to look at
    first."""
    found = {"path": Path(name), "asset": ASSETS / name}
    if models_folder().is_dir():
        found["models"] = models_folder() / name
    if os.environ.get("PROMPTTUNE_MIRROR"):
        found["mirror"] = Path(os.environ["PROMPTTUNE_MIRROR"]) / name
    return found


def resolve(name: str, wanted: str = "config.json") -> Place:
    """Finds `name`; `wanted` is a file that a folder must hold (a glob pattern).

    Where HF_HUB_OFFLINE forbids the hub, its cache on this machine still counts.

    Raises:
        NotFound: one sentence: what was looked for, where, and what to do.
    """
    looked = []
    for kind, folder in places(name).items():
        if folder.is_dir():
            if next(folder.glob(wanted), None):
                LOADED.append(f"{kind}:{name}")
                return Place(name, kind, str(folder))
            looked.append(f"{folder} (which has no {wanted})")
        else:
            looked.append(str(folder))
    of_hub = "/" in name and not name.startswith((".", "/", "~"))
    if of_hub and (not offline() or in_cache(name, wanted)):
        return Place(name, "hub", name)
    raise NotFound(
        f"{name!r} was not found in {', '.join(looked)}"
        + (", nor in the hub's cache" if of_hub and offline() else "")
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
        role: masked_lm, causal_lm, seq2seq_lm, or encoder: the hidden states alone,
            without an output matrix or a pooler.
        language: en or zh; the minis read both, the real models English.
        name: another model than the scale's: a folder, a packaged name or a hub id.
        verbose: print where the model was found.

    Raises:
        NotFound: the model is nowhere.
        ValueError: unknown role or language; weights that cannot be read, are damaged,
            or belong to another model; a model that cannot do what the role asks.
    """
    table = SCALES[scale()]
    if role not in table:
        raise ValueError(
            f"There is no {role!r} at scale {scale()!r}: choose one of "
            f"{', '.join(table)}."
        )
    if language not in table[role]:
        raise ValueError(
            f"There is no {role} for the language {language!r} at scale {scale()!r}: "
            f"choose one of {', '.join(table[role])}."
        )
    chosen, learning_rate, head_learning_rate = table[role][language]
    if name is None and scale() == "real":
        place = _real_place(chosen)
    else:
        place = resolve(chosen if name is None else str(name))
    device = _device()
    model, tokenizer, report = _read(place, role, device)
    _check_weights(place, role, model, report)
    _check_tokenizer(place, tokenizer, model)
    _check_role(place, role, model, tokenizer)
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


def _real_place(name: str) -> Place:
    """Where a real model lies; it is never taken from the hub, whose weights differ.

    Raises:
        NotFound: it was not fetched.
    """
    folder = models_folder() / name
    if not (folder / "config.json").is_file():
        raise NotFound(
            f"The real model {name!r} is not in {models_folder()}: run "
            "`make real-model`, or set PROMPTTUNE_MODELS to the folder that holds it."
        )
    LOADED.append(f"models:{name}")
    return Place(name, "models", str(folder))


def _device() -> str:
    """The device that PROMPTTUNE_DEVICE names, or cpu for the minis, and a GPU if there
    is one for larger models.

    Raises:
        ValueError: PROMPTTUNE_DEVICE names another, or one that is not here.
    """
    import torch

    here = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    asked = os.environ.get("PROMPTTUNE_DEVICE")
    if asked and not here.get(asked):
        raise ValueError(
            f"PROMPTTUNE_DEVICE is {asked!r}: set it to one of this machine's devices, "
            f"{', '.join(name for name in here if here[name])}."
        )
    if asked or scale() == "mini":
        return asked or "cpu"
    if here["cuda"]:
        return "cuda"
    return "mps" if here["mps"] and scale() == "full" else "cpu"


def _read(place: Place, role: str, device: str) -> tuple:
    """The model, its tokenizer, and transformers' report of missing and unused weights.

    Raises:
        NotFound: the hub did not give it. ValueError: the files cannot be read.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    # on CPUs the backward pass of torch's fused attention is slower than the plain one
    attention = {"attn_implementation": "eager"} if device == "cpu" else {}
    answers = place.kind != "hub" or reachable()
    try:
        # what a checkpoint lacks, such as a pooler, is drawn, and then thrown away
        with _quiet(), torch.random.fork_rng(devices=[]):
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                place.location, local_files_only=not answers
            )
            model, report = getattr(transformers, CLASSES[role]).from_pretrained(
                place.location,
                local_files_only=not answers,
                use_safetensors=True,
                dtype="float32",
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # `_check_weights` refuses them by name
                **attention,
            )
    # every backend has its own class for a damaged or missing file
    except Exception as error:
        if place.kind == "hub" and not isinstance(error, (ValueError, SafetensorError)):
            cause = error
            if not answers:
                cause = "HF_HUB_OFFLINE is set" if offline() else "it does not answer"
            raise not_fetched(place, cause) from None
        first_line = str(error).partition("\n")[0][:120]
        raise ValueError(
            f"{place.name!r} in {place.location} cannot be loaded as {role} "
            f"({type(error).__name__}: {first_line}): fetch or build the folder again."
        ) from None
    if role == "encoder" and getattr(model, "pooler", None) is not None:
        model.pooler = None
        missing = report["missing_keys"]
        report["missing_keys"] = [k for k in missing if not k.startswith("pooler.")]
    return model, tokenizer, report


def _check_weights(place: Place, role: str, model, report: dict) -> None:
    """Refuses weights that the model lacks, cannot place, or that are no numbers."""
    weights = f"The weights of {place.name!r} in {place.location}"
    mismatched = {key for key, *_ in report["mismatched_keys"]}
    # transformers would start these anew, at random
    anew = sorted(mismatched | set(report["missing_keys"]))
    if anew:
        raise ValueError(
            f"{weights} lack {len(anew)} tensors of a {role}, or have them in another "
            f"shape ({anew[0]}): fetch or build the folder again, or choose a model "
            "made for this."
        )
    # and leave these out; a pooler or another task's head is no loss, a layer is
    stacks = {_stack(key) for key in model.state_dict()} - {None}
    unused = []
    for key in sorted(report["unexpected_keys"]):
        layers = _stack(key)
        if layers is None or key.endswith(CONSTANTS):
            continue
        # a file may leave out the name of the whole: h for transformer.h
        if any(f".{stack}".endswith(f".{layers}") for stack in stacks):
            unused.append(key)
    if unused:
        raise ValueError(
            f"{weights} have {len(unused)} tensors in layers that its config.json does "
            f"not describe ({unused[0]}): fetch or build the folder again."
        )
    for key, value in model.state_dict().items():
        if not value.isfinite().all():
            raise ValueError(
                f"{weights} hold NaN or infinite numbers ({key}): fetch or build the "
                "folder again."
            )


def _stack(key: str) -> str | None:
    """The list of layers that a tensor belongs to: bert.encoder.layer of
    bert.encoder.layer.2.output.dense.bias; None if it belongs to none."""
    found = re.match(r"(.+?)\.\d+\.", key)
    return found[1] if found else None


def _check_tokenizer(place: Place, tokenizer, model) -> None:
    """Refuses a tokenizer that does not fit; one without a pad token pads with its end
    of text, which the attention mask hides."""
    where = f"{place.name!r} in {place.location}"
    if len(_ordinary_tokens(tokenizer)) < 2:
        raise ValueError(f"{where} has no tokenizer: fetch or build the folder again.")
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise ValueError(
            f"{where} has a tokenizer of {len(tokenizer)} tokens and embeddings for "
            f"{rows}: fetch or build the folder again."
        )
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ValueError(
                f"{where} has a tokenizer with neither a pad token nor an end of text: "
                "name a pad_token in its tokenizer_config.json."
            )
        tokenizer.pad_token = tokenizer.eos_token


def _ordinary_tokens(tokenizer) -> list[int]:
    """The ids of all tokens that are no control tokens."""
    special = set(tokenizer.all_special_ids)
    return [i for i in range(len(tokenizer)) if i not in special]


def _check_role(place: Place, role: str, model, tokenizer) -> None:
    """Refuses a model that runs in this role, but not as the role means."""
    problem = None
    if role == "seq2seq_lm":
        if not model.config.is_encoder_decoder:
            problem = "its config.json says that it is no encoder-decoder"
        elif model.config.decoder_start_token_id is None:
            problem = "its config.json has no decoder_start_token_id"
    elif role == "encoder" and model.config.is_encoder_decoder:
        problem = "its config.json says that it is an encoder-decoder"
    else:
        sees_later = _sees_later_tokens(model, tokenizer)
        if sees_later and role == "causal_lm":
            problem = "its positions see later tokens, as those of an encoder do"
        if not sees_later and role != "causal_lm":
            problem = "its positions do not see later tokens, as those of a decoder"
    if problem:
        raise ValueError(
            f"{place.name!r} in {place.location} cannot be loaded as {role} "
            f"({problem}): choose a model made for this."
        )


def _sees_later_tokens(model, tokenizer) -> bool:
    """Whether another last token changes what comes out at the positions before it."""
    import torch

    word, other = _ordinary_tokens(tokenizer)[:2]
    ids = torch.tensor([[word, word, word], [word, word, other]])
    with torch.no_grad():
        # logits, or the hidden states of an encoder
        outputs = model(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
    one, another = outputs[:, :-1]  # (2, V) or (2, d) each
    return bool((one - another).abs().max() > 1e-4 * one.abs().max())


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
    """SHA-256 (first 16 hex digits) over the names and the bytes of all weights.

    It is equal before and after when a backbone is frozen.
    """
    import torch

    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode())
        # as bytes, for NumPy has no bfloat16
        flat = value.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(flat.numpy().tobytes())
    return digest.hexdigest()[:16]
