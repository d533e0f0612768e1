"""Reads records of runs from a sweep's folder or a bundle, and writes bundles.

A bundle holds what the paper needs of a sweep: each record whole, as a line of JSON, and the
predictions. Of decision values it keeps what D² needs (`kept_arrays`). A record may leave its rows
out and keep the sums of its losses. A bundle holds nothing of the texts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from experiments.files import make_folder
from src.errors import UserError, flatten
from src.evaluation.deviance import log_likelihoods
from src.results.groups import main_identity, other_identity
from src.results.predictions import check_predictions, check_values
from src.results.result import Result, read_predictions
from src.storage.atomic import replace_files
from src.storage.files import open_regular, parse_json
from src.sweeps.jobs import find_jobs, read_job

RECORDS_FILE, PREDICTIONS_FILE = "records.jsonl", "predictions.safetensors"
REQUIRED = ("row", "fold", "label", "prediction")
FIELDS = (*REQUIRED, "thresholded", "texts", "set", "group")  # of the predictions of a bundle
Array = NDArray[Any]


@dataclass(frozen=True)
class Record:
    """The record of one run and its predictions.

    Parameters
    ----------
    experiment : str
        Name of the folder above the bundle, as ``poolings``; of a run that is in no bundle, that of the sweep or job.
    result : Result
    predictions : mapping of arrays
        ``row`` (rows,) uint64 digests, ``fold`` and ``label`` (rows,), ``prediction`` (rows,) or
        (draws, rows); of pairs ``texts`` (rows, 2) uint64; ``set`` and ``group`` (rows,) where rows
        come in sets or groups; under probe=logistic ``decision`` or ``log_likelihood``, see `kept_arrays`.
        Names of further roles have a prefix, as in ``mismatched.prediction``. Empty where the rows are left out.
    sums : mapping of str to float, optional
        Of a record whose rows are left out: the ``loss`` of its test rows and that of their
        ``constant``, from which D² follows. Read-outs without D² have none.
    """

    experiment: str
    result: Result
    predictions: Mapping[str, Array]
    sums: Mapping[str, float] | None = None


def read_records(folder: Path) -> list[Record]:
    """Return the records of a bundle, or of every run below a folder, sorted by their identity.

    Raises
    ------
    UserError
        There is no record, a job failed, a file is damaged, or a record has another schema version.
    """
    found = _read_bundle(folder) if is_bundle(folder) else _read_runs(folder)
    return sorted(found, key=_sort_key)


def is_bundle(folder: Path) -> bool:
    """Return whether a folder holds the records of a bundle."""
    return (folder / RECORDS_FILE).is_file()


def _sort_key(record: Record) -> tuple[str, ...]:
    return (*run_settings(record.result), record.result.key)


def run_settings(result: Result) -> tuple[str, ...]:
    """Return what tells a run from others, whatever its numbers: its identity with the pooling."""
    rest = json.dumps(other_identity(result), sort_keys=True)
    return (*main_identity(result).values(), result.pooling_label, rest)


def _read_runs(folder: Path) -> list[Record]:
    records: dict[str, Record] = {}
    for job in map(read_job, find_jobs(folder)):
        if job.result is None:
            raise UserError(
                f"{job.folder} holds no record: {job.error}\nRun the same command again, or remove the folder."
            )
        if job.result.key not in records:
            arrays = read_predictions(job.record or job.folder, job.result)
            records[job.result.key] = Record(folder.name, job.result, kept_arrays(job.result, arrays))
    if not records:
        raise UserError(
            f"{folder} holds no record. Name a sweep's folder, such as multirun/2026-01-31/12-00-00.000000."
        )
    return list(records.values())


def kept_arrays(result: Result, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays of a run that claims need.

    Under probe=logistic, of the test rows also ``decision`` (rows,) for two classes, from which the
    log-likelihood follows, and ``log_likelihood`` (rows,) for more; with several draws (draws, rows).
    """
    kept = {name: array for name, array in arrays.items() if name.rpartition(".")[2] in FIELDS}
    classes = int(result.counts.get("classes") or 0)
    if result.probe != "logistic" or not classes or "decision" not in arrays:
        return kept
    if classes == 2 and arrays["decision"].shape[-2:] != (len(arrays["label"]), classes):
        return kept | {"decision": arrays["decision"]}
    return kept | {"log_likelihood": log_likelihoods(arrays["label"], arrays["decision"], classes)}


