"""Weights & Biases: one run per job, offline unless asked otherwise, always finished, never a question.

What a run holds. Dashboards and sweeps rely on these names, and nothing else is sent:

================================== =====================================================================================================
name                               dataset-model-pooling-Llayer-probe-sseed: ``sst2-bert-base-uncased-mean-L12-logistic-s0``
group                              ``tracker.group``, or ``WANDB_RUN_GROUP``, or the sweep's folder name; none for a single run
job type                           ``probe``; ``comparison`` for a sweep's closing table, ``pretrain`` for pre-training
tags                               dataset, pooling, and those of ``WANDB_TAGS``
id                                 8 digits of the record's key and 8 at random; a job done again in its folder continues its run;
                                   ``refused`` and 8 at random of a job that was refused before it began, whose next try takes its place
state                              finished; failed where the job failed; a killed job's run holds what was logged half a second before;
                                   a job whose record was taken over has a run like any other, with the seconds of the run that made it
config                             model, dataset, pooling, probe (names), layer (0 to L), pairing, seed, draws, key, and ``settings``:
                                   the rest as resolved, with no path of the machine
summary: score, _low, _high        headline metric with its 95 % interval: a fraction (MCC and correlations -1 to 1); errors in the
                                   label's unit
summary: score_metric              its name
summary: metric/NAME, _low, _high  every metric of the task, likewise; what is undefined is left out
summary: baseline/NAME, _low, _high  trivial scores on the headline metric
summary: seconds/PHASE             wall time in seconds: load, tokenise, encode, pool, store, fit, score ... total
summary: counts/NAME               rows: train, test, truncated, test_in_train; tokens; classes; width of the features
summary: chosen/NAME               parameter and value of the grid's choice, converged, separable
summary: pooler/status             trained, untrained, missing, absent
summary: cache, key                hit, partial or miss; the record's key
table: grid                        the grid: value, loss, converged
table: examples                    with ``tracker.examples=true``, a row per test row: split, row (digest), fold, label, prediction, correct
                                   (with draws the share that is right) or error; with ``tracker.text=true`` the texts too
table: comparison, image: figures/ a sweep's closing table and its figures, in the run that ``hydra/callbacks=wandb`` adds
================================== =====================================================================================================

W&B's own environment holds as in any script, where no option of the command line says otherwise: ``WANDB_PROJECT``, ``WANDB_ENTITY``,
``WANDB_RUN_GROUP``, ``WANDB_NOTES``, ``WANDB_BASE_URL``, ``WANDB_API_KEY`` ...; ``WANDB_NAME`` and ``WANDB_JOB_TYPE`` replace the names
above; ``WANDB_DIR`` is where the runs lie instead of beside their records. ``WANDB_RUN_ID``, ``WANDB_RESUME`` and ``WANDB_NAME`` are those
of one run: a sweep leaves them out and says so. What `QUIET` turns off stays off.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import shlex
import shutil
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from src.config.limits import check_wandb_name
from src.config.schema import TrackerConfig
from src.errors import UserError, flatten
from src.results.result import Result, phase_seconds
from src.storage.files import open_regular
from src.trackers import Table

log = logging.getLogger(__name__)

HEADER = 7  # bytes with which the library begins a run's file
REFUSED = "refused"
PROJECT = "bert-pooling-probes"  # where neither an option nor W&B's settings name one
ELSEWHERE = "wandb-runs.txt"  # in a job's folder: its runs that WANDB_DIR keeps
SINGLE = ("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_NAME")  # what only one run can have
BLOCK = 1 << 15  # bytes of a run's file that the library frames
END = 18  # field of its records that says how the run ended
PATIENCE = 2.0  # seconds to wait for the server's answer
LONGEST_TAG = 64  # characters that the server takes
QUIET: dict[str, Any] = {
    # What a run would else record beside its numbers: console, command line, host, git remote, installed packages, machine load.
    "console": "off",
    "disable_git": True,
    "disable_job_creation": True,
    "host": "",
    "program": "src.run",  # by itself it sends the script's absolute path
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


_refusal: str | None = None  # why this process sends no runs


class WandbTracker:
    """A run of Weights & Biases.

    Modes: ``offline`` writes the run beside the record; ``online`` sends it, and refuses at once where there is no key or no server;
    ``auto`` sends it where both are there and falls back to ``offline`` with the reason. The environment's ``WANDB_MODE=offline`` or
    ``disabled`` wins over all three, so that one setting can silence a cluster; ``WANDB_MODE=online`` opens nothing that the
    configuration did not, and `reason` says so.

    Raises
    ------
    UserError
        ``tracker.mode=online`` cannot be had, or the environment names a project or an entity that W&B refuses.
    """

    def __init__(self, config: TrackerConfig) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # the library's own crash reports
        _keep_service_quiet()
        self.config = config
        self.mode: Any = config.mode
        self.reason: str | None = None  # why the runs stay offline although another mode was asked for
        self._run: Any = None
        self._folder: Path | None = None
        wanted = {"dryrun": "offline"}.get(os.environ.get("WANDB_MODE", ""), os.environ.get("WANDB_MODE", ""))
        if wanted in ("offline", "disabled"):
            self.mode = wanted
        elif config.mode in ("auto", "online"):
            self._settle(_refusal or obstacle())
        elif wanted in ("online", "shared"):
            self.reason = f"tracker.mode={config.mode} wins over WANDB_MODE={wanted}; tracker.mode=online sends runs"
        if self.mode != "disabled":
            for name in ("WANDB_PROJECT", "WANDB_ENTITY"):
                check_wandb_name(name, os.environ.get(name) or None)

    def _settle(self, obstacle: str | None) -> None:
        """Turn ``auto`` and ``online`` into what can be had; what was refused once is not asked for again by the next job of a sweep."""
        global _refusal
        _refusal = obstacle
        if obstacle is None:
            self.mode = "online"
        elif self.config.mode == "online":
            raise UserError(
                f"tracker.mode=online: {obstacle}.\nRun `wandb login`, or use tracker.mode=offline and `wandb sync` later, or tracker=none."
            )
        else:
            self.mode, self.reason = "offline", obstacle

    def start(
        self, config: dict[str, Any], *, name: str, group: str | None, job_type: str, tags: list[str], folder: Path
    ) -> None:
        """Open the run below `folder`."""
        if self.mode == "disabled":
            return
        known, elsewhere = os.environ, os.environ.get("WANDB_DIR")
        about: dict[str, Any] = {
            "config": config,
            "group": group,
            "dir": os.path.abspath(elsewhere) if elsewhere else str(folder),
        }
        about |= {"name": known.get("WANDB_NAME") or name, "job_type": known.get("WANDB_JOB_TYPE") or job_type}
        more = [tag.strip() for tag in known.get("WANDB_TAGS", "").split(",") if tag.strip()]
        about |= {"tags": [tag[:LONGEST_TAG] for tag in dict.fromkeys([*tags, *more])]}
        if job_type == "probe":
            about |= _identity(folder, str(config.get("key", "")))
            drop_idle(folder, refused=True)
        try:
            self._open(about)
            if elsewhere and self._folder:
                _note_elsewhere(folder, self._folder)
        except Exception as error:
            if self.mode == "offline":
                self._lost("could not open an offline run", error)
                return
            self._settle(f"the server refused the run: {flatten(error)}")
            _let_go()  # of the id, which the service would not give twice
            with self._guarded("could not open an offline run"):
                self._open(about)

    def _open(self, about: dict[str, Any]) -> None:
        import wandb

        Path(about["dir"]).mkdir(parents=True, exist_ok=True)
        found = wandb.setup(wandb.Settings(silent=True)).settings
        # The default would hand the previous job's run to the next job of a sweep in the same process.
        self._run = wandb.init(
            project=self.config.project or found.project or PROJECT,
            entity=self.config.entity,
            mode=self.mode,
            reinit="finish_previous",
            settings=wandb.Settings(**QUIET),
            **about,
        )
        self._folder = Path(self._run.dir).parent

    def holds(self, folder: Path, key: str) -> bool:
        """Whether `folder` has a run of the record with this key already."""
        return self.mode == "disabled" or any(f"-{key[:8]}_" in run.name for run in run_folders(folder))

    def log(self, result: Result) -> None:
        """Write the record's numbers into the run's summary, and the grid as a table."""
        if self._run is None:
            return
        with self._guarded("could not log the record"):
            self._run.summary.update(summary(result))
        if grid := result.chosen.get("grid"):
            columns = list(grid[0])
            self.show({"grid": (columns, [[row.get(name) for name in columns] for row in grid])})

    def show(self, tables: Mapping[str, Table], images: Mapping[str, Path] | None = None) -> None:
        """Add tables and the images of files, these under ``figures/``."""
        if self._run is None:
            return
        with self._guarded("could not log tables and figures"), _staging(self._folder):
            import wandb

            values: dict[str, Any] = {
                name: wandb.Table(columns=list(columns), data=list(rows)) for name, (columns, rows) in tables.items()
            }
            values |= {f"figures/{name}": wandb.Image(str(path)) for name, path in (images or {}).items()}
            self._run.log(values)

    def measure(self, values: dict[str, float], step: int) -> None:
        """Add one point to the run's curves."""
        if self._run is None:
            return
        with self._guarded("could not log a step"):
            self._run.log(values, step=step, commit=True)  # by default a point waits for the next, and a kill loses it

    def finish(self, failed: bool) -> str | None:
        """Close the run, marked failed where the job failed; say where an offline run lies and how to send it."""
        run, self._run = self._run, None
        if run is None:
            return None
        with self._guarded("could not close the run"):
            run.finish(exit_code=int(failed))
            if self.mode == "offline" and self._folder and not _ends(self._folder):
                log.warning(
                    "W&B: the run in %s is cut short, as by a full disk. The local record is not affected.",
                    _short(self._folder),
                )
        if self.mode == "online":
            return f"W&B: {run.url}"
        note = f" ({self.reason})" if self.reason else ""
        return f"W&B: offline run{note}; send it with: wandb sync {shlex.quote(_short(self._folder))}"

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._lost(what, error)

    def _lost(self, what: str, error: Exception) -> None:
        """Warn in one line, and let go of the library's service, so that the next job of a sweep starts with a fresh one."""
        log.warning("W&B %s: %s. The local record is not affected.", what, flatten(error))
        _let_go()


