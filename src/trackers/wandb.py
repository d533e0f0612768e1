"""Weights & Biases: one run per job, offline unless asked otherwise, always finished, never a question."""

from __future__ import annotations

import atexit
import logging
import os
import shlex
import socket
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from src.config import TrackerConfig
from src.errors import UserError, flatten
from src.result import Result, phases

log = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds to wait for the server's door
QUIET: dict[str, Any] = {
    # What a run would else record beside its numbers: console, command line, host, git remote, installed packages, machine load.
    "console": "off",
    "disable_git": True,
    "disable_job_creation": True,
    "host": "",
    "save_code": False,
    "silent": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
    # A killed job keeps what it logged; the default of 15 s loses short jobs whole.
    "x_transaction_log_flush_interval": 0.5,
    # A server that stops answering must not hold a job.
    "init_timeout": 10.0,
    "finish_timeout": 20.0,
    "finish_timeout_raises": True,
}


class WandbTracker:
    """A run of Weights & Biases.

    Modes: ``offline`` writes the run beside the record; ``online`` sends it, and refuses at once where there is no key or no server;
    ``auto`` sends it where both are there and falls back to ``offline`` with the reason. The environment's ``WANDB_MODE=offline`` or
    ``disabled`` wins over all three, so that one setting can silence a cluster; ``WANDB_MODE=online`` opens nothing that the
    configuration did not.

    Raises
    ------
    UserError
        ``tracker.mode=online`` cannot be had.
    """

    def __init__(self, config: TrackerConfig) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # the library's own crash reports
        _keep_service_quiet()
        self.config = config
        self.mode: Any = config.mode
        self._note = ""
        self._run: Any = None
        self._folder: Path | None = None
        wanted = {"dryrun": "offline"}.get(os.environ.get("WANDB_MODE", ""), os.environ.get("WANDB_MODE", ""))
        if wanted in ("offline", "disabled"):
            self.mode = wanted
        elif config.mode in ("auto", "online"):
            self._settle(obstacle())

    def _settle(self, obstacle: str | None) -> None:
        """Turn ``auto`` and ``online`` into what can be had."""
        if obstacle is None:
            self.mode = "online"
        elif self.config.mode == "online":
            raise UserError(
                f"tracker.mode=online: {obstacle}.\nRun `wandb login`, or use tracker.mode=offline and `wandb sync` later, or tracker=none."
            )
        else:
            self.mode, self._note = "offline", f" ({obstacle})"

    def start(self, config: dict[str, Any], *, name: str, group: str | None, job_type: str, tags: list[str], folder: Path) -> None:
        """Open the run below `folder`."""
        if self.mode == "disabled":
            return
        about = {"config": config, "name": name, "group": group, "job_type": job_type, "tags": tags, "dir": str(folder)}
        try:
            self._open(about)
        except Exception as error:
            if self.mode == "offline":
                self._lost("could not open an offline run", error)
                return
            self._settle(f"the server refused the run: {flatten(error)}")
            self._reopen(about)

    def _reopen(self, about: dict[str, Any]) -> None:
        try:
            self._open(about)
        except Exception as error:
            self._lost("could not open an offline run", error)

    def _open(self, about: dict[str, Any]) -> None:
        import wandb

        Path(about["dir"]).mkdir(parents=True, exist_ok=True)
        wandb.setup(wandb.Settings(silent=True))
        # The default would hand the previous job's run to the next job of a sweep in the same process.
        self._run = wandb.init(
            project=self.config.project,
            entity=self.config.entity,
            mode=self.mode,
            reinit="finish_previous",
            settings=wandb.Settings(**QUIET),
            **about,
        )
        self._folder = Path(self._run.dir).parent

    def log(self, result: Result) -> None:
        """Write the record's numbers into the run's summary, and the grid as a table."""
        if self._run is None:
            return
        try:
            import wandb

            self._run.summary.update(summary(result))
            if grid := result.chosen.get("grid"):
                columns = list(grid[0])
                rows = [[row.get(name) for name in columns] for row in grid]
                with _staging(self._folder):
                    self._run.log({"grid": wandb.Table(columns=columns, data=rows)})
        except Exception as error:
            self._lost("could not log the record", error)

    def measure(self, values: dict[str, float], step: int) -> None:
        """Add one point to the run's curves."""
        if self._run is None:
            return
        try:
            self._run.log(values, step=step)
        except Exception as error:
            self._lost("could not log a step", error)

    def finish(self, failed: bool) -> str | None:
        """Close the run, marked failed where the job failed; say where an offline run lies and how to send it."""
        run, self._run = self._run, None
        if run is None:
            return None
        try:
            run.finish(exit_code=int(failed))
        except Exception as error:
            self._lost("could not close the run", error)
        if self.mode == "online":
            return f"W&B: {run.url}"
        return f"W&B: offline run{self._note}; send it with: wandb sync {shlex.quote(_short(self._folder))}"

    def _lost(self, what: str, error: Exception) -> None:
        """Warn in one line, and let go of the library's service, so that the next job of a sweep starts with a fresh one."""
        log.warning("W&B %s: %s. The local record is not affected.", what, flatten(error))
        with suppress(Exception):
            import wandb

            wandb.teardown()


