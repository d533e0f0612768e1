"""A stored probe predicts new rows as the run that fitted it predicted its test rows."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from safetensors.numpy import load_file

from src import predict, run
from src.results.result import PREDICTIONS, PROBE
from tests.conftest import SENTENCES, Ended, write_csv

RunMain = Callable[..., Ended]


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def softmax(decisions: np.ndarray) -> np.ndarray:
    scores = np.stack([0 * decisions, decisions], 1) if decisions.ndim == 1 else decisions
    odds = np.exp(scores.astype(np.float64))
    return odds / odds.sum(1, keepdims=True)


@pytest.fixture
def done(run_main: RunMain, files: list[str]) -> Callable[..., dict[str, Any]]:
    """Do a run in the folder `run`; return the arrays of its predictions."""

    def do(*words: str) -> dict[str, Any]:
        ended = run_main(run.main, *files, "hydra.run.dir=run", *words)
        assert ended.status == 0, ended.err
        return load_file(f"run/{PREDICTIONS}")

    return do


def test_labels_and_probabilities_are_the_records(run_main: RunMain, done: Any, tmp_path: Path) -> None:
    kept = done("pooling=pooler", "probe.features=l2")
    ended = run_main(predict.main, "record=run", "input=test.csv", "output=out.csv")
    assert ended.status == 0 and "out.csv: 20 rows" in ended.out, ended
    rows = read_csv(tmp_path / "out.csv")
    assert [row["label"] for row in rows] == [("no", "yes")[number] for number in kept["prediction"]]
    np.testing.assert_allclose(
        [float(row["probability"]) for row in rows], softmax(kept["decision"]).max(axis=1), atol=1e-5
    )
    assert list(rows[0]) == ["label", "probability"]


def test_the_label_is_the_one_at_the_threshold(run_main: RunMain, done: Any, tmp_path: Path) -> None:
    rows = [(SENTENCES[place % 5] + " the" * (place % 7), "yes" if place % 6 == 0 else "no") for place in range(60)]
    write_csv(tmp_path / "train.csv", rows)
    kept = done("dataset.metric=f1", "pooling=mean")
    threshold = json.loads(Path("run/result.json").read_text())["chosen"]["threshold"]
    assert run_main(predict.main, "record=run", "input=test.csv", "output=out.csv").status == 0
    found = read_csv(tmp_path / "out.csv")
    assert [row["label"] for row in found] == [("no", "yes")[number] for number in kept["thresholded"]]
    assert kept["thresholded"].tolist() == (softmax(kept["decision"])[:, 1] > threshold).astype(int).tolist()
    assert kept["thresholded"].tolist() != kept["prediction"].tolist(), "the rows should tell the two apart"
    chosen = softmax(kept["decision"])[np.arange(len(found)), kept["thresholded"]]
    np.testing.assert_allclose([float(row["probability"]) for row in found], chosen, atol=1e-5)


@pytest.mark.parametrize("extension", ["csv", "tsv", "jsonl", "parquet"])
def test_blocks_change_nothing_in_any_format(
    extension: str, run_main: RunMain, done: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three classes; the rows are read in blocks of seven."""
    write_csv(
        tmp_path / "train.csv", [(SENTENCES[place % 5] + " the" * (place % 7), "abc"[place % 3]) for place in range(45)]
    )
    write_csv(
        tmp_path / "test.csv", [(SENTENCES[place % 5] + " the" * (place % 7), "abc"[place % 3]) for place in range(18)]
    )
    kept = done("layer=1", "pooling=max")
    texts = [row["text"] for row in read_csv(tmp_path / "test.csv")]
    source = tmp_path / f"new.{extension}"
    if extension == "parquet":
        pyarrow.parquet.write_table(pyarrow.table({"id": range(18), "body": texts}), source)
    elif extension == "jsonl":
        source.write_text("".join(json.dumps({"body": text}) + "\n" for text in texts))
    else:
        mark = "," if extension == "csv" else "\t"
        source.write_text("".join(f'0{mark}"{text}"\n' for text in ["body", *texts]).replace("0", "id", 1))
    monkeypatch.setattr("src.pipeline.prediction.BLOCK_ROWS", 7)
    words = ["record=run", f"input={source.name}", f"output=out.{extension}", "text=body", "dataset.quoting=true"]
    ended = run_main(predict.main, *words)
    assert ended.status == 0, ended.err
    out = tmp_path / f"out.{extension}"
    if extension == "parquet":
        rows = pyarrow.parquet.read_table(out).to_pylist()
    elif extension == "jsonl":
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    else:
        rows = list(csv.DictReader(out.open(), delimiter="," if extension == "csv" else "\t"))
    assert [row["label"] for row in rows] == ["abc"[number] for number in kept["prediction"]]
    np.testing.assert_allclose(
        [float(row["probability"]) for row in rows], softmax(kept["decision"]).max(axis=1), atol=1e-5
    )


