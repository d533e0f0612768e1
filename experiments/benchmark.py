"""Measure speed against other libraries.

``python -m experiments.benchmark model.path=FOLDER data_root=FOLDER output=FILE``

Every figure is compared with a library that ran in the same process on the same cores, in turns:
sentence-transformers for extraction (batches of 32, its best batch size, and its ONNX backend where
that is installed), transformers alone in batches of equal length, scikit-learn's
LogisticRegressionCV for the probe. Ratios are medians of three. Whole commands are timed too:
``--help``, a first run, and a second pooling from the store. A table at the end says which bars are
met; ``output`` names a file for all figures.

``part=encoder``, ``part=probe`` or ``part=startup`` runs one of them. ``part=launching`` measures
the seconds per job of a sweep of ``jobs`` tiny jobs, without those of the probes. It also times
``fits`` fits with ``workers`` of joblib (the extra "joblib"). ``jobs=0`` or ``fits=0`` leaves that
part out. ``rows`` takes the first rows of SST-2 instead of all, ``base_rows`` the rows for
BERT-base's shape, ``probe_rows`` the probe's. ``part=dtypes`` compares the settings of
``runtime.dtype``, on a GPU if there is one; ``dtypes`` names them, and those that the device lacks
are left out. ``peers=false`` leaves sentence-transformers out of it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from experiments.cli import ModelPath, at_least, command
from experiments.files import write_json
from src.cli.messages import print_text
from src.errors import UserError
from src.runtime.provenance import collect

if TYPE_CHECKING:
    from experiments.benchmarks.bars import Bar


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    part: Literal["all", "encoder", "probe", "startup", "launching", "dtypes"] = "all"
    data_root: str | None = None
    model: ModelPath = ModelPath()
    rows: int | None = at_least(0, None)
    base_rows: int = at_least(0, 2000)
    probe_rows: int = at_least(100, 67000)
    dtypes: tuple[str, ...] = ("float32", "mixed", "bfloat16", "tf32")  # this and the next one with part=dtypes
    peers: bool = True
    jobs: int = at_least(0, 200)  # this and the next two with part=launching
    fits: int = at_least(0, 160)
    workers: int = at_least(1, 2)
    output: str | None = None


@command(Options)
def main(options: Options) -> None:
    """Print the figures and the bars; exit with status 1 if one is missed."""
    if options.output and Path(options.output).is_dir():
        raise UserError(f"output={options.output} is a folder. Name a file.")
    if options.output and not Path(options.output).parent.is_dir():
        raise UserError(f"output={options.output}: its folder does not exist. Make it, or name another file.")
    measures = {"launching": _launching, "dtypes": _dtypes}
    figures, bars = measures[options.part](options) if options.part in measures else _compare(options)
    for bar in bars:
        print_text(bar.line())
    if options.output:
        write_json(Path(options.output), {**figures, "provenance": collect()})
    if any(bar.verdict == "missed" for bar in bars):
        sys.exit(1)


def _compare(options: Options) -> tuple[dict[str, Any], list[Bar]]:
    """Return the figures and the bars of extraction, probe and whole commands."""
    from experiments.benchmarks import bars, encoder, probe, startup
    from experiments.benchmarks.timing import load_average

    def asked(part: str) -> bool:
        return options.part in ("all", part)

    data_root, model = (None, None) if options.part == "probe" else _folders(options)
    figures: dict[str, Any] = {"load_average": load_average()}
    found: list[Bar] = []
    if asked("encoder"):
        assert data_root is not None and model is not None
        encoded = encoder.run(data_root, model, options.rows, options.base_rows)
        figures["encoder"] = [each.record() for each in encoded]
        present = (options.rows != 0, bool(options.base_rows))
        found += bars.encoder_bars(encoded, list(compress(bars.RATIOS, present)))
    if asked("probe"):
        timed = probe.run(rows=options.probe_rows)
        figures["probe"] = [each.record() for each in timed]
        found += bars.probe_bars(timed)
    if asked("startup"):
        started = startup.run(data_root, model, options.rows)
        figures["startup"] = started.record()
        found += bars.startup_bars(started)
    figures["bars"] = [each.record() for each in found]
    load = "not known" if figures["load_average"] is None else f"{figures['load_average']:.1f}"
    print_text(f"bars, on {collect()['cores']} cores of {collect()['cpu']}; load average before: {load}")
    return figures, found


def _launching(options: Options) -> tuple[dict[str, Any], list[Bar]]:
    """Return the figures of launching, which have no bar."""
    from experiments.benchmarks import launching

    measured = launching.measure(options.jobs, options.fits, options.workers)
    for line in launching.lines(measured):
        print_text(line)
    return measured, []


def _dtypes(options: Options) -> tuple[dict[str, Any], list[Bar]]:
    """Return the figures of the dtypes, which have no bar."""
    from experiments.benchmarks import dtypes

    data_root, model = _folders(options)
    compared = dtypes.run(
        data_root, model, options.dtypes, rows=options.rows, base_rows=options.base_rows, peers=options.peers
    )
    return {"dtypes": compared}, []


def _folders(options: Options) -> tuple[str, str]:
    """Return the folders of the data and of the checkpoint; UserError if one is not given."""
    if not options.data_root or not options.model.path:
        raise UserError(
            f"part={options.part} needs data_root=FOLDER (with glue_data/SST-2) and model.path=FOLDER; "
            "part=probe needs neither."
        )
    if not Path(options.model.path).is_dir():
        raise UserError(f"model.path={options.model.path} is no folder. Name that of a checkpoint.")
    return options.data_root, options.model.path


if __name__ == "__main__":
    main()
