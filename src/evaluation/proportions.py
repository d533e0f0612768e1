"""Intervals and tests for shares of rows, single and paired, and Cohen's kappa."""

from __future__ import annotations

import numpy as np
from scipy.special import bdtr, ndtri

from src.errors import UserError
from src.evaluation.metrics import Array


def wilson(right: float, rows: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval for the proportion `right` / `rows`.

    >>> [round(end, 4) for end in wilson(71, 71)]
    [0.9487, 1.0]
    """
    z = float(ndtri((1 + level) / 2))
    share = right / rows
    centre, half = share + z**2 / (2 * rows), z * float(np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2)))
    low, high = (centre - half) / (1 + z**2 / rows), (centre + half) / (1 + z**2 / rows)
    return max(0.0, min(share, low)), min(1.0, max(share, high))  # rounding must not exclude the share


def mcnemar(correct_a: Array, correct_b: Array) -> float:
    """Return the two-sided mid-p value of McNemar's exact test.

    Parameters
    ----------
    correct_a, correct_b : (rows,) bool
        Which rows each side predicted right.

    >>> import numpy as np
    >>> a, b = np.array([True] * 9 + [False] * 2), np.array([False] * 9 + [True] * 2)
    >>> round(mcnemar(a, b), 6)
    0.038574

    References
    ----------
    Fagerland, Lydersen and Laake (2013), The McNemar test for binary matched-pairs data.
    """
    only_a, only_b = int(np.sum(correct_a & ~correct_b)), int(np.sum(correct_b & ~correct_a))
    least, total = min(only_a, only_b), only_a + only_b
    if total == 0:
        return 1.0
    below = float(bdtr(least - 1, total, 0.5)) if least else 0.0
    return min(1.0, below + float(bdtr(least, total, 0.5)))


def paired_counts(correct_a: Array, correct_b: Array) -> tuple[int, int, int, int]:
    """Return how many rows both predicted right, a alone, b alone, and neither."""
    both, only_a, only_b = (
        int(np.sum(rows)) for rows in (correct_a & correct_b, correct_a & ~correct_b, correct_b & ~correct_a)
    )
    return both, only_a, only_b, len(correct_a) - both - only_a - only_b


def newcombe(both: int, only_a: int, only_b: int, neither: int, level: float = 0.95) -> tuple[float, float]:
    """Return Newcombe's interval for a difference of paired proportions, which never has length 0.

    It is his method 10, from Wilson's intervals of each proportion.

    Parameters
    ----------
    both, only_a, only_b, neither : int
        Rows that both sides, one side or neither predicted right, as from `paired_counts`.

    References
    ----------
    Newcombe (1998), Improved confidence intervals for the difference between binomial proportions
    based on paired data.
    """
    rows = both + only_a + only_b + neither
    right_a, right_b = both + only_a, both + only_b
    (low_a, high_a), (low_b, high_b) = wilson(right_a, rows, level), wilson(right_b, rows, level)
    share_a, share_b = right_a / rows, right_b / rows
    product = float(right_a) * (rows - right_a) * right_b * (rows - right_b)
    covariance = float(both * neither - only_a * only_b)
    if covariance > 0:
        covariance = max(covariance - rows / 2, 0)
    phi = covariance / np.sqrt(product) if product > 0 else 0.0
    below = (share_a - low_a) ** 2 - 2 * phi * (share_a - low_a) * (high_b - share_b) + (high_b - share_b) ** 2
    above = (high_a - share_a) ** 2 - 2 * phi * (high_a - share_a) * (share_b - low_b) + (share_b - low_b) ** 2
    return float(share_a - share_b - np.sqrt(max(below, 0))), float(share_a - share_b + np.sqrt(max(above, 0)))


def kappa(first: Array, second: Array, *, classes: int, level: float = 0.95) -> tuple[float, float, float] | None:
    """Return Cohen's kappa of two predictions (rows,) with its interval: value, low, high.

    None where both predict one and the same class throughout. The interval is Wilson's for the
    share of agreement, with as many rows as give kappa the variance of Fleiss, Cohen and Everitt
    (1969). Wald's interval from the same variance is too narrow near 1.

    >>> import numpy as np
    >>> first, second = np.repeat([0, 1], 50), np.repeat([0, 1], [55, 45])
    >>> [round(value, 3) for value in kappa(first, second, classes=2)]
    [0.9, 0.777, 0.957]
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise UserError(f"agreement needs two predictions of the same rows, got {first.shape} and {second.shape}.")
    table = np.bincount(first * classes + second, minlength=classes**2).reshape(classes, classes) / len(first)
    agreement, chance = float(np.diag(table).sum()), float(table.sum(axis=1) @ table.sum(axis=0))
    if chance >= 1:
        return None
    value = (agreement - chance) / (1 - chance)
    variance = _agreement_variance(table, value, chance) / len(first)
    rows = max(1, round(agreement * (1 - agreement) / variance)) if variance > 1e-15 else len(first)
    low, high = wilson(agreement * rows, rows, level)
    return value, max(-1.0, (low - chance) / (1 - chance)), (high - chance) / (1 - chance)


def _agreement_variance(table: Array, value: float, chance: float) -> float:
    """Return the variance, times rows, of the share of agreement given the agreement by chance.

    Parameters
    ----------
    table : (classes, classes)
        Shares of rows by first and second prediction.
    value : float
        Cohen's kappa of the table.
    """
    by_first, by_second, same = table.sum(axis=1), table.sum(axis=0), np.diag(table)
    diagonal = float(same @ (1 - (by_first + by_second) * (1 - value)) ** 2)
    sums = (by_second[:, None] + by_first[None]) ** 2
    rest = (1 - value) ** 2 * float((table * sums).sum() - (same * np.diag(sums)).sum())
    return max(0.0, diagonal + rest - (value - chance * (1 - value)) ** 2)
