"""Kills: an extraction that is killed again and again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from src.errors import UserError
from tests.stress.harness import Harness, features_digest
from tests.stress.processes import RunningCommand, succeeded
from tests.stress.store_state import POLL_INTERVAL, count_shards, is_writing, is_written


@dataclass
class PassTimes:
    """Holds the course of an undisturbed pass."""

    shards: int  # in all
    encoding: float  # seconds until all shards are done
    writing: float  # seconds in which values are written


def watch(command: RunningCommand, store: Path) -> PassTimes:
    """Time a pass from its first shard to its first value.

    Raises
    ------
    UserError
        The pass failed, or was too short to be observed.
    """
    began = writing = written = None
    most = 0
    while command.is_running():
        now = time.perf_counter()
        most = max(most, count_shards(store))
        began = began or (now if most else None)
        writing = writing or (now if is_writing(store) else None)
        written = written or (now if is_written(store) else None)
        time.sleep(POLL_INTERVAL)
    if began is None or writing is None or written is None:
        succeeded(command.wait())
        raise UserError("the pass was too short to be observed: use more pass_rows.")
    return PassTimes(most, writing - began, written - writing)


def kill_at(command: RunningCommand, store: Path, moment: float, times: PassTimes) -> bool:
    """Kill a pass at a moment, and return False if it has finished before.

    The whole part of `moment` counts shards; beyond all shards, the rest is a share of the writing.
    """
    target = int(moment)
    at_start = count_shards(store)
    while command.is_running() and not (count_shards(store) > max(at_start, target - 1) or is_writing(store)):
        time.sleep(POLL_INTERVAL)
    time.sleep((moment - target) * (times.writing if target == times.shards else times.encoding / times.shards))
    alive = command.is_running()
    command.kill()
    return alive


def kills(harness: Harness, rows: int, count: int) -> None:
    """Check that a pass continues from its finished shards after every kill, to the same bits."""
    store, output = harness.new_folder("store"), harness.new_folder("output")
    command = harness.extract(rows, store, output)
    times = watch(command, store)
    undisturbed = succeeded(command.wait())
    expected = features_digest(output)
    print(
        f"kills: undisturbed, {rows:,} rows: {times.shards} shards in {times.encoding:.1f} s, "
        f"written in {times.writing:.1f} s; the whole command {undisturbed.seconds:.1f} s",
        flush=True,
    )
    store, output = harness.new_folder("store"), harness.new_folder("output")
    at_end = max(1, count // 10)  # the writing is too short to be hit by chance
    moments = [
        *harness.rng.uniform(0, times.shards, count - at_end),
        *(times.shards + harness.rng.uniform(0, 0.6, at_end)),
    ]
    found, late = [], 0
    for moment in sorted(moments):
        found.append(times.shards if is_written(store) else count_shards(store))
        command = harness.extract(rows, store, output)
        if not kill_at(command, store, float(moment), times):
            succeeded(command.wait())
            late += 1
        else:
            command.wait()
    found.append(times.shards if is_written(store) else count_shards(store))
    left = [path.name for path in store.glob("tmp/*")]
    last = succeeded(harness.extract(rows, store, output).wait())
    grew = found == sorted(found) and found[-1] > found[0]
    same = features_digest(output) == expected
    harness.report(
        "kills",
        grew and same and late <= at_end,
        f"{count}, {at_end} of them while values were written{f', {late} after the end' if late else ''}; "
        f"shards at each start {' '.join(map(str, found))} of {times.shards}; last run {last.seconds:.1f} s; "
        f"features {'bit-identical' if same else 'DIFFER'} ({expected[:12]})",
    )
    after = [str(path.relative_to(store)) for kind in ("tmp/*", "passes/*/claims") for path in store.glob(kind)]
    rest = ", ".join(after[:3]) or "nothing"
    harness.report(
        "kills", not after, f"{len(left)} half-written values after the last kill, left over at the end: {rest}"
    )
