"""Read a task from a folder in the layout of its official download."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from src.config.schema import DatasetConfig, LocalFiles
from src.data.reading.columns import rename_columns, role_columns
from src.data.reading.delimited import read_delimited
from src.data.reading.files import expand_home, file_sha256
from src.data.reading.lines import read_labelled_lines, read_parallel_lines, read_sentences
from src.data.reading.sts import find_sets, read_set, set_files
from src.errors import UserError
from src.registry import unknown

log = logging.getLogger(__name__)

FORMATS = ("tsv", "quoted_csv", "sentences", "labelled_lines", "parallel_lines", "sts")


def top_folder(config: DatasetConfig) -> str:
    """Return the folder that data_root has to hold."""
    return config.local.folder.partition("/")[0] if config.local else "glue_data"


def read_official(
    config: DatasetConfig, local: LocalFiles, data_root: str
) -> tuple[dict[str, pa.Table | None], dict[str, Any]]:
    """Return the table of each split, None where its labels are hidden, and the provenance.

    Raises
    ------
    UserError
        The folder or the file of a split that is used is missing, or a file cannot be read.
    """
    source: dict[str, Any] = {"from": "folder", "path": local.folder, "revision": None, "files": {}}
    if local.format == "sts":
        return {split: _read_sets(config, local, data_root, split, source) for split in local.files}, source
    tables: dict[str, pa.Table | None] = {}
    for split, files in official_files(config, local, data_root).items():
        for path, given, _ in files:
            source["files"][given.removeprefix(f"{local.folder}/")] = file_sha256(path, given)
        tables[split] = _read_split(config, local, files)
    return tables, source


def find_root(config: DatasetConfig, data_root: str) -> Path:
    """Return ``data_root`` as a path; UserError if it is not a folder."""
    root = expand_home(data_root)
    if not root.is_dir():
        raise UserError(
            f"data_root '{data_root}' is not a folder. "
            f"It holds {top_folder(config)}/ in the layout of the official download."
        )
    return root


def official_files(config: DatasetConfig, local: LocalFiles, data_root: str) -> dict[str, list[tuple[Path, str, str]]]:
    """Return the files of each split, none where its labels are hidden, without reading them.

    A file comes with its name for messages, and with its class (parallel_lines: its column).

    Raises
    ------
    UserError
        The folder or the file of a split that is used is missing.
    """
    root = find_root(config, data_root)
    # A split is one file, several in a row, or one for each class; null where labels are hidden.
    parts = {split: _parts(named) for split, named in local.files.items()}
    if local.labelled is not None and local.labelled.split in config.roles.values():
        parts[local.labelled.split] = [("", local.labelled.file)]
    expected = ", ".join(file for named in parts.values() for _, file in named if file)
    found: dict[str, list[tuple[Path, str, str]]] = {}
    for split, named in parts.items():
        found[split] = []
        for label, file in named:
            if file is None:
                continue
            path, given = root / local.folder / file, f"{local.folder}/{file}"
            if path.exists():
                found[split].append((path, given, label))
            elif split in config.roles.values():
                raise UserError(
                    f"{config.name}: there is no {given} in data_root={data_root}.\n"
                    f"The official download keeps in {local.folder}: {expected}."
                )
    return found


def check_sets(config: DatasetConfig, local: LocalFiles, data_root: str) -> Path:
    """Return the folder of a task that comes in sets; UserError if it is missing."""
    folder = find_root(config, data_root) / local.folder
    if not folder.is_dir():
        raise UserError(f"{config.name}: there is no folder {local.folder} in data_root={data_root}.")
    return folder


def _read_split(config: DatasetConfig, local: LocalFiles, files: list[tuple[Path, str, str]]) -> pa.Table | None:
    """Return the table of a split, None without files.

    A file comes with its name for messages, and with its class (parallel_lines: its column).
    """
    if not files:
        return None
    if local.format == "parallel_lines":
        return read_parallel_lines({column: (path, given) for path, given, column in files}, local.encoding)
    return pa.concat_tables([_read_file(config, local, path, given, label) for path, given, label in files])


def _parts(named: Any) -> list[tuple[str, str | None]]:
    """Return class (parallel_lines: column) and name of each file of a split; none where the files hold the labels."""
    if isinstance(named, Mapping):
        return list(named.items())
    return [("", file) for file in (named if isinstance(named, list) else [named])]


def _read_file(config: DatasetConfig, local: LocalFiles, path: Path, given: str, label: str) -> pa.Table:
    if local.format == "sentences":
        return read_sentences(path, given, label, local.encoding)
    if local.format == "labelled_lines":
        return read_labelled_lines(path, given, local.label_end, local.encoding)
    if local.format not in ("tsv", "quoted_csv"):
        raise unknown("format", local.format, FORMATS, where=f"{config.name}: ")
    columns = role_columns(local.text or config.text, local.text_pair or config.text_pair, local.label or config.label)
    labelled = local.labelled
    own = labelled.columns if labelled is not None and given == f"{local.folder}/{labelled.file}" else None
    quoted = local.format == "quoted_csv"
    table = read_delimited(
        path, given, columns.values(), delimiter="," if quoted else "\t", quoting=quoted, columns=own or local.columns,
        encoding=local.encoding, further_fields=own is not None,
    )  # fmt: skip
    return rename_columns(table, columns)


def _read_sets(
    config: DatasetConfig, local: LocalFiles, data_root: str, split: str, source: dict[str, Any]
) -> pa.Table:
    """Return the sets of a split, by name; add its files and left-out rows to `source`."""
    folder, given, known = check_sets(config, local, data_root), local.folder, local.files[split] or []
    names = find_sets(folder, given, known)
    if known and set(names) != set(known):
        log.warning(
            "%s: %s holds the sets %s, and the official download %s: published scores are not comparable",
            config.name, given, ", ".join(names), ", ".join(sorted(known)),
        )  # fmt: skip
    tables, left_out = [], 0
    for name in names:
        table, count = read_set(folder, given, name, local.encoding)
        source["files"] |= {file: file_sha256(folder / file, f"{given}/{file}") for file in set_files(name)}
        tables.append(table)
        left_out += count
    if left_out:
        source["left_out"] = {**source.get("left_out", {}), split: left_out}
    return pa.concat_tables(tables)
