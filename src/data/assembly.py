"""Turn the tables of a task's splits into a checked `Dataset`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from src.config.schema import DatasetConfig
from src.data.dataset import Dataset, Split
from src.data.labels import class_ids, class_labels, class_names, first_row, labels_are_hidden, no_labels, scores
from src.errors import UserError
from src.evaluation.metrics import metrics as known_metrics
from src.registry import unknown


def assemble(
    config: DatasetConfig,
    tables: dict[str, pa.Table | None],
    places: dict[str, str],
    roles: dict[str, str],
    selection: str,
    source: dict[str, Any],
) -> Dataset:
    """Return the dataset of all splits, whose classes are those of all splits together.

    Parameters
    ----------
    tables : dict
        By split name: columns ``text``, ``label``, perhaps ``text_pair``; None for hidden labels.
        A split without a column ``label`` is kept without labels, and can have no role.
    places : dict
        By split name: the phrase that names its file in messages.
    roles : dict
        By role, such as ``train``: split name.

    Raises
    ------
    UserError
        A role's split is unknown or hides its labels, a text is null, a label is invalid, or a
        metric does not allow that many classes.
    """
    for role, name in roles.items():
        if name not in tables:
            raise unknown("split", name, tables, where=f"{config.name}: dataset.splits.{role}: ")
    where = {name: f"{config.name}: {place}" for name, place in places.items()}
    read = {name: table for name, table in tables.items() if table is not None}
    unlabelled = {name for name, table in read.items() if "label" not in table.column_names}
    labels = {
        name: class_labels(config, table["label"], where[name])
        for name, table in read.items()
        if name not in unlabelled
    }
    classes = class_names(config, labels, roles)
    labelled = [name for name in labels if not labels_are_hidden(labels[name], classes)]
    for role, name in roles.items():
        if name not in labelled:
            raise _hidden_labels(config, role, name, [other for other in labelled if other != roles.get("train")])
    splits = {
        name: _split(config, name, table, labels.get(name), classes, where[name])
        for name, table in read.items()
        if name in unlabelled or name in labelled
    }
    metrics = tuple(config.metrics) or _default_metrics(config, classes)
    _check_metrics(config.name, metrics, classes)
    return Dataset(config.name, config.task, classes, splits, roles, selection, config.folds, metrics, source)


def _split(
    config: DatasetConfig,
    name: str,
    table: pa.Table,
    labels: pa.ChunkedArray | None,
    classes: tuple[str, ...],
    where: str,
) -> Split:
    if labels is None:
        numbers = no_labels(len(table), where)
    else:
        numbers = scores(labels, where) if config.task == "regression" else class_ids(labels, classes, config, where)
    text_pair = _text(table["text_pair"], where) if "text_pair" in table.column_names else None
    return Split(name, _text(table["text"], where), text_pair, numbers, *_sets(table))


def _sets(table: pa.Table) -> tuple[tuple[str, ...] | None, np.ndarray | None]:
    """Return the names of a table's sets and each row's set, (rows,) int64; None without sets."""
    if "set" not in table.column_names:
        return None, None
    coded = table["set"].combine_chunks().dictionary_encode()
    return tuple(coded.dictionary.to_pylist()), coded.indices.to_numpy().astype(np.int64)


def _text(column: pa.ChunkedArray, where: str) -> pa.LargeStringArray:
    if column.null_count:
        raise UserError(
            f"{where}: row {first_row(column.is_null())} has no text (null). "
            "An empty text is written as an empty string."
        )
    return pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)


def _hidden_labels(config: DatasetConfig, role: str, name: str, labelled: list[str]) -> UserError:
    problem = f"{config.name}: split '{name}' hides its labels (all -1)."
    if getattr(config, name, None) is not None:
        return UserError(f"{problem} Give a file with labels in dataset.{name}.")
    return UserError(f"{problem} Set dataset.splits.{role} to '{labelled[0] if labelled else 'a split with labels'}'.")


def _default_metrics(config: DatasetConfig, classes: tuple[str, ...]) -> tuple[str, ...]:
    if config.task == "regression":
        suitable = ["pearson", "spearman"]
    else:
        suitable = ["accuracy", "f1", "mcc"] if len(classes) == 2 else ["accuracy"]
    headline = config.metric or suitable[0]
    return (headline, *(name for name in suitable if name != headline))


def _check_metrics(dataset: str, metrics: tuple[str, ...], classes: tuple[str, ...]) -> None:
    for name in metrics:
        most = known_metrics[name].most_classes if name in known_metrics else None
        if most is not None and len(classes) > most:
            raise UserError(
                f"{dataset}: metric '{name}' is for {most} classes, and there are {len(classes)}. "
                "Use accuracy, macro_f1 or mcc."
            )
