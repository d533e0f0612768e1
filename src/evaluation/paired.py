"""Several runs on the same rows: all their contrasts as one family, and the claim over tasks. numpy and scipy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from src.errors import UserError
from src.evaluation.metrics import metrics, thin
from src.evaluation.statistics import (
    Difference,
    Interval,
    Resampled,
    compare,
    holm,
    kappa,
    largest_conjunction,
    one_sided,
    p_equivalence,
    partial_conjunction,
    resample,
    smallest_difference,
    smallest_margin,
    two_sided,
    verdict,
)

Array = NDArray[Any]
MARGIN = 0.01  # 1 point of the task's metric, fixed beforehand
LEVEL = 0.05
FEW = 250  # rows; fewer carry a flag: the simulation (experiments/records/simulation.csv) has 71 rows below, and no other number


@dataclass(frozen=True, eq=False)
class Task:
    """Runs that predicted the same rows.

    Parameters
    ----------
    classes : 0 for regression
    labels : (rows,) class ids or targets
    predictions : label of a run, as its pooling, to (rows,) or (draws, rows); the same draw of all runs was fitted on the same rows
    folds : number of folds where the predictions are cross-validated, else 0
    """

    name: str
    metric: str
    classes: int
    labels: Array
    predictions: dict[str, Array]
    seed: int = 0
    folds: int = 0


@dataclass(frozen=True)
class Contrast:
    """Run a against run b on one task: metric(a) - metric(b), tested as a member of its family.

    `p_equivalence` is that of two one-sided tests at `margin`, the two `_holm` are corrected over the family, and `verdict` follows from
    them. `agreement` is Cohen's kappa of the two predictions (its mean over draws; None for regression), `flag` says why to be careful.
    """

    task: str
    metric: str
    a: str
    b: str
    rows: int
    difference: Difference
    margin: float
    p_equivalence: float | None
    p_holm: float | None
    p_equivalence_holm: float | None
    verdict: str
    smallest_margin: float | None
    smallest_difference: float | None
    agreement: float | None
    flag: str | None


@dataclass(frozen=True)
class Overall:
    """The mean over tasks of metric(a) - metric(b), with 95 % and 90 % intervals for new tasks of the same kind and new rows.

    `conjunction` holds p of "a differs from b on at least k of the N tasks" for k = 1 .. N, `at_least` the largest k shown at 5 %;
    `differences` those of the tasks and `without` the mean with each task left out, both in the order of `tasks`.
    """

    a: str
    b: str
    tasks: tuple[str, ...]
    value: float
    low: float
    high: float
    low90: float
    high90: float
    p: float
    p_equivalence: float
    margin: float
    verdict: str
    conjunction: list[float]
    at_least: int
    differences: tuple[float, ...]
    without: tuple[float, ...]


def contrasts(
    tasks: Sequence[Task], pairs: Sequence[tuple[str, str]], *, margin: float = MARGIN, resamples: int = 10000
) -> list[Contrast]:
    """Every pair on every task, as one family: Holm over all differences, and separately over all equivalences.

    Raises
    ------
    UserError
        A run that a task lacks, runs with different rows or draws, a metric of another kind of task, a margin of 0.
    """
    found = [(task, a, b, _difference(task, a, b, resamples)) for task in tasks for a, b in pairs]
    same = [p_equivalence(difference, margin) for *_, difference in found]
    p_holm, same_holm = _holm([difference.p for *_, difference in found]), _holm(same)
    return [
        Contrast(
            task=task.name,
            metric=task.metric,
            a=a,
            b=b,
            rows=len(task.labels),
            difference=difference,
            margin=margin,
            p_equivalence=alike,
            p_holm=adjusted,
            p_equivalence_holm=alike_adjusted,
            verdict=verdict(
                difference,
                margin,
                level=LEVEL,
                p=adjusted,
                higher_is_better=metrics[task.metric].higher_is_better,
                equivalence=alike_adjusted is not None and alike_adjusted <= LEVEL,
            ),
            smallest_margin=smallest_margin(difference),
            smallest_difference=smallest_difference(difference),
            agreement=_agreement(task, a, b),
            flag=_flag(task, a, b),
        )
        for (task, a, b, difference), alike, adjusted, alike_adjusted in zip(
            found, same, p_holm, same_holm, strict=True
        )
    ]


def _holm(pvalues: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p-values of those that exist."""
    adjusted = iter(holm([p for p in pvalues if p is not None]))
    return [None if p is None else next(adjusted) for p in pvalues]


