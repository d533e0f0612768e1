"""Standardise, choose from the grid on held-out training rows, refit, predict. Test rows are scored once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from src.config import ProbeConfig
from src.errors import UserError
from src.solvers import Array, Basis, Matrix, Solution, Task, blocks, linear, moments, separates, threads

TIE = 1e-9  # losses nearer than this are equal: the stronger penalty wins
Progress = Callable[[str, int, int], None]  # what is being fitted, how many fits are done, of how many


@dataclass(frozen=True)
class Rows:
    """One split's features (rows, width), dense or CSR, with class ids (rows,) int64 or regression targets float64."""

    x: Matrix
    y: Array


@dataclass(frozen=True)
class Choice:
    """What the grid said.

    `grid` holds per value: value, loss (mean log-loss or squared error on the held-out rows), converged, gap (a bound on the objective's
    distance to its optimum). `converged`: the fits at the chosen value, the refit and the draws included; None where the estimator
    cannot tell. `separable`: True when some fitted probe has every row it was fitted on right, which proves it; False when equal rows
    carry different labels, which refutes it; None when neither was found. `at_edge`: the choice lies at this end of the grid. `rows`: how
    many were fitted on, held out for the choice, and refitted on. `votes`: nested selection, the value chosen in each outer fold.
    """

    parameter: str
    value: float
    grid: list[dict[str, Any]]
    converged: bool | None
    separable: bool | None
    at_edge: str | None
    rows: dict[str, int]
    votes: list[float] | None = None


@dataclass(frozen=True)
class Fitted:
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
        return {name: np.ascontiguousarray(array, dtype=np.float64) for name, array in kept.items() if array is not None}


@dataclass(frozen=True)
class Outcome:
    """Predictions and decision values by role, of the probe fitted on train as it stands, which is also `fitted`.

    `draws` and `draw_decisions` hold the same of each probe that is scored: with several draws, those fitted on the resamples, else the
    one above. `fold` (test rows,): the outer fold in which a row was predicted, -1 without folds.
    """

    predictions: dict[str, Array]
    decisions: dict[str, Array]
    fold: Array
    choice: Choice
    fitted: Fitted
    draws: list[dict[str, Array]]
    draw_decisions: list[dict[str, Array]]


def _folded(fit: Fitted | Fit) -> tuple[Array, Array]:
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
    for part in blocks(x):
        block = x[part].astype(np.float64)
        if mean is not None:
            block -= mean
        out[part] = block if scale is None else block / scale
    return out


def _units(y: Array, groups: Array | None, regression: bool) -> tuple[Array, Array]:
    """Unit of each row (rows that stay on one side of a split) and stratum of each unit."""
    unit = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1].ravel()
    first = np.unique(unit, return_index=True)[1]
    if not regression:
        return unit, y[first]
    order = np.argsort(y[first], kind="stable")
    stratum = np.empty(len(first), dtype=np.int64)
    stratum[order] = np.arange(len(first)) * 10 // len(first)
    return unit, stratum


def carve(y: Array, fraction: float, seed: int, *, groups: Array | None = None, regression: bool = False) -> Array:
    """Which rows are held out for the choice, (rows,) bool: a stratified fraction (regression: by tenths of the target).

    A function of labels, groups and seed alone, hence the same for every pooling. Every class keeps at least one row (with its group) to
    be fitted on; a class with one such unit is never held out.
    """
    unit, stratum = _units(y, groups, regression)
    size = np.bincount(unit)
    generator = np.random.default_rng([seed, 0])
    held = np.zeros(len(stratum), dtype=bool)
    for name in np.unique(stratum):
        members = generator.permutation(np.flatnonzero(stratum == name))
        goal = fraction * size[members].sum()
        before = np.cumsum(size[members]) - size[members]
        taken = members[:-1][(before + size[members] / 2 <= goal)[:-1]]
        held[taken] = True
    return held[unit]


