"""Files of pooled features in the safetensors format."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.errors import UserError
from src.features.derivation import RowSource
from src.features.vectors import join_columns, pair_features

BLOCK = 1 << 14  # rows written at a time


def write_features(
    path: Path,
    sides: Sequence[Sequence[RowSource]],
    labels: np.ndarray | None,
    metadata: dict[str, str],
) -> None:
    """Write features and labels as a safetensors file, block by block, so that they need not fit into memory.

    Parameters
    ----------
    path : Path
    sides : sequence of sequences of float32 arrays (rows, width), or of what gives them by slices
        One side, or two that are combined as the features of a pair. Arrays of a side are put side by side.
    labels : array of shape (rows,), whole numbers or floats; None leaves them out
    metadata : dict of str to str

    Raises
    ------
    UserError
        The file cannot be written.

    References
    ----------
    The format has 8 bytes of header length, little-endian, a JSON header of names, dtypes, shapes and
    offsets, and the arrays, row-major: https://github.com/huggingface/safetensors#format
    """
    rows = sides[0][0].shape[0]
    width = sum(part.shape[1] for part in sides[0]) * (1 if len(sides) == 1 else 4)
    header: dict[str, Any] = {"__metadata__": metadata}
    before = b""  # the bytes in front of the features
    if labels is not None:
        whole = labels.dtype.kind == "i"
        before = labels.astype("<i8" if whole else "<f4").tobytes()
        header["labels"] = {"dtype": "I64" if whole else "F32", "shape": [rows], "data_offsets": [0, len(before)]}
    offsets = [len(before), len(before) + rows * width * 4]
    header["features"] = {"dtype": "F32", "shape": [rows, width], "data_offsets": offsets}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the arrays are aligned
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.write(before)
            for start in range(0, rows, BLOCK):
                block = pair_features(
                    [join_columns([part[start : start + BLOCK] for part in parts]) for parts in sides]
                )
                file.write(np.ascontiguousarray(block, "<f4").tobytes())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}. Free some room, or choose another output=."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