def _run(task: Task, run: str) -> Array:
    """A run's predictions, (draws, rows)."""
    if run not in task.predictions:
        raise UserError(f"{task.name}: no run '{run}'. Known: {', '.join(task.predictions)}.")
    return np.atleast_2d(np.asarray(task.predictions[run]))


@lru_cache(maxsize=64)
def resampled(task: Task, resamples: int) -> Resampled:
    """All runs of the task under one set of resamples; Tasks are told apart as objects."""
    runs = list(task.predictions.values())
    try:
        return resample(task.metric, task.labels, runs, classes=task.classes, seed=task.seed, resamples=resamples)
    except UserError as error:
        raise UserError(f"{task.name}: {error}") from error


def _difference(task: Task, a: str, b: str, resamples: int) -> Difference:
    first, second = _run(task, a), _run(task, b)
    if task.metric == "accuracy" and len(first) == len(second) == 1:
        return compare(task.metric, task.labels, first[0], second[0], classes=task.classes)
    return resampled(task, resamples).difference(*_places(task, a, b))


def _places(task: Task, a: str, b: str) -> tuple[int, int]:
    names = list(task.predictions)
    return names.index(a), names.index(b)


def _agreement(task: Task, a: str, b: str) -> float | None:
    if not task.classes:
        return None
    found = [kappa(*draw, classes=task.classes) for draw in zip(_run(task, a), _run(task, b), strict=True)]
    values = [one[0] for one in found if one is not None]
    return float(np.mean(values)) if values else None


def _flag(task: Task, a: str, b: str) -> str | None:
    reasons = []
    if len(task.labels) < FEW:
        reasons.append(f"fewer than {FEW} rows")
    if thin(task.labels, np.concatenate([_run(task, a), _run(task, b)]), task.classes):
        reasons.append("a class has fewer than 5 rows or predictions")
    if task.folds:
        reasons.append(f"{task.folds} folds share training rows, so their rows are not independent")
    return "; ".join(reasons) or None


def over_tasks(
    tasks: Sequence[Task], a: str, b: str, *, margin: float = MARGIN, resamples: int = 10000, seed: int = 0
) -> Overall:
    """The primary claim: the mean over tasks of metric(a) - metric(b), each task counting once, by a hierarchical bootstrap.

    Tasks are resampled, then rows within each task drawn. With the 5 to 12 tasks of a benchmark the plain percentile interval of such a
    bootstrap is wrong both ways: where the tasks truly differ it covers 85 to 92 % instead of 95 %, as N tasks resampled spread by
    (N - 1) / N too little and their quantiles are the normal ones; where they do not, up to 99 %, since the noise of the rows is in the
    observed differences already and comes in a second time. So

    - task effects are shrunk to their mean before they are resampled, that rows count once (Davison and Hinkley 1997, Bootstrap methods
      and their application, section 3.8);
    - the resampled means are scaled to the standard error of the mean over tasks, and their quantiles by Student's t with N - 1 degrees of
      freedom over the normal. With equal weights this is the scale of Hartung and Knapp (2001) for few studies, and stays valid where tasks
      differ in their rows (Ibragimov and Müller 2010, t-statistic based correlation and heterogeneity robust inference).

    `experiments/records/simulation.csv` has its coverage beside those of the forms that were not chosen. The tasks stand for others like
    them, and as far as they are independent: with five tasks and strongly skewed effects it covers less than stated.

    Raises
    ------
    UserError
        Fewer than two tasks, a run that a task lacks, a difference undefined on a task, runs that predict alike on tasks without classes,
        an error as metric (its unit is the label's, not points).
    """
    if len(tasks) < 2:
        raise UserError(
            f"a claim over tasks needs at least two tasks, got {len(tasks)}. One task's contrast is in `contrasts`."
        )
    for task in tasks:
        if not metrics[task.metric].higher_is_better:
            raise UserError(
                f"{task.name}: '{task.metric}' is in the label's unit and has no points to average. Choose a correlation."
            )
    found = [_difference(task, a, b, resamples) for task in tasks]
    for task, difference in zip(tasks, found, strict=True):
        if difference.value is None or difference.p is None:
            raise UserError(
                f"{task.name}: {a} against {b}: {difference.method}. Leave the task out or choose another metric."
            )
    values = np.array([difference.value for difference in found])
    rows = np.stack([resampled(task, resamples).resamples_of(*_places(task, a, b)) for task in tasks])
    interval = _over(values, rows, found, seed)
    (low, high), (low90, high90), value = interval(0.95), interval(0.90), float(values.mean())
    p = two_sided(interval)
    same = max(one_sided(interval, -margin)[0], one_sided(interval, margin)[1])
    conjunction = partial_conjunction([difference.p for difference in found if difference.p is not None])
    whole = Difference(value, low, high, low90, high90, p, "hierarchical bootstrap")
    return Overall(
        a=a,
        b=b,
        tasks=tuple(task.name for task in tasks),
        value=value,
        low=low,
        high=high,
        low90=low90,
        high90=high90,
        p=p,
        p_equivalence=same,
        margin=margin,
        verdict=verdict(whole, margin, level=LEVEL),
        conjunction=conjunction,
        at_least=largest_conjunction(conjunction, LEVEL),
        differences=tuple(float(one) for one in values),
        without=tuple(float(one) for one in (values.sum() - values) / (len(values) - 1)),
    )


