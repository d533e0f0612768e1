"""Compose a configuration from the option files of conf/ without Hydra."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from src.cli.defaults import read_option
from src.cli.validation import parse_config
from src.config.paths import CONF
from src.config.schema import Config
from src.errors import UserError, shortened
from src.models.finding import EMBEDDED
from src.registry import unknown

Named = str | Mapping[str, Any]  # an option's name, or the keys of its group with `name` among them

DATASET = "texts"  # name of rows in memory, in messages and tables


def compose_config(
    model: str | Path,
    pooling: Named,
    *,
    encoder: Mapping[str, Any] | None = None,
    dataset: Mapping[str, Any] | None = None,
    probe: Named | None = None,
    runtime: Mapping[str, Any] | None = None,
    **values: Any,
) -> Config:
    """Return the configuration of a run on rows in memory, checked as that of a command.

    Parameters
    ----------
    model : str or Path
        The name of an option, a folder, or a hub id.
    pooling : str or mapping
    encoder, dataset, runtime : mapping, optional
        Values that replace those of the model's option, of ``dataset=files`` and of ``runtime=auto``.
    probe : str or mapping, optional
        Default: by the task.
    **values
        Keys of the root: ``layer``, ``pairing``, ``seed``, ``draws``.

    Raises
    ------
    UserError
        An option or a key is unknown, or a value is refused.
    """
    groups = {
        "model": _model(str(model), encoder or {}),
        "dataset": _option("dataset", {"name": "files", **(dataset or {})}) | {"name": DATASET},
        "pooling": _keys(pooling),
        "probe": _option("probe", _keys(probe or {})),
        "runtime": _option("runtime", {"name": "auto"}) | dict(runtime or {}),
    }
    return parse_config(OmegaConf.create(_literal({**groups, "tracker": {"name": "none"}, **values})))


def _keys(named: Named) -> dict[str, Any]:
    if not isinstance(named, str | Mapping):
        raise UserError(f"{shortened(repr(named))} is no option: a name is needed, or a mapping of keys.")
    return {"name": named} if isinstance(named, str) else dict(named)


def _model(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a model's option; any folder or hub id is that of ``model=checkpoint``."""
    if name in options("model"):
        return _option("model", {"name": name, **changes})
    if "/" not in name and not name.startswith(EMBEDDED) and not Path(name).expanduser().is_dir():
        raise unknown("model", name, [*options("model"), "ORG/NAME", "FOLDER"])
    return _option("model", {"name": "checkpoint", "path": name, **changes})


def _option(group: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the option `name` with changes; without a name, the changes alone."""
    name = keys.get("name")
    if name is None:
        return dict(keys)
    option = read_option(group, name) if name in options(group) else None
    if option is None:
        raise unknown(group, name, options(group))
    found = OmegaConf.to_container(option)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()} | {key: keys[key] for key in keys if key != "name"}


def options(group: str) -> list[str]:
    """Return the names of a group's options in conf/."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def _literal(value: Any) -> Any:
    """Return values in which OmegaConf replaces nothing, in its own types; UserError for any other type."""
    if isinstance(value, Mapping):
        return {str(key): _literal(each) for key, each in value.items()}
    if isinstance(value, list | tuple | range):
        return [_literal(each) for each in value]
    if isinstance(value, np.generic | np.ndarray):
        return _literal(value.tolist())
    if isinstance(value, str):
        return value.replace("${", "\\${")
    if value is None or isinstance(value, bool | int | float | Path):
        return str(value) if isinstance(value, Path) else value
    raise UserError(f"{shortened(repr(value), 60)} is no value of an option. Give a text, a number or a list of them.")
