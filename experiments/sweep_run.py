"""Hydra callback that logs a sweep as a W&B run in the group of its jobs.

The run has the closing table, the differences between poolings with their intervals, scores by
layer as curves and, if matplotlib is installed, the figures. ``tracker.comparison=false`` leaves it
out.
"""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from experiments.sweep_charts import figures, layer_history, tables
from src.cli.messages import print_text
from src.cli.validation import parse_tracker
from src.config.schema import TrackerConfig
from src.errors import flatten
from src.sweeps.comparison import compare_records
from src.sweeps.jobs import jobs_of_last_sweep
from src.sweeps.plan import SweepPlan
from src.sweeps.status import STATUSES
from src.trackers.registry import build_tracker, run_group
from src.trackers.wandb_runs import sync_hints

log = logging.getLogger("src.sweep_run")


class SweepRun(Callback):
    """Logs a multirun when it ends; a failure is a warning, because the jobs are done."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Log the sweep with the tracker of its jobs, and print where the tracker's runs are."""
        if OmegaConf.is_interpolation(config, "output") or config.get("output"):
            return  # features of src.extract, which have no record
        folder = Path(config.hydra.sweep.dir)
        lines: list[str] = []
        try:
            lines = log_sweep(folder, parse_tracker(config))
        except Exception as error:
            log.warning("the sweep's own run could not be logged: %s", flatten(error))
        if not OmegaConf.select(config, "runtime.json"):  # then stdout has nothing else
            for line in [*sync_hints(jobs_of_last_sweep(folder), folder), *lines]:
                print_text(line)


def log_sweep(folder: Path, config: TrackerConfig) -> list[str]:
    """Log the sweep in `folder`, and return the lines for the user: the address of a run that was sent."""
    plan = SweepPlan.read(folder) or SweepPlan(folder, uuid.uuid4().hex)
    tracker = build_tracker(config) if config.comparison else None
    if tracker is None or tracker.holds(folder, plan.identifier):
        return []
    comparison = compare_records(jobs_of_last_sweep(folder))
    group = run_group(config, plan.label)
    tracker.start(
        {"sweep": plan.label, "key": plan.identifier},
        name=f"{group} comparison",
        group=group,
        job_type="comparison",
        tags=["comparison", *dict.fromkeys(group.runs[0].result.dataset for group in comparison.groups)],
        folder=folder,
    )
    failed = True
    try:
        curves = layer_history(comparison)
        for layer, values in curves.items():
            tracker.measure(values, layer)
        tracker.measure(
            {f"jobs/{status}": comparison.count(status) for status in STATUSES}, max(curves, default=-1) + 1
        )
        with TemporaryDirectory() as temporary:
            tracker.show(tables(comparison), figures(comparison, Path(temporary)))
        failed = bool(comparison.failed)
    finally:
        line = tracker.finish(failed)
    return [line] if line and "://" in line else []