def as_family(found: Sequence[Overall]) -> list[Overall]:
    """Claims over tasks as one family: their p-values, and with them the verdicts, after Holm over the differences and the equivalences."""
    adjusted = zip(found, holm([each.p for each in found]), holm([each.p_equivalence for each in found]), strict=True)
    return [replace(each, p=p, p_equivalence=same, verdict=_verdict(each, p, same)) for each, p, same in adjusted]


def _verdict(overall: Overall, p: float, p_equivalence: float) -> str:
    whole = Difference(overall.value, overall.low, overall.high, overall.low90, overall.high90, p, "over tasks")
    return verdict(whole, overall.margin, level=LEVEL, p=p, equivalence=p_equivalence <= LEVEL)


def _over(values: Array, rows: Array, found: Sequence[Difference], seed: int) -> Interval:
    """The interval of the mean of `values` (tasks,), whose rows were resampled in `rows` (tasks, resamples)."""
    tasks, value, spread = len(values), float(values.mean()), float(values.std(ddof=1))
    if spread <= 1e-12:  # as of runs that predict alike: nothing to learn from the spread over tasks

        def average(level: float) -> tuple[float, float]:
            low, high = np.mean([one.interval(level) for one in found if one.interval], axis=0)
            return float(low), float(high)

        if not any(one.interval for one in found):
            raise UserError(
                "both runs predict alike on every task, and targets leave no interval then. Compare runs that differ."
            )
        return average
    shape, error = np.sort(_hierarchical(values, rows, seed)), spread / np.sqrt(tasks)
    places = np.linspace(0, 1, len(shape))

    def interval(level: float) -> tuple[float, float]:
        upper = (1 + min(max(level, 1e-6), 1 - 1e-14)) / 2
        student = float(stdtrit(tasks - 1, upper) / ndtri(upper))
        low, high = value + error * student * np.interp([1 - upper, upper], places, shape)  # quantiles
        return min(float(low), value), max(float(high), value)

    return interval


def _hierarchical(values: Array, rows: Array, seed: int) -> Array:
    """Means over tasks in the hierarchical bootstrap, (resamples,), with mean 0 and standard deviation 1."""
    tasks, resamples = rows.shape
    noise = np.where(np.isfinite(rows), rows - np.nanmean(rows, axis=1, keepdims=True), 0)
    seen = values.var(ddof=1)
    kept = np.sqrt(max(0.0, (seen - noise.var(axis=1).mean()) / seen) * tasks / (tasks - 1))
    generator = np.random.default_rng([seed, 5])
    drawn = generator.integers(tasks, size=(resamples, tasks))
    means = (
        kept * (values - values.mean())[drawn] + noise[drawn, generator.integers(resamples, size=drawn.shape)]
    ).mean(axis=1)
    return (means - means.mean()) / means.std()
