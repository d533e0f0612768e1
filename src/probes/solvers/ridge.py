"""Ridge regression: the closed form for dense rows, conjugate gradients for sparse ones, both with a bound on what is missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator, cg

from src.probes.solvers.linear import Array, Matrix, Solution, Task, Tell, silent, threads


def solve_ridge(
    x: Matrix, y: Array, tasks: Sequence[Task], *, tolerance: float = 1e-12, tell: Tell = silent
) -> list[Solution]:
    """Minimise mean squared error + alpha ||w||^2 (bias free) for every task, in float64.

    Dense rows: the closed form, through one eigendecomposition of each subset's covariance, which is the covariance of all rows less that
    of the rows left out. Sparse rows: conjugate gradients, to a bound on the objective's distance to its optimum.
    """
    groups: dict[int, list[int]] = {}
    for index, task in enumerate(tasks):
        groups.setdefault(id(task.weights), []).append(index)
    answers: dict[int, Solution] = {}
    with threads():
        whole = None if sp.issparse(x) else _products(x, y, np.ones(x.shape[0]))
        for members in groups.values():
            chosen = [tasks[index] for index in members]
            found = (
                _ridge_sparse(x, y, chosen, tolerance)
                if whole is None
                else _ridge_dense(x, y, chosen, whole, tolerance)
            )
            answers.update(zip(members, found, strict=True))
            tell(len(answers))
    return [answers[index] for index in range(len(tasks))]


def _products(x: Matrix, y: Array, weights: Array) -> tuple[float, Array, Array, Array, Array]:
    """Weighted sums over rows: of 1, of x, of x x', of (y, y^2), of x y."""
    kept = np.flatnonzero(weights)
    width = x.shape[1]
    total, outer, cross = np.zeros(width), np.zeros((width, width)), np.zeros(width)
    for start in range(0, len(kept), 4096):
        rows = kept[start : start + 4096]
        part, mass = x[rows].astype(np.float64), weights[rows]
        total += mass @ part
        cross += (mass * y[rows]) @ part
        outer += part.T @ (part if (mass == 1).all() else part * mass[:, None])
    return float(weights.sum()), total, outer, np.array([weights @ y, weights @ y**2]), cross


def _ridge_dense(
    x: Matrix, y: Array, tasks: Sequence[Task], whole: tuple[float, Array, Array, Array, Array], tolerance: float
) -> list[Solution]:
    weights = tasks[0].weights
    if weights is None or (weights == 1).all():
        mass, total, outer, sums, cross = whole
    elif np.isin(weights, (0, 1)).all() and 2 * weights.sum() > len(weights):
        left_out = _products(x, y, 1.0 - weights)
        mass, total, outer, sums, cross = (all_rows - out for all_rows, out in zip(whole, left_out, strict=True))  # type: ignore[operator]
    else:
        mass, total, outer, sums, cross = _products(x, y, np.asarray(weights, dtype=np.float64))
    centre, target = total / mass, sums[0] / mass
    scale = np.ones(len(centre)) if tasks[0].scale is None else tasks[0].scale
    covariance = (outer / mass - np.outer(centre, centre)) / np.outer(scale, scale)
    slope = (cross / mass - centre * target) / scale
    values, vectors = eigh(covariance, driver="evd")
    values = np.maximum(values, 0)
    turned = slope @ vectors
    spread = float(sums[1] / mass - target**2)
    answers = []
    for task in tasks:
        bent = values + task.alpha
        floor = 1e-12 * max(float(values[-1]), 1e-300)  # without a penalty, directions without variance get no weight
        inner = np.where(bent > floor, turned / np.maximum(bent, floor), 0)
        weight = vectors @ inner
        gradient = 2 * (covariance @ weight + task.alpha * weight - slope)
        gap = (
            float(gradient @ gradient) / (4 * task.alpha)
            if task.alpha > 0
            else float(np.sum(np.where(bent > floor, (gradient @ vectors) ** 2 / (4 * np.maximum(bent, floor)), 0)))
        )
        objective = (
            spread
            - 2 * float(slope @ weight)
            + float(weight @ covariance @ weight)
            + task.alpha * float(weight @ weight)
        )
        offset = (centre - (0 if task.mean is None else task.mean)) / scale
        answers.append(
            Solution(
                task.alpha,
                weight[None],
                np.array([target - weight @ offset]),
                objective,
                gap,
                gap <= max(tolerance, 1e-12 * spread),
                1,
                task.mean,
                task.scale,
            )
        )
    return answers


def _ridge_sparse(x: Matrix, y: Array, tasks: Sequence[Task], tolerance: float) -> list[Solution]:
    width = x.shape[1]
    exact = x.astype(np.float64)
    mass = np.ones(x.shape[0]) if tasks[0].weights is None else np.asarray(tasks[0].weights, dtype=np.float64)
    mass = mass / mass.sum()
    centre, target = exact.T @ mass, float(mass @ y)
    scale = np.ones(width) if tasks[0].scale is None else tasks[0].scale
    slope = (exact.T @ (mass * (y - target))) / scale

    def covariance(weight: Array) -> Array:
        folded = np.ravel(weight) / scale
        scores = exact @ folded - centre @ folded
        return (exact.T @ (mass * scores) - centre * (mass @ scores)) / scale

    spread = float(mass @ (y - target) ** 2)
    variance = (exact.multiply(exact).T @ mass - centre**2) / scale**2
    weight = np.zeros(width)
    found: dict[int, Solution] = {}
    for index in sorted(range(len(tasks)), key=lambda index: -tasks[index].alpha):
        alpha = tasks[index].alpha
        steps = 0

        def count(_: Array) -> None:
            nonlocal steps
            steps += 1

        system = LinearOperator(
            (width, width), matvec=lambda v, alpha=alpha: covariance(v) + alpha * np.ravel(v), dtype=np.float64
        )
        diagonal = np.maximum(variance + alpha, 1e-12)
        precondition = LinearOperator(
            (width, width), matvec=lambda v, diagonal=diagonal: np.ravel(v) / diagonal, dtype=np.float64
        )
        goal = np.sqrt(tolerance * max(alpha, 1e-9)) / 2
        weight, _ = cg(
            system,
            slope,
            x0=weight,
            rtol=0.0,
            atol=goal,
            maxiter=20 * min(x.shape) + 1000,
            M=precondition,
            callback=count,
        )
        bent = covariance(weight)
        gradient = 2 * (bent + alpha * weight - slope)
        gap = float(gradient @ gradient) / (4 * max(alpha, 1e-9))
        objective = spread - 2 * float(slope @ weight) + float(weight @ bent) + alpha * float(weight @ weight)
        task = tasks[index]
        offset = (centre - (0 if task.mean is None else task.mean)) / scale
        found[index] = Solution(
            alpha,
            weight[None],
            np.array([target - weight @ offset]),
            objective,
            gap,
            gap <= tolerance,
            steps,
            task.mean,
            task.scale,
        )
    return [found[index] for index in range(len(tasks))]
