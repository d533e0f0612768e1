"""A probe fitted at one value of the grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from src.probes.solvers.linear import Array, Solution


@dataclass(frozen=True)
class GridFit:
    """A fit at one value of the grid: decision = ((x - mean) / scale) @ weight.T + bias.

    `gap` bounds the objective's distance to its optimum. `solution` is that of the suite's own
    solvers, `model` a fitted scikit-learn estimator.
    """

    value: float
    weight: Array | None
    bias: Array | None
    mean: Array | None = None
    scale: Array | None = None
    gap: float | None = None
    converged: bool | None = None
    solution: Solution | None = None
    model: Any = None

    def unscaled(self) -> tuple[Array, Array]:
        """Return weight and bias that act on features that were not standardised."""
        assert self.weight is not None and self.bias is not None
        return unscaled(self.weight, self.bias, self.mean, self.scale)


def unscaled(weight: Array, bias: Array, mean: Array | None, scale: Array | None) -> tuple[Array, Array]:
    """Return weight and bias that act on features that were not standardised."""
    weight = weight if scale is None else weight / scale
    return weight, bias if mean is None else bias - weight @ mean
