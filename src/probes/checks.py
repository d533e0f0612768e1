"""Checks that a probe can be fitted to a dataset's labels."""

from __future__ import annotations

from src.config.schema import DatasetConfig, ProbeConfig
from src.data.dataset import Dataset, no_training_split
from src.errors import UserError

FEW_CLASSES = 20  # with more, labels that hardly repeat are taken for texts or numbers
MAX_CLASSES = 1000  # each step of a fit transforms (classes, classes) matrices
MAX_DECISIONS = 1 << 28  # classes x rows: 2 GiB of decision values in float64


def check_training_split(probe: ProbeConfig, dataset: DatasetConfig) -> None:
    """Refuse to fit a probe to a dataset without training rows, before the dataset is downloaded.

    A probe that is not fitted has no estimator.

    Raises
    ------
    UserError
        The probe is fitted, and no split of the dataset is for training.
    """
    if probe.estimator and dataset.task == "regression" and dataset.splits and "train" not in dataset.splits:
        raise no_training_split(dataset.name)


def check_classes(dataset: Dataset) -> None:
    """Check the number of classes.

    Raises
    ------
    UserError
        The labels hardly repeat, or a fit to that many classes does not fit into memory.
    """
    classes, rows, name = len(dataset.classes), len(dataset.train), dataset.name
    label = "Name another column in dataset.label, or set dataset.task=regression if the labels are numbers."
    if classes > FEW_CLASSES and 2 * classes > rows:
        raise UserError(
            f"{name}: its labels hardly repeat: {classes:,} different ones, with {rows:,} training rows. {label}"
        )
    if classes > MAX_CLASSES:
        raise UserError(
            f"{name}: {classes:,} different labels, and at most {MAX_CLASSES:,} classes are allowed. "
            f"Merge rare ones.\n{label}"
        )
    if classes * rows > MAX_DECISIONS:
        raise UserError(
            f"{name}: {classes:,} classes x {rows:,} training rows do not fit into memory. "
            f"Merge classes, or give {MAX_DECISIONS // classes:,} rows."
        )
