"""Error rates of the statistics: ``python -m experiments.benchmarks.calibration [output=FILE] [trials=2000] [seed=0] [workers=1]``.

Draws test sets from populations whose true values are known and counts how often a test rejects
what is true (type-I error), an interval holds the truth (coverage), and two runs that differ by
just the margin are called equivalent (false equivalence): one tidy row each, `error` being the
standard error of `measured`. Trials of ranks and of several tasks cost more and are half as many.
The bootstrap takes 1,000 resamples here (500 for ranks) and 10,000 in use, which only adds noise
here. About 25 minutes of one core.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from experiments.cli import at_least, command
from src.cli.application import print_text
from src.errors import UserError
from src.evaluation import paired
from src.evaluation.metrics import evaluate, metrics
from src.evaluation.paired import Task, over_tasks
from src.evaluation.statistics import compare, equivalent, kappa

Array = NDArray[Any]
Outcomes = dict[tuple[str, str], bool]  # (quantity, method) of one trial
ROWS = (71, 250, 872, 1500)  # WNLI's, the fewest that are promised for, SST-2's, STS-B's
RESAMPLES = 1000
FEWER = {"spearman": 500}
NOMINAL = {"type-I error": 0.05, "coverage": 0.95, "false equivalence": 0.05}
LIMITS = {"type-I error": (0.0, 0.06), "coverage": (0.93, 0.97), "false equivalence": (0.0, 0.06)}
UNUSED = ("Student over tasks", "percentile over tasks")
FIELDS = ("quantity", "method", "metric", "rows", "setting", "nominal", "measured", "error", "trials", "within", "note")


@dataclass(frozen=True)
class Experiment:
    """One population at one number of rows; `trial` draws a test set and says which outcomes came true."""

    metric: str
    rows: int
    setting: str
    trial: Callable[[np.random.Generator], Outcomes]
    share: int = 1  # of the trials, one in so many


def table(prior: Sequence[float], recall_a: Sequence[float], recall_b: Sequence[float], shared: float = 0.7) -> Array:
    """Probabilities (classes, classes, classes) of label, prediction of a and of b.

    `shared` takes the share of rows that both get right from independence (0) to as many as the
    recalls allow (1); of the rows that both get wrong, and where there is a choice, they agree on
    that share.
    """
    classes = len(prior)
    cells = np.zeros((classes,) * 3)
    for label, (weight, a, b) in enumerate(zip(prior, recall_a, recall_b, strict=True)):
        both = a * b + shared * (min(a, b) - a * b)
        wrong = [other for other in range(classes) if other != label]
        cells[label, label, label] = weight * both
        for one in wrong:
            cells[label, label, one] = weight * (a - both) / len(wrong)
            cells[label, one, label] = weight * (b - both) / len(wrong)
            for other in wrong:
                same = shared + (1 - shared) / len(wrong) if one == other else (1 - shared) / len(wrong)
                cells[label, one, other] = weight * (1 - a - b + both) * same / len(wrong)
    return cells


def truths(metric: str, cells: Array) -> tuple[float, float]:
    """The metric of a and of b in the population."""
    function = metrics[metric].function
    return float(function(cells.sum(axis=2)[None] * 1e9)[0]), float(function(cells.sum(axis=1)[None] * 1e9)[0])


def apart(metric: str, prior: Sequence[float], recall: Sequence[float], gap: float, shift: float = 0.04) -> Array:
    """Table in which metric(a) - metric(b) is `gap`, though b errs otherwise: better by `shift` on the first class, worse on the last."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        cells = table(prior, recall, [recall[0] + shift, *recall[1:-1], middle])
        a, b = truths(metric, cells)
        low, high = (middle, high) if a - b > gap else (low, middle)
    return cells


def draw(generator: np.random.Generator, cells: Array, rows: int) -> Array:
    """Labels and both predictions, (3, rows)."""
    return np.stack(
        np.unravel_index(generator.choice(cells.size, size=rows, p=cells.ravel() / cells.sum()), cells.shape)
    )


def normal(generator: np.random.Generator, rows: int, right_a: float, right_b: float, shared: float = 0.9) -> Array:
    """Targets and both predictions (3, rows), jointly normal.

    The predictions are correlated `right_a` and `right_b` with the targets, `shared` with each
    other.
    """
    covariance = np.array([[1, right_a, right_b], [right_a, 1, shared], [right_b, shared, 1]])
    return np.linalg.cholesky(covariance) @ generator.standard_normal((3, rows))


