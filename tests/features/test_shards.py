"""Shares of one forward pass make the same bits as one job does, whoever makes them, and nobody waits while there is work."""

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
from tests.features.test_extractor import extractor, make_text
from tests.pipeline.test_pipeline import config

Door = Callable[..., Ended]
TARGET = ("mean", 2)


@pytest.mark.parametrize("shards", [2, 8])
def test_shares_put_together_are_the_whole_pass(shards: int, bert: Path, tmp_path: Path) -> None:
    text = make_text(300)
    whole = extractor(bert, tmp_path / "a")
    expected = np.array(whole.features(text, TARGET, [1]).values)
    encoded, left = 0, []
    for shard in reversed(range(shards)):
        one = extractor(bert, tmp_path / "b")
        left.append(one.encode_shard(text, TARGET, [1], shard, shards))
        encoded += one.encoded
    assert encoded == 300
    assert left == sorted(left, reverse=True) and left[-1] == 0 and all(left[:-1])
    found = extractor(bert, tmp_path / "b").features(text, TARGET)
    assert found.hit and found.timing["jobs"] == shards
    np.testing.assert_array_equal(found.values, expected)
    assert {path.name for path in (tmp_path / "a").glob("features/*/*")} == {
        path.name for path in (tmp_path / "b").glob("features/*/*")
    }
    assert not any((tmp_path / "b" / "partial").iterdir())


def test_a_share_that_is_stored_loads_no_model(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor(bert, tmp_path).features(make_text(), TARGET)
    monkeypatch.setattr(Encoder, "forward", None)
    again = extractor(bert, tmp_path)
    assert again.encode_shard(make_text(), TARGET, [], 0, 4) == 0
    assert again._encoder is None


def test_shares_that_nobody_made_are_made_by_the_job_that_needs_them(bert: Path, tmp_path: Path) -> None:
    text = make_text(300)
    expected = np.array(extractor(bert, tmp_path / "a").features(text, TARGET).values)
    one, other = extractor(bert, tmp_path / "b"), extractor(bert, tmp_path / "b")
    assert one.encode_shard(text, TARGET, [], 1, 3) > 0
    found = other.features(text, TARGET)
    assert one.encoded + other.encoded == 300 and one.encoded and other.encoded
    assert found.timing["shards_resumed"] > 0 and found.timing["encode"] > 0
    np.testing.assert_array_equal(found.values, expected)


def test_what_another_process_has_claimed_is_left_to_it(bert: Path, tmp_path: Path) -> None:
    text = make_text(300)
    one = extractor(bert, tmp_path)
    parts = one.shard_store(text, one.supported_targets([2]))
    claim = parts.claim(0)
    assert parts.claim(0) is None
    left = one.encode_shard(text, TARGET, [], 0, 1)
    assert left == 1 and 0 not in parts.listed()
    claim.release()
    assert extractor(bert, tmp_path).encode_shard(text, TARGET, [], 0, 1) == 0


def test_jobs_of_src_extract_share_a_split_and_the_last_writes_the_files(
    door: Door, files: list[str], tmp_path: Path
) -> None:
    assert door(extract.main, *files, "output=whole", "runtime.cache_dir=alone").status == 0
    for shard, written in ((0, False), (1, False), (2, True)):
        ended = door(extract.main, *files, "output=shared", "runtime.shards=3", f"runtime.shard={shard}")
        assert ended.status == 0, ended.err
        assert (tmp_path / "shared" / "train.safetensors").exists() == written
    ended = door(
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
def test_the_files_are_written_wherever_in_a_job_the_other_one_does_its_share(
    place: int, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two splits; the other job runs whole before the first share of this one, between the two, or after them.

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
    assert not any((tmp_path / "store" / "partial").iterdir())


def test_what_is_left_of_a_pass_is_counted_without_encoding(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = make_text(300)
    one = extractor(bert, tmp_path)
    left = one.encode_shard(text, TARGET, [], 0, 2)
    monkeypatch.setattr(Encoder, "forward", None)
    assert extractor(bert, tmp_path).remaining_shards(text, TARGET, []) == left > 0
    monkeypatch.undo()
    one.features(text, TARGET)
    assert one.remaining_shards(text, TARGET, []) == 0


def test_shards_that_are_gone_because_another_job_put_them_together_are_not_left(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = make_text(300)
    one, named = extractor(bert, tmp_path), ShardStore.listed

    def too_late(self: ShardStore) -> dict[int, Path]:
        monkeypatch.undo()
        extractor(bert, tmp_path).features(text, TARGET)
        return named(self)

    one.encode_shard(text, TARGET, [], 0, 2)
    monkeypatch.setattr(ShardStore, "listed", too_late)
    assert one.remaining_shards(text, TARGET, []) == 0


def test_half_a_shard_counts_towards_the_room_that_a_pass_needs(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, needed = make_text(300), []
    monkeypatch.setattr(ArrayStore, "require_space", lambda self, size: needed.append(size))
    monkeypatch.setattr(Encoder, "forward", None)
    one = extractor(bert, tmp_path)
    parts = one.shard_store(text, one.supported_targets([2]))
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
def test_shares_that_nobody_would_take_up_are_refused(
    main: Callable[[], None], words: list[str], message: str, door: Door, files: list[str]
) -> None:
    ended = door(main, *files, *words)
    assert ended.status == 1 and message in ended.err


def test_jobs_that_would_write_over_one_another_are_refused(door: Door, files: list[str], tmp_path: Path) -> None:
    ended = door(extract.main, "-m", *files, "output=out", "pooling=cls,mean")
    assert ended.status == 1 and "2 jobs would write into this folder" in ended.err
    assert door(extract.main, "-m", *files, "output=${pooling.name}", "pooling=cls,last4_mean").status == 1
    assert (tmp_path / "cls" / "train.safetensors").is_file()  # and the other is refused for its own reason
