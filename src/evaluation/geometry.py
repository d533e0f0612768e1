"""What a cloud of representations looks like: saturation, dimension, anisotropy, and how alike two of them are. numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

NEARLY = 0.99  # tanh is flat from here on: a step of its argument moves it by less than a fiftieth
NULL = 1e-6  # of the largest singular value: less is the rounding of float32 features, not variation
THRESHOLDS = (0.1, 0.03, 0.01)  # of the largest singular value: what W shrinks below is all but dropped


def saturation(values: Array) -> dict[str, float]:
    """Shares of entries at the ends of tanh.

    Parameters
    ----------
    values : float32 array of shape (rows, width)

    Returns
    -------
    dict
        ``nearly``, the share beyond `NEARLY` in magnitude; ``float32``, ``bfloat16``, ``float16``, the shares that are exactly one in
        magnitude once stored so.
    """
    size = np.abs(np.asarray(values, np.float32))
    stored = {"float32": size, "bfloat16": bfloat16(size), "float16": size.astype(np.float16)}
    return {
        "nearly": float((size > NEARLY).mean()),
        **{name: float((each == 1).mean()) for name, each in stored.items()},
    }


def bfloat16(values: Array) -> Array:
    """Finite float32 values rounded to bfloat16, to the nearest and on a tie to even; still float32.

    >>> bfloat16(np.array([0.99, 0.999], np.float32)).tolist()
    [0.98828125, 1.0]
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def effective_rank(values: Array) -> float:
    """Exponential of the entropy of the normalised singular values of the centred rows: 1 to width; 0 for rows that are all equal.

    References
    ----------
    Roy and Vetterli (2007), The effective rank: a measure of effective dimensionality.
    """
    singular = _singular(values)
    share = singular[singular > 0] / max(singular.sum(), np.finfo(np.float64).tiny)
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0


def participation_ratio(values: Array) -> float:
    """Squared sum of the variances along the principal axes over the sum of their squares, 1 to width; 0 for rows that are all equal.

    References
    ----------
    Gao et al. (2017), A theory of multineuronal dimensionality, dynamics and measurement.
    """
    variance = _singular(values) ** 2
    return float(variance.sum() ** 2 / (variance**2).sum()) if variance.any() else 0.0


def rank(values: Array) -> int:
    """Directions in which the centred rows vary at all; the output of a layer norm, for one, leaves at most width - 1."""
    return len(_varying(_singular(values)))


def condition_number(values: Array, *, standardise: bool = False) -> float:
    """Largest over smallest singular value of the centred rows, among the directions in which they vary; infinite where there are none.

    With `standardise`, of their columns scaled to unit variance, as a probe sees them.
    """
    centred = _centred(values)
    scale = centred.std(axis=0)
    singular = _varying(_singular(centred / np.where(scale > 0, scale, 1) if standardise else centred))
    return float(singular[0] / singular[-1]) if len(singular) else float("inf")


def anisotropy(values: Array) -> float:
    """Mean cosine of two different rows, -1 to 1, in one pass; a row of zeros, which has no direction, counts as orthogonal to all.

    References
    ----------
    Ethayarajh (2019), How Contextual are Contextualized Word Representations?, section 3.4.
    """
    unit = _unit(values)
    rows = len(unit)
    return float(((unit.sum(axis=0) ** 2).sum() - (unit**2).sum()) / (rows * (rows - 1)))


def cka(first: Array, second: Array) -> float:
    """Linear centred kernel alignment of two views of the same rows, 0 to 1; 1 for any rotation and isotropic scaling.

    This is the biased estimate: independent views score about width / rows in place of 0.

    References
    ----------
    Kornblith et al. (2019), Similarity of Neural Network Representations Revisited, section 3.
    """
    x, y = _centred(first), _centred(second)
    own = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(x.T @ y) ** 2 / own) if own else 0.0


def difference(first: Array, second: Array) -> dict[str, float]:
    """How far two views of the same rows and width lie apart entry by entry.

    Returns
    -------
    dict
        ``mean_absolute``, of the difference of their entries, beside ``first_mean_absolute`` and ``second_mean_absolute``, of their own;
        ``mean_cosine`` of a row with its counterpart; ``mean_correlation`` of a column with its counterpart.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    columns = (_unit(_centred(a).T) * _unit(_centred(b).T)).sum(axis=1)
    return {
        "mean_absolute": float(np.abs(a - b).mean()),
        "first_mean_absolute": float(np.abs(a).mean()),
        "second_mean_absolute": float(np.abs(b).mean()),
        "mean_cosine": float((_unit(a) * _unit(b)).sum(axis=1).mean()),
        "mean_correlation": float(columns.mean()),
    }


def dropped(values: Array, weight: Array, thresholds: Sequence[float] = THRESHOLDS) -> dict[str, dict[str, float]]:
    """How much of the rows' variance lies in directions that a matrix all but drops.

    A linear probe without penalty loses nothing by it, since it can scale any direction of an invertible W h back up; a penalised one
    does, because weight on a direction that W shrinks by s costs it 1 / s^2 times as much.

    Parameters
    ----------
    values : array of shape (rows, width)
    weight : array of shape (width, width)
        W of ``W h + b``.
    thresholds : of W's largest singular value

    Returns
    -------
    dict
        By threshold, ``directions``, the share of W's singular directions below it, and ``variance``, the rows' share along them; and
        under ``lower_half`` the same for the half of the directions with the smaller singular values.
    """
    _, singular, directions = np.linalg.svd(np.asarray(weight, np.float64))
    variance = ((_centred(values) @ directions.T) ** 2).sum(axis=0)
    variance = variance / max(variance.sum(), np.finfo(np.float64).tiny)
    below = {f"{threshold:g}": singular < threshold * singular[0] for threshold in thresholds}
    below["lower_half"] = np.arange(len(singular)) >= len(singular) // 2
    return {
        name: {"directions": float(mask.mean()), "variance": float(variance[mask].sum())}
        for name, mask in below.items()
    }


def _centred(values: Array) -> Array:
    """Float64, less the mean of each column; one that never varies is zero to the last bit."""
    x = np.asarray(values, np.float64)
    return np.where(x.min(axis=0) == x.max(axis=0), 0.0, x - x.mean(axis=0))


def _singular(values: Array) -> Array:
    singular: Array = np.linalg.svd(_centred(values), compute_uv=False)
    return singular


def _varying(singular: Array) -> Array:
    return singular[singular > NULL * singular.max(initial=0)]


def _unit(values: Array) -> Array:
    x = np.asarray(values, np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    unit: Array = x / np.where(length > 0, length, 1)
    return unit
