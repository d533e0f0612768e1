"""L-BFGS as a coroutine, and the coordinates that it walks in, where the Hessian is near the identity."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.linalg import eigh, solve_triangular

from src.probes.solvers.linear import Array, Matrix, moments, threads

MEMORY = 12  # pairs that an L-BFGS path remembers


def _gram(x: Matrix) -> tuple[Array, Array]:
    """Sum of the rows (width,) and of their outer products (width, width); float64 sums of float32 block products."""

    def slab(number: int) -> tuple[Array, Array]:
        total, products = np.zeros(x.shape[1]), np.zeros((x.shape[1], x.shape[1]))
        for start in range(
            number * 4096, x.shape[0], 4 * 4096
        ):  # four slabs whatever the threads, so that the sums do not depend on them
            part = np.asarray(x[start : start + 4096], dtype=np.float32)
            total += part.sum(axis=0, dtype=np.float64)
            products += part.T @ part
        return total, products

    with threads() as each:
        totals, products = zip(*each(slab, range(4)), strict=True)
    return np.sum(totals, axis=0), np.sum(products, axis=0)


@dataclass(frozen=True)
class Basis:
    """Eigenvectors (width, width) and eigenvalues (width,) of the rows' covariance; vectors None: its diagonal alone."""

    values: Array
    vectors: Array | None

    @classmethod
    def of(cls, x: Matrix) -> Basis:
        """The covariance of all rows of `x`. It only preconditions, so float32 will do and one basis serves every subset of the rows."""
        rows = x.shape[0]
        if sp.issparse(x):
            _, spread = moments(x, [None])
            return cls(spread[0] ** 2, None)
        total, products = _gram(x)
        products /= rows
        products -= np.outer(total / rows, total / rows)
        values, vectors = eigh(
            products.astype(np.float32 if x.shape[1] > 1024 else np.float64), driver="evd", overwrite_a=True
        )
        return cls(np.maximum(values, 0).astype(np.float64), vectors.astype(np.float64))

    def into(self, array: Array) -> Array:
        return array if self.vectors is None else array @ self.vectors

    def back(self, array: Array) -> Array:
        return array if self.vectors is None else array @ self.vectors.T


@dataclass(frozen=True)
class Frame:
    """Coordinates in which the Hessian is near the identity: class directions, and a stretch for each class and feature direction."""

    spin: Array  # (outputs, outputs), orthogonal
    stretch: Array  # (outputs, width); 0 where nothing depends on the coordinate
    lift: Array  # (outputs,), the same for the bias

    def inner(self, basis: Basis, weight: Array, bias: Array) -> Array:
        """A point in these coordinates, flat."""
        turned, leaned = self.spin.T @ basis.into(weight), self.spin.T @ bias
        return np.concatenate(
            [
                np.divide(turned, self.stretch, out=np.zeros_like(turned), where=self.stretch > 0).ravel(),
                np.divide(leaned, self.lift, out=np.zeros_like(leaned), where=self.lift > 0),
            ]
        )

    def outer(self, point: Array) -> tuple[Array, Array]:
        """Weights along the basis (outputs, width) and bias (outputs,) of a flat point."""
        outputs = len(self.lift)
        return self.spin @ (self.stretch * point[:-outputs].reshape(outputs, -1)), self.spin @ (
            self.lift * point[-outputs:]
        )

    def gradient(self, turned: Array, lean: Array) -> Array:
        """The gradient of a flat point, from those of the weights along the basis and of the bias."""
        return np.concatenate([(self.stretch * (self.spin.T @ turned)).ravel(), self.lift * (self.spin.T @ lean)])


@dataclass(frozen=True)
class Factored:
    """The same from the Hessian's own block of each output, bias included: lower Cholesky factors (outputs, width + 1, width + 1)."""

    factors: Array

    def inner(self, basis: Basis, weight: Array, bias: Array) -> Array:
        joined = np.concatenate([basis.into(weight), bias[:, None]], axis=1)
        return np.concatenate([factor.T @ part for factor, part in zip(self.factors, joined, strict=True)])

    def outer(self, point: Array) -> tuple[Array, Array]:
        parts = point.reshape(len(self.factors), -1)
        joined = np.stack(
            [
                solve_triangular(factor, part, lower=True, trans="T")
                for factor, part in zip(self.factors, parts, strict=True)
            ]
        )
        return joined[:, :-1], joined[:, -1]

    def gradient(self, turned: Array, lean: Array) -> Array:
        joined = np.concatenate([turned, lean[:, None]], axis=1)
        return np.concatenate(
            [solve_triangular(factor, part, lower=True) for factor, part in zip(self.factors, joined, strict=True)]
        )


Step = Generator[tuple[Array, bool], tuple[float, Array, float], None]


def descend(point: Array, tolerance: float, limit: int) -> Step:
    """L-BFGS for a smooth convex function, as a coroutine: yields (point, exact), is sent (value, gradient, gap bound) there.

    It asks for cheap evaluations until the bound falls below the tolerance or rounding stops the progress, then for exact ones. The last
    point it yields is the answer. Steps are accepted by Armijo's rule or, where rounding hides the decrease, by the slope alone (Hager
    and Zhang 2005).
    """
    exact = False
    value, gradient, gap = yield point, exact
    pairs: list[tuple[Array, Array, float]] = []
    used = 1
    while used < limit:
        if gap <= tolerance:
            if exact:
                return
            exact, used = True, used + 1
            value, gradient, gap = yield point, exact
            continue
        direction = -_inverse_hessian(pairs, gradient)
        slope = float(direction @ gradient)
        if not slope < 0:
            pairs, direction = [], -gradient
            slope = float(direction @ gradient)
        noise, step, accepted = (1e-14 if exact else 1e-7) * max(1.0, abs(value)), 1.0, False
        for _ in range(12):
            candidate = point + step * direction
            new_value, new_gradient, new_gap = yield candidate, exact
            used += 1
            new_slope = float(direction @ new_gradient)
            if new_value <= value + 1e-4 * step * slope or (new_value <= value + noise and new_slope <= -0.8 * slope):
                accepted = True
                break
            step *= min(0.5, max(0.1, slope / (slope - new_slope))) if new_slope > slope else 0.5
        if not accepted:
            if exact:  # nothing left to gain in float64: the last point asked for is the answer
                yield point, exact
                return
            exact, pairs, used = True, [], used + 1
            value, gradient, gap = yield point, exact
            continue
        change, bend = candidate - point, new_gradient - gradient
        curvature = float(change @ bend)
        if curvature > 1e-14 * float(bend @ bend):
            pairs = [*pairs[-MEMORY + 1 :], (change, bend, curvature)]
        point, value, gradient, gap = candidate, new_value, new_gradient, new_gap
    yield point, True


def _inverse_hessian(pairs: list[tuple[Array, Array, float]], gradient: Array) -> Array:
    """The two-loop recursion of L-BFGS (Nocedal 1980)."""
    vector, factors = gradient.copy(), []
    for change, bend, curvature in reversed(pairs):
        factor = float(change @ vector) / curvature
        vector -= factor * bend
        factors.append(factor)
    if pairs:
        _, bend, curvature = pairs[-1]
        vector *= curvature / float(bend @ bend)
    for (change, bend, curvature), factor in zip(pairs, reversed(factors), strict=True):
        vector += (factor - float(bend @ vector) / curvature) * change
    return vector