def paired_outcomes(metric: str, data: Array, classes: int, gap: float, margin: float | None, seed: int) -> Outcomes:
    """Of a against b, whose true difference is `gap`."""
    y, a, b = data
    found = compare(metric, y, a, b, classes=classes, seed=seed, resamples=FEWER.get(metric, RESAMPLES))
    test, interval = ("McNemar mid-p", "Newcombe") if metric == "accuracy" else ("paired bootstrap", "paired bootstrap")
    outcomes = {
        ("coverage", interval): found.low is not None and found.high is not None and found.low <= gap <= found.high
    }
    if gap == 0:
        outcomes["type-I error", test] = found.p is not None and found.p <= 0.05
    if margin is not None:
        outcomes["false equivalence", interval] = equivalent(found, margin)
    return outcomes


def holds(truth: float, low: float | None, high: float | None) -> bool:
    """Does the interval hold the truth?"""
    return low is not None and high is not None and low <= truth <= high


def of_classes(metric: str, name: str, prior: Sequence[float], recall: Sequence[float]) -> Iterator[Experiment]:
    """Experiments on labels: nothing between a and b, then just the margin, of 5 points."""
    for margin in (None, 0.05):
        cells = apart(metric, prior, recall, margin or 0.0)
        truth, agreement = truths(metric, cells)[0], cohen(cells.sum(axis=0))

        def trial(
            generator: np.random.Generator, *, rows: int, cells: Array = cells, margin: float | None = margin, truth: float = truth,
            agreement: float = agreement,
        ) -> Outcomes:  # fmt: skip
            data, classes = draw(generator, cells, rows), len(prior)
            seed = int(generator.integers(2**31))
            outcomes = paired_outcomes(metric, data, classes, margin or 0.0, margin, seed)
            if margin is None:
                alone = evaluate(metric, *data[:2], classes=classes, seed=seed, resamples=RESAMPLES)
                outcomes["coverage", "Wilson" if metric == "accuracy" else "BCa"] = holds(truth, alone.low, alone.high)
                if metric == "accuracy":
                    outcomes["coverage", "kappa"] = holds(
                        agreement, *(kappa(*data[1:], classes=classes) or (0.0, None, None))[1:]
                    )
            return outcomes

        yield from _at_all_rows(metric, name, margin, trial)


def cohen(shares: Array) -> float:
    """Cohen's kappa of a population of two predictions, (classes, classes)."""
    chance = float(shares.sum(axis=0) @ shares.sum(axis=1))
    return float((np.trace(shares) - chance) / (1 - chance))


def fifths(targets: Array) -> Array:
    """Normal targets on a scale like STS-B's: 0 to 5 in steps of a fifth, skewed."""
    return np.round(25 * ndtr(targets) ** 1.5) / 5


def truth_of_fifths(metric: str, right: float) -> float:
    """The correlation of `fifths` with a prediction whose correlation with the normal targets is `right`."""
    from scipy.stats import multivariate_normal, norm

    ends = np.concatenate([[0], ((np.arange(25) + 0.5) / 25) ** (2 / 3), [1]])  # share of the targets up to each step
    steps, share = ndtri(ends), np.diff(ends)
    if metric == "pearson":
        level, spread, together = np.arange(26) / 5, 1.0, -right * np.diff(norm.pdf(steps))
    else:  # of the ranks: the prediction's is uniform, its mean below a target that of a pair of normals
        pair = multivariate_normal([0, 0], [[1, -right / np.sqrt(2)], [-right / np.sqrt(2), 1]])
        below = [0, *(float(pair.cdf([0, step])) for step in steps[1:-1]), 0.5]
        level, spread, together = (ends[1:] + ends[:-1]) / 2, np.sqrt(1 / 12), np.diff(below) - share / 2
    centred = level - share @ level
    return float(centred @ together / (np.sqrt(share @ centred**2) * spread))


def of_targets(metric: str) -> Iterator[Experiment]:
    """Experiments on targets, normal ones and `fifths`."""
    normals = {"pearson": lambda value: value, "spearman": lambda value: 2 * np.sin(np.pi * value / 6)}[
        metric
    ]  # of the normal's correlation
    value = 0.75
    for name, margin in (("normal", None), ("normal", 0.05), ("skewed fifths", None)):
        if (metric, name, margin) == ("spearman", "normal", None):
            continue  # dear, and the ranks of the fifths, which have ties, are the harder case
        right_a, right_b = normals(value), normals(value - (margin or 0.0))
        truth = value if name == "normal" else truth_of_fifths(metric, right_a)

        def trial(
            generator: np.random.Generator, *, rows: int, name: str = name, margin: float | None = margin, truth: float = truth,
            right_a: float = right_a, right_b: float = right_b,
        ) -> Outcomes:  # fmt: skip
            y, *sides = normal(generator, rows, right_a, right_b)
            data, seed = np.stack([y if name == "normal" else fifths(y), *sides]), int(generator.integers(2**31))
            outcomes = paired_outcomes(metric, data, 0, margin or 0.0, margin, seed)
            if margin is None:
                alone = evaluate(metric, *data[:2], classes=0, seed=seed, resamples=FEWER.get(metric, RESAMPLES))
                outcomes["coverage", "BCa"] = holds(truth, alone.low, alone.high)
            return outcomes

        yield from _at_all_rows(metric, name, margin, trial, share=2 if metric == "spearman" else 1)