def test_scores_of_pairs_encoded_apart(run_main: RunMain, done: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, number in (("train", 40), ("test", 12)):
        rows = [(SENTENCES[place % 5], SENTENCES[rng.integers(5)], place % 4 + 0.5) for place in range(number)]
        write_csv(tmp_path / f"{name}.csv", rows, ("text", "other", "label"))
    kept = done("dataset.task=regression", "dataset.text_pair=other", "pairing=separate")
    ended = run_main(predict.main, "record=run/result.json", "input=test.csv", "output=out.csv")
    assert ended.status == 0, ended.err
    found = [float(row["score"]) for row in read_csv(tmp_path / "out.csv")]
    np.testing.assert_allclose(found, kept["prediction"], atol=1e-5)
    write_csv(tmp_path / "named.csv", [("yes", "a dog")], ("text", "second"))
    assert "text_pair=" in run_main(predict.main, "record=run", "input=named.csv", "output=out.csv").err
    words = ["record=run", "input=named.csv", "output=out.csv", "text_pair=second"]
    assert run_main(predict.main, *words).status == 0


def test_a_cross_validated_record_predicts_by_the_probe_of_all_rows(
    run_main: RunMain, done: Any, tmp_path: Path
) -> None:
    done("dataset.test=null", "dataset.selection=nested", "dataset.folds=3")
    ended = run_main(predict.main, "record=run", "input=train.csv", "output=out.csv")
    assert ended.status == 0 and "all rows" in ended.out, ended
    labels = [row["label"] for row in read_csv(tmp_path / "train.csv")]
    assert [row["label"] for row in read_csv(tmp_path / "out.csv")] == labels


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_a_run_that_fitted_nothing_gives_the_similarity_of_each_row(
    similarity: str, run_main: RunMain, done: Any, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    rows = [(SENTENCES[place % 5], SENTENCES[rng.integers(5)], place % 4 + 0.5) for place in range(12)]
    write_csv(tmp_path / "test.csv", rows, ("text", "other", "label"))
    words = ["dataset.train=null", "dataset.task=regression", "dataset.text_pair=other", "probe=cosine"]
    kept = done(*words, f"probe.similarity={similarity}")
    files = ["record=run", "input=test.csv", "output=out.csv"]
    ended = run_main(predict.main, *files)
    assert ended.status == 0 and similarity in ended.out, ended
    found = [float(row["similarity"]) for row in read_csv(tmp_path / "out.csv")]
    np.testing.assert_allclose(found, kept["prediction"], atol=1e-5)
    done(*words, "probe.features=whiten")
    ended = run_main(predict.main, *files)
    assert ended.status == 1 and len(ended.lines) == 1 and "probe.features=whiten" in ended.err, ended


def test_several_draws_predict_by_the_probe_of_all_rows(run_main: RunMain, done: Any, tmp_path: Path) -> None:
    done("draws=3")
    probe = load_file(f"run/{PROBE}")
    np.testing.assert_array_equal(probe["weight"], (done(), load_file(f"run/{PROBE}"))[1]["weight"])
    done("draws=3")
    ended = run_main(predict.main, "record=run", "input=test.csv", "output=out.csv")
    assert ended.status == 0 and "fitted on train" in ended.out, ended


def test_a_few_shot_run_names_the_rows_of_its_probe(run_main: RunMain, done: Any, tmp_path: Path) -> None:
    kept = done("probe=mteb", "probe.protocol.experiments=2", "probe.protocol.samples_per_label=3")
    ended = run_main(predict.main, "record=run", "input=test.csv", "output=out.csv")
    assert ended.status == 0 and "one experiment" in ended.out, ended
    labels = [row["label"] for row in read_csv(tmp_path / "out.csv")]
    assert labels == [("no", "yes")[number] for number in kept["prediction"][0]]


def test_a_link_to_the_input_is_no_output_and_an_earlier_output_is_replaced(
    run_main: RunMain, done: Any, tmp_path: Path
) -> None:
    done()
    (tmp_path / "link.csv").symlink_to(tmp_path / "test.csv")
    before = (tmp_path / "test.csv").read_bytes()
    ended = run_main(predict.main, "record=run", "input=test.csv", "output=link.csv")
    assert ended.status == 1 and "link.csv" in ended.err and (tmp_path / "test.csv").read_bytes() == before, ended
    (tmp_path / "out.csv").write_text("earlier")
    assert run_main(predict.main, "record=run", "input=test.csv", "output=out.csv").status == 0
    assert len(read_csv(tmp_path / "out.csv")) == 20


def test_no_features_are_stored(run_main: RunMain, done: Any, tmp_path: Path) -> None:
    done()
    stored = sorted((tmp_path / "cache").rglob("*.npy"))
    write_csv(tmp_path / "new.csv", [("a dog",), ("yes",)], ("text",))
    assert run_main(predict.main, "record=run", "input=new.csv", "output=out.csv").status == 0
    assert sorted((tmp_path / "cache").rglob("*.npy")) == stored


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], ["record"]),
        (["record=run", "input=new.csv"], ["output"]),
        (["record=run", "inptu=new.csv"], ["inptu", "input"]),
        (["record=none", "input=new.csv", "output=out.csv"], ["none", "record="]),
        (["record=run", "input=none.csv", "output=out.csv"], ["none.csv"]),
        (["record=run", "input=new.csv", "output=out.csv", "text=body"], ["body", "text", "text="]),
        (["record=run", "input=new.csv", "output=out.csv", "text_pair=body"], ["text_pair=body", "one text"]),
        (["record=run", "input=header.csv", "output=out.csv"], ["header.csv", "no rows"]),
        (["record=run", "input=empty.csv", "output=out.csv"], ["empty.csv", "empty"]),
        (["record=run", "input=null.jsonl", "output=out.csv"], ["null.jsonl", "row 2"]),
        (["record=run", "input=new.csv", "output=new.csv"], ["new.csv", "input"]),
        (["record=run", "input=new.csv", "output=out.xlsx"], [".xlsx", ".csv"]),
        (["record=run", "input=-", "output=out.csv"], ["-", ".csv"]),
        (["record=run", "input=new.csv", "output=-"], ["output=-", ".csv"]),
        (["record=run", "input=bad.parquet", "output=out.csv"], ["bad.parquet"]),
        (["record=run", "input=new.csv", "output=no/out.csv"], ["no"]),
        (["record=run", "input=new.csv", "output=out.csv", "model.path=embedded:bert-books"], ["weights", "tiny-bert"]),
        (["record=run", "input=new.csv", "output=out.csv", "runtime.device=abacus"], ["abacus", "cpu"]),
        (["record=run", "input=new.csv", "output=out.csv", "runtime.threads=many"], ["runtime.threads", "many"]),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], named: list[str], run_main: RunMain, done: Any, tmp_path: Path
) -> None:
    done()
    write_csv(tmp_path / "new.csv", [("a dog",), ("yes",)], ("text",))
    write_csv(tmp_path / "header.csv", [], ("text",))
    (tmp_path / "empty.csv").touch()
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing else")
    (tmp_path / "null.jsonl").write_text('{"text": "yes"}\n{"text": null}\n')
    ended = run_main(predict.main, *words)
    assert ended.status == 1 and len(ended.lines) == 1 and all(text in ended.err for text in named), ended
    assert not list(tmp_path.glob("*out.csv*"))


