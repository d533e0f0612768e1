"""What a multirun leaves: each job's outcome in its folder, and at the end one table that compares the runs."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from src.comparison import FAILURE, STATUS, STATUSES, Comparison, Job, compare_records, find_jobs, render, to_csv, to_markdown
from src.composing import compose_once
from src.door import stop
from src.errors import UserError
from src.launch import check_launcher, check_outputs, encode_first, expand, kind, outlive
from src.provenance import cores
from src.result import RECORD, replace_files

log = logging.getLogger(__name__)


def write_status(folder: Path, status: str, *, record: Path | None = None) -> None:
    """Leave a job's outcome in its folder: `status` is done, skipped or failed.

    `record` is the folder that holds the job's ``result.json`` where it is not the job's own; it is stored relative to `folder`.
    """
    if status not in STATUSES:
        raise ValueError(f"status is {status!r}, not one of {', '.join(STATUSES)}")
    content = {"status": status} | ({} if record is None else {"record": os.path.relpath(record, folder)})
    folder.mkdir(parents=True, exist_ok=True)
    replace_files(folder, {STATUS: _json(content)})
    if status != "failed":
        (folder / FAILURE).unlink(missing_ok=True)


def write_failure(folder: Path, overrides: Sequence[str], error: str, kind: str) -> None:
    """Leave a failed job's reason in its folder; `kind` is user (bad input) or crash."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_files(folder, {FAILURE: _json({"overrides": list(overrides), "error": error, "kind": kind})})
    write_status(folder, "failed")


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def swept_layers(words: Sequence[str]) -> tuple[int, ...]:
    """The values of ``layer`` that a sweep's words ask for; none where it has one layer.

    >>> swept_layers(["pooling=cls,mean", "layer=0,1,-1"]), swept_layers(["layer=3"])
    ((0, 1, -1), ())
    """
    asked = [word for word in OverridesParser.create().parse_overrides(list(words)) if word.key_or_group == "layer"]
    if not asked or not asked[-1].is_discrete_sweep():
        return ()
    # What is no number ends its own job.
    return tuple(int(value) for value in asked[-1].sweep_string_iterator() if value.lstrip("-").isdecimal())


def report(folder: Path) -> Comparison:
    """Compare a sweep's jobs: write ``comparison.csv`` and ``comparison.md`` into its folder, then print the table."""
    comparison = compare_records(find_jobs(folder))
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((100, 24)).columns if terminal else 100
    try:
        replace_files(folder, {"comparison.csv": to_csv(comparison).encode(), "comparison.md": to_markdown(comparison).encode()})
    except OSError as error:
        raise UserError(f"cannot write the comparison into {folder}: {error.strerror}. Set hydra.sweep.dir to another folder.") from error
    finally:  # a folder that takes no more costs the files, not the table
        print(render(comparison, width=width, terminal=terminal), end="", flush=True)
    if comparison.groups:
        print(f"Which pooling to use, and why: python -m experiments.report records={folder}", flush=True)
    return comparison


LAST: Comparison | None = None  # of the sweep that ended last in this process
ERROR: Exception | None = None  # why it could not be compared
LAYERS: tuple[int, ...] = ()  # that the sweep under way asks for: its first forward pass over a split stores them all
UNDER_WAY: DictConfig | None = None  # the sweep that has begun and whose table has not been drawn
JOBS: list[list[str]] = []  # the words of each of its jobs
KILLED = "left no word: it was killed, ran out of memory or time, or was never started"


class SweepTable(Callback):
    """Hydra callback: plan a multirun when it starts, compare its runs when it ends. Hydra calls the latter only where no job raised."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Keep the layers that the sweep asks for in `LAYERS`, and plan the rest."""
        global LAYERS
        params = config.hydra.sweeper.get("params") or {}  # of an experiment's file; the command line wins over it
        LAYERS = swept_layers([*(f"{key}={value}" for key, value in params.items()), *config.hydra.overrides.task])
        plan(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the table and keep it in `LAST`; why there is none goes to `ERROR`, since Hydra turns exceptions into warnings."""
        global LAST, ERROR, UNDER_WAY
        LAST = ERROR = UNDER_WAY = None
        try:
            folder = Path(config.hydra.sweep.dir)
            find_killed(config, folder)
            LAST = tally(folder) if config.get("output") else report(folder)
        except Exception as error:
            ERROR = error


def plan(config: DictConfig) -> None:
    """What comes before the first job: refusals, and where a launcher runs several at once, the forward passes that they share."""
    global UNDER_WAY, JOBS
    try:
        check_launcher(config.hydra.launcher)
        JOBS = jobs = expand(config)
        check_outputs(jobs)
    except UserError as error:
        stop(str(error))  # an exception would become a warning
    UNDER_WAY = config
    compose_once(GlobalHydra.instance().config_loader())
    launcher = kind(config)
    if launcher == "basic":
        return
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # in the launcher's processes too, libraries warn of what no user can mend
    if launcher == "submitit":
        outlive()
        if config.hydra.launcher._target_.endswith(".LocalLauncher"):  # starts all jobs at once
            os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // max(1, len(jobs)))))
    if not any(word.startswith("runtime.shard=") for words in jobs for word in words):
        encode_first(config, jobs)


def find_killed(config: DictConfig, folder: Path) -> None:
    """Write down the jobs that left no word, so that they are counted: a launcher may give up, or a machine may go down."""
    settings = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    if not isinstance(settings, dict) or settings.get("subdir") != "${hydra.job.num}":  # named by the user: which is whose is not known
        return
    for number, words in enumerate(JOBS):
        if not any((folder / str(number) / name).is_file() for name in (STATUS, FAILURE, RECORD)):
            write_failure(folder / str(number), words, KILLED, "crash")


def tally(folder: Path) -> Comparison:
    """Count the jobs of a sweep that leaves no records, and name those that failed."""
    jobs = []
    for place in find_jobs(folder):
        status = json.loads((place / STATUS).read_bytes())["status"] if (place / STATUS).is_file() else "failed"
        failure: dict[str, Any] = json.loads((place / FAILURE).read_bytes()) if (place / FAILURE).is_file() else {}
        jobs.append(Job(place, status, error=failure.get("error", KILLED), overrides=tuple(failure.get("overrides", ()))))
    comparison = Comparison(tuple(jobs), ())
    print(render(comparison), end="", flush=True)
    return comparison


def close() -> None:
    """Draw the table of a sweep whose launcher gave up: what was done is told all the same."""
    if UNDER_WAY is not None and find_jobs(Path(UNDER_WAY.hydra.sweep.dir)):
        SweepTable().on_multirun_end(UNDER_WAY)
    if ERROR is not None:
        log.error("the jobs that were done cannot be compared: %s", ERROR)
