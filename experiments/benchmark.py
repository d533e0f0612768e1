"""Measure speed against other libraries.

``python -m experiments.benchmark model.path=FOLDER data_root=FOLDER``

Every figure is compared with a library that ran in the same process on the same cores, in turns:
sentence-transformers for extraction (batches of 32, its best batch size, and its ONNX backend where
that is installed), scikit-learn's LogisticRegressionCV for the probe. Ratios are medians of three.
``part=encoder`` or ``part=probe`` runs one of them. ``part=launching`` measures the seconds per job
of a sweep of ``jobs`` tiny jobs, without those of the probes. It also times ``fits`` fits with
``workers`` of joblib (the extra "joblib"). ``jobs=0`` or ``fits=0`` leaves that part out. ``rows``
takes the first rows of SST-2 instead of all, ``base_rows`` the rows for BERT-base's shape;
``output`` names a file for the figures. ``part=dtypes`` compares the settings of ``runtime.dtype``,
on a GPU if there is one; ``dtypes`` names them, and those that the device lacks are left out.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.cli import ModelPath, command
from experiments.files import write_json
from src.cli.messages import print_text
from src.errors import UserError
from src.runtime.provenance import collect


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    part: Literal["all", "encoder", "probe", "launching", "dtypes"] = "all"
    data_root: str | None = None
    model: ModelPath = ModelPath()
    rows: int | None = None
    base_rows: int = 2000
    dtypes: tuple[str, ...] = ("float32", "mixed", "bfloat16", "tf32")  # with part=dtypes
    jobs: int = 200  # this and the next two with part=launching
    fits: int = 160
    workers: int = 2
    output: str | None = None


@command(Options)
def main(options: Options) -> None:
    """Print the ratios; exit with status 1 if the probe misses its target."""
    if options.part == "launching":
        from experiments.benchmarks import launching

        measured = launching.measure(options.jobs, options.fits, options.workers)
        for line in launching.lines(measured):
            print_text(line)
        if options.output:
            write_json(Path(options.output), {**measured, "provenance": collect()})
        return
    figures: dict[str, Any] = {}
    met = True
    if options.part == "dtypes":
        from experiments.benchmarks import dtypes

        data_root, model = _folders(options)
        compared = dtypes.run(data_root, model, options.dtypes, options.rows, options.base_rows)
        if options.output:
            write_json(Path(options.output), {"dtypes": compared, "provenance": collect()})
        return
    if options.part != "probe":
        data_root, model = _folders(options)
        from experiments.benchmarks import encoder

        found = encoder.run(data_root, model, options.rows, options.base_rows)
        figures["encoder"] = [each.record() for each in found]
    if options.part != "encoder":
        from experiments.benchmarks import probe

        timed = probe.run()
        figures["probe"] = [each.record() for each in timed]
        met = all(each.met for each in timed)
    if options.output:
        write_json(Path(options.output), {**figures, "provenance": collect()})
    if not met:
        sys.exit(1)


def _folders(options: Options) -> tuple[str, str]:
    """Return the folders of the data and of the checkpoint; UserError if one is not given."""
    if not options.data_root or not options.model.path:
        raise UserError(
            "the encoder's benchmark needs data_root=FOLDER (with glue_data/SST-2) and model.path=FOLDER; "
            "part=probe needs neither."
        )
    return options.data_root, options.model.path


if __name__ == "__main__":
    main()
