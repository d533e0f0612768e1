"""The arrays beside a record: predictions by row, and the fitted probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

PREDICTION_FIELDS = ("row", "fold", "label", "prediction", "decision")
FURTHER_FIELDS = ("texts", "set", "group", "thresholded")  # of some runs
Arrays = Mapping[str, "np.ndarray"]


def check_predictions(arrays: Arrays, fields: Sequence[str] = PREDICTION_FIELDS) -> None:
    """Check that each role has every field, and that all its arrays have as many rows.

    Parameters
    ----------
    arrays : mapping of arrays
        As `Result.pack` takes them.
    fields : sequence of str
        Fields that a role must have, ``row`` first.

    Raises
    ------
    ValueError
        A field is missing or has another number of rows.
    """
    roles = {name.rpartition(".")[0] for name in arrays} | {""}
    for role in sorted(roles):
        prefix = f"{role}." if role else ""
        names = [prefix + field for field in fields]
        if missing := [name for name in names if name not in arrays]:
            raise ValueError(f"predictions lack {', '.join(missing)}")
        rows = arrays[names[0]].size
        there = [*names, *(prefix + field for field in FURTHER_FIELDS if prefix + field in arrays)]
        if wrong := [name for name in there if rows not in arrays[name].shape[:2]]:
            raise ValueError(f"predictions: {', '.join(wrong)} not of {rows} rows")


def check_values(arrays: Arrays, classes: int) -> None:
    """Check shapes, types and values of predictions that have been read.

    Parameters
    ----------
    arrays : mapping of arrays
        As `Result.pack` takes them.
    classes : int
        Number of classes, of which labels and predictions are ids; 0 for regression.

    Raises
    ------
    ValueError
        An array has another shape or type, or a label or prediction is not finite or not a class. Decision
        values are not looked at.
    """
    import numpy as np

    for name, array in arrays.items():
        field = name.rpartition(".")[2]
        if field in ("row", "fold", "label", "set", "group") and (
            array.ndim != 1 or (field != "label" and array.dtype.kind not in "iu")
        ):
            raise ValueError(f"predictions: {name} is {array.dtype} of shape {array.shape}")
        if field == "texts" and (array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind != "u"):
            raise ValueError(f"predictions: {name} is {array.dtype} of shape {array.shape}")
        if field not in ("label", "prediction", "thresholded"):
            continue
        if array.ndim > 2 or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise ValueError(f"predictions: {name} is {array.dtype} of shape {array.shape}, or not finite")
        if classes and (
            array.dtype.kind == "f" or (array.size and not 0 <= int(array.min()) <= int(array.max()) < classes)
        ):
            raise ValueError(f"predictions: {name} holds values that are not one of {classes} classes")


def headline_predictions(arrays: Arrays) -> np.ndarray:
    """Return what the headline metric was scored by: predictions at the threshold, where one was chosen."""
    return arrays["thresholded"] if "thresholded" in arrays else arrays["prediction"]


def pack_arrays(arrays: Arrays, metadata: Mapping[str, str]) -> bytes:
    """Return arrays in the safetensors format."""
    import numpy as np
    from safetensors.numpy import save

    # The library would store a transposed view in the order of its memory.
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata=dict(metadata))
