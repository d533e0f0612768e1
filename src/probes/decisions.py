"""Predictions and losses from decision values."""

from __future__ import annotations

import numpy as np

from src.probes.solvers.linear import Array


def are_logits(estimator: str) -> bool:
    """Return whether the softmax of decision values is the probabilities of an estimator of this class name."""
    return estimator == "LogisticRegression"


def predict_from_scores(scores: Array, classes: int) -> Array:
    """Return predictions (rows,) from decision values (rows, outputs).

    Class ids, or the values themselves for regression, where `classes` is 0.
    """
    if classes == 0:
        return scores[:, 0]
    return (scores[:, 0] > 0).astype(np.int64) if scores.shape[1] == 1 else scores.argmax(axis=1).astype(np.int64)


def losses(scores: Array, y: Array, classes: int) -> Array:
    """Return each row's loss from decision values (rows, outputs).

    Log-loss, or squared error for regression, where `classes` is 0.
    """
    if classes == 0:
        return (scores[:, 0] - y) ** 2
    if scores.shape[1] == 1:
        return np.logaddexp(0, np.where(y == 1, -scores[:, 0], scores[:, 0]))
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]


def probabilities(decisions: Array) -> Array:
    """Return the probabilities (rows, classes) of a logistic probe, float64.

    Parameters
    ----------
    decisions : array of (rows,) for two classes, else (rows, classes)
        Decision values as records hold them.

    >>> probabilities(np.array([0.0])).tolist()
    [[0.5, 0.5]]
    """
    scores = np.asarray(decisions, dtype=np.float64)
    scores = np.stack([np.zeros(len(scores)), scores], axis=1) if scores.ndim == 1 else scores
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def squeeze_outputs(scores: Array) -> Array:
    """Return decision values as records hold them: (rows,) for one output, else (rows, classes)."""
    return scores[:, 0] if scores.shape[1] == 1 else scores
