"""Laws of the suite's protocol: which rows are fitted, which value is chosen, what is predicted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from src.data.splits import RowSplitter
from src.errors import UserError
from src.probes.decisions import predict_from_scores
from src.probes.fitter import ProbeFitter
from src.probes.settings import Rows
from src.probes.solvers.estimators import LogisticRegression
from tests.helpers.probes import GRID, fit, make, run, settings


@pytest.mark.parametrize("classes", [2, 3])
def test_separable_rows_score_one_and_are_reported_separable(classes):
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
def test_the_protocol_equals_scikit_learn_step_by_step(features, classes):
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


def test_draws_refit_at_the_value_chosen_once():
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


def test_a_draw_that_did_not_converge_is_reported(monkeypatch):
    whole = ProbeFitter.fit

    def failing(fitter, requests, **options):
        repeats = [request.weights is not None and request.weights.max() > 1 for request in requests]
        return [
            dataclasses.replace(found, converged=False) if drawn else found
            for found, drawn in zip(whole(fitter, requests, **options), repeats, strict=True)
        ]

    monkeypatch.setattr(ProbeFitter, "fit", failing)
    assert [fit(make(), {"test": make(seed=1)}, draws=draws).choice.converged for draws in (1, 3)] == [True, False]


def test_selection_on_development_fits_train_alone():
    train, test, development = make(), make(seed=1), make(seed=2)
    outcome = fit(train, {"test": test}, selection="development", development=development)
    assert outcome.choice.rows == {"fitted": 300, "held_out": 300, "refitted": 300}
    assert np.allclose(outcome.fitted.mean, train.x.mean(axis=0, dtype=np.float64))


def test_stored_arrays_give_the_same_predictions():
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


def test_constant_features_predict_the_majority():
    train = Rows(np.ones((60, 4), dtype=np.float32) * 0.3, np.repeat([0, 1, 1], 20))
    outcome = fit(train, {"test": train})
    assert (outcome.predictions["test"].values == 1).all() and (outcome.fitted.scale == 1).all()
    assert outcome.choice.at_edge is None, "no wider grid would help"


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
def test_unusable_settings_are_refused(wrong):
    with pytest.raises(UserError):
        run(LogisticRegression(), dataclasses.replace(settings(), **wrong), make(), {}, classes=2)
