"""Metrics, each with its range and its direction.

A metric is one decorated function. For classification it maps confusion counts (..., classes,
classes), indexed [label, prediction], to values (...). For regression it maps labels (rows,),
predictions (rows,) and weights (..., rows) to values (...). Both forms are vectorised over
resamples, and the point value is the case of one sample. NaN means undefined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.errors import UserError
from src.registry import Registry

Array = NDArray[Any]


@dataclass(frozen=True)
class Metric:
    """A metric's function with its task, its range and its direction.

    `most_classes` is the largest number of classes it is defined for; None: any.
    """

    name: str
    function: Callable[..., Array]
    task: str
    low: float
    high: float
    higher_is_better: bool
    most_classes: int | None = None


metrics: Registry[Metric] = Registry("metric")


def metric(
    *,
    task: str = "classification",
    low: float = -1.0,
    high: float = 1.0,
    higher_is_better: bool = True,
    most_classes: int | None = None,
) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    """Register a metric under its function's name."""

    def add(function: Callable[..., Array]) -> Callable[..., Array]:
        metrics.add(
            function.__name__, Metric(function.__name__, function, task, low, high, higher_is_better, most_classes)
        )
        return function

    return add


def _ratio(part: Array, whole: Array, otherwise: float = 0.0) -> Array:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), otherwise)


@metric(low=0.0)
def accuracy(counts: Array) -> Array:
    """Return the share of rows predicted right."""
    return _ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)), np.nan)


@metric(low=0.0, most_classes=2)
def f1(counts: Array) -> Array:
    """Return F1 of class 1; 0 where class 1 neither occurs nor is predicted."""
    return _ratio(2 * counts[..., 1, 1], counts[..., 1, :].sum(axis=-1) + counts[..., :, 1].sum(axis=-1))


@metric(low=0.0)
def macro_f1(counts: Array) -> Array:
    """Return the mean F1 of the classes that occur or are predicted."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    whole = counts.sum(axis=-1) + counts.sum(axis=-2)
    return _ratio(2 * right, whole).sum(axis=-1) / (whole > 0).sum(axis=-1)


@metric(low=0.0)
def balanced_accuracy(counts: Array) -> Array:
    """Return the mean recall of the classes that occur."""
    rows = counts.sum(axis=-1)
    return _ratio(np.diagonal(counts, axis1=-2, axis2=-1), rows).sum(axis=-1) / (rows > 0).sum(axis=-1)


@metric()
def mcc(counts: Array) -> Array:
    """Return the Matthews correlation; 0 where only one class occurs or is predicted.

    References
    ----------
    Gorodkin (2004), Comparing two K-category assignments by a K-category correlation coefficient.
    """
    labels, predicted, rows = counts.sum(axis=-1), counts.sum(axis=-2), counts.sum(axis=(-2, -1))
    right = np.trace(counts, axis1=-2, axis2=-1)
    covariance = right * rows - (labels * predicted).sum(axis=-1)
    spread = (rows**2 - (labels**2).sum(axis=-1)) * (rows**2 - (predicted**2).sum(axis=-1))
    return _ratio(covariance, np.sqrt(np.maximum(spread, 0)))


@metric(task="regression")
def pearson(labels: Array, predictions: Array, weights: Array) -> Array:
    """Return the Pearson correlation; NaN where either side is constant."""
    x, y = scaled(labels), scaled(predictions)
    if np.ptp(labels) == 0 or np.ptp(predictions) == 0:
        return np.full(weights.shape[:-1], np.nan)
    sums = weights @ np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    return correlation(*np.moveaxis(sums, -1, 0))


def scaled(values: Array) -> Array:
    """Return (..., rows) values less their mean, divided by the largest magnitude."""
    centred = values - values.mean(axis=-1, keepdims=True)
    largest = np.abs(centred).max(axis=-1, keepdims=True)
    return centred / np.where(largest > 0, largest, 1.0)


def correlation(rows: Array | int, sum_x: Array, sum_y: Array, square_x: Array, square_y: Array, cross: Array) -> Array:
    """Return the Pearson correlation from sums over rows; NaN where either side is constant."""
    spread_x, spread_y = square_x - sum_x**2 / rows, square_y - sum_y**2 / rows
    flat = (spread_x <= 1e-14 * square_x) | (spread_y <= 1e-14 * square_y)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(flat, np.nan, np.clip((cross - sum_x * sum_y / rows) / np.sqrt(spread_x * spread_y), -1, 1))


def _ranks(values: Array, weights: Array) -> tuple[Array, Array]:
    """Return centred mid-ranks (..., rows) of weighted rows, and their sum of squares (...).

    They are cumulated weights in sorted order, so that no resample is sorted again.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    place = np.empty(len(values), dtype=np.int64)
    place[order] = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(values))))
    tied = np.add.reduceat(np.take(weights, order, axis=-1), first, axis=-1)
    middle = np.cumsum(tied, axis=-1)
    half = middle[..., -1:] / 2
    middle -= tied / 2
    middle -= half
    return np.take(middle, place, axis=-1), np.einsum("...r,...r,...r->...", tied, middle, middle)


@metric(task="regression")
def spearman(labels: Array, predictions: Array, weights: Array) -> Array:
    """Return the Spearman correlation, ranked in each resample; NaN where a side is constant."""
    (x, square_x), (y, square_y) = _ranks(labels, weights), _ranks(predictions, weights)
    x *= weights
    spread = square_x * square_y
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, np.clip(np.einsum("...r,...r->...", x, y) / np.sqrt(spread), -1, 1), np.nan)


@metric(task="regression", low=0.0, high=float("inf"), higher_is_better=False)
def rmse(labels: Array, predictions: Array, weights: Array) -> Array:
    """Return the root of the mean squared error, in the label's unit."""
    return np.sqrt(weights @ (labels - predictions) ** 2 / weights.sum(axis=-1))


def confusion_counts(labels: Array, predictions: Array, classes: int) -> Array:
    """Return counts (classes, classes), indexed [label, prediction]."""
    return np.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)


def check_predictions(name: str, labels: Array, predictions: Array, classes: int) -> tuple[Array, Array]:
    """Return labels (rows,) and predictions (draws, rows) as arrays.

    Raises
    ------
    UserError
        The metric is of another task or of fewer classes, or the shapes do not fit each other.
    """
    entry = metrics[name]
    labels, predictions = np.asarray(labels), np.atleast_2d(np.asarray(predictions))
    if (entry.task == "regression") != (classes == 0):
        known = ", ".join(other for other in metrics if metrics[other].task != entry.task)
        raise UserError(f"metric '{name}' is for {entry.task}. Known for this task: {known}.")
    if entry.most_classes is not None and classes > entry.most_classes:
        raise UserError(
            f"metric '{name}' is for {entry.most_classes} classes, the task has {classes}. Use macro_f1 for more."
        )
    if labels.ndim != 1 or predictions.shape[1:] != labels.shape or not len(labels):
        raise UserError(
            f"metric '{name}' needs as many predictions as labels and at least one, "
            f"got {predictions.shape[1:]} and {labels.shape}."
        )
    return labels, predictions
