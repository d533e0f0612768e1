"""Checks of a sweep before its first job."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Sequence

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from src.cli.messages import explain
from src.cli.validation import parse_tracker
from src.config.limits import check_tracker
from src.config.schema import RuntimeConfig
from src.errors import UserError
from src.sweeps.composition import WHOLE_NUMBER

EXTRAS = {"hydra_joblib_launcher": "joblib", "hydra_submitit_launcher": "slurm"}
MIN_TIMEOUT = (
    5  # minutes; submitit signals a job two minutes before its end, so a shorter one is signalled at its start
)
MAX_WORKERS = 1000

log = logging.getLogger("src.sweeps")


def check_launcher(launcher: DictConfig) -> None:
    """Refuse a launcher that cannot work.

    Raises
    ------
    UserError
        It is not installed, Slurm is missing, the number of workers is out of range, or the time is too short.
    """
    target = str(launcher._target_)
    package = target.split(".")[1]
    if package in EXTRAS and not _is_installed(f"hydra_plugins.{package}"):
        raise UserError(
            "this launcher is not installed. It comes with an extra: "
            f"pip install 'bert-pooling-probes[{EXTRAS[package]}]'."
        )
    if package == "hydra_joblib_launcher" and not (
        isinstance(launcher.n_jobs, int) and launcher.n_jobs and abs(launcher.n_jobs) <= MAX_WORKERS
    ):
        raise UserError(f"hydra.launcher.n_jobs={launcher.n_jobs}: 1 to {MAX_WORKERS} workers, or -1 for one a core.")
    if target.endswith(".SlurmLauncher") and not shutil.which("sbatch"):
        raise UserError(
            "there is no Slurm here: sbatch is not found. Use hydra/launcher=submitit_local or joblib on this machine."
        )
    minutes = launcher.get("timeout_min")
    if minutes is not None and minutes < MIN_TIMEOUT:
        why = "a job is signalled two minutes before its end, and a shorter one would be at its start"
        raise UserError(f"hydra.launcher.timeout_min={minutes}: at least {MIN_TIMEOUT} is needed, since {why}.")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def check_has_jobs(overrides: Iterable[Override]) -> None:
    """Refuse a sweep without a job: a pattern that no option matches, or a range that ends before it begins."""
    for override in overrides:
        if override.is_sweep_override() and override.is_discrete_sweep() and not [*override.sweep_iterator()]:
            raise UserError(f"'{override.input_line}' has no value, so that there is no job. Name one value or more.")


def check_outputs(jobs: Sequence[Sequence[str]]) -> None:
    """Refuse a sweep of src.extract whose jobs would write different features into one folder."""
    written: dict[str, set[tuple[str, ...]]] = {}
    for overrides in jobs:
        plain = [word.lstrip("+") for word in overrides]
        output = next((word for word in plain if word.startswith("output=") and "$" not in word), None)
        if output:
            features = tuple(word for word in plain if not word.startswith(("runtime.", "hydra.")))
            written.setdefault(output, set()).add(features)
    for output, several in written.items():
        if len(several) > 1:
            raise UserError(
                f"{output}: {len(several)} jobs would write into this folder, with different features. Name one each: "
                "'output=\"features/${dataset.name}/${pooling.name}\"'."
            )


def check_compositions(jobs: Sequence[Sequence[str]], compose: Callable[[Sequence[str]], DictConfig]) -> None:
    """Compose as many jobs as it takes to see each override once; a launcher composes every job when it runs it.

    Raises
    ------
    HydraException, OmegaConfBaseException
        An override does not fit the configuration.
    UserError
        The first job has an interpolation without a value, such as ``${nope}``.
    """
    seen: set[str] = set()
    for number, overrides in enumerate(jobs):
        unseen = {word for word in overrides if not WHOLE_NUMBER.fullmatch(word)} - seen
        if unseen or not number:
            seen |= unseen
            composed = compose(overrides)
            if not number and any("$" in word for word in overrides):
                _check_interpolations(composed)


def _check_interpolations(composed: DictConfig) -> None:
    try:
        OmegaConf.to_container(without_hydra(composed), resolve=True)
    except InterpolationResolutionError as error:
        raise explain(error) from error
    except OmegaConfBaseException:  # the job itself fails with the reason
        return


def without_hydra(composed: DictConfig) -> DictConfig:
    """Return a job's configuration without Hydra's own part."""
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])


def check_shards(runtime: RuntimeConfig, *, sweep: bool, extracts: bool) -> None:
    """Refuse to split a forward pass among jobs if no other job would encode the rest."""
    if runtime.shard is not None and not extracts:
        raise UserError(
            "runtime.shard is for python -m src.extract, which encodes one part of a forward pass. A sweep of src.run "
            "splits its passes by itself: leave runtime.shard out."
        )
    if runtime.shards > 1 and runtime.shard is None and not sweep:
        raise UserError(
            f"runtime.shards={runtime.shards} splits a forward pass among the jobs of a sweep, and this is one job. "
            f"Add -m and a launcher, or call python -m src.extract with each runtime.shard=0 to {runtime.shards - 1}."
        )


def check_tracking(config: DictConfig) -> None:
    """Check once for all jobs whether their runs can be sent to the tracker, and log the reason if not.

    Raises
    ------
    UserError
        ``tracker.mode=online`` is impossible, or W&B does not allow a name.
    """
    if config.tracker.get("name") != "wandb":
        return
    from src.trackers.wandb import WandbTracker
    from src.trackers.wandb_settings import unset_single_run_variables

    unset_single_run_variables()
    try:
        tracker = parse_tracker(config)
    except OmegaConfBaseException:  # each job fails with the reason
        return
    check_tracker(tracker)
    reason = WandbTracker(tracker).reason
    if reason:
        log.warning("W&B: the runs stay offline, since %s", reason)
        if not config.hydra.launcher._target_.endswith(
            ("BasicLauncher", "SlurmLauncher")
        ):  # cluster nodes may be online
            os.environ["WANDB_MODE"] = "offline"
