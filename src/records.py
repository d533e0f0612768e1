"""Finished runs by their content key, in the store: what lets a sweep that was stopped go on with what is missing."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import UserError
from src.provenance import method
from src.result import PREDICTIONS, PROBE, RECORD, Result, content_key, replace_files

if TYPE_CHECKING:
    from src.pipeline import Prepared, Run

log = logging.getLogger(__name__)


def remember(prepared: Prepared, finished: Run) -> None:
    """Keep a copy of a run's record under its key. A store that takes no more costs the copy, not the run."""
    try:
        finished.write(_folder(prepared))
    except UserError as error:
        log.warning("this run's record is not kept in the store: %s", error)


def recall(prepared: Prepared, folder: Path) -> bool:
    """Put the record of an equal run into `folder`, under the option names of this one; False where there is none that is whole."""
    kept = _folder(prepared)
    if not all((kept / name).is_file() for name in (PREDICTIONS, PROBE, RECORD)):
        return False
    try:
        result = Result.read(kept)
    except UserError:
        return False
    if result.key != prepared.key:
        return False
    named = replace(result, dataset=prepared.data.name, model=prepared.model_name, probe=prepared.probe.name)
    try:
        copies = {name: (kept / name).read_bytes() for name in (PREDICTIONS, PROBE)}
        replace_files(folder, copies | {RECORD: named.to_json().encode()})
    except OSError as error:
        raise UserError(f"cannot write the record into {folder}: {error.strerror}. Set hydra.sweep.dir to another folder.") from error
    return True


def _folder(prepared: Prepared) -> Path:
    return prepared.extractor.store.folder("records", content_key({"key": prepared.key, "method": method()}))
