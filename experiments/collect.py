"""Records, from a sweep's folder or from a bundle: ``python -m experiments.collect sweep=FOLDER output=experiments/records/NAME``.

A bundle is what a paper needs of a sweep: every record whole, a line of JSON each, and the predictions without decision values. Nothing of
the texts is in it. ``manifest.json`` beside the bundles lists what has to be there. Without `sweep`, the command makes that list anew.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from experiments import options
from src.cli.application import exit_with_error, print_text
from src.errors import UserError, flatten
from src.evaluation.paired import Task
from src.results.groups import group_runs, main_identity, other_identity
from src.results.result import Result, SchemaError, read_predictions
from src.storage.atomic import replace_files
from src.storage.files import Unreadable, checked, open_regular, parse_json, read_json
from src.sweeps.jobs import find_jobs, read_job

RECORDS = Path(__file__).parent / "records"
LINES, ARRAYS, MANIFEST = "records.jsonl", "predictions.safetensors", "manifest.json"
KEPT = ("row", "fold", "label", "prediction")
NAMED = ("dataset", "pooling", "layer", "pairing", "probe", "draws")  # how a run is called where it is missing
DEFAULTS = {"sweep": None, "output": None, "records": str(RECORDS)}
Array = NDArray[Any]


@dataclass(frozen=True)
class Record:
    """One run: the experiment it belongs to (its bundle's or sweep's folder), its record, and per test row what was predicted.

    ``predictions``: ``row`` (rows,) uint64 digests, ``fold`` and ``label`` (rows,), ``prediction`` (rows,) or (draws, rows); further roles
    are prefixed, as in ``mismatched.prediction``.
    """

    experiment: str
    result: Result
    predictions: Mapping[str, Array]


def read(folder: Path) -> list[Record]:
    """The records of a bundle, or of every run's folder below `folder`, sorted by what they are.

    Raises
    ------
    UserError
        There are none, a job failed or is damaged, or a record is of another schema version.
    """
    found = _read_bundle(folder) if (folder / LINES).is_file() else _read_runs(folder)
    return sorted(found, key=_place)


def _place(record: Record) -> tuple[Any, ...]:
    result = record.result
    return (
        *main_identity(result).values(),
        result.pooling,
        json.dumps(other_identity(result), sort_keys=True),
        result.key,
    )


def _read_runs(folder: Path) -> list[Record]:
    records: dict[str, Record] = {}
    for job in map(read_job, find_jobs(folder)):
        if job.result is None:
            raise UserError(
                f"{job.folder} holds no record: {job.error}\nRun the same command again, or take the folder away."
            )
        if job.result.key not in records:
            arrays = read_predictions(job.record or job.folder, job.result)
            kept = {name: array for name, array in arrays.items() if name.rpartition(".")[2] in KEPT}
            records[job.result.key] = Record(folder.name, job.result, kept)
    if not records:
        raise UserError(
            f"{folder} holds no record. Name a sweep's folder, such as multirun/2026-01-31/12-00-00.000000."
        )
    return list(records.values())


def _read_bundle(folder: Path) -> list[Record]:
    name = f"{folder.parent.name}/{folder.name}"
    try:
        with open_regular(folder / LINES) as file:
            entries = [parse_json(line) for line in file]
        with open_regular(folder / ARRAYS) as file:
            arrays = load(file.read())
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            f"the records in {name} cannot be read: {flatten(error)}. Get them again from version control."
        ) from error
    records = []
    for number, entry in enumerate(entries, 1):
        where = f"{name}/{LINES}, line {number}"
        try:
            result = Result.from_values(entry["record"], source=where)
            predictions = {field: _widened(arrays[digest], field) for field, digest in entry["predictions"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{where} is no record of a bundle: {flatten(error)}. Get it again from version control."
            ) from error
        records.append(Record(folder.parent.name, result, predictions))
    return records


def bundle(records: Sequence[Record], folder: Path) -> None:
    """Write records as a bundle: the same records give the same bytes. Arrays that several runs share (rows, labels) stand once."""
    arrays: dict[str, Array] = {}
    lines = []
    for record in sorted(records, key=_place):
        names = {}
        for name, array in sorted(record.predictions.items()):
            kept = _narrowed(array)
            digest = hashlib.sha256(str((kept.dtype.str, kept.shape)).encode() + kept.tobytes()).hexdigest()[:16]
            arrays[digest], names[name] = kept, digest
        entry = {"predictions": names, "record": json.loads(record.result.to_json())}
        lines.append(json.dumps(entry, sort_keys=True, separators=(",", ":"), allow_nan=False))
    folder.mkdir(parents=True, exist_ok=True)
    ordered = {digest: arrays[digest] for digest in sorted(arrays)}
    replace_files(folder, {ARRAYS: save(ordered), LINES: ("\n".join(lines) + "\n").encode()})


def _narrowed(array: Array) -> Array:
    """Whole numbers in the smallest type that holds them, real ones in float32; row digests as they are."""
    if array.dtype.kind == "i":
        kind = next(kind for kind in (np.int8, np.int16, np.int32, np.int64) if not array.size or _fits(array, kind))
        return np.ascontiguousarray(array, dtype=kind)
    return np.ascontiguousarray(array, dtype=np.float32 if array.dtype.kind == "f" else array.dtype)


def _fits(array: Array, kind: type[np.signedinteger[Any]]) -> bool:
    return bool(np.iinfo(kind).min <= array.min() and array.max() <= np.iinfo(kind).max)


def _widened(array: Array, name: str) -> Array:
    if array.dtype.kind == "f":
        return array.astype(np.float64)
    return array if name.rpartition(".")[2] == "row" else array.astype(np.int64)


def tasks(records: Iterable[Record]) -> list[Task]:
    """Runs that differ in their pooling alone, as one task each: the predictions of its poolings for the same rows.

    Raises
    ------
    UserError
        Two runs of a task predicted different rows.
    """
    groups = group_runs(records, lambda record: record.result, by_texts=False)
    return [_task(members, _pooling) for members in groups]


def labelled(records: Iterable[Record], label: Callable[[Result], str]) -> list[Task]:
    """Runs of a dataset that differ in whatever `label` names, as one task each: the predictions of each label for the same rows.

    Raises
    ------
    UserError
        Two runs of a task have one label, or predicted different rows.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.result.dataset, []).append(record)
    return [_task(members, label) for members in groups.values()]


