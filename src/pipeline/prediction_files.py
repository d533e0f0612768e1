"""Files of predictions, written block by block as CSV, TSV, JSON lines or Parquet."""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from src.errors import UserError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
Columns = Mapping[str, list[Any]]  # name: values of the rows of a block
Write = Callable[[Columns], None]


def check_output(output: str, given: str) -> Path:
    """Return the path of the file to be written.

    Parameters
    ----------
    given : str
        The file that is read, which is not replaced.

    Raises
    ------
    UserError
        The name tells no format, the folder is missing, or the file is the one that is read.
    """
    path = Path(output).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"output={output} ends in '{path.suffix}'. Known are {', '.join(SUFFIXES)}.")
    if not path.parent.is_dir():
        raise UserError(f"output={output} cannot be written: there is no folder '{path.parent}'. Make it first.")
    if path.is_dir():
        raise UserError(f"output={output} is a folder. Give the name of a file in it.")
    if path.exists() and Path(given).expanduser().exists() and path.samefile(Path(given).expanduser()):
        raise UserError(f"output={output} is the input itself. Give another name.")
    return path


@contextmanager
def prediction_writer(path: Path) -> Iterator[Write]:
    """Yield a function that writes a block of rows; the file appears, whole, if the block succeeds.

    Raises
    ------
    UserError
        The file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    formats = {".parquet": _parquet_writer, ".csv": _csv_writer, ".tsv": _tsv_writer}
    try:
        with formats.get(path.suffix.lower(), _json_writer)(temporary) as write:
            yield write
        temporary.replace(path)
    except OSError as error:
        if error.filename not in (None, str(temporary)):
            raise
        raise UserError(
            f"{path} cannot be written: {error.strerror}. Free some room, or choose another output=."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _csv_writer(path: Path, delimiter: str = ",") -> Iterator[Write]:
    with path.open("x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")

        def write(columns: Columns) -> None:
            if not file.tell():
                writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))

        yield write


def _tsv_writer(path: Path) -> Any:
    return _csv_writer(path, "\t")


@contextmanager
def _json_writer(path: Path) -> Iterator[Write]:
    with path.open("x", encoding="utf-8") as file:

        def write(columns: Columns) -> None:
            for row in zip(*columns.values(), strict=True):
                file.write(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n")

        yield write


@contextmanager
def _parquet_writer(path: Path) -> Iterator[Write]:
    import pyarrow.parquet

    with path.open("xb") as file:
        writer: Any = None
        try:

            def write(columns: Columns) -> None:
                nonlocal writer
                table = pa.table(dict(columns))
                writer = writer or pyarrow.parquet.ParquetWriter(file, table.schema)
                writer.write_table(table)

            yield write
        finally:
            if writer is not None:
                writer.close()