def _at_all_rows(
    metric: str, name: str, margin: float | None, trial: Callable[..., Outcomes], share: int = 1
) -> Iterator[Experiment]:
    setting = name if margin is None else f"{name}, difference {100 * margin:g} points"
    for rows in ROWS:

        def at(generator: np.random.Generator, rows: int = rows) -> Outcomes:
            return trial(generator, rows=rows)

        yield Experiment(metric, rows, setting, at, share)


SIZES = (250, 277, 408, 872, 1043, 1500, 2000, 5463)  # rows of GLUE's and SentEval's test splits, or about
KINDS = ("accuracy", "mcc", "f1", "accuracy")


def benchmark(generator: np.random.Generator, effects: Array) -> list[Task]:
    """Tasks in which a is better than b by `effects` (tasks,), each on its own metric.

    Classes and errors are balanced, so that F1 is the accuracy and MCC twice the accuracy less one.
    """
    tasks = []
    for place, effect in enumerate(effects):
        metric = KINDS[place % len(KINDS)]
        change = effect / 2 if metric == "mcc" else effect
        cells = table((0.5, 0.5), (0.8, 0.8), (0.8 - change,) * 2)
        y, a, b = draw(generator, cells, SIZES[place % len(SIZES)])
        tasks.append(Task(str(place), metric, 2, y, {"a": a, "b": b}, seed=int(generator.integers(2**31))))
    return tasks


def over_benchmarks() -> Iterator[Experiment]:
    """Experiments on the claim over tasks, whose true effects are drawn around a mean of nothing or of just the margin."""
    few = (
        ("no task effects", 0.0, 0.0), ("normal effects", 0.015, 0.0), ("skewed effects", 0.015, 0.0),
        ("normal effects", 0.003, paired.MARGIN), ("normal effects", 0.015, paired.MARGIN),
    )  # fmt: skip
    for number in (5, 8, 12):
        for name, spread, mean in few:
            yield over_benchmark(number, name, spread, mean)
    yield Experiment("mixed", SIZES[0], "8 tasks, effects of 6 points on two", conjunction_trial, share=2)
    for number in (5, 8, 12):
        for name in ("normal effects", "skewed effects"):
            yield over_benchmark(number, name, 0.05, 0.0)


def over_benchmark(number: int, name: str, spread: float, mean: float) -> Experiment:
    """The claim over `number` tasks whose effects have this mean and standard deviation."""

    def trial(generator: np.random.Generator) -> Outcomes:
        gamma = (generator.gamma(1.5, size=number) - 1.5) / np.sqrt(1.5)
        standard = gamma if name == "skewed effects" else generator.standard_normal(number)
        return benchmark_outcomes(benchmark(generator, mean + spread * standard), mean)

    setting = f"{number} tasks, {name}" + (f" of {100 * spread:g} points" if spread else "")
    return Experiment("mixed", SIZES[0], setting + (", mean 1 point" if mean else ""), trial, share=2)


def benchmark_outcomes(tasks: list[Task], mean: float) -> Outcomes:
    """Of the claim over tasks, and of two forms of it that were not chosen."""
    found = over_tasks(tasks, "a", "b", resamples=RESAMPLES)
    values = np.array(found.differences)
    half = float(stdtrit(len(tasks) - 1, 0.975)) * values.std(ddof=1) / np.sqrt(len(tasks))
    outcomes = {
        ("coverage", "over_tasks"): found.low <= mean <= found.high,
        ("coverage", "Student over tasks"): bool(abs(found.value - mean) <= half),
        ("coverage", "percentile over tasks"): holds(mean, *percentile(tasks)),
    }
    if mean:
        outcomes["false equivalence", "over_tasks"] = found.p_equivalence <= 0.05
    else:
        outcomes["type-I error", "over_tasks"] = found.p <= 0.05
    return outcomes


