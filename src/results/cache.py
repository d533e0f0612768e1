"""Finished runs by content key, so that a stopped sweep continues with the missing ones."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from src.errors import UserError, flatten
from src.results.display import result_table
from src.results.result import ELSEWHERE, PREDICTIONS, PROBE, RECORD, Result, write_record
from src.runtime.provenance import method_digest
from src.storage.atomic import json_text, replace_files
from src.storage.files import DAMAGE, open_regular, parse_json, read_json
from src.storage.folders import StoreFolder
from src.storage.keys import content_key

FILES = (PREDICTIONS, PROBE, RECORD)
DIGESTS = "digests.json"  # SHA-256 of each file; written last, so that it completes the record

log = logging.getLogger(__name__)


class ResultCache:
    """Records of finished runs in the folder of a store.

    The folder's name has a digest of the code and the libraries that turn features into scores, so
    other versions do not use its records.

    Parameters
    ----------
    store : Path
        An existing folder.
    """

    def __init__(self, store: Path) -> None:
        self._store = StoreFolder(store)

    def put(self, key: str, files: Mapping[str, bytes]) -> None:
        """Keep a copy of a record; warn if it cannot be written.

        Parameters
        ----------
        key : str
            The record's key.
        files : mapping of str to bytes
            Content of each of `FILES`; without `PROBE` if nothing was fitted.
        """
        names = _folder_names(key)
        try:
            with self._store.open(*names, create=True):
                all_files = {**files, DIGESTS: json_text(_digests(files)).encode()}
                write_record(self._store.path.joinpath(*names), all_files, advice="")
        except (UserError, OSError) as error:
            log.warning("this run's record is not kept in the store: %s", flatten(error))

    def get(self, key: str, folder: Path, rename: Callable[[Result], Result | None]) -> Result | None:
        """Copy the record with this key into a folder, and return it or None.

        Damaged records are not copied.

        Parameters
        ----------
        key : str
            The record's key.
        folder : Path
            An existing folder.
        rename : callable
            Returns a stored record under the names of this run: the stored run may have had others.
            None if that cannot be done.

        Raises
        ------
        UserError
            The folder cannot be written.
        """
        found = self._read(key)
        if found is None:
            return None
        result, contents = found
        named = rename(result)
        if named is None:
            return None
        try:
            replace_files(folder, contents | {RECORD: named.to_json().encode()})
            if PROBE not in contents:
                (folder / PROBE).unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"cannot write the record into {folder}: {error.strerror}. {ELSEWHERE}") from error
        return named

    def _read(self, key: str) -> tuple[Result, dict[str, bytes]] | None:
        """Return a record and its files; None if there is none, or if it is damaged, with a warning."""
        try:
            with self._store.open(*_folder_names(key)) as stored:
                digests = read_json(DIGESTS, folder=stored)
                names = [name for name in FILES if name != PROBE or PROBE in digests]  # only what is fitted has one
                contents = {name: _read(name, stored) for name in names}
            if _digests(contents) != digests:
                raise ValueError("its files have changed since they were written")
            result = Result.from_values(parse_json(contents[RECORD]))
            if result.key != key:
                raise ValueError("it is the record of another run")
            result_table(result)  # a record that cannot be displayed is damaged
        except FileNotFoundError:
            return None
        except (UserError, *DAMAGE) as error:
            log.warning("the stored record of this run is damaged (%s): the run is done again", flatten(error, 160))
            return None
        return result, contents


def _read(name: str, folder: int) -> bytes:
    with open_regular(name, folder=folder) as file:
        return file.read()


def _digests(contents: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def _folder_names(key: str) -> tuple[str, str, str]:
    folder = content_key({"key": key, "method": method_digest()})
    return "records", folder[:2], folder
