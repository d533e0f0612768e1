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
from src.storage.arrays import ArrayStore
from src.storage.files import file_digest
from src.storage.keys import content_key
from tests.helpers.records import fill


@pytest.fixture
def store(tmp_path: Path) -> ArrayStore:
    return ArrayStore(tmp_path / "store")


KEY = ArrayStore.key({"a": 1})


def test_a_stored_value_is_mapped_and_read_only(store: ArrayStore) -> None:
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
    assert ArrayStore.key({"a": 1, "b": [2, {"c": 3, "d": 4}]}) == ArrayStore.key({"b": [2, {"d": 4, "c": 3}], "a": 1})
    assert ArrayStore.key({"a": 1}) != ArrayStore.key({"a": 2}) != ArrayStore.key({"b": 2})


@pytest.mark.parametrize("place", [0, 60, 200, -1])
def test_one_flipped_byte_is_detected_and_the_value_removed(
    store: ArrayStore, place: int, caplog: pytest.LogCaptureFixture
) -> None:
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
def test_damaged_metadata_is_detected(store: ArrayStore, content: str) -> None:
    store.put("features", KEY, {"values": np.ones(3)}, {})
    (store.folder("features", KEY) / "meta.json").write_text(content)
    assert store.get("features", KEY) is None


def test_a_value_is_complete_or_missing(store: ArrayStore) -> None:
    with pytest.raises(RuntimeError), store.writing("features", KEY, {}) as folder:
        np.save(folder / "values.npy", np.ones(3))
        raise RuntimeError
    assert store.get("features", KEY) is None
    assert not any((store.root / "tmp").iterdir())


def test_no_pickle_is_loaded(store: ArrayStore) -> None:
    store.put("features", KEY, {"values": np.ones(3)}, {})
    folder = store.folder("features", KEY)
    np.save(folder / "values.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (folder / "meta.json").write_text(
        json.dumps({"meta": {}, "sha256": {"values": file_digest(folder / "values.npy")}})
    )
    assert store.get("features", KEY) is None


def test_a_full_disk_is_an_error_and_leaves_no_partial_value(
    store: ArrayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("features", ArrayStore.key({"a": 0}), {"values": np.ones(3)}, {})

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    monkeypatch.setattr(os, "ftruncate", full)
    with pytest.raises(UserError, match="is full"):
        store.put("features", KEY, {"values": np.ones(3)}, {})
    with pytest.raises(UserError, match="is full"):
        fill(store.shards("p"), 0, np.ones(3))
    monkeypatch.undo()
    assert store.get("features", KEY) is None
    assert store.get("features", ArrayStore.key({"a": 0})) is not None
    assert store.shards("p").verified() == {}


def test_work_that_cannot_fit_is_refused_before_it_begins(store: ArrayStore) -> None:
    with pytest.raises(UserError, match=r"runtime\.cache_dir"):
        store.require_space(1 << 60)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match=r"runtime\.cache_dir"):
        ArrayStore(tmp_path / "store")


def test_a_file_in_place_of_the_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"runtime\.cache_dir"):
        ArrayStore(tmp_path / "file" / "store")


@pytest.mark.parametrize("place", ["features", f"features/{KEY[:2]}", f"features/{KEY[:2]}/{KEY}", "tmp", "locks"])
def test_a_file_in_place_of_a_folder_is_named(store: ArrayStore, place: str) -> None:
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


