"""The record of one run: identity, scores, timing and provenance, to and from JSON."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from src.errors import UserError, flatten
from src.results.predictions import Arrays, check_predictions, check_values, pack_arrays
from src.results.validation import check_fields
from src.runtime.clock import PHASES
from src.storage.atomic import json_text, replace_files
from src.storage.files import Unreadable, open_regular, parse_json, read_json, require_fields
from src.storage.keys import plain_values

if TYPE_CHECKING:
    import numpy as np

SCHEMA = 1
RECORD, PREDICTIONS, PROBE = "result.json", "predictions.safetensors", "probe.safetensors"


class SchemaError(UserError):
    """A record that another version of this project wrote."""


@dataclass
class Result:
    """One run, as ``result.json`` holds it.

    Attributes
    ----------
    key : str
        Content key of everything that determines the numbers.
    schema : int
        Version of these fields.
    model, dataset, pooling, probe, pairing : str
        Option names.
    layer : int
        0 is that of the embeddings.
    seed, draws : int
        Seed, and number of draws of the training rows.
    config : dict
        The rest of the identity; ``pooling.of`` are the parts of ``pooling=concat``.
    score : dict
        ``{metric, value, low, high}``: headline metric and its 95 % interval, as a fraction.
    metrics : dict
        ``{name: {value, low, high, reason}}``; an undefined value is None with a reason.
    counts : dict
        Rows by split, ``classes`` (0 for scores), ``width`` of the features, ``tokens`` and the like.
    pooler : dict
        ``status`` of the checkpoint's pooler, and what is known of it.
    baseline : dict
        Trivial scores on the headline metric: ``{name: value}`` or ``{name: {value, low, high}}``.
    chosen : dict
        ``{parameter, value, grid: [{value, loss, converged}], converged, separable}``. Of the
        suite's own estimators also ``loss`` and ``constant_loss``, and ``constants``, the class
        frequencies (scores: the mean) of the rows that each scored probe was fitted on. Two classes
        scored by F1 or the Matthews correlation have a ``threshold``. With
        ``probe=mdl`` also ``online_code``: ``bits``, ``uniform_bits``, ``compression`` (their
        ratio), ``uniform_rows`` (sent by the uniform code) and ``blocks``, each ``{rows (fitted
        on), the strength chosen, coded (rows sent by it), bits, converged}``; and ``curve``: ``[{rows,
        value, low, high}]``, the headline metric of the probe fitted on that many rows. With
        ``probe=cosine`` only ``similarity``, ``features`` and, if they were whitened,
        ``dropped_directions``. With ``probe=knn`` the parameter is ``n_neighbors``, and ``loss`` the
        share of held-out rows that is wrong.
    timing : dict
        Seconds by phase, ``cache``, and after a hit the timing of the pass that made the features.
    provenance : dict
        Versions, device, threads, digests of texts and weights.
    """

    schema: int
    key: str
    model: str
    dataset: str
    pooling: str
    probe: str
    layer: int
    pairing: str
    seed: int
    draws: int
    config: dict[str, Any]
    score: dict[str, Any]
    metrics: dict[str, Any]
    baseline: dict[str, Any]
    counts: dict[str, Any]
    chosen: dict[str, Any]
    pooler: dict[str, Any]
    timing: dict[str, Any]
    provenance: dict[str, Any]

    FIELDS: ClassVar[tuple[str, ...]]

    @property
    def pooling_label(self) -> str:
        """The pooling with the parts of a concatenation, such as ``concat(cls,mean)``."""
        parts = _concatenated(self.config)
        return f"{self.pooling}({','.join(parts)})" if parts else self.pooling

    def to_json(self) -> str:
        """Return strict JSON with sorted keys.

        Raises
        ------
        ValueError, TypeError
            A value is NaN or infinite, or JSON has no type for it; the message names the field.
        """
        values = {name: getattr(self, name) for name in self.FIELDS}
        return json_text(plain_values(values), indent=2)

    @classmethod
    def from_json(cls, text: str, *, source: str = RECORD) -> Result:
        """Return the record in a JSON text; for errors see `from_values`."""
        try:
            values = parse_json(text)
        except Unreadable as error:
            raise _damaged(source, error) from error
        return cls.from_values(values, source=source)

    @classmethod
    def from_values(cls, values: Any, *, source: str = RECORD) -> Result:
        """Return the record of parsed JSON.

        Parameters
        ----------
        values : dict
            Value by field.
        source : str
            Name of the file, for messages.

        Raises
        ------
        SchemaError
            The record has another schema version.
        UserError
            A field is missing, unknown, or of a wrong type or size.
        """
        if not isinstance(values, dict):
            raise UserError(f"{source} is not a record: it holds a {type(values).__name__}. Remove it and run again.")
        version = values.get("schema", SCHEMA)
        if type(version) is int and version != SCHEMA:
            raise SchemaError(
                f"{source} has schema {str(version)[:20]}, this version reads schema {SCHEMA}. Make the record again."
            )
        if missing := sorted(set(cls.FIELDS) - set(values)):
            raise UserError(f"{source} is damaged: no field {', '.join(missing)}. Remove it and run again.")
        if extra := sorted(set(values) - set(cls.FIELDS)):
            raise UserError(f"{source}: unknown field {', '.join(extra)[:200]}. Known: {', '.join(cls.FIELDS)}.")
        try:
            check_fields(require_fields(values, _TYPES))
        except Unreadable as error:
            raise _damaged(source, error) from error
        return cls(**values)

    @classmethod
    def read(cls, path: str | Path) -> Result:
        """Return the record in a file or in a run's folder; for errors see `from_values`."""
        path = Path(path)
        path = path / RECORD if path.is_dir() else path
        try:
            values = read_json(path)
        except OSError as error:
            raise UserError(f"cannot read the record {path}: {_reason(error)}.") from error
        except Unreadable as error:
            raise _damaged(str(path), error) from error
        return cls.from_values(values, source=str(path))

    def write(
        self, folder: str | Path, predictions: Arrays, probe: Arrays | None, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write the record and its arrays into a folder, as `write_record` does.

        Parameters
        ----------
        folder : path
        predictions, probe, metadata
            As in `pack`.

        Raises
        ------
        UserError
            A file cannot be written.
        ValueError, TypeError
            As in `pack`.
        """
        write_record(Path(folder), self.pack(predictions, probe, metadata))

    def pack(
        self, predictions: Arrays, probe: Arrays | None, metadata: Mapping[str, str] | None = None
    ) -> dict[str, bytes]:
        """Return the files of a record by name, the record itself last.

        Parameters
        ----------
        predictions : mapping of arrays
            ``row`` (rows,) uint64 digests; ``fold`` (rows,), -1 without folds; ``label`` (rows,);
            ``prediction`` (rows,) or (draws, rows); ``decision`` with the rows in the same place.
            Of pairs ``texts`` (rows, 2) uint64, a digest of each text. Where rows come in sets or
            groups, ``set`` and ``group`` (rows,) number each row's.
            Roles other than test are prefixed: ``mismatched.prediction``.
        probe : mapping of arrays, or None
            The fitted probe with its standardisation; None, without a file, if nothing was fitted.
        metadata : mapping of str to str, optional
            Written into both array files beside the record's key.

        Raises
        ------
        ValueError, TypeError
            The predictions do not fit each other, or the record is not strict JSON; see `to_json`.
        """
        check_predictions(predictions)
        # One entry, because the library writes several in an order that changes from run to run.
        notes = {"notes": json.dumps({**(metadata or {}), "key": self.key}, sort_keys=True)}
        record = self.to_json().encode()
        fitted = {} if probe is None else {PROBE: pack_arrays(probe, notes)}
        return {PREDICTIONS: pack_arrays(predictions, notes), **fitted, RECORD: record}


Result.FIELDS = tuple(item.name for item in dataclasses.fields(Result))
_TYPES = {
    name: typing.get_origin(kind) or kind
    for name, kind in typing.get_type_hints(Result).items()
    if name in Result.FIELDS
}


ELSEWHERE = "Name another folder: hydra.run.dir, or hydra.sweep.dir of a sweep."


def write_record(folder: Path, files: Mapping[str, bytes], *, advice: str = ELSEWHERE) -> None:
    """Write a record's files in their order, so that a record which exists has its arrays.

    Parameters
    ----------
    folder : Path
        Created if it is missing. A record in it is replaced, with its probe; on a full disk it is kept.
    files : mapping of str to bytes
        As `Result.pack` returns them.
    advice : str
        What the error adds.

    Raises
    ------
    UserError
        A file cannot be written into the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_files(folder, files)
        if PROBE not in files:
            (folder / PROBE).unlink(missing_ok=True)  # of an earlier record in this folder
    except OSError as error:
        raise UserError(f"cannot write the record into {folder}: {_reason(error)}. {advice}".rstrip()) from error


def read_predictions(path: str | Path, result: Result | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of a predictions file.

    Parameters
    ----------
    path : path
        The file, or its run's folder.
    result : Result, optional
        The run's record: a class that it does not count is an error too.

    Raises
    ------
    UserError
        The file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = Path(path)
    path = path / PREDICTIONS if path.is_dir() else path
    try:
        with open_regular(path) as file:
            arrays = load(file.read())
        check_predictions(arrays)
        check_values(arrays, int(result.counts.get("classes") or 0) if result else 0)
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:  # KeyError: a type that numpy lacks
        raise UserError(f"cannot read the predictions {path}: {_reason(error)}.") from error
    return arrays


def phase_seconds(timing: Mapping[str, Any]) -> dict[str, float]:
    """Return the seconds by phase of a record's timing: those of `PHASES` first, the total last."""
    seconds = {name: float(timing.get(name, 0.0)) for name in PHASES}
    others = {
        name: value
        for name, value in timing.items()
        if isinstance(value, float) and name not in seconds and name != "total"
    }
    return {**seconds, **others, "total": float(timing.get("total", 0.0))}


def _concatenated(config: Mapping[str, Any]) -> list[str]:
    """Return the parts of ``pooling=concat`` in a record's `config`; none for another pooling."""
    settings = config.get("pooling")
    parts = settings.get("of") if isinstance(settings, Mapping) else None
    return [str(part) for part in parts] if isinstance(parts, list) else []


def _damaged(source: str, error: Unreadable) -> UserError:
    return UserError(f"{source} is damaged: {flatten(error)}. Remove it and run again.")


def _reason(error: BaseException) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else flatten(error)
