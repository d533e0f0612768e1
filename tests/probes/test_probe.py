"""Laws of the probe: what is fitted on what, what is chosen how, and that nothing of the test rows leaks."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from src.data.splits import RowSplitter
from src.errors import UserError
from src.probes import fitter as fitter_module
from src.probes import progress as progress_module
from src.probes.decisions import predict_from_scores
from src.probes.fitter import FitRequest, ProbeFitter
from src.probes.grid import pick
from src.probes.outcome import ProbeOutcome
from src.probes.protocols.base import Protocol
from src.probes.settings import ProbeData, ProbeSettings, Rows
from src.probes.solvers.estimators import LogisticRegression, Ridge

GRID = [30.0, 3.0, 0.3, 0.03, 0.003]


def make(rows: int = 300, width: int = 8, classes: int = 2, seed: int = 0, noise: float = 1.0) -> Rows:
    generator = np.random.default_rng(seed)
    x = (generator.standard_normal((rows, width)) * np.linspace(0.2, 3, width) + 5).astype(np.float32)
    turn = np.random.default_rng(99).standard_normal((width, max(classes, 1)))
    scores = (x - 5) @ turn + noise * generator.gumbel(size=(rows, max(classes, 1)))
    return Rows(x, scores.argmax(axis=1).astype(np.int64) if classes else scores[:, 0].astype(np.float64))


def settings(features: str = "standardise", **grid: list[float]) -> ProbeSettings:
    return ProbeSettings(grid or {"alpha": GRID}, "here", features)


def run(
    estimator: Any, chosen: ProbeSettings, train: Rows, tests: dict[str, Rows], classes: int = 2, **options: Any
) -> ProbeOutcome:
    """Fit by the suite's protocol; options are fields of the settings or of the data, or the progress."""
    progress = options.pop("progress", None)
    fields = {each.name for each in dataclasses.fields(ProbeSettings)}
    chosen = dataclasses.replace(chosen, **{name: options.pop(name) for name in set(options) & fields})
    return Protocol().fit(estimator, chosen, ProbeData(train, tests, classes, **options), progress)


def fit(train: Rows, tests: dict[str, Rows], classes: int = 2, features: str = "standardise", **options: Any):
    estimator = LogisticRegression(tolerance=1e-11) if classes else Ridge()
    return run(estimator, settings(features), train, tests, classes, **options)


@pytest.mark.parametrize("classes", [2, 3])
def test_separable_rows_score_one_and_are_called_separable(classes):
    train, test = make(classes=classes, noise=0.0), make(classes=classes, seed=1, noise=0.0)
    margin = 0.3
    far = [
        np.sort((rows.x - 5) @ np.random.default_rng(99).standard_normal((8, classes)), axis=1)
        for rows in (train, test)
    ]
    train, test = (
        Rows(rows.x[score[:, -1] - score[:, -2] > margin], rows.y[score[:, -1] - score[:, -2] > margin])
        for rows, score in zip((train, test), far, strict=True)
    )
    outcome = run(LogisticRegression(), settings(alpha=[1e-2, 1e-4, 1e-6]), train, {"test": test}, classes=classes)
    assert (outcome.predictions["test"].values == test.y).mean() > 0.99
    assert outcome.choice.separable is True


def test_shuffled_labels_score_chance():
    train, test = make(rows=600), make(rows=2000, seed=1)
    shuffled = Rows(train.x, np.random.default_rng(0).permutation(train.y))
    outcome = fit(shuffled, {"test": test})
    assert abs((outcome.predictions["test"].values == test.y).mean() - 0.5) < 0.12
    assert (fit(train, {"test": test}).predictions["test"].values == test.y).mean() > 0.8


@pytest.mark.parametrize(
    "classes, selection", [(2, "carve"), (3, "folds"), (2, "nested"), (0, "carve"), (0, "nested"), (0, "folds")]
)
def test_two_runs_with_one_seed_agree(classes, selection):
    train = make(rows=150, classes=classes)
    tests = {} if selection == "nested" else {"test": make(rows=40, classes=classes, seed=1)}
    one, two = (fit(train, tests, classes, selection=selection, folds=4) for _ in range(2))
    assert (
        np.array_equal(one.predictions["test"].decisions, two.predictions["test"].decisions)
        and one.choice == two.choice
    )
    assert one.choice.converged is True


