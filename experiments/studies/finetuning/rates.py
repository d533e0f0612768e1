"""The choice of the learning rate of each dataset and pooling, on training rows that are held out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from experiments.files import make_folder
from experiments.studies.finetuning.datasets import TokenisedDataset
from experiments.studies.finetuning.options import Options
from experiments.studies.finetuning.trials import Trial, TrialResult, run_trials
from src.errors import UserError
from src.pooling import poolings
from src.probes.decisions import losses
from src.storage.atomic import replace_files
from src.storage.files import read_json
from src.storage.keys import content_key

FILE = "rates.json"
Choice = dict[str, Any]


def choose_rates(datasets: Sequence[TokenisedDataset], options: Options, output: Path) -> dict[tuple[str, str], Choice]:
    """Return the rate of each dataset and pooling: the one with the least held-out loss, of several.

    Choices are kept in `output` and are read from there if their inputs are the same.

    Returns
    -------
    dict
        By dataset and pooling: ``value`` and ``grid``, a ``{value, loss, converged}`` per rate. The
        loss is the mean log-loss or squared error, None where it was not finite; the grid of a single
        rate is empty.

    Raises
    ------
    UserError
        The loss is not finite at any rate.
    """
    cells = {
        (dataset.data.name, pooling): content_key(
            {"rates": list(options.rate), "pooling": pooling, "code": poolings[pooling].code, **dataset.identity()}
        )
        for dataset in datasets
        for pooling in options.pooling
    }
    if len(options.rate) == 1:
        return {cell: {"value": options.rate[0], "grid": []} for cell in cells}
    kept = _read(output)
    missing = [cell for cell, key in cells.items() if key not in kept]
    named = {dataset.data.name: dataset for dataset in datasets}
    trials = [Trial(*cell, rate, 0, holdout=True) for cell in missing for rate in options.rate]
    with closing(run_trials(options, trials)) as results:
        for cell in missing:
            grid = [
                {"value": rate, "loss": held_out_loss(named[cell[0]], next(results)), "converged": None}
                for rate in options.rate
            ]
            finite = {entry["value"]: entry["loss"] for entry in grid if entry["loss"] is not None}
            if not finite:
                raise UserError(f"{cell[0]}, {cell[1]}: the loss is not finite at any rate. Name lower ones: rate=.")
            kept[cells[cell]] = {"value": min(finite, key=lambda rate: finite[rate]), "grid": grid}
            make_folder(output)
            replace_files(output, {FILE: (json.dumps(kept, indent=1, sort_keys=True) + "\n").encode()})
    return {cell: kept[key] for cell, key in cells.items()}


def _read(output: Path) -> dict[str, Choice]:
    """Return the choices that are kept, by key; none if the file is missing or damaged."""
    try:
        kept = read_json(output / FILE)
        if not isinstance(kept, Mapping):
            return {}
        return {str(key): {"value": float(each["value"]), "grid": _grid(each["grid"])} for key, each in kept.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _grid(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    losses = [None if each["loss"] is None else float(each["loss"]) for each in entries]
    return [
        {"value": float(each["value"]), "loss": loss, "converged": None}
        for each, loss in zip(entries, losses, strict=True)
    ]


def held_out_loss(dataset: TokenisedDataset, result: TrialResult) -> float | None:
    """Return the mean loss of a trial's predictions for the held-out rows; None if it is not finite."""
    if not result.decisions:
        return None
    held_out = dataset.chosen[dataset.holdout_mask()]
    found = losses(result.decisions["train"], dataset.train.label[held_out], len(dataset.data.classes)).mean()
    return float(found) if np.isfinite(found) else None
