"""A metric's value on test rows with its confidence interval."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from src.evaluation.bootstrap import RESAMPLES, bca, sparse_note, unseen_bound, widen
from src.evaluation.metrics import Array, check_predictions, confusion_counts, metrics
from src.evaluation.proportions import wilson
from src.evaluation.samples import FEWEST_GROUPS, Sample, is_sparse, metric_sample


@dataclass(frozen=True)
class Estimate:
    """A metric's value with its 95 % interval.

    `value` is None where it is undefined, `low` and `high` are None where no interval is reliable;
    `reason` then says why; beside an interval it says what to keep in mind.
    """

    value: float | None
    low: float | None
    high: float | None
    reason: str | None
    method: str


def evaluate(
    name: str,
    labels: Array,
    predictions: Array,
    *,
    classes: int,
    seed: int = 0,
    resamples: int = RESAMPLES,
    fold: Array | None = None,
    strata: Array | None = None,
    groups: Array | None = None,
) -> Estimate:
    """Return a metric's value and its 95 % interval for new rows, the fitted probe being given.

    The interval is Wilson's for accuracy, else that of the BCa bootstrap over rows. `unseen_bound`
    widens it where a class is sparse, and replaces it where all resamples agree.

    Parameters
    ----------
    labels : (rows,)
        Class ids or targets.
    predictions : (rows,) or (draws, rows)
        The value is the mean over draws, and the rows of all draws are resampled together.
    classes : int
        0 for regression.
    seed : int, default 0
    resamples : int, default `RESAMPLES`
    fold : (rows,), or None
        The fold of each row where the predictions are cross-validated, for the note in `method`.
    strata : (rows,), or None
        Regression: rows are resampled among those with an equal entry.
    groups : (rows,), or None
        Rows with an equal entry are resampled together, whatever the metric.

    Raises
    ------
    UserError
        The metric is of another task or of fewer classes, or the shapes do not fit each other.
    """
    labels, predictions = check_predictions(name, labels, predictions, classes)
    note = ""
    if fold is not None and (fold >= 0).any():
        note = (
            f"; {len(np.unique(fold))} folds share training rows, so their rows are not independent "
            "and the interval is somewhat too narrow"
        )
    if strata is not None:
        note += f"; resampled within {len(np.unique(strata))} sets"
    if groups is not None:
        strata, note = None, f"; {len(np.unique(groups))} groups of rows are resampled as a whole{note}"
    sample = replace(metric_sample(name, labels, predictions, classes, groups=groups), strata=strata)
    value = sample.point()
    if not np.isfinite(value):
        constant = "the probe predicts one value for all rows"
        reason = constant if np.ptp(labels) else "the labels to be predicted are all equal"
        return Estimate(None, None, None, reason, "undefined")
    if groups is not None and len(sample.counts) < FEWEST_GROUPS:
        reason = f"{len(sample.counts)} of the {FEWEST_GROUPS} groups of rows that an interval needs"
        return Estimate(value, None, None, reason, "no interval")
    if name == "accuracy" and len(predictions) == 1 and groups is None:
        return Estimate(value, *wilson(round(value * len(labels)), len(labels)), None, "Wilson" + note)
    sparse = is_sparse(labels, predictions, classes)
    return estimate(sample, seed=seed, resamples=resamples, sparse=sparse, note=note)


def estimate(sample: Sample, *, seed: int, resamples: int, sparse: bool = False, note: str = "") -> Estimate:
    """Return a defined statistic and its 95 % interval by the bootstrap over rows.

    Parameters
    ----------
    sample : Sample
    seed, resamples : int
    sparse : bool
        Whether a class is sparse, so that the interval is widened.
    note : str
        The end of `method`.
    """
    value = sample.point()
    found, bound = bca(sample, seed, resamples), unseen_bound(sample)
    if found is not None:
        ends = found.interval()
        if sparse:
            ends, note = widen(ends, bound), sparse_note(bound) + note
        undefined = f"undefined in {found.undefined} of {resamples} resamples, which were left out"
        method = f"BCa bootstrap over rows, {resamples} resamples{note}"
        return Estimate(value, *widen(ends, (value, value)), undefined if found.undefined else None, method)
    if bound is None:
        reason = "all resamples agree, so the bootstrap has no spread"
        return Estimate(value, None, None, reason, "degenerate bootstrap")
    reason = "all resamples agree; widened to what unseen kinds of rows could do"
    return Estimate(value, *bound, reason, f"Clopper-Pearson bound on unseen cells{note}")


def best_constant(name: str, train_labels: Array, test_labels: Array, classes: int) -> float | None:
    """Return the metric of the best constant prediction, judged on the training labels.

    That is class 1 throughout for F1, 0 for MCC, and None for correlations, which a constant leaves
    undefined.
    """
    function = metrics[name].function
    if metrics[name].task == "regression":
        constant, weights = np.full(len(test_labels), np.mean(train_labels)), np.ones((1, len(test_labels)))
        value = float(function(np.asarray(test_labels, dtype=np.float64), constant, weights)[0])
        return value if np.isfinite(value) else None
    scores = []
    for guess in range(classes):
        on_train, on_test = (
            confusion_counts(np.asarray(labels), np.full(len(labels), guess), classes)
            for labels in (train_labels, test_labels)
        )
        scores.append((float(function(on_train[None])[0]), int(np.trace(on_train)), float(function(on_test[None])[0])))
    return max(scores, key=lambda score: score[:2])[2]
