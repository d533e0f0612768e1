"""Ridge regression: the closed form for dense rows, conjugate gradients for sparse ones.

Both bound the objective's distance to its optimum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator, cg

from src.probes.solvers.linear import Array, Matrix, Problem, Report, Solution, by_weights, no_report
from src.runtime.parallel import parallel_map

Product = Callable[[Array], Array]  # of a matrix and a vector (width,)


def solve_ridge(
    x: Matrix, y: Array, problems: Sequence[Problem], *, tolerance: float = 1e-12, report: Report = no_report
) -> list[Solution]:
    """Minimise mean squared error + alpha ||w||^2 (bias free) for every problem, in float64.

    Dense rows: the closed form, by one eigendecomposition of each subset's covariance (that of all
    rows less that of the rows left out). Sparse rows: conjugate gradients, to a bound on the
    objective's distance to its optimum.

    Parameters
    ----------
    x : (rows, width) float array or CSR matrix
    y : (rows,) float64
    problems, tolerance, report
        As in `solve_logistic`.

    Returns
    -------
    list of Solution, one per problem
    """
    answers: dict[int, Solution] = {}
    with parallel_map():
        whole = None if sp.issparse(x) else _Sums.of(x, y, np.ones(x.shape[0]))
        for members in by_weights(problems).values():
            chosen = [problems[index] for index in members]
            if whole is None:
                found = _solve_sparse(x, y, chosen, tolerance)
            else:
                found = _solve_dense(_subset_sums(x, y, chosen[0].weights, whole), chosen, tolerance)
            answers.update(zip(members, found, strict=True))
            report(len(answers))
    return [answers[index] for index in range(len(problems))]


@dataclass(frozen=True)
class _Sums:
    """Weighted sums over rows: of 1, x, x x', y, y^2 and x y."""

    count: float
    x: Array
    outer: Array
    y: float
    y_square: float
    cross: Array

    @classmethod
    def of(cls, x: Matrix, y: Array, weights: Array) -> _Sums:
        kept = np.flatnonzero(weights)
        width = x.shape[1]
        total, outer, cross = np.zeros(width), np.zeros((width, width)), np.zeros(width)
        for start in range(0, len(kept), 4096):
            rows = kept[start : start + 4096]
            part, sample_weights = x[rows].astype(np.float64), weights[rows]
            total += sample_weights @ part
            cross += (sample_weights * y[rows]) @ part
            outer += part.T @ (part if (sample_weights == 1).all() else part * sample_weights[:, None])
        return cls(float(weights.sum()), total, outer, float(weights @ y), float(weights @ y**2), cross)

    def without(self, other: _Sums) -> _Sums:
        return _Sums(
            self.count - other.count, self.x - other.x, self.outer - other.outer,
            self.y - other.y, self.y_square - other.y_square, self.cross - other.cross,
        )  # fmt: skip


def _subset_sums(x: Matrix, y: Array, weights: Array | None, whole: _Sums) -> _Sums:
    """Return sums over weighted rows, from those over the rows left out if these are fewer."""
    if weights is None or (weights == 1).all():
        return whole
    if np.isin(weights, (0, 1)).all() and 2 * weights.sum() > len(weights):
        return whole.without(_Sums.of(x, y, 1.0 - weights))
    return _Sums.of(x, y, np.asarray(weights, dtype=np.float64))


