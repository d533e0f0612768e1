"""Simulations: each trial draws a test set and returns which statements are true."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from experiments.benchmarks.populations import (
    Array,
    cohen_kappa,
    draw,
    draw_normal,
    round_to_fifths,
    table_with_difference,
    true_correlation_of_fifths,
    true_spearman_of_sets,
    true_values,
)
from experiments.benchmarks.unit_simulations import unit_settings
from src.evaluation.comparisons import compare
from src.evaluation.differences import equivalent
from src.evaluation.estimates import evaluate
from src.evaluation.proportions import kappa

Outcomes = dict[tuple[str, str], float]  # whether true, or a width, by (quantity, method) of one trial
ROWS = (71, 250, 872, 1500)  # WNLI's, the fewest with a stated guarantee, SST-2's, STS-B's
RESAMPLES = {"spearman": 500}  # fewer than DEFAULT_RESAMPLES
DEFAULT_RESAMPLES = 1000
CORRELATION = 0.75  # of the simulated predictions with their targets
SETS = ((-0.6, 0.3), (-0.3, -0.5), (0.0, 0.0), (0.3, 0.5), (0.6, -0.3))  # means of targets and of predictions


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
    return [*found, *similarity_simulations(), *units]


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
