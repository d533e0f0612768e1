"""Progress without a terminal is a line now and then."""

from __future__ import annotations

import logging

import pytest

from src.runtime import terminal


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("src.runtime.terminal.time.monotonic", lambda: now[0])
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    return now


def test_a_long_step_logs_what_is_done_and_the_time_left(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with terminal.progress_bar("cola/train", True, total=1000, initial=400, unit="tok") as bar:
        for step in range(1, 6):
            clock[0] = 40.0 * step
            bar.update(100)
    lines = [record.getMessage() for record in caplog.records]
    # 2 of 6 parts took 80 s, so that the other 4 take 160 s
    assert lines == ["cola/train: 60 %, about 3 min left", "cola/train: 80 %, about 80 s left"]


def test_a_step_that_is_quick_or_not_wanted_logs_nothing(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for wanted, seconds in ((True, 10.0), (False, 1000.0)):
        with terminal.progress_bar("cola", wanted, total=2) as bar:
            clock[0] += seconds
            bar.update(1)
    with terminal.progress_bar("cola", True) as bar:  # the total is not known yet
        clock[0] += 100
        bar.update(1)
    assert not caplog.records
