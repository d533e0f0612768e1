"""An encoder with one of the suite's poolings and a linear head, and its predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from experiments.studies.finetuning.batches import TokenRows
from src.features.batching import plan_batches
from src.pooling import EncoderOutput, poolings

PREDICTION_TOKENS = 4096  # of a batch of rows of one length


class PooledModel(nn.Module):
    """Computes the head's outputs, (batch, outputs), from word pieces, (batch, tokens).

    Parameters
    ----------
    encoder : transformers model
    pooling : str
        Name of the pooling between encoder and head.
    outputs : int
        Classes, or 1 for a regression.
    segments : bool
        Whether the encoder takes segment ids.
    """

    def __init__(self, encoder: Any, pooling: str, outputs: int, *, segments: bool) -> None:
        super().__init__()
        config = encoder.config
        self.encoder, self.pooling, self.segments = encoder, poolings[pooling], segments
        self.dropout = nn.Dropout(getattr(config, "hidden_dropout_prob", None) or 0.0)
        self.head = nn.Linear(config.hidden_size, outputs)
        nn.init.normal_(self.head.weight, std=getattr(config, "initializer_range", 0.02))
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, segments: Tensor, mask: Tensor) -> Tensor:
        inputs = {"input_ids": ids}
        if not mask.all():
            inputs["attention_mask"] = mask.long()
        if self.segments:
            inputs["token_type_ids"] = segments
        output = self.encoder(**inputs, output_hidden_states=True)
        if self.pooling.needs_pooler:  # the model's own, whose weights are tuned too
            vectors = output.pooler_output
        else:
            vectors = self.pooling.function(EncoderOutput(output.hidden_states, mask, mask, None, None, None, ids), -1)
        logits: Tensor = self.head(self.dropout(vectors))
        return logits


def parameter_groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Return the parameters for AdamW; only matrices get the weight decay."""
    parameters = list(model.parameters())
    return [
        {"params": [each for each in parameters if each.ndim >= 2], "weight_decay": decay},
        {"params": [each for each in parameters if each.ndim < 2], "weight_decay": 0.0},
    ]


def predict(model: PooledModel, rows: TokenRows) -> np.ndarray:
    """Return the head's outputs for all rows, (rows, outputs) float64."""
    found = np.empty((len(rows.label), model.head.out_features))
    with torch.inference_mode():
        for chosen in plan_batches(rows.tokens.lengths, PREDICTION_TOKENS):
            found[chosen] = model(*rows.batch(chosen)).double().numpy()
    return found