def percentile(tasks: Sequence[Task]) -> tuple[float, float]:
    """The plain percentile interval of the hierarchical bootstrap."""
    rows = np.stack([paired.resampled(task, RESAMPLES).resamples_of(0, 1) for task in tasks])
    generator = np.random.default_rng(0)
    drawn = generator.integers(len(tasks), size=(RESAMPLES, len(tasks)))
    low, high = np.quantile(rows[drawn, generator.integers(RESAMPLES, size=drawn.shape)].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def conjunction_trial(generator: np.random.Generator) -> Outcomes:
    """More tasks shown to differ than do?"""
    found = over_tasks(benchmark(generator, np.repeat([0.0, 0.06], [6, 2])), "a", "b", resamples=RESAMPLES)
    return {("type-I error", "partial conjunction"): found.at_least > 2}


def experiments() -> Iterator[Experiment]:
    """All of them, in the order of the table."""
    balanced: tuple[Sequence[float], Sequence[float]] = ((0.5, 0.5), (0.8, 0.84))
    skewed: tuple[Sequence[float], Sequence[float]] = ((0.33, 0.67), (0.5, 0.88))
    three: tuple[Sequence[float], Sequence[float]] = ((0.57, 0.28, 0.15), (0.8, 0.74, 0.7))
    for metric in ("accuracy", "f1", "mcc"):
        yield from of_classes(metric, "balanced", *balanced)
        yield from of_classes(metric, "one class in three", *skewed)
    yield from of_classes("macro_f1", "three classes", *three)
    for metric in ("pearson", "spearman"):
        yield from of_targets(metric)
    yield from over_benchmarks()


def note(row: dict[str, Any]) -> str:
    """Why a measured rate is outside what is asked for, and what that means."""
    if row["method"] in UNUSED:
        return "a form that was not chosen, for comparison"
    if row["within"] == "yes":
        return ""
    if row["quantity"] == "coverage" and row["measured"] > row["nominal"]:
        return "covers more than stated: errs to the safe side"
    if "skewed effects" in row["setting"]:
        return "few tasks with skewed effects: no form tried covers as stated; read the leave-one-task-out values beside it"
    if row["rows"] < 250:
        return "few rows: contrasts of so few carry a flag"
    nearest = min(LIMITS[row["quantity"]], key=lambda limit: abs(limit - row["measured"]))
    if abs(row["measured"] - nearest) <= 2 * row["error"]:
        return "within two standard errors of its limit"
    return "outside its limits"


@lru_cache(maxsize=1)
def listed() -> list[Experiment]:
    return list(experiments())


def measure(number: int, trials: int, seed: int) -> list[dict[str, Any]]:
    """The rows of one experiment, seeded by its number, so that none moves another's figures."""
    from threadpoolctl import threadpool_limits

    one = listed()[number]
    generator, count = np.random.default_rng([seed, number]), max(1, trials // one.share)
    came: Counter[tuple[str, str]] = Counter()
    with threadpool_limits(1):
        for _ in range(count):
            came.update({name: int(true) for name, true in one.trial(generator).items()})
    rows = []
    for (quantity, method), times in sorted(came.items()):
        share, (low, high) = times / count, LIMITS[quantity]
        row = {
            "quantity": quantity, "method": method, "metric": "kappa" if method == "kappa" else one.metric, "rows": one.rows,
            "setting": one.setting, "nominal": NOMINAL[quantity], "measured": round(share, 6),
            "error": round(float(np.sqrt(share * (1 - share) / count)), 6), "trials": count,
            "within": "yes" if low <= share <= high else "no",
        }  # fmt: skip
        rows.append({**row, "note": note(row)})
    return rows


def simulate(trials: int, seed: int, workers: int = 1, chosen: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """One row per experiment and outcome; `chosen` are numbers of experiments, all where unset."""
    from tqdm import tqdm

    numbers = list(range(len(listed())) if chosen is None else chosen)
    rest = [trials] * len(numbers), [seed] * len(numbers)
    with ProcessPoolExecutor(workers) as pool:
        run = pool.map(measure, numbers, *rest) if workers > 1 else map(measure, numbers, *rest)
        return [row for rows in tqdm(run, total=len(numbers), unit="experiment", disable=None) for row in rows]


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    output: str = "experiments/records/simulation.csv"
    trials: int = at_least(1, 2000)
    seed: int = at_least(0, 0)
    workers: int = at_least(1, 1)


@command(Options)
def main(options: Options) -> None:
    """Write the table."""
    output = Path(options.output)
    if not output.parent.is_dir():
        raise UserError(f"output: no folder '{output.parent}'. Make it, or name another file.")
    rows = simulate(options.trials, options.seed, options.workers)
    with output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    outside = [row["rows"] for row in rows if row["within"] == "no" and row["method"] not in UNUSED]
    print_text(
        f"{len(rows)} rates in {output}; {len(outside)} outside their limits, {sum(count >= 250 for count in outside)} at 250 rows or more"
    )


if __name__ == "__main__":
    main()
