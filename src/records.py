"""Finished runs by their content key, in the store: what lets a sweep that was stopped go on with what is missing."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import UserError, flatten
from src.files import read_json
from src.provenance import method
from src.result import PREDICTIONS, PROBE, RECORD, Result, content_key, put, replace_files

if TYPE_CHECKING:
    from src.pipeline import Prepared, Run

FILES = (PREDICTIONS, PROBE, RECORD)
DIGESTS = "digests.json"  # SHA-256 of each file; written last, so that a record without it is not whole

log = logging.getLogger(__name__)


def remember(prepared: Prepared, finished: Run) -> None:
    """Keep a copy of a run's record under its key. A store that takes no more costs the copy, not the run."""
    kept = _folder(prepared)
    try:
        put(kept, finished.files | {DIGESTS: json.dumps(_digests(finished.files), indent=1).encode()})
    except (UserError, OSError) as error:
        log.warning("this run's record is not kept in the store: %s", flatten(error))


def recall(prepared: Prepared, folder: Path) -> Result | None:
    """Put the record of an equal run into `folder`, under the option names of this one; None where there is none that is whole."""
    kept = _folder(prepared)
    if not all((kept / name).is_file() for name in (*FILES, DIGESTS)):
        return None
    try:
        contents = _contents(kept)
        if _digests(contents) != read_json(kept / DIGESTS):
            raise ValueError("its files have changed since they were written")
        result = Result.from_json(contents[RECORD].decode())
        if result.key != prepared.key:
            raise ValueError("it is another run's")
    except (UserError, ValueError, OSError) as error:
        log.warning("the stored record of this run is damaged (%s): the run is done again", flatten(error, 160))
        return None
    named = replace(result, dataset=prepared.data.name, model=prepared.model_name, probe=prepared.probe.name)
    try:
        replace_files(folder, contents | {RECORD: named.to_json().encode()})
    except OSError as error:
        raise UserError(f"cannot write the record into {folder}: {error.strerror}. Set hydra.sweep.dir to another folder.") from error
    return named


def _contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def _digests(contents: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def _folder(prepared: Prepared) -> Path:
    return prepared.extractor.store.folder("records", content_key({"key": prepared.key, "method": method()}))
