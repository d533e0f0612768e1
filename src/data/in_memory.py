"""Turn texts and labels that are in memory into the same datasets as a user's files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from src.config.schema import DatasetConfig
from src.data.dataset import Dataset, Split
from src.data.partition import linked_units
from src.data.user_files import user_dataset
from src.errors import UserError, shortened
from src.registry import unknown

NAME = "rows"
TEST_FRACTION = 0.2


def memory_table(
    texts: Iterable[Any],
    *,
    pairs: Iterable[Any] | None = None,
    labels: Iterable[Any] | None = None,
    groups: Iterable[Any] | None = None,
) -> pa.Table:
    """Return rows as a table of text columns, as reading a file does.

    Parameters
    ----------
    texts, pairs : sequences of str, (rows,)
    labels, groups : sequences of str, numbers or truth values, (rows,)
        None and NaN are missing cells.

    Raises
    ------
    UserError
        A text is not a str, or the columns have different numbers of rows.
    """
    columns = {"text": _texts("texts", texts)}
    if pairs is not None:
        columns["text_pair"] = _texts("pairs", pairs)
    for name, values in (("label", labels), ("group", groups)):
        if values is not None:
            columns[name] = pa.array([_cell(value) for value in entries(f"{name}s", values)], pa.large_string())
    for name, column in columns.items():
        if len(column) != len(columns["text"]):
            raise UserError(
                f"there are {len(columns['text']):,} texts, and '{name}' has {len(column):,} rows. Give one for each."
            )
    return pa.table(columns)


def memory_dataset(config: DatasetConfig, tables: dict[str, pa.Table]) -> Dataset:
    """Return the dataset of tables by split; UserError for a bad text, label or group."""
    source: dict[str, Any] = {"from": "memory", "path": None, "revision": None, "files": {}}
    return user_dataset(config, tables, {name: f"split '{name}'" for name in tables}, source)


def scored_dataset(
    config: DatasetConfig,
    table: pa.Table,
    fitted: bool,
    *,
    test: Mapping[str, Iterable[Any]] | None = None,
    test_fraction: float | None = None,
    folds: int | None = None,
) -> Dataset:
    """Return labelled rows, divided into those that a probe is fitted on and those that are scored.

    Parameters
    ----------
    fitted : bool
        Whether a probe is fitted. If not, all rows are scored.
    test : mapping, optional
        ``texts``, ``labels`` and perhaps ``pairs`` of the rows that are scored.
    test_fraction : float, default 0.2
        Share of the rows that are scored without `test`.
    folds : int, optional
        All rows are scored in folds; `config` says so too.

    Raises
    ------
    UserError
        Several of the last three are given, one does not go with the others, or a text, a label or
        a group is bad.
    """
    given = {"test": test, "test_fraction": test_fraction, "folds": folds}
    if len(several := [name for name, value in given.items() if value is not None]) > 1:
        raise UserError(f"{' and '.join(several)} both say which rows are scored. Give one of them.")
    if not fitted and several:
        raise UserError(f"{several[0]}: nothing is fitted, so all rows are scored. Leave it out.")
    if test_fraction is not None and not (_is_number(test_fraction) and 0 < test_fraction < 1):
        raise UserError(f"test_fraction={test_fraction} is a share between 0 and 1, such as 0.2.")
    if not fitted:
        return memory_dataset(config, {"test": table})
    tables = {"train": table}
    if test is not None:
        known = ("texts", "labels", "pairs")
        if not isinstance(test, Mapping):
            raise UserError(
                f"test={shortened(repr(test), 60)} is no mapping. Give test={{'texts': [...], 'labels': [...]}}."
            )
        if wrong := sorted(set(test) - set(known)):
            raise unknown("key", wrong[0], known, where="test: ")
        tables["test"] = memory_table(test.get("texts", ()), pairs=test.get("pairs"), labels=test.get("labels", ()))
        if ("text_pair" in table.column_names) != ("pairs" in test):
            raise UserError("pairs are given of the rows to fit on or of those in test alone. Give both, or none.")
    elif folds is None:
        config = replace(config, test_fraction=TEST_FRACTION if test_fraction is None else test_fraction)
    return memory_dataset(config, tables)


def looks_like_scores(labels: Iterable[Any]) -> bool:
    """Return whether labels are numbers, one of them no whole number, so that the task is regression.

    >>> looks_like_scores([0.5, 3.0]), looks_like_scores([0.0, 1.0]), looks_like_scores(["0.5"])
    (True, False, False)
    """
    found = entries("labels", labels)
    if not all(_is_number(value) for value in found):
        return False
    return any(not float(value).is_integer() for value in found)


def kept_together(
    rows: int, texts: Iterable[Any] | None, pairs: Iterable[Any] | None, groups: Iterable[Any] | None
) -> dict[str, np.ndarray]:
    """Return arrays (rows,) whose equal entries stay on one side of every division of rows, by their kind.

    ``duplicates`` are those of equal texts. ``groups`` are those of equal texts or groups.

    Raises
    ------
    UserError
        The columns have different numbers of rows, or pairs are given without texts.
    """
    if texts is None and pairs is not None:
        raise UserError("pairs are the second texts of rows: give texts beside them.")
    if texts is None and groups is None:
        return {}
    column = [""] * rows if texts is None else texts
    table = memory_table(column, pairs=pairs, groups=groups)
    if len(table) != rows:
        raise UserError(f"there are {rows:,} labels and {len(table):,} texts. Give one for each row.")
    digests = np.arange(rows, dtype=np.uint64)
    if texts is not None:
        text_pair = table["text_pair"].chunk(0) if pairs is not None else None
        digests = Split(NAME, table["text"].chunk(0), text_pair, np.full(rows, np.nan)).row_digests()
    if groups is None:
        return {"duplicates": digests}
    if table["group"].null_count:
        raise UserError("groups: a row has none. Give each row a group, if need be of its own.")
    ids = table["group"].combine_chunks().dictionary_encode().indices.to_numpy()
    return {"groups": linked_units(digests, ids.astype(np.int64))}


def entries(name: str, values: Any) -> list[Any]:
    """Return the entries of a sequence; UserError for a single value, and for what has no order."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.to_pylist()
    try:
        if not isinstance(values, str | bytes | Mapping | Set):
            return list(values)
    except TypeError:
        pass  # it has no entries
    raise UserError(f"{name}={shortened(repr(values), 60)} is no sequence. Give a list: {name}=[...].")


def _is_number(value: Any) -> bool:
    if isinstance(value, str | bool) or not hasattr(value, "__float__"):
        return False
    return math.isfinite(float(value))


def _texts(name: str, values: Iterable[Any]) -> pa.Array:
    """Return a column of texts."""
    found = entries(name, values)
    for row, text in enumerate(found, 1):
        if not isinstance(text, str):
            raise UserError(
                f"{name}: row {row} is {shortened(repr(text), 60)}, and a text is needed. An empty text is ''."
            )
    try:
        return pa.array(found, pa.large_string())
    except UnicodeEncodeError as error:
        raise UserError(f"{name}: a text holds half a surrogate pair, which is not Unicode. Correct it.") from error


def _cell(value: Any) -> str | None:
    """Return a label or a group as the text of its cell; None if it is missing."""
    if value is None or isinstance(value, str):
        return value
    value = value.item() if hasattr(value, "item") else value  # a numpy scalar
    if isinstance(value, float) and math.isnan(value):
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