def _read_bundle(folder: Path) -> list[Record]:
    name = str(folder)
    try:
        with open_regular(folder / RECORDS_FILE) as file:
            entries = [parse_json(line) for line in file]
        with open_regular(folder / PREDICTIONS_FILE) as file:
            arrays = load(file.read())
        if changed := [name for name, array in arrays.items() if _array_digest(array) != name]:
            raise ValueError(f"{PREDICTIONS_FILE}: array {changed[0]} has changed")
    except (OSError, ValueError, KeyError, SafetensorError) as error:  # KeyError: a type that numpy lacks
        raise UserError(
            f"the records in {name} cannot be read: {flatten(error)}. Get them again from version control."
        ) from error
    if not entries:
        raise UserError(f"{name} holds no record. Get it again from version control.")
    records = []
    for number, entry in enumerate(entries, 1):
        where = f"{name}/{RECORDS_FILE}, line {number}"
        try:
            result = Result.from_values(entry["record"], source=where)
            if missing := sorted(set(entry["predictions"].values()) - arrays.keys()):
                raise ValueError(f"{PREDICTIONS_FILE} has no array {missing[0]}")
            predictions = {field: _widen(arrays[digest], field) for field, digest in entry["predictions"].items()}
            sums = entry.get("sums")
            if sums is None:
                _check_arrays(result, predictions)
            else:
                _check_sums(sums, predictions)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(
                f"{where} is no record of a bundle: {flatten(error)}. Get it again from version control."
            ) from error
        records.append(Record(folder.parent.name, result, predictions, sums))
    return records


def _check_arrays(result: Result, arrays: Mapping[str, Array]) -> None:
    """Check the arrays of a run in a bundle; ValueError if one is missing or does not fit the others."""
    check_predictions(arrays, REQUIRED)
    check_values(arrays, int(result.counts.get("classes") or 0))
    for name in ("decision", "log_likelihood"):
        if name in arrays and (len(arrays["row"]) not in arrays[name].shape[:2] or not np.isfinite(arrays[name]).all()):
            raise ValueError(f"predictions: {name} of shape {arrays[name].shape} does not fit, or is not finite")


def _check_sums(sums: Any, predictions: Mapping[str, Array]) -> None:
    """Check the sums of a run without rows; ValueError if one is missing, is no sum of losses, or rows are there."""
    values = [float(sums[name]) for name in ("loss", "constant")] if sums else [0.0, 1.0]
    if predictions or set(sums) - {"loss", "constant"} or not np.isfinite(values).all():
        raise ValueError("sums: loss and constant are needed in place of the rows")
    if values[0] < 0 or values[1] <= 0:
        raise ValueError(f"sums: loss {values[0]:g} and constant {values[1]:g} are no sums of losses")


def require_rows(records: Iterable[Record]) -> None:
    """Refuse records whose rows are left out where their rows are compared.

    Raises
    ------
    UserError
        A bundle keeps the sums of a run alone.
    """
    for record in records:
        if record.sums is not None:
            raise UserError(
                f"{record.experiment}: {record.result.model} on {record.result.dataset} is kept without its test rows, "
                "so its runs cannot be compared by row. The first seed has its rows."
            )


def write_bundle(records: Sequence[Record], folder: Path) -> None:
    """Write records as a bundle; equal records give equal bytes."""
    arrays: dict[str, Array] = {}
    lines = []
    for record in sorted(records, key=_sort_key):
        names = {}
        for name, array in sorted(_bundled(record).items()):
            kept = _narrow(array)
            digest = _array_digest(kept)
            arrays[digest], names[name] = kept, digest
        entry = {"predictions": names, "record": json.loads(record.result.to_json())}
        if record.sums is not None:
            entry["sums"] = dict(record.sums)
        lines.append(json.dumps(entry, sort_keys=True, separators=(",", ":"), allow_nan=False))
    make_folder(folder)
    ordered = {digest: arrays[digest] for digest in sorted(arrays)}
    replace_files(folder, {PREDICTIONS_FILE: save(ordered), RECORDS_FILE: ("\n".join(lines) + "\n").encode()})


def _array_digest(array: Array) -> str:
    """Return the digest by which a bundle names an array."""
    return hashlib.sha256(str((array.dtype.str, array.shape)).encode() + array.tobytes()).hexdigest()[:16]


def _bundled(record: Record) -> Mapping[str, Array]:
    """Return the arrays of a record that its bundle keeps.

    With several draws these are not the losses: no claim of the paper needs them, and ten draws would
    take ten times the space.
    """
    if record.result.draws == 1:
        return record.predictions
    return {name: array for name, array in record.predictions.items() if name not in ("decision", "log_likelihood")}


def _narrow(array: Array) -> Array:
    """Return integers in the smallest type that holds them, and floats as float32."""
    if array.dtype.kind == "i":
        kind = next(kind for kind in (np.int8, np.int16, np.int32, np.int64) if not array.size or _fits(array, kind))
        return np.ascontiguousarray(array, dtype=kind)
    return np.ascontiguousarray(array, dtype=np.float32 if array.dtype.kind == "f" else array.dtype)


def _fits(array: Array, kind: type[np.signedinteger[Any]]) -> bool:
    return bool(np.iinfo(kind).min <= array.min() and array.max() <= np.iinfo(kind).max)


def _widen(array: Array, name: str) -> Array:
    if array.dtype.kind == "f":
        return array.astype(np.float64)
    return array if name.rpartition(".")[2] in ("row", "texts") else array.astype(np.int64)