def _let_go() -> None:
    """Stop the library's service; the next run starts one."""
    with suppress(Exception):
        import wandb

        wandb.teardown()


def _identity(folder: Path, key: str) -> dict[str, str]:
    """Id of a job's run: that of the run which an earlier try of the same job left in its folder, to be continued, else a new one.

    The choice is the agent's in a W&B sweep.
    """
    if os.environ.get("WANDB_RUN_ID") or os.environ.get("WANDB_RESUME") == "auto":
        return {}
    if key and (
        earlier := sorted((run for run in run_folders(folder) if f"-{key[:8]}_" in run.name), key=lambda run: run.name)
    ):
        return {"id": earlier[-1].name.rpartition("-")[2], "resume": "allow"}
    return {"id": f"{key[:8] or REFUSED}_{secrets.token_hex(4)}"}


def run_folders(job: Path) -> list[Path]:
    """The folders of a job's runs: those beside its record, and those that `WANDB_DIR` keeps."""
    try:
        with open_regular(job / ELSEWHERE) as file:
            noted = [Path(line) for line in file.read(1 << 20).decode().splitlines()]
    except (OSError, UnicodeDecodeError):
        noted = []
    runs = [*job.glob("wandb/*run-*"), *(path for path in noted if path.match("*wandb/*run-*-*"))]
    return [path for path in runs if path.is_dir() and not path.is_symlink()]


