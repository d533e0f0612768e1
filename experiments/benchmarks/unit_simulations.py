"""Simulations of D² and of claims over units: floor tasks, shared texts, few units, correlations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np

from experiments.benchmarks.populations import Array, draw_noise, draw_normal, draw_pairs
from src.evaluation.differences import Difference
from src.evaluation.row_contrasts import RowContrast, TaskLosses, deviance_contrast, spearman_contrast
from src.evaluation.units import FEWEST_UNITS, MARGIN, mean_over_units

Outcomes = dict[tuple[str, str], float]
SIZES = (250, 277, 408, 872, 1043, 1500, 2000)  # test rows of tasks, in turn
PRIOR = 0.6  # share of class 1
SPREAD = 1.2  # standard deviation of a probe's decision values on the side of the right class
SIGNAL, FLOOR = 0.9, 0.0  # their mean, where something is decoded and where nothing is
SHARED = 0.95  # correlation of the two probes' decision values
METHOD = "units"
SHARING = {"each text in two": None, "ten first texts": 10, "a hundred first texts": 100}  # of pairs


@dataclass(frozen=True)
class Population:
    """Tasks of a simulated claim.

    Attributes
    ----------
    units : tuple of int
        Tasks of each unit; tasks of one unit have the same texts.
    spread, mean : float
        Standard deviation and mean of the tasks' effects.
    floor : int
        Number of units, the last ones, in which neither probe decodes anything.
    skewed : bool
        Whether effects come from a gamma distribution instead of a normal one.
    correlations : bool
        Whether tasks are scored by Spearman's correlation instead of D².
    """

    units: tuple[int, ...]
    spread: float = 0.0
    mean: float = 0.0
    floor: int = 0
    skewed: bool = False
    correlations: bool = False

    def effects(self, generator: np.random.Generator) -> list[float]:
        """Return the true effect of each unit."""
        count = len(self.units)
        gamma = (generator.gamma(1.5, size=count) - 1.5) / np.sqrt(1.5)
        standard = gamma if self.skewed else generator.standard_normal(count)
        found = self.mean + self.spread * standard
        found[count - self.floor :] = 0
        return [float(effect) for effect in found]

    def true_mean(self, effects: list[float]) -> float:
        """Return what the claim is about: the mean of all such tasks, or with few units of these."""
        if len(self.units) < FEWEST_UNITS:
            return float(np.mean(effects))
        return self.mean * (1 - self.floor / len(self.units))


@cache
def _quadrature() -> tuple[Array, Array]:
    """Return nodes and weights of the mean over a standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    return nodes, weights / weights.sum()


def deviance_at(mean: float, spread: float) -> float:
    """Return the true D² of decision values that are normal around `mean` towards the right class."""
    nodes, weights = _quadrature()
    loss = float(weights @ np.logaddexp(0, -(mean + spread * nodes)))
    return 1 - loss / float(-(PRIOR * np.log(PRIOR) + (1 - PRIOR) * np.log(1 - PRIOR)))


def mean_of(deviance: float, spread: float) -> float:
    """Return the mean decision value with which D² is `deviance`."""
    low, high = -4.0, 12.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if deviance_at(middle, spread) < deviance else (low, middle)
    return low


def draw_losses(
    generator: np.random.Generator, name: str, rows: int, effect: float, *, floor: bool, texts: Array | None = None
) -> RowContrast:
    """Draw the losses of two probes, of which a is better than b by `effect` of D².

    Where the texts of pairs are given, (rows, 2), rows that share one depend on each other.
    """
    spread = 0.02 if floor else SPREAD
    first = FLOOR if floor else SIGNAL
    second = first if floor or not effect else mean_of(deviance_at(first, spread) - effect, spread)
    noise = np.linalg.cholesky([[1, SHARED], [SHARED, 1]]) @ draw_noise(generator, 2, rows, texts)
    labels = generator.random(rows) < PRIOR
    constant = -np.log(np.where(labels, PRIOR, 1 - PRIOR))
    margins = np.array([[first], [second]]) + spread * noise
    # With nothing decoded, a probe's decision values stay near those of the constant.
    losses = constant[None] - margins if floor else np.logaddexp(0, -margins)
    clusters = np.arange(rows, dtype=np.uint64) if texts is None else texts
    return deviance_contrast(TaskLosses(name, dict(zip("ab", losses, strict=True)), constant, clusters), "a", "b")


def draw_correlations(
    generator: np.random.Generator, name: str, rows: int, effect: float, *, texts: Array | None = None
) -> RowContrast:
    """Draw targets and two similarities, of which a has a Spearman correlation higher by `effect`.

    Where the texts of pairs are given, (rows, 2), rows that share one depend on each other.
    """
    first, second = (float(2 * np.sin(np.pi * (0.7 - less) / 6)) for less in (0.0, effect))
    targets, *sides = draw_normal(generator, rows, first, second, texts=texts)
    clusters = np.arange(rows, dtype=np.uint64) if texts is None else texts
    return spearman_contrast(name, targets, dict(zip("ab", sides, strict=True)), "a", "b", clusters)


def draw_contrast(
    generator: np.random.Generator,
    name: str,
    rows: int,
    effect: float,
    correlations: bool,
    *,
    floor: bool = False,
    texts: Array | None = None,
) -> RowContrast:
    """Draw a contrast in D², or in Spearman's correlation, which knows no floor."""
    if correlations:
        return draw_correlations(generator, name, rows, effect, texts=texts)
    return draw_losses(generator, name, rows, effect, floor=floor, texts=texts)


