"""Turn the cells of a label column into class ids or scores."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from src.config.schema import DatasetConfig
from src.data.reading.columns import trimmed
from src.errors import UserError, shortened
from src.storage.numbers import is_decimal, number_spelling

MAX_SCORE = 1e30  # squares of scores, and scores in float32, stay finite
HIDDEN_LABEL = "-1"  # in GLUE's files on the hub
MAX_SHOWN = 60  # characters of a label in a message
MAX_LISTED = 300  # characters of a list of labels in a message


def first_row(flags: pa.ChunkedArray) -> int:
    """Return the number of the first row, counted from 1, where a boolean column is true."""
    return int(pc.index(flags, True).as_py()) + 1


def class_labels(config: DatasetConfig, column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """Return the class name of each cell; in regression the text of its score.

    Raises
    ------
    UserError
        The column is empty, a label is missing, or a class would be NaN or infinite.
    """
    if not len(column):
        raise UserError(f"{where} has no rows.")
    texts = column.unique()
    names = _spellings(config) if config.task == "classification" else dict(config.labels or {})
    named = [None if text is None else _class_name(text, names, config.task) for text in texts.to_pylist()]
    labels = pa.array(named, pa.large_string()).take(pc.index_in(column, texts))
    missing = pc.or_kleene(pc.is_null(labels), pc.equal(labels, ""))
    if pc.any(missing).as_py():
        raise UserError(
            f"{where}: row {first_row(missing)} has no label. "
            f"Fill in the cell in column '{config.label}', or remove the row."
        )
    for label in dict.fromkeys(map(str, named)) if config.task == "classification" else ():
        if not _is_class(label):
            raise UserError(
                f"{where}: row {first_row(pc.equal(labels, label))} has the label '{shortened(label, MAX_SHOWN)}', "
                "which is not a class. Remove the row, or rename the class."
            )
    return labels


def canonical_label(label: str) -> str:
    """Return the canonical spelling of a label: trimmed, numbers by value, booleans in lower case.

    >>> [canonical_label(label) for label in (" a ", "1.0", "1e0", "01", "TRUE", "0.50")]
    ['a', '1', '1', '01', 'true', '0.5']
    """
    label = trimmed(label)
    return label.lower() if label.lower() in ("true", "false") else number_spelling(label) or label


def _spellings(config: DatasetConfig) -> dict[str, str]:
    """Return spelling to class name, from dataset.labels and dataset.classes.

    The canonical spelling of a name is added unless two names share it.
    """
    exact = {name: name for name in config.classes or ()} | dict(config.labels or {})
    values: dict[str, set[str]] = {}
    for spelling, name in exact.items():
        values.setdefault(canonical_label(spelling), set()).add(name)
    return {value: min(names) for value, names in values.items() if len(names) == 1} | exact


def _class_name(text: str, names: Mapping[str, str], task: str) -> str:
    text = trimmed(text)
    if text in names or task == "regression":
        return names.get(text, text)
    label = canonical_label(text)
    return names.get(label, label)


def _is_class(label: str) -> bool:
    """Return whether a label can be a class: any text but a NaN or infinite number."""
    try:
        return math.isfinite(float(label))
    except ValueError:
        return True


def labels_are_hidden(labels: pa.ChunkedArray, classes: tuple[str, ...]) -> bool:
    """Return whether all labels are -1, and -1 is not a class."""
    found = labels.unique()
    return (
        HIDDEN_LABEL not in map(canonical_label, classes)
        and len(found) <= 8
        and {canonical_label(label) for label in found.to_pylist()} == {HIDDEN_LABEL}
    )


def class_names(config: DatasetConfig, labels: dict[str, pa.ChunkedArray], roles: dict[str, str]) -> tuple[str, ...]:
    """Return the class names in id order: those of the configuration, else the sorted labels.

    The labels of train come first, so that another split does not change their ids.
    """
    if config.task == "regression":
        return ()
    if config.classes:
        return tuple(config.classes)
    names: list[str] = []
    for split in sorted(labels, key=lambda name: name != roles.get("train")):
        found = set(labels[split].unique().to_pylist()) - set(names)
        names += [] if names and found <= {HIDDEN_LABEL} else sorted_labels(found)
    return tuple(names)


def sorted_labels(labels: set[str]) -> list[str]:
    """Sort labels; by value where all are numbers, so that "2" comes before "10"."""
    if all(map(is_score, labels)):
        return sorted(labels, key=lambda label: (float(label), label))
    return sorted(labels)


def class_ids(labels: pa.ChunkedArray, classes: tuple[str, ...], config: DatasetConfig, where: str) -> np.ndarray:
    """Return the class id of each label, (rows,) int64; UserError for an unknown label."""
    ids = pc.index_in(labels, pa.array(classes, pa.large_string()))
    if ids.null_count:
        known = shortened(", ".join(dict.fromkeys([*(config.labels or {}), *classes])), MAX_LISTED)
        raise UserError(f"{_bad_label(labels, first_row(pc.is_null(ids)), where)}. Known are {known}.")
    return np.asarray(ids.to_numpy(), dtype=np.int64)


def no_labels(rows: int, where: str) -> np.ndarray:
    """Return the labels of rows that have none, (rows,) float64 NaN; UserError without a row."""
    if not rows:
        raise UserError(f"{where} has no rows.")
    return np.full(rows, np.nan)


def scores(labels: pa.ChunkedArray, where: str) -> np.ndarray:
    """Return the score of each label, (rows,) float64; UserError if not finite or too large."""
    try:
        numbers = np.asarray(labels.cast(pa.float64()).to_numpy(), dtype=np.float64)
    except pa.ArrowInvalid:
        numbers = np.array([score(label) for label in labels.to_pylist()])
    if len(bad := np.flatnonzero(~np.isfinite(numbers))):
        raise UserError(
            f"{_bad_label(labels, int(bad[0]) + 1, where)}, which is not a finite number.\n"
            "Correct it, or set dataset.task=classification."
        )
    if len(large := np.flatnonzero(np.abs(numbers) > MAX_SCORE)):
        raise UserError(
            f"{_bad_label(labels, int(large[0]) + 1, where)}, whose size is above {MAX_SCORE:g}: "
            "its square would overflow.\nCorrect it, or give the labels in another unit."
        )
    return numbers


def _bad_label(labels: pa.ChunkedArray, row: int, where: str) -> str:
    return f"{where}: row {row} has the label '{shortened(labels[row - 1].as_py(), MAX_SHOWN)}'"


def score(label: str) -> float:
    """Return the number that a label spells; NaN for other texts."""
    return float(label) if is_decimal(label) else math.nan


def is_score(label: str) -> bool:
    """Return whether a label spells a finite number."""
    return math.isfinite(score(label))
