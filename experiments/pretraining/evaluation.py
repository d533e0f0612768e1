"""Held-out figures of a pre-trained model."""

from __future__ import annotations

import math
import sys

import numpy as np
import torch
from torch import Tensor
from transformers import BertForPreTraining

from experiments.pretraining.examples import Batch, Examples
from experiments.pretraining.model import logits_and_losses

BATCH_ROWS = 32  # rows of a forward pass
LARGEST_EXPONENT = math.log(sys.float_info.max)


def to_tensors(batch: Batch, device: str) -> tuple[Tensor, ...]:
    """Return ids, segments, places, targets and pair labels on a device."""
    arrays = (batch.ids, batch.segments, batch.places, batch.targets, batch.random)
    return tuple(torch.from_numpy(array).to(device) for array in arrays)


def evaluate(
    model: BertForPreTraining, examples: Examples, *, rows: int, length: int, device: str, seed: int = 0
) -> dict[str, float]:
    """Return the figures of both objectives on pairs that depend on `seed` and `length` alone.

    Returns
    -------
    dict
        ``mlm_loss`` in nats, ``mlm_perplexity``, which may be infinite, ``mlm_accuracy``, ``nsp_accuracy``.
    """
    rng = np.random.default_rng([seed, length])
    model.eval()
    words_right = pairs_right = masked = 0
    loss = 0.0
    with torch.inference_mode():
        for start in range(0, rows, BATCH_ROWS):
            batch = to_tensors(examples.draw(rng, min(BATCH_ROWS, rows - start), length), device)
            words, pairs, mean, _ = logits_and_losses(model, *batch)
            loss += float(mean) * len(batch[3])
            masked += len(batch[3])
            words_right += int((words.argmax(-1) == batch[3]).sum())
            pairs_right += int((pairs.argmax(-1) == batch[4]).sum())
    model.train()
    mean_loss = loss / masked
    return {
        "mlm_loss": mean_loss,
        "mlm_perplexity": math.exp(mean_loss) if mean_loss < LARGEST_EXPONENT else math.inf,
        "mlm_accuracy": words_right / masked,
        "nsp_accuracy": pairs_right / rows,
    }
