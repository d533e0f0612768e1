"""How a probe is fitted: choose from the grid on held-out training rows, refit, predict. Test rows are scored once.

`run` follows the rules that the config names, those of src/protocols; this suite's own are `own`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from src.config.schema import ProbeConfig
from src.data.splits import RowSplitter, resample
from src.errors import UserError
from src.probes.fitting import Bench, Fit, FittedProbe, Progress, Rows
from src.probes.solvers.linear import Array, Matrix, parallel_map

TIE = 1e-9  # losses nearer than this are equal: the stronger penalty wins


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
class Outcome:
    """Predictions and decision values by role, of the probe fitted on train as it stands, which is also `fitted`.

    `draws` and `draw_decisions` hold the same of each probe that is scored: with several draws, those fitted on the resamples, else the
    one above. `fold` (test rows,): the outer fold in which a row was predicted, -1 without folds. A protocol that fits no probe on all of
    train has its draws, (draws, rows), in `predictions` too. `curve`: predictions by role of probes on growing parts of train, each with
    its number of rows. `details`: what a protocol adds to the record.
    """

    predictions: dict[str, Array]
    decisions: dict[str, Array]
    fold: Array
    choice: Choice
    fitted: FittedProbe
    draws: list[dict[str, Array]]
    draw_decisions: list[dict[str, Array]]
    curve: list[tuple[int, dict[str, Array]]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Setup:
    """What a protocol is told beside the rows; see `run`."""

    classes: int
    selection: str = "carve"
    development: Rows | None = None
    folds: int = 10
    seed: int = 0
    draws: int = 1
    groups: Array | None = None
    mixed: bool = False
    order: Array | None = None
    progress: Progress | None = None

    def division(self, config: ProbeConfig, y: Array) -> RowSplitter:
        """This suite's rule for dividing the training rows."""
        return RowSplitter(
            y,
            self.seed,
            fraction=config.carve,
            folds=self.folds,
            groups=self.groups,
            groups_span_classes=self.mixed,
            regression=self.classes == 0,
        )


class Criterion:
    """What the grid is chosen by: the loss of each held-out row, and their mean. Here log-loss, or squared error, over all rows alike."""

    def losses(self, bench: Bench, fit: Fit, rows: Array | Rows) -> Array:
        """Of these training rows, or of the rows of another split."""
        return bench.loss_on(fit, rows) if isinstance(rows, Rows) else bench.loss(fit, rows)

    def mean(self, folds: Sequence[Array]) -> float:
        """Of the losses (rows,) of each fold."""
        return float(sum(losses.sum() for losses in folds) / sum(len(losses) for losses in folds))


def _contradicted(x: Matrix, y: Array) -> bool:
    """Do equal rows carry different labels? Then no probe separates them. Candidates come from a random projection, equality is checked."""
    generator = np.random.default_rng(0)
    key = np.asarray(x @ generator.standard_normal(x.shape[1]).astype(x.dtype)).ravel()
    order = np.argsort(key, kind="stable")
    near = np.flatnonzero(
        (np.abs(np.diff(key[order])) <= 1e-5 * (1 + np.abs(key[order][1:]))) & (np.diff(y[order]) != 0)
    )
    for index in near[:10000]:
        first, second = x[[order[index]]], x[[order[index + 1]]]
        if (first != second).nnz == 0 if sp.issparse(x) else np.array_equal(first, second):
            return True
    return False


