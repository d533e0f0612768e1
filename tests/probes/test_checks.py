"""What a probe needs of a dataset: training rows, and not too many classes."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from src.config.schema import DatasetConfig, ProbeConfig
from src.errors import UserError
from src.probes.checks import check_classes, check_training_split


def labelled(rows: int, classes: int) -> Any:
    """As much of a task as tells how many training rows and classes it has."""
    return SimpleNamespace(name="here", classes=range(classes), train=range(rows))


@pytest.mark.parametrize(
    ("rows", "classes", "said"),
    [
        (40, 40, "dataset.task=regression"),
        (20_000, 19_000, "dataset.label"),
        (30, 21, "dataset.label"),
        (20_000, 5_000, "1,000"),
        (400_000, 1_000, "memory"),
    ],
)
def test_labels_that_hardly_repeat_and_too_many_classes_are_refused(rows: int, classes: int, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)) as error:
        check_classes(labelled(rows, classes))
    assert f"{classes:,}" in str(error.value)


@pytest.mark.parametrize(("rows", "classes"), [(40, 20), (10_003, 77), (400_000, 3), (10, 9)])
def test_numbers_of_classes_of_real_datasets_are_accepted(rows: int, classes: int) -> None:
    check_classes(labelled(rows, classes))


def test_a_probe_that_is_fitted_needs_a_training_split() -> None:
    fitted, scored = ProbeConfig(estimator={"_target_": "some.Ridge"}), ProbeConfig(name="scored")
    alone = DatasetConfig(name="here", task="regression", splits={"test": "all"})
    with pytest.raises(UserError, match=r"^here has no training split: use probe=cosine"):
        check_training_split(fitted, alone)
    check_training_split(scored, alone)
    check_training_split(fitted, DatasetConfig(task="regression", splits={"test": "a", "train": "b"}))
    check_training_split(fitted, DatasetConfig(task="regression"))  # the user's own files
