"""Populations whose true values are known, and test sets drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from src.evaluation.metrics import metrics

Array = NDArray[Any]


def joint_table(
    prior: Sequence[float], recall_a: Sequence[float], recall_b: Sequence[float], shared: float = 0.7
) -> Array:
    """Return the probabilities of label, prediction of a and prediction of b.

    Parameters
    ----------
    prior : share of each label
    recall_a, recall_b : recall of each class
    shared : float
        0: both are right independently, 1: as often together as the recalls allow. If both are
        wrong and have a choice, they agree on this share too.

    Returns
    -------
    array of shape (classes, classes, classes)
    """
    classes = len(prior)
    cells = np.zeros((classes,) * 3)
    for label, (weight, a, b) in enumerate(zip(prior, recall_a, recall_b, strict=True)):
        both = a * b + shared * (min(a, b) - a * b)
        wrong = [other for other in range(classes) if other != label]
        cells[label, label, label] = weight * both
        for one in wrong:
            cells[label, label, one] = weight * (a - both) / len(wrong)
            cells[label, one, label] = weight * (b - both) / len(wrong)
            for other in wrong:
                same = shared + (1 - shared) / len(wrong) if one == other else (1 - shared) / len(wrong)
                cells[label, one, other] = weight * (1 - a - b + both) * same / len(wrong)
    return cells


def true_values(metric: str, cells: Array) -> tuple[float, float]:
    """Return the metric of a and of b in the population."""
    function = metrics[metric].function
    return float(function(cells.sum(axis=2)[None] * 1e9)[0]), float(function(cells.sum(axis=1)[None] * 1e9)[0])


def table_with_difference(
    metric: str, prior: Sequence[float], recall: Sequence[float], difference: float, shift: float = 0.04
) -> Array:
    """Return a table in which metric(a) - metric(b) is `difference`.

    The two err differently: b is better by `shift` on the first class and worse on the last.
    """
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        cells = joint_table(prior, recall, [recall[0] + shift, *recall[1:-1], middle])
        a, b = true_values(metric, cells)
        low, high = (middle, high) if a - b > difference else (low, middle)
    return cells


def draw(generator: np.random.Generator, cells: Array, rows: int) -> Array:
    """Draw labels and both predictions, (3, rows)."""
    chosen = generator.choice(cells.size, size=rows, p=cells.ravel() / cells.sum())
    return np.stack(np.unravel_index(chosen, cells.shape))


def draw_normal(
    generator: np.random.Generator,
    rows: int,
    correlation_a: float,
    correlation_b: float,
    shared: float = 0.9,
    texts: Array | None = None,
) -> Array:
    """Draw targets and both predictions, (3, rows), jointly normal.

    Parameters
    ----------
    correlation_a, correlation_b : float
        Of the predictions with the targets.
    shared : float
        Correlation of the predictions with each other.
    texts : (rows, 2), or None
        See `draw_noise`.
    """
    covariance = np.array([[1, correlation_a, correlation_b], [correlation_a, 1, shared], [correlation_b, shared, 1]])
    return np.linalg.cholesky(covariance) @ draw_noise(generator, 3, rows, texts)


def draw_noise(generator: np.random.Generator, variables: int, rows: int, texts: Array | None = None) -> Array:
    """Draw standard normal variables, (variables, rows).

    Parameters
    ----------
    texts : (rows, 2), or None
        Numbers of the texts of pairs, from 0. Half of the variance is then that of the two texts.
    """
    noise = generator.standard_normal((variables, rows))
    if texts is None:
        return noise
    of_texts = generator.standard_normal((variables, int(texts.max()) + 1))
    return np.sqrt(0.5) * noise + 0.5 * (of_texts[:, texts[:, 0]] + of_texts[:, texts[:, 1]])


def draw_pairs(generator: np.random.Generator, rows: int, firsts: int | None) -> Array:
    """Draw the numbers of the two texts of each row, (rows, 2) uint64.

    Parameters
    ----------
    firsts : int or None
        So many texts are the first of all rows, as often as Zipf's law says, and each row has a second
        text of its own; None: each text is in two rows on average.
    """
    if firsts is None:
        half = rows // 2
        first, second = generator.integers(half, size=rows), half + generator.integers(half, size=rows)
    else:
        share = 1 / np.arange(1, firsts + 1)
        first, second = generator.choice(firsts, size=rows, p=share / share.sum()), firsts + np.arange(rows)
    return np.column_stack([first, second]).astype(np.uint64)


def cohen_kappa(shares: Array) -> float:
    """Return Cohen's kappa of two predictions from their joint shares, (classes, classes)."""
    chance = float(shares.sum(axis=0) @ shares.sum(axis=1))
    return float((np.trace(shares) - chance) / (1 - chance))


def round_to_fifths(targets: Array) -> Array:
    """Return normal targets on a skewed scale like STS-B's: 0 to 5 in steps of a fifth."""
    return np.round(25 * ndtr(targets) ** 1.5) / 5


def true_correlation_of_fifths(metric: str, correlation: float) -> float:
    """Return the true correlation of `round_to_fifths` with a prediction.

    Parameters
    ----------
    metric : "pearson" or "spearman"
    correlation : float
        Of the prediction with the normal targets.
    """
    from scipy.stats import norm

    if metric == "spearman":
        return true_spearman_of_sets(correlation, [(0.0, 0.0)])
    share, level = np.diff(_ends_of_fifths()), np.arange(26) / 5
    together = -correlation * np.diff(norm.pdf(ndtri(_ends_of_fifths())))
    centred = level - share @ level
    return float(centred @ together / np.sqrt(share @ centred**2))


def true_spearman_of_sets(correlation: float, means: Sequence[tuple[float, float]]) -> float:
    """Return the true Spearman correlation of `round_to_fifths` with a prediction, over equal sets.

    Parameters
    ----------
    correlation : float
        Of prediction and normal target, within a set; both have variance 1 there.
    means : sequence of (float, float)
        Of target and prediction in each set.

    Notes
    -----
    The rank of a prediction is the share of predictions below it. Whether one of set k is below one
    of set i, and in which fifth the target of the latter lies, is decided by two normal variables.
    """
    from scipy.stats import multivariate_normal

    steps = ndtri(_ends_of_fifths()[1:-1])
    target, prediction = np.array(means).T
    below = np.array([[0, *ndtr(steps - mean), 1] for mean in target])  # share of each set's targets up to each step
    ends = below.mean(axis=0)
    covariance = -correlation / np.sqrt(2)
    pair = multivariate_normal([0, 0], [[1, covariance], [covariance, 1]])
    product = 0.0
    for mean, own in zip(target, prediction, strict=True):
        for bound in (own - prediction) / np.sqrt(2):
            both = [0, *(float(pair.cdf([step - mean, bound])) for step in steps), float(ndtr(bound))]
            product += float((ends[1:] + ends[:-1]) / 2 @ np.diff(both)) / len(means) ** 2
    share, rank = np.diff(ends), (ends[1:] + ends[:-1]) / 2
    return float((product - 1 / 4) / np.sqrt((share @ (rank - 0.5) ** 2) / 12))


def _ends_of_fifths() -> Array:
    """Return the share of standard normal targets up to the lower end of each fifth, and 1, (27,)."""
    return np.concatenate([[0], ((np.arange(25) + 0.5) / 25) ** (2 / 3), [1]])
