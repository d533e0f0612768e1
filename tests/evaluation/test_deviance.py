"""D² is what scikit-learn's losses give, and its constant is that of the fitted rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, r2_score

from src.errors import UserError
from src.evaluation.deviance import (
    constant_losses,
    decodes,
    deviance_explained,
    fold_constants,
    log_likelihoods,
    row_losses,
)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_losses_are_those_of_scikit_learn(classes):
    generator = np.random.default_rng(0)
    y = np.concatenate([np.arange(classes), generator.integers(classes, size=300)])
    x = generator.standard_normal((len(y), 5)) + y[:, None]
    model = LogisticRegression().fit(x, y)
    decisions = model.decision_function(x)
    found = log_likelihoods(y, decisions, classes)
    assert -found.mean() == pytest.approx(log_loss(y, model.predict_proba(x)), rel=1e-9)
    frequencies = np.bincount(y) / len(y)
    constant = constant_losses(y, frequencies)
    assert constant.mean() == pytest.approx(log_loss(y, np.tile(frequencies, (len(y), 1))), rel=1e-9)
    assert deviance_explained(-found, constant) == pytest.approx(1 + found.mean() / constant.mean())
    stacked = log_likelihoods(y, np.stack([decisions, decisions]), classes)
    assert stacked.shape == (2, len(y)) and np.array_equal(stacked[1], found)


def test_of_targets_it_is_r_squared():
    generator = np.random.default_rng(1)
    y = generator.standard_normal(200)
    predictions = y + generator.standard_normal(200)
    losses = row_losses(y, predictions, None)
    assert deviance_explained(losses, constant_losses(y, y.mean())) == pytest.approx(r2_score(y, predictions))


def test_the_constant_of_a_fold_is_that_of_the_rows_outside_it():
    y, folds = np.array([0, 0, 1, 1, 1, 0]), np.array([0, 0, 0, 1, 1, 1])
    assert fold_constants(y, folds, 2).tolist() == [[1 / 3, 2 / 3], [2 / 3, 1 / 3]]
    losses = constant_losses(y, fold_constants(y, folds, 2), folds)
    assert losses == pytest.approx(-np.log([1 / 3, 1 / 3, 2 / 3, 1 / 3, 1 / 3, 2 / 3]))
    assert fold_constants(y * 2.0, folds, 0).tolist() == [4 / 3, 2 / 3]
    assert constant_losses(y * 2.0, fold_constants(y * 2.0, folds, 0), folds)[2] == pytest.approx((2 - 4 / 3) ** 2)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="3 classes"):
        log_likelihoods(np.zeros(4, int), np.zeros(4), 3)


def test_a_task_answers_if_the_best_probe_beats_the_constant():
    assert decodes([(0.69, 0.69), (0.65, 0.69)]) and not decodes([(0.66, 0.69)]) and not decodes([(0.0, 0.0)])
