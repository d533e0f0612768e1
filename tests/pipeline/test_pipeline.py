"""A run's numbers against the same computed by hand with transformers and scikit-learn."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.linear_model import Ridge as RidgeReference

from experiments.units import unit_of
from src.cli.validation import parse_config
from src.config.schema import Config
from src.data.splits import RowSplitter
from src.features.inputs import encoder_inputs
from src.features.passes import ForwardPass
from src.pipeline.prepare import prepare
from src.pipeline.record import FinishedRun, renamed
from src.pipeline.run import run_probe
from src.probes import progress
from src.probes.solvers.estimators import LogisticRegression, Ridge
from src.results.display import result_table
from tests.conftest import SENTENCES

WORDS = [word for word in dict.fromkeys(" ".join(SENTENCES).split()) if word not in ("the", "a", "cat", ",")]


def write_rows(path: Path, rows: int, seed: int, *, pair: bool = False, regression: bool = False) -> Path:
    """Sentences whose label is whether a cat is in them: something a probe can learn."""
    rng = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", *(["other"] if pair else []), "label"])
        for _ in range(rows):
            words = list(rng.choice(WORDS, size=rng.integers(3, 9)))
            has_cat = rng.random() < 0.5
            if has_cat:
                words[rng.integers(len(words))] = "cat"
            label: Any = len(words) + 5 * has_cat if regression else ("cat" if has_cat else "none")
            writer.writerow([" ".join(words), *([" ".join(rng.choice(WORDS, size=4))] if pair else []), label])
    return path


def config(bert: Path, tmp_path: Path, *, regression: bool = False, pair: bool = False, **changes: Any) -> Config:
    train = write_rows(tmp_path / "train.csv", 240, 0, pair=pair, regression=regression)
    test = write_rows(tmp_path / "test.csv", 150, 1, pair=pair, regression=regression)
    values: dict[str, Any] = {
        "model.path": str(bert),
        "dataset.train": str(train),
        "dataset.test": str(test),
        "dataset.text": "text",
        "dataset.label": "label",
        "dataset.task": "regression" if regression else "classification",
        "runtime.cache_dir": str(tmp_path / "store"),
        "runtime.progress": False,
        "tracker.name": "none",
        "pooling.name": "mean",
        **({"dataset.text_pair": "other"} if pair else {}),
        **changes,
    }
    composed = OmegaConf.create({})
    for key, value in values.items():
        OmegaConf.update(composed, key, value, force_add=True)
    return parse_config(composed)


def run(settings: Config) -> FinishedRun:
    return run_probe(prepare(settings), Ridge() if settings.dataset.task == "regression" else LogisticRegression())


def by_hand(folder: Path, sentences: list[str]) -> np.ndarray:
    """Mean-pooled last layer, one sentence at a time: (rows, width)."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.no_padding()
    threads = torch.get_num_threads()
    # on a busy machine, threads that wait after every small product take a hundred times as long
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            return np.stack(
                [
                    model(**tokenizer(text, return_tensors="pt", padding=False)).last_hidden_state[0].mean(0).numpy()
                    for text in sentences
                ]
            )
    finally:
        torch.set_num_threads(threads)


