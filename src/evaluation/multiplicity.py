"""Holm's correction for several tests, within families."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from src.errors import UserError
from src.evaluation.metrics import Array

MAIN_POOLINGS = ("cls", "pooler", "mean")
FIRST_FAMILY, SECOND_FAMILY = "cls, pooler, mean", "other pairs"


def _checked(pvalues: Sequence[float]) -> Array:
    values = np.asarray(pvalues, dtype=np.float64)
    if values.size and not ((values >= 0) & (values <= 1)).all():
        raise UserError(f"p-values between 0 and 1 are needed, got {values.min()} to {values.max()}.")
    return values


def holm(pvalues: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the order given.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    values = _checked(pvalues)
    order = np.argsort(values, kind="stable")
    adjusted = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)) if values.size else values
    out = np.empty_like(values)
    out[order] = np.minimum(adjusted, 1)
    return [float(value) for value in out]


def family_of(a: str, b: str) -> str:
    """Return the family of a pair of runs: that of cls, pooler and mean, or that of all other pairs."""
    return FIRST_FAMILY if a in MAIN_POOLINGS and b in MAIN_POOLINGS else SECOND_FAMILY


def holm_within(pvalues: Sequence[float | None], families: Sequence[Hashable]) -> list[float | None]:
    """Return Holm's adjusted p-values, each family by itself; None where there is no p-value.

    >>> holm_within([0.01, 0.02, None, 0.03], ["x", "x", "x", "y"])
    [0.02, 0.02, None, 0.03]
    """
    adjusted: list[float | None] = [None] * len(pvalues)
    for family in dict.fromkeys(families):
        places = [
            place
            for place, (p, own) in enumerate(zip(pvalues, families, strict=True))
            if own == family and p is not None
        ]
        for place, p in zip(places, holm([float(pvalues[place] or 0.0) for place in places]), strict=True):
            adjusted[place] = p
    return adjusted
