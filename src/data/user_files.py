"""Read a task from the user's own files, and divide one file into a training and a test part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from src.config.schema import DatasetConfig
from src.data.assembly import assemble
from src.data.dataset import Dataset, Split
from src.data.labels import first_row
from src.data.partition import choose_test_rows, linked_units
from src.data.reading.columns import MissingColumn, rename_columns, role_columns
from src.data.reading.delimited import delimited_rows, read_delimited
from src.data.reading.files import expand_home, file_sha256
from src.data.reading.json_lines import json_rows, read_json_lines
from src.data.reading.parquet import parquet_rows, read_parquet
from src.errors import UserError

EXTENSIONS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
ARCHIVES = (".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz")
Reader = Callable[..., Any]
ROLES = {"train": "train", "validation": "development", "test": "test"}  # key of the configuration: role


def load_user_files(config: DatasetConfig, *, labels: bool = True) -> Dataset:
    """Read the files of dataset.train, dataset.validation and dataset.test.

    Parameters
    ----------
    labels : bool, default True
        Whether every row needs a label. If False, a file may lack the column of labels where
        dataset.label is null or has its default name. Its split then has no role.

    Raises
    ------
    UserError
        The settings contradict each other, or a file, a column, a cell or a label is bad.
    """
    paths = {name: path for name in ROLES if (path := getattr(config, name)) is not None}
    _check_settings(config, paths, labels)
    tables = {name: _read_columns(config, name, given, labels) for name, given in paths.items()}
    digests = {}
    for name, given in paths.items():
        path = expand_home(given)
        digests[f"{name}/{path.name}"] = file_sha256(path, given)
    source = {"from": "files", "path": None, "revision": None, "files": digests}
    return user_dataset(config, tables, {name: f"'{path}'" for name, path in paths.items()}, source)


def user_dataset(
    config: DatasetConfig, tables: dict[str, pa.Table], places: dict[str, str], source: dict[str, Any]
) -> Dataset:
    """Return the dataset of a user's rows.

    Parameters
    ----------
    tables : dict
        By split, ``train``, ``validation`` or ``test``: columns of text ``text``, perhaps ``label``,
        ``text_pair`` and ``group``.
    places : dict
        By split: the phrase that names its rows in messages.
    source : dict
        See `Dataset`.

    Raises
    ------
    UserError
        A text, a label or a group is bad.
    """
    roles = {role: name for name, role in ROLES.items() if name in tables and "label" in tables[name].column_names}
    nested = config.selection == "nested"
    if nested and "train" in roles:
        roles["test"] = "train"
    selection = "development" if "development" in roles and not nested else config.selection
    data = assemble(config, dict(tables), places, roles, selection, source)
    if not data.has_train:
        if config.test_fraction is not None:
            raise UserError(
                f"{config.name}: dataset.test_fraction={config.test_fraction:g} divides rows with labels. Leave it out."
            )
        return data
    if (group := group_ids(config, tables["train"])) is not None:
        data = replace(data, group=linked_units(data.train.row_digests(), group))
    if "test" in tables and (group := group_ids(config, tables["test"])) is not None:
        data = replace(data, test_group=linked_units(data.test.row_digests(), group))
    return data if config.test_fraction is None else hold_out_test(data, config.test_fraction)


def _read_columns(config: DatasetConfig, name: str, given: str, labels: bool) -> pa.Table:
    """Return the columns of a file by their roles; for `labels` see `load_user_files`."""
    columns = role_columns(config.text, config.text_pair, config.label)
    wanted = [columns]
    if config.group is not None and name != "validation":
        wanted = [columns | {"group": config.group}, *([columns] if name == "test" else [])]  # test may lack it
    if not labels and columns.get("label") == DatasetConfig.label:
        wanted += [{role: column for role, column in each.items() if role != "label"} for each in wanted]
    path = expand_home(given)
    for each in wanted[:-1]:
        try:
            return rename_columns(_read_file(path, given, each.values(), config.quoting), each)
        except MissingColumn:
            continue
    return rename_columns(_read_file(path, given, wanted[-1].values(), config.quoting), wanted[-1])


def hold_out_test(data: Dataset, fraction: float) -> Dataset:
    """Move a fraction of the training rows to a new split ``test`` (``held_out`` if train has that name)."""
    train = data.roles["train"]
    test = "test" if train != "test" else "held_out"
    digests, labels = data.train.row_digests(), data.train.label if data.classes else None
    try:
        in_test = choose_test_rows(linked_units(data.groups, None), digests, labels, fraction)
    except UserError as error:
        raise UserError(f"{data.name}: dataset.test_fraction={fraction:g} {error}") from error
    parts = {train: _select_rows(data.train, train, ~in_test), test: _select_rows(data.train, test, in_test)}
    splits, roles = data.splits | parts, data.roles | {"test": test}
    if data.group is None:
        return replace(data, splits=splits, roles=roles)
    return replace(data, splits=splits, roles=roles, group=data.group[~in_test], test_group=data.group[in_test])


def _select_rows(split: Split, name: str, mask: np.ndarray) -> Split:
    rows = pa.array(mask)
    text_pair = None if split.text_pair is None else split.text_pair.filter(rows)
    return Split(name, split.text.filter(rows), text_pair, split.label[mask])


def group_ids(config: DatasetConfig, table: pa.Table) -> np.ndarray | None:
    """Return the number of each row's group, (rows,) int64; None without groups."""
    if "group" not in table.column_names:
        return None
    missing = pc.or_kleene(pc.is_null(table["group"]), pc.equal(table["group"], ""))
    if pc.any(missing).as_py():
        raise UserError(
            f"{config.name}: row {first_row(missing)} has no group in column '{config.group}'. "
            "Give it a group of its own."
        )
    return np.asarray(table["group"].combine_chunks().dictionary_encode().indices.to_numpy(), dtype=np.int64)


