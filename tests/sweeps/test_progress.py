"""The line of a job, and the time that a sweep still needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.sweeps.job_process import SweepJob
from src.sweeps.plan import SweepPlan
from src.sweeps.progress import ENCODED, PROGRESS, add_ended, seconds_left


def test_jobs_that_were_skipped_do_not_shorten_the_estimate(tmp_path: Path) -> None:
    assert seconds_left(tmp_path, 12, 1, 1) is None
    add_ended(tmp_path, 0, "skipped", 0.1)
    assert seconds_left(tmp_path, 12, 1, 1) is None
    add_ended(tmp_path, 1, "done", 30.0)
    add_ended(tmp_path, 2, "failed", 10.0)
    assert seconds_left(tmp_path, 12, 1, 1) == pytest.approx(9 * 20.0)
    assert seconds_left(tmp_path, 12, 1, 3) == pytest.approx(3 * 20.0)
    add_ended(tmp_path, 2, "done", 50.0)  # a job that was retried counts once
    assert seconds_left(tmp_path, 12, 1, 1) == pytest.approx(9 * 40.0)
    assert seconds_left(tmp_path, 2, 1, 1) == 0


def test_forward_passes_are_estimated_apart(tmp_path: Path) -> None:
    add_ended(tmp_path, 0, ENCODED, 600.0)
    assert seconds_left(tmp_path, 12, 3, 1) is None  # how long a job without a pass takes is not known yet
    assert seconds_left(tmp_path, 3, 3, 1) == pytest.approx(2 * 600.0)
    add_ended(tmp_path, 1, "done", 2.0)
    assert seconds_left(tmp_path, 12, 1, 1) == pytest.approx(10 * 2.0)
    assert seconds_left(tmp_path, 12, 3, 1) == pytest.approx(2 * 600.0 + 8 * 2.0)


def test_damaged_lines_are_left_out(tmp_path: Path) -> None:
    add_ended(tmp_path, 0, "done", 4.0)
    with (tmp_path / PROGRESS).open("a") as file:
        file.write('{"job": 1, "seco\n[]\n{"job": 2, "status": "done", "seconds": "x"}\n')
    assert seconds_left(tmp_path, 3, 1, 1) == pytest.approx(8.0)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / PROGRESS).mkdir()
    add_ended(tmp_path / "other", 0, "done", 1.0)  # cannot be written
    assert seconds_left(tmp_path / "other", 3, 1, 1) is None


def test_a_job_is_named_by_its_place_and_what_varies(tmp_path: Path) -> None:
    words = ("dataset=cola", "layer=2", "+pooling=cls", "tracker=none")
    for varying, label in (
        (("layer", "pooling"), "[3/12] layer=2 +pooling=cls"),
        ((), "[3/12] dataset=cola layer=2 +pooling=cls tracker=none"),
    ):
        plan = SweepPlan(tmp_path, "this", number=12, varying=varying)
        assert SweepJob(2, tmp_path / "2", words, plan).label == label
    assert SweepJob(2, tmp_path / "2", words[:1], SweepPlan(tmp_path, "")).label == "[3] dataset=cola"
    long = SweepJob(0, tmp_path, (f"dataset.train={'x' * 500}",), SweepPlan(tmp_path, "this", number=1))
    assert len(long.label) < 100