def _note_elsewhere(job: Path, run: Path) -> None:
    """Keep where a job's run lies, for `run_folders`."""
    job.mkdir(parents=True, exist_ok=True)
    with (job / ELSEWHERE).open("a", encoding="utf-8") as file:
        file.write(f"{run}\n")


def leave_out_single() -> None:
    """In a sweep: do without what names one run in the environment, here and in the launcher's processes."""
    if named := [name for name in SINGLE if os.environ.get(name)]:
        log.warning(
            "W&B: %s in the environment names a single run, so a sweep ignores it: each job has a run of its own",
            ", ".join(named),
        )
    for name in SINGLE:
        os.environ.pop(name, None)


def _ends(run: Path) -> bool:
    """Whether a run's file ends with the record of the run's end; the library's service may write it a moment after it has answered."""
    until = time.monotonic() + PATIENCE
    (log_file,) = run.glob("run-*.wandb")
    while not (ended := END in _fields(_last_record(log_file))) and time.monotonic() < until:
        time.sleep(0.005)
    return ended


def _last_record(log_file: Path) -> bytes:
    """The first bytes of the last record in a run's file; none where the file ends amid a record.

    References
    ----------
    The file is framed as LevelDB's log: blocks of 32 KiB; pieces with checksum, length and kind (4, 2 and 1 bytes), of which kinds 1 and 4
    end a record.
    """
    last = record = b""
    with open_regular(log_file) as file:
        size, at = os.fstat(file.fileno()).st_size, HEADER
        while at + HEADER <= size:
            if (rest := BLOCK - at % BLOCK) < HEADER:
                at += rest
                continue
            file.seek(at)
            head = file.read(HEADER)
            length, kind = int.from_bytes(head[4:6], "little"), head[6]
            record += file.read(min(length, 256))
            at += HEADER + length
            if kind in (1, 4):
                last, record = record, b""
    return last if at == size and not record else b""


