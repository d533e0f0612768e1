"""Read any dataset of the hub as a task: its columns and splits are found, or asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from src.config.schema import DatasetConfig
from src.data.assembly import assemble
from src.data.dataset import Dataset
from src.data.hub import split_table
from src.data.hub_columns import class_names, find_columns
from src.data.hub_files import HubData, load_hub_data
from src.data.hub_splits import ChosenSplits, choose_splits, named_splits, without_hidden
from src.data.labels import HIDDEN_LABEL
from src.data.partition import linked_units
from src.data.reading.columns import role_columns
from src.data.user_files import group_ids, hold_out_test
from src.errors import UserError

log = logging.getLogger(__name__)


def load_hub_task(config: DatasetConfig) -> Dataset:
    """Read a dataset whose configuration names its place on the hub, or a folder of one.

    Columns and splits that the configuration does not name are found by their types and usual names.

    Raises
    ------
    UserError
        The dataset cannot be loaded, its columns or splits have to be named, or a label is bad.
    """
    _check_settings(config)
    loaded = load_hub_data(config, lambda features: find_columns(config, features))
    columns = find_columns(config, loaded.features)
    config = replace(config, text=columns["text"], text_pair=columns.get("text_pair"), label=columns["label"])
    roles = named_splits(config, list(loaded.splits))
    tables, left_out = _tables(config, loaded, roles)
    chosen = choose_splits(config, roles, tables)
    used = {name: table for name, table in tables.items() if name in chosen.roles.values()}
    left_out = {name: count for name, count in left_out.items() if name in used and count}
    _report(config, chosen, left_out)
    source = {**loaded.source, "columns": columns, **({"left_out": left_out} if left_out else {})}
    data = assemble(
        _with_classes(config, loaded.features, used), used, {name: f"split '{name}'" for name in used}, chosen.roles,
        chosen.selection, source,
    )  # fmt: skip
    data = _with_groups(config, data, used)
    return data if config.test_fraction is None or not data.has_train else hold_out_test(data, config.test_fraction)


def _with_groups(config: DatasetConfig, data: Dataset, used: Mapping[str, pa.Table]) -> Dataset:
    """Return the dataset with the groups of its training and test rows, if ``dataset.group`` is given."""
    groups = {}
    for role, field in (("train", "group"), ("test", "test_group")):
        table = used.get(data.roles.get(role, ""))
        if table is not None and (found := group_ids(config, table)) is not None:
            groups[field] = linked_units(data.splits[data.roles[role]].row_digests(), found)
    if data.roles.get("test") == data.roles.get("train"):  # nested folds
        groups.pop("test_group", None)
    return replace(data, group=groups.get("group"), test_group=groups.get("test_group"))


def _check_settings(config: DatasetConfig) -> None:
    """Refuse keys of ``dataset=files``, and a fraction out of its range."""
    for key in ("train", "validation", "test"):
        if getattr(config, key) is not None:
            raise UserError(
                f"{config.name}: dataset.{key} is a file of dataset=files. A split is named by dataset.splits.train=, "
                "dataset.splits.development= or dataset.splits.test=."
            )
    if config.test_fraction is not None and not 0 < config.test_fraction < 1:
        raise UserError(f"{config.name}: dataset.test_fraction is a share between 0 and 1, got {config.test_fraction}.")


def _tables(
    config: DatasetConfig, loaded: HubData, roles: Mapping[str, str]
) -> tuple[dict[str, pa.Table | None], dict[str, int]]:
    """Return the table of each split, None where its labels are hidden, and its number of rows left out."""
    tables: dict[str, pa.Table | None] = {}
    left_out: dict[str, int] = {}
    train = roles.get("train", "")
    for name in sorted(set(roles.values()), key=lambda name: name != train):
        group = {"group": config.group} if config.group is not None else {}
        table = _read_split(config, loaded, name, role_columns(config.text, config.text_pair, config.label) | group)
        tables[name], left_out[name] = _without_unlabelled(
            without_hidden(table, tables.get(train)), loaded.features.get(str(config.label))
        )
    return tables, left_out


def _read_split(config: DatasetConfig, loaded: HubData, name: str, columns: dict[str, str]) -> pa.Table | None:
    """Return the columns of a split as text, None without labels; UserError if it has no rows."""
    split = loaded.splits[name]
    if split is None:
        raise UserError(
            f"{config.name}: split '{name}' has no rows. Name another one in dataset.splits.train=, "
            f"dataset.splits.development= or dataset.splits.test=: {', '.join(loaded.splits)}."
        )
    flat = split if set(columns.values()) <= set(split.column_names) else split.flatten()
    return split_table(flat, columns, f"{config.name}, split '{name}'")


def _without_unlabelled(table: pa.Table | None, feature: Any) -> tuple[pa.Table | None, int]:
    """Return a table without the rows that have no class, and their number; -1 in a column of classes is none."""
    names = class_names(feature)
    if table is None or names is None or HIDDEN_LABEL in names:
        return table, 0
    unlabelled = pc.fill_null(pc.equal(table["label"], HIDDEN_LABEL), False)
    count = int(pc.sum(unlabelled).as_py() or 0)
    return (table.filter(pc.invert(unlabelled)) if count else table), count


def _with_classes(
    config: DatasetConfig, features: Mapping[str, Any], used: Mapping[str, pa.Table | None]
) -> DatasetConfig:
    """Return the configuration with the classes in the dataset's own order, without those that do not occur."""
    names = class_names(features.get(str(config.label)))
    if names is None or config.classes or config.labels or config.task == "regression":
        return config
    found = set().union(*(table["label"].unique().to_pylist() for table in used.values() if table is not None))
    return replace(config, classes=[name for name in names if name in found] or None)


def _report(config: DatasetConfig, chosen: ChosenSplits, left_out: Mapping[str, int]) -> None:
    """Log one line on the columns and splits in use, and one for each split with rows left out."""
    named = {"text": config.text, "second text": config.text_pair, "label": config.label}
    columns = ", ".join(f"{role} '{column}'" for role, column in named.items() if column is not None)
    splits = ", ".join(f"{role} '{name}'" for role, name in chosen.roles.items())
    log.info("%s: %s; %s%s", config.name, columns, splits, f" ({chosen.remark})" if chosen.remark else "")
    for name, count in left_out.items():
        log.info("%s: split '%s': rows without a class are left out: %s", config.name, name, f"{count:,}")
