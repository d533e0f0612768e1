"""Fitted probes and their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from src.probes.decisions import predict_from_scores, squeeze_outputs
from src.probes.grid_fit import unscaled
from src.probes.scaling import normalise_rows, scale_columns
from src.probes.sklearn_estimator import estimator_errors, log_probabilities
from src.probes.solvers.linear import Array, Matrix, linear
from src.probes.threshold import above


@dataclass(frozen=True)
class Prediction:
    """Predictions of one split's rows.

    Attributes
    ----------
    values : array of (rows,)
        Class ids int64, or regression values float64.
    decisions : array of (rows,) for one output, else (rows, classes), float32
        Decision values.
    thresholded : array of (rows,), or None
        Class ids at the probe's threshold, where it has one.
    """

    values: Array
    decisions: Array
    thresholded: Array | None = None

    @property
    def labels(self) -> Array:
        """The predictions at the threshold, where there is one; else `values`."""
        return self.values if self.thresholded is None else self.thresholded

    def take(self, rows: Array) -> Prediction:
        """Return the predictions of some of the rows."""
        thresholded = None if self.thresholded is None else self.thresholded[rows]
        return Prediction(self.values[rows], self.decisions[rows], thresholded)


@dataclass(frozen=True)
class FittedProbe:
    """A fitted probe with its scaling: decision = ((x - mean) / scale) @ weight.T + bias.

    Attributes
    ----------
    classes : int
        0 for regression.
    mean, scale : arrays of (width,), or None
    weight, bias : arrays of (outputs, width) and (outputs,), or None
        One output for two classes and for regression.
    l2 : bool
        Whether rows are scaled to length 1 first.
    trained_on : str
        Rows that it was fitted on, in words.
    model : object
        A scikit-learn estimator without linear coefficients.
    threshold : float, or None
        Two classes: probability of class 1 above which it is predicted for the headline metric.
    """

    classes: int
    mean: Array | None
    scale: Array | None
    weight: Array | None
    bias: Array | None
    l2: bool = False
    trained_on: str = "train"
    model: Any = field(default=None, repr=False)
    threshold: float | None = None

    def predict(self, x: Matrix) -> Prediction:
        """Return the predictions of rows (rows, width)."""
        x = normalise_rows(x) if self.l2 else x
        if self.weight is not None and self.bias is not None:
            scores = linear(x, *unscaled(self.weight, self.bias, self.mean, self.scale))
            decisions = squeeze_outputs(scores).astype(np.float32)
            thresholded = None if self.threshold is None else above(decisions, self.threshold)
            return Prediction(predict_from_scores(scores, self.classes), decisions, thresholded)
        x = scale_columns(x, self.mean, self.scale)
        scores = log_probabilities(self.model, x, self.classes)
        with estimator_errors(self.model):
            values = np.asarray(self.model.predict(x)).astype(np.int64 if self.classes else np.float64)
        return Prediction(values, squeeze_outputs(scores).astype(np.float32))

    def arrays(self) -> dict[str, Array]:
        """Return the arrays that a safetensors file keeps, float64."""
        kept = {"mean": self.mean, "scale": self.scale, "weight": self.weight, "bias": self.bias}
        return {
            name: np.ascontiguousarray(array, dtype=np.float64) for name, array in kept.items() if array is not None
        }


def predict_folds(probes: Sequence[FittedProbe], x: Matrix, fold_ids: Array) -> Prediction:
    """Return the predictions of rows (rows, width), each by the probe of its fold."""
    parts = [probe.predict(x[fold_ids == number]) for number, probe in enumerate(probes)]
    place = np.argsort(np.argsort(fold_ids, kind="stable"))
    values, decisions = (np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "decisions"))
    thresholded = None
    if all(part.thresholded is not None for part in parts):
        thresholded = np.concatenate([part.labels for part in parts])[place]
    return Prediction(values[place], decisions[place], thresholded)
