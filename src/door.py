"""What every door shares: Hydra wrapped so that whatever goes wrong ends in a line or two and exit status 1."""

from __future__ import annotations

import errno
import functools
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from src.config import CONF, explain
from src.errors import UserError, flatten
from src.pooling import poolings
from src.registry import unknown

QUOTING = "Values with commas, equals signs or spaces need quotes inside quotes: 'dataset.train=\"my, file.csv\"'."


def register() -> None:
    """Make the registry's poolings the options of the pooling group, which has no folder."""
    store = ConfigStore.instance()
    for name in poolings:
        store.store(group="pooling", name=name, node={"name": name}, provider="src.pooling")


def open_door(task: Callable[[DictConfig], Any]) -> None:
    """Run a task under Hydra. Bad input ends with its line on stderr and status 1, an interruption with status 130; only a bug of ours shows a traceback."""
    # Hydra prints and exits by itself unless asked for the full error, which is then ours to put into words.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("src").setLevel(logging.INFO)
    register()
    failure: list[Exception] = []

    @functools.wraps(task)
    def guarded(composed: DictConfig) -> None:
        # An exception that passes through Hydra is announced with a line of Hydra's before ours.
        try:
            task(composed)
        except Exception as error:
            failure.append(error)

    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(guarded)()
        if failure:
            raise failure[0]
    except UserError as error:
        stop(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        stop(say(error))
    except OSError as error:
        if error.filename is None or error.errno not in (
            errno.EACCES,
            errno.EROFS,
            errno.ENOTDIR,
            errno.EEXIST,
            errno.ENOSPC,
            errno.ENAMETOOLONG,
            errno.EPERM,
        ):
            raise
        stop(
            f"'{error.filename}' cannot be written: {error.strerror}. Choose another folder with hydra.run.dir= (a sweep: hydra.sweep.dir=)."
        )
    except KeyboardInterrupt:
        print("stopped. What is stored is kept: the same command goes on from there.", file=sys.stderr)
        sys.exit(130)


def stop(message: str) -> None:
    """Print an error's lines and exit 1."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


def say(error: Exception) -> str:
    """Hydra's own refusals, which take 22 to 37 lines, in at most three."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MissingConfigException) and cause.missing_cfg_file:
            group, _, option = str(cause.missing_cfg_file).rpartition("/")
            if cause.options:
                return str(unknown(group or "option", option, cause.options))
        if isinstance(cause, (ConfigKeyError, ConfigAttributeError)):
            return _unknown_key(str(getattr(cause, "full_key", None) or getattr(cause, "key", "")))
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, OverrideParseException):
        return f"cannot read '{error.override}': {flatten(error, 120)}\n{QUOTING}"
    if isinstance(error, OmegaConfBaseException):
        return explain(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "\n".join(lines[:2])


def _unknown_key(key: str) -> str:
    """The error for a key that no config group has, with the nearest one there is."""
    import dataclasses

    from src.config import Config

    schema: Any = Config()
    known: list[str] = []
    for part in dataclasses.fields(schema):
        value = getattr(schema, part.name)
        known += [f"{part.name}.{each.name}" for each in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else [part.name]
    if key.split(".")[0] == "probe":
        return f"unknown key '{key}'. Name the probe with it: probe=logistic {key}=... (python -m src.run --cfg job shows every key)."
    from difflib import get_close_matches

    near = get_close_matches(key, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return f"unknown key '{key}'{hint} python -m src.run --cfg job shows every key."


def say_crash(error: Exception) -> str:
    """One line for an error that nobody foresaw; its traceback is on stderr."""
    return f"{type(error).__name__}: {flatten(error)}"
