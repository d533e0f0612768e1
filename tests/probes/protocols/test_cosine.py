"""The read-out that is not fitted: its record, its scores by hand, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.stats import pearsonr, spearmanr

from experiments.bundles import read_records
from src.config.schema import Config
from src.errors import UserError
from src.evaluation.comparisons import compare
from src.evaluation.metrics import metrics
from src.features.inputs import encoder_inputs
from src.pipeline.prepare import prepare
from src.pipeline.record import renamed
from src.pipeline.run import extract_features, fit_probe, run_probe
from src.results.cache import ResultCache
from src.results.display import result_table
from src.results.result import PROBE, Result
from src.sweeps.comparison import compare_records
from src.trackers.wandb_summary import wandb_summary
from tests.conftest import write_csv
from tests.helpers.protocols import composed, done, settings

WORDS = ["dog", "mat", "rain", "road", "day", "party", "cat", "morning"]


@pytest.fixture
def pairs(tmp_path: Path) -> list[str]:
    """Return overrides of a task of 40 and 80 pairs, whose score is the number of words they share."""
    generator = np.random.default_rng(0)
    for name, rows in (("train", 40), ("test", 80)):
        table = []
        for _ in range(rows):
            first = list(generator.choice(WORDS, size=5))
            shared = int(generator.integers(0, 6))
            second = [*first[:shared], *generator.choice(WORDS, size=5 - shared)]
            table.append((" ".join(first), " ".join(second), shared))
        write_csv(tmp_path / f"{name}.csv", table, header=("text", "other", "label"))
    files = [f"dataset.train={tmp_path / 'train.csv'}", f"dataset.test={tmp_path / 'test.csv'}"]
    return [*files, "dataset.task=regression", "dataset.text_pair=other", "probe=cosine"]


def test_the_record_holds_correlations_of_the_cosine(bert: Path, tmp_path: Path, pairs: list[str]) -> None:
    prepared, finished = done(settings(bert, tmp_path, *pairs))
    result = Result.from_json(finished.result.to_json())
    data, extractor = prepared.data, prepared.extractor
    u, v = (extractor.features(text, prepared.target, []).values for text in encoder_inputs(data.test, "separate", ""))
    cosines = (u * v).sum(axis=1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
    np.testing.assert_allclose(finished.predictions["prediction"], cosines, atol=1e-6)
    assert result.score["metric"] == "spearman" and list(finished.result.metrics) == ["spearman", "pearson"]
    assert result.score["low"] < result.score["value"] < result.score["high"]
    values = finished.predictions["prediction"]
    assert result.metrics["spearman"]["value"] == pytest.approx(spearmanr(data.test.label, values)[0], abs=1e-9)
    assert result.metrics["pearson"]["value"] == pytest.approx(pearsonr(data.test.label, values)[0], abs=1e-9)
    assert (result.probe, result.pairing, result.draws) == ("cosine", "separate", 1)
    expected = {"train": 0, "test": 80, "classes": 0, "width": 16, "test_in_train": 0, "one_vector": 0}
    assert result.counts == {**result.counts, **expected}
    assert result.chosen == {"similarity": "cosine", "features": "none"}
    assert result.baseline["constant"]["value"] is None and result.baseline["constant"]["reason"]
    assert result.baseline["bag_of_word_pieces"]["value"] > 0.7, "the score counts shared words"
    assert wandb_summary(result)["chosen/similarity"] == "cosine"
    assert "similarity" in result_table(result)
    assert extractor.encoded == 160, "no training text is encoded"


def test_no_probe_is_written_and_an_earlier_one_is_removed(bert: Path, tmp_path: Path, pairs: list[str]) -> None:
    prepared, finished = done(settings(bert, tmp_path, *pairs))
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / PROBE).write_bytes(b"of another run")
    finished.write(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["predictions.safetensors", "result.json"]
    assert load_file(folder / "predictions.safetensors")["prediction"].shape == (80,)
    cache = ResultCache(prepared.extractor.store.root)
    cache.put(prepared.key, finished.files)
    (folder / PROBE).write_bytes(b"of another run")
    copied = cache.get(prepared.key, folder, partial(renamed, prepared))
    assert copied is not None and copied.chosen == finished.result.chosen
    assert not (folder / PROBE).exists()


def test_poolings_are_compared_on_the_same_rows(bert: Path, tmp_path: Path, pairs: list[str]) -> None:
    finished = {}
    for name in ("cls", "mean"):
        _, finished[name] = done(settings(bert, tmp_path, *pairs, f"pooling={name}"))
        finished[name].write(tmp_path / "sweep" / name)
    comparison = compare_records([tmp_path / "sweep" / name for name in finished])
    (group,) = comparison.groups
    assert sorted(run.mark for run in group.runs)[0] == "best" and all(run.reason == "" for run in group.runs)
    labels = finished["cls"].predictions["label"]
    found = compare("spearman", labels, *(each.predictions["prediction"] for each in finished.values()), classes=0)
    scores = [each.result.score["value"] for each in finished.values()]
    assert found.value == pytest.approx(scores[0] - scores[1], abs=1e-12)


def test_rows_that_come_in_sets_are_scored_by_set(bert: Path, tmp_path: Path, pairs: list[str]) -> None:
    prepared = prepare(settings(bert, tmp_path, *pairs))
    ids = np.arange(80) % 2
    test = replace(prepared.data.test, sets=("news", "forum"), set_ids=ids)
    prepared.data = replace(prepared.data, splits={**prepared.data.splits, "test": test})
    finished = run_probe(prepared, None)
    metrics, values = finished.result.metrics, finished.predictions["prediction"]
    assert list(metrics) == ["spearman", "pearson", "spearman_mean_of_sets", "spearman_news", "spearman_forum"]
    news = spearmanr(test.label[ids == 0], values[ids == 0])[0]
    assert metrics["spearman_news"]["value"] == pytest.approx(news, abs=1e-9)
    assert "2 sets" in metrics["spearman"]["method"]
    finished.write(tmp_path / "out")
    (record,) = read_records(tmp_path / "out")
    assert (record.predictions["set"] == ids).all()
    texts = record.predictions["texts"]
    sentences = [test.text.to_pylist(), test.text_pair.to_pylist()]
    assert texts.shape == (80, 2) and len(np.unique(texts)) == len({*sentences[0], *sentences[1]})
    assert record.result.metrics == metrics and "spearman news" in result_table(record.result).replace("_", " ")


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (["probe.similarity=manhattan"], {"similarity": "manhattan", "features": "none"}),
        (
            ["probe.features=whiten"],
            {"similarity": "cosine", "features": "whiten", "dropped_directions": 1},
        ),  # layer norm
    ],
)
def test_settings_enter_the_record_and_the_key(
    bert: Path, tmp_path: Path, pairs: list[str], words: list[str], chosen: dict[str, Any]
) -> None:
    plain, changed = (prepare(settings(bert, tmp_path, *pairs, *more)) for more in ([], words))
    assert plain.key != changed.key
    _, finished = done(settings(bert, tmp_path, *pairs, *words))
    assert finished.result.chosen == {**finished.result.chosen, **chosen}


def test_the_training_rows_change_nothing(bert: Path, tmp_path: Path, pairs: list[str]) -> None:
    before = prepare(settings(bert, tmp_path, *pairs)).key
    write_csv(tmp_path / "train.csv", [("a dog", "a cat", 3), ("rain", "road", 1)], header=("text", "other", "label"))
    assert prepare(settings(bert, tmp_path, *pairs)).key == before


def test_a_test_file_alone_is_enough(bert: Path, tmp_path: Path, pairs: list[str]) -> None:
    alone = [word for word in pairs if not word.startswith("dataset.train=")]
    prepared = prepare(settings(bert, tmp_path, *alone))
    assert prepared.key == prepare(settings(bert, tmp_path, *pairs)).key
    with pytest.raises(UserError, match=r"no training split.*probe=cosine.*dataset\.train"):
        prepare(settings(bert, tmp_path, *[word for word in alone if word != "probe=cosine"]))


def test_one_vector_for_all_texts_has_no_score(bert: Path, tmp_path: Path, pairs: list[str]) -> None:
    words = ["pooling=cls", "layer=0", "probe.features=whiten"]
    _, finished = done(settings(bert, tmp_path, *pairs, *words))
    assert finished.result.score["value"] is None and finished.result.score["reason"]
    assert finished.result.counts["one_vector"] == 80


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dataset=cola"], r"probe=cosine is for regression.*cola.*probe=logistic"),
        (["dataset=files", "dataset.train=a.csv", "dataset.task=regression"], r"probe=cosine.*dataset\.text_pair"),
        (["dataset=stsb", "pairing=joint"], r"pairing=joint.*pairing=separate"),
        (["dataset=stsb", "draws=3"], r"draws=3.*Set draws=1"),
        (["dataset=stsb", "probe.features=l2"], r"probe\.features 'l2'.*whiten"),
        (["dataset=stsb", "probe.similarity=cosin"], r"probe\.similarity 'cosin'.*did you mean 'cosine'"),
        (["dataset=stsb", "dataset.metric=rmse"], r"dataset\.metric=rmse.*spearman, pearson"),
        (["dataset=stsb", "probe.grid.alpha=[1]"], r"probe\.grid.*Leave it out"),
        (["dataset=stsb", "probe.estimator._target_=src.solvers.Ridge"], r"probe\.estimator.*Leave it out"),
        (["dataset=stsb", "probe.shuffled_labels=true"], r"probe\.shuffled_labels.*Leave it out"),
    ],
)
def test_what_needs_a_fit_or_two_texts_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        composed(*words, "probe=cosine")


@pytest.mark.parametrize("words", [["probe.similarity=dot"], ["probe.features=centre"]])
def test_settings_of_similarities_are_refused_for_probes(words: list[str]) -> None:
    with pytest.raises(UserError, match=words[0].split("=")[0].replace(".", r"\.")):
        composed("dataset=stsb", *words)


def test_the_pairing_is_apart_unless_it_is_named() -> None:
    assert composed("dataset=stsb").pairing == "joint"
    assert composed("dataset=stsb", "pairing=separate").pairing == "separate"
    assert composed("dataset=stsb", "probe=cosine").pairing == "separate"
    assert composed("dataset=stsb", "probe=cosine", "pairing=separate").pairing == "separate"
    assert composed("dataset=stsb", "probe=cosine", "dataset.metric=pearson").dataset.metrics[0] == "pearson"


def test_the_default_similarity_enters_no_record_of_a_probe() -> None:
    probe = composed("dataset=stsb").probe
    assert "similarity" not in probe.as_record()
    assert replace(probe, similarity="dot").as_record()["similarity"] == "dot"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a store that tests on the same texts share."""
    return tmp_path_factory.mktemp("store")


