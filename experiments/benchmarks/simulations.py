"""Simulations: each trial draws a test set and returns which statements are true."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import stdtrit

from experiments.benchmarks.populations import (
    Array,
    cohen_kappa,
    draw,
    draw_normal,
    joint_table,
    round_to_fifths,
    table_with_difference,
    true_correlation_of_fifths,
    true_spearman_of_sets,
    true_values,
)
from experiments.benchmarks.unit_simulations import unit_settings
from src.evaluation.comparisons import compare
from src.evaluation.contrasts import MARGIN, Task, resample_task
from src.evaluation.differences import equivalent
from src.evaluation.estimates import evaluate
from src.evaluation.hierarchical import over_tasks
from src.evaluation.proportions import kappa

Outcomes = dict[tuple[str, str], float]  # whether true, or a width, by (quantity, method) of one trial
ROWS = (71, 250, 872, 1500)  # WNLI's, the fewest with a stated guarantee, SST-2's, STS-B's
RESAMPLES = {"spearman": 500}  # fewer than DEFAULT_RESAMPLES
DEFAULT_RESAMPLES = 1000
CORRELATION = 0.75  # of the simulated predictions with their targets
SETS = ((-0.6, 0.3), (-0.3, -0.5), (0.0, 0.0), (0.3, 0.5), (0.6, -0.3))  # means of targets and of predictions
SIZES = (250, 277, 408, 872, 1043, 1500, 2000, 5463)  # rows of test splits in GLUE and SentEval, or close
METRICS = ("accuracy", "mcc", "f1", "accuracy")  # of the tasks of a simulated benchmark, in turn


@dataclass(frozen=True)
class Simulation:
    """Describes one population at one number of rows.

    Attributes
    ----------
    trial : function
        Draws a test set and returns which outcomes are true.
    divisor : int
        One in so many of the requested trials is run.
    """

    metric: str
    rows: int
    setting: str
    trial: Callable[[np.random.Generator], Outcomes]
    divisor: int = 1


@cache
def simulations() -> list[Simulation]:
    """Return all simulations in the order of the table."""
    found: list[Simulation] = []
    for metric in ("accuracy", "f1", "mcc"):
        found += class_simulations(metric, "balanced", (0.5, 0.5), (0.8, 0.84))
        found += class_simulations(metric, "one class in three", (0.33, 0.67), (0.5, 0.88))
    found += class_simulations("macro_f1", "three classes", (0.57, 0.28, 0.15), (0.8, 0.74, 0.7))
    for metric in ("pearson", "spearman"):
        found += target_simulations(metric)
    units = [Simulation(metric, rows, setting, trial, divisor=2) for metric, setting, rows, trial in unit_settings()]
    return [*found, *benchmark_simulations(), *similarity_simulations(), *units]


def contains(low: float | None, truth: float, high: float | None) -> bool:
    """Return whether an interval contains the truth."""
    return low is not None and high is not None and low <= truth <= high


def paired_outcomes(
    metric: str, data: Array, classes: int, difference: float, margin: float | None, seed: int,
    strata: Array | None = None,
) -> Outcomes:  # fmt: skip
    """Return the outcomes of comparing a with b, whose true difference is `difference`."""
    y, a, b = data
    resamples = RESAMPLES.get(metric, DEFAULT_RESAMPLES)
    found = compare(metric, y, a, b, classes=classes, seed=seed, resamples=resamples, strata=strata)
    test, interval = ("McNemar mid-p", "Newcombe") if metric == "accuracy" else ("paired bootstrap", "paired bootstrap")
    outcomes: Outcomes = {("coverage", interval): contains(found.low, difference, found.high)}
    if difference == 0:
        outcomes["type-I error", test] = found.p is not None and found.p <= 0.05
    if margin is not None:
        outcomes["false equivalence", interval] = equivalent(found, margin)
    return outcomes


def class_simulations(metric: str, name: str, prior: Sequence[float], recall: Sequence[float]) -> Iterator[Simulation]:
    """Yield simulations on labels: without a difference, then with just the margin of 5 points."""
    for margin in (None, 0.05):
        cells = table_with_difference(metric, prior, recall, margin or 0.0)
        truth, agreement = true_values(metric, cells)[0], cohen_kappa(cells.sum(axis=0))

        def trial(
            generator: np.random.Generator, *, rows: int, cells: Array = cells, margin: float | None = margin,
            truth: float = truth, agreement: float = agreement,
        ) -> Outcomes:  # fmt: skip
            data, classes = draw(generator, cells, rows), len(prior)
            seed = int(generator.integers(2**31))
            outcomes = paired_outcomes(metric, data, classes, margin or 0.0, margin, seed)
            if margin is None:
                alone = evaluate(metric, *data[:2], classes=classes, seed=seed, resamples=DEFAULT_RESAMPLES)
                method = "Wilson" if metric == "accuracy" else "BCa"
                outcomes["coverage", method] = contains(alone.low, truth, alone.high)
                if metric == "accuracy":
                    _, low, high = kappa(*data[1:], classes=classes) or (0.0, None, None)
                    outcomes["coverage", "kappa"] = contains(low, agreement, high)
            return outcomes

        yield from _at_all_rows(metric, name, margin, trial)


def target_simulations(metric: str) -> Iterator[Simulation]:
    """Yield simulations on targets: normal ones, and those of `round_to_fifths`."""
    for name, margin in (("normal", None), ("normal", 0.05), ("skewed fifths", None)):
        if (metric, name, margin) == ("spearman", "normal", None):
            continue  # slow, and the ranks of the fifths, which have ties, are the harder case
        right_a, right_b = (_normal_correlation(metric, CORRELATION - less) for less in (0.0, margin or 0.0))
        truth = CORRELATION if name == "normal" else true_correlation_of_fifths(metric, right_a)

        def trial(
            generator: np.random.Generator, *, rows: int, name: str = name, margin: float | None = margin,
            truth: float = truth, right_a: float = right_a, right_b: float = right_b,
        ) -> Outcomes:  # fmt: skip
            y, *sides = draw_normal(generator, rows, right_a, right_b)
            data = np.stack([y if name == "normal" else round_to_fifths(y), *sides])
            seed = int(generator.integers(2**31))
            outcomes = paired_outcomes(metric, data, 0, margin or 0.0, margin, seed)
            if margin is None:
                resamples = RESAMPLES.get(metric, DEFAULT_RESAMPLES)
                alone = evaluate(metric, *data[:2], classes=0, seed=seed, resamples=resamples)
                outcomes["coverage", "BCa"] = contains(alone.low, truth, alone.high)
            return outcomes

        yield from _at_all_rows(metric, name, margin, trial, divisor=2 if metric == "spearman" else 1)


def similarity_simulations() -> Iterator[Simulation]:
    """Yield simulations of two similarities that differ, on the fifths of `SETS` and of one set.

    The predictions of a and b correlate with the normal targets of their set as `setting` says, b's
    by 0.03 less, and by 0.9 with each other.
    """
    for sets in (SETS[2:3], SETS):
        for correlation in (0.3, 0.6, 0.85):

            def trial(
                generator: np.random.Generator, *, rows: int, sets: Sequence[tuple[float, float]] = sets,
                correlation: float = correlation,
            ) -> Outcomes:  # fmt: skip
                sides = (correlation, correlation - 0.03)
                data, set_ids = draw_sets(generator, rows, sides, sets)
                first, second = (_true_spearman(side, sets) for side in sides)
                strata, seed = set_ids if len(sets) > 1 else None, int(generator.integers(2**31))
                return paired_outcomes("spearman", data, 0, first - second, None, seed, strata)

            setting = f"skewed fifths, {len(sets)} sets" if len(sets) > 1 else "skewed fifths"
            setting = f"{setting}, correlations {correlation:g} and {correlation - 0.03:g}"
            yield from _at_all_rows("spearman", setting, None, trial, divisor=2, sizes=ROWS[1:3])


_true_spearman = cache(true_spearman_of_sets)


def draw_sets(
    generator: np.random.Generator, rows: int, correlations: tuple[float, float], means: Sequence[tuple[float, float]]
) -> tuple[Array, Array]:
    """Draw fifths and both predictions, (3, rows), and the set of each row, (rows,).

    Parameters
    ----------
    correlations : (float, float)
        Of a and of b with the normal targets, within a set.
    means : sequence of (float, float)
        Of the targets and of the predictions in each set; sets have equally many rows, up to one.
    """
    set_ids = np.arange(rows) % len(means)
    y, a, b = draw_normal(generator, rows, *correlations)
    target, prediction = np.array(means)[set_ids].T
    return np.stack([round_to_fifths(y + target), a + prediction, b + prediction]), set_ids


def _normal_correlation(metric: str, value: float) -> float:
    """Return the Pearson correlation of a normal pair whose `metric` is `value`."""
    return float(2 * np.sin(np.pi * value / 6)) if metric == "spearman" else value


def _at_all_rows(
    metric: str, name: str, margin: float | None, trial: Callable[..., Outcomes], divisor: int = 1,
    sizes: Sequence[int] = ROWS,
) -> Iterator[Simulation]:  # fmt: skip
    setting = name if margin is None else f"{name}, difference {100 * margin:g} points"
    for rows in sizes:

        def at(generator: np.random.Generator, rows: int = rows) -> Outcomes:
            return trial(generator, rows=rows)

        yield Simulation(metric, rows, setting, at, divisor)


def draw_tasks(generator: np.random.Generator, effects: Array) -> list[Task]:
    """Draw tasks with one metric each, in which a is better than b by `effects`, (tasks,).

    Classes and errors are balanced, so that F1 is the accuracy and MCC twice the accuracy less one.
    """
    tasks = []
    for place, effect in enumerate(effects):
        metric = METRICS[place % len(METRICS)]
        change = effect / 2 if metric == "mcc" else effect
        cells = joint_table((0.5, 0.5), (0.8, 0.8), (0.8 - change,) * 2)
        y, a, b = draw(generator, cells, SIZES[place % len(SIZES)])
        tasks.append(Task(str(place), metric, 2, y, {"a": a, "b": b}, seed=int(generator.integers(2**31))))
    return tasks


def benchmark_simulations() -> Iterator[Simulation]:
    """Yield simulations of the claim over tasks, with a true mean of zero or just the margin."""
    settings = (
        ("no task effects", 0.0, 0.0), ("normal effects", 0.015, 0.0), ("skewed effects", 0.015, 0.0),
        ("normal effects", 0.003, MARGIN), ("normal effects", 0.015, MARGIN),
    )  # fmt: skip
    for tasks in (5, 8, 12):
        for name, spread, mean in settings:
            yield benchmark_simulation(tasks, name, spread, mean)
    yield Simulation("mixed", SIZES[0], "8 tasks, effects of 6 points on two", conjunction_trial, divisor=2)
    for tasks in (5, 8, 12):
        for name in ("normal effects", "skewed effects"):
            yield benchmark_simulation(tasks, name, 0.05, 0.0)


def benchmark_simulation(tasks: int, name: str, spread: float, mean: float) -> Simulation:
    """Return a simulation over tasks whose effects have this mean and standard deviation."""

    def trial(generator: np.random.Generator) -> Outcomes:
        gamma = (generator.gamma(1.5, size=tasks) - 1.5) / np.sqrt(1.5)
        standard = gamma if name == "skewed effects" else generator.standard_normal(tasks)
        return benchmark_outcomes(draw_tasks(generator, mean + spread * standard), mean)

    setting = f"{tasks} tasks, {name}" + (f" of {100 * spread:g} points" if spread else "")
    return Simulation("mixed", SIZES[0], setting + (", mean 1 point" if mean else ""), trial, divisor=2)


def benchmark_outcomes(tasks: list[Task], mean: float) -> Outcomes:
    """Return the outcomes of the claim over tasks and of two forms that the suite does not use."""
    found = over_tasks(tasks, "a", "b", resamples=DEFAULT_RESAMPLES)
    values = np.array(found.differences)
    half = float(stdtrit(len(tasks) - 1, 0.975)) * values.std(ddof=1) / np.sqrt(len(tasks))
    low, high = percentile_interval(tasks)
    outcomes: Outcomes = {
        ("coverage", "over_tasks"): found.low <= mean <= found.high,
        ("coverage", "Student over tasks"): bool(abs(found.value - mean) <= half),
        ("coverage", "percentile over tasks"): contains(low, mean, high),
    }
    if mean:
        outcomes["false equivalence", "over_tasks"] = found.p_equivalence <= 0.05
    else:
        outcomes["type-I error", "over_tasks"] = found.p <= 0.05
    return outcomes


def percentile_interval(tasks: Sequence[Task]) -> tuple[float, float]:
    """Return the plain percentile interval of the hierarchical bootstrap."""
    rows = np.stack([resample_task(task, DEFAULT_RESAMPLES).resamples_of(0, 1) for task in tasks])
    generator = np.random.default_rng(0)
    drawn = generator.integers(len(tasks), size=(DEFAULT_RESAMPLES, len(tasks)))
    means = rows[drawn, generator.integers(DEFAULT_RESAMPLES, size=drawn.shape)].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def conjunction_trial(generator: np.random.Generator) -> Outcomes:
    """Return whether more than the two tasks with a difference are shown to have one."""
    tasks = draw_tasks(generator, np.repeat([0.0, 0.06], [6, 2]))
    found = over_tasks(tasks, "a", "b", resamples=DEFAULT_RESAMPLES)
    return {("type-I error", "partial conjunction"): found.at_least > 2}
