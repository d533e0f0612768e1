"""Speed as ratios: ``python -m experiments.benchmark model.path=FOLDER data_root=FOLDER [part=all|encoder|probe] [rows=N]
[base_rows=2000]``.

Every figure stands beside a named peer that ran in the same process on the same cores: sentence-transformers for extraction,
scikit-learn's LogisticRegressionCV for the probe. ``rows`` takes the first N rows of SST-2 in place of all.
"""

from __future__ import annotations

import sys

from experiments.options import read
from src.door import stop
from src.errors import UserError

DEFAULTS = {"part": "all", "data_root": None, "model": {"path": None}, "rows": None, "base_rows": 2000}


def main(arguments: list[str]) -> None:
    """Print the ratios; bad input ends with a line and status 1."""
    try:
        options = read(DEFAULTS, arguments)
        if options.part not in ("all", "encoder", "probe"):
            raise UserError(f"part={options.part}: one of all, encoder, probe is needed.")
        if options.part != "probe":
            if not options.data_root or not options.model.path:
                raise UserError(
                    "the encoder's benchmark needs data_root=FOLDER (with glue_data/SST-2) and model.path=FOLDER; part=probe needs neither."
                )
            from experiments.benchmark_encoder import run

            run(options.data_root, options.model.path, options.rows, options.base_rows)
        if options.part != "encoder":
            from experiments import benchmark_probe

            sys.exit(benchmark_probe.main([]))
    except UserError as error:
        stop(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
