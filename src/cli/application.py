"""The Hydra application that the commands share."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from src.cli.messages import exit_with_error, format_error, is_unwritable
from src.cli.overrides import check_overrides
from src.cli.streams import configure_process, set_log_level
from src.cli.structured import Schema
from src.config.paths import CONF
from src.errors import UserError
from src.pooling import CONCAT, poolings

ROOT = "config"  # file in conf/ of the configuration of a run


def register() -> None:
    """Give Hydra the schema, and the registered poolings as options of a group without a folder."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Schema, provider="src.cli.structured")
    for name in (*poolings, CONCAT):
        store.store(group="pooling", name=name, node={"name": name}, provider="src.pooling")


def run_app(task: Callable[[DictConfig], Any], *, sweeps: bool = True, config: str = ROOT) -> None:
    """Run a task under Hydra, and exit if it fails.

    Bad input ends with its lines on stderr and status 1, an interruption with status 130. Only
    unexpected errors show a traceback.

    Parameters
    ----------
    task : callable
        Takes the composed configuration of one job.
    sweeps : bool
        Whether -m is allowed.
    config : str
        Name of the root file in conf/.
    """
    configure_process()
    register()
    failure: list[Exception] = []

    @functools.wraps(task)
    def guarded(composed: DictConfig) -> None:
        # Keeps the task's errors apart from Hydra's, which leave hydra.main.
        configure_process()  # a launcher's process starts here
        set_log_level(OmegaConf.select(composed, "runtime.log"))
        try:
            leave_job_folder()
            task(composed)
        except Exception as error:
            failure.append(error)

    try:
        sys.argv[1:] = check_overrides(sys.argv[1:], sweeps=sweeps, runs=config == ROOT)
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=config)(guarded)()
    except KeyboardInterrupt:
        print("stopped. What is stored is kept: the same command goes on from there.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        exit_with_error(format_error(error))
    if failure:
        if not isinstance(failure[0], UserError) and not is_unwritable(failure[0]):
            raise failure[0]
        exit_with_error(format_error(failure[0]))


def leave_job_folder() -> None:
    """Return to the command's working folder if ``hydra.job.chdir`` left it: paths are relative to it."""
    if HydraConfig.initialized() and HydraConfig.get().job.chdir:
        os.chdir(HydraConfig.get().runtime.cwd)


def job_overrides() -> list[str]:
    """Return the current job's overrides as written; a resolved interpolation may be secret."""
    words = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    assert isinstance(words, list)
    return words
