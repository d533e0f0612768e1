"""Settings of the W&B library and of its service."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SINGLE_RUN_VARIABLES = ("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_NAME")
RUN_SETTINGS: dict[str, Any] = {
    # By default a run also records console, command line, host, git, packages and load.
    "console": "off",
    "disable_git": True,
    "disable_job_creation": True,
    "host": "",
    "program": "src.run",  # by default the script's absolute path
    "save_code": False,
    "silent": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
    # A killed job keeps what it logged; with the default of 15 s short jobs lose everything.
    "x_transaction_log_flush_interval": 0.5,
    # A server that stops answering must not stop a job.
    "init_timeout": 10.0,
    "finish_timeout": 20.0,
    "finish_timeout_raises": True,
}

log = logging.getLogger("src.trackers.wandb")


def unset_single_run_variables() -> None:
    """Unset the variables that name a single run, for a sweep and the processes of its launcher."""
    if named := [name for name in SINGLE_RUN_VARIABLES if os.environ.get(name)]:
        log.warning(
            "W&B: %s in the environment names a single run, so a sweep ignores it: each job has a run of its own",
            ", ".join(named),
        )
    for name in SINGLE_RUN_VARIABLES:
        os.environ.pop(name, None)


def quiet_service() -> None:
    """Give the library's service a temporary cache folder if the home folder is not writable.

    It writes its log there, and to stderr if there is no such folder.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # the library's own crash reports
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("HOME") or ""
    if "WANDB_CACHE_DIR" not in os.environ and not os.access(home, os.W_OK):
        folder = TemporaryDirectory(prefix="wandb-", ignore_cleanup_errors=True)
        atexit.register(folder.cleanup)
        os.environ["WANDB_CACHE_DIR"] = folder.name


@contextmanager
def staging_folder(folder: Path | None) -> Iterator[None]:
    """Keep the staged copy of a table in a folder, because the home folder may be read-only."""
    before = os.environ.get("WANDB_DATA_DIR")
    os.environ["WANDB_DATA_DIR"] = before or str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["WANDB_DATA_DIR"]
