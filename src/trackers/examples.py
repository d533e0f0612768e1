"""A run's predictions as a table: one row per test row, with its label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from src.results.predictions import Arrays
from src.trackers.tracker import Table

if TYPE_CHECKING:
    from src.data.dataset import Dataset


def examples(predictions: Arrays, data: Dataset, *, text: bool = False, errors: bool = True) -> Table:
    """Return a table of predictions.

    Parameters
    ----------
    predictions : mapping of arrays
        As `src.results.result.Result.pack` takes them.
    data : Dataset
    text : bool
        Add the texts. Default: False, because their owner may want to keep them on the machine.
    errors : bool
        Regression: add the difference to the label. False for a similarity, which has another unit.

    Returns
    -------
    tuple of columns and rows
        ``split`` is the role; ``row`` 16 hexadecimal digits. Classification: names of classes, and
        ``correct`` as the share of the draws that are right. Regression: ``prediction`` is the mean
        over the draws, ``error`` its difference to the label.
    """
    columns = ["split", "row", "fold", "label", "prediction", "correct" if data.classes else "error"]
    rows = [row for role in _roles(predictions) for row in _rows(predictions, role, data.classes)]
    if not (errors or data.classes):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    if text:
        written = [data.splits[data.roles[role]] for role in _roles(predictions)]
        columns += ["text", "text_pair"]
        texts = [value for split in written for value in split.text.to_pylist()]
        pairs = [
            value
            for split in written
            for value in (split.text_pair.to_pylist() if split.text_pair else [None] * len(split))
        ]
        rows = [[*row, *both] for row, *both in zip(rows, texts, pairs, strict=True)]
    return columns, rows


def _roles(predictions: Arrays) -> list[str]:
    return [name.rpartition(".")[0] or "test" for name in predictions if name.rpartition(".")[2] == "row"]


def _rows(predictions: Arrays, role: str, classes: tuple[str, ...]) -> list[list[Any]]:
    import numpy as np

    prefix = "" if role == "test" else f"{role}."
    row, fold, label = (predictions[f"{prefix}{name}"] for name in ("row", "fold", "label"))
    drawn = np.atleast_2d(predictions[f"{prefix}prediction"])
    if classes:
        names = np.array(classes, dtype=object)
        shown = np.array([np.bincount(column).argmax() for column in drawn.T])  # of several draws the most frequent
        values = [names[label], names[shown], (drawn == label).mean(axis=0)]
    else:
        values = [label, drawn.mean(axis=0), drawn.mean(axis=0) - label]
    digests = [f"{digest:016x}" for digest in row.tolist()]
    return [[role, *cells] for cells in zip(digests, fold.tolist(), *(value.tolist() for value in values), strict=True)]
