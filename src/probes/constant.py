"""The constant prediction of a probe's own training rows: class frequencies, or the mean score."""

from __future__ import annotations

import numpy as np

from src.probes.solvers.linear import Array


def fit_constant(y: Array, classes: int, weights: Array | None = None) -> Array:
    """Return the class frequencies (classes,) of weighted rows, or the mean of their scores ().

    Parameters
    ----------
    y : array of (rows,)
    classes : int
        0 for regression.
    weights : array of (rows,), or None
        How often each row counts; None: all once.
    """
    weights = np.ones(len(y)) if weights is None else weights
    sums = np.bincount(y, weights=weights, minlength=classes) if classes else np.asarray(weights @ y)
    return sums / weights.sum()
