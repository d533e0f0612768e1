"""Settings of an estimator are checked before a forward pass, and its errors are one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src import run
from src.config.schema import ProbeConfig
from src.errors import UserError
from src.probes.estimators import instantiate
from src.probes.outcome import ProbeOutcome
from src.probes.protocols.base import Protocol
from src.probes.settings import ProbeData, ProbeSettings, Rows
from tests.conftest import Ended

RunMain = Callable[..., Ended]
LOGISTIC = "sklearn.linear_model.LogisticRegression"


def config(
    target: Any, grid: dict[str, list[float]] | None = None, task: str = "classification", **settings: Any
) -> ProbeConfig:
    return ProbeConfig(task=task, estimator={"_target_": target, **settings}, grid=grid or {"C": [1.0]})


@pytest.mark.parametrize(
    ("settings", "grid", "said"),
    [
        ({"penalty": "banana"}, None, "banana"),
        ({"random_state": -5}, None, "-5"),
        ({"fit_intercept": "maybe"}, None, "maybe"),
        ({"tol": float("nan")}, None, r"probe\.estimator\.tol=nan"),
        ({"class_weight": {0: float("inf")}}, None, r"probe\.estimator\.class_weight\.0=inf"),
        ({"nonsense": 1}, None, "nonsense"),
        ({}, {"C": [1.0, 0.0]}, r"probe\.grid\.C=0"),
        ({}, {"alpha": [1.0]}, r"probe\.grid\.alpha"),
        ({"_args_": [1]}, None, "_args_"),
        ({"_partial_": True}, None, "_partial_"),
        ({"solver": {"_target_": "this.x"}}, None, r"probe\.estimator\.solver\._target_"),
        ({"solver": [[{"_target_": "this.x"}]]}, None, r"probe\.estimator\.solver\[0\]\[0\]\._target_"),
    ],
)
def test_settings_that_scikit_learn_refuses_are_one_line(settings: dict[str, Any], grid: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        instantiate(config(LOGISTIC, grid, **settings))


@pytest.mark.parametrize(
    ("target", "grid", "task"),
    [
        (LOGISTIC, {"C": [1.0]}, "regression"),
        ("sklearn.linear_model.Ridge", {"alpha": [1.0]}, "classification"),
        ("sklearn.ensemble.IsolationForest", {"n_estimators": [3.0]}, "classification"),
        ("sklearn.cluster.KMeans", {"n_clusters": [3.0]}, "regression"),
        ("src.solvers.Ridge", {"alpha": [1.0]}, "classification"),
    ],
)
def test_an_estimator_for_another_task_is_refused(target: str, grid: dict[str, list[float]], task: str) -> None:
    with pytest.raises(UserError, match=task):
        instantiate(config(target, grid, task))


@pytest.mark.parametrize("alpha", [1e-308, 5e-324, 1e-13, 1e308, 1e13, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("target", ["LogisticRegression", "Ridge"])
def test_penalties_beyond_the_precision_of_float64_are_refused(target: str, alpha: float) -> None:
    task = "regression" if target == "Ridge" else "classification"
    with pytest.raises(UserError, match=r"probe\.grid\.alpha"):
        instantiate(config(f"src.solvers.{target}", {"alpha": [1.0, alpha]}, task))


@pytest.mark.parametrize("tolerance", ["small", None, True, -1.0, [1e-9]])
def test_a_tolerance_that_is_no_number_is_refused(tolerance: Any) -> None:
    with pytest.raises(UserError, match="tolerance"):
        instantiate(config("src.solvers.LogisticRegression", {"alpha": [1.0]}, tolerance=tolerance))


def rows(count: int = 60, seed: int = 0) -> Rows:
    x = np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)
    return Rows(x, (x[:, 0] + x[:, 1] > 0).astype(np.int64))


def fit(probe: ProbeConfig) -> ProbeOutcome:
    data = ProbeData(rows(), {"test": rows(seed=1)}, classes=2)
    return Protocol().fit(instantiate(probe), ProbeSettings.from_config(probe), data)


def test_an_error_of_fit_is_one_line() -> None:
    probe = config("sklearn.naive_bayes.MultinomialNB", {"alpha": [1.0]})
    with pytest.raises(UserError, match=r"MultinomialNB.*Negative values.*probe\.features") as error:
        fit(probe)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("grid", [[1e-12, 1e12], [1.0, 1.0], [1e-12]])
def test_the_ends_of_the_grid_can_be_fitted(grid: list[float]) -> None:
    for target, name in ((LOGISTIC, "C"), ("src.solvers.LogisticRegression", "alpha")):
        probe = config(target, {name: grid})
        outcome = fit(probe)
        assert np.isfinite(outcome.predictions["test"].decisions).all() and len(outcome.choice.grid) == len(set(grid))


def test_an_estimator_without_sparse_rows_gives_no_score_of_the_bag(run_main: RunMain, files: list[str]) -> None:
    words = [
        "probe.estimator._target_=sklearn.naive_bayes.GaussianNB",
        "probe.grid.alpha=null",
        "+probe.grid.var_smoothing=[1e-9]",
    ]
    ended = run_main(run.main, *files, *words, "hydra.run.dir=out")
    assert ended.status == 0, ended.err
    record = json.loads(Path("out/result.json").read_text())
    assert record["score"]["value"] is not None
    assert (
        record["baseline"]["bag_of_word_pieces"]["value"] is None and record["baseline"]["bag_of_word_pieces"]["reason"]
    )


def test_class_weights_have_whole_numbers_as_keys(run_main: RunMain, files: list[str]) -> None:
    words = ["probe.grid.alpha=null", "+probe.grid.C=[1.0]", f"probe.estimator._target_={LOGISTIC}"]
    ended = run_main(run.main, *files, *words, "+probe.estimator.class_weight={0:1,1:2}", "hydra.run.dir=out")
    assert ended.status == 0, ended.err
    assert json.loads(Path("out/result.json").read_text())["config"]["probe"]["estimator"]["class_weight"] == {
        "0": 1,
        "1": 2,
    }


@pytest.mark.parametrize(
    "words",
    [
        ["probe.grid.alpha=[1e308,1e-308]"],
        [f"probe.grid.alpha={[float(value) for value in range(1, 200)]}".replace(" ", "")],
        ["probe.grid.alpha=null", "+probe.grid.C=[1e-300]", f"probe.estimator._target_={LOGISTIC}"],
        ["probe=mteb", "probe.protocol.experiments=1000000000"],
        ["probe=mteb", "probe.protocol.samples_per_label=10000000000"],
        ["probe=senteval", "probe.protocol.folds=100000000"],
        ["probe=senteval", "probe.protocol.seed=99999999999"],
        ["probe=senteval", "probe.protocol.folds_grid={C:[many]}"],
        ["probe=mdl", f"probe.protocol.blocks={[place / 10 for place in range(1, 500)]}".replace(" ", "")],
        ["probe=mdl", "probe.protocol.blocks=[true]"],
    ],
)
def test_every_number_of_a_probe_is_bounded(words: list[str], run_main: RunMain, files: list[str]) -> None:
    ended = run_main(run.main, *files, *words)
    key = words[1 if words[0].startswith("probe=") else 0 if len(words) == 1 else 1].lstrip("+").partition("=")[0]
    assert ended.status == 1 and 1 <= len(ended.lines) <= 3 and key in ended.err and len(ended.err) < 500, ended.err
