"""Labels runs, for comparisons whose runs differ in more than their pooling."""

from __future__ import annotations

from src.pooling import parts_of
from src.results.result import Result


def by_pooling(result: Result) -> str:
    """Return the label of a run that differs from the others in its pooling: ``cls+mean`` if two are concatenated."""
    return "+".join(parts_of(result.pooling_label))


def by_pairing(result: Result) -> str:
    """Return the label of a run that also differs in how pairs are encoded."""
    return f"{result.pooling_label}, {result.pairing}"


def by_model(result: Result) -> str:
    """Return the label of a run that also differs in its model."""
    return f"{result.pooling_label}, {result.model}"


def by_dtype(result: Result) -> str:
    """Return the label of a run that also differs in the dtype of its forward pass."""
    return f"{result.pooling_label}, {result.config['runtime']['dtype']}"


def by_layer(result: Result) -> str:
    """Return the label of a run that differs from the others in its layer."""
    return str(result.layer)


def regularisation(result: Result) -> str:
    """Return the penalty of a run: none, weak (one value above zero), or tuned (several values)."""
    (grid,) = result.config["probe"]["grid"].values()
    return "tuned" if len(grid) > 1 else "weak" if grid[0] else "none"


def layer_and_pooling(result: Result) -> str:
    """Return the label of a run that differs from the others in its layer and its pooling."""
    return f"{by_pooling(result)}, layer {result.layer}"


def rows_per_class(result: Result) -> int:
    """Return the training rows of each class that a few-shot probe was fitted on."""
    return int(result.config["probe"]["protocol"]["samples_per_label"])
