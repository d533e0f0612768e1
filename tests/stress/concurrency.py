"""Concurrency: several processes at once on one store."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.stress.harness import Harness, features_digest
from tests.stress.processes import FinishedProcess, succeeded

POOLINGS = ("cls", "pooler", "mean", "max")


def crowd(harness: Harness, rows: int) -> None:
    """Check that four processes at once on an empty store make one forward pass."""
    expected = harness.expected_digest(rows)
    store = harness.new_folder("store")
    outputs = [harness.new_folder(f"output-{number}") for number in range(4)]
    commands = [harness.extract(rows, store, output) for output in outputs]
    finished = [succeeded(command.wait()) for command in commands]
    encoded = sum(each.out.count(", encoded") for each in finished)
    right = sum(features_digest(output) == expected for output in outputs)
    harness.report(
        "crowd, extract",
        encoded == 1 and right == 4,
        f"4 processes, {rows:,} rows: encoded by {encoded}, right results {right}, {longest(finished):.1f} s",
    )
    store = harness.new_folder("store")
    commands = [harness.run(rows, store, f"pooling={pooling}") for pooling in POOLINGS]
    finished = [succeeded(command.wait()) for command in commands]
    timing = [json.loads((command.log / "result.json").read_text(encoding="utf-8"))["timing"] for command in commands]
    caches = sorted(each["cache"] for each in timing)
    total = sum(each["rows_encoded"] for each in timing)
    expected_rows = rows + max(rows // 10, 1000)
    harness.report(
        "crowd, run",
        caches == ["hit", "hit", "hit", "miss"] and total == expected_rows,
        f"4 poolings: {', '.join(caches)}; {total:,} of {expected_rows:,} rows encoded; {longest(finished):.1f} s",
    )


def longest(finished: Sequence[FinishedProcess]) -> float:
    """Return the longest wall time, in seconds."""
    return max(each.seconds for each in finished)