@pytest.mark.parametrize("features", ["standardise", "none", "l2"])
@pytest.mark.parametrize("classes", [2, 3, 0])
def test_the_whole_protocol_equals_one_by_hand(features, classes):
    from sklearn.linear_model import LogisticRegression as Peer
    from sklearn.linear_model import Ridge as PeerRidge

    train, test = make(classes=classes), make(classes=classes, seed=1)
    outcome = fit(train, {"test": test}, classes, features)
    held = RowSplitter(train.y, 0, fraction=0.2, regression=classes == 0).holdout_mask()

    def prepare(rows, x):
        rows, x = rows.astype(np.float64), x.astype(np.float64)
        if features == "l2":
            return tuple(part / np.linalg.norm(part, axis=1, keepdims=True) for part in (rows, x))
        return (
            ((rows - rows.mean(axis=0)) / rows.std(axis=0), (x - rows.mean(axis=0)) / rows.std(axis=0))
            if features == "standardise"
            else (rows, x)
        )

    def peer(alpha, rows):
        if not classes:
            return PeerRidge(alpha=alpha * rows)
        return Peer(C=1 / (alpha * rows), tol=1e-12, max_iter=50000, solver="newton-cholesky")

    losses = []
    for alpha in GRID:
        rows, left = prepare(train.x[~held], train.x[held])
        model = peer(alpha, len(rows)).fit(rows, train.y[~held])
        if classes:
            losses.append(-np.log(model.predict_proba(left)[np.arange(held.sum()), train.y[held]]).mean())
        else:
            losses.append(((model.predict(left) - train.y[held]) ** 2).mean())
    assert np.allclose([entry["loss"] for entry in outcome.choice.grid], losses, atol=2e-5, rtol=1e-5)
    assert outcome.choice.value == GRID[int(np.argmin(losses))]
    rows, left = prepare(train.x, test.x)
    model = peer(outcome.choice.value, len(rows)).fit(rows, train.y)
    decisions = model.decision_function(left) if classes else model.predict(left)
    assert np.abs(outcome.predictions["test"].decisions - decisions).max() < 2e-3 * max(1, np.abs(decisions).max())
    close = np.abs(outcome.predictions["test"].values - model.predict(left)) < (1e-3 if not classes else 0.5)
    assert close.mean() > 0.99


def test_standardisation_comes_from_the_fitted_rows():
    train, test = make(), make(seed=1)
    shifted = Rows(test.x * 100 - 7, test.y)
    one, two = (fit(train, {"test": rows}) for rows in (test, shifted))
    assert np.allclose(one.fitted.mean, train.x.mean(axis=0, dtype=np.float64)) and np.array_equal(
        one.fitted.mean, two.fitted.mean
    )
    assert np.allclose(one.fitted.scale, train.x.std(axis=0, dtype=np.float64), rtol=1e-6)
    fitter = ProbeFitter(LogisticRegression(), settings(), train, 2)
    kept = np.zeros(len(train.y))
    kept[:100] = 1
    [found] = fitter.fit([FitRequest(0.1, kept)])
    assert np.allclose(found.mean, train.x[:100].mean(axis=0, dtype=np.float64)) and np.allclose(
        found.scale, train.x[:100].std(axis=0, dtype=np.float64), rtol=1e-5
    )


def test_a_nested_row_never_touches_its_own_prediction():
    train = make(rows=120)
    before = fit(train, {}, selection="nested", folds=4)
    fold = before.fold_ids
    assert set(fold) == {0, 1, 2, 3} and len(before.choice.votes) == 4
    changed = train.x.copy()
    inside = np.flatnonzero(fold == 1)
    changed[inside] = changed[inside] * 3 - 10  # features alone: folds depend on labels only
    after = fit(Rows(changed, train.y), {}, selection="nested", folds=4)
    assert np.array_equal(after.fold_ids, fold) and after.choice.votes[1] == before.choice.votes[1]
    one, two = before.fitted, after.fitted
    assert not np.allclose(one.weight, two.weight)
    again = fit(Rows(np.where((fold == 1)[:, None], changed, train.x), train.y), {}, selection="nested", folds=4)
    assert np.array_equal(again.predictions["test"].decisions[inside], after.predictions["test"].decisions[inside])
    single = changed.copy()
    single[inside[0]] += 50  # another row of the fold must not move its neighbours' predictions
    third = fit(Rows(single, train.y), {}, selection="nested", folds=4)
    assert np.allclose(
        third.predictions["test"].decisions[inside[1:]], after.predictions["test"].decisions[inside[1:]], atol=2e-3
    )


