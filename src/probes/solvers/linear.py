"""What both solvers stand on: problems and their solutions, passes over the rows in blocks and threads, moments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[Any]
Matrix = Any  # (rows, width): a float array, or a scipy CSR matrix
Tell = Callable[[int], None]  # how many problems are done

BLOCK_BYTES = 4 << 20  # a block of rows is read from memory once and used twice while it is in the cache


@dataclass(frozen=True)
class Task:
    """One problem on shared rows: fit on the rows with a positive weight, features read as ``(x - mean) / scale``.

    ``weights`` (rows,) are multiplicities: 1 or 0 for a subset, counts for a bootstrap resample, None for all rows once. Because the
    intercept is free, ``mean`` changes the conditioning alone, never the weights found; None is the mean of the task's own rows.
    """

    alpha: float
    weights: Array | None = None
    mean: Array | None = None
    scale: Array | None = None
    start: Solution | None = None


@dataclass(frozen=True)
class Solution:
    """Weights (outputs, width) and bias (outputs,) for ``(x - mean) / scale``; `gap` bounds the objective's distance to its optimum."""

    alpha: float
    weight: Array
    bias: Array
    objective: float
    gap: float
    converged: bool
    evaluations: int
    mean: Array | None = field(default=None, repr=False)
    scale: Array | None = field(default=None, repr=False)

    def folded(self) -> tuple[Array, Array]:
        """Weight and bias that act on the features as they are stored."""
        weight = self.weight if self.scale is None else self.weight / self.scale
        return weight, self.bias if self.mean is None else self.bias - weight @ self.mean

    def decide(self, x: Matrix) -> Array:
        """Decision values (rows, outputs), float64."""
        return linear(x, *self.folded())


def silent(done: int) -> None:
    """Progress that nobody asked for."""


_running: ContextVar[Callable[..., Iterable[Any]] | None] = ContextVar("_running", default=None)


@contextmanager
def threads() -> Iterator[Callable[..., Iterable[Any]]]:
    """A `map` on as many threads as BLAS may use, BLAS itself on one: the threads then meet once a pass and not at every small product.

    On a machine that is shared, a BLAS thread that waits for its twin costs ten times the product. Entered again, it gives the same `map`.
    """
    from threadpoolctl import threadpool_info, threadpool_limits

    outer = _running.get()
    if outer is not None:
        yield outer
        return
    number = max((library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"), default=1)
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(number) as pool:
        token = _running.set(pool.map)
        try:
            yield pool.map
        finally:
            _running.reset(token)


def blocks(x: Matrix) -> list[slice]:
    """Row ranges that fit the cache."""
    rows = x.shape[0]
    step = max(256, BLOCK_BYTES // (4 * x.shape[1])) if not sp.issparse(x) else max(rows, 1)
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def linear(x: Matrix, weight: Array, bias: Array) -> Array:
    """``x @ weight.T + bias`` in float64, whatever the precision of `x`; returns (rows, outputs)."""
    if sp.issparse(x):
        return np.asarray(x.astype(np.float64) @ weight.T) + bias
    out = np.empty((x.shape[0], weight.shape[0]))

    def fill(part: slice) -> None:
        out[part] = x[part].astype(np.float64) @ weight.T + bias

    with threads() as each:
        list(each(fill, blocks(x)))
    return out


def separates(scores: Array, y: Array) -> bool:
    """Is each row's own class strictly ahead, in decision values (rows, outputs)?"""
    if scores.shape[1] == 1:
        return bool((np.where(y == 1, scores[:, 0], -scores[:, 0]) > 0).all())
    others = scores.copy()
    others[np.arange(len(y)), y] = -np.inf
    return bool((scores[np.arange(len(y)), y] > others.max(axis=1)).all())


ROUNDINGS = 32  # units in the last place that a pooled value may be off: it is a sum over the tokens of a row


def rounding(mean: Array, rows: int, precision: Any) -> Array:
    """The largest spread of each column (width,) that is rounding of its mean.

    scikit-learn's bound for constant features, its two-pass sum's ``rows * eps * mean``, with eps that of the features. Here sums run in
    float64, so a feature's own rounding is what counts: the rows count up to `ROUNDINGS`.

    References
    ----------
    `_is_constant_feature` in sklearn/preprocessing/_data.py of scikit-learn 1.9; Chan, Golub and LeVeque (1983).
    """
    return min(rows, ROUNDINGS) * float(np.finfo(precision).eps) * np.abs(mean)


def moments(x: Matrix, weights: Sequence[Array | None], noise: Array | None = None) -> tuple[Array, Array]:
    """Mean and standard deviation of each column over the weighted rows, each (len(weights), width), float64; constant columns get 1.

    Accurate where a column's mean is not many times its spread, which holds for features that were standardised once on all rows.
    `noise` (width,) is the spread of each column up to which it is rounding, and the column constant.
    """
    mass = np.stack(
        [np.ones(x.shape[0]) if weight is None else np.asarray(weight, dtype=np.float64) for weight in weights]
    )
    mass /= mass.sum(axis=1, keepdims=True)
    if sp.issparse(x):
        exact = x.astype(np.float64)
        mean, square = (exact.T @ mass.T).T, (exact.multiply(exact).T @ mass.T).T
    else:

        def sums(part: slice) -> tuple[Array, Array]:
            exact = x[part].astype(np.float64)
            return mass[:, part] @ exact, mass[:, part] @ (exact * exact)

        mean, square = np.zeros((len(mass), x.shape[1])), np.zeros((len(mass), x.shape[1]))
        with threads() as each:
            for first, second in each(sums, blocks(x)):
                mean += first
                square += second
    variance = np.maximum(square - mean**2, 0)
    spread = np.sqrt(variance)
    constant = variance <= 1e-12 * np.maximum(square, 1e-300)
    return mean, np.where(constant if noise is None else constant | (spread <= noise), 1.0, spread)