@dataclass(frozen=True)
class Search:
    """The grid as fitted, from the strongest penalty to the weakest: each value's fits and its mean loss.

    `rows` counts those fitted on and held out; `seen` (rows of train,) weighs those that the first fit of a value saw, None: all.
    """

    fits: list[list[Fit]]
    means: list[float]
    rows: dict[str, int]
    seen: Array | None = None


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
    mixed: bool = False,
    order: Array | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Fit the probe and predict, by the rules of `config.protocol`.

    Parameters
    ----------
    estimator : `src.probes.solvers.estimators.LogisticRegression` or `Ridge`, or any scikit-learn estimator that has the grid's parameter
    train, tests, development : rows with labels 0 to classes - 1, or targets
    classes : 0 for regression
    selection : where the grid is chosen: "carve" (`config.carve` of train), "development" (that split), "folds" (cross-validation on
        train), "nested" (cross-validation of train within cross-validation of train: predictions are of the training rows, role "test",
        `tests` is empty)
    draws : 1 fits on train as it stands; k repeats the fit on k stratified resamples of train, at the strength chosen once
    groups : (rows of train,), rows with equal entries fall on one side of every split
    mixed : whether groups hold rows of several classes by their nature, as in `src.data.splits.RowSplitter`
    order : (rows of train,), the training rows in the order in which a protocol divides them; None: as they come
    progress : called as the fits get done

    Raises
    ------
    UserError
        One class alone, fewer rows than folds, an unusable grid.
    """
    if classes and len(np.unique(train.y)) < 2:
        raise UserError(f"the training split holds {len(np.unique(train.y))} class; a classifier needs two.")
    if classes and len(missing := np.setdiff1d(np.arange(classes), train.y)):
        raise UserError(f"class {int(missing[0])} has no training row. Remove it from dataset.classes, or add rows.")
    from src.probes.protocols import rules  # the protocols are built on this module

    if config.shuffled_labels:
        train, development = _shuffled(train, development, seed)
    setup = Setup(classes, selection, development, folds, seed, draws, groups, mixed, order, progress)
    with parallel_map():
        return rules(config).fit(estimator, config, train, tests, setup)


def _shuffled(train: Rows, development: Rows | None, seed: int) -> tuple[Rows, Rows | None]:
    """The same rows with their labels permuted, each split by itself."""
    generator = np.random.default_rng([seed, 4])
    first = replace(train, y=generator.permutation(train.y))
    return first, None if development is None else replace(development, y=generator.permutation(development.y))


def own(
    estimator: Any,
    config: ProbeConfig,
    train: Rows,
    tests: dict[str, Rows],
    setup: Setup,
    *,
    division: RowSplitter | None = None,
    criterion: Criterion | None = None,
) -> Outcome:
    """This suite's own rules, or such as differ from them in how rows are divided and in what the grid is chosen by."""
    division = division or setup.division(config, train.y)
    criterion = criterion or Criterion()
    bench = Bench(estimator, config, train, setup.classes, setup.progress)
    if setup.selection == "nested":
        outcome = _nested(bench, train, division, criterion, setup.draws)
    else:
        outcome = _split(bench, train, tests, _search(bench, division, criterion, setup), setup)
    return replace(outcome, details={"constant_dimensions": bench.constant}) if bench.constant else outcome


def _search(bench: Bench, division: RowSplitter, criterion: Criterion, setup: Setup) -> Search:
    values, rows = bench.ordered(), len(bench.y)
    folds = division.folds if setup.selection == "folds" else 1
    bench.total = len(values) * folds + 1 + (setup.draws if setup.draws > 1 else 0)
    if setup.selection == "folds":
        return _cross_validate(bench, values, division.fold_ids(), np.arange(rows), criterion)
    if setup.selection == "development":
        if setup.development is None:
            raise UserError(
                "selection=development needs a labelled development split. Set dataset.splits.development or dataset.selection=carve."
            )
        fits = bench.fit([(value, None) for value in values])
        means = [criterion.mean([criterion.losses(bench, fit, setup.development)]) for fit in fits]
        return Search([[fit] for fit in fits], means, {"fitted": rows, "held_out": len(setup.development.y)})
    if setup.selection == "carve":
        held = division.holdout_mask()
        kept, out = (~held).astype(np.float64), np.flatnonzero(held)
        fits = bench.fit([(value, kept) for value in values])
        means = [criterion.mean([criterion.losses(bench, fit, out)]) for fit in fits]
        return Search([[fit] for fit in fits], means, {"fitted": rows - len(out), "held_out": len(out)}, kept)
    raise UserError(f"unknown selection '{setup.selection}'. Known: carve, development, folds, nested.")


