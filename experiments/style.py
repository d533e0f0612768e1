"""Holds the labels, colours and markers of poolings and models."""

from __future__ import annotations

from collections.abc import Iterable

from src.pooling import needs_pooler as pooling_needs_pooler
from src.pooling import parts_of

# The comparisons that the project is about.
MAIN_PAIRS = (("pooler", "cls"), ("mean", "cls"), ("mean", "pooler"))
# Okabe and Ito's palette, safe for colour-blind readers, for what is compared most; Paul Tol's
# muted one for the rest.
COLOURS = {
    "cls": "#0072B2",
    "pooler_preactivation": "#E69F00",
    "pooler": "#D55E00",
    "pooler_inverse": "#882255",
    "random_pooler": "#777777",
    "mean": "#009E73",
    "mean_content": "#117733",
    "mean_sqrt_len": "#44AA99",
    "weighted_mean": "#999933",
    "first_last_mean": "#332288",
    "last4_mean": "#661100",
    "cls_mean": "#56B4E9",
    "max": "#CC79A7",
}
MARKERS = dict(zip(COLOURS, "ovsPX^<>pHd*D", strict=True))
LABELS = {
    "cls": "[CLS]",
    "pooler": "pooler",
    "mean": "mean",
    "max": "max",
    "pooler_preactivation": "W h + b",
    "pooler_inverse": "atanh(pooler)",
    "random_pooler": "random pooler",
    "mean_content": "mean, content",
    "mean_sqrt_len": "mean, √length",
    "weighted_mean": "mean, weighted",
    "first_last_mean": "mean, first + last",
    "last4_mean": "mean, last 4",
    "cls_mean": "[CLS] + mean",
}
METRICS = {
    "mcc": "Matthews corr.",
    "f1": "F1",
    "accuracy": "accuracy",
    "pearson": "Pearson corr.",
    "spearman": "Spearman corr.",
    "macro_f1": "macro F1",
}
BASELINES = {"bag_of_word_pieces": "bag of word pieces", "constant": "best constant"}
OTHER_COLOUR, OTHER_MARKER = "#000000", "."


def pooling_label(pooling: str, pooler: str) -> str:
    """Return the label of a run: of its pooling, and of what else it is told apart by, after a comma.

    `pooler` is the status of the model's pooler.
    """
    own, comma, rest = pooling.partition(", ")
    name = LABELS.get(own, own)
    untrained = needs_pooler(own) and pooler == "untrained"
    return f"{name} (untrained){comma}{rest}" if untrained else f"{name}{comma}{rest}"


def model_label(model: str, pooler: str) -> str:
    """Return the label of a model, with the status of its pooler if that is untrained."""
    return f"{model} (pooler untrained)" if pooler == "untrained" else model


def task_label(task: str, metric: str) -> str:
    """Return the label of a task with its metric."""
    return f"{task} ({METRICS.get(metric, metric)})"


def pair_label(a: str, b: str, pooler: str = "") -> str:
    """Return the label of the difference of two runs, a less b; `pooler` is the status of the model's pooler."""
    return " − ".join(pooling_label(name, pooler) for name in (a, b))


def needs_pooler(pooling: str) -> bool:
    """Return whether a pooling, or a part of ``a+b``, passes through the pooler's weights."""
    return any(map(pooling_needs_pooler, _parts(pooling)))


def passes_untrained(pooling: str, pooler: str) -> bool:
    """Return whether a pooling passes through weights that were never trained."""
    return "random_pooler" in _parts(pooling) or (needs_pooler(pooling) and pooler == "untrained")


def _parts(pooling: str) -> list[str]:
    """Return the poolings of ``a+b`` or ``concat(a,b)``; a single one otherwise."""
    return [part for name in pooling.split("+") for part in parts_of(name)]


def sort_poolings(names: Iterable[str]) -> list[str]:
    """Return poolings without repetition, in the order of `COLOURS`, then by name."""
    known = list(COLOURS)
    return sorted(set(names), key=lambda name: (known.index(name) if name in known else len(known), name))
