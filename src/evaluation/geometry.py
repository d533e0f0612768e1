"""Geometry of representations: saturation, dimension, anisotropy, and similarity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

NEAR_ONE = 0.99  # beyond it tanh is flat: a step of its argument moves it by less than a fiftieth
RANK_TOLERANCE = 1e-6  # share of the largest singular value; less is rounding of float32 features
THRESHOLDS = (0.1, 0.03, 0.01)  # shares of W's largest singular value; W nearly drops what is below


def saturation(values: Array) -> dict[str, float]:
    """Return the shares of entries at the ends of tanh.

    Parameters
    ----------
    values : float32 array of shape (rows, width)

    Returns
    -------
    dict
        ``nearly``: the share beyond `NEAR_ONE` in magnitude. ``float32``, ``bfloat16``,
        ``float16``: the shares whose magnitude is exactly one in that type.
    """
    size = np.abs(np.asarray(values, np.float32))
    stored = {"float32": size, "bfloat16": bfloat16(size), "float16": size.astype(np.float16)}
    return {
        "nearly": float((size > NEAR_ONE).mean()),
        **{name: float((each == 1).mean()) for name, each in stored.items()},
    }


def bfloat16(values: Array) -> Array:
    """Return finite float32 values rounded to bfloat16, ties to even, as float32.

    >>> bfloat16(np.array([0.99, 0.999], np.float32)).tolist()
    [0.98828125, 1.0]
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def effective_rank(values: Array) -> float:
    """Return the exponential of the entropy of the normalised singular values of the centred rows.

    It is between 1 and width, and 0 for rows that are all equal.

    References
    ----------
    Roy and Vetterli (2007), The effective rank: a measure of effective dimensionality.
    """
    singular = _singular(values)
    share = singular[singular > 0] / max(singular.sum(), np.finfo(np.float64).tiny)
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0


def participation_ratio(values: Array) -> float:
    """Return the squared sum of the variances along principal axes over the sum of squares.

    It is between 1 and width, and 0 for rows that are all equal.

    References
    ----------
    Gao et al. (2017), A theory of multineuronal dimensionality, dynamics and measurement.
    """
    variance = _singular(values) ** 2
    return float(variance.sum() ** 2 / (variance**2).sum()) if variance.any() else 0.0


def rank(values: Array) -> int:
    """Return the number of directions in which the centred rows vary.

    The output of a layer norm varies in at most width - 1.
    """
    return len(_varying(_singular(values)))


def condition_number(values: Array, *, standardise: bool = False) -> float:
    """Return the largest over the smallest singular value, among directions in which the rows vary.

    The rows are centred. Infinite where they do not vary.

    Parameters
    ----------
    standardise : bool, default False
        Whether columns are scaled to unit variance, as for a probe.
    """
    centred = _centred(values)
    scale = centred.std(axis=0)
    singular = _varying(_singular(centred / np.where(scale > 0, scale, 1) if standardise else centred))
    return float(singular[0] / singular[-1]) if len(singular) else float("inf")


def anisotropy(values: Array) -> float:
    """Return the mean cosine of two different rows, -1 to 1.

    A row of zeros counts as orthogonal to all.

    References
    ----------
    Ethayarajh (2019), How Contextual are Contextualized Word Representations?, section 3.4.
    """
    unit = _unit(values)
    rows = len(unit)
    return float(((unit.sum(axis=0) ** 2).sum() - (unit**2).sum()) / (rows * (rows - 1)))


def cka(first: Array, second: Array) -> float:
    """Return the linear centred kernel alignment of two representations of the same rows, 0 to 1.

    It is 1 for any rotation and isotropic scaling. This is the biased estimate: independent
    representations score about width / rows in place of 0.

    References
    ----------
    Kornblith et al. (2019), Similarity of Neural Network Representations Revisited, section 3.
    """
    x, y = _centred(first), _centred(second)
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(x.T @ y) ** 2 / scale) if scale else 0.0


def difference(first: Array, second: Array) -> dict[str, float]:
    """Return how far two representations of the same rows and width lie apart.

    Returns
    -------
    dict
        ``mean_absolute`` of the difference of entries, ``first_mean_absolute`` and
        ``second_mean_absolute`` of the entries. ``mean_cosine`` of a row with its counterpart, and
        ``mean_correlation`` of a column with its counterpart.
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
    """Return the share of the rows' variance in directions that a matrix nearly drops.

    A linear probe without penalty loses nothing, since it can scale up any direction of an
    invertible W h. A penalised probe does: weight on a direction that W shrinks by s costs 1 / s^2
    times as much.

    Parameters
    ----------
    values : array of shape (rows, width)
    weight : array of shape (width, width)
        W of ``W h + b``.
    thresholds : sequence of float
        Shares of W's largest singular value.

    Returns
    -------
    dict
        Threshold to ``directions``, the share of W's singular directions below it, and
        ``variance``, the share of the rows' variance along them. ``lower_half`` is the same for the
        half of the directions with the smaller singular values.
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
    """Return values less the mean of each column, as float64; a constant column is exactly zero."""
    x = np.asarray(values, np.float64)
    return np.where(x.min(axis=0) == x.max(axis=0), 0.0, x - x.mean(axis=0))


def _singular(values: Array) -> Array:
    singular: Array = np.linalg.svd(_centred(values), compute_uv=False)
    return singular


def _varying(singular: Array) -> Array:
    return singular[singular > RANK_TOLERANCE * singular.max(initial=0)]


def _unit(values: Array) -> Array:
    x = np.asarray(values, np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    unit: Array = x / np.where(length > 0, length, 1)
    return unit
