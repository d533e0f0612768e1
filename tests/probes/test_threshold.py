"""Laws of the threshold that a binary task's metric is best at."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from src.data.splits import resample
from src.evaluation.metrics import confusion_counts, metrics
from src.probes.settings import Rows
from src.probes.solvers.estimators import LogisticRegression
from src.probes.threshold import THRESHOLD_METRICS, above, best_threshold
from tests.helpers.probes import fit, make, run, settings


def score(metric: str, y: np.ndarray, predictions: np.ndarray) -> float:
    return float(metrics[metric].function(confusion_counts(y, predictions, 2)[None])[0])


def brute_force(metric: str, y: np.ndarray, decisions: np.ndarray) -> float:
    """Return the best value of a metric over all thresholds."""
    cuts = [*decisions, 0.0, decisions.min() - 1]
    return max(score(metric, y, (decisions > cut).astype(np.int64)) for cut in cuts)


def rare(rows: int = 300, seed: int = 0) -> Rows:
    """Return rows whose class 1 is rare, so that 0.5 is a poor threshold."""
    found = make(rows=rows, seed=seed, noise=3.0)
    kept = (found.y == 0) | (np.random.default_rng(seed).random(rows) < 0.25)
    return Rows(found.x[kept], found.y[kept])


@pytest.mark.parametrize("metric", THRESHOLD_METRICS)
@pytest.mark.parametrize("seed", range(6))
def test_no_threshold_is_better_than_the_one_chosen(metric, seed):
    generator = np.random.default_rng(seed)
    y = (generator.random(60) < 0.3).astype(np.int64)
    decisions = np.round(generator.normal(size=60) + y - 1, 1 if seed % 2 else 6)  # with ties and without
    threshold = best_threshold(metric, y, decisions)
    assert score(metric, y, above(decisions, threshold)) == pytest.approx(brute_force(metric, y, decisions), abs=1e-12)


def test_of_equal_thresholds_the_nearest_to_a_half_is_chosen():
    y, decisions = np.array([0, 0, 1, 1]), np.array([-3.0, -1.0, 2.0, 5.0])
    assert best_threshold("f1", y, decisions) == 0.5
    assert best_threshold("mcc", y, decisions + 4) == pytest.approx(expit(4.5))
    assert 0 < best_threshold("f1", np.array([1, 1]), np.array([-1e4, -1e5])) < 1e-9


@pytest.mark.parametrize("metric", THRESHOLD_METRICS)
def test_the_carved_rows_choose_the_threshold(metric):
    train, test = rare(), rare(seed=1)
    outcome = fit(train, {"test": test}, metric=metric)
    fitted, found = outcome.choice.rows["fitted"], outcome.predictions["test"]
    from src.data.splits import RowSplitter

    held = RowSplitter(train.y, 0, fraction=0.2).holdout_mask()
    assert fitted == (~held).sum()
    probe = LogisticRegression(outcome.choice.value, 1e-11)
    mean, scale = train.x[~held].mean(axis=0), train.x[~held].std(axis=0)
    probe.fit((train.x[~held] - mean) / scale, train.y[~held])
    decisions = probe.decision_function((train.x[held] - mean) / scale)
    assert outcome.choice.threshold == pytest.approx(best_threshold(metric, train.y[held], decisions), abs=1e-4)
    assert np.array_equal(found.thresholded, (expit(found.decisions) > outcome.choice.threshold).astype(np.int64))
    assert np.array_equal(found.values, (found.decisions > 0).astype(np.int64))
    assert outcome.fitted.threshold == outcome.choice.threshold and outcome.choice.thresholds is None


def test_only_the_logistic_probe_of_two_classes_gets_a_threshold():
    from sklearn.linear_model import LogisticRegression as Peer

    test = {"test": make(seed=1)}
    assert fit(make(), test, metric="accuracy").choice.threshold is None
    assert fit(make(), test).predictions["test"].thresholded is None
    assert fit(make(classes=3), {"test": make(classes=3)}, 3, metric="macro_f1").choice.threshold is None
    assert run(Peer(), settings(C=[0.1, 1.0]), make(), test, metric="f1").choice.threshold is None


@pytest.mark.parametrize("selection", ["folds", "nested", "development"])
def test_every_selection_chooses_on_its_own_rows(selection):
    train = rare()
    tests = {} if selection == "nested" else {"test": rare(seed=1)}
    outcome = fit(train, tests, metric="f1", selection=selection, folds=3, development=rare(seed=2))
    assert 0 < outcome.choice.threshold < 1
    found = outcome.predictions["test"]
    if selection == "nested":
        assert len(outcome.choice.thresholds) == 3
        cuts = np.array(outcome.choice.thresholds)[outcome.fold_ids]
        assert np.array_equal(found.thresholded, (expit(found.decisions) > cuts).astype(np.int64))
    else:
        assert np.array_equal(found.thresholded, above(found.decisions, outcome.choice.threshold))


@pytest.mark.parametrize("selection", ["carve", "development"])
def test_each_draw_has_its_own_threshold(selection):
    train, test, development = rare(), rare(seed=1), rare(seed=2)
    outcome = fit(train, {"test": test}, metric="f1", draws=3, selection=selection, development=development)
    assert len(outcome.choice.thresholds) == 3 and len(set(outcome.choice.thresholds)) > 1
    for draw, threshold in zip(outcome.draws, outcome.choice.thresholds, strict=True):
        assert np.array_equal(draw["test"].thresholded, above(draw["test"].decisions, threshold))
    if selection == "development":
        counts = resample(train.y, 0, 0)
        rows = np.repeat(np.arange(len(train.y)), counts.astype(np.int64))
        x, y = train.x[rows], train.y[rows]
        mean, scale = x.mean(axis=0), x.std(axis=0)
        probe = LogisticRegression(outcome.choice.value, 1e-11).fit((x - mean) / scale, y)
        decisions = probe.decision_function((development.x - mean) / scale)
        expected = best_threshold("f1", development.y, decisions)
        assert outcome.choice.thresholds[0] == pytest.approx(expected, abs=1e-3)


def test_a_draw_without_a_class_takes_the_threshold_of_all_rows():
    x = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    y = np.array([0] * 37 + [1] * 3)
    outcome = fit(Rows(x, y), {"test": Rows(x, y)}, metric="f1", draws=8)
    assert outcome.choice.threshold in outcome.choice.thresholds and len(outcome.choice.thresholds) == 8