def _keep_service_quiet() -> None:
    """The library's service logs into the user's cache, and on stderr where it finds none, as without a HOME: give it a passing folder."""
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("HOME") or ""
    if "WANDB_CACHE_DIR" not in os.environ and not os.access(home, os.W_OK):
        folder = TemporaryDirectory(prefix="wandb-", ignore_cleanup_errors=True)
        atexit.register(folder.cleanup)
        os.environ["WANDB_CACHE_DIR"] = folder.name


@contextmanager
def _staging(folder: Path | None) -> Iterator[None]:
    """Keep a table's staged copy beside its run: by default each job leaves one in the home folder, which may be read-only."""
    before = os.environ.get("WANDB_DATA_DIR")
    os.environ["WANDB_DATA_DIR"] = before or str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["WANDB_DATA_DIR"]


def summary(result: Result) -> dict[str, Any]:
    """A record as W&B's flat summary; undefined values are left out."""
    values: dict[str, Any] = {"key": result.key, "cache": result.timing.get("cache"), "pooler/status": result.pooler.get("status")}
    values |= _flat("score", result.score)
    for name, value in result.metrics.items():
        values |= _flat(f"metric/{name}", value)
    for name, value in result.baseline.items():
        values |= _flat(f"baseline/{name}", value)
    values |= {f"seconds/{name}": seconds for name, seconds in phases(result.timing).items()}
    values |= {f"counts/{name}": value for name, value in result.counts.items()}
    values |= {f"chosen/{name}": result.chosen.get(name) for name in ("parameter", "value", "converged", "separable")}
    return {name: value for name, value in values.items() if value is not None}


def _flat(name: str, value: Any) -> dict[str, Any]:
    """A score and its interval under three names."""
    if not isinstance(value, Mapping):
        return {name: value}
    return {name: value.get("value"), f"{name}_low": value.get("low"), f"{name}_high": value.get("high")}


def obstacle() -> str | None:
    """Why no run could be sent now, None where one could: a key must be there and the server's door must open within `PATIENCE`."""
    import wandb

    settings = wandb.setup(wandb.Settings(silent=True)).settings
    if settings.mode not in ("online", "shared"):
        return f"the W&B settings say mode={settings.mode}"
    try:
        if not wandb.login(prompt=False, verify=False):
            return "no W&B API key was found"
    except wandb.errors.Error as error:
        return flatten(error)
    return unreachable(settings.base_url)


def unreachable(url: str) -> str | None:
    """Why no connection to `url` opens within `PATIENCE`, through the environment's proxy where there is one; None where one opens."""
    address = urlsplit(url)
    proxy = urllib.request.getproxies().get(address.scheme)
    if proxy and not urllib.request.proxy_bypass(address.hostname or ""):
        address = urlsplit(proxy if "//" in proxy else f"//{proxy}", scheme="http")
    port = address.port or {"http": 80}.get(address.scheme, 443)
    reasons = [f"{address.hostname} did not answer within {PATIENCE:g} s"]

    def knock() -> None:
        try:
            socket.create_connection((address.hostname or "", port), PATIENCE).close()
            reasons.clear()
        except OSError as error:
            reasons[:] = [f"{address.hostname} cannot be reached: {flatten(error)}"]

    # In a thread: looking a name up has no time limit of its own.
    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return reasons[0] if reasons else None


def _short(path: Path | None) -> str:
    """A path relative to the working folder where it lies below it."""
    if path is None:
        return ""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
