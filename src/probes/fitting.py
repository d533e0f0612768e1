"""Fits of a linear probe on weighted subsets of the training rows, and what a fitted probe predicts.

Our own solvers take a whole grid on many subsets in one call; any scikit-learn estimator is fitted once for each.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from src.config.schema import ProbeConfig
from src.errors import UserError
from src.probes.estimators import refused, with_value
from src.probes.solvers.linear import Array, Matrix, Problem, Solution, linear, row_blocks, separates
from src.probes.solvers.moments import moments, rounding
from src.probes.solvers.preconditioner import Basis

# Of the median spread: what an encoder has switched off, as by layer norm's gains of 1e-33, is not raised to unit variance.
DEAD = float(np.finfo(np.float32).eps) ** 2
MEMORY = 4 << 30  # bytes of the problems that are solved at once
PATIENCE = 3.0  # seconds of fitting before a bar is shown
Progress = Callable[[str, int, int], None]  # what is being fitted, how many fits are done, of how many


@dataclass(frozen=True)
class Rows:
    """One split's features (rows, width), dense or CSR, with class ids (rows,) int64 or regression targets float64."""

    x: Matrix
    y: Array


@dataclass(frozen=True)
class FittedProbe:
    """A fitted probe with its standardisation: decision = ((x - mean) / scale) @ weight.T + bias, after row normalisation where `l2`.

    `weight` is (outputs, width): one output for two classes and for regression. `model` is a foreign estimator without linear coefficients.
    `trained_on` says on which rows.
    """

    classes: int
    mean: Array | None
    scale: Array | None
    weight: Array | None
    bias: Array | None
    l2: bool = False
    trained_on: str = "train"
    model: Any = field(default=None, repr=False)

    def predict(self, x: Matrix) -> tuple[Array, Array]:
        """Predictions (rows,) and decision values, float32: (rows,) for one output, else (rows, classes)."""
        x = normalise(x) if self.l2 else x
        if self.weight is None or self.bias is None:
            return _foreign_predict(self.model, _scaled(x, self.mean, self.scale), self.classes)
        scores = linear(x, *_folded(self))
        return decided(scores, self.classes), _squeezed(scores).astype(np.float32)

    def arrays(self) -> dict[str, Array]:
        """What a safetensors file keeps of it: plain arrays, float64."""
        kept = {"mean": self.mean, "scale": self.scale, "weight": self.weight, "bias": self.bias}
        return {
            name: np.ascontiguousarray(array, dtype=np.float64) for name, array in kept.items() if array is not None
        }


@dataclass(frozen=True)
class Fit:
    """One fitted grid value in the features' own coordinates."""

    value: float
    weight: Array | None
    bias: Array | None
    mean: Array | None
    scale: Array | None
    gap: float | None
    converged: bool | None
    solution: Solution | None = None
    model: Any = None


