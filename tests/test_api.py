"""The Python API gives the numbers of the commands, on the same store, without Hydra."""

from __future__ import annotations

import csv
import doctest
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from src import api, extract, run
from src.results.result import PREDICTIONS, Result
from src.sweeps.comparison import compare_records
from tests.conftest import SENTENCES, Ended, write_csv

RunMain = Callable[..., Ended]
QUICK: dict[str, Any] = {"threads": 1, "quiet": True}


def columns(name: str) -> dict[str, list[str]]:
    """Return the columns of a CSV file in the working folder."""
    with Path(name).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {key: [row[key] for row in rows] for key in rows[0]}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Work in an empty folder with an empty store; return the arguments of a quick call."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return QUICK


def write_pairs() -> None:
    rng = np.random.default_rng(0)
    for name, number in (("train", 40), ("test", 12)):
        rows = [
            (f"{SENTENCES[place % 5]} {place}", SENTENCES[rng.integers(5)], place % 4 + 0.5) for place in range(number)
        ]
        write_csv(Path(f"{name}.csv"), rows, ("text", "other", "label"))


def test_importing_it_loads_no_hydra_and_no_torch() -> None:
    code = "import sys; import src.api; print([name for name in ('hydra', 'torch', 'sklearn') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_calling_it_loads_no_hydra(quick: dict[str, Any]) -> None:
    code = (
        "import sys; from src import api\n"
        "table = api.compare('bert-books', [f'{n} is odd' for n in range(20)], [n % 2 for n in range(20)],"
        " poolings=['cls'], quiet=True, probe_options={'resamples': 100})\n"
        "print('hydra' in sys.modules, len(table.rows))"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "1"], done.stderr


