"""Read a task from a folder in the layout of its official download."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from src.config.schema import DatasetConfig, LocalFiles
from src.data.reading.columns import rename_columns, role_columns
from src.data.reading.delimited import read_delimited
from src.data.reading.files import expand_home, file_sha256
from src.data.reading.lines import read_labelled_lines, read_sentences
from src.errors import UserError
from src.registry import unknown


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
    root = expand_home(data_root)
    if not root.is_dir():
        raise UserError(
            f"data_root '{data_root}' is not a folder. "
            f"It holds {top_folder(config)}/ in the layout of the official download."
        )
    # Each split is one file, or one file for each class; null where the labels are hidden.
    parts = {split: named if isinstance(named, Mapping) else {"": named} for split, named in local.files.items()}
    expected = ", ".join(file for named in parts.values() for file in named.values() if file)
    tables: dict[str, pa.Table | None] = {}
    digests: dict[str, str] = {}
    for split, named in parts.items():
        read = []
        for label, file in named.items():
            if file is None:
                continue
            path, given = root / local.folder / file, f"{local.folder}/{file}"
            if not path.exists():
                if split not in config.splits.values():
                    continue
                raise UserError(
                    f"{config.name}: there is no {given} in data_root={data_root}.\n"
                    f"The official download keeps in {local.folder}: {expected}."
                )
            digests[file] = file_sha256(path, given)
            read.append(_read_file(config, local, path, given, label))
        tables[split] = pa.concat_tables(read) if read else None
    return tables, {"from": "folder", "path": local.folder, "revision": None, "files": digests}


def _read_file(config: DatasetConfig, local: LocalFiles, path: Path, given: str, label: str) -> pa.Table:
    if local.format == "sentences":
        return read_sentences(path, given, label, local.encoding)
    if local.format == "labelled_lines":
        return read_labelled_lines(path, given, local.label_end, local.encoding)
    if local.format != "tsv":
        raise unknown("format", local.format, ("tsv", "sentences", "labelled_lines"), where=f"{config.name}: ")
    columns = role_columns(local.text or config.text, local.text_pair or config.text_pair, local.label or config.label)
    table = read_delimited(
        path, given, columns.values(), delimiter="\t", quoting=False, columns=local.columns, encoding=local.encoding
    )
    return rename_columns(table, columns)