def stratified_folds(y: Array, folds: int, seed: int, *, groups: Array | None = None, regression: bool = False) -> Array:
    """Fold of each row, (rows,) int64; classes (regression: tenths of the target) and groups are dealt out evenly.

    Raises
    ------
    UserError
        Fewer rows than folds, or a class with fewer rows (or groups) than folds.
    """
    unit, stratum = _units(y, groups, regression)
    if len(stratum) < folds:
        raise UserError(
            f"{len(stratum)} distinct training rows are fewer than the {folds} folds. Set dataset.folds lower or dataset.selection=carve."
        )
    counts = np.bincount(stratum)
    if not regression and (small := counts[counts > 0].min()) < folds:
        raise UserError(
            f"class {int(np.flatnonzero(counts == small)[0])} has {small} distinct training rows, fewer than the {folds} folds. "
            "Set dataset.folds lower or dataset.selection=carve."
        )
    generator = np.random.default_rng([seed, 1])
    fold = np.empty(len(stratum), dtype=np.int64)
    dealt = 0
    for name in np.unique(stratum):
        members = generator.permutation(np.flatnonzero(stratum == name))
        fold[members] = (dealt + np.arange(len(members))) % folds
        dealt += len(members)
    return fold[unit]


def resample(y: Array, seed: int, draw: int, *, regression: bool = False) -> Array:
    """How often each row occurs in a stratified bootstrap resample, (rows,) float64; every class keeps its number of rows."""
    generator = np.random.default_rng([seed, 2, draw])
    stratum = np.zeros(len(y), dtype=np.int64) if regression else y
    times = np.zeros(len(y))
    for name in np.unique(stratum):
        members = np.flatnonzero(stratum == name)
        times[members] = np.bincount(generator.integers(len(members), size=len(members)), minlength=len(members))
    return times


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


