"""Mean and standard deviation of the columns of a matrix over weighted rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from src.probes.solvers.linear import DOUBLE_BLOCK_BYTES, Array, Matrix, row_blocks
from src.runtime.parallel import parallel_map

ROUNDINGS = 32  # units in the last place: rounding of a pooled value, which is a sum over tokens


def rounding(mean: Array, rows: int, precision: Any) -> Array:
    """Return the largest standard deviation of each column (width,) that is rounding of its mean.

    scikit-learn's bound for constant features is the error of its two-pass sum,
    ``rows * eps * mean``, with eps that of the features. Sums run in float64 here, so only the
    rounding of the features remains: `rows` counts up to `ROUNDINGS`.

    References
    ----------
    `_is_constant_feature` in sklearn/preprocessing/_data.py of scikit-learn 1.9;
    Chan, Golub and LeVeque (1983).
    """
    return min(rows, ROUNDINGS) * float(np.finfo(precision).eps) * np.abs(mean)


def moments(x: Matrix, weights: Sequence[Array | None], noise: Array | None = None) -> tuple[Array, Array]:
    """Return mean and standard deviation of each column over weighted rows; constant columns get 1.

    Accurate where a column's mean is not many times its standard deviation, which holds for
    features that were standardised once on all rows.

    Parameters
    ----------
    x : matrix of (rows, width)
    weights : sequence of arrays of (rows,), or None for all rows once
    noise : array of (width,), or None
        Standard deviation of each column up to which it is rounding, and the column constant.

    Returns
    -------
    two arrays of (len(weights), width), float64
    """
    share = np.stack([np.ones(x.shape[0]) if each is None else np.asarray(each, dtype=np.float64) for each in weights])
    share /= share.sum(axis=1, keepdims=True)
    if sp.issparse(x):
        exact = x.astype(np.float64)
        mean, square = (exact.T @ share.T).T, (exact.multiply(exact).T @ share.T).T
    else:

        def sums(part: slice) -> tuple[Array, Array]:
            exact = x[part].astype(np.float64)
            first = share[:, part] @ exact
            exact *= exact
            return first, share[:, part] @ exact

        mean, square = np.zeros((len(share), x.shape[1])), np.zeros((len(share), x.shape[1]))
        with parallel_map() as over:
            for first, second in over(sums, row_blocks(x, DOUBLE_BLOCK_BYTES)):
                mean += first
                square += second
    variance = np.maximum(square - mean**2, 0)
    deviation = np.sqrt(variance)
    constant = variance <= 1e-12 * np.maximum(square, 1e-300)
    return mean, np.where(constant if noise is None else constant | (deviation <= noise), 1.0, deviation)