def _solve_dense(sums: _Sums, problems: Sequence[Problem], tolerance: float) -> list[Solution]:
    """Solve problems of one subset of the rows and one scale by the closed form."""
    centre, target = sums.x / sums.count, sums.y / sums.count
    scale = np.ones(len(centre)) if problems[0].scale is None else problems[0].scale
    covariance = (sums.outer / sums.count - np.outer(centre, centre)) / np.outer(scale, scale)
    slope = (sums.cross / sums.count - centre * target) / scale
    values, vectors = eigh(covariance, driver="evd")
    values = np.maximum(values, 0)
    projected_slope = slope @ vectors
    variance = float(sums.y_square / sums.count - target**2)
    floor = 1e-12 * max(float(values[-1]), 1e-300)  # without a penalty, directions without variance get no weight
    answers = []
    for problem in problems:
        curvature = values + problem.alpha
        inner = np.where(curvature > floor, projected_slope / np.maximum(curvature, floor), 0)
        weight = vectors @ inner
        gradient = 2 * (covariance @ weight + problem.alpha * weight - slope)
        if problem.alpha > 0:
            gap = float(gradient @ gradient) / (4 * problem.alpha)
        else:
            squares = (gradient @ vectors) ** 2 / (4 * np.maximum(curvature, floor))
            gap = float(np.sum(np.where(curvature > floor, squares, 0)))
        error = variance - 2 * float(slope @ weight) + float(weight @ covariance @ weight)
        answers.append(
            problem.solution(
                weight[None], _bias(problem, weight, centre, target, scale),
                objective=error + problem.alpha * float(weight @ weight), gap=gap,
                tolerance=max(tolerance, 1e-12 * variance), evaluations=1,
            )
        )  # fmt: skip
    return answers


def _bias(problem: Problem, weight: Array, centre: Array, target: float, scale: Array) -> Array:
    """Return the bias (1,) that is optimal for the weights (width,)."""
    offset = (centre - (0 if problem.mean is None else problem.mean)) / scale
    return np.array([target - weight @ offset])


def _solve_sparse(x: Matrix, y: Array, problems: Sequence[Problem], tolerance: float) -> list[Solution]:
    """Solve problems of one subset and one scale by conjugate gradients, strong penalties first."""
    first, width = problems[0], x.shape[1]
    exact = x.astype(np.float64)
    share = np.ones(x.shape[0]) if first.weights is None else np.asarray(first.weights, dtype=np.float64)
    share = share / share.sum()
    centre, target = exact.T @ share, float(share @ y)
    scale = np.ones(width) if first.scale is None else first.scale
    slope = (exact.T @ (share * (y - target))) / scale

    def covariance(weight: Array) -> Array:
        folded = np.ravel(weight) / scale
        scores = exact @ folded - centre @ folded
        return (exact.T @ (share * scores) - centre * (share @ scores)) / scale

    variance = float(share @ (y - target) ** 2)
    diagonal = (exact.multiply(exact).T @ share - centre**2) / scale**2
    weight = np.zeros(width)
    found: dict[int, Solution] = {}
    for index in sorted(range(len(problems)), key=lambda index: -problems[index].alpha):
        problem, alpha = problems[index], problems[index].alpha
        weight, steps = _conjugate_gradients(
            covariance, alpha, slope, weight, np.maximum(diagonal + alpha, 1e-12),
            accuracy=np.sqrt(tolerance * max(alpha, 1e-9)) / 2, limit=20 * min(x.shape) + 1000,
        )  # fmt: skip
        product = covariance(weight)
        gradient = 2 * (product + alpha * weight - slope)
        error = variance - 2 * float(slope @ weight) + float(weight @ product)
        found[index] = problem.solution(
            weight[None], _bias(problem, weight, centre, target, scale),
            objective=error + alpha * float(weight @ weight), gap=float(gradient @ gradient) / (4 * max(alpha, 1e-9)),
            tolerance=tolerance, evaluations=steps,
        )  # fmt: skip
    return [found[index] for index in range(len(problems))]


def _conjugate_gradients(
    covariance: Product, alpha: float, slope: Array, start: Array, diagonal: Array, *, accuracy: float, limit: int
) -> tuple[Array, int]:
    """Solve ``(covariance + alpha) weight = slope``; return weight and number of steps."""
    shape, steps = (len(slope), len(slope)), 0

    def count(_: Array) -> None:
        nonlocal steps
        steps += 1

    def product(vector: Array) -> Array:
        return covariance(vector) + alpha * np.ravel(vector)

    def precondition(vector: Array) -> Array:
        return np.ravel(vector) / diagonal

    weight, _ = cg(
        LinearOperator(shape, matvec=product, dtype=np.float64), slope, x0=start, rtol=0.0, atol=accuracy,
        maxiter=limit, M=LinearOperator(shape, matvec=precondition, dtype=np.float64), callback=count,
    )  # fmt: skip
    return weight, steps
