"""Collect a sweep in a bundle: ``python -m experiments.collect sweep=FOLDER output=FOLDER``.

The command also writes the list of all bundles, ``manifest.json``; without ``sweep=`` it only
writes the list. ``rows=`` names the models whose runs keep their test rows, with wildcards: runs of
the others keep the sums of their losses, from which D² follows, but no contrast by row. A bundle
that holds other runs, or their rows, is replaced only with ``replace=true``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from experiments.bundles import (
    PREDICTIONS_FILE,
    RECORDS_FILE,
    Record,
    is_bundle,
    read_records,
    run_settings,
    write_bundle,
)
from experiments.cli import command
from experiments.formatting import join_names
from experiments.losses import without_rows
from experiments.manifest import RECORDS_DIR, write_manifest
from src.cli.messages import print_text
from src.errors import UserError, flatten
from src.results.groups import main_identity


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    sweep: str | None = None
    output: str | None = None
    rows: str = "*"
    replace: bool = False
    records: str = str(RECORDS_DIR)


@command(Options)
def main(options: Options) -> None:
    """Write a sweep's bundle, then the list of all bundles."""
    records = Path(options.records)
    if not options.sweep and (options.output or options.rows != "*" or options.replace):
        raise UserError(
            "sweep is not set, whose runs output=, rows= and replace= are about. Name its folder: sweep=FOLDER."
        )
    if options.sweep and not options.output:
        raise UserError("output is not set. Name the bundle's folder: output=experiments/records/EXPERIMENT/MODEL.")
    inside = options.output is not None and Path(options.output).resolve().is_relative_to(records.resolve())
    if not records.is_dir() and not inside:  # a bundle inside makes the folder
        raise UserError(f"records={records}: there is no such folder.")
    if options.sweep and options.output:
        found = with_rows_of(options.rows, read_records(Path(options.sweep)))
        if not is_bundle(Path(options.sweep)) and Path(options.output).resolve() == Path(options.sweep).resolve():
            raise UserError(f"output={options.output} is the sweep's folder. Name one for the bundle alone.")
        if not options.replace:
            refuse_loss(found, Path(options.output))
        write_bundle(found, Path(options.output))
        print_text(f"{options.output}: {len(found)} runs")
    write_manifest(records)


def refuse_loss(found: Sequence[Record], output: Path) -> None:
    """Refuse to write records over a bundle that holds more: runs of other settings, or test rows.

    Raises
    ------
    UserError
        The bundle holds such a run, or cannot be read.
    """
    if not any(os.path.lexists(output / name) for name in (RECORDS_FILE, PREDICTIONS_FILE)):
        return
    try:
        if not is_bundle(output):
            raise UserError(f"output={output}: its {RECORDS_FILE} is missing, or no file. Get it again.")
        there = read_records(output)
    except UserError as error:
        raise UserError(f"{flatten(error)} Or add replace=true, which writes a new bundle in its place.") from error
    with_rows = {run_settings(each.result): each.sums is None for each in found}
    lost = [each for each in there if with_rows.get(run_settings(each.result)) not in (True, each.sums is None)]
    if lost:
        example = main_identity(lost[0].result) | {"pooling": lost[0].result.pooling_label}
        named = " ".join(f"{name}={value}" for name, value in example.items())
        raise UserError(
            f"output={output} holds {len(lost)} runs that the sweep has not, or not with their rows, as {named}. They "
            "would be lost: name another folder, or add replace=true."
        )


def with_rows_of(models: str, records: Sequence[Record]) -> list[Record]:
    """Return records of which those of the named models keep their rows, and the others the sums of their losses.

    Parameters
    ----------
    models : str
        A name, or a pattern of `fnmatch`, as ``*-0``.
    records : sequence of Record

    Raises
    ------
    UserError
        No record with rows is of such a model.
    """
    known = sorted({record.result.model for record in records if record.sums is None})
    kept = {name for name in known if fnmatchcase(name, models)}
    if not kept:
        raise UserError(f"rows={models[:80]} fits no model whose runs have rows: {join_names(known)}.")
    return [record if record.result.model in kept else without_rows(record) for record in records]


if __name__ == "__main__":
    main()
