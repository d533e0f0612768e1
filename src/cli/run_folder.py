"""The lock of a single run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from src.cli.messages import exit_with_error, explain
from src.errors import UserError, refuse_credentials
from src.storage.folder_lock import FolderLock


class RunFolderLock(Callback):
    """Lock the folder of a single run before Hydra writes into it; a sweeper locks that of a sweep."""

    def __init__(self) -> None:
        self.lock: FolderLock | None = None

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Lock ``hydra.run.dir``, or exit: Hydra turns exceptions of callbacks into warnings."""
        try:
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