def test_the_readmes_example_gives_what_it_says(quick: dict[str, Any]) -> None:
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    (example,) = [block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "api.compare" in block]
    test = doctest.DocTestParser().get_doctest(example, {}, "README", "README.md", 0)
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["pooling=cls", "layer=1"], {"pooling": "cls", "layer": 1}),
        (["dataset.text_pair=other"], {}),
        (["dataset.text_pair=other", "pairing=separate"], {"pairing": "separate"}),
    ],
)
def test_features_are_those_that_the_command_writes(
    words: list[str], options: dict[str, Any], run_main: RunMain, files: list[str], bert: Path
) -> None:
    write_pairs()
    assert run_main(extract.main, *files, *words, "dataset.task=regression", "output=out").status == 0
    rows, paired = columns("train.csv"), "dataset.text_pair=other" in words
    pairs = rows["other"] if paired else None
    (Path("other")).mkdir()
    for store in ({}, {"cache_dir": "other"}):  # read from the store, and encoded
        found = api.features(bert, rows["text"], pairs=pairs, **options, **store, **QUICK)
        np.testing.assert_array_equal(found, load_file("out/train.safetensors")["features"])
        assert found.dtype == np.float32 and found.flags.writeable


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], {}),
        (["dataset.selection=folds", "dataset.folds=3", "seed=2"], {"selection": "folds", "folds": 3, "seed": 2}),
        (["probe.features=l2", "dataset.group=group"], {"scaling": "l2"}),
    ],
)
def test_a_probe_is_the_one_of_a_run(
    words: list[str], options: dict[str, Any], run_main: RunMain, files: list[str], bert: Path
) -> None:
    for name, number in (("train", 60), ("test", 20)):
        rows = [
            (SENTENCES[place % 5] + " the" * (place % 7), ("10", "9", "2")[place % 3], place % 35 // 4)
            for place in range(number)
        ]
        write_csv(Path(f"{name}.csv"), rows, ("text", "label", "group"))
    assert run_main(run.main, *files, *words, "hydra.run.dir=run").status == 0
    result, kept = Result.read("run"), load_file(f"run/{PREDICTIONS}")
    train, test = columns("train.csv"), columns("test.csv")
    groups = {"groups": train["group"]} if "dataset.group=group" in words else {}
    estimator = api.probe(
        api.features(bert, train["text"], **QUICK), train["label"], texts=train["text"], quiet=True, **groups, **options
    )
    x = api.features(bert, test["text"], **QUICK)
    names = result.config["dataset"]["classes"]
    assert list(estimator.classes_) == names == ["2", "9", "10"]
    assert list(estimator.predict(x)) == [names[number] for number in kept["prediction"]]
    np.testing.assert_array_equal(estimator.decision_function(x), kept["decision"])
    assert estimator.best_params_ == {"alpha": result.chosen["value"]} and estimator.grid_ == result.chosen["grid"]
    assert estimator.score(x, test["label"]) == result.metrics["accuracy"]["value"]
    np.testing.assert_allclose(x @ estimator.coef_.T + estimator.intercept_, kept["decision"], atol=1e-3)
    odds = np.exp(kept["decision"].astype(np.float64))
    np.testing.assert_allclose(estimator.predict_proba(x), odds / odds.sum(axis=1, keepdims=True), rtol=1e-9)


def test_a_probe_of_scores_is_the_one_of_a_run(run_main: RunMain, files: list[str], bert: Path) -> None:
    write_pairs()
    words = [*files, "dataset.task=regression", "dataset.text_pair=other", "pairing=separate"]
    assert run_main(run.main, *words, "hydra.run.dir=run").status == 0
    train, test = columns("train.csv"), columns("test.csv")
    options = {"pairing": "separate", **QUICK}
    estimator = api.probe(
        api.features(bert, train["text"], pairs=train["other"], **options),
        [float(label) for label in train["label"]],
        texts=train["text"],
        pairs=train["other"],
        quiet=True,
    )
    found = estimator.predict(api.features(bert, test["text"], pairs=test["other"], **options))
    np.testing.assert_array_equal(found, load_file(f"run/{PREDICTIONS}")["prediction"])
    assert estimator.alpha_ == Result.read("run").chosen["value"]


def test_a_comparison_is_that_of_a_sweep(run_main: RunMain, files: list[str], bert: Path) -> None:
    """Keys, scores, intervals, paired tests and marks are those of the sweep, with its store and with an empty one."""
    words = ["pooling=cls,pooler,max", "layer=2,-1", "hydra.sweep.dir=sweep"]
    assert run_main(run.main, *files, *words, "-m").status == 0
    swept = {
        (each.result.layer, each.result.pooling): each
        for group in compare_records(sorted(Path("sweep").glob("[0-9]"))).groups
        for each in group.runs
    }
    train, test = columns("train.csv"), columns("test.csv")
    for store in ({}, {"cache_dir": "other"}):
        Path("other").mkdir(exist_ok=True)
        table = api.compare(
            bert, train["text"], train["label"], test={"texts": test["text"], "labels": test["label"]},
            poolings=["cls", "pooler", "max"], layers=[2], probe_options={"resamples": 200}, **store, **QUICK,
        )  # fmt: skip
        found = [each for group in table.comparison.groups for each in group.runs]
        assert len(found) == 3
        for each in found:
            other = swept[each.result.layer, each.result.pooling]
            assert each.result.key == other.result.key
            assert (each.result.score, each.result.metrics) == (other.result.score, other.result.metrics)
            assert (each.mark, each.difference, each.p, each.adjusted) == (
                other.mark, other.difference, other.p, other.adjusted,
            )  # fmt: skip


def test_a_table_shows_itself(quick: dict[str, Any], bert: Path) -> None:
    texts = [f"{SENTENCES[place % 5]} {'abcdefgh'[place % 8]}" for place in range(60)]
    options = {"probe_options": {"resamples": 100}, **quick}
    table = api.compare(
        bert, texts, [place % 2 for place in range(60)], layers=[0, -1], poolings=["mean", "max"], **options
    )
    assert [(row["layer"], row["pooling"]) for row in table.rows] == [(0, "mean"), (0, "max"), (2, "mean"), (2, "max")]
    assert "mean" in repr(table) and "accuracy" in repr(table) and "failed" not in repr(table)
    page = table._repr_html_()
    assert page.count("<table>") == 2 and page.count("<tr>") == 6
    frame = table.to_pandas()
    assert list(frame["pooling"]) == ["mean", "max"] * 2 and frame["value"].between(0, 1).all()
    folded = api.compare(bert, texts, [place % 2 for place in range(60)], folds=3, poolings=["mean"], **options)
    assert folded.results[0].counts["test"] == 60
    scores = [place % 4 + 0.5 for place in range(60)]
    similar = api.compare(bert, texts, scores, pairs=texts[::-1], probe="cosine", poolings=["cls", "mean"], **options)
    assert {row["metric"] for row in similar.rows} == {"spearman"} and similar.results[0].counts["test"] == 60


def test_a_probe_is_an_estimator_of_scikit_learn() -> None:
    from sklearn.base import clone, is_classifier, is_regressor
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4)).astype(np.float32)
    y = np.where(x[:, 0] + 0.3 * rng.normal(size=120) > 0, "yes", "no")
    fitted = api.probe(x, y, quiet=True)
    assert is_classifier(fitted) and fitted.n_features_in_ == 4 and fitted._repr_html_()
    again = clone(fitted).fit(x, y)
    np.testing.assert_array_equal(again.predict(x), fitted.predict(x))
    assert cross_val_score(make_pipeline(StandardScaler(), clone(fitted)), x, y, cv=3).mean() > 0.8
    scores = api.probe(x, x[:, 0] * 2.5, quiet=True)
    assert is_regressor(scores) and scores.score(x, x[:, 0] * 2.5) > 0.99
    other = api.probe(x, y, estimator=RidgeClassifier(), grid={"alpha": [1, 10]}, quiet=True)
    assert set(other.best_params_) == {"alpha"} and not hasattr(other, "predict_proba")
    with pytest.raises(ValueError):
        fitted.predict(x[:, :3])


