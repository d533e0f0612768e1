"""Threads: as many as the process may use, or as its environment says."""

from __future__ import annotations

import pytest
from threadpoolctl import threadpool_info

from src.runtime import threads


def test_the_number_of_threads_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 8)
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert threads.available_threads() == 8
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    assert threads.available_threads() == 4
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    assert threads.available_threads() == 4
    with threads.limit_threads() as number:
        assert number == 4
        assert {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"} == {4}
