"""Read a fitted probe from the arrays that a run has stored; no pickle is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.config.schema import SCALINGS
from src.errors import UserError, flatten
from src.probes.fitted import FittedProbe
from src.results.result import PROBE, Result
from src.storage.files import DAMAGE, Unreadable, open_regular, parse_json, require_fields

NOTES = dict.fromkeys(("features", "trained_on", "classes", "pooling", "layer", "pairing", "key"), str)


@dataclass(frozen=True)
class StoredProbe:
    """A probe of a run's folder.

    Attributes
    ----------
    probe : FittedProbe
    classes : tuple of str
        Class names in id order; empty for regression.
    target : (str, int)
        Pooling, and layer from 0 to L, of the features it reads.
    pairing : str
    """

    probe: FittedProbe
    classes: tuple[str, ...]
    target: tuple[str, int]
    pairing: str

    @property
    def width(self) -> int:
        """Dimensions of the features it reads."""
        assert self.probe.weight is not None
        return int(self.probe.weight.shape[1])


def read_probe(folder: Path, result: Result) -> StoredProbe:
    """Return the probe of a run's folder.

    Raises
    ------
    UserError
        The file is missing or damaged, belongs to another record, or its arrays alone cannot predict.
    """
    path = folder / PROBE
    try:
        arrays, notes = _read(path)
        if notes["key"] != result.key:
            raise Unreadable("it belongs to another record than the one beside it")
        if "incomplete" in notes:
            raise UserError(f"{path}: {notes['incomplete']}. Run it with probe=logistic (scores: probe=ridge).")
        return _build(arrays, notes)
    except FileNotFoundError:
        raise UserError(
            f"'{folder}' holds no {PROBE}: this run fitted no probe that could be kept. Name another run."
        ) from None
    except DAMAGE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else flatten(error, 160)
        raise UserError(f"cannot use {path}: {reason}. Make the run again.") from None


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the notes of a file in the safetensors format."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    with open_regular(path) as file:
        content = file.read()
    try:
        arrays = load(content)
    except SafetensorError as error:
        raise Unreadable(str(error)) from None
    header = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")])
    kept = require_fields(header.get("__metadata__"), {"notes": str})
    return arrays, require_fields(parse_json(kept["notes"]), NOTES)


def _build(arrays: Mapping[str, np.ndarray], notes: Mapping[str, str]) -> StoredProbe:
    """Return the probe of checked arrays; Unreadable if they do not fit each other."""
    classes, layer, features = parse_json(notes["classes"]), parse_json(notes["layer"]), notes["features"]
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes) or type(layer) is not int:
        raise Unreadable("its notes name no classes or no layer")
    if features not in SCALINGS:
        raise Unreadable(f"its features are scaled by '{features}', which is unknown")
    outputs = 1 if len(classes) in (0, 2) else len(classes)
    if arrays["weight"].ndim != 2 or len(arrays["weight"]) != outputs:
        raise Unreadable(f"its weights are not those of {len(classes)} classes")
    shapes = {"weight": arrays["weight"].shape, "bias": (outputs,)}
    shapes |= dict.fromkeys(("mean", "scale"), arrays["weight"].shape[1:])
    for name, array in arrays.items():
        if array.dtype != np.float64 or array.shape != shapes.get(name) or not np.isfinite(array).all():
            raise Unreadable(f"its array '{name}' is {array.dtype} of shape {array.shape}, or not finite")
    scaling = arrays.get("mean"), arrays.get("scale")
    threshold = parse_json(notes["threshold"]) if "threshold" in notes else None
    if threshold is not None and not (type(threshold) is float and 0 < threshold < 1 and len(classes) == 2):
        raise Unreadable("its threshold is not a probability of two classes")
    probe = FittedProbe(
        len(classes), *scaling, arrays["weight"], arrays["bias"], features == "l2", notes["trained_on"],
        threshold=threshold,
    )  # fmt: skip
    return StoredProbe(probe, tuple(classes), (notes["pooling"], layer), notes["pairing"])
