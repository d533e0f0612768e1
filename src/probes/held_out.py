"""The rows that choose: held out from a fit, and scored by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.evaluation.deviance import constant_losses
from src.probes.constant import fit_constant
from src.probes.fitter import ProbeFitter
from src.probes.grid_fit import GridFit
from src.probes.settings import Rows
from src.probes.solvers.linear import Array
from src.probes.threshold import THRESHOLD_METRICS, best_threshold


@dataclass(frozen=True)
class HoldOut:
    """Rows that a grid is fitted on and those that choose its value, per fold; one without folds.

    Attributes
    ----------
    weights : sequence of arrays of (rows of train,), or None
        How often each row is fitted on; None: all once.
    rows : sequence of arrays of int64, or Rows
        Training rows that are held out, or another split.
    """

    weights: Sequence[Array | None]
    rows: Sequence[Array | Rows]

    def labels(self, fitter: ProbeFitter) -> list[Array]:
        """Return the labels of the held-out rows of each fold."""
        return [each.y if isinstance(each, Rows) else fitter.y[each] for each in self.rows]

    def constant_loss(self, fitter: ProbeFitter) -> float:
        """Return the mean loss of the held-out rows under the constant of the rows fitted on."""
        losses = [
            constant_losses(y, fit_constant(fitter.y, fitter.classes, weights))
            for weights, y in zip(self.weights, self.labels(fitter), strict=True)
        ]
        return float(np.concatenate(losses).mean())

    def threshold(self, fitter: ProbeFitter, fits: Sequence[GridFit], metric: str) -> float:
        """Return the threshold that is best on all held-out rows, each scored by the fit of its fold."""
        scores = [fitter.scores([fit], rows)[0][:, 0] for fit, rows in zip(fits, self.rows, strict=True)]
        return best_threshold(metric, np.concatenate(self.labels(fitter)), np.concatenate(scores))

    def resampled(self, counts: Array, y: Array) -> HoldOut | None:
        """Return the rows as a resample holds them, each as often as it was drawn.

        None if a class is then missing among the rows that are fitted on, or among those that choose.

        Parameters
        ----------
        counts : array of (rows of train,)
        y : array of (rows of train,)
            Class ids.
        """
        weights = [counts if each is None else counts * each for each in self.weights]
        rows = [
            each if isinstance(each, Rows) else np.repeat(each, counts[each].astype(np.int64)) for each in self.rows
        ]
        choosing = np.concatenate([each.y if isinstance(each, Rows) else y[each] for each in rows])
        classes = len(np.unique(y))
        complete = all(len(np.unique(labels)) == classes for labels in (choosing, *(y[each > 0] for each in weights)))
        return HoldOut(weights, rows) if complete else None


def threshold_metric(fitter: ProbeFitter, metric: str | None) -> str | None:
    """Return the metric that a threshold is chosen for; None where the probe gets none.

    Only the suite's logistic regression on two classes gets one.
    """
    chosen = fitter.has_solver and fitter.classes == 2 and metric in THRESHOLD_METRICS
    return metric if chosen else None


def subset_weights(count: int, rows: Array) -> Array:
    """Return 1 for these rows and 0 for the others, (count,) float64."""
    weights = np.zeros(count)
    weights[rows] = 1
    return weights
