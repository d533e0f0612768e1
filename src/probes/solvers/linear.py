"""Problems, solutions, decision values and blocks of rows, for all solvers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from src.runtime.parallel import parallel_map

Array = NDArray[Any]
Matrix = Any  # (rows, width): a float array, or a scipy CSR matrix
Report = Callable[[int], None]  # called with the number of problems that are solved

BLOCK_BYTES = 4 << 20  # a block of rows is read from memory once and used twice while it is in the cache
DOUBLE_BLOCK_BYTES = 1 << 20  # the same, of rows that are converted to float64 in the cache


@dataclass(frozen=True)
class Problem:
    """One regularised fit on shared rows, with features read as ``(x - mean) / scale``.

    Attributes
    ----------
    alpha : float
        Strength of the penalty per row.
    weights : array of (rows,), or None
        How often each row counts: 0 or 1 for a subset, counts for a bootstrap resample. None: all
        rows once.
    mean : array of (width,), or None
        As the bias is free, this changes the conditioning alone, never the solution. None: the mean
        of the problem's own rows.
    scale : array of (width,), or None
        None: all ones.
    start : Solution, or None
        Where the search starts. None: weights of zero.
    """

    alpha: float
    weights: Array | None = None
    mean: Array | None = None
    scale: Array | None = None
    start: Solution | None = None

    def solution(
        self, weight: Array, bias: Array, *, objective: float, gap: float, tolerance: float, evaluations: int
    ) -> Solution:
        """Return the solution at weights (outputs, width) and bias (outputs,)."""
        return Solution(self.alpha, weight, bias, objective, gap, gap <= tolerance, evaluations, self.mean, self.scale)


@dataclass(frozen=True)
class Solution:
    """Weights (outputs, width) and bias (outputs,) for ``(x - mean) / scale``.

    `gap` bounds the distance of the objective to its optimum.
    """

    alpha: float
    weight: Array
    bias: Array
    objective: float
    gap: float
    converged: bool
    evaluations: int
    mean: Array | None = field(default=None, repr=False)
    scale: Array | None = field(default=None, repr=False)

    def unscaled(self) -> tuple[Array, Array]:
        """Return weight and bias that act on the features as they are stored."""
        weight = self.weight if self.scale is None else self.weight / self.scale
        return weight, self.bias if self.mean is None else self.bias - weight @ self.mean

    def decision_values(self, x: Matrix) -> Array:
        """Return decision values (rows, outputs), float64."""
        return linear(x, *self.unscaled())


def no_report(count: int) -> None:
    """Ignore the progress."""


def row_blocks(x: Matrix, size: int = BLOCK_BYTES) -> list[slice]:
    """Return row ranges that fit the processor's cache, of `size` bytes in float32."""
    rows = x.shape[0]
    step = max(128, size // (4 * x.shape[1])) if not sp.issparse(x) else max(rows, 1)
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def linear(x: Matrix, weight: Array, bias: Array) -> Array:
    """Return ``x @ weight.T + bias``, (rows, outputs) float64 whatever the precision of `x`."""
    if sp.issparse(x):
        return np.asarray(x.astype(np.float64) @ weight.T) + bias
    out = np.empty((x.shape[0], weight.shape[0]))

    def fill(part: slice) -> None:
        out[part] = x[part].astype(np.float64) @ weight.T + bias

    with parallel_map() as over:
        list(over(fill, row_blocks(x, DOUBLE_BLOCK_BYTES)))
    return out


def separates(scores: Array, y: Array) -> bool:
    """Return whether each row's own class is strictly ahead in decision values (rows, outputs)."""
    if scores.shape[1] == 1:
        return bool((np.where(y == 1, scores[:, 0], -scores[:, 0]) > 0).all())
    others = scores.copy()
    others[np.arange(len(y)), y] = -np.inf
    return bool((scores[np.arange(len(y)), y] > others.max(axis=1)).all())


def by_weights(problems: Sequence[Problem]) -> dict[int, list[int]]:
    """Return the positions of problems that share an array of row weights, by its id."""
    positions: dict[int, list[int]] = {}
    for index, problem in enumerate(problems):
        positions.setdefault(id(problem.weights), []).append(index)
    return positions
