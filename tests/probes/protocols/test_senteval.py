"""SentEval's rules, each against a reading of them with scikit-learn."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.model_selection import StratifiedKFold

from src.data.dataset import Split
from src.evaluation.estimates import evaluate
from src.probes.protocols.base import get_protocol
from tests.conftest import write_csv
from tests.helpers.protocols import composed, done, fit, make, probe_config, settings

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def accuracy(strength: float, x: Any, y: Any, z: Any, labels: Any) -> float:
    return Reference(C=strength, random_state=1111).fit(x, y).score(z, labels)


def folds_of(x: Any, y: Any, folds: int) -> list[tuple[Any, Any]]:
    return list(StratifiedKFold(folds, shuffle=True, random_state=1111).split(x, y))


def best_of(grid: list[float], x: Any, y: Any, folds: int) -> float:
    """Return the first strength of the best mean accuracy, in percent with two decimals."""
    scores = [
        round(100 * np.mean([accuracy(each, x[a], y[a], x[b], y[b]) for a, b in folds_of(x, y, folds)]), 2)
        for each in grid
    ]
    return grid[int(np.argmax(scores))]


def nested_by_hand(x: Any, y: Any, folds: int) -> tuple[float, list[float]]:
    """Return SentEval's accuracy on sorted rows, and the strengths chosen."""
    scores, chosen = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for inside, outside in folds_of(x, y, folds):
            chosen.append(best_of([2.0**power for power in range(-2, 4)], x[inside], y[inside], folds))
            scores.append(accuracy(chosen[-1], x[inside], y[inside], x[outside], y[outside]))
    return float(np.mean(scores)), chosen


@pytest.mark.parametrize("classes", [2, 3])
def test_nested_folds_equal_those_of_senteval(classes: int) -> None:
    train = make(classes=classes)
    order = np.random.default_rng(1).permutation(len(train.y))
    outcome = fit(probe_config("senteval", folds=3), train, {}, classes, selection="nested", order=order)
    expected, chosen = nested_by_hand(train.x[order], train.y[order], 3)
    right = outcome.predictions["test"].values == train.y
    assert np.mean([right[outcome.fold_ids == number].mean() for number in range(3)]) == pytest.approx(
        expected, abs=1e-12
    )
    assert outcome.choice.votes == chosen
    assert outcome.choice.parameter == "C"


def test_cross_validation_on_train_uses_the_grid_of_folds() -> None:
    train, test = make(), make(seed=1)
    outcome = fit(probe_config("senteval", folds=4), train, {"test": test})
    grid = [2.0**power for power in range(-1, 6)]
    best = best_of(grid, train.x, train.y, 4)
    assert [entry["value"] for entry in outcome.choice.grid] == grid and outcome.choice.value == best
    expected = Reference(C=best, random_state=1111).fit(train.x, train.y).predict(test.x)
    np.testing.assert_array_equal(outcome.predictions["test"].values, expected)


def test_a_development_split_chooses_by_accuracy() -> None:
    train, test, development = make(), make(seed=1), make(seed=2)
    outcome = fit(probe_config("senteval"), train, {"test": test}, selection="development", development=development)
    grid = [2.0**power for power in range(-2, 4)]
    scores = [round(100 * accuracy(each, train.x, train.y, development.x, development.y), 2) for each in grid]
    assert outcome.choice.value == grid[int(np.argmax(scores))]
    assert [100 * (1 - entry["loss"]) for entry in outcome.choice.grid] == pytest.approx(scores, abs=1e-9)


def test_pairs_are_encoded_apart_without_features_of_one_text() -> None:
    u, v = np.array([[1.0, 2.0]]), np.array([[3.0, -1.0]])
    senteval = get_protocol(probe_config("senteval"))
    assert senteval.pair_features([u, v]).tolist() == [[2.0, 3.0, 3.0, -2.0]]
    assert senteval.pair_features([u]) is u
    assert composed("dataset=mrpc", "probe=senteval").pairing == "separate"
    assert composed("dataset=mr", "probe=senteval").pairing == "joint"
    assert composed("dataset=mrpc", "probe=mteb").pairing == "joint"


def test_rows_are_sorted_by_words_and_label() -> None:
    def column(*texts: str) -> pa.LargeStringArray:
        return pa.array(texts, pa.large_string())

    one = Split("train", column("a b", "c", "d  e", ""), None, np.array([1, 1, 0, 1]))
    assert get_protocol(probe_config("senteval")).order(one).tolist() == [3, 1, 2, 0]
    two = Split("train", column("a", "b", "c d"), column("e f", "g", ""), np.array([0, 1, 0]))
    assert get_protocol(probe_config("senteval")).order(two).tolist() == [1, 0, 2]


def test_the_score_in_folds_is_the_mean_of_the_folds() -> None:
    labels, fold = np.array([0, 1, 1, 0, 1]), np.array([0, 0, 0, 1, 1])
    predictions = np.array([0, 1, 0, 1, 1])
    found = get_protocol(probe_config("senteval")).score(
        "accuracy", labels, [predictions], fold, lambda each: evaluate("accuracy", labels, each, classes=2)
    )
    assert found["value"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["low"] < found["value"] < found["high"]


def test_a_run_on_real_rows_equals_scikit_learn(shared: Path, tmp_path: Path) -> None:
    """On product reviews, a run's score is that of scikit-learn on the same features."""
    rows = []
    for label, name in (("positive", "custrev.pos"), ("negative", "custrev.neg")):
        lines = (shared / "data/senteval/CR" / name).read_text(encoding="utf-8").split("\n")[:80]
        rows += [(line, label) for line in lines]
    write_csv(tmp_path / "train.csv", rows)
    words = [
        f"dataset.train={tmp_path / 'train.csv'}",
        "dataset.selection=nested",
        "probe=senteval",
        "probe.protocol.folds=3",
    ]
    prepared, finished = done(settings("embedded:bert-books", tmp_path, *words, "dataset.folds=3"))
    from src.features.inputs import encoder_inputs

    (text,) = encoder_inputs(prepared.data.train, "joint", "files")
    x, y = prepared.extractor.features(text, prepared.target).values, prepared.data.train.label
    order = sorted(range(len(y)), key=lambda row: (len(rows[row][0].split()), y[row]))
    expected, chosen = nested_by_hand(np.asarray(x)[order], y[order], 3)
    assert finished.result.score["value"] == pytest.approx(expected, abs=1e-12)
    assert finished.result.chosen["votes"] == chosen