def _pooling(result: Result) -> str:
    return result.pooling


def _task(members: Sequence[Record], label: Callable[[Result], str]) -> Task:
    first = members[0]
    result = first.result
    labels = [label(record.result) for record in members]
    if twice := sorted({name for name in labels if labels.count(name) > 1}):
        raise UserError(
            f"{result.dataset}: two runs are called {twice[0]}. Name the runs that are to be compared more narrowly."
        )
    for other, name in zip(members[1:], labels[1:], strict=True):
        if any(not np.array_equal(first.predictions[each], other.predictions[each]) for each in ("row", "label")):
            raise UserError(
                f"{result.dataset}: {labels[0]} and {name} were scored on different rows, so they cannot be paired. "
                "Run them again on the same data."
            )
    return Task(
        name=result.dataset,
        metric=str(result.score["metric"]),
        classes=int(result.counts.get("classes") or 0),
        labels=first.predictions["label"],
        predictions={name: record.predictions["prediction"] for name, record in zip(labels, members, strict=True)},
        seed=result.seed,
        folds=int(first.predictions["fold"].max(initial=-1)) + 1,
    )


def rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """One tidy row per record: what it is, its score as a fraction with its interval, the trivial scores, its counts and seconds."""
    return [_row(record) for record in records]


def _row(record: Record) -> dict[str, Any]:
    result = record.result
    score, probe = result.score, result.config.get("probe", {})
    trivial = {
        name: value.get("value") if isinstance(value, Mapping) else value for name, value in result.baseline.items()
    }
    return {
        "experiment": record.experiment,
        **{
            name: getattr(result, name)
            for name in ("model", "dataset", "pooling", "layer", "pairing", "probe", "seed", "draws")
        },
        "grid": next(iter(probe.get("grid", {}).values()), None),
        "features": probe.get("features"),
        "dtype": result.config.get("runtime", {}).get("dtype"),
        **{name: score.get(name) for name in ("metric", "value", "low", "high")},
        "pooler": result.pooler.get("status"),
        "constant": trivial.get("constant"),
        "bag_of_word_pieces": trivial.get("bag_of_word_pieces"),
        "chosen": result.chosen.get("value"),
        **{name: result.counts.get(name) for name in ("train", "test", "width")},
        "fit": result.timing.get("fit"),
        "key": result.key,
    }