def _check_settings(config: DatasetConfig, paths: dict[str, str], labels: bool) -> None:
    """Refuse settings that contradict each other; `labels` says whether rows need one."""
    unfitted = config.task == "regression" and config.text_pair is not None  # as probe=cosine reads them
    if "train" not in paths and not ((unfitted and "test" in paths) or (paths and not labels)):
        raise UserError(f"{config.name}: no training file. Give dataset.train=<file> ({', '.join(EXTENSIONS)}).")
    if "test" in paths and config.test_fraction is not None:
        raise UserError(f"{config.name}: give either dataset.test=<file> or dataset.test_fraction=<between 0 and 1>.")
    if config.selection == "nested" and (config.test_fraction is not None or set(paths) != {"train"}):
        raise UserError(
            f"{config.name}: dataset.selection=nested scores the rows of train in folds. Give dataset.train alone."
        )
    if config.selection == "development" and "validation" not in paths:
        raise UserError(
            f"{config.name}: dataset.selection=development chooses on dataset.validation=<file>, which is not given."
        )
    if config.test_fraction is not None and not 0 < config.test_fraction < 1:
        raise UserError(f"{config.name}: dataset.test_fraction is a share between 0 and 1, got {config.test_fraction}.")
    if config.group is not None and config.test_fraction is None and "validation" in paths:
        raise UserError(
            f"{config.name}: dataset.group keeps rows together when train is divided, and with dataset.validation "
            "train is not divided. Leave one of them out."
        )


def _read_file(path: Path, given: str, columns: Iterable[str], quoting: bool | None) -> pa.Table:
    readers = (read_parquet, read_delimited, read_json_lines)
    return _read(readers, path, given, list(dict.fromkeys(columns)), quoting)


def read_rows(path: Path, given: str, names: list[str], quoting: bool | None) -> Iterator[Sequence[str | None]]:
    """Return an iterator over the rows of a user's file: the cells of the columns `names` as text."""
    return _read((parquet_rows, delimited_rows, json_rows), path, given, names, quoting)


def _read(
    readers: tuple[Reader, Reader, Reader], path: Path, given: str, names: list[str], quoting: bool | None
) -> Any:
    """Read a file by the reader of its format: Parquet, delimited or JSON lines."""
    read_parquet_file, read_delimited_file, read_json_file = readers
    extension = path.suffix.lower()
    if extension == ".parquet":
        return read_parquet_file(path, given, names)
    if extension in (".csv", ".tsv"):
        delimiter, quoting = _delimited_format(extension, quoting)
        return read_delimited_file(path, given, names, delimiter=delimiter, quoting=quoting)
    if extension in EXTENSIONS:
        return read_json_file(path, given, names)
    raise unknown_extension(given, extension)


def _delimited_format(extension: str, quoting: bool | None) -> tuple[str, bool]:
    """Return the delimiter of a .csv or .tsv file, and whether double quotes quote a field."""
    comma = extension == ".csv"
    return "," if comma else "\t", comma if quoting is None else quoting


def unknown_extension(given: str, extension: str) -> UserError:
    """Return the error for a file whose format its name does not tell."""
    unpack = " Unpack it first." if extension in ARCHIVES else ""
    return UserError(f"'{given}' ends in '{extension}'. Known are {', '.join(EXTENSIONS)}.{unpack}")
