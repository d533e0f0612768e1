"""Whether a linear probe separates the classes of the training rows."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from src.probes.fitter import FitRequest, ProbeFitter
from src.probes.grid_fit import GridFit
from src.probes.solvers.linear import Array, Matrix

MAX_PAIRS = 10_000  # pairs of rows that are compared


def find_separable(fitter: ProbeFitter, final: GridFit, weakest: GridFit, weights: Array | None) -> bool | None:
    """Return True if a probe separates, False if equal rows have different classes, else None.

    Parameters
    ----------
    final : GridFit
        On all training rows.
    weakest : GridFit
        At the weakest penalty. If it separates the rows that it was fitted on, that penalty is
        tried on all rows.
    weights : array of (rows of train,), or None
        How often `weakest` counts each row; None: all once.
    """
    if fitter.classes == 0:
        return None
    if fitter.separates(final, None) or (weights is None and fitter.separates(weakest, None)):
        return True
    if has_contradiction(fitter.x, fitter.y):
        return False
    if weights is not None and fitter.has_solver and fitter.separates(weakest, weights):
        (fit,) = fitter.fit([FitRequest(weakest.value, None, weakest.solution)], stage="separable?")
        return fitter.separates(fit, None) or None
    return None


def has_contradiction(x: Matrix, y: Array) -> bool:
    """Return whether equal rows have different labels, so that no probe separates them.

    Candidates come from a random projection, and their equality is checked.
    """
    generator = np.random.default_rng(0)
    key = np.asarray(x @ generator.standard_normal(x.shape[1]).astype(x.dtype)).ravel()
    order = np.argsort(key, kind="stable")
    is_near = np.abs(np.diff(key[order])) <= 1e-5 * (1 + np.abs(key[order][1:]))
    for index in np.flatnonzero(is_near & (np.diff(y[order]) != 0))[:MAX_PAIRS]:
        first, second = x[[order[index]]], x[[order[index + 1]]]
        if (first != second).nnz == 0 if sp.issparse(x) else np.array_equal(first, second):
            return True
    return False
