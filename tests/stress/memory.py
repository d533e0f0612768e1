"""Memory: the peak of an extraction and of a probe, by the number of rows."""

from __future__ import annotations

from tests.stress.harness import Harness
from tests.stress.processes import succeeded

ALLOWED_GROWTH = 300  # MB, for ten times the rows


def memory(harness: Harness, rows: int) -> None:
    """Check that the peak memory of an extraction does not grow with the rows.

    The peak of a run, which fits a probe in memory, is printed for information.
    """
    for command in ("extract", "run"):
        peaks = []
        for count in (rows // 10, rows):
            store, output = harness.new_folder("store"), harness.new_folder("output")
            run = harness.extract(count, store, output) if command == "extract" else harness.run(count, store)
            peaks.append(succeeded(run.wait()).peak)
        growth = peaks[1] - peaks[0]
        figures = f"{rows // 10:,} rows {peaks[0]:.0f} MB, {rows:,} rows {peaks[1]:.0f} MB, difference {growth:.0f} MB"
        if command == "extract":
            harness.report("memory, extract", growth <= ALLOWED_GROWTH, f"{figures} (at most {ALLOWED_GROWTH})")
        else:
            print(f"memory, run: {figures}  for information", flush=True)
