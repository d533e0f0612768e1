"""L-BFGS as a coroutine, so that many searches can share their passes over the rows."""

from __future__ import annotations

from collections.abc import Generator

from src.probes.solvers.linear import Array

MEMORY = 12  # pairs of steps and gradient changes that are kept

Pair = tuple[Array, Array, float]  # step, change of the gradient, their product
Steps = Generator[tuple[Array, bool], tuple[float, Array, float], None]


def minimise(point: Array, tolerance: float, limit: int) -> Steps:
    """Minimise a smooth convex function.

    Yield (point, exact); the caller sends (value, gradient, bound of the gap) at that point.

    Cheap evaluations are requested until the bound falls below the tolerance or rounding stops the
    progress, then exact ones. The last point yielded is the answer. Steps are accepted by Armijo's
    rule or, where rounding hides the decrease, by the slope alone (Hager and Zhang 2005).
    """
    exact = False
    value, gradient, gap = yield point, exact
    pairs: list[Pair] = []
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
            if exact:  # float64 allows no further progress: the last point requested is the answer
                yield point, exact
                return
            exact, pairs, used = True, [], used + 1
            value, gradient, gap = yield point, exact
            continue
        pairs = _remember(pairs, candidate - point, new_gradient - gradient)
        point, value, gradient, gap = candidate, new_value, new_gradient, new_gap
    yield point, True


def _remember(pairs: list[Pair], step: Array, change: Array) -> list[Pair]:
    """Add a pair whose curvature is positive beyond rounding, and drop the oldest."""
    curvature = float(step @ change)
    if curvature > 1e-14 * float(change @ change):
        return [*pairs[-MEMORY + 1 :], (step, change, curvature)]
    return pairs


def _inverse_hessian(pairs: list[Pair], gradient: Array) -> Array:
    """Multiply by the approximate inverse Hessian by the two-loop recursion (Nocedal 1980)."""
    vector, factors = gradient.copy(), []
    for step, change, curvature in reversed(pairs):
        factor = float(step @ vector) / curvature
        vector -= factor * change
        factors.append(factor)
    if pairs:
        _, change, curvature = pairs[-1]
        vector *= curvature / float(change @ change)
    for (step, change, curvature), factor in zip(pairs, reversed(factors), strict=True):
        vector += (factor - float(change @ vector) / curvature) * step
    return vector
