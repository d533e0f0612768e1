"""A multirun: what is planned before its first job, and at the end one table that compares the runs."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.cli.messages import exit_with_error, explain, format_crash, format_error, is_unwritable, print_text
from src.cli.validation import parse_tracker
from src.config.limits import check_tracker
from src.errors import UserError, refuse_credentials
from src.results.escaping import option
from src.runtime.provenance import cores
from src.storage.atomic import replace_files
from src.storage.folder_lock import lock_folder
from src.sweeps.comparison import Comparison, Job, compare_records, find_jobs, render, to_csv, to_markdown
from src.sweeps.composing import compose_once
from src.sweeps.launch import asked, check_interpolations, check_jobs, check_outputs, encode_missing, expand
from src.sweeps.launchers import check_launcher, job_folders, kind, outlive
from src.sweeps.status import LEFT, STATUS, STATUSES, Mark, left, mark, read_failure, read_notes, write_failure

log = logging.getLogger(__name__)


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


def report(folder: Path, unbegun: Mapping[Path, Sequence[str]] | None = None) -> Comparison:
    """Compare a sweep's jobs: write ``comparison.csv`` and ``comparison.md`` into its folder, then print the table."""
    comparison = compare_records(find_jobs(folder), unbegun)
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((100, 24)).columns if terminal else 100
    try:
        replace_files(
            folder, {"comparison.csv": to_csv(comparison).encode(), "comparison.md": to_markdown(comparison).encode()}
        )
    except OSError as error:
        raise UserError(
            f"cannot write the comparison into {folder}: {error.strerror}. Set hydra.sweep.dir to another folder."
        ) from error
    finally:  # a folder that takes no more costs the files, not the table
        print(render(comparison, width=width, terminal=terminal), end="", flush=True)
    if comparison.groups:
        print_text(f"Which pooling to use, and why: python -m experiments.report {option('records', str(folder))}")
    return comparison


LAST: Comparison | None = None  # of the sweep that ended last in this process
ERROR: Exception | None = None  # why it could not be compared
LAYERS: tuple[int, ...] = ()  # that the sweep under way asks for: its first forward pass over a split stores them all
UNDER_WAY: Sweep | None = None  # the one that has begun and whose table has not been drawn


@dataclass(frozen=True)
class Sweep:
    """A multirun that has begun.

    Parameters
    ----------
    jobs : the words of each job by its folder, in the order of their numbers; empty where the folders cannot be told
    before : the outcomes that earlier sweeps left in these folders
    """

    config: DictConfig
    jobs: dict[Path, list[str]]
    before: dict[Path, Mark | None]

    def left(self, folder: Path) -> str | None:
        """What a job without an outcome of this sweep is; None where it has one (`src.sweeps.status.left`)."""
        return left(folder, self.before[folder])


def forget() -> None:
    """Before a door opens: what an earlier sweep of this process was."""
    global LAST, ERROR, LAYERS, UNDER_WAY
    LAST = ERROR = UNDER_WAY = None
    LAYERS = ()


class SweepTable(Callback):
    """Hydra callback: plan a multirun when it starts, compare its runs when it ends (which Hydra does where no job raised).

    One command at a time has the folder of a run or a sweep.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Take the folder of a single run."""
        try:
            hold(Path(config.hydra.run.dir), "hydra.run.dir")
        except UserError as error:
            exit_with_error(str(error))  # an exception would become a warning
        except OmegaConfBaseException as error:
            exit_with_error(str(explain(error)))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Keep the layers that the sweep asks for in `LAYERS`, and plan the rest."""
        global LAYERS
        LAYERS = swept_layers(asked(config))
        plan(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the table and keep it in `LAST`; why there is none goes to `ERROR`, since Hydra turns exceptions into warnings."""
        global LAST, ERROR, UNDER_WAY
        ended, LAST, ERROR, UNDER_WAY = UNDER_WAY, None, None, None
        try:
            folder = Path(config.hydra.sweep.dir)
            late = find_killed(ended) if ended else {}
            LAST = tally(folder) if writes_features(config) else report(folder, late)
        except Exception as error:
            ERROR = error


