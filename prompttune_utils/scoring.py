"""Logits of label words: one function for masked, causal and encoder-decoder models."""

import contextlib
from collections.abc import Sequence

import torch


def logits_at(model, inputs: dict, where) -> torch.Tensor:
    """Logits over the vocabulary at some positions of the text only.

    The model runs as it always does. Just before its head the hidden states (B, T, d)
    are cut down to `states[where]`, so the head works for these positions alone, and
    whatever it does before and after its output matrix (a transform, scaling, a soft
    cap, a bias) is the model's own.

    Args:
        model: a language model of transformers with an output matrix.
        inputs: what the model takes: input_ids or inputs_embeds, attention_mask, ...
            each (B, T, ...).
        where: an index of (B, T): a pair of index tensors (N,), or a mask (B, T) with
            N True values.

    Returns:
        (N, V), float32.

    Raises:
        ValueError: the model has no output matrix.
    """

    def cut_down(_, given: tuple) -> tuple:
        states, *rest = given
        return states[where], *rest

    hook = head_of(model).register_forward_pre_hook(cut_down)
    try:
        logits = model(**inputs).logits
    finally:
        hook.remove()
    # a model that does not call its head as a module was not cut down
    return (logits if logits.ndim == 2 else logits[where]).float()


def head_of(model) -> torch.nn.Module:
    """What makes logits of hidden states: the output matrix, with the small network
    before it where the model keeps both in one module, as BERT's family does.

    Raises:
        ValueError: the model has no output matrix.
    """
    output, words = model.get_output_embeddings(), model.get_input_embeddings()
    if output is None:
        raise ValueError(
            f"{type(model).__name__} has no output matrix over its vocabulary: load it "
            "with a language-model head."
        )
    for child in model.children():
        inside = list(child.modules())
        if output in inside and words not in inside:
            return child
    return output


def answer_position(inputs: dict) -> torch.Tensor:
    """The position (B,) of the last token of each text that attends."""
    mask = inputs["attention_mask"]
    return (torch.arange(mask.shape[1], device=mask.device) * mask).argmax(1)


def label_scores(
    model,
    inputs: dict,
    label_ids: Sequence[Sequence[int]],
    position: torch.Tensor | None = None,
) -> torch.Tensor:
    """Logits of the labels: one row a text, one column a label.

    Several words of one label: mean of their logits, as in PET (Schick and Schütze
    2021).

    Args:
        model: a language model of transformers with an output matrix.
        inputs: what the model takes: input_ids or inputs_embeds, attention_mask, ...
            each (B, T, ...). An encoder-decoder starts its answer by itself unless
            decoder_input_ids are given.
        label_ids: for each label the ids of its words.
        position: (B,) where the label stands: the mask, or for causal models the last
            token before it (default: the last token that attends; for encoder-decoders
            the last decoder step).

    Returns:
        (B, number of labels), float32.

    Raises:
        ValueError: a label without words, an id that the vocabulary lacks, or not one
            position a text.
    """
    rows = torch.arange(
        len(inputs["attention_mask"]), device=inputs["attention_mask"].device
    )
    if model.config.is_encoder_decoder:
        if "decoder_input_ids" not in inputs:
            start = torch.full_like(rows, model.config.decoder_start_token_id)
            inputs = {**inputs, "decoder_input_ids": start[:, None]}
        if position is None:
            position = torch.full_like(rows, inputs["decoder_input_ids"].shape[1] - 1)
    elif position is None:
        position = answer_position(inputs)
    if position.shape != rows.shape:
        raise ValueError(
            f"There are positions of shape {tuple(position.shape)} for {len(rows)} "
            "texts: give one position a text."
        )
    logits = logits_at(model, inputs, (rows, position))
    vocabulary = logits.shape[1]
    for label, ids in enumerate(label_ids):
        if not len(ids) or min(ids) < 0 or max(ids) >= vocabulary:
            raise ValueError(
                f"The words of label {label} have the ids {list(ids)}: give at least "
                f"one, each from 0 to {vocabulary - 1}."
            )
    return torch.stack([logits[:, list(ids)].mean(1) for ids in label_ids], dim=1)


def remove_prior(scores: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
    """Takes the label prior out of the scores.

    It is contextual calibration (Zhao et al. 2021), in log space.

    Args:
        scores: (B, labels) logits.
        prior: (n, labels) logits of content-free or unlabelled texts.

    Returns:
        (B, labels) log-probabilities minus the mean log-probability under `prior`.

    Raises:
        ValueError: the prior is of no text, or of other labels.
    """
    if prior.ndim != 2 or not len(prior) or prior.shape[1] != scores.shape[-1]:
        raise ValueError(
            f"The prior has the shape {tuple(prior.shape)} for scores of shape "
            f"{tuple(scores.shape)}: give logits of one text or more, over the same "
            "labels."
        )
    return scores.log_softmax(-1) - prior.log_softmax(-1).mean(0)


@contextlib.contextmanager
def last_layer_at(encoder, place: int):
    """Within it the last layer of an encoder of BERT's family ends at one position.

    All positions are attended to in it, but only this one goes through the output
    matrix of its attention and its feed-forward network: nobody reads the others.
    Losses and gradients stay what they are.

    Yields:
        A list that gets the states (B, d) of this position from each pass.

    Raises:
        ValueError: an encoder of another family.
    """
    layers = getattr(getattr(encoder, "encoder", None), "layer", None)
    output = getattr(getattr(layers and layers[-1], "attention", None), "output", None)
    if output is None:
        raise ValueError(
            f"The last layer of {type(encoder).__name__} is not built as BERT's is: "
            "read the states of all positions."
        )
    states = []

    def cut_down(_, given: tuple) -> tuple:
        return tuple(part[:, place, None] for part in given)  # (B, 1, d) each

    def keep(_, given: tuple, out) -> None:
        states.append(out.last_hidden_state[:, 0])

    hooks = [output.register_forward_pre_hook(cut_down)]
    hooks.append(encoder.register_forward_hook(keep))
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()
