"""Composes the page of the predictions about an encoder that the paper does not measure."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.formatting import markdown_table
from experiments.predictions import Predictions
from experiments.report.predicted import describe_size

COLUMNS = ("prediction", "where", "difference", "predicted, points", "because")


def predictions_page(predictions: Predictions, hours: Mapping[str, float]) -> str:
    """Return predictions.md.

    Parameters
    ----------
    predictions : Predictions
    hours : mapping
        Estimates, as `experiments.paper.blocks.base_hours` returns them.
    """
    rows = [
        (each.id, each.stratum or each.task, f"{each.a} − {each.b}", describe_size(each), each.because)
        for each in predictions.found
    ]
    lines = [
        f"# Predictions for {predictions.model}",
        "",
        "Made from the records of smaller encoders and from published numbers, before any run of this encoder. "
        "Points are hundredths of D² or of Spearman's correlation over the tasks of a stratum, and of a task's own "
        "metric ([docs/protocol.md](../docs/protocol.md)).",
        "",
        *markdown_table(COLUMNS, rows, [False, False, False, False, False]),
        "",
        "The sweep that tests them, and the page that says which held:",
        "",
        "```bash",
        predictions.command,
        "python -m experiments.report records=SWEEP",
        "```",
        "",
        f"It takes about {hours['cpu']:.1f} hours on two CPU cores, of which the forward passes take "
        f"{hours['encode']:.1f}. With a GPU they take minutes, and the probes {hours['probes']:.1f} hours. These are "
        "estimates ([docs/speed.md](../docs/speed.md#hours-for-bert-base)). A stratum that the sweep does not hold "
        "is reported as not tested; `records=` may be a folder above several sweeps.",
        "",
        "A prediction *held* if its sign is shown by the 95 % interval and the difference lies within the predicted "
        "sizes. It *did not hold* if the interval lies outside them, or shows the opposite sign. Else it is "
        "*inconclusive*. Intervals are those of single differences, without a correction over predictions.",
        "",
        "Written by `python -m experiments.paper` from `experiments/paper/predictions.yaml`.",
        "",
    ]
    return "\n".join(lines)