class Bench:
    """The training rows, prepared once, and fits on any weighted subset of them."""

    def __init__(
        self, estimator: Any, config: ProbeConfig, train: Rows, classes: int, progress: Progress | None = None
    ) -> None:
        self.progress, self.done, self.total = progress or (lambda what, done, total: None), 0, 0
        if len(config.grid) != 1 or not next(iter(config.grid.values())):
            raise UserError(
                f"probe '{config.name}': grid needs one parameter with its values, got {config.grid or 'none'}. "
                "Example: probe.grid.alpha=[0.01,0.1]"
            )
        self.parameter, values = next(iter(config.grid.items()))
        self.values = sorted({float(value) for value in values})
        self.stronger_is_larger = self.parameter != "C"
        if self.parameter not in estimator.get_params():
            raise UserError(
                f"probe '{config.name}': {type(estimator).__name__} has no parameter '{self.parameter}'. "
                f"Known: {', '.join(sorted(estimator.get_params()))}."
            )
        self.estimator, self.config, self.classes, self.y = estimator, config, classes, train.y
        self.own = hasattr(estimator, "solve") and self.parameter == "alpha"
        self.l2 = config.features == "l2"
        self.standardise = config.features == "standardise"
        if not self.l2 and not self.standardise and config.features != "none":
            raise UserError(f"unknown probe.features '{config.features}'. Known: none, standardise, l2.")
        source = normalise(train.x) if self.l2 else train.x
        width = source.shape[1]
        self.mean, self.scale, self.noise = np.zeros(width), np.ones(width), None
        self.constant = 0  # columns that are not standardised, as they are constant up to rounding
        if not self.own or sp.issparse(source):
            self.x = source
            if self.standardise and not sp.issparse(source):
                self.constant = int(np.count_nonzero(_statistics(source)[2]))
        else:  # once for all subsets: float32 then loses nothing, and a subset's own statistics are a small correction
            self.mean, self.scale, constant = _statistics(source)
            self.scale = self.scale if self.standardise else np.ones(width)
            self.x = _scaled(source, self.mean, self.scale)
            if self.standardise:
                self.constant = int(np.count_nonzero(constant))
                self.x[:, constant] = 0  # its weight is then zero, whatever a row holds there
                self.noise = rounding(self.mean, len(source), source.dtype) / self.scale
        self.basis = Basis.of(self.x) if self.own and estimator.task == "classification" else None

    def ordered(self) -> list[float]:
        """Grid values from the strongest penalty to the weakest."""
        return sorted(self.values, reverse=self.stronger_is_larger)

    def fit(
        self,
        wanted: Sequence[tuple[float, Array | None]],
        starts: Sequence[Solution | None] | None = None,
        *,
        what: str = "grid",
    ) -> list[Fit]:
        """A fit for every (grid value, row multiplicities); None is all rows once. `what` is told to `progress`."""
        before = self.done

        def tell(done: int) -> None:
            self.done = before + done
            self.progress(what, self.done, max(self.total, before + len(wanted)))

        if not self.own:
            fits = []
            for number, (value, weights) in enumerate(wanted):
                tell(number)
                fits.append(self._foreign(value, weights))
        else:
            tasks = self._tasks(wanted, starts or [None] * len(wanted))
            step, fits = self._at_once(), []
            for first in range(0, len(tasks), step):
                told = partial(_told, tell, first)
                solutions = self.estimator.solve(
                    self.x, self.y, self.classes, tasks[first : first + step], self.basis, told
                )
                fits += map(self._own_fit, solutions)
        tell(len(wanted))
        return fits

    def _at_once(self) -> int:
        """Problems that are solved in the same passes, as many as `MEMORY` holds: with their decision values, and points of a path."""
        rows, width = self.x.shape
        outputs = self.classes if self.classes > 2 else 1
        return max(1, MEMORY // (8 * outputs * (3 * rows + 40 * width)))

    def _tasks(self, wanted: Sequence[tuple[float, Array | None]], starts: Sequence[Solution | None]) -> list[Problem]:
        distinct: dict[int, Array | None] = {id(weights): weights for _, weights in wanted}
        mean, scale = moments(self.x, list(distinct.values()), self.noise)
        row = {key: index for index, key in enumerate(distinct)}
        ones = np.ones(mean.shape[1])
        return [
            Problem(
                value, weights, mean[row[id(weights)]], scale[row[id(weights)]] if self.standardise else ones, start
            )
            for (value, weights), start in zip(wanted, starts, strict=True)
        ]

    def _own_fit(self, solution: Solution) -> Fit:
        mean, scale = self.mean + self.scale * solution.mean, self.scale * solution.scale
        weight, bias = solution.weight, solution.bias
        if not self.standardise or sp.issparse(self.x):  # fold what was only conditioning back into the bias
            weight_raw = weight / scale
            return Fit(
                solution.alpha,
                weight if self.standardise else weight_raw,
                bias - weight_raw @ mean,
                None,
                scale if self.standardise else None,
                solution.gap,
                solution.converged,
                solution,
            )
        return Fit(solution.alpha, weight, bias, mean, scale, solution.gap, solution.converged, solution)

    def _foreign(self, value: float, weights: Array | None) -> Fit:
        rows = (
            np.arange(len(self.y)) if weights is None else np.repeat(np.arange(len(self.y)), weights.astype(np.int64))
        )
        x, y = self.x[rows], self.y[rows]
        mean, scale, _ = _statistics(x) if self.standardise else (None, None, None)
        mean = None if sp.issparse(x) else mean
        with foreign(self.estimator), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = with_value(self.estimator, self.parameter, value)
            model.fit(_scaled(x, mean, scale), y)
        complained = any(entry.category.__name__ == "ConvergenceWarning" for entry in caught)
        used, most = getattr(model, "n_iter_", None), getattr(model, "max_iter", None)
        converged = None if used is None or most is None or most < 0 else bool(np.max(used) < most) and not complained
        weight, bias = getattr(model, "coef_", None), getattr(model, "intercept_", None)
        if weight is not None and bias is not None and not sp.issparse(weight):
            weight = np.atleast_2d(np.asarray(weight, dtype=np.float64))
            bias = np.broadcast_to(np.atleast_1d(np.asarray(bias, dtype=np.float64)), (len(weight),))
        if (
            weight is None
            or bias is None
            or sp.issparse(weight)
            or len(weight) != (1 if self.classes in (0, 2) else self.classes)
        ):
            weight = bias = None
        return Fit(value, weight, bias, mean, scale, None, False if complained else converged, None, model)

    def fitted(self, fit: Fit, trained_on: str) -> FittedProbe:
        return FittedProbe(
            self.classes,
            fit.mean,
            fit.scale,
            fit.weight,
            fit.bias,
            self.l2,
            trained_on,
            None if fit.weight is not None else fit.model,
        )

    def scores(self, fit: Fit, rows: Array) -> Array:
        """Decision values (rows, outputs) on training rows."""
        if fit.solution is not None:
            return fit.solution.decide(self.x[rows])
        if fit.weight is None or fit.bias is None:
            return _probabilities(fit.model, _scaled(self.x[rows], fit.mean, fit.scale), self.classes)
        return linear(_scaled(self.x[rows], fit.mean, fit.scale), fit.weight, fit.bias)

    def loss(self, fit: Fit, rows: Array) -> Array:
        """Loss of each of these training rows."""
        if fit.solution is None and self.classes:  # a foreign estimator's own probabilities, where it has them
            return losses(
                _probabilities(fit.model, _scaled(self.x[rows], fit.mean, fit.scale), self.classes),
                self.y[rows],
                self.classes,
            )
        return losses(self.scores(fit, rows), self.y[rows], self.classes)

    def loss_on(self, fit: Fit, rows: Rows) -> Array:
        """Loss of each row of another split."""
        x = normalise(rows.x) if self.l2 else rows.x
        if fit.weight is None or fit.bias is None or (fit.solution is None and self.classes):
            return losses(
                _probabilities(fit.model, _scaled(x, fit.mean, fit.scale), self.classes), rows.y, self.classes
            )
        return losses(linear(x, *_folded(fit)), rows.y, self.classes)

    def separates(self, fit: Fit, weights: Array | None) -> bool:
        """Has this fit every row it was fitted on right, with a positive margin?"""
        rows = np.arange(len(self.y)) if weights is None else np.flatnonzero(weights)
        return separates(self.scores(fit, rows), self.y[rows])


def _told(tell: Callable[[int], None], before: int, done: int) -> None:
    tell(before + done)


def _folded(fit: FittedProbe | Fit) -> tuple[Array, Array]:
    """Weight and bias that act on features that were not standardised."""
    assert fit.weight is not None and fit.bias is not None
    weight = fit.weight if fit.scale is None else fit.weight / fit.scale
    return weight, fit.bias if fit.mean is None else fit.bias - weight @ fit.mean


def decided(scores: Array, classes: int) -> Array:
    """Predictions from decision values (rows, outputs): class ids, or the value itself for regression (classes 0)."""
    if classes == 0:
        return scores[:, 0]
    return (scores[:, 0] > 0).astype(np.int64) if scores.shape[1] == 1 else scores.argmax(axis=1).astype(np.int64)


def _squeezed(scores: Array) -> Array:
    return scores[:, 0] if scores.shape[1] == 1 else scores


def losses(scores: Array, y: Array, classes: int) -> Array:
    """Log-loss of each row, or its squared error for regression (classes 0), from decision values (rows, outputs)."""
    if classes == 0:
        return (scores[:, 0] - y) ** 2
    if scores.shape[1] == 1:
        return np.logaddexp(0, np.where(y == 1, -scores[:, 0], scores[:, 0]))
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]


