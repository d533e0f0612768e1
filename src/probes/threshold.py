"""Choice of the threshold that a binary task's metric is best at."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from src.evaluation.metrics import metrics
from src.probes.solvers.linear import Array

THRESHOLD_METRICS = ("f1", "macro_f1", "mcc")  # that the threshold is chosen for
TIE = 1e-12  # values of a metric nearer than this are equal
LARGEST = 30.0  # decision value; beyond, the probability is 0 or 1 but for rounding


def best_threshold(metric: str, y: Array, decisions: Array) -> float:
    """Return the probability of class 1 above which predicting it gives a metric its best value.

    Between two neighbouring decision values all thresholds predict alike, so one is tried for each
    pair of neighbours: 0.5 where it lies between them, else the middle of the decision values. Of
    equally good ones the nearest to 0.5 is returned.

    Parameters
    ----------
    metric : str
        One of `THRESHOLD_METRICS`.
    y : array of (rows,)
        Class ids, 0 or 1.
    decisions : array of (rows,)
        Log-odds of class 1.
    """
    values, place = np.unique(np.asarray(decisions, dtype=np.float64), return_inverse=True)
    below = np.zeros((2, len(values) + 1))  # rows of each class at or below each threshold
    for label in (0, 1):
        below[label, 1:] = np.cumsum(np.bincount(place[y == label], minlength=len(values)))
    counts = np.stack([below, below[:, -1:] - below], axis=1).transpose(2, 0, 1)  # [threshold, label, prediction]
    scores = metrics[metric].function(counts)
    edge = 1e-6 * (1 + np.abs(values[[0, -1]]))
    cuts = np.concatenate([[values[0] - edge[0]], (values[:-1] + values[1:]) / 2, [values[-1] + edge[1]]])
    cuts[np.searchsorted(values, 0.0, side="right")] = 0.0
    best = np.flatnonzero(scores >= scores.max() - TIE)
    cut = cuts[best[np.abs(cuts[best]).argmin()]]
    return float(expit(np.clip(cut, -LARGEST, LARGEST)))


def above(decisions: Array, threshold: float) -> Array:
    """Return the predicted class ids (rows,) of log-odds (rows,) at a probability's threshold.

    >>> above(np.array([-0.1, 0.0, 0.1]), 0.5).tolist()
    [0, 0, 1]
    """
    return (decisions > logit(threshold)).astype(np.int64)
