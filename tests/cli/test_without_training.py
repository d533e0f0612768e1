"""Commands on a dataset without a training split: features are extracted, a fitted probe is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from src import extract, run
from src.results.result import RECORD
from tests.cli.refusals import Command, assert_refused
from tests.conftest import SENTENCES
from tests.helpers.datasets import write_files


@pytest.fixture
def words(bert: Path, tmp_path: Path) -> list[str]:
    """Return the overrides of a year with two sets, of whose 24 pairs one has no gold score."""
    pairs = [f"{SENTENCES[row % 4]}\t{SENTENCES[(row + row // 4) % 8]}\n" for row in range(12)]
    files = {f"STS.input.{name}.txt": "".join(pairs) for name in ("MSRpar", "MSRvid")}
    gold = [f"{row % 6}\n" for row in range(12)]
    files |= {"STS.gs.MSRpar.txt": "".join(gold), "STS.gs.MSRvid.txt": "".join(["\n", *gold[1:]])}
    write_files(tmp_path / "data/senteval/STS/STS12-en-test", files)
    options = ["tracker=none", "runtime.progress=false", "dataset.local.files.test=[MSRpar,MSRvid]"]
    return ["dataset=sts12", "data_root=data", "model=checkpoint", f"model.path={bert}", *options]


@pytest.mark.parametrize("more", [[], ["probe=senteval"], ["data_root=null"], ["data_root=nowhere"]])
def test_a_fitted_probe_is_refused_before_any_file_is_read(
    run_main: Command, words: list[str], more: list[str]
) -> None:
    ended = run_main(run.main, *words, *more)
    if "probe=senteval" in more:  # a classifier's
        assert_refused(ended, "probe=senteval")
        return
    assert_refused(ended, "sts12 has no training split", "probe=cosine", "dataset.splits.train")
    assert len(ended.lines) == 1


def test_a_similarity_needs_no_file_of_a_training_split(
    run_main: Command, bert: Path, words: list[str], tmp_path: Path
) -> None:
    rows = "".join(f"g\tf\t2015\t{row}\t{row % 5}\t{SENTENCES[row % 4]}\t{SENTENCES[row % 7]}\n" for row in range(20))
    write_files(tmp_path / "data/glue_data/STS-B", {"original/sts-test.tsv": rows})
    words = ["dataset=stsb", "dataset.splits.test=test", *words[1:5], "probe.resamples=200"]
    ended = run_main(run.main, *words, "probe=cosine", "hydra.run.dir=run")
    assert ended.status == 0, ended.err
    assert json.loads((tmp_path / "run" / RECORD).read_text())["counts"]["test"] == 20
    assert_refused(run_main(run.main, *words, "probe=ridge"), "train.tsv", "data_root")


def test_features_are_extracted_without_a_training_split(run_main: Command, words: list[str], tmp_path: Path) -> None:
    ended = run_main(extract.main, *words, "pairing=separate", "output=out")
    assert ended.status == 0, ended.err
    assert ended.out.splitlines() == ["out/test.safetensors: 23 rows, cache miss"]
    written = load_file(tmp_path / "out" / "test.safetensors")
    assert written["features"].shape == (23, 64) and written["labels"][12] == 1


def test_a_record_counts_the_pairs_without_a_gold_score(run_main: Command, words: list[str], tmp_path: Path) -> None:
    folds = ["+dataset.splits.train=test", "dataset.selection=nested", "dataset.folds=2"]
    ended = run_main(run.main, *words, *folds, "hydra.run.dir=run")
    assert ended.status == 0, ended.err
    record = json.loads((tmp_path / "run" / RECORD).read_text())
    assert record["counts"]["test"] == 23 and record["counts"]["left_out"] == 1
    assert record["provenance"]["data"]["left_out"] == {"test": 1}
