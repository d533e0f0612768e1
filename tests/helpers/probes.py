"""Fits of probes on small random rows."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from src.probes.outcome import ProbeOutcome
from src.probes.protocols.base import Protocol
from src.probes.settings import ProbeData, ProbeSettings, Rows
from src.probes.solvers.estimators import LogisticRegression, Ridge

GRID = [30.0, 3.0, 0.3, 0.03, 0.003]


def make(rows: int = 300, width: int = 8, classes: int = 2, seed: int = 0, noise: float = 1.0) -> Rows:
    """Return rows of noisy linear labels; without noise the classes are separable."""
    generator = np.random.default_rng(seed)
    x = (generator.standard_normal((rows, width)) * np.linspace(0.2, 3, width) + 5).astype(np.float32)
    turn = np.random.default_rng(99).standard_normal((width, max(classes, 1)))
    scores = (x - 5) @ turn + noise * generator.gumbel(size=(rows, max(classes, 1)))
    return Rows(x, scores.argmax(axis=1).astype(np.int64) if classes else scores[:, 0].astype(np.float64))


def settings(features: str = "standardise", **grid: list[float]) -> ProbeSettings:
    """Return settings with one parameter and its values, or `GRID`."""
    return ProbeSettings(grid or {"alpha": GRID}, "here", features)


def run(
    estimator: Any, chosen: ProbeSettings, train: Rows, tests: dict[str, Rows], classes: int = 2, **options: Any
) -> ProbeOutcome:
    """Fit by the suite's protocol; options are fields of settings or data, or the progress."""
    progress = options.pop("progress", None)
    fields = {each.name for each in dataclasses.fields(ProbeSettings)}
    chosen = dataclasses.replace(chosen, **{name: options.pop(name) for name in set(options) & fields})
    return Protocol().fit(estimator, chosen, ProbeData(train, tests, classes, **options), progress)


def fit(
    train: Rows, tests: dict[str, Rows], classes: int = 2, features: str = "standardise", **options: Any
) -> ProbeOutcome:
    """Fit the suite's own estimator for the task by the suite's protocol."""
    estimator = LogisticRegression(tolerance=1e-11) if classes else Ridge()
    return run(estimator, settings(features), train, tests, classes, **options)