def normalise(x: Matrix) -> Matrix:
    """Rows of length 1; a row of zeros stays one."""
    if sp.issparse(x):
        norms = np.sqrt(np.asarray(x.multiply(x).sum(axis=1)).ravel())
        return sp.csr_matrix(sp.diags(1 / np.where(norms > 0, norms, 1)) @ x)
    norms = np.sqrt(np.einsum("rw,rw->r", x, x, dtype=np.float64))
    return x / np.where(norms > 0, norms, 1)[:, None].astype(x.dtype)


def _scaled(x: Matrix, mean: Array | None, scale: Array | None) -> Matrix:
    """Features as a foreign estimator gets them: float32, in blocks so that the float64 differences are never all in memory."""
    if sp.issparse(x):
        return x if scale is None else sp.csr_matrix(x @ sp.diags(1 / scale)).astype(np.float32)
    out = np.empty(x.shape, dtype=np.float32)
    for part in row_blocks(x):
        block = x[part].astype(np.float64)
        if mean is not None:
            block -= mean
        out[part] = block if scale is None else block / scale
    return out


def _statistics(x: Matrix) -> tuple[Array, Array, Array]:
    """Mean and standard deviation of each column, float64, two passes, and which columns are constant: these get 1.

    A column is constant where its spread is `rounding` of its mean, or nothing beside the others' (`DEAD`).
    """
    if sp.issparse(x):
        mean, spread = moments(x, [None])
        return mean[0], spread[0], np.zeros(x.shape[1], dtype=bool)
    rows, width = x.shape
    mean, variance = np.zeros(width), np.zeros(width)
    for part in row_blocks(x):
        mean += x[part].sum(axis=0, dtype=np.float64) / rows
    for part in row_blocks(x):
        variance += ((x[part].astype(np.float64) - mean) ** 2).sum(axis=0) / rows
    spread = np.sqrt(variance)
    constant = spread <= rounding(mean, rows, x.dtype)
    if not constant.all():
        constant |= spread <= DEAD * np.median(spread[~constant])
    return mean, np.where(constant, 1.0, spread), constant