class _Bench:
    """The training rows, prepared once, and fits on any weighted subset of them."""

    def __init__(self, estimator: Any, config: ProbeConfig, train: Rows, classes: int) -> None:
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
        self.mean, self.scale = np.zeros(width), np.ones(width)
        if not self.own or sp.issparse(source):
            self.x = source
        else:  # once for all subsets: float32 then loses nothing, and a subset's own statistics are a small correction
            self.mean, self.scale = _statistics(source)
            self.scale = self.scale if self.standardise else np.ones(width)
            self.x = _scaled(source, self.mean, self.scale)
        self.basis = Basis.of(self.x) if self.own and estimator.task == "classification" else None

    def ordered(self) -> list[float]:
        """Grid values from the strongest penalty to the weakest."""
        return sorted(self.values, reverse=self.stronger_is_larger)

    def fit(self, wanted: Sequence[tuple[float, Array | None]], starts: Sequence[Solution | None] | None = None) -> list[Fit]:
        """A fit for every (grid value, row multiplicities); None is all rows once."""
        if not self.own:
            return [self._foreign(value, weights) for value, weights in wanted]
        distinct: dict[int, Array | None] = {id(weights): weights for _, weights in wanted}
        mean, scale = moments(self.x, list(distinct.values()))
        row = {key: index for index, key in enumerate(distinct)}
        ones = np.ones(mean.shape[1])
        tasks = [
            Task(value, weights, mean[row[id(weights)]], scale[row[id(weights)]] if self.standardise else ones, start)
            for (value, weights), start in zip(wanted, starts or [None] * len(wanted), strict=True)
        ]
        return [self._own_fit(solution) for solution in self.estimator.solve(self.x, self.y, self.classes, tasks, self.basis)]

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
        from sklearn.base import clone

        rows = np.arange(len(self.y)) if weights is None else np.repeat(np.arange(len(self.y)), weights.astype(np.int64))
        x, y = self.x[rows], self.y[rows]
        mean, scale = _statistics(x) if self.standardise else (None, None)
        mean = None if sp.issparse(x) else mean
        whole = isinstance(self.estimator.get_params()[self.parameter], int) and value.is_integer()
        model = clone(self.estimator).set_params(**{self.parameter: int(value) if whole else value})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(_scaled(x, mean, scale), y)
        complained = any(entry.category.__name__ == "ConvergenceWarning" for entry in caught)
        used, most = getattr(model, "n_iter_", None), getattr(model, "max_iter", None)
        converged = None if used is None or most is None or most < 0 else bool(np.max(used) < most) and not complained
        weight, bias = getattr(model, "coef_", None), getattr(model, "intercept_", None)
        if weight is not None and bias is not None and not sp.issparse(weight):
            weight = np.atleast_2d(np.asarray(weight, dtype=np.float64))
            bias = np.broadcast_to(np.atleast_1d(np.asarray(bias, dtype=np.float64)), (len(weight),))
        if weight is None or bias is None or sp.issparse(weight) or len(weight) != (1 if self.classes in (0, 2) else self.classes):
            weight = bias = None
        return Fit(value, weight, bias, mean, scale, None, False if complained else converged, None, model)

    def fitted(self, fit: Fit, trained_on: str) -> Fitted:
        return Fitted(
            self.classes, fit.mean, fit.scale, fit.weight, fit.bias, self.l2, trained_on, None if fit.weight is not None else fit.model
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
            return losses(_probabilities(fit.model, _scaled(self.x[rows], fit.mean, fit.scale), self.classes), self.y[rows], self.classes)
        return losses(self.scores(fit, rows), self.y[rows], self.classes)

    def pick(self, means: Sequence[float]) -> int:
        """Index of the least loss; within a tie, of the strongest penalty. `means` run from strong to weak."""
        least = min(means)
        return next(index for index, loss in enumerate(means) if loss <= least + TIE)

    def separates(self, fit: Fit, weights: Array | None) -> bool:
        """Has this fit every row it was fitted on right, with a positive margin?"""
        rows = np.arange(len(self.y)) if weights is None else np.flatnonzero(weights)
        return separates(self.scores(fit, rows), self.y[rows])


def _statistics(x: Matrix) -> tuple[Array, Array]:
    """Mean and standard deviation of each column, float64, two passes; constant columns (and rounding's idea of them) get 1."""
    if sp.issparse(x):
        mean, spread = moments(x, [None])
        return mean[0], spread[0]
    rows, width = x.shape
    mean, variance = np.zeros(width), np.zeros(width)
    for part in blocks(x):
        mean += x[part].sum(axis=0, dtype=np.float64) / rows
    for part in blocks(x):
        variance += ((x[part].astype(np.float64) - mean) ** 2).sum(axis=0) / rows
    resolution = (np.finfo(x.dtype).eps * np.abs(mean)) ** 2
    return mean, np.where(variance <= resolution, 1.0, np.sqrt(variance))


def _probabilities(model: Any, x: Matrix, classes: int) -> Array:
    """Log-probabilities (rows, classes) of a foreign classifier, or its decision values read as such."""
    if classes == 0:
        return np.asarray(model.predict(x), dtype=np.float64).reshape(len(x) if not sp.issparse(x) else x.shape[0], 1)
    if hasattr(model, "predict_proba"):
        return np.log(np.maximum(np.asarray(model.predict_proba(x), dtype=np.float64), 1e-15))
    if hasattr(model, "decision_function"):
        scores = np.asarray(model.decision_function(x), dtype=np.float64)
        return scores[:, None] if scores.ndim == 1 else scores
    raise UserError(
        f"{type(model).__name__} has neither predict_proba nor decision_function, so its grid cannot be chosen by log-loss. "
        "Use another estimator."
    )


def _foreign_predict(model: Any, x: Matrix, classes: int) -> tuple[Array, Array]:
    scores = _probabilities(model, x, classes)
    predictions = np.asarray(model.predict(x))
    return predictions.astype(np.int64 if classes else np.float64), _squeezed(scores).astype(np.float32)


def _contradicted(x: Matrix, y: Array) -> bool:
    """Do equal rows carry different labels? Then no probe separates them. Candidates come from a random projection, equality is checked."""
    generator = np.random.default_rng(0)
    key = np.asarray(x @ generator.standard_normal(x.shape[1]).astype(x.dtype)).ravel()
    order = np.argsort(key, kind="stable")
    near = np.flatnonzero((np.abs(np.diff(key[order])) <= 1e-5 * (1 + np.abs(key[order][1:]))) & (np.diff(y[order]) != 0))
    for index in near[:10000]:
        first, second = x[[order[index]]], x[[order[index + 1]]]
        if (first != second).nnz == 0 if sp.issparse(x) else np.array_equal(first, second):
            return True
    return False


def run(
    estimator: Any,
    config: ProbeConfig,
    train: Rows,
    tests: dict[str, Rows],
    *,
    classes: int,
    selection: str = "carve",
    development: Rows | None = None,
    folds: int = 10,
    seed: int = 0,
    draws: int = 1,
    groups: Array | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Fit the probe and predict.

    Parameters
    ----------
    estimator : `src.solvers.LogisticRegression` or `Ridge`, or any scikit-learn estimator that has the grid's parameter
    train, tests, development : rows with labels 0 to classes - 1, or targets
    classes : 0 for regression
    selection : where the grid is chosen: "carve" (`config.carve` of train), "development" (that split), "folds" (cross-validation on
        train), "nested" (cross-validation of train within cross-validation of train: predictions are of the training rows, role "test",
        `tests` is empty)
    draws : 1 fits on train as it stands; k repeats the fit on k stratified resamples of train, at the strength chosen once
    groups : (rows of train,), rows with equal entries fall on one side of every split

    Raises
    ------
    UserError
        One class alone, fewer rows than folds, an unusable grid.
    """
    if classes and len(np.unique(train.y)) < 2:
        raise UserError(f"the training split holds {len(np.unique(train.y))} class; a classifier needs two.")
    if classes and len(missing := np.setdiff1d(np.arange(classes), train.y)):
        raise UserError(f"class {int(missing[0])} has no training row. Remove it from dataset.classes, or add rows.")
    tell = progress or (lambda what, done, total: None)
    with threads():
        bench = _Bench(estimator, config, train, classes)
        if selection == "nested":
            return _nested(bench, train, folds, seed, draws, groups, tell)
        return _split(bench, train, tests, selection, development, folds, seed, draws, groups, tell)


def _split(
    bench: _Bench,
    train: Rows,
    tests: dict[str, Rows],
    selection: str,
    development: Rows | None,
    folds: int,
    seed: int,
    draws: int,
    groups: Array | None,
    tell: Progress,
) -> Outcome:
    config, classes = bench.config, bench.classes
    values = bench.ordered()
    regression = classes == 0
    seen: Array | None
    if selection == "folds":
        fold = stratified_folds(train.y, folds, seed, groups=groups, regression=regression)
        fits, means, weights = _cross_validate(bench, values, fold, None, tell, 0, 1)
        seen = weights[0]
        counts = {"fitted": len(fold) - len(fold) // folds, "held_out": len(fold), "refitted": len(train.y)}
        by_value = [[fits[index * len(values) + column] for index in range(folds)] for column in range(len(values))]
    elif selection == "development":
        if development is None:
            raise UserError(
                "selection=development needs a labelled development split. Set dataset.splits.development or dataset.selection=carve."
            )
        fits = bench.fit([(value, None) for value in values])
        means = [float(losses_of(bench, fit, development).mean()) for fit in fits]
        counts = {"fitted": len(train.y), "held_out": len(development.y), "refitted": len(train.y)}
        by_value, seen = [[fit] for fit in fits], None
    elif selection == "carve":
        held = carve(train.y, config.carve, seed, groups=groups, regression=regression)
        if not held.any():
            raise UserError(
                f"{len(train.y)} training rows are too few to hold {config.carve:.0%} of each class out. "
                "Give more rows, or dataset.selection=development."
            )
        kept = (~held).astype(np.float64)
        fits = bench.fit([(value, kept) for value in values])
        rows = np.flatnonzero(held)
        means = [float(bench.loss(fit, rows).mean()) for fit in fits]
        counts = {"fitted": int((~held).sum()), "held_out": len(rows), "refitted": len(train.y)}
        by_value, seen = [[fit] for fit in fits], kept
    else:
        raise UserError(f"unknown selection '{selection}'. Known: carve, development, folds, nested.")
    tell("grid", len(fits), len(fits))
    best = bench.pick(means)
    last = by_value[best][0]
    final = last if selection == "development" else bench.fit([(values[best], None)], [last.solution])[0]
    tell("refit", 1, 1)
    separable = _separable(bench, final, by_value[-1][0], seen)
    fitted = bench.fitted(final, "train")
    outputs = {role: fitted.predict(rows.x) for role, rows in tests.items()}
    repeated, drawn = [outputs], []
    if draws > 1:
        again = [resample(train.y, seed, draw, regression=regression) for draw in range(draws)]
        drawn = bench.fit([(values[best], times) for times in again], [final.solution] * draws)
        models = [bench.fitted(fit, f"draw {draw}") for draw, fit in enumerate(drawn)]
        repeated = [{role: model.predict(rows.x) for role, rows in tests.items()} for model in models]
        tell("draws", draws, draws)
    choice = _choice(bench, values, means, by_value, best, [final, *drawn], separable, counts)
    fold_of = np.full(len(tests["test"].y) if "test" in tests else 0, -1, dtype=np.int64)
    predictions, decisions = ([{role: pair[part] for role, pair in each.items()} for each in (outputs, *repeated)] for part in (0, 1))
    return Outcome(predictions[0], decisions[0], fold_of, choice, fitted, predictions[1:], decisions[1:])


def losses_of(bench: _Bench, fit: Fit, rows: Rows) -> Array:
    """Loss of each row of another split."""
    x = normalise(rows.x) if bench.l2 else rows.x
    if fit.weight is None or fit.bias is None or (fit.solution is None and bench.classes):
        return losses(_probabilities(fit.model, _scaled(x, fit.mean, fit.scale), bench.classes), rows.y, bench.classes)
    return losses(linear(x, *_folded(fit)), rows.y, bench.classes)


def _cross_validate(
    bench: _Bench, values: Sequence[float], fold: Array, within: Array | None, tell: Progress, done: int, total: int
) -> tuple[list[Fit], list[float], list[Array]]:
    """Fit every value without each fold of `within` (row indices; None: all rows) and average the loss over the rows left out."""
    rows = np.arange(len(bench.y)) if within is None else within
    weights = []
    for number in range(int(fold.max()) + 1):
        kept = np.zeros(len(bench.y))
        kept[rows[fold != number]] = 1
        weights.append(kept)
    fits = bench.fit([(value, kept) for kept in weights for value in values])
    sums = np.zeros(len(values))
    for index, fit in enumerate(fits):
        sums[index % len(values)] += bench.loss(fit, rows[fold == index // len(values)]).sum()
    tell("grid", done + 1, total)
    return fits, [float(value) for value in sums / len(rows)], weights


def _nested(bench: _Bench, train: Rows, folds: int, seed: int, draws: int, groups: Array | None, tell: Progress) -> Outcome:
    if draws > 1:
        raise UserError("draws above 1 needs a test split of its own, but selection=nested predicts the training rows. Set draws=1.")
    values, y = bench.ordered(), train.y
    regression = bench.classes == 0
    outer = stratified_folds(y, folds, seed, groups=groups, regression=regression)
    means, picked, fits_of = [], [], []
    for number in range(folds):
        rows = np.flatnonzero(outer != number)
        inner = stratified_folds(y[rows], folds, seed, groups=None if groups is None else groups[rows], regression=regression)
        fits, loss, _ = _cross_validate(bench, values, inner, rows, tell, number, folds)
        means.append(loss)
        fits_of.append(fits)
        picked.append(bench.pick(loss))
    kept = [(outer != number).astype(np.float64) for number in range(folds)]
    refits = bench.fit(
        [(values[pick], weights) for pick, weights in zip(picked, kept, strict=True)],
        [fits[pick].solution for pick, fits in zip(picked, fits_of, strict=True)],
    )
    scores: Array | None = None
    predictions = np.empty(len(y), dtype=np.float64 if regression else np.int64)
    for number, fit in enumerate(refits):
        rows = np.flatnonzero(outer == number)
        here, decision = bench.fitted(fit, "fold").predict(train.x[rows])
        scores = np.empty((len(y), *decision.shape[1:]), dtype=np.float32) if scores is None else scores
        predictions[rows], scores[rows] = here, decision
    votes = np.bincount(picked, minlength=len(values))
    best = int(votes.argmax())  # the first of equals is the stronger penalty
    final = bench.fit([(values[best], None)], [refits[0].solution])[0]
    tell("refit", 1, 1)
    by_value = [[fit for fits in fits_of for fit in fits[column :: len(values)]] for column in range(len(values))]
    counts = {
        "fitted": int(np.mean([(outer != number).sum() for number in range(folds)]) * (folds - 1) / folds),
        "held_out": len(y),
        "refitted": len(y),
    }
    separable = _separable(bench, final, fits_of[0][len(values) - 1], None)
    choice = _choice(
        bench,
        values,
        [float(value) for value in np.mean(means, axis=0)],
        by_value,
        best,
        [*refits, final],
        separable,
        counts,
        [values[pick] for pick in picked],
    )
    fitted = bench.fitted(final, "all rows, at the value chosen most often; the predictions are those of the outer folds")
    assert scores is not None
    outputs, decisions = {"test": predictions}, {"test": scores}
    return Outcome(outputs, decisions, outer, choice, fitted, [outputs], [decisions])


def _separable(bench: _Bench, final: Fit, weakest: Fit, weights: Array | None) -> bool | None:
    """True with a separating probe in hand, False with equal rows of different classes, else None.

    Where the weakest penalty separated the rows of its own fit, it is tried on all of them.
    """
    if bench.classes == 0:
        return None
    if bench.separates(final, None) or (weights is None and bench.separates(weakest, None)):
        return True
    if _contradicted(bench.x, bench.y):
        return False
    if weights is not None and bench.own and bench.separates(weakest, weights):
        return bench.separates(bench.fit([(weakest.value, None)], [weakest.solution])[0], None) or None
    return None


def _choice(
    bench: _Bench,
    values: Sequence[float],
    means: Sequence[float],
    by_value: Sequence[Sequence[Fit]],
    best: int,
    refits: Sequence[Fit],
    separable: bool | None,
    counts: dict[str, int],
    votes: list[float] | None = None,
) -> Choice:
    grid = []
    for value, loss, fits in zip(values, means, by_value, strict=True):
        gaps = [fit.gap for fit in fits if fit.gap is not None]
        grid.append({"value": value, "loss": loss, "converged": _all(fit.converged for fit in fits), "gap": max(gaps) if gaps else None})
    converged = _all([grid[best]["converged"], *(fit.converged for fit in refits)])
    edge = None if len(values) < 2 else "strongest" if best == 0 else "weakest" if best == len(values) - 1 else None
    return Choice(bench.parameter, values[best], grid, converged, separable, edge, counts, votes)


def _all(flags: Any) -> bool | None:
    found = list(flags)
    return False if False in found else None if None in found else True
