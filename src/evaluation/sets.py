"""Scores of test rows that come in sets, as the years of SemEval's similarity task do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from src.evaluation.bootstrap import RESAMPLES
from src.evaluation.estimates import Estimate, estimate, evaluate
from src.evaluation.metrics import Array, metrics
from src.evaluation.samples import Sample


def set_estimates(
    name: str,
    labels: Array,
    predictions: Array,
    sets: Sequence[str],
    set_ids: Array,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Estimate]:
    """Return the mean of a metric over sets, weighted by rows, and its value in each set.

    Parameters
    ----------
    name : str
        A metric of regression.
    labels, predictions : (rows,)
    sets : sequence of str
        Names of the sets.
    set_ids : (rows,)
        Number of each row's set.
    seed, resamples : int

    Returns
    -------
    dict of str to Estimate
        ``NAME_mean_of_sets``, whose rows are resampled within sets, and ``NAME_SET``.
    """
    found = {f"{name}_mean_of_sets": _mean(name, labels, predictions, set_ids, seed, resamples)}
    for number, each in enumerate(sets):
        rows = set_ids == number
        found[f"{name}_{each}"] = evaluate(
            name, labels[rows], predictions[rows], classes=0, seed=seed, resamples=resamples
        )
    return found


def _mean(name: str, labels: Array, predictions: Array, set_ids: Array, seed: int, resamples: int) -> Estimate:
    """Return the mean over sets; undefined where one of the sets has no value."""
    function, targets, values = metrics[name].function, labels.astype(np.float64), predictions.astype(np.float64)
    members = [np.flatnonzero(set_ids == number) for number in np.unique(set_ids)]

    def statistic(weights: Array) -> Array:
        scores = [function(targets[rows], values[rows], weights[:, rows]) for rows in members]
        return np.asarray([len(rows) / len(targets) for rows in members] @ np.stack(scores))

    sample = Sample(np.ones(len(targets)), statistic, strata=set_ids)
    if not np.isfinite(sample.point()):
        return Estimate(None, None, None, "in one of the sets it is undefined", "undefined")
    return estimate(sample, seed=seed, resamples=resamples, note=f"; resampled within {len(members)} sets")
