"""Shared by the tests of sweeps."""

from pathlib import Path

from src.sweeps.comparison import Comparison, Group, compare_records
from src.sweeps.jobs import find_jobs


def compared(folder: Path) -> Comparison:
    """Return the comparison of the jobs below a folder."""
    return compare_records(find_jobs(folder))


def marks(group: Group) -> dict[str, str]:
    """Return the mark of each pooling."""
    return {run.result.pooling: run.mark for run in group.runs}
