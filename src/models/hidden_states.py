"""Check on a tiny batch that a model's hidden states can be pooled."""

from __future__ import annotations

from typing import Any

import numpy as np

TOKENS = 4  # tokens of each row of the batch
REAL_TOKENS = 2  # tokens of its first and last row that are not padding
# Largest difference between equal rows, relative to the row's largest value; rounding is less.
TOLERANCE = {"float32": 1e-3, "float16": 3e-2, "bfloat16": 1e-1, "mixed": 1e-1, "tf32": 1e-2}


def trial_batch(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return ids and mask, (3, TOKENS).

    The first and the last row differ only where the mask is False.
    """
    special = {
        value for key, value in model.config.to_dict().items() if key.endswith("_token_id") and isinstance(value, int)
    }
    table = int(model.get_input_embeddings().num_embeddings)
    plain = [number for number in range(min(table, 64)) if number not in special] or [0]
    ids = np.array([[plain[(7 * row + place) % len(plain)] for place in range(TOKENS)] for row in range(3)])
    ids[2, :REAL_TOKENS] = ids[0, :REAL_TOKENS]
    mask = np.ones(ids.shape, dtype=bool)
    mask[::2, REAL_TOKENS:] = False
    return ids, mask


def defect(hidden: Any, layers: int, width: int, dtype: str) -> str | None:
    """Return why the hidden states of the trial batch cannot be pooled, or None if they can.

    Parameters
    ----------
    hidden : tuple of tensors
        What the model returned; anything else is a defect.
    layers, width : int
        The expected number of layers, without the embeddings, and of dimensions.
    dtype : str
        Key of `TOLERANCE`.
    """
    import torch

    if not isinstance(hidden, tuple | list) or len(hidden) != layers + 1:
        number = len(hidden) if isinstance(hidden, tuple | list) else "no"
        return f"it returns {number} hidden states, and {layers + 1} are needed: the embeddings and {layers} layers"
    shape = (3, TOKENS, width)
    for layer, states in enumerate(hidden):
        if tuple(states.shape) != shape:
            found = tuple(states.shape)
            return f"its hidden states are of shape {found} at layer {layer} for (rows, tokens, width) = {shape}"
        one, other = states[0, :REAL_TOKENS].float(), states[2, :REAL_TOKENS].float()
        if dtype == "mixed" and states.dtype != torch.float32:
            return f"runtime.dtype=mixed keeps hidden states in float32, and those of layer {layer} are {states.dtype}"
        if not torch.isfinite(one).all():
            return f"its hidden states are NaN or infinite at layer {layer}: its weights may be damaged"
        if not (one - other).abs().max() <= TOLERANCE[dtype] * one.abs().max():
            return f"the hidden states of a row change with other rows or with padding, from layer {layer} on"
    return None
