"""Composition of jobs that differ in values alone: they share one composition, which takes 0.05 s."""

from __future__ import annotations

import copy
import functools
import re
import uuid
from collections.abc import Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.cli.overrides import GROUPS, KEYS

WHOLE_NUMBER = re.compile(r"(layer|seed|draws)=-?\d+")  # overrides that fit every configuration and select no file
# Overrides that set values of this suite's keys; like the whole numbers they select no file.
VALUE = re.compile(
    rf"(?:(?:{'|'.join(KEYS)})(?:\.\w+)+|{'|'.join(key for key in KEYS if key not in GROUPS)})=.*", re.DOTALL
)
ORDERED = re.compile(r"[+~](?!experiment=)")  # its effect depends on the overrides before it
MAX_COMPOSITIONS = 64  # compositions that are kept, about 0.5 MB each


class JobComposer:
    """Config loader for a launcher, with the same results as Hydra's.

    A process that unpickles it again and again, as a worker of joblib does, keeps its compositions.

    Parameters
    ----------
    loader : ConfigLoader
        Composes a job whose overrides but the values are new.
    identifier : str, optional
        Composers with an equal one share compositions in a process; by default it is new.
    """

    def __init__(self, loader: ConfigLoader, identifier: str = "") -> None:
        self._loader = loader
        self._identifier = identifier or uuid.uuid4().hex
        self._compositions = _compositions_of(self._identifier)

    def __reduce__(self) -> tuple[Any, ...]:
        return JobComposer, (self._loader, self._identifier)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: Sequence[str]) -> DictConfig:
        """Return the configuration of the job with these overrides."""
        shared = WHOLE_NUMBER if any(map(ORDERED.match, sweep_overrides)) else VALUE
        values = [word for word in sweep_overrides if shared.fullmatch(word)]
        others = tuple(word for word in sweep_overrides if word not in values)
        found = self._compositions.pop(others, None)
        if found is None:
            found = self._loader.load_sweep_config(master_config, list(others))
            if len(self._compositions) >= MAX_COMPOSITIONS:
                del self._compositions[next(iter(self._compositions))]  # the least recently used
        self._compositions[others] = found
        composed = copy.deepcopy(found)
        try:
            for override in OverridesParser.create().parse_overrides(values):
                OmegaConf.update(composed, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException:
            return self._loader.load_sweep_config(master_config, list(sweep_overrides))  # raises Hydra's own error
        _name_overrides(composed, [word for word in sweep_overrides if not re.match(r"[+~]*hydra[./]", word)])
        OmegaConf.copy_cache(from_config=master_config, to_config=composed)  # such as the time of day in ${now:}
        return composed


@functools.lru_cache(maxsize=1)
def _compositions_of(identifier: str) -> dict[tuple[str, ...], DictConfig]:
    """Return the compositions that this process keeps for the composers with one identifier."""
    return {}


def _name_overrides(composed: DictConfig, overrides: list[str]) -> None:
    """Write a job's overrides into its configuration, and the folder's name that is made of them."""
    job = composed.hydra.job
    settings = job.config.override_dirname
    named = sorted(word for word in overrides if word.lstrip("+~").partition("=")[0] not in settings.exclude_keys)
    composed.hydra.overrides.task = overrides
    job.override_dirname = settings.item_sep.join(named).replace("=", settings.kv_sep)
