"""The read-out of nearest neighbours: its choice of k, folds, draws, record, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import PredefinedSplit, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from src.data.splits import resample
from src.errors import UserError
from src.probes.outcome import ProbeOutcome
from src.probes.settings import ProbeData, ProbeSettings, Rows
from src.probes.stored import read_probe
from src.results.display import result_table
from src.results.result import PROBE, Result
from src.trackers.wandb_summary import wandb_summary
from tests.conftest import write_csv
from tests.helpers.protocols import composed, done, fit, make, probe_config, settings

GRID = [101, 51, 21, 11, 5, 3, 1]


def peer(k: float) -> KNeighborsClassifier:
    return KNeighborsClassifier(int(k), metric="cosine")


def splitter(train: Rows, **options: Any):
    chosen = ProbeSettings.from_config(probe_config("knn"), **options)
    return ProbeData(train, {}, int(train.y.max()) + 1).splitter(chosen)


def accuracies(outcome: ProbeOutcome) -> dict[float, float]:
    assert outcome.choice is not None
    return {entry["value"]: 1 - entry["loss"] for entry in outcome.choice.grid}


def test_k_is_chosen_on_the_carve_and_all_of_train_votes() -> None:
    train, test = make(600, classes=3), make(80, classes=3, seed=1)
    outcome = fit(probe_config("knn"), train, {"test": test}, 3)
    assert outcome.choice is not None and outcome.fitted is None
    mask = splitter(train).holdout_mask()
    expected = {k: peer(k).fit(train.x[~mask], train.y[~mask]).score(train.x[mask], train.y[mask]) for k in GRID}
    assert accuracies(outcome) == pytest.approx(expected)
    best = max(GRID, key=lambda k: (round(expected[k], 9), k))
    assert (outcome.choice.parameter, outcome.choice.value) == ("n_neighbors", best)
    assert outcome.choice.rows == {"fitted": 480, "held_out": 120, "refitted": 600}
    found, refit = outcome.predictions["test"], peer(best).fit(train.x, train.y)
    np.testing.assert_array_equal(found.values, refit.predict(test.x))
    np.testing.assert_allclose(found.decisions, refit.predict_proba(test.x), atol=1e-6)


def test_k_is_chosen_on_a_development_split() -> None:
    train, test, development = make(200), make(50, seed=1), make(90, seed=2)
    outcome = fit(probe_config("knn"), train, {"test": test}, development=development, selection="development")
    expected = {k: peer(k).fit(train.x, train.y).score(development.x, development.y) for k in GRID}
    assert accuracies(outcome) == pytest.approx(expected)


def test_k_at_its_own_limits_is_at_no_edge() -> None:
    train, tests = make(200, noise=4.0), {"test": make(50, seed=1)}
    development = Rows(train.x.copy(), train.y.copy())  # each row's nearest is itself: one neighbour is right
    nearest = fit(probe_config("knn"), train, tests, development=development, selection="development")
    assert nearest.choice is not None and (nearest.choice.value, nearest.choice.at_edge) == (1, None)
    inside = replace(probe_config("knn"), grid={"n_neighbors": [51.0, 5.0]})
    fewer = fit(inside, train, tests, development=development, selection="development")
    assert fewer.choice is not None and (fewer.choice.value, fewer.choice.at_edge) == (5, "low")
    # All rows vote for the larger class, which is the only one on the rows that choose.
    y = (np.arange(200) % 10 > 6).astype(train.y.dtype)
    larger = Rows(development.x, np.zeros_like(y))
    for most, edge in ((101.0, "high"), (200.0, None), (500.0, None)):
        config = replace(probe_config("knn"), grid={"n_neighbors": [most, 1.0]})
        found = fit(config, Rows(train.x, y), tests, development=larger, selection="development").choice
        assert found is not None and (found.value, found.at_edge) == (most, edge)


def test_k_is_chosen_in_folds() -> None:
    train, test = make(230), make(50, seed=1)
    outcome = fit(probe_config("knn"), train, {"test": test}, selection="folds", folds=5)
    folds = PredefinedSplit(splitter(train, selection="folds", folds=5).fold_ids())
    expected = {k: cross_val_score(peer(k), train.x, train.y, cv=folds).mean() for k in GRID}
    assert accuracies(outcome) == pytest.approx(expected, abs=0.002)  # folds of 46 rows, up to one


def test_nested_folds_vote_without_their_own_rows() -> None:
    train = make(150, noise=1.0)
    before = fit(probe_config("knn"), train, {}, selection="nested", folds=4)
    assert before.choice is not None and len(before.choice.votes or []) == 4
    for number, k in enumerate(before.choice.votes or []):
        inside = before.fold_ids == number
        expected = peer(k).fit(train.x[~inside], train.y[~inside]).predict(train.x[inside])
        np.testing.assert_array_equal(before.predictions["test"].values[inside], expected)
    assert before.choice.value in (before.choice.votes or [])


def test_draws_vote_by_resampled_rows() -> None:
    train, test = make(200), make(60, seed=1)
    outcome = fit(probe_config("knn"), train, {"test": test}, draws=3)
    assert len(outcome.draws) == 3 and outcome.choice is not None
    rows = np.repeat(np.arange(200), resample(train.y, 0, 1, regression=False).astype(int))
    expected = peer(outcome.choice.value).fit(train.x[rows], train.y[rows]).predict(test.x)
    assert (outcome.draws[1]["test"].values == expected).mean() > 0.97, "copies of a row are equally near"


def test_equally_good_values_choose_the_largest() -> None:
    train = make(120, noise=0.0)
    train.x[:, 0] = np.where(train.y == 1, 100, -100)
    outcome = fit(probe_config("knn"), train, {"test": train})
    right = [k for k, accuracy in accuracies(outcome).items() if accuracy == 1.0]
    assert right == [51, 21, 11, 5, 3, 1], "101 is more than there are rows, so that the larger class wins"
    assert outcome.choice is not None and outcome.choice.value == 51


@pytest.fixture
def texts(tmp_path: Path) -> list[str]:
    """Return overrides of a task of 60 and 40 texts."""
    generator = np.random.default_rng(0)
    for name, rows in (("train", 60), ("test", 40)):
        table = []
        for _ in range(rows):
            label = int(generator.integers(2))
            words = generator.choice([["dog", "cat", "mat"], ["rain", "road", "day"]][label], size=4)
            table.append((" ".join([*words, str(generator.choice(["party", "morning"]))]), ["pet", "way"][label]))
        write_csv(tmp_path / f"{name}.csv", table, header=("text", "label"))
    return [f"dataset.train={tmp_path / 'train.csv'}", f"dataset.test={tmp_path / 'test.csv'}", "probe=knn"]


def test_the_record_holds_the_choice_and_the_bag(bert: Path, tmp_path: Path, texts: list[str]) -> None:
    _, finished = done(settings(bert, tmp_path, *texts, "probe.features=standardise"))
    result = Result.from_json(finished.result.to_json())
    assert (result.probe, result.score["metric"], result.counts["train"]) == ("knn", "accuracy", 60)
    assert result.chosen["parameter"] == "n_neighbors" and len(result.chosen["grid"]) == 7
    assert all(0 <= entry["loss"] <= 1 for entry in result.chosen["grid"])
    assert result.chosen["converged"] is None and "reusable" not in result.chosen
    assert result.baseline["bag_of_word_pieces"]["value"] > 0.9 and result.baseline["constant"]["value"] is not None
    assert wandb_summary(result)["chosen/parameter"] == "n_neighbors"
    assert "n_neighbors" in result_table(result)
    assert finished.predictions["decision"].shape == (40, 2)


def test_prediction_of_new_rows_is_refused_with_a_way_out(bert: Path, tmp_path: Path, texts: list[str]) -> None:
    _, finished = done(settings(bert, tmp_path, *texts))
    finished.write(tmp_path / "out")
    assert not (tmp_path / "out" / PROBE).exists()
    with pytest.raises(UserError, match=r"probe\.safetensors.*probe=logistic"):
        read_probe(tmp_path / "out", finished.result)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dataset=stsb"], r"probe=knn is for classification.*stsb.*probe=ridge"),
        (["dataset=cola", "probe.features=l2"], r"probe\.features 'l2'.*whiten"),
        (["dataset=cola", "probe.similarity=dot"], r"probe\.similarity=dot.*Leave"),
        (["dataset=cola", "probe.estimator._target_=sklearn.svm.LinearSVC"], r"probe\.estimator.*Leave it out"),
        (["dataset=cola", "probe.grid.n_neighbors=[0,3]"], r"probe\.grid.*1 to 1,000.*n_neighbors"),
        (["dataset=cola", "probe.grid.n_neighbors=[2.5]"], r"probe\.grid.*n_neighbors"),
        (["dataset=cola", "+probe.grid.C=[1]"], r"probe\.grid.*n_neighbors"),
        (["dataset=cola", "probe.grid.n_neighbors=[]"], r"probe\.grid.*n_neighbors"),
    ],
)
def test_what_does_not_go_with_neighbours_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        composed(*words, "probe=knn")


def test_a_probe_without_an_estimator_is_refused() -> None:
    with pytest.raises(UserError, match=r"probe\.estimator.*_target_"):
        composed("dataset=cola", "probe=logistic", "probe.estimator=null")