def test_files_of_two_runs_are_refused(run_main: RunMain, done: Any, tmp_path: Path) -> None:
    done("pooling=cls")
    shutil.copy(tmp_path / "run" / PROBE, tmp_path)
    done("pooling=mean")
    words = ["record=run", "input=test.csv", "output=out.csv"]
    shutil.move(tmp_path / PROBE, tmp_path / "run" / PROBE)
    assert "another record" in run_main(predict.main, *words).err
    (tmp_path / "run" / PROBE).write_bytes(b"\x80\x04N.")
    assert PROBE in run_main(predict.main, *words).err
    (tmp_path / "run" / PROBE).unlink()
    ended = run_main(predict.main, *words)
    assert ended.status == 1 and len(ended.lines) == 1 and PROBE in ended.err


def test_a_probe_without_coefficients_is_refused(run_main: RunMain, done: Any) -> None:
    words = ["+probe.estimator.n_neighbors=3", "probe.grid.alpha=null", "+probe.grid.leaf_size=[30]"]
    estimator = "probe.estimator._target_=sklearn.neighbors.KNeighborsClassifier"
    done("probe.name=knn", "probe.task=classification", estimator, "probe.features=none", "probe.carve=0.2", *words)
    ended = run_main(predict.main, "record=run", "input=test.csv", "output=out.csv")
    assert ended.status == 1 and "KNeighborsClassifier" in ended.err and len(ended.lines) == 1, ended


def test_help_lists_the_keys_and_an_unknown_flag_has_status_2(run_main: RunMain) -> None:
    ended = run_main(predict.main, "--help")
    keys = ("record=", "input=", "output=", "text_pair=", "dataset.quoting=", "model.path=", "runtime.threads=")
    assert ended.status == 0 and all(key in ended.out for key in keys)
    assert run_main(predict.main, "--records").status == 2
