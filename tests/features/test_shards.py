"""Several processes that share a forward pass give the same bits as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from src import extract, run
from src.features.extractor import FeatureExtractor
from src.features.inputs import EncoderInput
from src.models.encoder import Encoder
from src.pipeline import extraction
from src.storage.arrays import ArrayStore
from src.storage.shards import ShardStore
from tests.conftest import Ended
from tests.helpers.extraction import make_column, make_extractor
from tests.pipeline.test_pipeline import config

RunMain = Callable[..., Ended]
TARGET = ("mean", 2)


@pytest.mark.parametrize("shards", [2, 8])
def test_shared_shards_equal_the_whole_pass(shards: int, bert: Path, tmp_path: Path) -> None:
    text = make_column(300)
    whole = make_extractor(bert, tmp_path / "a")
    expected = np.array(whole.features(text, TARGET, [1]).values)
    encoded, left = 0, []
    for shard in reversed(range(shards)):
        one = make_extractor(bert, tmp_path / "b")
        left.append(one.encode_shard(text, TARGET, [1], shard, shards))
        encoded += one.encoded
    assert encoded == 300
    assert left == sorted(left, reverse=True) and left[-1] == 0 and all(left[:-1])
    found = make_extractor(bert, tmp_path / "b").features(text, TARGET)
    assert found.hit and found.timing["jobs"] == shards
    np.testing.assert_array_equal(found.values, expected)
    assert {path.name for path in (tmp_path / "a").glob("features/*/*")} == {
        path.name for path in (tmp_path / "b").glob("features/*/*")
    }
    assert not list((tmp_path / "b").glob("passes/*/claims"))


def test_stored_features_load_no_model(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_extractor(bert, tmp_path).features(make_column(), TARGET)
    monkeypatch.setattr(Encoder, "forward", None)
    again = make_extractor(bert, tmp_path)
    assert again.encode_shard(make_column(), TARGET, [], 0, 4) == 0
    assert again._encoder is None


def test_missing_shards_are_encoded_by_the_job_that_needs_them(bert: Path, tmp_path: Path) -> None:
    text = make_column(300)
    expected = np.array(make_extractor(bert, tmp_path / "a").features(text, TARGET).values)
    one, other = make_extractor(bert, tmp_path / "b"), make_extractor(bert, tmp_path / "b")
    assert one.encode_shard(text, TARGET, [], 1, 3) > 0
    found = other.features(text, TARGET)
    assert one.encoded + other.encoded == 300 and one.encoded and other.encoded
    assert found.timing["shards_resumed"] > 0 and found.timing["encode"] > 0
    np.testing.assert_array_equal(found.values, expected)


def test_shards_claimed_by_another_process_are_not_encoded(bert: Path, tmp_path: Path) -> None:
    text = make_column(300)
    one = make_extractor(bert, tmp_path)
    parts = one.shard_store(text, one.base_targets([2]))
    claim = parts.claim(0)
    assert parts.claim(0) is None
    left = one.encode_shard(text, TARGET, [], 0, 1)
    assert left == 1 and 0 not in parts.listed()
    claim.release()
    assert make_extractor(bert, tmp_path).encode_shard(text, TARGET, [], 0, 1) == 0


def test_the_last_of_several_extract_jobs_writes_the_files(run_main: RunMain, files: list[str], tmp_path: Path) -> None:
    assert run_main(extract.main, *files, "output=whole", "runtime.cache_dir=alone").status == 0
    for shard, written in ((0, False), (1, False), (2, True)):
        ended = run_main(extract.main, *files, "output=shared", "runtime.shards=3", f"runtime.shard={shard}")
        assert ended.status == 0, ended.err
        assert (tmp_path / "shared" / "train.safetensors").exists() == written
    ended = run_main(
        extract.main,
        "-m",
        *files,
        "output=swept",
        "runtime.shards=3",
        "runtime.shard=range(3)",
        "runtime.cache_dir=other",
    )
    assert ended.status == 0 and "3 done, 0 skipped, 0 failed" in ended.out
    for folder in ("shared", "swept"):
        for name in ("train", "test"):
            one, other = (load_file(tmp_path / each / f"{name}.safetensors") for each in ("whole", folder))
            assert all(np.array_equal(one[key], other[key]) for key in ("features", "labels"))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_files_are_written_whenever_the_other_job_runs(
    place: int, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other job runs before, between or after the two splits of this job.

    Between the two, each job is the last at one split: each once left the files to the other.
    """
    settings = config(bert, tmp_path)
    alone = replace(settings, runtime=replace(settings.runtime, cache_dir=str(tmp_path / "alone")))
    whole = extraction.extract(alone, tmp_path / "whole")
    share, began = FeatureExtractor.encode_shard, False

    def job(number: int) -> None:
        runtime = replace(settings.runtime, shards=2, shard=number)
        extraction.extract(replace(settings, runtime=runtime), tmp_path / "shared")

    def interrupted(self: FeatureExtractor, text: EncoderInput, *rest: Any) -> int:
        nonlocal began
        name = text.label.partition("/")[2]
        if not began and (place, name) in ((0, "train"), (1, "test")):
            began = True
            job(1)
        left = share(self, text, *rest)
        if not began and (place, name) == (2, "test"):
            began = True
            job(1)
        return left

    monkeypatch.setattr(FeatureExtractor, "encode_shard", interrupted)
    job(0)
    assert began
    for path in whole:
        assert (tmp_path / "shared" / path.name).read_bytes() == path.read_bytes()
    assert not list((tmp_path / "store").glob("passes/*/claims"))


