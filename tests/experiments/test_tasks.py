"""Paired tasks hold the predictions of several runs for the same rows."""

from __future__ import annotations

import pytest

from experiments.bundles import Record, read_records
from experiments.tasks import paired_task, paired_tasks
from src.errors import UserError
from tests.helpers.records import LABELS


def test_a_task_holds_the_poolings_of_a_dataset(sweep):
    tasks = {task.name: task for task in paired_tasks(read_records(sweep))}
    assert set(tasks) == {"one", "two"}
    assert all(set(task.predictions) == {"cls", "mean"} for task in tasks.values())
    assert tasks["two"].predictions["cls"].shape == (3, len(LABELS))


def test_runs_on_different_rows_are_not_paired(sweep):
    found = read_records(sweep)
    moved = {**found[0].predictions, "row": found[0].predictions["row"][::-1]}
    with pytest.raises(UserError, match="different rows"):
        paired_tasks([Record("sweep", found[0].result, moved), *found[1:]])


def test_two_runs_of_one_label_are_refused(sweep):
    with pytest.raises(UserError, match="two runs are labelled x"):
        paired_task(read_records(sweep)[:2], lambda result: "x")
