"""Files of arrays in numpy's format: mapped without pickle, and written row by row."""

from __future__ import annotations

import itertools
import math
import os
import tokenize
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from src.errors import flatten


class ArrayWriter:
    """Writer of a new ``.npy`` file that takes rows in any order, without the array in memory.

    Parameters
    ----------
    path : Path
        The file, which must not exist.
    shape : tuple of int
        Rows are numbered over all axes but the last.
    dtype : numpy dtype
    header : callable, optional
        Writes the header, in version 2.0 of the format by default.
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...], dtype: Any, header: Any = np.lib.format.write_array_header_2_0
    ) -> None:
        dtype = np.dtype(dtype)
        self._file = path.open("xb")
        header(self._file, {"descr": dtype.str, "fortran_order": False, "shape": shape})
        self._file.flush()
        self._start = self._file.tell()
        self._stride = shape[-1] * dtype.itemsize
        if size := math.prod(shape) * dtype.itemsize:
            # Where the system can reserve the space, a full disk shows now, not halfway.
            reserve = getattr(os, "posix_fallocate", lambda file, start, size: os.ftruncate(file, start + size))
            reserve(self._file.fileno(), self._start, size)

    def rows(self, numbers: np.ndarray, values: np.ndarray) -> None:
        """Write ``values[i]`` into row ``numbers[i]``; neighbouring rows are written at once.

        Parameters
        ----------
        numbers : array of shape (rows,), int
        values : array of shape (rows, width)
            Of the file's dtype.
        """
        data = np.ascontiguousarray(values).data.cast("B")
        runs = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
        for first, end in itertools.pairwise(runs):
            piece = data[first * self._stride : end * self._stride]
            place = self._start + int(numbers[first]) * self._stride
            while piece:  # a disk that has just become full writes a part of it
                written = os.pwrite(self._file.fileno(), piece, place)
                piece, place = piece[written:], place + written

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def map_array(file: BufferedReader) -> np.ndarray:
    """Return the array of an open ``.npy`` file, mapped and read-only.

    Raises
    ------
    ValueError
        The file is not in this format, or its array can only be read by pickle.
    """
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    magic = np.lib.format.read_magic(file)
    if magic not in headers:
        raise ValueError(f"version {magic} of the array format is unknown")
    try:
        shape, fortran, dtype = headers[magic](file)
    except (SyntaxError, tokenize.TokenError) as error:  # the header is a Python literal
        raise ValueError(f"its header cannot be read: {flatten(error, 80)}") from error
    if dtype.hasobject:
        raise ValueError("it holds objects, which only pickle reads")
    return np.memmap(file, dtype=dtype, shape=shape, order="F" if fortran else "C", mode="r", offset=file.tell())
