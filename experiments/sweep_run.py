"""Log a sweep as a W&B run in the group of its jobs.

``python -m src.run -m ... hydra/callbacks=wandb``

The run has the closing table, the differences between poolings with their intervals and, if
matplotlib is installed, the figures.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from src.cli.messages import print_text
from src.cli.validation import parse_tracker
from src.config.schema import TrackerConfig
from src.errors import UserError, flatten
from src.sweeps.comparison import Comparison, compare_records
from src.sweeps.export import to_rows
from src.sweeps.jobs import jobs_of_last_sweep
from src.sweeps.status import STATUSES
from src.trackers.registry import build_tracker, run_group
from src.trackers.tracker import Table

log = logging.getLogger("src.sweep_run")
NUMBERS = ("value", "low", "high", "difference", "p", "p_holm", "width", "seconds")
PAIRS = (("pooler", "cls"), ("mean", "cls"), ("mean", "pooler"))


class SweepRun(Callback):
    """Logs a multirun when it ends; a failure is a warning, because the jobs are done."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Log the sweep with the tracker of its jobs."""
        try:
            if line := log_sweep(Path(config.hydra.sweep.dir), parse_tracker(config)):
                print_text(line)
        except Exception as error:
            log.warning("the sweep's own run could not be logged: %s", flatten(error))


def log_sweep(folder: Path, config: TrackerConfig) -> str | None:
    """Log the sweep in `folder` and return a line for the user, or None."""
    comparison = compare_records(jobs_of_last_sweep(folder))
    tracker = build_tracker(config)
    tracker.start(
        {"sweep": folder.name},
        name=f"{folder.name} comparison",
        group=run_group(config, folder.name),
        job_type="comparison",
        tags=["comparison"],
        folder=folder,
    )
    failed = True
    try:
        tracker.measure({f"jobs/{status}": comparison.count(status) for status in STATUSES}, 0)
        with TemporaryDirectory() as temporary:
            tracker.show(tables(comparison), figures(comparison, Path(temporary)))
        failed = bool(comparison.failed)
    finally:
        line = tracker.finish(failed)
    return line


def tables(comparison: Comparison) -> dict[str, Table]:
    """Return the closing table and the differences between poolings of all groups."""
    columns, *rows = to_rows(comparison)
    numeric = [name in NUMBERS or name.startswith("baseline_") for name in columns]
    typed = [
        [
            cell if cell is None else float(cell) if is_number else str(cell)
            for cell, is_number in zip(row, numeric, strict=True)
        ]
        for row in rows
    ]
    found: dict[str, Table] = {"comparison": (columns, typed)}
    try:
        contrasts = differences(comparison)
    except UserError as error:
        log.warning("no table of differences: %s", error)
        contrasts = []
    if contrasts:
        found["differences"] = (list(contrasts[0]), [list(row.values()) for row in contrasts])
    return found


def differences(comparison: Comparison) -> list[Mapping[str, Any]]:
    """Return a row per task and pair of poolings: a - b with its 95 % interval; Holm within a task."""
    from experiments.bundles import Record
    from experiments.tasks import paired_tasks
    from src.evaluation.contrasts import contrasts
    from src.pooling import parts_of
    from src.results.result import read_predictions

    runs = [run for group in comparison.groups for run in group.runs]
    compared = paired_tasks([Record("", run.result, read_predictions(run.folder)) for run in runs])
    names = dict.fromkeys(run.result.pooling_label for run in runs)
    beside = [(name, part) for name in names for part in parts_of(name) if part != name]
    pairs = [
        pair for pair in (*PAIRS, *beside) if compared and all({*pair} <= {*task.predictions} for task in compared)
    ]
    return [
        {
            "contrast": f"{each.task}: {each.a} - {each.b}",
            **{name: getattr(each, name) for name in ("task", "metric", "a", "b", "rows")},
            "difference": each.difference.value,
            **{name: asdict(each.difference).get(name) for name in ("low", "high")},
            **{name: getattr(each, name) for name in ("p_holm", "p_equivalence_holm", "verdict", "flag")},
        }
        for each in contrasts(compared, pairs)
    ]


def figures(comparison: Comparison, folder: Path) -> dict[str, Path]:
    """Draw the figures of a sweep into `folder`; return none if matplotlib is not installed."""
    if not importlib.util.find_spec("matplotlib"):
        log.warning("no figures in W&B: matplotlib is not installed. Run pip install -e '.[paper]'.")
        return {}
    from experiments.bundles import Record
    from experiments.paper.figures import scores
    from experiments.paper.figures.registry import save

    records = [Record("", run.result, {}) for group in comparison.groups for run in group.runs]
    return {"scores": save(scores.panels(records), folder / "scores")[-1]} if records else {}