def test_draws_repeat_the_fit_at_the_strength_chosen_once():
    train, test = make(), make(seed=1)
    plain, drawn = (fit(train, {"test": test}, draws=draws) for draws in (1, 3))
    assert plain.choice == drawn.choice and len(plain.draws) == 1 and len(drawn.draws) == 3
    assert np.array_equal(plain.predictions["test"].values, drawn.predictions["test"].values)
    assert not np.array_equal(drawn.draws[0]["test"].values, drawn.draws[1]["test"].values)


@pytest.mark.parametrize("classes, draws", [(2, 1), (2, 3), (3, 3), (0, 3)])
def test_predictions_and_decisions_of_a_draw_come_from_one_probe(classes, draws):
    outcome = fit(make(classes=classes), {"test": make(classes=classes, seed=1)}, classes, draws=draws)
    assert len(outcome.draws) == draws
    for each in (outcome.predictions["test"], *(draw["test"] for draw in outcome.draws)):
        scores = each.decisions.reshape(len(each.values), -1)
        assert np.allclose(predict_from_scores(scores, classes), each.values, atol=1e-4)
    if draws > 1:
        assert not np.array_equal(outcome.draws[0]["test"].decisions, outcome.draws[1]["test"].decisions)


def test_a_draw_that_did_not_converge_is_not_called_converged(monkeypatch):
    whole = ProbeFitter.fit

    def failing(fitter, requests, **options):
        repeats = [request.weights is not None and request.weights.max() > 1 for request in requests]
        return [
            dataclasses.replace(found, converged=False) if drawn else found
            for found, drawn in zip(whole(fitter, requests, **options), repeats, strict=True)
        ]

    monkeypatch.setattr(ProbeFitter, "fit", failing)
    assert [fit(make(), {"test": make(seed=1)}, draws=draws).choice.converged for draws in (1, 3)] == [True, False]


def test_development_chooses_there_and_fits_train_alone():
    train, test, development = make(), make(seed=1), make(seed=2)
    outcome = fit(train, {"test": test}, selection="development", development=development)
    assert outcome.choice.rows == {"fitted": 300, "held_out": 300, "refitted": 300}
    assert np.allclose(outcome.fitted.mean, train.x.mean(axis=0, dtype=np.float64))


def test_ties_go_to_the_stronger_penalty_and_edges_are_named():
    assert pick([0.5 + 5e-10, 0.5, 0.6]) == 0
    from sklearn.linear_model import LogisticRegression as Peer

    assert ProbeFitter(Peer(), settings(C=[0.1, 10.0, 1.0]), make(), 2).values == [0.1, 1.0, 10.0]
    noise = Rows(make().x, np.random.default_rng(0).integers(2, size=300))
    assert fit(noise, {"test": make(seed=1)}).choice.at_edge in ("strongest", None)


def test_the_stored_probe_predicts_again():
    train, test = make(classes=3), make(classes=3, seed=1)
    outcome = fit(train, {"test": test}, 3)
    arrays = outcome.fitted.arrays()
    scores = ((test.x - arrays["mean"]) / arrays["scale"]) @ arrays["weight"].T + arrays["bias"]
    assert np.abs(scores - outcome.predictions["test"].decisions).max() < 1e-4
    assert (
        outcome.predictions["test"].decisions.dtype == np.float32
        and outcome.predictions["test"].values.dtype == np.int64
    )
    assert (
        np.array_equal(outcome.fitted.predict(test.x).values, outcome.predictions["test"].values)
        and (outcome.fold_ids == -1).all()
    )


@pytest.mark.parametrize("classes", [2, 0])
@pytest.mark.parametrize("features", ["standardise", "none", "l2"])
def test_sparse_rows_are_scaled_without_centring(classes, features):
    x = sp.random(300, 60, density=0.2, random_state=0, format="csr", dtype=np.float32)
    target = np.asarray(x[:, :5].sum(axis=1)).ravel() + 0.3 * np.random.default_rng(0).standard_normal(300)
    y = (target > np.median(target)).astype(np.int64) if classes else target
    outcome = fit(Rows(x, y), {"test": Rows(x[:50], y[:50])}, classes, features)
    dense = fit(Rows(x.toarray(), y), {"test": Rows(x[:50].toarray(), y[:50])}, classes, features)
    assert outcome.fitted.mean is None and outcome.choice.value == dense.choice.value
    assert np.abs(outcome.predictions["test"].decisions - dense.predictions["test"].decisions).max() < 5e-3


def test_equal_rows_with_different_labels_refute_separability():
    train = make()
    doubled = Rows(np.concatenate([train.x, train.x[:1]]), np.append(train.y, 1 - train.y[0]))
    assert fit(doubled, {"test": train}).choice.separable is False
    assert fit(make(rows=2000, noise=8.0), {"test": train}).choice.separable is None


