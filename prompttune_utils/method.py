"""One type for every method of the course: what of a model is frozen, what is trained,
and how rows become logits, a loss and predictions."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from prompttune_utils.evaluation import score_rows
from prompttune_utils.reading import check_rows, labels_of
from prompttune_utils.scoring import remove_prior


class Method(nn.Module):
    """A language model that a method has made into a classifier.

    A subclass builds its parts in `__init__` and says in `forward` how rows become
    logits. It takes `backbone.copy()` to train the model's own weights, or
    `backbone.frozen()` to leave them; what is trained is what requires a gradient.

    Args:
        backbone: a `hub.Backbone`, already a copy or a frozen view.
        labels: number of classes, C.

    A row is a dictionary with a `text` (and a `text_b` for pairs), and for training the
    number of its `label`.
    """

    def __init__(self, backbone, labels: int):
        super().__init__()
        self.model, self.tokenizer = backbone.model, backbone.tokenizer
        self.name, self.labels = backbone.name, labels
        self.register_buffer("prior", None)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def forward(self, rows: list[dict]) -> torch.Tensor:
        """Logits (B, C) as the model gives them."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: write one.")

    def logits(self, rows: list[dict]) -> torch.Tensor:
        """Logits (B, C); after `calibrate`, log-probabilities minus the prior."""
        logits = self(rows)
        return logits if self.prior is None else remove_prior(logits, self.prior)

    def loss(self, rows: list[dict]) -> torch.Tensor:
        """Cross-entropy of the labels, a scalar: the mean over the rows."""
        gold = torch.tensor(labels_of(rows, self.labels), device=self.device)
        return nn.functional.cross_entropy(self.logits(rows), gold)

    def calibrate(self, rows: list[dict]) -> None:
        """From now on subtracts the model's bias: its average answer over these texts.
        Their labels are not looked at."""
        check_rows(rows)
        logits = score_rows(rows, self)  # (n, C)
        self.prior = logits.log_softmax(-1).mean(0, keepdim=True).to(self.device)

    def score(self, rows: list[dict]) -> torch.Tensor:
        """Logits (len(rows), C) on the CPU, in batches of like length, no gradients."""
        return score_rows(rows, self.logits)

    def predict(self, rows: list[dict]) -> list[int]:
        """The number of the best label of each row."""
        return self.score(rows).argmax(-1).tolist()

    def hits(self, rows: list[dict]) -> np.ndarray:
        """For each row whether the best label is its `label`: booleans (len(rows),)."""
        return np.array(self.predict(rows)) == labels_of(rows, self.labels)

    def train(self, mode: bool = True) -> "Method":
        """Training mode for what is trained; what is frozen stays in evaluation mode,
        so that dropout in a frozen model does not blur what the trained part sees."""
        super().train(mode)
        if mode:
            rest(self)
        return self

    @property
    def trainable(self) -> int:
        """Number of parameters that are trained."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    # -- one small file a task

    def save(self, path: str | Path) -> None:
        """Writes what was trained, and the prior, as safetensors. The frozen weights
        are not in it; their hash is."""
        state = {name: value.contiguous() for name, value in self._own().items()}
        part = Path(path).with_suffix(".part")
        save_file(state, str(part), {"method": json.dumps(self._identity())})
        part.replace(path)

    def load(self, path: str | Path) -> "Method":
        """Reads what `save` wrote into a method that was built in the same way.

        Raises:
            ValueError: the file is damaged, or of another method, model or shape.
        """
        try:
            with safe_open(str(path), "pt") as file:
                identity = json.loads((file.metadata() or {})["method"])
                names = file.keys()  # noqa: SIM118, it is no dictionary
                state = {name: file.get_tensor(name) for name in names}
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise ValueError(
                f"{path} cannot be read as a saved method ({type(error).__name__}): "
                "give a file that `save` has written."
            ) from None
        mine = self._identity()
        for key, value in mine.items():
            if identity.get(key) != value:
                raise ValueError(
                    f"{path} was trained with {key} {identity.get(key)} and this one "
                    f"has {key} {value}: build the method as it was when it was saved."
                )
        self.prior = state.pop("prior", None)
        own = self._own()
        own.pop("prior", None)
        wrong = {n for n in {*own, *state} if shape(own.get(n)) != shape(state.get(n))}
        if wrong:
            raise ValueError(
                f"{path} has {min(wrong)} in another shape than this method: build it "
                "as it was when it was saved."
            )
        self.load_state_dict(state, strict=False)
        return self.to(self.device)

    def _own(self) -> dict[str, torch.Tensor]:
        """What `save` keeps: trained parameters, and buffers beside the model's."""
        frozen = {n for n, p in self.named_parameters() if not p.requires_grad}
        buffers = {n for n, _ in self.named_buffers() if n.startswith("model.")}
        kept = {n: p for n, p in self.named_parameters() if n not in frozen}
        kept |= {n: b for n, b in self.named_buffers() if n not in buffers}
        return {name: value.detach() for name, value in kept.items()}

    def _identity(self) -> dict:
        """What a saved file must fit: the method, the labels, the frozen weights."""
        digest = hashlib.sha256()
        for name, p in sorted(self.named_parameters()):
            if not p.requires_grad:
                flat = p.detach().cpu().contiguous().flatten()
                digest.update(name.encode() + flat.view(torch.uint8).numpy().tobytes())
        return {
            "method": type(self).__name__,
            "labels": self.labels,
            "backbone": self.name,
            "frozen weights": digest.hexdigest()[:16],
        }


def rest(module: nn.Module) -> None:
    """Puts every part of a module in which nothing is trained into evaluation mode."""
    parameters = list(module.parameters())
    if parameters and not any(p.requires_grad for p in parameters):
        module.eval()
    else:
        for child in module.children():
            rest(child)


def shape(tensor: torch.Tensor | None) -> tuple | None:
    return None if tensor is None else tuple(tensor.shape)
