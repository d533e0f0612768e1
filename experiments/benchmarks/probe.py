"""The probe's seven-value grid against scikit-learn's `LogisticRegressionCV`: same rows, grid and split, in one process.

Rows are standardised float32 features with correlated columns (covariance eigenvalues over three decades). Ours carves, fits the grid,
refits on all rows and predicts; the peer fits the same grid on the same carved split and refits. The gap is that of the objective in
float64 at the weights found, to a float64 solution of tolerance 1e-12, at every grid value.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from src.data import splits
from src.probes.outcome import ProbeOutcome
from src.probes.protocols.base import Protocol
from src.probes.settings import ProbeData, ProbeSettings, Rows
from src.probes.solvers.estimators import LogisticRegression
from src.probes.solvers.linear import Problem
from src.probes.solvers.logistic import solve_logistic

GRID = [30.0, 3.0, 0.3, 0.03, 0.003, 0.0003, 0.00003]
ALLOWED = {2: 0.60, 3: 0.35}


def make(rows: int, width: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Standardised correlated features (rows, width) float32 and noisy linear labels (rows,)."""
    generator = np.random.default_rng(seed)
    turn = np.linalg.qr(generator.standard_normal((width, width)))[0].astype(np.float32)
    x = (
        generator.standard_normal((rows, width), dtype=np.float32)
        * np.sqrt(np.logspace(0, -3, width)).astype(np.float32)
        @ turn.T
    )
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    scores = x @ generator.standard_normal((width, classes)) / np.sqrt(width)
    return x, (scores + generator.gumbel(size=scores.shape)).argmax(axis=1).astype(np.int64)


def ours(x: np.ndarray, y: np.ndarray, classes: int) -> ProbeOutcome:
    settings = ProbeSettings({"alpha": GRID}, features="none")
    data = ProbeData(Rows(x, y), {"test": Rows(x[:100], y[:100])}, classes)
    return Protocol().fit(LogisticRegression(), settings, data)


def peer(x: np.ndarray, y: np.ndarray, held: np.ndarray) -> Any:
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import PredefinedSplit

    fitted = int((~held).sum())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegressionCV(
            Cs=[1 / (alpha * fitted) for alpha in GRID],
            cv=PredefinedSplit(np.where(held, 0, -1)),
            scoring="neg_log_loss",
            max_iter=1000,
            use_legacy_attributes=False,
        ).fit(x, y)


def gaps(x: np.ndarray, y: np.ndarray, classes: int, held: np.ndarray) -> list[tuple[float, float, float]]:
    """Per grid value: alpha, gap of the float32 path to the float64 optimum, and the bound the solver itself states."""
    kept = (~held).astype(np.float64)
    tasks = [Problem(alpha, kept) for alpha in GRID]
    found = solve_logistic(x, y, classes, tasks)
    best = solve_logistic(x.astype(np.float64), y, classes, tasks, tolerance=1e-12)
    return [
        (task.alpha, ours.objective - reference.objective, ours.gap)
        for task, ours, reference in zip(tasks, found, best, strict=True)
    ]


@dataclass(frozen=True)
class Figures:
    """One comparison: seconds of both, the largest gap of our objective to the optimum, and what is asked of the ratio."""

    classes: int
    rows: int
    width: int
    ours: float
    theirs: float
    gap: float
    chosen: tuple[float, float]  # alpha, by ours and by scikit-learn
    worst: list[tuple[float, float, float]]

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    @property
    def met(self) -> bool:
        """Within what is asked: the ratio, and a gap of 1e-8."""
        return self.gap <= 1e-8 and self.ratio <= ALLOWED.get(self.classes, float("inf"))

    def record(self) -> dict[str, Any]:
        """The figures by name."""
        return {**asdict(self), "ratio": self.ratio, "peer": "scikit-learn LogisticRegressionCV"}

    def lines(self) -> str:
        allowed = f" (allowed {ALLOWED[self.classes]})" if self.classes in ALLOWED else ""
        lines = [
            f"{self.classes} classes, {self.rows} x {self.width} float32: ours {self.ours:.2f} s, scikit-learn LogisticRegressionCV "
            f"{self.theirs:.2f} s, ratio {self.ratio:.3f}{allowed}",
            f"  chosen alpha: ours {self.chosen[0]:g}, scikit-learn {self.chosen[1]:g}; largest gap to the float64 optimum "
            f"{self.gap:.1e} (allowed 1e-8)",
            *(
                f"    alpha {alpha:<8g} gap {found:9.1e}, stated bound {bound:.1e}"
                for alpha, found, bound in self.worst
            ),
        ]
        return "\n".join(lines)


def compare(classes: int, rows: int, width: int) -> Figures:
    """Time both on the same rows."""
    x, y = make(rows, width, classes)
    held = splits.RowSplitter(y, 0).holdout_mask()
    start = time.perf_counter()
    outcome = ours(x, y, classes)
    mine = time.perf_counter() - start
    start = time.perf_counter()
    reference = peer(x, y, held)
    theirs = time.perf_counter() - start
    chosen = 1 / (float(np.ravel(reference.C_)[0]) * int((~held).sum()))
    worst = gaps(x, y, classes, held)
    return Figures(
        classes, rows, width, mine, theirs, max(abs(gap) for _, gap, _ in worst), (outcome.choice.value, chosen), worst
    )


def run(classes: Sequence[int] = (2, 3), rows: int = 67000, width: int = 768) -> list[Figures]:
    """Compare for each number of classes, printing as it goes."""
    figures = []
    for number in classes:
        figures.append(compare(number, rows, width))
        print(figures[-1].lines(), flush=True)
    return figures