def write_manifest(records: Path) -> None:
    """List every bundle with its runs and every other file of records, each with its SHA-256."""
    bundles, files = {}, {}
    for path in sorted(each for each in records.rglob("*") if each.is_file()):
        name = path.relative_to(records).as_posix()
        if path.name == LINES:
            bundles[path.parent.relative_to(records).as_posix()] = {
                "digests": {each: _digest(path.parent / each) for each in (LINES, ARRAYS)},
                "runs": {record.result.key: _called(record.result) for record in read(path.parent)},
            }
        elif name not in (MANIFEST, "README.md") and path.name != ARRAYS:
            files[name] = _digest(path)
    content = {"bundles": bundles, "files": files}
    replace_files(records, {MANIFEST: (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()})


def committed(records: Path = RECORDS) -> dict[str, list[Record]]:
    """Every bundle by its folder below `records`, held against the manifest.

    Raises
    ------
    UserError
        A bundle, a run or another file of records is missing, or is not what was collected.
    """
    try:
        manifest = checked(read_json(records / MANIFEST), {"bundles": dict, "files": dict})
        for listed in manifest["bundles"].values():
            checked(listed, {"runs": dict, "digests": dict})
    except (OSError, Unreadable) as error:
        raise UserError(
            f"{records.name}/{MANIFEST} cannot be read: {flatten(error)}. Make it again: python -m experiments.collect"
        ) from error
    found = {}
    for name, listed in manifest["bundles"].items():
        if not (records / name / LINES).is_file():
            raise UserError(
                f"the records of {name} are missing: {_some(listed['runs'].values())}. Run the experiment, then collect it."
            )
        found[name] = read(records / name)
        there = {record.result.key for record in found[name]}
        if missing := [called for key, called in listed["runs"].items() if key not in there]:
            raise UserError(f"{name} lacks {_some(missing)}. Run the experiment again, then collect it.")
        for file, digest in listed["digests"].items():
            _same(records / name / file, digest, f"{name}/{file}")
    for name, digest in manifest["files"].items():
        if not (records / name).is_file():
            raise UserError(
                f"{name} is missing from the records. {records.name}/README.md names the command that makes it."
            )
        _same(records / name, digest, name)
    return found


def _same(path: Path, digest: str, name: str) -> None:
    if _digest(path) != digest:
        raise UserError(f"{name} has changed since it was collected. If that is meant: python -m experiments.collect")


def _called(result: Result) -> str:
    return " ".join(f"{name}={getattr(result, name)}" for name in NAMED)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return "; ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(arguments: list[str]) -> None:
    """Collect; bad input ends with a line and status 1."""
    try:
        asked = options.read(DEFAULTS, arguments, __doc__)
        records = Path(asked.records)
        if asked.sweep:
            if not asked.output:
                raise UserError(
                    "output is not set. Name the bundle's folder: output=experiments/records/EXPERIMENT/MODEL."
                )
            found = read(Path(asked.sweep))
            bundle(found, Path(asked.output))
            print_text(f"{asked.output}: {len(found)} runs")
        if not records.is_dir():
            raise UserError(f"records={records}: there is no such folder.")
        write_manifest(records)
    except SchemaError as error:
        exit_with_error(f"{error} Records of two versions are not put side by side.")
    except UserError as error:
        exit_with_error(str(error))
    except OSError as error:
        exit_with_error(f"cannot write the records: {error.strerror or error}. Name another output=.")


if __name__ == "__main__":
    main(sys.argv[1:])