def _cross_validate(bench: Bench, values: Sequence[float], fold: Array, rows: Array, criterion: Criterion) -> Search:
    """Fit every value without each fold of `rows` and average the loss over the rows left out."""
    folds = int(fold.max()) + 1
    weights = []
    for number in range(folds):
        kept = np.zeros(len(bench.y))
        kept[rows[fold != number]] = 1
        weights.append(kept)
    fits = bench.fit([(value, kept) for kept in weights for value in values])
    by_value = [fits[column :: len(values)] for column in range(len(values))]
    means = [
        criterion.mean([criterion.losses(bench, fit, rows[fold == number]) for number, fit in enumerate(mine)])
        for mine in by_value
    ]
    return Search(by_value, means, {"fitted": len(rows) - len(rows) // folds, "held_out": len(rows)}, weights[0])


def _split(bench: Bench, train: Rows, tests: dict[str, Rows], search: Search, setup: Setup) -> Outcome:
    values, draws = bench.ordered(), setup.draws
    best = pick(search.means)
    last = search.fits[best][0]
    final = (
        last
        if setup.selection == "development"
        else bench.fit([(values[best], None)], [last.solution], what="refit")[0]
    )
    found = separable(bench, final, search.fits[-1][0], search.seen)
    fitted = bench.fitted(final, "train")
    outputs = {role: fitted.predict(rows.x) for role, rows in tests.items()}
    repeated, drawn = [outputs], []
    if draws > 1:
        again = [resample(train.y, setup.seed, draw, regression=bench.classes == 0) for draw in range(draws)]
        drawn = bench.fit([(values[best], times) for times in again], [final.solution] * draws, what="draws")
        models = [bench.fitted(fit, f"draw {draw}") for draw, fit in enumerate(drawn)]
        repeated = [{role: model.predict(rows.x) for role, rows in tests.items()} for model in models]
    choice = choice_of(bench, search, best, [final, *drawn], found)
    fold_of = np.full(len(tests["test"].y) if "test" in tests else 0, -1, dtype=np.int64)
    predictions, decisions = (
        [{role: pair[part] for role, pair in each.items()} for each in (outputs, *repeated)] for part in (0, 1)
    )
    return Outcome(predictions[0], decisions[0], fold_of, choice, fitted, predictions[1:], decisions[1:])


def _nested(bench: Bench, train: Rows, division: RowSplitter, criterion: Criterion, draws: int) -> Outcome:
    if draws > 1:
        raise UserError(
            "draws above 1 needs a test split of its own, but selection=nested predicts the training rows. Set draws=1."
        )
    values, y, folds = bench.ordered(), train.y, division.folds
    bench.total = folds * folds * len(values) + folds + 1
    outer = division.fold_ids()
    searches = []
    for number in range(folds):
        rows = np.flatnonzero(outer != number)
        searches.append(_cross_validate(bench, values, division.subset(rows).fold_ids(), rows, criterion))
    picked = [pick(search.means) for search in searches]
    refits = bench.fit(
        [(values[best], (outer != number).astype(np.float64)) for number, best in enumerate(picked)],
        [search.fits[best][0].solution for best, search in zip(picked, searches, strict=True)],
        what="refit",
    )
    scores: Array | None = None
    predictions = np.empty(len(y), dtype=np.int64 if bench.classes else np.float64)
    for number, fit in enumerate(refits):
        rows = np.flatnonzero(outer == number)
        here, decision = bench.fitted(fit, "fold").predict(train.x[rows])
        scores = np.empty((len(y), *decision.shape[1:]), dtype=np.float32) if scores is None else scores
        predictions[rows], scores[rows] = here, decision
    assert scores is not None
    best = int(np.bincount(picked, minlength=len(values)).argmax())  # the first of equals is the stronger penalty
    final = bench.fit([(values[best], None)], [refits[0].solution], what="refit")[0]
    found = separable(bench, final, searches[0].fits[-1][0], None)
    whole = Search(
        [[fit for search in searches for fit in search.fits[column]] for column in range(len(values))],
        [float(value) for value in np.mean([search.means for search in searches], axis=0)],
        {
            "fitted": int(np.mean([(outer != number).sum() for number in range(folds)]) * (folds - 1) / folds),
            "held_out": len(y),
        },
    )
    choice = choice_of(bench, whole, best, [*refits, final], found, [values[each] for each in picked])
    fitted = bench.fitted(
        final, "all rows, at the value chosen most often; the predictions are those of the outer folds"
    )
    outputs, decisions = {"test": predictions}, {"test": scores}
    return Outcome(outputs, decisions, outer, choice, fitted, [outputs], [decisions])


def pick(means: Sequence[float]) -> int:
    """Index of the least loss; within a tie, of the strongest penalty. `means` run from strong to weak; what is not finite is no loss.

    Raises
    ------
    UserError
        No value has a finite loss.
    """
    finite = [loss for loss in means if np.isfinite(loss)]
    if not finite:
        raise UserError(
            "the loss on the held-out rows is no finite number, whatever the grid's value. Try stronger penalties in probe.grid."
        )
    return next(index for index, loss in enumerate(means) if loss <= min(finite) + TIE)


def separable(bench: Bench, final: Fit, weakest: Fit, weights: Array | None) -> bool | None:
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
        return (
            bench.separates(bench.fit([(weakest.value, None)], [weakest.solution], what="separable?")[0], None) or None
        )
    return None


def choice_of(
    bench: Bench,
    search: Search,
    best: int,
    refits: Sequence[Fit],
    separable: bool | None,
    votes: list[float] | None = None,
) -> Choice:
    grid, values = [], bench.ordered()
    for value, loss, fits in zip(values, search.means, search.fits, strict=True):
        gaps = [fit.gap for fit in fits if fit.gap is not None]
        grid.append(
            {
                "value": value,
                "loss": loss if np.isfinite(loss) else None,
                "converged": _all(fit.converged for fit in fits),
                "gap": max(gaps) if gaps else None,
            }
        )
    converged = _all([grid[best]["converged"], *(fit.converged for fit in refits)])
    counts = {**search.rows, "refitted": len(bench.y)}
    return Choice(bench.parameter, values[best], grid, converged, separable, _edge(search.means, best), counts, votes)


def _edge(means: Sequence[float], best: int) -> str | None:
    """The end of the grid that the choice lies at; None where all values are as good, as on features that say nothing."""
    if not max(means) > min(means) + TIE:
        return None
    return "strongest" if best == 0 else "weakest" if best == len(means) - 1 else None


def _all(flags: Any) -> bool | None:
    found = list(flags)
    return False if False in found else None if None in found else True
