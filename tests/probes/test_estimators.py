"""An estimator is found by name without importing anything else, and what it refuses is one line."""

from __future__ import annotations

import json
import subprocess
import sys
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

Door = Callable[..., Ended]
LOGISTIC = "sklearn.linear_model.LogisticRegression"


def config(
    target: Any, grid: dict[str, list[float]] | None = None, task: str = "classification", **settings: Any
) -> ProbeConfig:
    return ProbeConfig(task=task, estimator={"_target_": target, **settings}, grid=grid or {"C": [1.0]})


STRANGE = [
    "..x", "", "x", "5", "this.x", "antigravity.fly", "idlelib.idle.x", "test.__main__.x", "__main__.x", "os.path", "subprocess.Popen",
    "builtins.dict", "importlib.util", "pip.__main__.main", "sklearn.conftest.x", "sklearn.tests.test_base.Buggy", "sklearn.svm.LinearSVX",
    "sklearn.svm", "sklearn", "sklearn.no.Such", "sklearn.experimental.enable_iterative_imputer.IterativeImputer", "experiments.paper.main",
    "src.run.main", "src.probes.grid.Criterion", "numpy.ndarray", "wandb.Api", f"{LOGISTIC} ", f"{LOGISTIC}\n", f"{LOGISTIC}.fit",
    "sklearn.linear_model._logistic.LogisticRegression", "here.Probe", "here.sub.Probe",
]  # fmt: skip


def test_nothing_is_imported_for_a_name_that_is_no_estimators(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    for name in ("__init__", "sub"):
        (tmp_path / "here" / f"{name}.py").write_text("print('imported')\nclass Probe:\n    fit = predict = None\n")
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[2])\n"
        "from src.config.schema import ProbeConfig\nfrom src.probes.estimators import instantiate\nfrom src.errors import UserError\n"
        "import ast, email.parser, csv, zipfile, inspect\n"
        "def attempt(name):\n"
        "    try: instantiate(ProbeConfig(estimator={'_target_': name}, grid={'C': [1.0]})); return 'made'\n"
        "    except UserError as error: return str(error)\n"
        "before = set(sys.modules); said = {name: attempt(name) for name in json.loads(sys.argv[1])}\n"
        "print(json.dumps([said, sorted({name.partition('.')[0] for name in set(sys.modules) - before})]))\n"
    )
    words = [sys.executable, "-c", script, json.dumps(STRANGE), str(Path(__file__).resolve().parents[2])]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    said, imported = json.loads(done.stdout)
    assert not {
        "this",
        "antigravity",
        "idlelib",
        "test",
        "sklearn",
        "experiments",
        "wandb",
        "here",
        "pip",
        "torch",
    } & set(imported)
    for name, message in said.items():
        assert message.startswith("probe.estimator._target_=") and name.strip()[:60] in message, message
        assert "sklearn.svm.LinearSVC" in message and "\n" not in message


def test_an_installed_library_that_requires_scikit_learn_has_estimators(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "__init__.py").write_text(
        "from sklearn.base import BaseEstimator, ClassifierMixin\n"
        "class Mine(ClassifierMixin, BaseEstimator):\n"
        "    def __init__(self, C=1.0): self.C = C\n"
        "    def fit(self, X, y): return self\n"
        "    def predict(self, X): return X[:, 0] > 0\n"
        "    def decision_function(self, X): return X[:, 0]\n"
    )
    about = tmp_path / "library-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: library\nVersion: 1.0\nRequires-Dist: scikit-learn\n")
    (about / "RECORD").write_text("library/__init__.py,,\n")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\nfrom src.config.schema import ProbeConfig\n"
        "from src.probes.estimators import instantiate\n"
        "print(instantiate(ProbeConfig(estimator={'_target_': 'library.Mine', 'C': 2.0}, grid={'C': [1.0, 3.0]})))"
    )
    words = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(words, cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "Mine(C=2.0)" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "target", ["sklearn.datasets.load_iris", "sklearn.preprocessing.StandardScaler", "src.solvers.Basis", None, [1]]
)
def test_what_is_no_class_with_fit_and_predict_is_refused(target: Any) -> None:
    with pytest.raises(UserError, match="_target_"):
        instantiate(config(target))


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
def test_penalties_that_float64_cannot_tell_from_none_are_refused(target: str, alpha: float) -> None:
    task = "regression" if target == "Ridge" else "classification"
    with pytest.raises(UserError, match=r"probe\.grid\.alpha"):
        instantiate(config(f"src.solvers.{target}", {"alpha": [1.0, alpha]}, task))


@pytest.mark.parametrize("tolerance", ["small", None, True, -1.0, [1e-9]])
def test_a_tolerance_is_a_number(tolerance: Any) -> None:
    with pytest.raises(UserError, match="tolerance"):
        instantiate(config("src.solvers.LogisticRegression", {"alpha": [1.0]}, tolerance=tolerance))


def rows(count: int = 60, seed: int = 0) -> Rows:
    x = np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)
    return Rows(x, (x[:, 0] + x[:, 1] > 0).astype(np.int64))


def fit(probe: ProbeConfig) -> ProbeOutcome:
    data = ProbeData(rows(), {"test": rows(seed=1)}, classes=2)
    return Protocol().fit(instantiate(probe), ProbeSettings.from_config(probe), data)


def test_what_an_estimator_refuses_at_fit_is_one_line() -> None:
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


def test_an_estimator_that_takes_no_sparse_rows_leaves_the_bag_out(door: Door, files: list[str]) -> None:
    words = [
        "probe.estimator._target_=sklearn.naive_bayes.GaussianNB",
        "probe.grid.alpha=null",
        "+probe.grid.var_smoothing=[1e-9]",
    ]
    ended = door(run.main, *files, *words, "hydra.run.dir=out")
    assert ended.status == 0, ended.err
    record = json.loads(Path("out/result.json").read_text())
    assert record["score"]["value"] is not None
    assert (
        record["baseline"]["bag_of_word_pieces"]["value"] is None and record["baseline"]["bag_of_word_pieces"]["reason"]
    )


def test_class_weights_have_whole_numbers_as_keys(door: Door, files: list[str]) -> None:
    words = ["probe.grid.alpha=null", "+probe.grid.C=[1.0]", f"probe.estimator._target_={LOGISTIC}"]
    ended = door(run.main, *files, *words, "+probe.estimator.class_weight={0:1,1:2}", "hydra.run.dir=out")
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
def test_every_number_of_a_probe_has_a_bound(words: list[str], door: Door, files: list[str]) -> None:
    ended = door(run.main, *files, *words)
    key = words[1 if words[0].startswith("probe=") else 0 if len(words) == 1 else 1].lstrip("+").partition("=")[0]
    assert ended.status == 1 and 1 <= len(ended.lines) <= 3 and key in ended.err and len(ended.err) < 500, ended.err
