"""Files that are written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def replace_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files in their order, each whole; replace none unless all could be written.

    The last file is removed first: while it exists, the others belong to it.

    Parameters
    ----------
    folder : Path
        An existing folder.
    contents : mapping of str to bytes
        Content by file name.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    temporary = {name: folder / f".{name}.{os.getpid()}.tmp" for name in contents}
    try:
        for name, content in contents.items():
            temporary[name].unlink(missing_ok=True)  # of a killed process, or a link to another file
            with open(temporary[name], "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        if len(contents) > 1:
            (folder / list(contents)[-1]).unlink(missing_ok=True)
        for name in contents:
            os.replace(temporary[name], folder / name)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)


def json_text(value: Any, *, indent: int = 1) -> str:
    """Return a value as JSON with sorted keys and a final newline.

    Raises
    ------
    ValueError
        A number is NaN or infinite.
    """
    return json.dumps(value, indent=indent, sort_keys=True, allow_nan=False) + "\n"


def write_json(path: Path, value: Any, *, indent: int = 1) -> None:
    """Write a value to a JSON file, whole or not at all, as `json_text` formats it.

    Raises
    ------
    OSError
        The file cannot be written.
    ValueError
        A number is NaN or infinite.
    """
    replace_files(path.parent, {path.name: json_text(value, indent=indent).encode()})
