"""Check that a probe can be fitted to a dataset and scored on it."""

from __future__ import annotations

import numpy as np

from src.data.dataset import Dataset, no_training_split
from src.data.labels import MAX_LISTED, MAX_SHOWN, is_score
from src.data.splits import RowSplitter
from src.errors import UserError, shortened


def check_probe(data: Dataset, *, fraction: float = 0.2, seed: int = 0) -> None:
    """Refuse data that no probe can be fitted to or scored on.

    The training rows are split as the selection of the grid's value will split them.

    Parameters
    ----------
    fraction : float, default 0.2
        Share of the training rows that the selection ``carve`` holds out.
    seed : int, default 0
        The seed of the run, which decides the split.

    Raises
    ------
    UserError
        There is no training split, train has one class or one score, another split has a label that
        train lacks, or there are too few rows to select the grid's value on.
    """
    if "test" not in data.roles:
        raise UserError(
            f"{data.name}: nothing to score on. Give dataset.test=<file> (dataset=hub: dataset.splits.test=<split>) "
            "or dataset.test_fraction=<between 0 and 1>."
        )
    if not data.has_train:
        raise no_training_split(data.name)
    _check_selection(data)
    where = f"{data.name}: split '{data.train.name}'"
    labels = np.unique(data.train.label)
    names = [shortened(name, MAX_SHOWN) for name in data.classes]
    if len(labels) < 2:
        label = names[int(labels[0])] if names else f"{labels[0]:g}"
        raise UserError(
            f"{where} has the one label '{label}' in all of its {len(data.train)} rows; a probe needs two or more. "
            "Check the column in dataset.label, or add rows."
        )
    splitter = RowSplitter(
        data.train.label, seed, fraction=fraction, folds=data.folds, groups=data.groups,
        groups_span_classes=data.groups_span_classes, regression=not data.classes, names=names,
    )  # fmt: skip
    try:
        splitter.check(data.selection)
    except UserError as error:
        numeric = names and all(map(is_score, data.classes))
        advice = " If the labels are scores, set dataset.task=regression." if numeric else ""
        raise UserError(f"{where}: {error}{advice}") from error
    _check_labels_in_train(data, names)


def _check_labels_in_train(data: Dataset, names: list[str]) -> None:
    """Refuse a split with a class that train lacks."""
    known = set(np.unique(data.train.label).tolist())
    for role, name in data.roles.items() if data.classes else ():
        if lacking := sorted(set(np.unique(data.splits[name].label).tolist()) - known):
            listed = shortened(", ".join(f"'{names[label]}'" for label in sorted(known)), MAX_LISTED)
            raise UserError(
                f"{data.name}: split '{name}' ({role}) has the label '{names[lacking[0]]}', "
                f"which split '{data.train.name}' lacks.\n"
                f"That split has: {listed}. Spell both alike, or leave those rows out."
            )


def _check_selection(data: Dataset) -> None:
    """Refuse a selection that does not fit the roles of the splits."""
    if data.selection == "development" and "development" not in data.roles:
        raise UserError(
            f"{data.name}: dataset.selection=development needs a development split. "
            "Name a labelled one, ++dataset.splits.development=SPLIT, or use carve."
        )
    if (data.selection == "nested") != (data.roles["test"] == data.roles["train"]):
        way_out = "Leave dataset.selection out" if data.selection == "nested" else "Set dataset.selection=nested"
        raise UserError(
            f"{data.name}: dataset.selection=nested needs one split as train and test, another selection needs two: "
            f"train is '{data.train.name}', test is '{data.test.name}', the selection is {data.selection}. "
            f"{way_out}, or change dataset.splits."
        )
