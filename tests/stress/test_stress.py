"""Tests of the store after kills and damage: the cases that the stress test found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.features.extractor import FeatureExtractor
from src.storage.arrays import ArrayStore
from src.storage.npy import ArrayWriter
from src.storage.shards import ShardStore
from tests.helpers.extraction import make_column, make_extractor
from tests.helpers.records import fill

KEY = ArrayStore.key({"a": 1})


def interrupted(one: FeatureExtractor, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Run an extraction of `mean` that fails after `after` values."""
    sound, done = ArrayStore._place, 0

    def place(self: ArrayStore, name: str, above: int, kind: str, *rest: Any) -> None:
        nonlocal done
        if kind == "features":
            done += 1
            if done > after:
                raise RuntimeError("power cut")
        sound(self, name, above, kind, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(ArrayStore, "_place", place)
        with pytest.raises(RuntimeError, match="power cut"):
            one.features(make_column(), ("mean", 2))


@pytest.mark.parametrize("after", [0, 1, 5])
def test_a_pass_killed_while_writing_values_encodes_nothing_again(
    after: int, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = np.array(make_extractor(bert, tmp_path / "a").features(make_column(), ("mean", 2)).values)
    interrupted(make_extractor(bert, tmp_path / "b"), monkeypatch, after)
    again = make_extractor(bert, tmp_path / "b")
    assert len(list((tmp_path / "b").glob("features/*/*"))) == after
    found = again.features(make_column(), ("mean", 2))
    assert again.encoded == 0
    assert not found.hit
    np.testing.assert_array_equal(found.values, expected)
    assert len(list((tmp_path / "b").glob("features/*/*"))) == len(list((tmp_path / "a").glob("features/*/*")))


def test_the_requested_value_is_written_last(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = len(make_extractor(bert, tmp_path).base_targets([2]))
    interrupted(make_extractor(bert, tmp_path), monkeypatch, values - 1)
    one = make_extractor(bert, tmp_path)
    targets = one.base_targets([2])
    there = {target[0]: one.store.has("features", one._key(make_column(), target)) for target in targets}
    assert [name for name, found in there.items() if not found] == ["mean"]


def test_temporary_files_of_a_killed_pass_are_removed(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, target = make_column(), ("mean", 2)
    one = make_extractor(bert, tmp_path)
    half = tmp_path / "tmp" / f"{one._key(text, target)[:16]}-0"
    other = tmp_path / "tmp" / "of-another-process"
    half.mkdir(parents=True)
    other.mkdir()
    monkeypatch.setattr(ShardStore, "finish", lambda self: None)  # killed just before it would have
    one.features(text, target)
    monkeypatch.undo()
    assert not half.exists()
    assert other.exists()
    assert list(tmp_path.glob("passes/*/claims"))
    assert make_extractor(bert, tmp_path).features(text, target).hit
    assert not list(tmp_path.glob("passes/*/claims"))


def test_a_hit_keeps_the_shards_of_an_unfinished_pass(bert: Path, tmp_path: Path) -> None:
    one = make_extractor(bert, tmp_path)
    one.features(make_column(), ("mean", 2))
    parts = one.shard_store(make_column(), one.base_targets([1]))
    fill(parts, 0, np.ones(3))
    assert make_extractor(bert, tmp_path).features(make_column(), ("mean", 2)).hit
    assert set(parts.verified()) == {0}


def test_finished_shards_reduce_the_required_space(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed: list[int] = []
    monkeypatch.setattr(ArrayStore, "require_space", lambda self, size: needed.append(size))
    interrupted(make_extractor(bert, tmp_path), monkeypatch, 0)
    make_extractor(bert, tmp_path).features(make_column(), ("mean", 2))
    assert needed[1] <= 0 < needed[0]


@pytest.mark.parametrize("seed", range(8))
def test_a_changed_bit_of_the_metadata_is_detected(seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = ArrayStore(tmp_path)
    meta = {"truncated": 12, "facts": json.dumps({"layers": 2, "width": 32})}
    store.put("facts", KEY, {}, meta)
    path = store.folder("facts", KEY) / "meta.json"
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    found = store.get("facts", KEY)
    assert found.meta == meta if found else "damaged" in caplog.text  # a blank may become another kind of blank


def test_strange_files_among_the_shards_are_kept(tmp_path: Path) -> None:
    parts = ArrayStore(tmp_path).shards("pass")
    fill(parts, 3, np.ones(2))
    strange = [parts.folder / "000001-folder.npy" / "inner", parts.folder / "strange", parts.folder / "claims" / "mine"]
    for path in strange:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"another's")
    parts.claim(4).release()
    assert set(parts.verified()) == set(parts.listed()) == {3}
    parts.finish()
    assert all(path.read_bytes() == b"another's" for path in strange)
    kept = {path.name for path in parts.folder.iterdir()} - {parts.listed()[3].name}
    assert kept == {"000001-folder.npy", "strange", "claims"}


def test_a_short_write_loses_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    whole = os.pwrite
    values = np.arange(40, dtype=np.float32).reshape(10, 4)
    writer = ArrayWriter(tmp_path / "a.npy", values.shape, np.float32)
    monkeypatch.setattr(os, "pwrite", lambda file, data, place: whole(file, data[:7], place))
    writer.rows(np.array([5, 6, 7, 8, 9, 0, 1, 2, 3, 4]), np.roll(values, 5, axis=0))
    writer.close()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), values)


def test_a_refusal_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.stress.__main__ import main
    from tests.stress.processes import FinishedProcess, is_clear_refusal

    for argument in ("part=flood", "kill=3"):
        with pytest.raises(SystemExit) as ended:
            main([argument])
        assert ended.value.code == 1
        assert capsys.readouterr().err.startswith("error: ")
    assert not is_clear_refusal(FinishedProcess(1, "", "Traceback (most recent call last):\nerror: x", 0, 0))
