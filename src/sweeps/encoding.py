"""Forward passes before probes, so that no job of a sweep waits for another job's forward pass.

The basic launcher needs none of this: its first job of each task makes the forward pass.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from src.cli.application import leave_job_folder
from src.cli.streams import configure_process
from src.cli.validation import parse_config
from src.errors import UserError, flatten
from src.pipeline.encoding import SplitsEncoder
from src.sweeps.checks import without_hydra
from src.sweeps.launching import launch_and_wait, launcher_kind
from src.sweeps.passes import passes
from src.sweeps.plan import SweepPlan

PASSES = ".passes"  # below a sweep's folder: folders of the jobs that encode

log = logging.getLogger("src.sweeps")


def encode_missing(plan: SweepPlan, context: HydraContext, config: DictConfig) -> None:
    """Make the forward passes that the jobs need and the store lacks.

    With joblib this process makes them one after the other on all cores. On a cluster, and where
    ``runtime.shards`` splits a pass, the launcher runs them as jobs of their own. If a pass fails, the
    jobs that need it fail with the reason.
    """
    needed: list[tuple[list[str], SplitsEncoder]] = []
    planned: set[str] = set()
    for overrides in passes([job.overrides for job in plan.jobs]):
        try:
            encoder = SplitsEncoder(
                parse_config(without_hydra(context.config_loader.load_sweep_config(config, overrides)))
            )
            missing = encoder.missing()
        except (UserError, HydraException, OmegaConfBaseException):
            continue
        if missing - planned:
            planned |= missing
            needed.append((overrides, encoder))
    if not needed:
        return
    log.info("forward passes that the jobs need: %d, made before the jobs", len(planned))
    if launcher_kind(config.hydra.launcher) == "joblib" and all(encoder.shards == 1 for _, encoder in needed):
        for _, encoder in needed:
            _try_encode(encoder)
        return
    shards = [[*words, f"runtime.shard={shard}"] for words, encoder in needed for shard in range(encoder.shards)]
    _launch_passes(shards, context, config)


def _launch_passes(shards: Sequence[Sequence[str]], context: HydraContext, config: DictConfig) -> None:
    """Run a job for each shard of the passes."""
    jobs = [
        [*overrides, f"hydra.sweep.subdir={PASSES}/{number}", "hydra.output_subdir=null"]
        for number, overrides in enumerate(shards)
    ]
    launcher = Plugins.instance().instantiate_launcher(context, encode_task, config)
    try:
        launch_and_wait(launcher, jobs, 0, config)
    except Exception as error:  # the jobs that need these features fail with the reason
        log.warning("forward passes failed: %s. The jobs that need them try again", flatten(error, 200))


def encode_task(composed: DictConfig) -> None:
    """Run the forward passes of a composed configuration, in a launcher's process."""
    configure_process()
    leave_job_folder()
    _try_encode(SplitsEncoder(parse_config(composed)))


def _try_encode(encoder: SplitsEncoder) -> None:
    try:
        encoder.encode()
    except Exception as error:  # the jobs that need these features fail with the reason
        log.warning("a forward pass failed: %s. The jobs that need it try again", flatten(error, 200))
