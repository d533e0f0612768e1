"""Finished runs by their content key, in the store: what lets a sweep that was stopped go on with what is missing."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import UserError, flatten
from src.results.result import PREDICTIONS, PROBE, RECORD, Result, put, table
from src.runtime.provenance import method
from src.storage.atomic import json_text, replace_files
from src.storage.files import open_regular, parse_json, read_json
from src.storage.keys import content_key
from src.storage.store import DAMAGE

if TYPE_CHECKING:
    from src.pipeline.run import PreparedRun, Run

FILES = (PREDICTIONS, PROBE, RECORD)
DIGESTS = "digests.json"  # SHA-256 of each file; written last, so that a record without it is not whole

log = logging.getLogger(__name__)


def remember(prepared: PreparedRun, finished: Run) -> None:
    """Keep a copy of a run's record under its key. A store that takes no more costs the copy, not the run."""
    try:
        with _opened(prepared, make=True):
            put(_folder(prepared), finished.files | {DIGESTS: json_text(_digests(finished.files)).encode()})
    except (UserError, OSError) as error:
        log.warning("this run's record is not kept in the store: %s", flatten(error))


def recall(prepared: PreparedRun, folder: Path) -> Result | None:
    """Put the record of an equal run into `folder`, under the option names of this one; None where there is none that is whole."""
    try:
        with _opened(prepared) as kept:
            contents = {name: _content(name, kept) for name in FILES}
            digests = read_json(DIGESTS, folder=kept)
        if _digests(contents) != digests:
            raise ValueError("its files have changed since they were written")
        result = Result.from_values(parse_json(contents[RECORD]))
        if result.key != prepared.key:
            raise ValueError("it is another run's")
        table(result)  # what cannot be shown is no record
    except FileNotFoundError:
        return None
    except (UserError, *DAMAGE) as error:
        log.warning("the stored record of this run is damaged (%s): the run is done again", flatten(error, 160))
        return None
    named = replace(result, dataset=prepared.data.name, model=prepared.model_name, probe=prepared.probe.name)
    try:
        replace_files(folder, contents | {RECORD: named.to_json().encode()})
    except OSError as error:
        raise UserError(
            f"cannot write the record into {folder}: {error.strerror}. Set hydra.sweep.dir to another folder."
        ) from error
    return named


def _content(name: str, folder: int) -> bytes:
    with open_regular(name, folder=folder) as file:
        return file.read()


def _digests(contents: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def _names(prepared: PreparedRun) -> tuple[str, str, str]:
    key = content_key({"key": prepared.key, "method": method()})
    return "records", key[:2], key


def _opened(prepared: PreparedRun, *, make: bool = False) -> AbstractContextManager[int]:
    """The open folder of a run's record, reached without following a link."""
    return prepared.extractor.store.opened(*_names(prepared), make=make)


def _folder(prepared: PreparedRun) -> Path:
    return prepared.extractor.store.root.joinpath(*_names(prepared))
