"""Folders of W&B runs: where a job's runs are, their identifiers, and how to send them."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from src.storage.files import open_regular
from src.trackers.wandb_files import is_empty

REFUSED = "refused"  # in the identifier of a job that was refused before it began
OTHER_FOLDERS = "wandb-runs.txt"  # in a job's folder: its runs in the folder that WANDB_DIR names


def run_folders(job: Path) -> list[Path]:
    """Return the folders of a job's runs: those in its own folder, and those below `WANDB_DIR`."""
    try:
        with open_regular(job / OTHER_FOLDERS) as file:
            noted = [Path(line) for line in file.read(1 << 20).decode().splitlines()]
    except (OSError, UnicodeDecodeError):
        noted = []
    runs = [*job.glob("wandb/*run-*"), *(path for path in noted if path.match("*wandb/*run-*-*"))]
    return [path for path in runs if path.is_dir() and not path.is_symlink()]


def note_run_folder(job: Path, run: Path) -> None:
    """Write down the folder of a job's run, for `run_folders`."""
    job.mkdir(parents=True, exist_ok=True)
    with (job / OTHER_FOLDERS).open("a", encoding="utf-8") as file:
        file.write(f"{run}\n")


def runs_of_key(job: Path, key: str) -> list[Path]:
    """Return the folders of a job's runs of the record with this key, the newest last."""
    return sorted((run for run in run_folders(job) if f"-{key[:8]}_" in run.name), key=lambda run: run.name)


def run_identity(job: Path, key: str) -> dict[str, str]:
    """Return the identifier of a job's run, as arguments of `wandb.init`.

    A job that is done again continues the run in its folder. In a W&B sweep the agent chooses.
    """
    if os.environ.get("WANDB_RUN_ID") or os.environ.get("WANDB_RESUME") == "auto":
        return {}
    if key and (earlier := runs_of_key(job, key)):
        return {"id": earlier[-1].name.rpartition("-")[2], "resume": "allow"}
    return {"id": f"{key[:8] or REFUSED}_{secrets.token_hex(4)}"}


def remove_empty_runs(job: Path, *, refused: bool = False) -> None:
    """Remove a job's offline runs without content, because `wandb sync` stops at the first of them.

    Parameters
    ----------
    job : Path
        The job's folder.
    refused : bool
        Also remove the runs of attempts that were refused, which the next attempt replaces.
    """
    for run in run_folders(job):
        if run.name.startswith("offline-run-") and ((refused and f"-{REFUSED}_" in run.name) or is_empty(run)):
            shutil.rmtree(run, ignore_errors=True)


def remove_replaced_runs(folder: Path, run: Path) -> None:
    """Remove a sweep's own offline runs before its last one, `run`, unless they were sent."""
    for earlier in run_folders(folder):
        sent = any(earlier.glob("*.synced"))
        if earlier.name.startswith("offline-run-") and earlier.name != run.name and not sent:
            shutil.rmtree(earlier, ignore_errors=True)


def sync_hints(jobs: Sequence[Path], sweep: Path | None = None) -> list[str]:
    """Return lines that say how many runs a sweep's jobs have, and how to send the offline ones.

    Parameters
    ----------
    jobs : sequence of Path
        The jobs' folders.
    sweep : Path, optional
        Folder of the sweep, whose own run is sent by the same command.
    """
    for folder in [*jobs, *([sweep] if sweep else [])]:
        remove_empty_runs(folder)
    runs = [path for job in jobs for path in run_folders(job)]
    names = {path.name for path in runs}
    sent, offline = (
        {name.rpartition("-")[2] for name in names if name.startswith("offline-") == wanted} for wanted in (False, True)
    )
    lines = [f"W&B: {len(sent)} runs sent" if len(sent) > 1 else "W&B: 1 run sent"] if sent else []
    if offline:
        sweeps = dict.fromkeys(job.parent for job in jobs if any(path.is_relative_to(job) for path in run_folders(job)))
        others = dict.fromkeys(path.parent for path in runs if not any(path.is_relative_to(each) for each in sweeps))
        patterns = [*(f"{shlex.quote(str(each))}/*/wandb/offline-run-*" for each in sweeps)]
        patterns += [f"{shlex.quote(str(each))}/offline-run-*" for each in others]
        what = "1 offline run; send it" if len(offline) == 1 else f"{len(offline)} offline runs; send them"
        own = [run for run in run_folders(sweep) if run.name.startswith("offline-")] if sweep else []
        below = dict.fromkeys(run.parent for run in own if run.is_relative_to(sweep or ""))
        patterns += [f"{shlex.quote(str(folder))}/offline-run-*" for folder in below]
        lines.append(f"W&B: {what} with: wandb sync {' '.join(patterns)}")
    return lines
