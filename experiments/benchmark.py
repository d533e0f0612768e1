"""Speed as ratios: ``python -m experiments.benchmark model.path=FOLDER data_root=FOLDER [part=all|encoder|probe] [rows=N]
[base_rows=2000] [output=FILE]``.

Every figure stands beside a named peer that ran in the same process on the same cores: sentence-transformers for extraction,
scikit-learn's LogisticRegressionCV for the probe. ``rows`` takes the first N rows of SST-2 in place of all; ``output`` keeps the figures.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.cli import ModelPath, command
from src.errors import UserError
from src.runtime.provenance import collect


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    part: Literal["all", "encoder", "probe"] = "all"
    data_root: str | None = None
    model: ModelPath = ModelPath()
    rows: int | None = None
    base_rows: int = 2000
    output: str | None = None


@command(Options)
def main(options: Options) -> None:
    """Print the ratios; a probe that misses its target ends with status 1."""
    met = True
    figures: dict[str, list[dict[str, Any]]] = {}
    if options.part != "probe":
        if not options.data_root or not options.model.path:
            raise UserError(
                "the encoder's benchmark needs data_root=FOLDER (with glue_data/SST-2) and model.path=FOLDER; part=probe needs neither."
            )
        from experiments import benchmark_encoder

        found = benchmark_encoder.run(options.data_root, options.model.path, options.rows, options.base_rows)
        figures["encoder"] = [each.record() for each in found]
    if options.part != "encoder":
        from experiments import benchmark_probe

        timed = benchmark_probe.run()
        figures["probe"] = [each.record() for each in timed]
        met = all(each.met for each in timed)
    if options.output:
        write(Path(options.output), figures)
    if not met:
        sys.exit(1)


def write(output: Path, figures: dict[str, list[dict[str, Any]]]) -> None:
    """Keep the figures with where they come from, as JSON."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(
            json.dumps({**figures, "provenance": collect()}, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise UserError(f"output={output} cannot be written: {error.strerror}. Name another file.") from error


if __name__ == "__main__":
    main()
