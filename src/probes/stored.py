"""Read what a run predicts by: a fitted probe from its stored arrays, or a similarity. No pickle is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.config.schema import SCALINGS, SIMILARITIES
from src.errors import UserError, flatten
from src.probes.fitted import FittedProbe, Prediction
from src.probes.similarity import similarities
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
    def trained_on(self) -> str:
        """The rows that it was fitted on, in words."""
        return self.probe.trained_on

    def predict(self, features: np.ndarray) -> Prediction:
        """Return the predictions of rows (rows, width); UserError if they have another width."""
        assert self.probe.weight is not None
        width = int(self.probe.weight.shape[1])
        if features.shape[1] != width:
            raise UserError(
                f"the probe reads {width} dimensions, and these rows have {features.shape[1]}: its folder "
                "holds files of several runs. Name another run."
            )
        return self.probe.predict(features)


@dataclass(frozen=True)
class StoredSimilarity:
    """The similarity of a run that fitted nothing.

    Attributes
    ----------
    name : str
        As in `src.probes.similarity.similarities`.
    target, pairing
        As in `StoredProbe`.
    """

    name: str
    target: tuple[str, int]
    pairing: str
    classes: tuple[str, ...] = ()
    trained_on: str = "nothing"

    def predict(self, features: np.ndarray) -> Prediction:
        """Return the similarity of each row of ``[u; v]``, (rows, 2 width)."""
        u, v = np.split(features, 2, axis=1)
        values = similarities(self.name, u, v)
        return Prediction(values, values.astype(np.float32))


def read_similarity(folder: Path, result: Result) -> StoredSimilarity:
    """Return the similarity of a run that fitted nothing.

    Raises
    ------
    UserError
        The run scaled vectors by statistics of its own texts, or its record names no similarity.
    """
    name, features = result.chosen.get("similarity"), result.chosen.get("features")
    if name not in SIMILARITIES:
        raise UserError(f"'{folder}': its record names no similarity. Make the run again.")
    if features != "none":
        raise UserError(
            f"'{folder}' scaled its vectors by probe.features={features}, statistics of its own texts that are not "
            "kept. Name a run of probe.features=none."
        )
    return StoredSimilarity(name, (result.pooling_label, result.layer), result.pairing)


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
            f"'{folder}' holds no {PROBE}: a read-out, as cosine and knn, fits no probe that could be kept. "
            "Name a run of probe=logistic (scores: probe=ridge)."
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
