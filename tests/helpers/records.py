"""Small records for tests: a result with every field, and a job folder with its predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from src.results.result import SCHEMA, Result
from src.storage.keys import content_key
from src.storage.shards import ShardStore

ROWS = 400
LABELS = np.arange(ROWS) % 2


def fill(parts: ShardStore, number: int, array: np.ndarray) -> Path:
    """A shard that holds an array, as float32."""
    array = array.astype(np.float32)
    with parts.open_writer(number, array.shape) as writer:
        rows = array.reshape(-1, array.shape[-1])
        writer.rows(np.arange(len(rows)), rows)
    return parts.commit(number)


def make_result(**changes: Any) -> Result:
    """A record as a run leaves it; `value` sets the score and its interval."""
    value = changes.pop("value", 0.8)
    bounds = {
        "value": value,
        "low": None if value is None else value - 0.02,
        "high": None if value is None else value + 0.02,
    }
    fields: dict[str, Any] = {
        "schema": SCHEMA,
        "model": "checkpoint",
        "dataset": "tiny",
        "pooling": "mean",
        "probe": "logistic",
        "layer": -1,
        "pairing": "joint",
        "seed": 0,
        "draws": 1,
        "config": {"model": {"weights": "aa"}, "probe": {"features": "standardise"}},
        "score": {"metric": "accuracy", **bounds},
        "metrics": {
            "accuracy": bounds,
            "mcc": {"value": None, "low": None, "high": None, "reason": "one class was predicted"},
        },
        "baseline": {"constant": 0.5, "bag_of_word_pieces": {"value": 0.7, "low": 0.6, "high": 0.8}},
        "counts": {
            "train": 1000,
            "test": 100,
            "classes": 2,
            "width": 8,
            "tokens": 9000,
            "truncated": 1,
            "test_in_train": 0,
        },
        "chosen": {
            "parameter": "alpha",
            "value": 0.01,
            "grid": [{"value": 0.1, "loss": 0.5, "converged": True}, {"value": 0.01, "loss": 0.4, "converged": True}],
            "converged": True,
            "separable": None,
        },
        "pooler": {"status": "trained"},
        "timing": {
            "load": 1.0,
            "tokenise": 0.5,
            "encode": 30.0,
            "pool": 0.1,
            "store": 0.2,
            "fit": 3.0,
            "score": 0.1,
            "total": 36.0,
        }
        | {"cache": "miss"},
        "provenance": {"commit": None},
    } | changes
    identity = [
        fields[name] for name in ("model", "dataset", "pooling", "probe", "layer", "pairing", "seed", "draws", "config")
    ]
    return Result(**{"key": content_key({"identity": identity}), **fields})


def make_predictions(labels: np.ndarray, predictions: np.ndarray, *, role: str = "") -> dict[str, np.ndarray]:
    """The arrays of a predictions file; row digests are row numbers."""
    rows = len(labels)
    arrays = {
        "row": np.arange(rows, dtype=np.uint64),
        "fold": np.full(rows, -1),
        "label": labels,
        "prediction": predictions,
        "decision": np.zeros(rows, np.float32),
    }
    return {f"{role}.{name}" if role else name: array for name, array in arrays.items()}


def make_job(folder: Path, labels: np.ndarray, predictions: np.ndarray, **changes: Any) -> Result:
    """A finished job's folder; the score is the accuracy of the predictions unless `value` is given."""
    result = make_result(**{"value": float(np.mean(labels == predictions)), **changes})
    result.write(folder, make_predictions(labels, predictions), {"weight": np.zeros((1, 8))})
    return result


def wrong(count: int, start: int = 0) -> np.ndarray:
    """Predictions that miss `count` rows from `start` on."""
    predictions = LABELS.copy()
    predictions[start : start + count] = 1 - predictions[start : start + count]
    return predictions


def job(folder: Path, number: int, predictions: np.ndarray, **changes: Any) -> Result:
    """The finished job of this number, one of a sweep's."""
    from src.sweeps.status import write_status

    result = make_job(folder / str(number), LABELS, predictions, **changes)
    write_status(folder / str(number), "done")
    return result


def make_four(folder: Path) -> Path:
    """A sweep: two datasets under four poolings, mean best, cls a tie, pooler and max lower."""
    for place, dataset in enumerate(("one", "two")):
        for number, (pooling, misses) in enumerate({"cls": 42, "pooler": 90, "mean": 40, "max": 100}.items()):
            job(folder, 4 * place + number, wrong(misses), pooling=pooling, dataset=dataset)
    return folder