def test_remaining_shards_are_counted_without_encoding(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = make_column(300)
    one = make_extractor(bert, tmp_path)
    left = one.encode_shard(text, TARGET, [], 0, 2)
    monkeypatch.setattr(Encoder, "forward", None)
    assert make_extractor(bert, tmp_path).remaining_shards(text, TARGET, []) == left > 0
    monkeypatch.undo()
    one.features(text, TARGET)
    assert one.remaining_shards(text, TARGET, []) == 0


def test_shards_of_a_pass_that_another_job_finished_do_not_remain(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = make_column(300)
    one, named = make_extractor(bert, tmp_path), ShardStore.listed

    def too_late(self: ShardStore) -> dict[int, Path]:
        monkeypatch.undo()
        make_extractor(bert, tmp_path).features(text, TARGET)
        return named(self)

    one.encode_shard(text, TARGET, [], 0, 2)
    monkeypatch.setattr(ShardStore, "listed", too_late)
    assert one.remaining_shards(text, TARGET, []) == 0


def test_partial_shards_count_towards_the_required_space(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, needed = make_column(300), []
    monkeypatch.setattr(ArrayStore, "require_space", lambda self, size: needed.append(size))
    monkeypatch.setattr(Encoder, "forward", None)
    one = make_extractor(bert, tmp_path)
    parts = one.shard_store(text, one.base_targets([2]))
    for half in (0, 1000):
        with parts.open_writer(0, (1, half // 4, 1)):
            pass
        for once in (lambda: one.encode_shard(text, TARGET, [], 0, 1), lambda: one.features(text, TARGET)):
            with pytest.raises(TypeError):
                once()
            with parts.open_writer(0, (1, half // 4, 1)):  # as a killed job leaves it
                pass
    assert [before - after for before, after in zip(needed[:2], needed[2:], strict=True)] == [1000, 1000]


@pytest.mark.parametrize(
    ("main", "words", "message"),
    [
        (run.main, ["runtime.shards=2", "runtime.shard=0"], "is for python -m src.extract"),
        (run.main, ["runtime.shards=2"], "Add -m and a launcher"),
        (extract.main, ["runtime.shards=2", "output=out"], "Add -m and a launcher"),
        (extract.main, ["runtime.shards=2", "runtime.shard=2", "output=out"], "0 to 1"),
        (extract.main, ["runtime.shard=1", "output=out"], "0 to 0"),
        (run.main, ["runtime.shards=0"], "at least 1"),
    ],
)
def test_useless_options_of_shards_are_refused(
    main: Callable[[], None], words: list[str], message: str, run_main: RunMain, files: list[str]
) -> None:
    ended = run_main(main, *files, *words)
    assert ended.status == 1 and message in ended.err


def test_jobs_with_the_same_output_are_refused(run_main: RunMain, files: list[str], tmp_path: Path) -> None:
    ended = run_main(extract.main, "-m", *files, "output=out", "pooling=cls,mean")
    assert ended.status == 1 and "2 jobs would write into this folder" in ended.err
    assert run_main(extract.main, "-m", *files, "output=${pooling.name}", "pooling=cls,last4_mean").status == 1
    assert (tmp_path / "cls" / "train.safetensors").is_file()  # and the other is refused for its own reason
