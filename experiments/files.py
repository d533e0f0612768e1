"""Writers of the commands' tables, records and checkpoints."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.errors import UserError, flatten

DIGITS = 8  # significant ones that a record keeps


def make_folder(path: Path) -> Path:
    """Return a folder that exists, with those above it.

    Raises
    ------
    UserError
        It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"'{path}' cannot be written: {error.strerror}. Name another output=.") from error
    return path


def check_unused(folder: Path, files: Mapping[str, bytes]) -> None:
    """Check that no file of these names holds anything else.

    Raises
    ------
    UserError
        One does, or cannot be read.
    """
    for name, content in files.items():
        path = folder / name
        try:
            other = path.exists() and path.read_bytes() != content
        except OSError as error:
            raise UserError(f"'{path}' cannot be read: {error.strerror}. Name another output=.") from error
        if other:
            raise UserError(f"'{path}' exists and holds something else. Name another output=, or remove it.")


def task_folder(output: Path, task: str) -> Path:
    """Return the folder of a task below an output.

    Raises
    ------
    UserError
        The task's name is no name of a folder.
    """
    if task in ("", ".", "..") or not set(task).isdisjoint("/\\\0"):
        raise UserError(f"dataset.name={task!r:.200}: a name without slashes is needed, as it names a folder here.")
    return output / task


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a record: sorted keys, rounded numbers, null for a number that is not finite.

    Raises
    ------
    UserError
        Its folder cannot be made.
    OSError
        The file cannot be written.
    """
    text = json.dumps(rounded(content), indent=1, sort_keys=True, allow_nan=False) + "\n"
    make_folder(path.parent)
    path.write_text(text, encoding="utf-8")


def rounded(value: Any) -> Any:
    """Return the same value with every float cut to `DIGITS` significant digits.

    >>> rounded({"a": [0.123456789123, float("inf"), 3]})
    {'a': [0.12345679, None, 3]}
    """
    if isinstance(value, Mapping):
        return {str(key): rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if value - value == 0 else None
    return value


def write_csv(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, digits: int | None = None
) -> None:
    """Write a table; with `digits`, floats get so many significant digits.

    Raises
    ------
    OSError
        The file cannot be written.
    """

    def shown(cell: Any) -> Any:
        return f"{cell:.{digits}g}" if digits and isinstance(cell, float) else cell

    make_folder(path.parent)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: shown(cell) for key, cell in row.items()} for row in rows)


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Raise UserError for a folder that cannot be written, whatever a library writes there."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or flatten(error, 160)
        raise UserError(f"output={output} cannot be written: {reason}. Name another folder.") from error
