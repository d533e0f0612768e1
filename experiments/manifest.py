"""Checks the committed records against the manifest that lists them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from experiments.bundles import PREDICTIONS_FILE, RECORDS_FILE, Record, read_records
from src.errors import UserError, flatten
from src.results.result import Result
from src.storage.atomic import write_json
from src.storage.files import Unreadable, file_digest, read_json, require_fields

RECORDS_DIR = Path(__file__).parent / "records"
MANIFEST = "manifest.json"
RESAMPLING = "resampling.json"  # written by experiments.paper, not by a run
NAMED = ("dataset", "pooling", "layer", "pairing", "probe", "draws")  # of a run


def write_manifest(records: Path) -> None:
    """Write the manifest: all bundles with their runs, and all other files, with SHA-256."""
    bundles, files = {}, {}
    for path in sorted(each for each in records.rglob("*") if each.is_file()):
        name = path.relative_to(records).as_posix()
        if path.name == RECORDS_FILE:
            bundles[path.parent.relative_to(records).as_posix()] = {
                "digests": {each: _digest(path.parent / each) for each in (RECORDS_FILE, PREDICTIONS_FILE)},
                "runs": {record.result.key: _describe(record.result) for record in read_records(path.parent)},
            }
        elif name not in (MANIFEST, RESAMPLING, "README.md") and path.name != PREDICTIONS_FILE:
            files[name] = _digest(path)
    write_json(records / MANIFEST, {"bundles": bundles, "files": files})


def read_committed(records: Path = RECORDS_DIR) -> dict[str, list[Record]]:
    """Return every bundle by its folder below `records`, as the manifest lists them.

    Raises
    ------
    UserError
        A bundle, a run or another file of records is missing, or has changed since it was
        collected.
    """
    try:
        manifest = require_fields(read_json(records / MANIFEST), {"bundles": dict, "files": dict})
        for listed in manifest["bundles"].values():
            require_fields(listed, {"runs": dict, "digests": dict})
            require_fields(listed["runs"], dict.fromkeys(listed["runs"], str))
            require_fields(listed["digests"], {RECORDS_FILE: str, PREDICTIONS_FILE: str})
    except (OSError, Unreadable) as error:
        raise UserError(
            f"{records.name}/{MANIFEST} cannot be read: {flatten(error)}. Make it again: python -m experiments.collect"
        ) from error
    found = {}
    for name, listed in manifest["bundles"].items():
        if not (records / name / RECORDS_FILE).is_file():
            raise UserError(
                f"the records of {name} are missing: {_first_names(listed['runs'].values())}. "
                "Run the experiment, then collect it."
            )
        found[name] = read_records(records / name)
        present = {record.result.key for record in found[name]}
        if missing := [run for key, run in listed["runs"].items() if key not in present]:
            raise UserError(f"{name} lacks {_first_names(missing)}. Run the experiment again, then collect it.")
        for file in (RECORDS_FILE, PREDICTIONS_FILE):
            _check_digest(records / name / file, listed["digests"][file], f"{name}/{file}")
    for name, digest in manifest["files"].items():
        if not (records / name).is_file():
            raise UserError(
                f"{name} is missing from the records. {records.name}/README.md names the command that makes it."
            )
        _check_digest(records / name, digest, name)
    return found


def _check_digest(path: Path, digest: str, name: str) -> None:
    if _digest(path) != digest:
        raise UserError(
            f"{name} has changed since it was collected. To accept the change: python -m experiments.collect"
        )


def _describe(result: Result) -> str:
    return " ".join(f"{name}={getattr(result, name)}" for name in NAMED)


def _first_names(names: Iterable[str]) -> str:
    listed = list(names)
    return "; ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")


def _digest(path: Path) -> str:
    return file_digest(path)