def shared_task(shared: Path, store: Path, *words: str) -> Config:
    """Return the configuration of a task of the shared data, read by the cosine."""
    common = ["probe=cosine", f"data_root={shared / 'data'}", f"runtime.cache_dir={store}", "runtime.progress=false"]
    return composed(*common, "probe.resamples=100", "tracker=none", *words)


@pytest.mark.parametrize(("pooling", "expected"), [("cls", 46.8), ("pooler", 40.7), ("mean", 64.3)])
def test_measured_scores_of_the_embedded_model(shared: Path, store: Path, pooling: str, expected: float) -> None:
    _, finished = done(shared_task(shared, store, "dataset=stsb", f"pooling={pooling}"))
    assert 100 * finished.result.score["value"] == pytest.approx(expected, abs=0.06)


def test_a_published_score(shared: Path, store: Path) -> None:
    """Published for this checkpoint by MTEB; the committed records hold those of the STS years."""
    task, expected = "dataset=stsb dataset.splits.test=test", 82.03
    model = ["model=checkpoint", f"model.path={shared / 'models' / 'all-MiniLM-L6-v2'}", "pooling=mean"]
    prepared = prepare(shared_task(shared, store, *model, *task.split()))
    assert list(prepared.data.roles) == ["test"]
    outcome = fit_probe(prepared, None, {role: each.matrix for role, each in extract_features(prepared).items()})
    labels, values = prepared.data.test.label, outcome.predictions["test"].values
    assert 100 * spearmanr(labels, values)[0] == pytest.approx(expected, abs=0.02)
    score = metrics["spearman"].function(labels, values, np.ones((1, len(labels))))[0]
    assert 100 * score == pytest.approx(expected, abs=0.02), "the intervals, quadratic in the rows, are left out"
