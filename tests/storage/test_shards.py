"""Shards of an unfinished pass: intact ones are kept, damaged and foreign files are not shards."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from src.storage.arrays import ArrayStore
from src.storage.files import Unreadable, file_digest
from tests.helpers.records import fill


@pytest.fixture
def store(tmp_path: Path) -> ArrayStore:
    return ArrayStore(tmp_path / "store")


def test_other_files_in_the_folder_are_not_shards(tmp_path: Path) -> None:
    parts = ArrayStore(tmp_path).shards("pass")
    fill(parts, 3, np.ones(2))
    parts.add_timing({"encode": 1.0})
    claim = parts.claim(4)
    (parts.folder / "5.tmp").write_bytes(b"another process is writing")
    assert set(parts.verified()) == set(parts.listed()) == {3}
    assert (parts.folder / "5.tmp").exists() and parts.claim(4) is None
    assert parts.completed(3) and not parts.completed(4) and parts.timings() == [{"encode": 1.0}]
    claim.release()


@pytest.mark.parametrize("shape", [(3, 7, 5), (1, 1, 1), (13, 300, 16)])
def test_a_shard_filled_in_any_order_is_the_file_that_numpy_writes(shape: tuple[int, int, int], tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    flat = values.reshape(-1, shape[-1])
    one = ArrayStore(tmp_path / "a").shards("pass")
    with one.open_writer(4, shape) as writer:
        for rows in np.array_split(np.random.default_rng(1).permutation(len(flat)), min(3, len(flat))):
            writer.rows(rows, flat[rows])
    assert not one.verified()  # full, and no shard before it is written
    filled = one.commit(4)
    np.save(tmp_path / "saved.npy", values)
    assert filled.read_bytes() == (tmp_path / "saved.npy").read_bytes() and file_digest(filled) in filled.name
    assert set(one.verified()) == {4}


def test_intact_shards_are_kept_and_damaged_ones_removed(store: ArrayStore) -> None:
    parts = store.shards("pass")
    for number in range(3):
        fill(parts, number, np.full((2, 2), number, np.float32))
    damaged = sorted(parts.folder.iterdir())[1]
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    (parts.folder / "7.tmp").write_bytes(b"half of a shard")
    finished = store.shards("pass").verified()
    assert sorted(finished) == [0, 2]
    assert np.load(finished[2]).tolist() == [[2, 2], [2, 2]]
    parts.finish()
    assert sorted(parts.verified()) == [0, 2] and not (parts.folder / "7.tmp").exists()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "[" * 100_000, '{"encode": "x"}', '{"encode": NaN}', '{"encode": true}', "3", '{"encode": null}'],
)
def test_a_damaged_timing_is_ignored_with_a_warning(
    store: ArrayStore, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    parts = store.shards("pass")
    parts.add_timing({"encode": 1.0, "pool": 2.0})
    (parts.folder / f"{'e' * 32}.json").write_text(content)
    assert parts.timings() == [{"encode": 1.0, "pool": 2.0}]
    assert "left out" in caplog.text


@pytest.mark.parametrize("header", ["{'descr': (", "  x\n y", "[" * 500])
def test_an_array_whose_header_is_no_literal_is_damaged(store: ArrayStore, header: str) -> None:
    parts = store.shards("pass")
    parts.folder.mkdir(parents=True)
    text = (header + "\n").encode()
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    (parts.folder / f"000000-{hashlib.sha256(content).hexdigest()}.npy").write_bytes(content)
    assert parts.verified() == {}


def test_a_shard_of_another_shape_is_damaged(store: ArrayStore) -> None:
    parts = store.shards("pass")
    path = fill(parts, 0, np.ones((2, 2), np.float32))
    with pytest.raises(Unreadable):
        parts.read(path, (3, 2))
    assert parts.verified({0: (2, 2)}) == {0: path}
    assert parts.verified({0: (3, 2)}) == parts.listed() == {}


def test_a_shard_that_another_process_removes_meanwhile_is_missing(
    store: ArrayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = store.shards("pass")
    path = fill(parts, 0, np.ones((2, 2), np.float32))
    path.unlink()
    monkeypatch.setattr(type(parts), "listed", lambda self: {0: path})
    assert parts.verified() == {}
    with pytest.raises(FileNotFoundError):
        parts.read(path, (2, 2))
