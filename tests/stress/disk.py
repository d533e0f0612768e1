"""Disks: too small, full and read-only ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src.errors import UserError
from src.pooling import poolings
from tests.stress.harness import Harness, features_digest
from tests.stress.model import LAYERS, WIDTH
from tests.stress.processes import error_text, is_clear_refusal
from tests.stress.store_state import POLL_INTERVAL, count_shards, is_writing


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[None]:
    """Mount a memory disk of `size` MB.

    Raises
    ------
    UserError
        It cannot be mounted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        raise UserError(done.stderr.strip() or "mount failed")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=False)


def remount(folder: Path, options: str) -> None:
    """Change the mount options of a memory disk."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def disk(harness: Harness, size: int) -> None:
    """Check that full and read-only disks end in one clear error and leave the store sound."""
    if sys.platform != "linux" or os.geteuid() != 0:
        print("disk: skipped, a memory disk can be mounted by root on Linux alone", flush=True)
        return
    try:
        with mounted(harness.folder / "disk", size):
            pass
    except (UserError, FileNotFoundError) as error:
        print(f"disk: skipped, a memory disk cannot be mounted here ({error})", flush=True)
        return
    # A pass stores shards, (poolings, rows, width) float32, of the poolings that follow from no other.
    row = len([each for each in poolings.values() if each.at_least <= LAYERS and not each.of]) * WIDTH * 4
    rows = int(size * 1e6 / row * 0.6)
    expected = harness.expected_digest(rows)
    too_small(harness, size, 3 * rows)
    fills_up(harness, size, rows, expected)
    output_fills_up(harness, size, rows)
    read_only(harness, rows, expected)


def too_small(harness: Harness, size: int, rows: int) -> None:
    """Check that a pass too large for the disk is refused first, and completes on a larger disk."""
    expected = harness.expected_digest(rows)
    folder, output = harness.new_folder("disk"), harness.new_folder("output")
    with mounted(folder, size):
        finished = harness.extract(rows, folder, output).wait()
        started = count_shards(folder)
        harness.report(
            "disk, too small", is_clear_refusal(finished) and not started, f"{size} MB: {error_text(finished)}"
        )
        remount(folder, f"size={8 * size}m")
        again = harness.extract(rows, folder, output).wait()
        same = features_digest(output) == expected
        harness.report(
            "disk, too small",
            again.status == 0 and same,
            f"then {8 * size} MB: features {'the same' if same else 'DIFFER'}",
        )


def fills_up(harness: Harness, size: int, rows: int, expected: str) -> None:
    """Check a disk that another file fills while shards are made or values are written."""
    folder, output = harness.new_folder("disk"), harness.new_folder("output")
    with mounted(folder, size):
        for moment, started in (
            ("shards are made", lambda: count_shards(folder) > 3),
            ("values are written", lambda: is_writing(folder)),
        ):
            before = count_shards(folder)
            command = harness.extract(rows, folder, output)
            while command.is_running() and not started():
                time.sleep(POLL_INTERVAL)
            fill(folder / "filler")
            finished = command.wait()
            kept = count_shards(folder)
            good = is_clear_refusal(finished) and kept >= before
            harness.report("disk, filled while " + moment, good, f"{kept} shards kept: {error_text(finished)}")
            full = harness.extract(rows, folder, output).wait()
            harness.report(
                "disk, still full", is_clear_refusal(full) and count_shards(folder) == kept, error_text(full)
            )
            (folder / "filler").unlink()
        remount(folder, f"size={2 * size}m")
        kept = count_shards(folder)
        finished = harness.extract(rows, folder, output).wait()
        resumed = max(_resumed(folder), default=0)
        same = features_digest(output) == expected
        harness.report(
            "disk, larger", finished.status == 0 and same and resumed == kept > 0,
            f"{2 * size} MB: {resumed} of {kept} shards reused, features {'the same' if same else 'DIFFER'}",
        )  # fmt: skip


def _resumed(store: Path) -> list[int]:
    """Return the reused shards of every stored value."""
    metas = [json.loads(path.read_text(encoding="utf-8"))["meta"] for path in store.glob("features/*/*/meta.json")]
    return [meta["pass"]["shards_resumed"] for meta in metas]


def fill(path: Path) -> None:
    """Write zeros until the disk is full."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            return


def output_fills_up(harness: Harness, size: int, rows: int) -> None:
    """Check that an extraction to a full disk leaves its files unchanged, and no partial file."""
    folder = harness.new_folder("disk")
    with mounted(folder, size):
        fill(folder / "filler")
        finished = harness.extract(rows, harness.folder / "store", folder).wait()
        left = sorted(path.name for path in folder.iterdir())
        harness.report(
            "disk, output full",
            is_clear_refusal(finished) and left == ["filler"],
            f"left there: {', '.join(left)}; {error_text(finished)}",
        )


def read_only(harness: Harness, rows: int, expected: str) -> None:
    """Check that a read-only store or output is reported, and that it works once writable."""
    folder, output = harness.new_folder("disk"), harness.new_folder("output")
    with mounted(folder, 100):
        remount(folder, "ro")
        for name, store, place in (("store", folder, output), ("output", harness.folder / "store", folder)):
            finished = harness.extract(rows, store, place).wait()
            harness.report(f"disk, read-only {name}", is_clear_refusal(finished), error_text(finished))
        remount(folder, "rw")
        finished = harness.extract(rows, folder, output).wait()
        same = features_digest(output) == expected
        harness.report(
            "disk, writable again", finished.status == 0 and same, f"features {'the same' if same else 'DIFFER'}"
        )
