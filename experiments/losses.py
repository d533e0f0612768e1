"""Reads the losses of a record's test rows, from which D² follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.bundles import Record
from src.errors import UserError
from src.evaluation.deviance import constant_losses, deviance_explained, fold_constants, log_likelihoods, row_losses

WITH_DEVIANCE = ("logistic", "ridge")  # probes
Array = NDArray[Any]


def record_losses(record: Record) -> Array | None:
    """Return the loss of each test row, (rows,) or (draws, rows); None if the record does not hold it."""
    predictions, classes = record.predictions, int(record.result.counts.get("classes") or 0)
    if record.result.probe not in WITH_DEVIANCE or not predictions:
        return None
    if not classes:
        return row_losses(predictions["label"], predictions["prediction"], None)
    if "log_likelihood" in predictions:
        return row_losses(predictions["label"], predictions["prediction"], predictions["log_likelihood"])
    if "decision" in predictions:
        return -log_likelihoods(predictions["label"], predictions["decision"], classes)
    return None


def record_constant(record: Record) -> Array:
    """Return the loss of each test row, (rows,), under the constant of the fitted rows.

    In cross-validation these are the rows outside a row's fold. A record without them is judged by
    the constant of its test labels.
    """
    labels, folds = record.predictions["label"], record.predictions["fold"]
    classes, constants = int(record.result.counts.get("classes") or 0), record.result.chosen.get("constants")
    if folds.max(initial=-1) >= 0:
        return constant_losses(labels, fold_constants(labels, folds, classes), folds)
    if constants:
        found = [np.asarray(each) if classes else np.asarray(each).reshape(()) for each in constants]
        return np.asarray(np.mean([constant_losses(labels, each) for each in found], axis=0))
    return constant_losses(labels, label_constant(record))


def record_deviance(record: Record) -> float:
    """Return the D² of a run, also of one whose rows are left out.

    Raises
    ------
    UserError
        The record holds neither the losses of its rows nor their sums.
    """
    if record.sums:
        return 1 - record.sums["loss"] / record.sums["constant"]
    losses = record_losses(record)
    if losses is None:
        raise UserError(f"{record.result.dataset}: the record holds no log-likelihoods, so it has no D². Run it again.")
    return deviance_explained(losses, record_constant(record))


def without_rows(record: Record) -> Record:
    """Return a record with the sums that its D² needs in place of its rows; one without rows as it is."""
    if record.sums is not None:
        return record
    losses = record_losses(record)
    if losses is None:
        return replace(record, predictions={}, sums={})
    loss = np.atleast_2d(losses).mean(axis=0).sum()  # draws are averaged, as in `deviance_explained`
    sums = {"loss": float(loss), "constant": float(record_constant(record).sum())}
    return replace(record, predictions={}, sums=sums)


def label_constant(record: Record) -> Array:
    """Return the class frequencies, or the mean, of the test labels."""
    labels, classes = record.predictions["label"], int(record.result.counts.get("classes") or 0)
    return np.bincount(labels, minlength=classes) / len(labels) if classes else np.asarray(labels.mean())
