"""Compare two runs on the same rows, by McNemar's test or the paired bootstrap."""

from __future__ import annotations

import numpy as np

from src.evaluation.bootstrap import RESAMPLES
from src.evaluation.differences import Difference, difference_from_interval
from src.evaluation.metrics import Array, check_predictions
from src.evaluation.proportions import mcnemar, newcombe, paired_counts
from src.evaluation.resampled_runs import resample_runs


def compare(
    name: str,
    labels: Array,
    pred_a: Array,
    pred_b: Array,
    *,
    classes: int,
    seed: int = 0,
    resamples: int = RESAMPLES,
    strata: Array | None = None,
    groups: Array | None = None,
) -> Difference:
    """Compare a with b on the same rows.

    Accuracy is compared by McNemar's mid-p with Newcombe's interval, all else by the paired
    bootstrap, and so is everything where rows come in groups.

    Parameters
    ----------
    labels : (rows,)
    pred_a, pred_b : (rows,) or (draws, rows)
        Several draws are compared by the bootstrap, whatever the metric.
    classes : int
        0 for regression.
    strata : (rows,), or None
        Regression: rows are resampled among those with an equal entry.
    groups : (rows,), or None
        Rows with an equal entry are resampled together.

    Raises
    ------
    UserError
        Predictions and labels have different rows, or the metric is of another task.
    """
    if name != "accuracy" or groups is not None or max(np.ndim(pred_a), np.ndim(pred_b)) > 1:
        runs = resample_runs(
            name, labels, [pred_a, pred_b], classes=classes, seed=seed, resamples=resamples, strata=strata,
            groups=groups,
        )  # fmt: skip
        return runs.difference(0, 1)
    checked = (check_predictions(name, labels, each, classes) for each in (pred_a, pred_b))
    correct_a, correct_b = (predictions[0] == true for true, predictions in checked)
    counts = paired_counts(correct_a, correct_b)
    return difference_from_interval(
        float(correct_a.mean() - correct_b.mean()),
        lambda level: newcombe(*counts, level),
        mcnemar(correct_a, correct_b),
        "McNemar mid-p, Newcombe interval",
    )
