"""Sweeper of the suite: Hydra's extension point for what happens around the jobs of a multirun."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from src.cli.messages import print_text
from src.cli.streams import set_log_level
from src.config.limits import at_least
from src.errors import UserError, refuse_credentials
from src.storage.folder_lock import FolderLock
from src.sweeps.checks import check_launcher, check_tracking
from src.sweeps.comparison import Comparison
from src.sweeps.composition import JobComposer
from src.sweeps.encoding import encode_missing
from src.sweeps.inputs import MissingInput, find_missing, refuse_jobs
from src.sweeps.launching import launch_jobs, launcher_kind, prepare_environment
from src.sweeps.plan import SweepPlan, plan_sweep
from src.sweeps.report import write_report

log = logging.getLogger("src.sweeps")


@dataclass
class SweeperConfig:
    """Settings of the sweeper, under the names that Hydra's basic sweeper uses."""

    _target_: str = "hydra_plugins.pooling_probes.PoolingProbesSweeper"
    max_batch_size: int | None = None  # jobs that are launched at once; unset: all
    params: dict[str, str] = field(
        default_factory=dict
    )  # overrides of an experiment's file, before those of the command line


class JobsFailed(UserError):
    """At least one job of a sweep failed; the report has been printed."""


class ProbeSweeper(Sweeper):
    """Sweeper that plans a multirun before its first job and reports on it after its last one."""

    hydra_context: HydraContext
    config: DictConfig

    def __init__(self, max_batch_size: int | None = None, params: Mapping[str, str] | None = None) -> None:
        self.max_batch_size = max_batch_size
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store context, task function and configuration; Hydra calls this before `sweep`."""
        composer: Any = JobComposer(hydra_context.config_loader)
        hydra_context = HydraContext(composer, hydra_context.callbacks)
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> None:
        """Run the jobs that `arguments`, overrides with any number of values, describe.

        Raises
        ------
        UserError, HydraException, OmegaConfBaseException
            The sweep cannot be run as requested; no job has been started.
        JobsFailed
            At least one job failed; the report has been printed.
        """
        set_log_level(self.config.runtime.log)
        plan = self._plan([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
        missing = self._missing(plan)
        with FolderLock(plan.folder, "hydra.sweep.dir"):
            self._write(plan)
            refuse_jobs(plan, missing)
            comparison = self._run_and_report(plan)
        if comparison.failed:
            # Hydra itself calls this callback only after a sweep that returns.
            self.hydra_context.callbacks.on_multirun_end(
                config=self.config, config_name=self.config.hydra.job.config_name
            )
            raise JobsFailed(f"{len(comparison.failed)} of {len(plan.jobs)} jobs failed")

    def _plan(self, overrides: list[str]) -> SweepPlan:
        """Check the sweep and return its plan."""
        check_launcher(self.config.hydra.launcher)
        at_least("hydra.sweeper.max_batch_size", self.max_batch_size, 1)
        plan = plan_sweep(overrides, self.config, self.hydra_context.config_loader)
        if self._has_records():
            check_tracking(self.config)
        refuse_credentials(str(plan.folder), "hydra.sweep.dir")
        return plan

    def _missing(self, plan: SweepPlan) -> list[MissingInput]:
        """Return what input is missing; UserError if no job has its own."""

        def compose(overrides: Sequence[str]) -> DictConfig:
            composed: DictConfig = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            return composed

        missing = find_missing(plan, compose)
        if sum(len(each.jobs) for each in missing) < len(plan.jobs) or not missing:
            return missing
        raise UserError("no job can start.\n" + "\n".join(each.text for each in missing))

    def _write(self, plan: SweepPlan) -> None:
        """Write the plan and the composed configuration into the sweep's folder."""
        plan.folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, plan.folder / "multirun.yaml")
        plan.write()

    def _run_and_report(self, plan: SweepPlan) -> Comparison:
        """Run all jobs and report on them, however the sweep ends."""
        try:
            self._run(plan)
        except (Exception, KeyboardInterrupt) as error:
            self._report_stopped(plan, interrupted=isinstance(error, KeyboardInterrupt))
            raise
        return self._write_report(plan)

    def _run(self, plan: SweepPlan) -> None:
        """Make the forward passes that several jobs need, then launch the jobs and wait for them.

        Jobs that have ended are those whose input is missing.
        """
        plan = replace(plan, jobs=tuple(job for job in plan.jobs if not plan.has_ended(job)))
        prepare_environment(self.config, len(plan.jobs))
        shards_given = any(override.startswith("runtime.shard=") for job in plan.jobs for override in job.overrides)
        if launcher_kind(self.config.hydra.launcher) != "basic" and not shards_given:
            encode_missing(plan, self.hydra_context, self.config)
        launcher = Plugins.instance().instantiate_launcher(self.hydra_context, self.task_function, self.config)
        launch_jobs(plan, launcher, self.config, self.max_batch_size)

    def _write_report(self, plan: SweepPlan) -> Comparison:
        """Write and print the comparison."""
        return write_report(plan, has_records=self._has_records(), as_json=bool(self.config.runtime.json))

    def _report(self, plan: SweepPlan) -> None:
        """Write and print the comparison, then print where the tracker's runs are, which a callback does otherwise."""
        comparison = self._write_report(plan)
        if self._has_records() and comparison.jobs and not self.config.runtime.json:
            from src.trackers.wandb_runs import sync_hints

            for line in sync_hints([job.folder for job in comparison.jobs]):
                print_text(line)

    def _report_stopped(self, plan: SweepPlan, *, interrupted: bool) -> None:
        """Report on a sweep that an error ended, or the jobs it has started if the user interrupted it."""
        started = plan.started()
        if not started:
            return
        try:
            self._report(SweepPlan(plan.folder, plan.identifier, jobs=started) if interrupted else plan)
        except Exception as error:  # the first error matters more
            log.error("the jobs that are done cannot be compared: %s", error)

    def _has_records(self) -> bool:
        """Return whether the jobs write records; those of src.extract write features."""
        return not (OmegaConf.is_interpolation(self.config, "output") or self.config.get("output"))