def draw_claim(generator: np.random.Generator, population: Population) -> tuple[list[RowContrast], float]:
    """Draw the contrasts of a claim's tasks, and the value that the claim is about.

    The tasks of a unit are scored on the same texts, with nearly the same losses.
    """
    effects, found = population.effects(generator), []
    for place, (count, effect) in enumerate(zip(population.units, effects, strict=True)):
        rows, floor = SIZES[place % len(SIZES)], place >= len(effects) - population.floor
        one = draw_contrast(generator, f"task {place}", rows, effect, population.correlations, floor=floor)
        offset = np.uint64(10_000 * place)
        for number in range(count):
            contrast = replace(one, task=f"task {place}.{number}", clusters=one.clusters + offset, unit=f"unit {place}")
            found.append(contrast)
    return found, population.true_mean(effects)


def outcomes_of(found: Difference, truth: float, method: str, equivalence: float | None) -> Outcomes:
    """Return whether statements about a difference are true, and the width of its interval."""
    assert found.low is not None and found.high is not None and found.p is not None
    outcomes: Outcomes = {("coverage", method): found.low <= truth <= found.high}
    outcomes["width", method] = found.high - found.low
    if truth == 0:
        outcomes["type-I error", method] = found.p <= 0.05
    if abs(truth) >= MARGIN and equivalence is not None:
        outcomes["false equivalence", method] = equivalence <= 0.05
    return outcomes


def claim_outcomes(generator: np.random.Generator, population: Population) -> Outcomes:
    """Return the outcomes of one claim over units."""
    contrasts, truth = draw_claim(generator, population)
    claim = mean_over_units(contrasts)
    return outcomes_of(claim.difference, truth, METHOD, claim.p_equivalence)


def task_outcomes(generator: np.random.Generator, rows: int, correlations: bool) -> Outcomes:
    """Return the outcomes of a contrast on one task, without a difference."""
    one = draw_contrast(generator, "task", rows, 0.0, correlations)
    return outcomes_of(one.difference, 0.0, "row influences", None)


def pair_outcomes(
    generator: np.random.Generator, rows: int, tasks: int, correlations: bool, firsts: int | None
) -> Outcomes:
    """Return the outcomes of a claim, without a difference, on tasks of pairs that share texts."""
    found = []
    for place in range(tasks):
        texts = draw_pairs(generator, rows, firsts)
        one = draw_contrast(generator, f"task {place}", rows, 0.0, correlations, texts=texts)
        found.append(replace(one, clusters=one.clusters + np.uint64(10_000 * place)))
    return outcomes_of(mean_over_units(found).difference, 0.0, "row influences", None)


def unit_settings() -> Iterator[tuple[str, str, int, Callable[[np.random.Generator], Outcomes]]]:
    """Yield metric, setting, rows and trial of each simulation."""
    for correlations in (False, True):
        for rows in (71, 250, 872, 1500):

            def task(generator: np.random.Generator, rows: int = rows, ranks: bool = correlations) -> Outcomes:
                return task_outcomes(generator, rows, ranks)

            yield "spearman" if correlations else "D2", "one task", rows, task
    for setting, population in populations().items():

        def claim(generator: np.random.Generator, population: Population = population) -> Outcomes:
            return claim_outcomes(generator, population)

        yield "spearman" if population.correlations else "D2", setting, SIZES[0], claim
    yield from pair_settings()


def pair_settings() -> Iterator[tuple[str, str, int, Callable[[np.random.Generator], Outcomes]]]:
    """Yield the simulations of pairs that share texts."""
    for correlations, (name, firsts), tasks in product((False, True), SHARING.items(), (1, 2)):
        for rows in (250, 872):

            def trial(
                generator: np.random.Generator,
                rows: int = rows,
                tasks: int = tasks,
                ranks: bool = correlations,
                firsts: int | None = firsts,
            ) -> Outcomes:
                return pair_outcomes(generator, rows, tasks, ranks, firsts)

            setting = f"{'one task' if tasks == 1 else 'two tasks'} of pairs, {name}"
            yield "spearman" if correlations else "D2", setting, rows, trial


def populations() -> dict[str, Population]:
    """Return the populations of claims by their setting, whose first word is the number of units."""
    found = {}
    for count in (2, 3, 5, 8, 12):
        ones = (1,) * count
        found[f"{count} units, no task effects"] = Population(ones)
        found[f"{count} units, normal effects of 1.5 points"] = Population(ones, 0.015)
        found[f"{count} units, normal effects of 0.5 points, mean 1 point"] = Population(ones, 0.005, MARGIN)
    for count in (5, 8, 12):
        ones = (1,) * count
        found[f"{count} units, normal effects of 5 points"] = Population(ones, 0.05)
        found[f"{count} units, skewed effects of 1.5 points"] = Population(ones, 0.015, skewed=True)
        floor = count // 2
        found[f"{count} units, {floor} of them floor tasks"] = Population(ones, 0.015, floor=floor)
        shared = (4, 3, *ones[2:])
        found[f"{count} units, two of them of tasks with the same texts"] = Population(shared, 0.015)
    found["2 units, floor tasks alone"] = Population((1, 1), floor=2)
    found["3 units, one of them a floor task"] = Population((1, 1, 1), 0.015, floor=1)
    found["2 units of tasks with the same texts"] = Population((4, 3), 0.015)
    for count in (2, 5, 8):
        ranks = (3, 2, *(1,) * (count - 2))
        found[f"{count} units, correlations, no task effects"] = Population(ranks, correlations=True)
        found[f"{count} units, correlations, normal effects of 1.5 points"] = Population(
            ranks, 0.015, correlations=True
        )
    return found
