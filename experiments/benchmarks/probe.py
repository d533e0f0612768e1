"""The probe's grid of seven values against scikit-learn's LogisticRegressionCV.

Both get the same rows, grid and split, in one process, in turns; seconds and ratios are medians.
Rows are standardised float32 features with correlated columns, whose covariance eigenvalues span
three decades. The suite carves a part, fits the grid, refits on all rows and predicts; the peer
fits the same grid on the same part and refits.
At every grid value, the gap is the objective in float64 at the weights found, minus that of a
float64 solution of tolerance 1e-12.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Sequence
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

TURNS = 3
GRID = [30.0, 3.0, 0.3, 0.03, 0.003, 0.0003, 0.00003]
ALLOWED = {2: 0.40, 3: 0.35}  # largest ratio of seconds, by the number of classes
ALLOWED_GAP = 1e-8
PEER = "scikit-learn LogisticRegressionCV"


def make_rows(rows: int, width: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised correlated features, (rows, width) float32, and noisy labels, (rows,)."""
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


def fit_suite(x: np.ndarray, y: np.ndarray, classes: int) -> ProbeOutcome:
    """Fit the suite's probe."""
    settings = ProbeSettings({"alpha": GRID}, features="none")
    data = ProbeData(Rows(x, y), {"test": Rows(x[:100], y[:100])}, classes)
    return Protocol().fit(LogisticRegression(), settings, data)


def fit_peer(x: np.ndarray, y: np.ndarray, held: np.ndarray) -> Any:
    """Fit scikit-learn's, with the rows of the mask `held` to choose on."""
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
    """Return alpha, the gap to the float64 optimum and the solver's bound for each grid value."""
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
    """Holds one comparison; the fields are those of the record.

    Attributes
    ----------
    ours, theirs : float
        Median seconds of the suite and of scikit-learn.
    ratios : list of float
        Seconds of the suite by those of scikit-learn, by turn.
    processor_ratio : float
        Median over the turns of the same ratio of processor time, which other processes do not change.
    gap : float
        Largest one of the suite's objective to the optimum.
    chosen : (float, float)
        Alpha, as the suite and as scikit-learn choose it.
    worst : list
        What `gaps` returns.
    """

    classes: int
    rows: int
    width: int
    ours: float
    theirs: float
    ratios: list[float]
    processor_ratio: float
    gap: float
    chosen: tuple[float, float]
    worst: list[tuple[float, float, float]]

    @property
    def ratio(self) -> float:
        """Median over the turns of the suite's seconds by those of scikit-learn."""
        return statistics.median(self.ratios)

    def record(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {**asdict(self), "ratio": self.ratio, "peer": PEER}

    def lines(self) -> str:
        """Return the figures as they are printed."""
        allowed = f" (allowed {ALLOWED[self.classes]})" if self.classes in ALLOWED else ""
        lines = [
            f"{self.classes} classes, {self.rows} x {self.width} float32: the suite {self.ours:.2f} s, "
            f"{PEER} {self.theirs:.2f} s, ratio {self.ratio:.3f}{allowed}, "
            f"of processor time {self.processor_ratio:.3f}",
            f"  chosen alpha: the suite {self.chosen[0]:g}, scikit-learn {self.chosen[1]:g}; "
            f"largest gap to the float64 optimum {self.gap:.1e} (allowed {ALLOWED_GAP:g})",
            *(
                f"    alpha {alpha:<8g} gap {found:9.1e}, stated bound {bound:.1e}"
                for alpha, found, bound in self.worst
            ),
        ]
        return "\n".join(lines)


def compare(classes: int, rows: int, width: int) -> Figures:
    """Time both systems on the same rows."""
    x, y = make_rows(rows, width, classes)
    held = splits.RowSplitter(y, 0).holdout_mask()
    mine, theirs = list[tuple[float, float]](), list[tuple[float, float]]()
    for _ in range(TURNS):
        outcome, taken = _timed(lambda: fit_suite(x, y, classes))
        mine.append(taken)
        reference, taken = _timed(lambda: fit_peer(x, y, held))
        theirs.append(taken)
    assert outcome.choice is not None
    walls, processor = ([one[kind] / other[kind] for one, other in zip(mine, theirs, strict=True)] for kind in (0, 1))
    chosen = 1 / (float(np.ravel(reference.C_)[0]) * int((~held).sum()))
    worst = gaps(x, y, classes, held)
    suite, peer = (statistics.median(wall for wall, _ in each) for each in (mine, theirs))
    gap, choices = max(abs(gap) for _, gap, _ in worst), (outcome.choice.value, chosen)
    return Figures(classes, rows, width, suite, peer, walls, statistics.median(processor), gap, choices, worst)


def _timed(function: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """Return what a function returns, and its seconds: by the clock, and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    found = function()
    return found, (time.perf_counter() - wall, time.process_time() - processor)


def run(classes: Sequence[int] = (2, 3), rows: int = 67000, width: int = 768) -> list[Figures]:
    """Compare for each number of classes, and print each comparison."""
    figures = []
    for number in classes:
        figures.append(compare(number, rows, width))
        print(figures[-1].lines(), flush=True)
    return figures