def _fields(message: bytes) -> set[int]:
    """Numbers of the fields at the top of a message of Protocol Buffers, as far as its bytes go."""
    found, at = set(), 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while at < len(message):
            byte = message[at]
            value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
            if byte < 128:
                break
        return value

    while at < len(message):
        field, kind = divmod(number(), 8)
        found.add(field)
        at += {0: 0, 1: 8, 5: 4}.get(kind, 0)
        if kind in (0, 2):
            value = number()
            at += value if kind == 2 else 0
    return found


def drop_idle(folder: Path, *, refused: bool = False) -> None:
    """Take away a job's offline runs that were killed before anything was written: `wandb sync` gives all up at the first of these.

    With `refused`, those of tries that were refused too: the job's next try takes their place.
    """
    for run in run_folders(folder):
        if not run.name.startswith("offline-run-"):
            continue
        if (refused and f"-{REFUSED}_" in run.name) or all(
            path.stat().st_size <= HEADER for path in run.glob("run-*.wandb")
        ):
            shutil.rmtree(run, ignore_errors=True)


def closing(jobs: Sequence[Path]) -> list[str]:
    """After a sweep: how many runs its jobs' folders hold, and how to send those that are offline."""
    for job in jobs:
        drop_idle(job)
    runs = [path for job in jobs for path in run_folders(job)]
    names = {path.name for path in runs}
    sent, kept = (
        {name.rpartition("-")[2] for name in names if name.startswith("offline-") == offline}
        for offline in (False, True)
    )
    lines = [f"W&B: {len(sent)} runs sent" if len(sent) > 1 else "W&B: 1 run sent"] if sent else []
    if kept:
        beside = dict.fromkeys(job.parent for job in jobs if any(path.is_relative_to(job) for path in run_folders(job)))
        far = dict.fromkeys(path.parent for path in runs if not any(path.is_relative_to(parent) for parent in beside))
        places = " ".join(
            [*(f"{shlex.quote(str(each))}/*/wandb/offline-run-*" for each in beside)]
            + [f"{shlex.quote(str(each))}/offline-run-*" for each in far]
        )
        what = "1 offline run; send it" if len(kept) == 1 else f"{len(kept)} offline runs; send them"
        lines.append(f"W&B: {what} with: wandb sync {places}")
    return lines


