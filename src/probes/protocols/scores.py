"""Scores of one probe, and of several probes fitted on different draws of training rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit

from src.evaluation.estimates import Estimate
from src.evaluation.metrics import metrics
from src.evaluation.samples import metric_sample
from src.probes.solvers.linear import Array


def metric_value(name: str, labels: Array, predictions: Array) -> float:
    """Return a classification metric's value on rows (rows,)."""
    classes = max(2, int(labels.max()) + 1, int(predictions.max()) + 1)
    return metric_sample(name, labels, predictions[None], classes).point()


def over_draws(name: str, estimates: Sequence[Estimate]) -> dict[str, Any]:
    """Return a metric's mean over training draws, with an interval for new rows and draws.

    The half-widths for new rows and for a new draw add in quadrature. That of a new draw is
    Student's prediction interval, as its standard deviation and its mean are estimated from few
    draws.
    """
    values = [estimate.value for estimate in estimates]
    defined = [
        (each.value, each.low, each.high)
        for each in estimates
        if each.value is not None and each.low is not None and each.high is not None
    ]
    if len(defined) < len(estimates):
        reason = next((each.reason for each in estimates if each.value is None), "some have no interval")
        reason = f"{reason} (in {len(estimates) - len(defined)} of {len(estimates)} training draws)"
        return {"value": None, "low": None, "high": None, "reason": reason, "method": "draws", "draws": values}
    value, low, high = np.array(defined).T
    half_width = float(stdtrit(len(value) - 1, 0.975) * value.std(ddof=1) * np.sqrt(1 + 1 / len(value)))
    mean = float(value.mean())
    methods = " or ".join(dict.fromkeys(each.method for each in estimates))
    return {
        "value": mean,
        "low": max(metrics[name].low, mean - float(np.hypot((value - low).mean(), half_width))),
        "high": min(metrics[name].high, mean + float(np.hypot((high - value).mean(), half_width))),
        "reason": None,
        "method": f"mean of {len(values)} training draws; {methods}, and Student's t for a new draw, in quadrature",
        "draws": values,
    }
