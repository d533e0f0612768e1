"""Choose the splits of a dataset of the hub by their usual names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from src.config.schema import DatasetConfig
from src.data.labels import labels_are_hidden
from src.errors import UserError
from src.registry import unknown

USUAL_NAMES = {
    "train": ("train", "training"),
    "development": ("validation", "valid", "val", "dev", "development"),
    "test": ("test", "testing", "eval", "evaluation"),
}


@dataclass(frozen=True)
class ChosenSplits:
    """The split of each role, the selection of the grid's value, and a remark for the user."""

    roles: dict[str, str]
    selection: str
    remark: str = ""


def named_splits(config: DatasetConfig, names: list[str]) -> dict[str, str]:
    """Return role to split: as the configuration says, else by the usual names.

    Raises
    ------
    UserError
        The configuration names a split that does not exist.
    """
    roles = config.roles
    for role, name in roles.items():
        if name not in names:
            raise unknown("split", name, names, where=f"{config.name}: dataset.splits.{role}: ")
    for role, usual in USUAL_NAMES.items():
        found = next((name for name in usual if name in names and name not in roles.values()), None)
        if role not in roles and found is not None:
            roles[role] = found
    if config.selection == "nested" and "train" in roles:
        roles = {"train": roles["train"], "test": roles["train"]}
    if not roles:
        raise UserError(
            f"{config.name}: its splits are {', '.join(names)}, and none has a usual name. Name them: "
            "dataset.splits.train= and dataset.splits.test=."
        )
    return roles


def choose_splits(
    config: DatasetConfig, roles: Mapping[str, str], tables: Mapping[str, pa.Table | None]
) -> ChosenSplits:
    """Return the splits to use: without those whose labels are hidden, and with a test split if possible.

    Without labels in a test split that the user did not name, the development split is the test split.

    Parameters
    ----------
    roles : mapping
        From `named_splits`.
    tables : mapping
        By split name; None for hidden labels.

    Raises
    ------
    UserError
        All splits hide their labels; or ``dataset.test_fraction`` is given, and there is a test split.
    """
    chosen = {role: name for role, name in roles.items() if tables[name] is not None or role in config.roles}
    if not chosen:
        listed = ", ".join(f"'{name}'" for name in dict.fromkeys(roles.values()))
        raise UserError(
            f"{config.name}: all labels of {listed} in column '{config.label}' are missing or -1. Name another column "
            "in dataset.label=, or use another dataset."
        )
    remark = f"split '{roles['test']}' hides its labels" if "test" in roles and "test" not in chosen else ""
    if "test" not in chosen and "development" in chosen and config.test_fraction is None:
        chosen["test"] = chosen.pop("development")
        remark = f"{remark or 'there is no test split'}, so that '{chosen['test']}' is scored"
    if config.test_fraction is not None and "test" in chosen:
        raise UserError(
            f"{config.name}: give either dataset.test_fraction or a test split; '{chosen['test']}' is one. Leave "
            "dataset.test_fraction out."
        )
    return ChosenSplits(chosen, _selection(config, chosen), remark)


def _selection(config: DatasetConfig, chosen: dict[str, str]) -> str:
    """Return how the grid's value is selected; drop an unnamed development split that is not read then."""
    if "development" not in chosen:
        return config.selection
    if config.selection in ("carve", "development"):  # carve is the default
        return "development"
    if "development" not in config.roles:
        del chosen["development"]
    return config.selection


def without_hidden(table: pa.Table | None, train: pa.Table | None) -> pa.Table | None:
    """Return a split's table, or None if all of its labels are missing, or are -1 and no class of train."""
    if table is None:
        return None
    labels = table["label"]
    if labels.null_count == len(labels):
        return None
    known = tuple(map(str, pc.drop_null(train["label"].unique()).to_pylist())) if train is not None else ()
    return None if not labels.null_count and labels_are_hidden(labels, known) else table
