"""Name of a sweep in its tracker: when it started, and its models and datasets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from src.errors import mask

DATE, TIME = re.compile(r"\d{4}-\d\d-\d\d"), re.compile(r"\d\d-\d\d-\d\d(\.\d+)?")  # of the folder by default
MOST_NAMES = 4  # models or datasets that a name lists
LONGEST = 100  # characters; W&B takes 128
# A name of the first key says more than one of the next.
MODEL_KEYS, DATASET_KEYS = ("model.path", "model"), ("dataset.hub.path", "dataset")


def sweep_name(folder: Path, jobs: Sequence[Sequence[str]], config: DictConfig) -> str:
    """Return the name of a sweep, as in ``2026-01-31 12-00-00 bert-books mrpc,rte``.

    Parameters
    ----------
    folder : Path
        The sweep's folder. A name that a user gave it is the sweep's name.
    jobs : sequence of sequences of str
        Overrides of each job.
    config : DictConfig
        Composed configuration, whose model and dataset apply to jobs that name none.
    """
    date, time = folder.absolute().parent.name, folder.name
    if not (DATE.fullmatch(date) and TIME.fullmatch(time)):
        return time
    models = _names(jobs, MODEL_KEYS, str(OmegaConf.select(config, "model.name")))
    datasets = _names(jobs, DATASET_KEYS, str(OmegaConf.select(config, "dataset.name")))
    return f"{date} {time.partition('.')[0]} {models} {datasets}"[:LONGEST]


def _names(jobs: Sequence[Sequence[str]], keys: Sequence[str], default: str) -> str:
    """Return the values that jobs have under the first of some keys that they name, each once."""
    found = list(dict.fromkeys(_name(job, keys, default) for job in jobs))
    more = len(found) - MOST_NAMES
    return ",".join(found[:MOST_NAMES]) + (f" +{more}" if more > 0 else "")


def _name(job: Sequence[str], keys: Sequence[str], default: str) -> str:
    """Return the last part of a job's value, because a folder's path stays on its machine."""
    values = {key.lstrip("+"): value for key, _, value in (word.partition("=") for word in job)}
    value = next((values[key] for key in keys if key in values), default)
    return mask(value.strip("'\"").rstrip("/").rpartition("/")[2] or default)