def standardised(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, scale = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
    return (train - mean) / scale, (test - mean) / scale


def column(path: Path, name: str) -> list[str]:
    with path.open(newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def test_the_score_is_that_of_scikit_learn_at_the_chosen_value(bert: Path, tmp_path: Path) -> None:
    finished = run(config(bert, tmp_path))
    result = finished.result
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    x, z = standardised(by_hand(bert, column(train, "text")), by_hand(bert, column(test, "text")))
    y = np.array(column(train, "label")) == "none"
    reference = Reference(C=1 / (result.chosen["value"] * len(y)), tol=1e-10, max_iter=10000).fit(x, y)
    expected = np.mean(reference.predict(z) == (np.array(column(test, "label")) == "none"))
    assert result.score["metric"] == "accuracy"
    assert result.score["value"] == pytest.approx(expected, abs=1e-12)
    assert result.score["low"] < expected < result.score["high"]
    np.testing.assert_allclose(finished.predictions["decision"], reference.decision_function(z), atol=2e-3)
    assert result.counts == {**result.counts, "train": 240, "test": 150, "classes": 2, "width": 16, "truncated": 0}
    assert result.score["value"] > 0.6, "a cat can be seen in the mean"


def test_the_saved_probe_predicts_as_the_run_did(bert: Path, tmp_path: Path) -> None:
    finished = run(config(bert, tmp_path))
    probe = finished.probe
    z = by_hand(bert, column(tmp_path / "test.csv", "text"))
    decision = ((z - probe["mean"]) / probe["scale"]) @ probe["weight"].T + probe["bias"]
    np.testing.assert_allclose(decision[:, 0], finished.predictions["decision"], atol=2e-3)


def test_regression_equals_ridge_of_scikit_learn(bert: Path, tmp_path: Path) -> None:
    finished = run(config(bert, tmp_path, regression=True))
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    x, z = standardised(by_hand(bert, column(train, "text")), by_hand(bert, column(test, "text")))
    y = np.array(column(train, "label"), float)
    reference = RidgeReference(alpha=finished.result.chosen["value"] * len(y)).fit(x, y)
    np.testing.assert_allclose(finished.predictions["prediction"], reference.predict(z), atol=2e-3)
    assert finished.result.baseline["constant"] == {
        "metric": "pearson",
        "value": None,
        "reason": "a constant has no correlation",
    }
    assert finished.result.score["metric"] == "pearson"


def test_the_same_run_twice_differs_in_timing_alone(bert: Path, tmp_path: Path) -> None:
    first, second = run(config(bert, tmp_path)), run(config(bert, tmp_path))
    assert first.result.timing["cache"] == "miss"
    assert second.result.timing["cache"] == "hit"
    assert second.result.timing["rows_encoded"] == 0
    assert second.result.timing["passes"] == first.result.timing["passes"], (
        "a hit carries the timing of the pass that made the features"
    )
    for name in first.predictions:
        np.testing.assert_array_equal(first.predictions[name], second.predictions[name])
    first.result.timing = second.result.timing
    assert first.result.to_json() == second.result.to_json()


def test_the_key_depends_on_values_and_not_on_names(bert: Path, tmp_path: Path) -> None:
    base = prepare(config(bert, tmp_path)).key
    for change in (
        {"pooling.name": "cls"},
        {"layer": 1},
        {"seed": 1},
        {"draws": 2},
        {"probe": {**load_probe(), "features": "l2"}},
        {"dataset.metric": "mcc"},
    ):
        assert prepare(config(bert, tmp_path, **change)).key != base, change
    for change in ({"model.name": "mine"}, {"dataset.name": "mine"}, {"runtime.threads": 1}, {"tracker.project": "x"}):
        assert prepare(config(bert, tmp_path, **change)).key == base, change


def test_a_record_names_the_unit_of_its_run_and_not_of_an_equal_one(bert: Path, tmp_path: Path) -> None:
    finished = run(config(bert, tmp_path))
    named = prepare(config(bert, tmp_path, **{"dataset.unit": "reviews of ours"}))
    assert named.key == finished.result.key and unit_of(finished.result) is None
    assert unit_of(renamed(named, finished.result)) == "reviews of ours"


def test_an_equal_run_with_other_names_of_classes_is_no_copy(bert: Path, tmp_path: Path) -> None:
    finished = run(config(bert, tmp_path))
    text = (tmp_path / "train.csv").read_text()
    other = prepare(config(bert, tmp_path))
    assert renamed(other, finished.result) is not None
    for name in ("train", "test"):
        text = (tmp_path / f"{name}.csv").read_text()
        (tmp_path / f"own_{name}.csv").write_text(text.replace(",cat", ",1").replace(",none", ",2"))
    own = {f"dataset.{name}": str(tmp_path / f"own_{name}.csv") for name in ("train", "test")}
    numbered = prepare(config(bert, tmp_path, **own))
    assert numbered.key == finished.result.key and renamed(numbered, finished.result) is None


def load_probe() -> dict[str, Any]:
    from src.config.paths import CONF

    return OmegaConf.to_container(OmegaConf.load(CONF / "probe" / "logistic.yaml"))  # type: ignore[return-value]


def test_joint_and_separate_pairs_differ_in_width_and_key(bert: Path, tmp_path: Path) -> None:
    joint = run(config(bert, tmp_path, pair=True))
    separate = run(config(bert, tmp_path, pair=True, pairing="separate"))
    assert joint.result.counts["width"] == 16
    assert separate.result.counts["width"] == 64
    assert joint.result.key != separate.result.key
    bags = [each.result.baseline["bag_of_word_pieces"]["width"] for each in (joint, separate)]
    assert bags[1] == 4 * bags[0], "the bag reads pairs as the features do"
    assert joint.result.baseline["constant"] == separate.result.baseline["constant"]


def test_draws_widen_the_interval(bert: Path, tmp_path: Path) -> None:
    once, drawn = run(config(bert, tmp_path)), run(config(bert, tmp_path, draws=4))
    score = drawn.result.score
    assert len(score["draws"]) == 4
    assert score["value"] == pytest.approx(np.mean(score["draws"]))
    assert score["high"] - score["low"] >= 0.9 * (once.result.score["high"] - once.result.score["low"])
    assert drawn.predictions["prediction"].shape == (4, 150)


def test_a_pass_whose_shards_are_all_complete_is_a_hit(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(bert, tmp_path)

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    for _ in ("train", "test"):  # stopped once in each split, after its last shard
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(ForwardPass, "_store", killed)
            run(settings)
        if _ == "train":
            prepared = prepare(settings)
            (text,) = encoder_inputs(prepared.data.train, "joint", "files")
            prepared.extractor.features(text, prepared.target)
            assert prepared.extractor.encoded == 0
    timing = run(settings).result.timing
    assert (timing["cache"], timing["rows_encoded"]) == ("hit", 0)
    assert timing["passes"][1]["shards_resumed"] == timing["passes"][1]["shards"] > 0


def test_a_probe_without_coefficients_is_reported_once(
    bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from sklearn.linear_model import LogisticRegression as Linear
    from sklearn.neighbors import KNeighborsClassifier

    for estimator, grid, reusable in (
        (KNeighborsClassifier(), {"n_neighbors": [3.0]}, False),
        (Linear(), {"C": [0.1]}, True),
    ):
        probe = {**load_probe(), "estimator": {"_target_": type(estimator).__qualname__}, "grid": grid}
        finished = run_probe(prepare(config(bert, tmp_path, probe=probe)), estimator)
        assert finished.result.chosen["reusable"] is reusable
        assert ("weight" in finished.probe) is reusable
        assert ("incomplete" in finished.notes) is not reusable
        assert (result_table(finished.result) + caplog.text).count("no linear coefficients") == (not reusable)


@pytest.mark.parametrize("wanted", [True, False])
def test_long_fits_show_a_bar_on_a_terminal(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wanted: bool
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress, "BAR_DELAY", 0.0)
    run(config(bert, tmp_path, **{"runtime.progress": wanted}))
    shown = capsys.readouterr().err
    assert all((label in shown) is wanted for label in ("files: probe", "files: bag of word pieces")), shown


def test_groups_are_kept_together_in_the_choice_and_the_key(bert: Path, tmp_path: Path) -> None:
    plain = config(bert, tmp_path)
    for name in ("train", "test"):
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(
                [[*header, "author"], *([*row, f"author {number // 9}"] for number, row in enumerate(rows))]
            )
    grouped = dataclasses.replace(plain, dataset=dataclasses.replace(plain.dataset, group="author"))
    assert prepare(grouped).key != prepare(plain).key
    finished = run(grouped)
    groups = prepare(grouped).data.groups
    held = RowSplitter(
        prepare(grouped).data.train.label, 0, fraction=0.2, groups=groups, groups_span_classes=True
    ).holdout_mask()
    assert finished.result.chosen["rows"]["held_out"] == held.sum() > 0
    assert all(len(set(held[groups == group])) == 1 for group in groups)


def test_nested_folds_predict_every_row_once(bert: Path, tmp_path: Path) -> None:
    settings = config(bert, tmp_path, **{"dataset.selection": "nested", "dataset.folds": 4, "dataset.test": None})
    finished = run(settings)
    assert sorted(set(finished.predictions["fold"].tolist())) == [0, 1, 2, 3]
    assert len(finished.predictions["prediction"]) == 240
    assert finished.result.counts["test_in_train"] == 0


def test_shuffled_labels_score_chance(bert: Path, tmp_path: Path) -> None:
    settings = config(bert, tmp_path)
    rng = np.random.default_rng(0)
    with (tmp_path / "train.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    labels = rng.permutation([row[-1] for row in rows[1:]])
    with (tmp_path / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [rows[0], *([*row[:-1], label] for row, label in zip(rows[1:], labels, strict=True))]
        )
    result = run(settings).result
    assert result.score["low"] < 0.5 < result.score["high"]


def test_layer_zero_cls_is_a_constant_and_scores_chance(bert: Path, tmp_path: Path) -> None:
    finished = run(config(bert, tmp_path, **{"pooling.name": "cls", "layer": 0}))
    assert len(set(finished.predictions["prediction"].tolist())) == 1


RIDGE = {"_target_": "src.probes.solvers.estimators.Ridge"}


def test_a_linear_probe_scores_cls_and_its_affine_image_alike(bert: Path, tmp_path: Path) -> None:
    """Law of the ladder: least squares on W h + b predicts as on h, since W can be inverted."""
    settings = {
        "regression": True,
        "probe": {**load_probe(), "name": "ridge", "task": "regression", "estimator": RIDGE, "grid": {"alpha": [0.0]}},
    }
    cls = run(config(bert, tmp_path, **settings, **{"pooling.name": "cls"}))
    image = run(config(bert, tmp_path, **settings, **{"pooling.name": "pooler_preactivation"}))
    tanh = run(config(bert, tmp_path, **settings, **{"pooling.name": "pooler"}))
    np.testing.assert_allclose(cls.predictions["prediction"], image.predictions["prediction"], atol=2e-2)
    assert np.abs(cls.predictions["prediction"] - tanh.predictions["prediction"]).max() > 0.05, (
        "the tanh is what the probe cannot undo"
    )


def test_a_real_checkpoint_on_real_rows(shared: Path, tmp_path: Path) -> None:
    """On CoLA's first rows, features equal a plain pass; the interval holds the peer's score."""
    lines = (shared / "data/glue_data/CoLA/train.tsv").read_text().split("\n")[:260]
    for name, part in (("train", lines[:160]), ("test", lines[160:])):
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["text", "label"], *([row.split("\t")[3], row.split("\t")[1]] for row in part)])
    folder = shared / "models" / "all-MiniLM-L6-v2"
    (tmp_path / "unused").mkdir()
    settings = config(folder, tmp_path / "unused")
    rows = {name: str(tmp_path / f"{name}.csv") for name in ("train", "test")}
    settings = dataclasses.replace(settings, dataset=dataclasses.replace(settings.dataset, **rows))
    prepared = prepare(settings)
    finished = run_probe(prepared, LogisticRegression())
    x, z = (by_hand(folder, column(tmp_path / f"{name}.csv", "text")) for name in ("train", "test"))

    for split, expected in (("train", x), ("test", z)):
        (text,) = encoder_inputs(prepared.data.splits[split], "joint", "files")
        np.testing.assert_allclose(prepared.extractor.features(text, prepared.target).values, expected, atol=1e-5)
    x, z = standardised(x, z)
    y = np.array(column(tmp_path / "train.csv", "label"))
    reference = Reference(C=1 / (finished.result.chosen["value"] * len(y)), tol=1e-8, max_iter=10000).fit(x, y)
    expected_score = np.mean(reference.predict(z) == np.array(column(tmp_path / "test.csv", "label")))
    assert finished.result.score["low"] <= expected_score <= finished.result.score["high"]
    assert finished.result.pooler["status"] == "untrained"


@pytest.mark.parametrize("metric", ["f1", "mcc"])
def test_the_headline_alone_is_scored_at_the_threshold(metric: str, bert: Path, tmp_path: Path) -> None:
    from src.evaluation.metrics import confusion_counts, metrics

    finished = run(config(bert, tmp_path, **{"dataset.metric": metric, "dataset.metrics": [metric, "accuracy"]}))
    arrays, result = finished.predictions, finished.result
    at_threshold = confusion_counts(arrays["label"], arrays["thresholded"], 2)
    assert result.score["value"] == pytest.approx(float(metrics[metric].function(at_threshold[None])[0]))
    assert result.metrics["accuracy"]["value"] == pytest.approx((arrays["prediction"] == arrays["label"]).mean())
    assert np.array_equal(arrays["prediction"], arrays["decision"] > 0) and 0 < result.chosen["threshold"] < 1


@pytest.mark.parametrize("regression", [False, True])
def test_a_record_holds_what_the_explained_deviance_needs(regression: bool, bert: Path, tmp_path: Path) -> None:
    finished = run(config(bert, tmp_path, regression=regression))
    arrays, (constant,) = finished.predictions, finished.result.chosen["constants"]
    label, decision = arrays["label"], arrays["decision"].astype(np.float64)
    train = column(tmp_path / "train.csv", "label")
    if regression:
        assert constant == pytest.approx(np.mean([float(value) for value in train]))
        explained = 1 - np.mean((label - decision) ** 2) / np.mean((label - constant) ** 2)
    else:
        assert constant == pytest.approx([train.count("cat") / len(train), train.count("none") / len(train)])
        loss = np.logaddexp(0, np.where(label == 1, -decision, decision)).mean()
        explained = 1 - loss / -np.log(np.array(constant)[label]).mean()
    assert 0 < explained < 1
    assert finished.result.chosen["loss"] < finished.result.chosen["constant_loss"]
