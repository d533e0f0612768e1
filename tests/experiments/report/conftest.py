"""Sweeps of small records that reports are written on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.report.__main__ import MARKDOWN, PAGE, main
from experiments.report.document import Report, compose
from experiments.report.reading import read_sweeps
from src.sweeps.jobs import find_jobs
from src.sweeps.status import write_status
from tests.helpers.records import make_job

MANY = 4000
TRUTH = np.arange(MANY) % 2
EVIL = "<script>document.title='gone'</script>"


def missed(count: int, start: int = 0) -> np.ndarray:
    """Predictions that miss `count` of the rows from `start` on."""
    predictions = TRUTH.copy()
    predictions[start : start + count] = 1 - predictions[start : start + count]
    return predictions


def sweep(folder: Path, runs: dict[str, np.ndarray], **changes: Any) -> Path:
    """A sweep over poolings of one task, beside the jobs that are there."""
    start = len(find_jobs(folder)) if folder.is_dir() else 0
    for number, (pooling, predictions) in enumerate(runs.items(), start):
        make_job(folder / str(number), TRUTH, predictions, pooling=pooling, **changes)
        write_status(folder / str(number), "done")
    return folder


def composed(folder: Path, **options: Any) -> Report:
    return compose(*read_sweeps(folder), **options)


def sentences(folder: Path, **options: Any) -> list[str]:
    return [part.verdict.sentence for part in composed(folder, **options).parts]


def written(folder: Path, *words: str) -> tuple[str, str]:
    main([f"records={folder}", *words])
    return (folder / MARKDOWN).read_text(), (folder / PAGE).read_text()


@pytest.fixture
def question(tmp_path: Path) -> Path:
    """The question's three: mean well above, the pooler almost what [CLS] is."""
    return sweep(tmp_path / "sweep", {"cls": missed(1000), "pooler": missed(1001), "mean": missed(800, start=100)})
