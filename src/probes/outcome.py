"""Values that a probe's fit returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from src.probes.fitted import FittedProbe, Prediction
from src.probes.solvers.linear import Array


@dataclass(frozen=True)
class GridChoice:
    """The value chosen from the grid, and the loss of every value. Records hold these fields.

    Attributes
    ----------
    parameter, value : str, float
    grid : list of dict
        Per value: ``value``, ``loss`` (mean log-loss or squared error of the held-out rows; the share
        that is wrong for a choice by accuracy), ``converged``, ``gap`` (a bound on the objective's
        distance to its optimum).
    converged : bool, or None
        Of the fits at the chosen value, refit and draws included. None if the estimator does not
        report it.
    separable : bool, or None
        Whether some linear probe predicts all training rows right. True if a fitted one does, False
        if equal rows have different labels, else None (unknown).
    at_edge : str, or None
        ``high`` or ``low`` if the chosen value is that end of the grid, and the grid went no further.
    rows : dict of str to int
        Number of rows fitted on, held out for the choice, and refitted on.
    votes : list of float, or None
        Nested selection: the value chosen in each outer fold.
    loss, constant_loss : float, or None
        Mean loss of the rows that chose the value: at that value, and of the constant of the rows
        that were fitted on. None for other estimators than the suite's own, and other criteria.
    constants : list of list of float, or of float, or None
        The constant of the rows that each scored probe was fitted on: class frequencies, or the
        mean score. One entry; with folds one per outer fold, with draws of scores one per draw.
    threshold : float, or None
        Probability of class 1 above which the stored probe predicts it for the headline metric.
    thresholds : list of float, or None
        The same for each outer fold or draw, where there are several.
    """

    parameter: str
    value: float
    grid: list[dict[str, Any]]
    converged: bool | None
    separable: bool | None
    at_edge: str | None
    rows: dict[str, int]
    votes: list[float] | None = None
    loss: float | None = None
    constant_loss: float | None = None
    constants: list[Any] | None = None
    threshold: float | None = None
    thresholds: list[float] | None = None


@dataclass(frozen=True)
class CurvePoint:
    """Predictions by role of a probe that was fitted on a part of the training rows."""

    rows: int
    predictions: dict[str, Prediction]


@dataclass(frozen=True)
class ProbeOutcome:
    """Predictions, chosen value and fitted probe.

    Attributes
    ----------
    predictions : dict of str to Prediction
        By role, of the probe fitted on train as it is, which is also `fitted`. A protocol that fits
        no probe on all of train has its draws here, arrays of (draws, rows).
    fold_ids : array of (rows of test,) int64
        Outer fold in which a row was predicted; -1 without folds.
    choice : GridChoice, or None if there was no grid
    fitted : FittedProbe, or None if nothing was fitted
    draws : list of dict of str to Prediction
        By role, of each probe that is scored: those fitted on resamples where there are several,
        else the one above.
    curve : list of CurvePoint
        Of probes on growing parts of train.
    details : dict
        Fields that a protocol adds to the record.
    """

    predictions: dict[str, Prediction]
    fold_ids: Array
    choice: GridChoice | None
    fitted: FittedProbe | None
    draws: list[dict[str, Prediction]]
    curve: list[CurvePoint] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def scored(self, role: str) -> Prediction:
        """Return the scored predictions: (rows,) of one probe, (draws, rows) of several."""
        return self.predictions[role] if len(self.draws) == 1 else stack(self.draws)[role]


def stack(draws: Sequence[dict[str, Prediction]]) -> dict[str, Prediction]:
    """Return predictions by role whose first axis counts the draws."""
    return {
        role: Prediction(
            np.stack([draw[role].values for draw in draws]),
            np.stack([draw[role].decisions for draw in draws]),
            None if first.thresholded is None else np.stack([draw[role].labels for draw in draws]),
        )
        for role, first in draws[0].items()
    }


def no_folds(data_rows: int) -> Array:
    """Return the fold ids (rows,) of rows that are predicted without folds: -1."""
    return np.full(data_rows, -1, dtype=np.int64)
