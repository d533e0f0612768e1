"""Simulate labels, predictions and tasks for tests of the evaluation."""

from __future__ import annotations

import numpy as np

from src.evaluation.contrasts import Task
from src.evaluation.metrics import metrics

CLASSIFICATION = [name for name in metrics if metrics[name].task == "classification"]


REGRESSION = [name for name in metrics if metrics[name].task == "regression"]


def classes_of(name: str) -> list[int]:
    entry = metrics[name]
    return [0] if entry.task == "regression" else [2] if entry.most_classes == 2 else [2, 5]


EVERY = [(name, classes) for name in metrics for classes in classes_of(name)]


def simulate(rows: int, classes: int, right: float = 0.75, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and predictions; for regression (classes 0) a normal pair."""
    generator = np.random.default_rng(seed)
    if not classes:
        y = generator.standard_normal(rows)
        return y, y + generator.standard_normal(rows)
    y = (generator.random(rows) < 0.65).astype(int) if classes == 2 else generator.integers(classes, size=rows)
    return y, np.where(generator.random(rows) < right, y, generator.integers(classes, size=rows))


def simulate_pair(
    rows: int, classes: int, right_a: float, right_b: float, shared: float = 0.7, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels and two dependent predictions, right at the given rates."""
    generator = np.random.default_rng(seed)
    if not classes:
        y, common = generator.standard_normal((2, rows))
        a, b = (
            y * right + common * shared + generator.standard_normal(rows) * (1 - shared) for right in (right_a, right_b)
        )
        return y, a, b
    y = generator.integers(classes, size=rows)
    luck = generator.random(rows)
    wrong = (y + generator.integers(1, classes, size=rows)) % classes
    lucks = [np.where(generator.random(rows) < shared, luck, generator.random(rows)) for _ in range(2)]
    a, b = (np.where(fortune < right, y, wrong) for fortune, right in zip(lucks, (right_a, right_b), strict=True))
    return y, a, b


def make_task(
    name: str,
    metric: str = "accuracy",
    classes: int = 2,
    rows: int = 400,
    gap: float = 0.0,
    seed: int = 0,
    draws: int = 1,
) -> Task:
    """Return a task of runs a, b and c; `gap` lowers the accuracy of b, or adds noise to its scores."""
    generator = np.random.default_rng(seed)
    shape = (draws, rows) if draws > 1 else (rows,)
    if not classes:
        y, shared = generator.standard_normal((2, rows))
        runs = [y + 0.5 * shared + (0.2 + extra) * generator.standard_normal(shape) for extra in (0, 5 * gap, 0)]
    else:
        y, luck = generator.integers(classes, size=rows), generator.random(rows)
        lucks = [np.where(generator.random(shape) < 0.8, luck, generator.random(shape)) for _ in range(3)]
        runs = [
            np.where(each < 0.8 - less, y, (y + 1) % classes) for each, less in zip(lucks, (0, gap, 0), strict=True)
        ]
    return Task(name, metric, classes, y, dict(zip("abc", runs, strict=True)), seed=seed)


FAST = 400  # resamples


MIXED = [
    make_task("one", gap=0.05),
    make_task("two", "f1", gap=0.03, seed=1),
    make_task("three", "mcc", 3, gap=0.04, seed=2),
    make_task("four", "pearson", 0, gap=0.05, seed=3),
    make_task("five", rows=900, seed=4),
]


PAIRS = [("a", "b"), ("a", "c"), ("b", "c")]