def _probabilities(model: Any, x: Matrix, classes: int) -> Array:
    """Log-probabilities (rows, classes) of a foreign classifier, or its decision values read as such."""
    with foreign(model):
        if classes == 0:
            scores = np.asarray(model.predict(x), dtype=np.float64).reshape(x.shape[0], 1)
        elif hasattr(model, "predict_proba"):
            scores = np.log(np.maximum(np.asarray(model.predict_proba(x), dtype=np.float64), 1e-15))
        elif hasattr(model, "decision_function"):
            scores = np.asarray(model.decision_function(x), dtype=np.float64)
            scores = scores[:, None] if scores.ndim == 1 else scores
        else:
            raise UserError(
                f"{type(model).__name__} has neither predict_proba nor decision_function, so its grid cannot be chosen by log-loss. "
                "Use another estimator."
            )
        if classes and scores.shape[1:] not in {(classes,), (1,) if classes == 2 else (classes,)}:
            raise ValueError(f"it gives {scores.shape[1]} values a row, where there are {classes} classes")
    return scores


def foreign(model: Any) -> AbstractContextManager[None]:
    """One line for what another library's estimator refuses while it is fitted or used."""
    way_out = "Change probe.estimator, probe.grid or probe.features."
    return refused(f"{type(model).__name__} on these rows", way_out)


def _foreign_predict(model: Any, x: Matrix, classes: int) -> tuple[Array, Array]:
    scores = _probabilities(model, x, classes)
    with foreign(model):
        predictions = np.asarray(model.predict(x))
    return predictions.astype(np.int64 if classes else np.float64), _squeezed(scores).astype(np.float32)


@contextmanager
def progress_bar(label: str, wanted: bool) -> Iterator[Progress]:
    """A bar on stderr that counts fits: on a terminal alone, and once they have taken a few seconds."""
    from tqdm import tqdm

    with tqdm(
        desc=label,
        unit="fit",
        delay=PATIENCE,
        leave=False,
        miniters=0,
        dynamic_ncols=True,
        disable=None if wanted else True,
    ) as bar:

        def tell(what: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_description_str(f"{label}, {what}", refresh=False)
            bar.update(max(0, done - bar.n))

        yield tell
