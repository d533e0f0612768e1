"""Read a task from the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from src.config.schema import DatasetConfig
from src.data.official import top_folder
from src.data.reading.cells import text_table
from src.data.reading.columns import find_column, rename_columns, role_columns, trimmed
from src.errors import UserError, flatten
from src.runtime.hub import go_offline_unless_reachable, log_request

COMMIT = "[0-9a-f]{40}"


def read_hub(config: DatasetConfig) -> tuple[dict[str, pa.Table | None], dict[str, Any]]:
    """Return the table of each split, None where it has no labels, and the provenance.

    Raises
    ------
    UserError
        The hub cannot be reached and its cache lacks the dataset, or a column is missing.
    """
    path = str(config.hub.path)
    if Path(path).exists():
        raise UserError(
            f"{config.name}: the folder '{path}' here hides the hub's dataset of that name. Run from another folder."
        )
    loaded = _download(config, path, config.hub.name, config.hub.revision)
    columns = role_columns(config.text, config.text_pair, config.label)
    tables = {name: split_table(split, columns, f"{path}, split '{name}'") for name, split in loaded.items()}
    source: dict[str, Any] = {
        "from": "hub",
        "path": path,
        "revision": _commit(loaded, config.hub.revision),
        "files": {},
    }
    labelled = config.hub.labelled
    if labelled is not None and labelled.split in config.roles.values():
        other = _download(config, labelled.path, None, labelled.revision)
        columns, place = {**columns, "label": labelled.label}, f"{labelled.path}, split '{labelled.split}'"
        tables[labelled.split] = split_table(other[labelled.split], columns, place)
        source["labelled"] = {"path": labelled.path, "revision": _commit(other, labelled.revision)}
    return tables, source


def check_cached(config: DatasetConfig) -> None:
    """Check, where the hub cannot be reached, that its cache has the dataset; raise a UserError if not."""
    if not go_offline_unless_reachable():
        _download(config, str(config.hub.path), config.hub.name, config.hub.revision)


def _commit(loaded: Any, revision: str) -> str | None:
    """Return the commit of a loaded dataset: the addresses of its files hold that of a branch."""
    addresses = " ".join(next(iter(loaded.values())).info.download_checksums or {})
    commit = re.search(f"@({COMMIT})/", addresses) or re.fullmatch(f"({COMMIT})", revision)
    return commit[1] if commit else None


def _download(config: DatasetConfig, path: str, name: str | None, revision: str) -> Any:
    """Return the hub's dataset, from its cache where the hub cannot be reached."""
    online = go_offline_unless_reachable()

    import datasets

    datasets.disable_progress_bars()
    if online:
        log_request(path)
    try:
        return datasets.load_dataset(path, name, revision=revision)
    except Exception as error:  # the library's errors have no common class
        way_out = (
            f"Give data_root=<folder holding {top_folder(config)}/>." if config.local else "Connect, and try again."
        )
        if not online:
            raise UserError(
                f"{config.name}: cannot reach the hub and '{path}' is not in its cache. {way_out}"
            ) from None
        raise UserError(f"{config.name}: cannot load '{path}' from the hub: {flatten(error, 200)}\n{way_out}") from None


def split_table(split: Any, columns: dict[str, str], given: str) -> pa.Table | None:
    """Return the columns of a split as text, under the names of their roles.

    Labels are the names of their classes. The result is None if there is no column of labels.

    Parameters
    ----------
    split : datasets.Dataset
    columns : dict
        Role to column.
    given : str
        What messages call the split.

    Raises
    ------
    UserError
        A column is missing, or is neither text nor numbers.
    """
    header = split.column_names
    if not any(trimmed(name) == trimmed(columns["label"]) for name in header):
        return None
    columns = {role: header[find_column(column, header, given)] for role, column in columns.items()}
    table = split.with_format("arrow")[:]
    texts = rename_columns(text_table(table.select(list(dict.fromkeys(columns.values()))), given), columns)
    names = getattr(split.features[columns["label"]], "names", None)
    if names is None:
        return texts
    # An id that names no class (-1: hidden) stays a number.
    ids = pc.index_in(table[columns["label"]], pa.array(range(len(names)), table[columns["label"]].type))
    labels = pc.coalesce(pa.array(names, pa.large_string()).take(ids), texts["label"])
    return texts.set_column(texts.column_names.index("label"), "label", labels)
