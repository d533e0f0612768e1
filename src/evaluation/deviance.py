"""D², the fraction of deviance explained: losses of a probe's rows beside those of a constant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from src.errors import UserError
from src.evaluation.metrics import Array

LEAST_GAIN = 0.05  # of the constant's loss, below which nothing counts as decoded


def log_likelihoods(labels: Array, decisions: Array, classes: int) -> Array:
    """Return the log-likelihood of each row's label under a logistic probe, float64.

    Parameters
    ----------
    labels : (rows,)
        Class ids.
    decisions : (..., rows), or (..., rows, classes)
        The first for two classes: the decision value of class 1. In front may stand an axis of draws.
    classes : int

    Raises
    ------
    UserError
        The shapes do not fit each other.

    >>> log_likelihoods(np.array([0, 1]), np.array([0.0, 0.0]), 2).round(4).tolist()
    [-0.6931, -0.6931]
    """
    scores = np.asarray(decisions, dtype=np.float64)
    if scores.shape[-2:] == (len(labels), classes):
        return scores[..., np.arange(len(labels)), labels] - logsumexp(scores, axis=-1)
    if classes != 2 or scores.shape[-1:] != (len(labels),):
        raise UserError(f"decision values of shape {scores.shape} are not of {len(labels)} rows and {classes} classes.")
    return -np.logaddexp(0, np.where(labels == 1, -scores, scores))


def row_losses(labels: Array, predictions: Array, log_likelihood: Array | None) -> Array:
    """Return each row's loss: minus its log-likelihood, or the squared error where there is none.

    Parameters
    ----------
    labels : (rows,)
    predictions : (rows,) or (draws, rows)
        Of regression.
    log_likelihood : (rows,) or (draws, rows), or None
    """
    if log_likelihood is not None:
        return -np.asarray(log_likelihood, dtype=np.float64)
    return (np.asarray(predictions, dtype=np.float64) - labels) ** 2


def constant_losses(labels: Array, constants: Array, folds: Array | None = None) -> Array:
    """Return each row's loss under a constant, (rows,).

    Parameters
    ----------
    labels : (rows,)
        Class ids, or targets.
    constants : (classes,), or a number; (folds, classes) or (folds,) in cross-validation
        Class frequencies of the fitted rows, or their mean target.
    folds : (rows,), or None
        The fold of each row in cross-validation.
    """
    constants = np.asarray(constants, dtype=np.float64)
    of_rows = constants[folds] if folds is not None else np.broadcast_to(constants, (len(labels), *constants.shape))
    if of_rows.ndim == 1:
        return (of_rows - labels) ** 2
    with np.errstate(divide="ignore"):
        return -np.log(of_rows[np.arange(len(labels)), labels])


def fold_constants(labels: Array, folds: Array, classes: int) -> Array:
    """Return the constant of the rows outside each fold, in cross-validation on these rows.

    Parameters
    ----------
    labels, folds : (rows,)
    classes : int
        0 for regression.

    Returns
    -------
    (folds, classes), class frequencies; (folds,), means, for regression
    """
    outside = [labels[folds != number] for number in range(int(folds.max()) + 1)]
    if not classes:
        return np.array([rows.mean() for rows in outside])
    return np.stack([np.bincount(rows, minlength=classes) / len(rows) for rows in outside])


def deviance_explained(losses: Array, constant: Array) -> float:
    """Return D² = 1 - sum of losses / sum of the constant's losses; draws are averaged.

    Parameters
    ----------
    losses : (rows,) or (draws, rows)
    constant : (rows,)

    >>> deviance_explained(np.array([0.5, 0.5]), np.array([1.0, 1.0]))
    0.5
    """
    return float(1 - np.atleast_2d(losses).mean(axis=0).sum() / constant.sum())


def decodes(losses: Sequence[tuple[float, float]]) -> bool:
    """Return whether the best of some probes beats the constant by `LEAST_GAIN` of the constant's loss.

    Parameters
    ----------
    losses : sequence of (loss, loss of the constant)
        On the rows that chose the probe's penalty.
    """
    return any(1 - loss / constant >= LEAST_GAIN for loss, constant in losses if constant > 0)