@pytest.mark.parametrize(
    "name, grid",
    [
        ("LinearDiscriminantAnalysis", {"shrinkage": [0.1, 0.5]}),
        ("KNeighborsClassifier", {"n_neighbors": [3, 9]}),
        ("LogisticRegression", {"C": [0.1, 1.0]}),
        ("LinearSVC", {"C": [0.01, 0.1]}),
    ],
)
def test_any_scikit_learn_classifier_stands_in(name, grid):
    from sklearn import discriminant_analysis, linear_model, neighbors, svm

    home = next(module for module in (discriminant_analysis, linear_model, neighbors, svm) if hasattr(module, name))
    options = {"solver": "lsqr"} if name.startswith("LinearD") else {}
    train, test = make(classes=3), make(classes=3, seed=1)
    estimator = getattr(home, name)(**options)
    outcome = run(estimator, settings(**grid), train, {"test": test}, classes=3, selection="folds", folds=3)
    assert (outcome.predictions["test"].values == test.y).mean() > 0.6
    assert outcome.choice.converged is (True if name in ("LogisticRegression", "LinearSVC") else None)
    assert outcome.choice.parameter == next(iter(grid)) and all(
        isinstance(array, np.ndarray) for array in outcome.fitted.arrays().values()
    )


def test_a_foreign_fit_that_stops_early_says_so():
    from sklearn.linear_model import LogisticRegression as Peer

    outcome = run(Peer(max_iter=1, tol=1e-12), settings(C=[1.0, 10.0]), make(), {"test": make(seed=1)}, classes=2)
    assert outcome.choice.converged is False


def test_constant_features_predict_the_majority():
    train = Rows(np.ones((60, 4), dtype=np.float32) * 0.3, np.repeat([0, 1, 1], 20))
    outcome = fit(train, {"test": train})
    assert (outcome.predictions["test"].values == 1).all() and (outcome.fitted.scale == 1).all()
    assert outcome.choice.at_edge is None, "no wider grid would help"


def test_progress_is_told():
    def told_of(estimator=None, **options):
        told: list[tuple[str, int, int]] = []
        tests = {} if options.get("selection") == "nested" else {"test": make(seed=1)}
        grid = settings(C=[0.1, 1.0]) if estimator else settings()
        run(
            estimator or LogisticRegression(),
            grid,
            make(rows=80),
            tests,
            classes=2,
            progress=lambda *what: told.append(what),
            **options,
        )
        return told

    from sklearn.linear_model import LogisticRegression as Peer

    fits = len(GRID)
    for told, total in (
        (told_of(selection="nested", folds=3), 9 * fits + 4),
        (told_of(selection="folds", folds=3, draws=2), 3 * fits + 3),
        (told_of(), fits + 1),
        (told_of(Peer()), 3),
    ):
        done = [each[1] for each in told]
        assert {each[2] for each in told} == {total} and done[-1] == total and len(set(done)) > 2
        assert told[0][0] == "grid" and {"grid", "refit"} <= {each[0] for each in told}


