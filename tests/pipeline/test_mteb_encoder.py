"""MTEB's own tasks, fed with local data, get the suite's vectors and give the published figures."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src import api, run
from src.data.loading import load_dataset
from src.results.result import Result
from tests.conftest import SENTENCES, Ended, write_csv
from tests.helpers.datasets import option, second_texts

mteb = pytest.importorskip("mteb", reason="needs the extra mteb")

RunMain = Callable[..., Ended]


def with_rows(task: str, **splits: dict[str, list[Any]]) -> Any:
    """Return one of MTEB's tasks with rows in memory in the place of its download."""
    from datasets import Dataset, DatasetDict

    found = mteb.get_task(task)
    found.dataset = DatasetDict({name: Dataset.from_dict(rows) for name, rows in splits.items()})
    found.data_loaded = True
    return found


def main_score(model: Any, task: Any) -> float:
    """Return a task's main score."""
    found = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    return float(found.task_results[0].get_score())


@pytest.fixture
def minilm(shared: Path) -> Path:
    folder = shared / "models" / "all-MiniLM-L6-v2"
    if not folder.is_dir():
        pytest.skip("needs the checkpoint all-MiniLM-L6-v2")
    return folder


def test_similarity_is_that_of_a_run(run_main: RunMain, files: list[str], bert: Path) -> None:
    rng = np.random.default_rng(0)
    # No pair occurs twice: the ranks of similarities that are equal but for rounding would be a matter of chance.
    letters = "abcdefghijklmnopqrstuvwx"
    rows = [
        (f"{SENTENCES[place % 8]} {letters[place]}", f"{letters[-place]} {SENTENCES[rng.integers(7)]}", place % 4 + 0.5)
        for place in range(24)
    ]
    write_csv(Path("test.csv"), rows, ("text", "other", "label"))
    words = ["dataset.train=null", "dataset.task=regression", "dataset.text_pair=other", "probe=cosine"]
    ended = run_main(run.main, *files, *words, "pooling=cls", "layer=1", "hydra.run.dir=run")
    assert ended.status == 0, ended.err
    first, second, score = (list(column) for column in zip(*rows, strict=True))
    task = with_rows("STS12", test={"sentence1": first, "sentence2": second, "score": score})
    model = api.mteb_model(bert, pooling="cls", layer=1, threads=1, quiet=True)
    assert isinstance(model, mteb.EncoderProtocol)
    assert main_score(model, task) == pytest.approx(Result.read("run").metrics["spearman"]["value"], abs=1e-6)


def test_vectors_come_from_the_store_and_results_are_kept_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bert: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    poolings = [("mean", -1), ("pooler", -1), ("mean", 1)]
    models = [api.mteb_model(bert, pooling=name, layer=layer, quiet=True) for name, layer in poolings]
    names = [model.mteb_model_meta.model_name_with_experiment for model in models]
    assert len(set(names)) == 3 and "pooler" in str(names[1])
    texts = list(SENTENCES)
    metadata = mteb.get_task("STS12").metadata
    about = {"task_metadata": metadata, "hf_split": "test", "hf_subset": "default"}
    batches = [{"text": texts[:3]}, {"text": texts[3:]}]
    found = models[1].encode(batches, **about, batch_size=2)
    np.testing.assert_array_equal(found, api.features(bert, texts, pooling="pooler", quiet=True))
    unit = api.mteb_model(bert, normalise=True, quiet=True).encode(batches, **about)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    with pytest.raises(api.UserError, match="precision=int8"):
        models[0].encode(batches, **about, precision="int8")
    with pytest.raises(api.UserError, match="image"):
        models[0].encode([{"image": []}], **about)
    with pytest.raises(api.UserError, match="layer=9"):
        api.mteb_model(bert, layer=9, quiet=True)


def test_the_published_figure_of_sts12(minilm: Path, shared: Path) -> None:
    test = load_dataset(option("sts12"), str(shared / "data")).test
    rows = {"sentence1": test.text.to_pylist(), "sentence2": second_texts(test), "score": test.label.tolist()}
    model = api.mteb_model(minilm, pooling="mean", quiet=True)
    assert 100 * main_score(model, with_rows("STS12", test=rows)) == pytest.approx(72.37, abs=0.02)


def test_a_classification_task_with_ten_of_its_classes(minilm: Path, shared: Path) -> None:
    """Eight rows a label, ten times: nearly all intents are told apart, as by the published model."""
    columns, names = {}, list[str]()
    for split in ("train", "test"):
        with (shared / "data" / "single" / "banking77" / f"{split}.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        names = names or sorted({row["category"] for row in rows})[:10]
        kept = [(row["text"], names.index(row["category"])) for row in rows if row["category"] in names]
        columns[split] = {"text": [text for text, _ in kept], "label": [label for _, label in kept]}
    model = api.mteb_model(minilm, pooling="mean", normalise=True, quiet=True)
    assert main_score(model, with_rows("Banking77Classification", **columns)) > 0.9