def test_it_keeps_scikit_learns_rules_of_estimators() -> None:
    from sklearn.utils.estimator_checks import check_estimator

    fitted = api.probe(np.random.default_rng(0).normal(size=(40, 2)), 20 * ["a", "b"], quiet=True)
    one_class = {"check_classifiers_one_label": "a probe needs two classes"}
    checked = check_estimator(fitted, on_fail=None, on_skip=None, expected_failed_checks=one_class)
    assert [each["check_name"] for each in checked if each["status"] == "failed"] == []


def test_equal_rows_are_held_out_together() -> None:
    """Copies of rows with random labels: a penalty that fits them is not rewarded."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(30, 60)), 4, axis=0)
    y = np.repeat(rng.integers(2, size=30), 4)
    strongest = max(point["value"] for point in api.probe(x, y, quiet=True).grid_)
    assert api.probe(x, y, quiet=True).alpha_ == strongest
    assert api.probe(x, y, texts=[str(row) for row in range(120)], quiet=True).alpha_ < strongest


def test_numbers_of_numpy_are_numbers(quick: dict[str, Any]) -> None:
    whole = api.features("bert-books", ["a", "b"], layer=1, pooling={"name": "concat", "of": ["cls", "mean"]}, **quick)
    pooling = {"name": "concat", "of": np.array(["cls", "mean"])}
    found = api.features("bert-books", np.array(["a", "b"]), layer=np.int64(1), pooling=pooling, **quick)
    np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: api.features("bert-boks", ["a"]), ["bert-boks", "bert-books"]),
        (lambda: api.features("./none", ["a"]), ["./none"]),
        (lambda: api.features("bert-books", "a text"), ["texts"]),
        (lambda: api.features("bert-books", ["a", None]), ["row 2", "None"]),
        (lambda: api.features("bert-books", ["a", "\ud800"]), ["texts"]),
        (lambda: api.features("bert-books", []), ["no rows"]),
        (lambda: api.features("bert-books", 5), ["texts=5"]),  # type: ignore[arg-type]
        (lambda: api.features("bert-books", {"b", "a"}), ["texts="]),  # type: ignore[arg-type]
        (lambda: api.features("bert-books", {"a": 1}), ["texts="]),  # type: ignore[arg-type]
        (lambda: api.features("bert-books", ["a"], layer=object()), ["object"]),  # type: ignore[arg-type]
        (lambda: api.features("bert-books", ["a"], pairs=["b", "c"]), ["1", "2"]),
        (lambda: api.features("bert-books", ["a"], pooling="men"), ["men", "mean"]),
        (lambda: api.features("bert-books", ["a"], pooling=None), ["None"]),  # type: ignore[arg-type]
        (lambda: api.features("bert-books", ["a"], layer=9), ["layer=9"]),
        (lambda: api.features("bert-books", ["a"], pairing="separate"), ["pairing=separate"]),
        (lambda: api.features("bert-books", ["a"], devise="cpu"), ["devise", "device"]),
        (lambda: api.features("bert-books", ["a"], device="abacus"), ["abacus"]),
        (lambda: api.probe(np.ones((3, 2)), ["a", "a", "a"]), ["class"]),
        (lambda: api.probe(np.ones((3, 2)), ["a", "b"]), ["rows"]),
        (lambda: api.probe(np.full((40, 2), np.nan), ["a", "b"] * 20), ["finite"]),
        (lambda: api.probe(np.ones((40, 2)), ["a", "b"] * 20, texts=["x"] * 39), ["39", "40"]),
        (lambda: api.probe(np.ones((40, 2)), ["a", "b"] * 20, pairs=["x"] * 40), ["texts"]),
        (lambda: api.probe(np.ones((40, 2)), ["a", "b"] * 20, scaling="log"), ["log", "standardise"]),
        (lambda: api.probe(np.ones((40, 2)), ["a", "b"] * 20, task="sorting"), ["sorting"]),
        (lambda: api.probe(np.ones((40, 2)), None), ["labels"]),  # type: ignore[arg-type]
        (lambda: api.probe(np.ones((40, 2)), ["a", "b"] * 20, grid={"alpha": ["x"]}), ["grid", "alpha"]),
        (lambda: api.probe(np.ones((40, 2)), ["a", "b"] * 20, grid={"alpha": 1}), ["grid", "alpha"]),  # type: ignore[dict-item]
        (lambda: api.probe(np.ones((40, 2)), ["a", "b"] * 20, grid=[1]), ["grid", "alpha"]),  # type: ignore[arg-type]
        (lambda: api.compare("bert-books", ["a"], ["x", "y"]), ["1", "2"]),
        (lambda: api.compare("bert-books", ["a"], None), ["labels"]),  # type: ignore[arg-type]
        (lambda: api.compare("bert-books", ["a", "b"], ["x", "y"], poolings="cls"), ["poolings", "cls"]),
        (lambda: api.compare("bert-books", ["a", "b"], ["x", "y"], layers=2), ["layers=2"]),  # type: ignore[arg-type]
        (lambda: api.compare("bert-books", ["a", "b"], ["x", "y"], test=["a"]), ["test"]),  # type: ignore[arg-type]
        (lambda: api.compare("bert-books", ["a", "b"], ["x", "y"], test={"texts": None}), ["texts"]),  # type: ignore[dict-item]
        (lambda: api.compare("bert-books", ["a", "b"], ["x", "y"], test_fraction="a"), ["test_fraction=a"]),  # type: ignore[arg-type]
        (lambda: api.compare("bert-books", ["a", "b"], ["x", None]), ["label"]),
        (lambda: api.compare("bert-books", ["a", "b"], ["x", "y"], poolings=[]), ["poolings"]),
        (
            lambda: api.compare("bert-books", ["a", "b"], ["x", "y"], folds=2, test_fraction=0.5),
            ["folds", "test_fraction"],
        ),
        (lambda: api.compare("bert-books", ["a", "b"], ["x", "y"], test_fraction=2), ["test_fraction=2"]),
        (lambda: api.compare("bert-books", ["a"], [0.5], pairs=["b"], probe="cosine", folds=2), ["folds"]),
        (
            lambda: api.compare("bert-books", ["a"], ["x"], pairs=["b"], test={"texts": ["c"], "labels": ["x"]}),
            ["pairs", "test"],
        ),
        (lambda: api.compare("bert-books", ["a", "b"], ["x", "y"], probe="logstic"), ["logstic", "logistic"]),
        (lambda: api.compare("bert-books", ["a", "b"], ["x", "y"], test={"text": ["a"]}), ["text", "texts"]),
    ],
)
def test_bad_input_raises_a_short_error(call: Callable[[], Any], named: list[str], quick: dict[str, Any]) -> None:
    with pytest.raises(api.UserError) as refusal:
        call()
    assert len(str(refusal.value).splitlines()) <= 3 and all(text in str(refusal.value) for text in named), (
        refusal.value
    )
