"""Finished runs by their content key, in the store: what lets a sweep that was stopped go on with what is missing."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import UserError
from src.result import PREDICTIONS, PROBE, RECORD, Result, replace_files

if TYPE_CHECKING:
    from src.pipeline import Prepared


def remember(prepared: Prepared, folder: Path) -> None:
    """Keep a copy of a run's record under its key."""
    kept = _folder(prepared)
    kept.mkdir(parents=True, exist_ok=True)
    for name in (PREDICTIONS, PROBE, RECORD):  # the record last: one that exists has its companions
        replace_files(kept, {name: (folder / name).read_bytes()})


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
    for name in (PREDICTIONS, PROBE):
        shutil.copyfile(kept / name, folder / name)
    named = replace(result, dataset=prepared.data.name, model=prepared.model_name, probe=prepared.probe.name)
    replace_files(folder, {RECORD: named.to_json().encode()})
    return True


def _folder(prepared: Prepared) -> Path:
    return prepared.extractor.store.folder("records", prepared.key)