def _keep_service_quiet() -> None:
    """The library's service logs into the user's cache, and on stderr where it finds none, as without a HOME: give it a passing folder."""
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("HOME") or ""
    if "WANDB_CACHE_DIR" not in os.environ and not os.access(home, os.W_OK):
        folder = TemporaryDirectory(prefix="wandb-", ignore_cleanup_errors=True)
        atexit.register(folder.cleanup)
        os.environ["WANDB_CACHE_DIR"] = folder.name


@contextmanager
def _staging(folder: Path | None) -> Iterator[None]:
    """Keep the staged copy of a table beside its run: by default each job leaves one in the home folder, which may be read-only."""
    before = os.environ.get("WANDB_DATA_DIR")
    os.environ["WANDB_DATA_DIR"] = before or str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["WANDB_DATA_DIR"]


def summary(result: Result) -> dict[str, Any]:
    """A record as W&B's flat summary; undefined values are left out."""
    values: dict[str, Any] = {
        "key": result.key,
        "cache": result.timing.get("cache"),
        "pooler/status": result.pooler.get("status"),
    }
    values |= {"score_metric": result.score["metric"], **_flat("score", result.score)}
    for name, value in result.metrics.items():
        values |= _flat(f"metric/{name}", value)
    for name, value in result.baseline.items():
        values |= _flat(f"baseline/{name}", value)
    values |= {f"seconds/{name}": seconds for name, seconds in phase_seconds(result.timing).items()}
    values |= {f"counts/{name}": value for name, value in result.counts.items()}
    values |= {f"chosen/{name}": result.chosen.get(name) for name in ("parameter", "value", "converged", "separable")}
    return {name: value for name, value in values.items() if value is not None}


def _flat(name: str, value: Any) -> dict[str, Any]:
    """A score and its interval under three names."""
    if not isinstance(value, Mapping):
        return {name: value}
    return {name: value.get("value"), f"{name}_low": value.get("low"), f"{name}_high": value.get("high")}


def obstacle() -> str | None:
    """Why no run could be sent now, None where one could: a key must be there, and the server must answer within `PATIENCE`."""
    import wandb
    from pydantic import ValidationError

    try:
        settings = wandb.setup(wandb.Settings(silent=True)).settings
        if settings.mode not in ("online", "shared"):
            return f"the W&B settings say mode={settings.mode}"
        if not wandb.login(prompt=False, verify=False):
            return "no W&B API key was found"
    except wandb.errors.Error as error:
        return flatten(error)
    except ValidationError as error:  # without the values, among which a password may be
        refused = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False)
        )
        return f"the W&B settings (WANDB_... in the environment) cannot be read: {refused[:300]}"
    return unreachable(settings.base_url)


def unreachable(url: str) -> str | None:
    """Why `url` gives no answer within `PATIENCE`, through the environment's proxy where there is one; None where it answers."""
    host = urlsplit(url).hostname
    reasons = [f"{host} did not answer within {PATIENCE:g} s"]

    def knock() -> None:
        try:
            urllib.request.build_opener().open(url, timeout=PATIENCE).close()
            reasons.clear()
        except HTTPError as error:
            error.close()
            reasons[:] = (
                [f"{host} answered: {error.code} {error.reason}"] if error.code >= 500 else []
            )  # less: the server is at work
        except OSError as error:
            reason = error.reason if isinstance(error, URLError) and isinstance(error.reason, OSError) else error
            if isinstance(reason, ssl.SSLCertVerificationError):
                reasons.clear()  # the library's service has certificates of its own
            elif not isinstance(reason, TimeoutError):
                reasons[:] = [f"{host} cannot be reached: {flatten(reason)}"]
        except (HTTPException, ValueError) as error:
            reasons[:] = [f"what {host} or the proxy answers is no HTTP: {flatten(error, 100)}"]

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
