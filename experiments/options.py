"""The key=value words of the commands here, which need no config groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config import explain


def read(defaults: Mapping[str, Any], arguments: list[str]) -> DictConfig:
    """The defaults with what the command line changes; UserError for a key that they lack."""
    known = OmegaConf.create(dict(defaults))
    OmegaConf.set_struct(known, True)
    try:
        options = OmegaConf.merge(known, OmegaConf.from_cli(arguments))
    except OmegaConfBaseException as error:
        raise explain(error) from error
    assert isinstance(options, DictConfig)
    return options
