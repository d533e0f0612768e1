"""Forward passes that stop at a layer, and poolings of their output, to be timed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

from experiments.benchmarks.timing import Measurements
from src.features.batching import plan_batches
from src.features.extractor import FeatureExtractor
from src.models.encoder import Encoder
from src.models.tokenizer import Tokens
from src.pooling import EncoderOutput, poolings

POOLINGS = ("cls", "pooler", "mean", "max", "first_last_mean")
# Ids, segments and special-token marks of rows of one length, each (rows, tokens).
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


def targets(extractor: FeatureExtractor) -> dict[str, tuple[str, int]]:
    """Return the timed poolings that the checkpoint supports, each at the last layer."""
    layer = extractor.info.layers
    supported = set(extractor.supported_targets([layer]))
    return {name: (name, layer) for name in POOLINGS if (name, layer) in supported}


def passes(extractor: FeatureExtractor, sides: list[Tokens], pairing: str) -> Measurements:
    """Return functions that run the pass up to each layer and each pooling of the full pass.

    Parameters
    ----------
    sides : list of Tokens
        One for texts read alone or jointly, two for pairs read apart.
    pairing : str
        Part of the names: ``forward/PAIRING/LAYER``, ``pool/PAIRING/POOLING``.
    """
    encoder = extractor.encoder
    batches = [
        _batch(tokens, rows)
        for tokens in sides
        for rows in plan_batches(tokens.lengths, extractor.options.token_budget)
    ]
    outputs = [encoder.forward(*batch) for batch in batches]
    functions: Measurements = {}
    for layer in range(1, encoder.layers + 1) if stops_early(encoder, batches[0]) else (encoder.layers,):
        functions[f"forward/{pairing}/{layer}"] = partial(_forward, encoder, batches, layer)
    for name, (_, layer) in targets(extractor).items():
        functions[f"pool/{pairing}/{name}"] = partial(_pool, name, outputs, layer)
    return functions


def _batch(tokens: Tokens, rows: np.ndarray) -> Batch:
    places = tokens.offsets[rows][:, None] + np.arange(int(tokens.lengths[rows[0]]))
    return tokens.ids[places], tokens.segments[places], tokens.special[places]


def _forward(encoder: Encoder, batches: list[Batch], layer: int) -> None:
    for batch in batches:
        forward_to(encoder, batch, layer)


def _pool(name: str, outputs: list[EncoderOutput], layer: int) -> None:
    import torch

    with torch.inference_mode():
        for output in outputs:
            poolings[name].pool(output, layer)


def forward_to(encoder: Encoder, batch: Batch, layer: int) -> EncoderOutput:
    """Return the output of a pass that ends at a layer; `hidden` holds at least that layer's states."""
    with stopped(encoder, layer):
        return encoder.forward(*batch, layers=None if layer == encoder.layers else [layer])


@contextmanager
def stopped(encoder: Encoder, layer: int) -> Iterator[None]:
    """Remove the layers above `layer`, as an early exit would, and restore them afterwards."""
    from torch import nn

    found = [
        (parent, name, child)
        for parent in encoder.model.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == encoder.layers
    ]
    if layer == encoder.layers or not found:
        yield
        return
    parent, name, layers = found[0]
    setattr(parent, name, nn.ModuleList(list(layers)[:layer]))
    try:
        yield
    finally:
        setattr(parent, name, layers)


def stops_early(encoder: Encoder, batch: Batch) -> bool:
    """Return whether a pass without the upper layers gives the states of the lower ones."""
    whole = encoder.forward(*batch)
    for layer in range(1, encoder.layers):
        part = forward_to(encoder, batch, layer)
        if any(states.numel() for states in part.hidden[layer + 1 :]):
            return False
        if not np.allclose(part.hidden[layer].cpu(), whole.hidden[layer].cpu(), atol=1e-5):
            return False
    return True