def plan(config: DictConfig) -> None:
    """What comes before the first job: refusals, and where a launcher runs several at once, the forward passes that they share."""
    global UNDER_WAY
    launcher = kind(config)
    compose_once(GlobalHydra.instance().config_loader(), keep=launcher == "basic")
    try:
        check_launcher(config.hydra.launcher)
        jobs = expand(config)
        check_jobs(config, jobs)
        check_outputs(jobs)
        check_interpolations(config, jobs)
        settle_tracker(config)
        folders = job_folders(config, jobs) or []
        hold(Path(config.hydra.sweep.dir), "hydra.sweep.dir")
    except UserError as error:
        exit_with_error(str(error))  # an exception would become a warning
    except OmegaConfBaseException as error:
        exit_with_error(str(explain(error)))
    UNDER_WAY = begun = Sweep(
        config, dict(zip(folders, jobs, strict=False)), {folder: mark(folder) for folder in folders}
    )
    if launcher == "basic":
        return
    os.environ.setdefault(
        "PYTHONWARNINGS", "ignore"
    )  # in the launcher's processes too, libraries warn of what no user can mend
    outlive(config, (lambda number: begun.left(folders[number])) if folders else None)
    if config.hydra.launcher._target_.endswith(".LocalLauncher"):  # starts all jobs at once
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // max(1, len(jobs)))))
    if not any(word.startswith("runtime.shard=") for words in jobs for word in words):
        encode_missing(config, jobs)


def hold(folder: Path, key: str) -> None:
    """Take the folder of a run or a sweep for this command, before anything in it is changed.

    Raises
    ------
    UserError
        Its name holds credentials, or another command is at work in it.
    """
    refuse_credentials(str(folder), key)
    lock_folder(folder, key)


def writes_features(config: DictConfig) -> bool:
    """Whether a sweep is one of src.extract, which leaves no records."""
    return bool(OmegaConf.is_interpolation(config, "output") or config.get("output"))


def settle_tracker(config: DictConfig) -> None:
    """Find out once for all jobs whether their runs can be sent, and say why not.

    Raises
    ------
    UserError
        ``tracker.mode=online`` cannot be had, or a name is none that W&B takes.
    """
    if writes_features(config) or config.tracker.get("name") != "wandb":
        return
    from src.trackers.wandb import WandbTracker, leave_out_single

    leave_out_single()
    try:
        wanted = parse_tracker(config)
    except OmegaConfBaseException:  # of which each job says what it is
        return
    check_tracker(wanted)
    reason = WandbTracker(wanted).reason
    if reason:
        log.warning("W&B: the runs stay offline, since %s", reason)
        if not config.hydra.launcher._target_.endswith(
            ("BasicLauncher", "SlurmLauncher")
        ):  # a cluster's nodes see other networks
            os.environ["WANDB_MODE"] = "offline"


def note_failure(folder: Path, words: Sequence[str], error: Exception, label: str = "") -> None:
    """Tell why a job failed and write it down, so that the others go on; called where `error` is handled, whose traceback a bug shows."""
    foreseen = isinstance(error, UserError) or is_unwritable(error)
    message = format_error(error) if foreseen else format_crash(error)
    log.error("%sfailed: %s", label, message, exc_info=not foreseen)
    write_failure(folder, words, message, "user" if isinstance(error, UserError) else "crash")


def find_killed(sweep: Sweep) -> dict[Path, list[str]]:
    """Write down the jobs that left no word, so that they are counted: a launcher may give up, or a machine may go down.

    Those that never began where an earlier sweep left an outcome are given back instead, which that outcome is not to suffer from.
    """
    unbegun = {}
    for folder, words in sweep.jobs.items():
        state = sweep.left(folder)
        if state == "waiting" and sweep.before[folder] is not None:
            unbegun[folder] = words
        elif state:
            write_failure(folder, words, LEFT["running" if (folder / ".hydra").is_dir() else state], "crash")
    return unbegun


def tally(folder: Path) -> Comparison:
    """Count the jobs of a sweep that leaves no records, and name those that failed."""
    jobs = []
    for place in find_jobs(folder):
        status, failure = read_notes(place / STATUS).get("status"), read_failure(place)
        ended = status if status in STATUSES else "failed"
        jobs.append(
            Job(
                place, ended, error=failure.get("error", LEFT["running"]), overrides=tuple(failure.get("overrides", ()))
            )
        )
    comparison = Comparison(tuple(jobs), ())
    print(render(comparison), end="", flush=True)
    return comparison


def close() -> None:
    """Draw the table of a sweep whose launcher gave up: what was done is told all the same."""
    begun = UNDER_WAY and (not UNDER_WAY.jobs or any(UNDER_WAY.left(folder) != "waiting" for folder in UNDER_WAY.jobs))
    if UNDER_WAY and begun and find_jobs(Path(UNDER_WAY.config.hydra.sweep.dir)):
        SweepTable().on_multirun_end(UNDER_WAY.config)
    if isinstance(ERROR, UserError):
        log.error("%s", ERROR)
    elif ERROR is not None:
        log.error("the jobs that were done cannot be compared: %s", ERROR)
