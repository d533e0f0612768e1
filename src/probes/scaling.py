"""Scaling of features: rows of length 1, and standardised columns."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from src.probes.solvers.linear import DOUBLE_BLOCK_BYTES, Array, Matrix, row_blocks
from src.probes.solvers.moments import moments, rounding
from src.runtime.parallel import parallel_map

# Of the median standard deviation: dimensions that an encoder has switched off, as by layer norm's
# gains of 1e-33, are not raised to unit variance.
NEGLIGIBLE = float(np.finfo(np.float32).eps) ** 2


def normalise_rows(x: Matrix) -> Matrix:
    """Return rows of length 1; a row of zeros remains."""
    if sp.issparse(x):
        norms = np.sqrt(np.asarray(x.multiply(x).sum(axis=1)).ravel())
        return sp.csr_matrix(sp.diags(1 / np.where(norms > 0, norms, 1)) @ x)
    norms = np.sqrt(np.einsum("rw,rw->r", x, x, dtype=np.float64))
    return x / np.where(norms > 0, norms, 1)[:, None].astype(x.dtype)


def scale_columns(x: Matrix, mean: Array | None, scale: Array | None) -> Matrix:
    """Return ``(x - mean) / scale`` in float32, block by block to save memory.

    The mean is not taken from sparse rows.
    """
    if sp.issparse(x):
        return x if scale is None else sp.csr_matrix(x @ sp.diags(1 / scale)).astype(np.float32)
    out = np.empty(x.shape, dtype=np.float32)

    def fill(part: slice) -> None:
        block = x[part].astype(np.float64)
        if mean is not None:
            block -= mean
        if scale is not None:
            block /= scale
        out[part] = block

    with parallel_map() as over:
        list(over(fill, row_blocks(x, DOUBLE_BLOCK_BYTES)))
    return out


def column_statistics(x: Matrix) -> tuple[Array, Array, Array]:
    """Return mean, standard deviation and constancy of each column: (width,) float64, bool.

    A constant column has a standard deviation that is `rounding` of its mean, or `NEGLIGIBLE`
    beside the others'; it gets 1. The sums take two passes.
    """
    if sp.issparse(x):
        means, deviations = moments(x, [None])
        return means[0], deviations[0], np.zeros(x.shape[1], dtype=bool)
    rows, width = x.shape
    mean, variance = np.zeros(width), np.zeros(width)

    def total(part: slice) -> Array:
        return np.ones(part.stop - part.start) @ x[part].astype(np.float64)

    def squares(part: slice) -> Array:
        block = x[part].astype(np.float64)
        block -= mean
        block *= block
        return np.ones(len(block)) @ block

    blocks = row_blocks(x, DOUBLE_BLOCK_BYTES)
    with parallel_map() as over:
        for part in over(total, blocks):
            mean += part / rows
        for part in over(squares, blocks):
            variance += part / rows
    deviation = np.sqrt(variance)
    constant = deviation <= rounding(mean, rows, x.dtype)
    if not constant.all():
        constant |= deviation <= NEGLIGIBLE * np.median(deviation[~constant])
    return mean, np.where(constant, 1.0, deviation), constant
