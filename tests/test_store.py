from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src.errors import UserError
from src.store import ArrayWriter, Store
from tests.records import fill


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


KEY = Store.key({"a": 1})


def test_what_was_put_comes_back_mapped_and_read_only(store: Store) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    store.put("features", KEY, {"values": values}, {"note": "x"})
    found = store.get("features", KEY)
    assert found is not None
    np.testing.assert_array_equal(found.arrays["values"], values)
    assert found.meta == {"note": "x"}
    assert isinstance(found.arrays["values"], np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found.arrays["values"][0, 0] = 1


def test_keys_come_from_values_not_from_their_order() -> None:
    assert Store.key({"a": 1, "b": [2, {"c": 3, "d": 4}]}) == Store.key({"b": [2, {"d": 4, "c": 3}], "a": 1})
    assert Store.key({"a": 1}) != Store.key({"a": 2}) != Store.key({"b": 2})


@pytest.mark.parametrize("place", [0, 60, 200, -1])
def test_one_flipped_byte_anywhere_is_noticed_and_the_value_set_aside(store: Store, place: int, caplog: pytest.LogCaptureFixture) -> None:
    store.put("features", KEY, {"values": np.ones((20, 4), np.float32)}, {})
    path = store.folder("features", KEY) / "values.npy"
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert store.get("features", KEY) is None
    assert "damaged" in caplog.text
    assert not store.has("features", KEY)
    store.put("features", KEY, {"values": np.ones((20, 4), np.float32)}, {})
    assert store.get("features", KEY) is not None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"meta": {}, "sha256": {"values": 3}}', '{"sha256": {}}'])
def test_damaged_notes_are_noticed(store: Store, content: str) -> None:
    store.put("features", KEY, {"values": np.ones(3)}, {})
    (store.folder("features", KEY) / "meta.json").write_text(content)
    assert store.get("features", KEY) is None


def test_a_value_is_whole_or_not_there(store: Store) -> None:
    with pytest.raises(RuntimeError), store.writing("features", KEY, {}) as folder:
        np.save(folder / "values.npy", np.ones(3))
        raise RuntimeError
    assert store.get("features", KEY) is None
    assert not any((store.root / "tmp").iterdir())


def test_no_pickle_is_loaded(store: Store) -> None:
    store.put("features", KEY, {"values": np.ones(3)}, {})
    folder = store.folder("features", KEY)
    np.save(folder / "values.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    from src.store import sha256

    (folder / "meta.json").write_text(json.dumps({"meta": {}, "sha256": {"values": sha256(folder / "values.npy")}}))
    assert store.get("features", KEY) is None


def test_a_full_disk_is_said_and_leaves_nothing_behind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("features", Store.key({"a": 0}), {"values": np.ones(3)}, {})

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    monkeypatch.setattr(os, "ftruncate", full)
    with pytest.raises(UserError, match="is full"):
        store.put("features", KEY, {"values": np.ones(3)}, {})
    with pytest.raises(UserError, match="is full"):
        fill(store.parts("p"), 0, np.ones(3))
    monkeypatch.undo()
    assert store.get("features", KEY) is None
    assert store.get("features", Store.key({"a": 0})) is not None
    assert store.parts("p").finished() == {}


def test_work_that_cannot_fit_is_refused_before_it_begins(store: Store) -> None:
    with pytest.raises(UserError, match=r"writes .* GB"):
        store.require(1 << 60)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match=r"runtime\.cache_dir"):
        Store(tmp_path / "store")


def test_a_file_in_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"runtime\.cache_dir"):
        Store(tmp_path / "file" / "store")


@pytest.mark.parametrize("place", ["features", f"features/{KEY[:2]}", f"features/{KEY[:2]}/{KEY}", "tmp", "locks"])
def test_a_file_inside_the_store_where_a_folder_belongs_is_named(store: Store, place: str) -> None:
    path = store.root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    message = f"'{path}' is a file where a folder belongs. Remove it"
    with pytest.raises(UserError, match=message), store.lock(KEY, "x"):
        if not place.startswith("tmp"):
            store.get("features", KEY)
        store.put("features", KEY, {"values": np.ones(3)}, {})
    with pytest.raises(UserError, match=message), store.lock(KEY, "x"):
        store.put("features", KEY, {"values": np.ones(3)}, {})
    path.unlink()
    store.put("features", KEY, {"values": np.ones(3)}, {})
    assert store.get("features", KEY) is not None


def test_finished_shards_survive_and_damaged_ones_do_not(store: Store) -> None:
    parts = store.parts("pass")
    for number in range(3):
        fill(parts, number, np.full((2, 2), number, np.float32))
    damaged = sorted(parts.folder.iterdir())[1]
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    (parts.folder / "7.tmp").write_bytes(b"half of a shard")
    finished = store.parts("pass").finished()
    assert sorted(finished) == [0, 2]
    assert np.load(finished[2]).tolist() == [[2, 2], [2, 2]]
    parts.remove()
    assert parts.finished() == {}


def test_rows_in_any_order_make_the_same_file_as_numpy(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((50, 7)).astype(np.float32)
    writer = ArrayWriter(tmp_path / "a.npy", (50, 7), np.float32)
    order = np.random.default_rng(1).permutation(50)
    for rows in np.array_split(order, 6):
        writer.rows(rows, values[rows])
    writer.close()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), values)


def test_the_lock_goes_with_its_process_and_others_wait(store: Store, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); from src.store import Store\n"
        "with Store(pathlib.Path(sys.argv[2])).lock('k', 'x'):\n    print('in', flush=True); sys.stdin.read()"
    )
    root = Path(__file__).resolve().parents[1]
    first = subprocess.Popen([sys.executable, "-c", code, str(root), str(store.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert first.stdout is not None
    first.stdout.readline()
    second = subprocess.Popen([sys.executable, "-c", code, str(root), str(store.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(0.5)
    first.kill()
    first.wait()
    second.communicate(timeout=20)
    assert second.returncode == 0
