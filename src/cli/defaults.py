"""Defaults that depend on other settings: the task's probe, a model's name, the headline metric."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.config.paths import CONF
from src.config.schema import DEFAULT_PROBE, TASKS, DatasetConfig, ModelConfig
from src.errors import UserError
from src.registry import unknown
from src.runtime.provenance import folder_name


def one_of(key: str, value: str, allowed: Sequence[str]) -> None:
    """Raise a UserError if a value is not one of those allowed."""
    if value not in allowed:
        raise unknown(key, value, allowed)


def complete_probe(requested: dict[str, Any] | None, task: str) -> dict[str, Any]:
    """Return the probe as requested, completed by the task's default probe where it names none.

    Parameters
    ----------
    requested : dict
        Settings of the group `probe`; those that are not set are None.
    task : str
        The dataset's task.

    Raises
    ------
    UserError
        The task is unknown.
    """
    requested = _without_nulls(requested or {})
    for key, name in (("estimator", "_target_"), ("protocol", "name")):
        if isinstance(requested.get(key), dict) and requested[key].get(name) is None:
            requested[key].pop(name, None)
    if not requested.get("protocol"):
        requested.pop("protocol", None)
    if isinstance(requested.get("grid"), dict):
        requested["grid"] = {name: _numbers(values) for name, values in requested["grid"].items() if values is not None}
    if "name" in requested:
        return _without_extension(requested)
    one_of("dataset.task", task, TASKS)
    default = OmegaConf.to_container(read_option("probe", DEFAULT_PROBE[task]))
    assert isinstance(default, dict)
    if requested.get("grid"):
        del default["grid"]  # merging would keep its parameter beside the requested one
    merged = OmegaConf.to_container(OmegaConf.merge(default, requested))
    assert isinstance(merged, dict)
    return _without_extension({str(key): value for key, value in merged.items()})


def _without_nulls(requested: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a probe; a single value that is null gets that of the option's file."""
    option = read_option("probe", str(requested["name"])) if requested.get("name") is not None else None
    own = {key: value for key, value in (option or {}).items() if not isinstance(value, DictConfig)}
    return {str(key): value for key, value in own.items()} | {
        key: value for key, value in requested.items() if value is not None
    }


def _without_extension(probe: dict[str, Any]) -> dict[str, Any]:
    """Return a probe whose grid may be extended only if it is the grid of the option's file."""
    option = read_option("probe", str(probe["name"]))
    if option is None or not probe.get("extend_grid") or probe.get("grid") == option.get("grid"):
        return probe
    return {**probe, "extend_grid": False}


def _numbers(values: Any) -> list[Any]:
    """Return the values of a grid as a list of floats; a sweep may give one value a job."""
    listed = values if isinstance(values, list) else [values]
    return [float(value) if type(value) is int else value for value in listed]


@functools.cache
def read_option(group: str, name: str) -> DictConfig | None:
    """Return the values of an option's file in conf/, or None if there is none.

    A sweep of hundreds of jobs reads it once, so the values are not to be changed.
    """
    path = CONF / group / f"{Path(name).name}.yaml"
    if not path.is_file():
        return None
    loaded = OmegaConf.load(path)
    assert isinstance(loaded, DictConfig)
    return loaded


def named_after_path(model: ModelConfig) -> ModelConfig:
    """Return a model without its option's name if its path is not the option's own."""
    option = read_option("model", model.name)
    if option is None or OmegaConf.select(option, "path") == model.path:
        return model
    return replace(model, name=ModelConfig.name, license=None, citation=None)


def named_after_hub(dataset: DatasetConfig) -> DatasetConfig:
    """Return a dataset under its id on the hub, or its folder's last name, if its option asks for the path.

    Raises
    ------
    UserError
        The path is not set.
    """
    option = read_option("dataset", dataset.name)
    if option is None or "hub" not in option or not OmegaConf.is_missing(option.hub, "path"):
        return dataset
    if not dataset.hub.path:
        raise UserError(
            f"dataset={dataset.name} reads a dataset of the hub, or a folder of one. Name it in dataset.hub.path=."
        )
    path = str(dataset.hub.path)
    name = folder_name(path) if Path(path).expanduser().is_dir() else path
    return replace(dataset, name=f"{name}/{dataset.hub.name}" if dataset.hub.name else name)


def headline_first(dataset: DatasetConfig) -> DatasetConfig:
    """Return a dataset with the requested metric at the head of its metrics."""
    if not (dataset.metric and dataset.metrics):
        return dataset
    others = [name for name in dataset.metrics if name != dataset.metric]
    return replace(dataset, metrics=[dataset.metric, *others])
