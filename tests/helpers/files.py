"""Write and read data files for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from src.data.reading.delimited import read_delimited
from src.data.reading.json_lines import read_json_lines
from src.data.reading.parquet import read_parquet

EXTENSIONS = ["csv", "tsv", "jsonl", "parquet"]


STRANGE = [
    "a\rb",
    "line\u2028separator",
    "form\x0cfeed",
    "nul\x00here",
    "file\x1cmark",
    "next\x85line",
    " spaces ",
    "",
    '"quoted',
    "NA",
    "null",
    "1e5",
]


def write_file(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read_tsv(path: Path, **options: Any) -> dict[str, list[str]]:
    table = read_delimited(path, path.name, ["text", "label"], **{"delimiter": "\t", "quoting": False, **options})
    return {name: table[name].to_pylist() for name in table.column_names}


def any_reader(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        return read_parquet(path, path.name, ["text"])
    if path.suffix == ".jsonl":
        return read_json_lines(path, path.name, ["text"])
    return read_delimited(path, path.name, ["text"], delimiter=",", quoting=path.suffix == ".csv")
