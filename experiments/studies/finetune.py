"""Fine-tune an encoder per pooling: ``python -m experiments.studies.finetune output=FOLDER``.

Shows whether the poolings differ once the encoder is trained too, as a control to the frozen
probes. A linear head reads one pooling, and all weights are tuned with it; the pooler's are only if
the head reads the pooler. All heads share one schedule, which no test row influences.

A dataset and a pooling are one cell and one record. Its seeds draw the head's initial weights and
the order of the rows. Finished cells are not tuned again.

Several rates, as in ``rate=0.0001,0.0003,0.001``, are tried for each dataset and pooling on a
held-out part of the training rows. The best one is used for that dataset and pooling.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from experiments.cli import command
from experiments.studies.finetuning.datasets import open_dataset
from experiments.studies.finetuning.options import HEADS, Options
from experiments.studies.finetuning.rates import choose_rates
from experiments.studies.finetuning.records import Cell
from experiments.studies.finetuning.trials import Trial, run_trials
from src.cli.messages import print_text
from src.errors import UserError
from src.registry import unknown
from src.sweeps.comparison import compare_records
from src.sweeps.jobs import find_jobs
from src.sweeps.rendering import render


@command(Options)
def main(options: Options) -> None:
    """Fine-tune every dataset with every head and print the comparison."""
    run(options)
    comparison = compare_records(find_jobs(Path(options.output)))
    print_text(render(comparison, width=shutil.get_terminal_size((100, 24)).columns).rstrip())


def run(options: Options) -> None:
    """Write the missing records below `output`, one folder each; all input is checked first."""
    check(options)
    output = Path(options.output)
    datasets = {name: open_dataset(options, name) for name in options.dataset}
    for dataset in datasets.values():
        for head in options.pooling:
            dataset.extractor.resolve_target(head, -1)
    rates = choose_rates(list(datasets.values()), options, output)
    cells = [
        Cell(
            datasets[name],
            head,
            rates[datasets[name].data.name, head],
            options.seeds,
            options.resamples,
            output / f"{name}-{head}",
        )
        for name in options.dataset
        for head in options.pooling
    ]
    missing = [cell for cell in cells if not cell.is_done()]
    trials = [
        Trial(cell.dataset.data.name, cell.pooling, cell.choice["value"], seed)
        for cell in missing
        for seed in options.seeds
    ]
    with closing(run_trials(options, trials)) as results:
        for cell in missing:
            cell.write([next(results) for _ in options.seeds])


def check(options: Options) -> None:
    """Raise UserError for a head or a rate that is not allowed."""
    for head in options.pooling:
        if head not in HEADS:
            raise unknown("pooling", head, HEADS)
    shown = ",".join(map(str, options.rate))
    if not all(0 < rate < 1 for rate in options.rate):
        raise UserError(f"rate={shown}: numbers between 0 and 1 are needed, with commas between.")


if __name__ == "__main__":
    main()
