"""The choice of the learning rate on training rows that are held out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.studies.finetuning.datasets import TokenisedDataset
from experiments.studies.finetuning.options import HEADS, Options
from experiments.studies.finetuning.trials import Trial, run_trials
from src.pooling import poolings
from src.probes.decisions import losses
from src.storage.atomic import replace_files
from src.storage.files import read_json
from src.storage.keys import content_key

FILE = "rates.json"


def fixed_rate(rate: float) -> dict[str, Any]:
    """Return the choice of a single rate, in the form of `choose_rate`."""
    return {"dataset": None, "value": rate, "grid": []}


def choose_rate(dataset: TokenisedDataset, options: Options, output: Path) -> dict[str, Any]:
    """Return the rate with the least held-out loss, averaged over all heads of the checkpoint.

    The choice is kept in `output` and is read from there if its inputs are the same.

    Returns
    -------
    dict
        ``dataset``, ``value``, ``heads`` and ``grid``: ``{value, loss, converged}`` per rate, where
        the loss is the mean log-loss or squared error.
    """
    heads = [head for head in HEADS if not poolings[head].needs_pooler or dataset.extractor.info.has_pooler]
    key = content_key({"rates": list(options.rate), "heads": heads, **dataset.identity()})
    try:
        kept = read_json(output / FILE)
        if kept["key"] == key:
            return dict(kept["choice"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # missing or damaged: chosen below
    means = holdout_losses(dataset, heads, options)
    grid = [
        {"value": rate, "loss": float(loss), "converged": None} for rate, loss in zip(options.rate, means, strict=True)
    ]
    value = options.rate[int(means.argmin())]
    choice = {"dataset": dataset.data.name, "value": value, "heads": heads, "grid": grid}
    text = json.dumps({"key": key, "choice": choice}, indent=1, sort_keys=True) + "\n"
    output.mkdir(parents=True, exist_ok=True)
    replace_files(output, {FILE: text.encode()})
    return choice


def holdout_losses(dataset: TokenisedDataset, heads: Sequence[str], options: Options) -> np.ndarray:
    """Return the mean held-out loss of every rate over the heads, (rates,)."""
    held_out = dataset.chosen[dataset.holdout_mask()[dataset.chosen]]
    label, classes = dataset.train.label[held_out], len(dataset.data.classes)
    trials = [Trial(dataset.data.name, head, rate, 0, holdout=True) for rate in options.rate for head in heads]
    found = [losses(result.decisions["train"], label, classes).mean() for result in run_trials(options, trials)]
    return np.asarray(np.reshape(found, (len(options.rate), len(heads))).mean(axis=1))
