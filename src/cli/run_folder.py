"""The lock of a single run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from src.cli.messages import exit_with_error, explain, help_command
from src.errors import UserError, refuse_credentials
from src.storage.folder_lock import FolderLock


class RunFolderLock(Callback):
    """Lock the folder of a single run before Hydra writes into it; a sweeper locks that of a sweep."""

    def __init__(self) -> None:
        self.lock: FolderLock | None = None

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Lock ``hydra.run.dir``, or exit: Hydra turns exceptions of callbacks into warnings."""
        try:
            check_is_run(config)
            folder = config.hydra.run.dir
            refuse_credentials(folder, "hydra.run.dir")
            self.lock = FolderLock(Path(folder), "hydra.run.dir")
            self.lock.acquire()
        except UserError as error:
            exit_with_error(str(error))
        except OmegaConfBaseException as error:
            exit_with_error(str(explain(error)))

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Unlock the folder, also after a run that failed."""
        if self.lock is not None:
            self.lock.release()


def check_is_run(config: DictConfig) -> None:
    """Refuse a single run of an experiment that is a sweep: its values would be ignored.

    Raises
    ------
    UserError
        The experiment's file has ``hydra.sweeper.params``.
    """
    params = config.hydra.sweeper.get("params")
    if not params:
        return
    named = [word for word in config.hydra.overrides.task if word.startswith("+experiment=")]
    what = named[0] if named else "hydra.sweeper.params"
    raise UserError(
        f"{what} is a sweep over {', '.join(map(str, params))}, and this is a single run. Add -m: "
        f"{help_command().removesuffix(' --help')} -m {' '.join(named)}".rstrip()
    )