def test_the_lock_goes_with_its_process_and_others_wait(store: ArrayStore, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); from src.storage.arrays import ArrayStore\n"
        "with ArrayStore(pathlib.Path(sys.argv[2])).lock('k', 'x'):\n    print('in', flush=True); sys.stdin.read()"
    )
    root = Path(__file__).resolve().parents[2]
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(root), str(store.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert first.stdout is not None
    first.stdout.readline()
    second = subprocess.Popen(
        [sys.executable, "-c", code, str(root), str(store.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(0.5)
    first.kill()
    first.wait()
    second.communicate(timeout=20)
    assert second.returncode == 0


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of somebody's own files, under names that the store uses too."""
    folder = tmp_path / "elsewhere"
    (folder / "claims").mkdir(parents=True)
    names = [
        "thesis.pdf",
        "meta.json",
        "values.npy",
        "0.tmp",
        f"000000-{'a' * 64}.npy",
        f"{'b' * 32}.json",
        "claims/0.lock",
    ]
    for name in names:
        (folder / name).write_bytes(b"precious")
    return folder


def use_all(store: ArrayStore) -> None:
    """Every kind of reading, writing and deleting that the store does under `KEY`."""
    with store.lock(KEY, "x"):
        store.remove_stale([KEY])
        if store.get("features", KEY) is None:
            store.put("features", KEY, {"values": np.ones(3, np.float32)}, {})
        found = store.get("features", KEY)
        assert found is not None and found.arrays["values"].tolist() == [1, 1, 1]
    parts = store.shards(KEY)
    parts.claim(0).release()
    path = fill(parts, 0, np.ones((2, 2), np.float32))
    parts.add_timing({"encode": 1.0})
    assert (
        parts.verified() == parts.listed() == {0: path}
        and parts.completed(0) == path
        and parts.timings() == [{"encode": 1.0}]
    )
    assert parts.read(path, (2, 2)).tolist() == [[1, 1], [1, 1]]
    parts.finish()
    assert path in parts.folder.iterdir() and not (parts.folder / "claims").exists()
    path.unlink()


PLACES = [
    "features",
    f"features/{KEY[:2]}",
    f"features/{KEY[:2]}/{KEY}",
    "tmp",
    "locks",
    "passes",
    f"passes/{KEY}",
    f"passes/{KEY}/claims",
]


@pytest.mark.parametrize("place", PLACES)
def test_a_link_in_place_of_a_folder_is_named_and_not_followed(store: ArrayStore, elsewhere: Path, place: str) -> None:
    before, link = tree(elsewhere), store.root / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(UserError, match=rf"'{link}' is a link.*runtime\.cache_dir"):
        use_all(store)
    store.shards(KEY).finish()
    store.shards(KEY).discard(0)
    assert tree(elsewhere) == before and link.is_symlink()
    link.unlink()
    use_all(store)


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    use_all(ArrayStore(tmp_path / "link" / "store"))
    use_all(ArrayStore(tmp_path / "link"))


def spoil(path: Path, kind: str, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    {
        "link": lambda: path.symlink_to(target),
        "dangling": lambda: path.symlink_to(target.parent / "nowhere"),
        "hard": lambda: os.link(target, path),
        "pipe": lambda: os.mkfifo(path),
    }[kind]()


@pytest.mark.parametrize("kind", ["link", "dangling", "hard", "pipe"])
@pytest.mark.parametrize("name", ["meta.json", "values.npy"])
def test_a_link_or_pipe_in_place_of_a_values_file_is_damage(
    store: ArrayStore, elsewhere: Path, name: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = tree(elsewhere)
    store.put("features", KEY, {"values": np.ones(3, np.float32)}, {})
    spoil(store.folder("features", KEY) / name, kind, elsewhere / name)
    use_all(store)
    assert "damaged" in caplog.text and tree(elsewhere) == before


@pytest.mark.parametrize("kind", ["link", "dangling", "hard", "pipe"])
@pytest.mark.parametrize("name", ["0.tmp", f"000000-{'a' * 64}.npy", f"{'b' * 32}.json"])
def test_a_link_or_pipe_in_place_of_a_shard_is_ignored(
    store: ArrayStore, elsewhere: Path, name: str, kind: str
) -> None:
    before, parts = tree(elsewhere), store.shards(KEY)
    spoil(parts.folder / name, kind, elsewhere / name)
    assert parts.verified() == {} and parts.timings() == []
    use_all(store)
    assert tree(elsewhere) == before


def test_a_link_in_place_of_a_lock_is_named_and_not_followed(store: ArrayStore, elsewhere: Path) -> None:
    before, path = tree(elsewhere), store.root / "locks" / f"{KEY}.lock"
    for kind in ("link", "dangling", "pipe"):
        spoil(path, kind, elsewhere / "thesis.pdf")
        with pytest.raises(UserError, match=str(path)):
            use_all(store)
    assert tree(elsewhere) == before and not (elsewhere.parent / "nowhere").exists()


def test_foreign_files_in_a_damaged_value_stay_beside_the_new_one(
    store: ArrayStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.put("features", KEY, {"values": np.ones(3, np.float32)}, {})
    folder = store.folder("features", KEY)
    (folder / "meta.json").write_text("{")
    (folder / "Thesis.pdf").write_bytes(b"precious")
    use_all(store)
    assert (folder / "Thesis.pdf").read_bytes() == b"precious" and str(folder) in caplog.text


def test_a_folder_where_a_file_belongs_is_named_and_left_alone(store: ArrayStore) -> None:
    folder = store.folder("features", KEY)
    (folder / "meta.json").mkdir(parents=True)
    (folder / "meta.json" / "thesis").write_bytes(b"precious")
    with pytest.raises(UserError, match=str(folder / "meta.json")):
        use_all(store)
    assert (folder / "meta.json" / "thesis").read_bytes() == b"precious"


def test_only_half_written_values_of_the_key_are_removed(store: ArrayStore, elsewhere: Path) -> None:
    before, tmp = tree(elsewhere), store.root / "tmp"
    half, link, other = tmp / f"{KEY[:16]}-{'c' * 32}", tmp / f"{KEY[:16]}-{'d' * 32}", tmp / f"{KEY[:16]}-notes"
    for folder in (half, other):
        folder.mkdir(parents=True)
        (folder / "values.npy").touch()
    link.symlink_to(elsewhere)
    store.remove_stale([KEY])
    assert not half.exists() and link.is_symlink() and list(other.iterdir()) and tree(elsewhere) == before


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"meta": NaN}',
        '{"meta": {}, "sha256": {}, "digest": 1e999}',
        "9" * 5000,
        "null",
        "\xff",
        "[1]",
    ],
)
def test_metadata_of_any_other_content_is_damage(
    store: ArrayStore, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.put("features", KEY, {"values": np.ones(3, np.float32)}, {})
    (store.folder("features", KEY) / "meta.json").write_text(content, encoding="latin-1")
    use_all(store)
    assert caplog.text.count("damaged") == 1


@pytest.mark.parametrize("name", ["../../../outside", "values/../values", "", "v" * 5000])
def test_no_array_is_read_elsewhere(store: ArrayStore, name: str) -> None:
    store.put("features", KEY, {"values": np.ones(3, np.float32)}, {})
    record = {"meta": {}, "sha256": {name: "0"}}
    (store.folder("features", KEY) / "meta.json").write_text(json.dumps({**record, "digest": content_key(record)}))
    assert store.get("features", KEY) is None


def test_a_value_that_fails_the_readers_check_is_damage(store: ArrayStore) -> None:
    store.put("features", KEY, {"values": np.ones(3)}, {"count": "many"})

    def check(value: object) -> None:
        raise KeyError("count")

    assert store.get("features", KEY, check) is None and not store.has("features", KEY)


def test_a_value_that_cannot_be_read_now_is_kept(store: ArrayStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("features", KEY, {"values": np.ones(3)}, {})

    def failing(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr("src.storage.arrays.open_regular", failing)
        with pytest.raises(UserError):
            store.get("features", KEY)
    value = store.get("features", KEY)
    assert value is not None and value.arrays["values"].tolist() == [1, 1, 1]
