"""An estimator is found by its name without importing anything else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from src.config.schema import ProbeConfig
from src.errors import UserError
from src.probes.estimators import instantiate

LOGISTIC = "sklearn.linear_model.LogisticRegression"


STRANGE_NAMES = [
    "..x", "", "x", "5", "this.x", "antigravity.fly", "idlelib.idle.x", "test.__main__.x", "__main__.x", "os.path",
    "subprocess.Popen", "builtins.dict", "importlib.util", "pip.__main__.main", "sklearn.conftest.x",
    "sklearn.tests.test_base.Buggy", "sklearn.svm.LinearSVX", "sklearn.svm", "sklearn", "sklearn.no.Such",
    "sklearn.experimental.enable_iterative_imputer.IterativeImputer", "experiments.paper.main", "src.run.main",
    "src.probes.grid.Criterion", "numpy.ndarray", "wandb.Api", f"{LOGISTIC} ", f"{LOGISTIC}\n", f"{LOGISTIC}.fit",
    "sklearn.linear_model._logistic.LogisticRegression", "here.Probe", "here.sub.Probe",
]  # fmt: skip


def test_a_name_of_no_estimator_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    for name in ("__init__", "sub"):
        (tmp_path / "here" / f"{name}.py").write_text("print('imported')\nclass Probe:\n    fit = predict = None\n")
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[2])\n"
        "from src.config.schema import ProbeConfig\nfrom src.errors import UserError\n"
        "from src.probes.estimators import instantiate\n"
        "import ast, email.parser, csv, zipfile, inspect\n"
        "def attempt(name):\n"
        "    try: instantiate(ProbeConfig(estimator={'_target_': name}, grid={'C': [1.0]})); return 'made'\n"
        "    except UserError as error: return str(error)\n"
        "before = set(sys.modules); messages = {name: attempt(name) for name in json.loads(sys.argv[1])}\n"
        "print(json.dumps([messages, sorted({name.partition('.')[0] for name in set(sys.modules) - before})]))\n"
    )
    words = [sys.executable, "-c", script, json.dumps(STRANGE_NAMES), str(Path(__file__).resolve().parents[2])]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    messages, imported = json.loads(done.stdout)
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
    for name, message in messages.items():
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
def test_a_target_without_fit_and_predict_is_refused(target: Any) -> None:
    with pytest.raises(UserError, match="_target_"):
        instantiate(ProbeConfig(estimator={"_target_": target}, grid={"C": [1.0]}))
