"""An extraction writes the features that a run probes, in the order of the rows, with their labels."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from src import extract, run
from src.features.extractor import FeatureExtractor
from src.features.inputs import EncoderInput
from src.features.vectors import PooledFeatures
from tests.conftest import SENTENCES, Ended, write_csv

RunMain = Callable[..., Ended]


def notes(path: Path) -> dict[str, str]:
    with safe_open(path, framework="numpy") as file:
        metadata: dict[str, str] = file.metadata()
    return metadata


def test_features_are_those_that_a_run_probes(
    run_main: RunMain, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed = []
    read = FeatureExtractor.features

    def watched(self: FeatureExtractor, text: EncoderInput, *rest: object) -> PooledFeatures:
        found = read(self, text, *rest)  # type: ignore[arg-type]
        probed.append(np.array(found.values))
        return found

    ended = run_main(extract.main, *files, "pooling=cls", "output=out")
    assert ended.status == 0, ended.err
    assert ended.out.splitlines() == [
        "out/train.safetensors: 40 rows, cache miss",
        "out/test.safetensors: 20 rows, cache miss",
    ]
    monkeypatch.setattr(FeatureExtractor, "features", watched)
    assert run_main(run.main, *files, "pooling=cls").status == 0
    for name, values in zip(("train", "test"), probed, strict=True):
        written = load_file(tmp_path / "out" / f"{name}.safetensors")
        assert written["features"].dtype == np.float32
        np.testing.assert_array_equal(written["features"], values)
    again = run_main(extract.main, *files, "pooling=cls", "output=again")
    assert again.out.count("cache hit") == 2


def test_rows_keep_their_order_and_labels_their_names(run_main: RunMain, files: list[str], tmp_path: Path) -> None:
    rows = [
        (SENTENCES[place], label)
        for place, label in zip((2, 0, 3, 1, 0), ("yes", "no", "no", "yes", "no"), strict=True)
    ]
    write_csv(tmp_path / "train.csv", rows)
    write_csv(tmp_path / "test.csv", rows[::-1])
    assert run_main(extract.main, *files, "output=out").status == 0
    train, test = (load_file(tmp_path / "out" / f"{name}.safetensors") for name in ("train", "test"))
    np.testing.assert_allclose(train["features"], test["features"][::-1], atol=1e-6)
    assert np.array_equal(train["features"][1], train["features"][4]) and not np.allclose(
        train["features"][0], train["features"][1]
    )
    assert train["labels"].dtype == np.int64
    about = notes(tmp_path / "out" / "train.safetensors")
    assert [json.loads(about["classes"])[label] for label in train["labels"]] == [label for _, label in rows]
    assert (about["pooling"], about["layer"], about["model"], about["pairing"]) == ("mean", "2", "tiny-bert", "joint")


def test_regression_labels_are_numbers(run_main: RunMain, files: list[str], tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", [("yes", 0.5), ("a dog", 2), ("the cat", -1.25)])
    write_csv(tmp_path / "test.csv", [("yes", 3)])
    assert run_main(extract.main, *files, "dataset.task=regression", "output=out").status == 0
    labels = load_file(tmp_path / "out" / "train.safetensors")["labels"]
    assert labels.dtype == np.float32 and labels.tolist() == [0.5, 2.0, -1.25]


def test_separate_pairs_are_four_times_as_wide(run_main: RunMain, files: list[str], tmp_path: Path) -> None:
    for name in ("train", "test"):
        write_csv(tmp_path / f"{name}.csv", [("a dog", "yes", 0), ("yes", "a dog", 1)], ("text", "other", "label"))
    pair = [*files, "dataset.text_pair=other"]
    assert run_main(extract.main, *pair, "pairing=separate", "output=apart").status == 0
    assert run_main(extract.main, *pair, "output=joint").status == 0
    apart, joint = (load_file(tmp_path / name / "train.safetensors")["features"] for name in ("apart", "joint"))
    assert apart.shape == (2, 64) and joint.shape == (2, 16)
    u, v, difference, product = np.split(apart, 4, axis=1)
    np.testing.assert_allclose(difference, np.abs(u - v), rtol=1e-6)
    np.testing.assert_allclose(product, u * v, rtol=1e-6)
    np.testing.assert_allclose(u, v[::-1], atol=1e-6)


def test_texts_and_labels_are_checked_and_not_whether_a_probe_could_be_fitted(
    run_main: RunMain, files: list[str], tmp_path: Path
) -> None:
    write_csv(tmp_path / "train.csv", [("yes", "only")] * 3)
    write_csv(tmp_path / "test.csv", [("yes", "another"), ("a dog", "only")])
    assert run_main(extract.main, *files, "output=out").status == 0
    about = notes(tmp_path / "out" / "test.safetensors")
    assert json.loads(about["classes"]) == ["only", "another"]
    assert load_file(tmp_path / "out" / "test.safetensors")["labels"].tolist() == [1, 0]
    write_csv(tmp_path / "test.csv", [("yes", "")])
    assert "no label" in run_main(extract.main, *files, "output=out").err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], ["output=FOLDER"]),
        (["output=/dev/null/x"], ["output=/dev/null/x", "Not a directory"]),
        (["output=train.csv"], ["output=train.csv"]),
        (["output=out", "-m", "pooling=cls,max"], ["output=out", "2 jobs would write into this folder"]),
        (["+output=out", "-m", "pooling=cls,max"], ["output=out"]),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(
    run_main: RunMain, files: list[str], words: list[str], named: list[str]
) -> None:
    ended = run_main(extract.main, *files, *words)
    assert ended.status == 1 and len(ended.lines) == 1 and all(text in ended.err for text in named), ended


def test_an_untrained_pooler_is_warned_of(
    run_main: RunMain,
    files: list[str],
    make_checkpoint: Callable[..., Path],
    vocabulary: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    from transformers import BertConfig, BertModel

    sizes = {
        "hidden_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 32,
    }
    fresh = make_checkpoint(BertModel(BertConfig(vocab_size=len(vocabulary), **sizes)), "fresh")
    words = [f"model.path={fresh}", "pooling=pooler", "layer=1", "output=out"]
    assert run_main(extract.main, *files, *words).status == 0
    assert "never trained" in caplog.text


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["input=a.csv", "dataset=demo_sentiment"], ["input=a.csv", "dataset=demo_sentiment"]),
        (["input=a.csv", "input=b.csv"], ["input=a.csv", "input=b.csv"]),
        (["input="], ["input=FILE"]),
    ],
)
def test_an_input_is_one_file(words: list[str], named: list[str], run_main: RunMain) -> None:
    ended = run_main(extract.main, *words, "output=out")
    assert ended.status == 1 and all(text in ended.err for text in named), ended.err


def test_rows_without_labels_have_features_alone(run_main: RunMain, files: list[str], tmp_path: Path) -> None:
    """The features are those of the same rows with labels; the labelled file beside them keeps its labels."""
    assert run_main(extract.main, *files, "output=labelled").status == 0
    texts = [(row["text"],) for row in csv.DictReader((tmp_path / "train.csv").open())]
    write_csv(tmp_path / "train.csv", texts, ("text",))
    assert run_main(extract.main, *files, "output=out").status == 0
    before, train, test = (
        load_file(tmp_path / name) for name in
        ("labelled/train.safetensors", "out/train.safetensors", "out/test.safetensors")
    )  # fmt: skip
    assert set(train) == {"features"} and set(test) == {"features", "labels"}
    np.testing.assert_array_equal(train["features"], before["features"])
    rest = [word for word in files if not word.startswith("dataset")]
    assert run_main(extract.main, *rest, "input=train.csv", "output=plain").status == 0
    np.testing.assert_array_equal(load_file(tmp_path / "plain/train.safetensors")["features"], before["features"])
    alone = [word for word in files if not word.startswith("dataset.t")]
    assert (
        run_main(extract.main, *alone, "dataset.validation=train.csv", "dataset.label=null", "output=one").status == 0
    )
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["validation.safetensors"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["dataset.label=lable"], ["lable", "label"]),
        (["dataset.label=null", "dataset.test=null", "dataset.test_fraction=0.5"], ["test_fraction"]),
        (["dataset.train=header.csv"], ["header.csv", "no rows"]),
        (["dataset.text=body"], ["body", "text"]),
    ],
)
def test_labels_are_left_out_on_purpose_alone(
    run_main: RunMain, files: list[str], tmp_path: Path, words: list[str], named: list[str]
) -> None:
    write_csv(tmp_path / "header.csv", [], ("text",))
    ended = run_main(extract.main, *files, *words, "output=out")
    assert ended.status == 1 and len(ended.lines) == 1 and all(text in ended.err for text in named), ended


def test_a_run_needs_labels(run_main: RunMain, files: list[str], tmp_path: Path) -> None:
    write_csv(tmp_path / "test.csv", [("yes",)], ("text",))
    ended = run_main(run.main, *files)
    assert ended.status == 1 and "label" in ended.err and len(ended.lines) == 1, ended
