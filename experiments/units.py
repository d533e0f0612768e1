"""Units of tasks: tasks that share texts, which claims over tasks count once."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from src.config.paths import CONF
from src.results.result import Result

Array = NDArray[Any]


def unit_of(result: Result) -> str | None:
    """Return the unit that a run's record names, or the configuration of its dataset; None without one."""
    source = result.provenance.get("data") or {}
    return source.get("unit") or _units().get(result.dataset)


def task_units(results: Iterable[Result], *, names: Iterable[str] | None = None) -> list[str]:
    """Return the unit of each task.

    Tasks are of one unit where their datasets name the same, or where they share a whole column of
    texts, a file or a dataset of the hub, as several labels of the same texts do. A unit without a
    name has that of its first task.

    Parameters
    ----------
    results : iterable of Result
        A run of each task.
    names : iterable of str, optional
        The tasks' names; default: their datasets.
    """
    results = list(results)
    tasks = [result.dataset for result in results] if names is None else list(names)
    members: list[tuple[set[int], set[object]]] = []  # of each unit: its tasks, and what others may share with them
    for place, result in enumerate(results):
        shared = _sources(result)
        joined = [each for each in members if each[1] & shared]
        members = [each for each in members if each not in joined]
        members.append(({place}.union(*(each[0] for each in joined)), shared.union(*(each[1] for each in joined))))
    units: dict[int, str] = {}
    for places, _ in sorted(members, key=lambda each: min(each[0])):
        named = [name for place in sorted(places) if (name := unit_of(results[place]))]
        unit = named[0] if named else tasks[min(places)]
        # A task may have the name of a unit that it shares nothing with.
        while unit in units.values():
            unit += "'"
        units |= dict.fromkeys(places, unit)
    return [units[place] for place in range(len(results))]


def _sources(result: Result) -> set[object]:
    """Return what other tasks of a run's unit share with it."""
    texts, data = (result.provenance.get(name) or {} for name in ("texts", "data"))
    found: set[object] = {digest for columns in texts.values() for digest in columns}
    # Test rows that are cut from a file by label differ from label to label.
    found |= set((data.get("files") or {}).values())
    if data.get("from") == "hub" and result.config.get("dataset", {}).get("label"):  # one of several labels
        found.add(("hub", data.get("path"), data.get("name")))
    if name := unit_of(result):
        found.add(("unit", name))
    return found


def unit_members(results: Sequence[Result]) -> tuple[list[str], Array]:
    """Return the units of some tasks, and the share of each task in its unit's mean, (units, tasks)."""
    units = task_units(results)
    names = list(dict.fromkeys(units))
    members = np.array([[unit == name for unit in units] for name in names], dtype=float).reshape(
        len(names), len(units)
    )
    return names, members / members.sum(axis=1, keepdims=True)


@functools.cache
def _units() -> dict[str, str]:
    """Return the unit of each dataset in conf/ that has one."""
    files = (CONF / "dataset").glob("*.yaml")
    found = {path.stem: OmegaConf.select(OmegaConf.load(path), "unit") for path in files}
    return {dataset: unit for dataset, unit in found.items() if unit}