def test_a_bar_is_shown_on_a_terminal_once_fits_take_long(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    for delay, wanted in ((0.0, True), (60.0, True), (0.0, False)):
        monkeypatch.setattr(progress_module, "BAR_DELAY", delay)
        with progress_module.progress_bar("toy: probe", wanted) as tell:
            time.sleep(0.15)
            tell("grid", 3, 7)
        shown = capsys.readouterr().err
        assert ("toy: probe, grid" in shown and "3/7" in shown) == (delay == 0 and wanted), shown


def test_an_infinite_loss_is_never_the_least_and_nothing_else_is_an_error():
    assert pick([np.nan, np.inf, 0.5, 0.5]) == 2
    with pytest.raises(UserError, match="no finite number"):
        pick([np.nan, np.inf])


def test_mixed_groups_are_kept_together_where_the_grid_is_chosen():
    train = make(rows=200)
    groups = np.random.default_rng(0).integers(40, size=200)
    outcome = fit(train, {}, selection="nested", folds=4, groups=groups, groups_span_classes=True)
    assert all(len(set(outcome.fold_ids[groups == group])) == 1 for group in set(groups))
    held = RowSplitter(train.y, 0, fraction=0.2, groups=groups, groups_span_classes=True).holdout_mask()
    assert fit(train, {"test": train}, groups=groups, groups_span_classes=True).choice.rows["held_out"] == held.sum()


@pytest.mark.parametrize(
    "change, options",
    [
        (lambda rows: Rows(rows.x, np.zeros_like(rows.y)), {}),
        (lambda rows: Rows(rows.x, rows.y * 2), {"classes": 3}),
        (lambda rows: rows, {"selection": "folds", "folds": 400}),
        (lambda rows: Rows(rows.x, np.r_[np.zeros(297, int), np.ones(3, int)]), {"selection": "nested"}),
        (lambda rows: rows, {"selection": "development"}),
        (lambda rows: rows, {"selection": "elsewhere"}),
        (lambda rows: rows, {"selection": "nested", "draws": 2}),
        (lambda rows: Rows(rows.x[:2], np.array([0, 1])), {}),
    ],
)
def test_bad_input_is_refused(change, options):
    with pytest.raises(UserError):
        fit(change(make()), {"test": make(seed=1)}, **options)


@pytest.mark.parametrize("wrong", [{"grid": {}}, {"grid": {"alpha": []}}, {"features": "whiten"}])
def test_an_unusable_config_is_refused(wrong):
    with pytest.raises(UserError):
        run(LogisticRegression(), dataclasses.replace(settings(), **wrong), make(), {}, classes=2)


@pytest.mark.parametrize("estimator, grid", [("own", {"alpha": GRID}), ("sklearn", {"C": [0.01, 1.0]})])
@pytest.mark.parametrize("draws", [1, 3])
def test_rounding_is_not_raised_to_unit_variance(estimator, grid, draws):
    from sklearn.linear_model import LogisticRegression as Peer

    def with_noise(rows: Rows, seed: int) -> Rows:
        generator = np.random.default_rng(seed)
        eps = np.finfo(np.float32).eps
        rounded = np.float32(0.7) * (1 + eps * generator.integers(-3, 4, size=len(rows.y)))
        off = 1e-33 * generator.standard_normal(len(rows.y))
        exact = np.full(len(rows.y), 0.1)
        return Rows(np.column_stack([rows.x, rounded, off, exact]).astype(np.float32), rows.y)

    train, test = with_noise(make(), 5), with_noise(make(seed=1), 6)
    solver = LogisticRegression(tolerance=1e-11) if estimator == "own" else Peer()
    outcome = run(solver, settings(**grid), train, {"test": test}, classes=2, draws=draws)
    plain = run(solver, settings(**grid), make(), {"test": make(seed=1)}, classes=2, draws=draws)
    assert (outcome.fitted.scale[-3:] == 1).all() and (np.abs(outcome.fitted.weight[0, -3:]) < 1e-6).all()
    np.testing.assert_allclose(outcome.predictions["test"].decisions, plain.predictions["test"].decisions, atol=1e-4)
    assert outcome.details == {"constant_dimensions": 3} and plain.details == {}


def test_small_but_real_columns_are_standardised():
    train, test = make(), make(seed=1)
    scale = np.array([1, 1e-3, 1e-6, 1e-9, 1, 1, 1, 1], dtype=np.float32)
    found = fit(Rows((train.x - 5) * scale, train.y), {"t": Rows((test.x - 5) * scale, test.y)})
    plain = fit(train, {"t": test})
    np.testing.assert_allclose(found.predictions["t"].decisions, plain.predictions["t"].decisions, atol=1e-3)
    assert not found.details


def test_a_column_that_rounds_in_a_subset_alone_is_constant_there():
    x = np.concatenate([np.full(50, 3.0), np.linspace(0, 6, 50)]).astype(np.float32)
    x[:50] += np.float32(3e-7) * (np.arange(50) % 2)
    fitter = ProbeFitter(
        LogisticRegression(),
        settings(),
        Rows(np.column_stack([x, np.arange(100)]).astype(np.float32), np.arange(100) % 2),
        2,
    )
    first = (np.arange(100) < 50).astype(np.float64)
    assert fitter.problems([FitRequest(1.0, first)])[0].scale[0] == 1.0
    assert fitter.constant_columns == 0


def test_batches_of_problems_make_the_same_fits(monkeypatch):
    options = {"selection": "folds", "folds": 3, "draws": 2}
    whole = fit(make(classes=3), {"test": make(classes=3, seed=1)}, 3, **options)
    monkeypatch.setattr(fitter_module, "SOLVER_BYTES", 1)
    apart = fit(make(classes=3), {"test": make(classes=3, seed=1)}, 3, **options)
    np.testing.assert_allclose(apart.predictions["test"].decisions, whole.predictions["test"].decisions, atol=1e-4)
    assert apart.choice.value == whole.choice.value
