"""Collect a sweep in a bundle: ``python -m experiments.collect sweep=FOLDER output=FOLDER``.

The command also writes the list of all bundles, ``manifest.json``; without ``sweep=`` it only
writes the list.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.bundles import read_records, write_bundle
from experiments.cli import command
from experiments.manifest import RECORDS_DIR, write_manifest
from src.cli.messages import print_text
from src.errors import UserError


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    sweep: str | None = None
    output: str | None = None
    records: str = str(RECORDS_DIR)


@command(Options)
def main(options: Options) -> None:
    """Write a sweep's bundle, then the list of all bundles."""
    records = Path(options.records)
    if options.sweep:
        if not options.output:
            raise UserError("output is not set. Name the bundle's folder: output=experiments/records/EXPERIMENT/MODEL.")
        found = read_records(Path(options.sweep))
        write_bundle(found, Path(options.output))
        print_text(f"{options.output}: {len(found)} runs")
    if not records.is_dir():
        raise UserError(f"records={records}: there is no such folder.")
    write_manifest(records)


if __name__ == "__main__":
    main()
