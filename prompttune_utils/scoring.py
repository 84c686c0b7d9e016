"""Scores of label words, behind one function for masked, causal and sequence-to-sequence language models."""

from collections.abc import Sequence

import torch


def label_scores(model, inputs: dict, label_ids: Sequence[Sequence[int]], position: torch.Tensor | None = None) -> torch.Tensor:
    """Logits of the labels: one row a text, one column a label.

    The hidden state at the asked position is gathered first and multiplied by the label words' rows of the output
    matrix only, so the cost does not grow with the vocabulary. Several words of one label: mean of their logits, as in
    PET (Schick and Schuetze 2021).

    Args:
        model: a language model of transformers with an output matrix.
        inputs: what the model takes: input_ids or inputs_embeds, attention_mask, ... each (B, T, ...).
        label_ids: for each label the ids of its words.
        position: (B,) where the label stands: the mask, or for causal models the last token before it (default: the
            last token that attends; for seq2seq models the first decoder step).

    Returns:
        (B, number of labels), float32.
    """
    hidden = hidden_at(model, inputs, position)
    words = torch.tensor([i for ids in label_ids for i in ids], device=hidden.device)
    matrix = model.get_output_embeddings()
    scores = hidden @ matrix.weight[words].T
    bias = getattr(matrix, "bias", None)
    if bias is not None:
        scores = scores + bias[words]
    parts = scores.float().split([len(ids) for ids in label_ids], dim=1)
    return torch.stack([part.mean(1) for part in parts], dim=1)


def hidden_at(model, inputs: dict, position: torch.Tensor | None = None) -> torch.Tensor:
    """The vectors (B, d) that the output matrix would multiply, at `position` (B,)."""
    config = model.config
    mask = inputs["attention_mask"]
    if config.is_encoder_decoder:
        if "decoder_input_ids" not in inputs:
            start = torch.full((len(mask), 1), config.decoder_start_token_id, device=mask.device)
            inputs = {**inputs, "decoder_input_ids": start}
        states = _decoder_states(model, inputs)
        if position is None:
            position = torch.full((len(mask),), states.shape[1] - 1, device=mask.device)
        if getattr(config, "scale_decoder_outputs", config.tie_word_embeddings and config.model_type in ("t5", "umt5")):  # T5 1.1 does not scale
            states = states * config.d_model**-0.5
    else:
        states = model.base_model(**inputs).last_hidden_state
        if position is None:
            last = torch.arange(mask.shape[1], device=mask.device) * mask
            position = last.argmax(1)
    rows = states[torch.arange(len(states), device=states.device), position]
    return _transform(model)(rows)


def _decoder_states(model, inputs: dict) -> torch.Tensor:
    """Last hidden states of the decoder (B, T, d)."""
    if model.base_model is not model:
        return model.base_model(**inputs).last_hidden_state
    # T5 has no inner model of both halves
    encoded = model.encoder(**{k: v for k, v in inputs.items() if not k.startswith("decoder_")}).last_hidden_state
    given = {k.removeprefix("decoder_"): v for k, v in inputs.items() if k.startswith("decoder_")}
    return model.decoder(**given, encoder_hidden_states=encoded, encoder_attention_mask=inputs["attention_mask"]).last_hidden_state


def _transform(model):
    """What stands between the last hidden state and the output matrix: nothing in causal models, a small layer in BERT's family."""
    if hasattr(model, "cls"):
        return model.cls.predictions.transform
    head = getattr(model, "lm_head", None)
    if hasattr(head, "dense"):
        return lambda rows: head.layer_norm(torch.nn.functional.gelu(head.dense(rows)))
    if hasattr(model, "vocab_transform"):
        return lambda rows: model.vocab_layer_norm(model.activation(model.vocab_transform(rows)))
    if type(model).__name__.endswith("MaskedLM"):
        raise ValueError(f"The head of {type(model).__name__} is not known to label_scores: use a model of the BERT, RoBERTa or DistilBERT family.")
    return lambda rows: rows


def remove_prior(scores: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
    """Takes the label prior out of the scores (contextual calibration, Zhao et al. 2021, in log space).

    Args:
        scores: (B, labels) logits. prior: (n, labels) logits of content-free or unlabelled texts.

    Returns:
        (B, labels) log-probabilities less the mean log-probability under `prior`.
    """
    return scores.log_softmax(-1) - prior.log_softmax(-1).mean(0)
