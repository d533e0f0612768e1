"""The plan of a sweep: its jobs, their folders, and the identifier in their status files."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from omegaconf import DictConfig, OmegaConf, open_dict

from src.errors import UserError, mask
from src.pooling import CONCAT
from src.storage.atomic import write_json
from src.sweeps.checks import check_compositions, check_has_jobs, check_outputs
from src.sweeps.naming import sweep_name
from src.sweeps.passes import passes
from src.sweeps.progress import PROGRESS
from src.sweeps.status import PLAN, JobStatus, read_mapping

OF, CONCATENATION = "pooling.of=", f"pooling={CONCAT}"
JOB_NUMBER = "${hydra.job.num}"


@dataclass(frozen=True)
class PlannedJob:
    """A job of a sweep before it runs: its number, from 0 on, its overrides and its folder."""

    number: int
    overrides: tuple[str, ...]
    folder: Path


@dataclass(frozen=True)
class SweepPlan:
    """Plan of a sweep."""

    folder: Path  # the sweep's folder, which holds sweep.json
    # Differs between any two sweeps. A status file with another one belongs to an earlier sweep.
    identifier: str
    # what the sweep runs over, as the command line and the experiment's file have it
    overrides: tuple[str, ...] = ()
    # values of ``layer`` that the jobs have; a forward pass stores them all
    layers: tuple[int, ...] = ()
    jobs: tuple[PlannedJob, ...] = ()  # empty where the plan was read from its file
    group: str = ""  # name of the sweep in its tracker
    number: int = 0  # of jobs
    varying: tuple[str, ...] = ()  # keys whose values differ between the jobs
    passes: int = 0  # forward passes that the jobs need, if the store has none of them

    @property
    def label(self) -> str:
        """Name of the sweep in its tracker, which is that of its folder if the plan has none."""
        return self.group or self.folder.name

    def write(self) -> None:
        """Write ``sweep.json``, from which the processes of the jobs read the plan."""
        content = {
            "identifier": self.identifier,
            "overrides": [mask(word) for word in self.overrides],
            "layers": list(self.layers),
            "jobs": len(self.jobs),
            "varying": list(self.varying),
            "passes": self.passes,
            "group": self.group,
        }
        (self.folder / PROGRESS).unlink(missing_ok=True)  # of an earlier sweep
        write_json(self.folder / PLAN, content, indent=2)

    @classmethod
    def read(cls, folder: Path) -> SweepPlan | None:
        """Return the plan of the sweep in `folder` without its jobs, or None if there is none."""
        content = read_mapping(folder / PLAN)
        identifier, layers, group = (content.get(name) for name in ("identifier", "layers", "group"))
        if not isinstance(identifier, str) or not isinstance(layers, list):
            return None
        varying = content.get("varying")
        number, shared = (found if isinstance(found := content.get(name), int) else 0 for name in ("jobs", "passes"))
        return cls(
            folder,
            identifier,
            layers=tuple(layer for layer in layers if isinstance(layer, int)),
            group=group if isinstance(group, str) else "",
            number=number,
            varying=tuple(map(str, varying)) if isinstance(varying, list) else (),
            passes=shared,
        )

    def status(self, job: PlannedJob) -> JobStatus | None:
        """Return the status of a job, or None if this sweep has not started it."""
        status = JobStatus.read(job.folder)
        return status if status is not None and status.sweep == self.identifier else None

    def has_ended(self, job: PlannedJob) -> bool:
        """Return whether this sweep has ended a job."""
        status = self.status(job)
        return status is not None and status.ended

    def started(self) -> tuple[PlannedJob, ...]:
        """Return the jobs that this sweep has started."""
        return tuple(job for job in self.jobs if self.status(job) is not None)


def plan_sweep(overrides: Sequence[str], config: DictConfig, loader: ConfigLoader) -> SweepPlan:
    """Return the plan of a sweep; no file is written.

    Parameters
    ----------
    overrides : sequence of str
        Overrides in the grammar of Hydra; those with several values span the jobs.
    config : DictConfig
        The composed configuration of the sweep.
    loader : ConfigLoader
        Composes the configuration of a job and lists the options that ``glob`` matches.

    Raises
    ------
    UserError
        There is no job, or jobs would share a folder.
    HydraException, OmegaConfBaseException
        The configuration of a job cannot be composed.
    """

    def compose(job: Sequence[str]) -> DictConfig:
        return loader.load_sweep_config(config, list(job))

    parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
    check_has_jobs(parsed)
    combinations = expand(parsed)
    check_outputs(combinations)
    check_compositions(combinations, compose)
    folders = job_folders(config, combinations, compose)
    jobs = [
        PlannedJob(number, job, folder) for number, (job, folder) in enumerate(zip(combinations, folders, strict=True))
    ]
    folder = Path(config.hydra.sweep.dir)
    return SweepPlan(
        folder,
        uuid.uuid4().hex,
        tuple(overrides),
        swept_layers(overrides),
        tuple(jobs),
        group=sweep_name(folder, combinations, config),
        number=len(jobs),
        varying=varying_keys(combinations),
        passes=len(passes(combinations)),
    )


def expand(overrides: Iterable[Override]) -> list[tuple[str, ...]]:
    """Return the overrides of each job: all combinations of the values, those of the last override varying fastest.

    >>> expand(OverridesParser.create().parse_overrides(["pooling=cls,mean", "seed=range(2)"]))
    [('pooling=cls', 'seed=0'), ('pooling=cls', 'seed=1'), ('pooling=mean', 'seed=0'), ('pooling=mean', 'seed=1')]
    """
    values = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            values[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            values[key] = [f"{key}={value}" for value in _options(override)]
        else:
            raise UserError(f"'{override.input_line}' is an interval. List its values, or use range(start,stop,step).")
    return _without_parts(list(itertools.product(*values.values())))


def _options(override: Override) -> list[str]:
    """Return the values of a sweep; ``pooling=glob(*)`` leaves out concat, which needs ``pooling.of``."""
    found = list(override.sweep_string_iterator())
    is_glob = override.value_type is ValueType.GLOB_CHOICE_SWEEP and override.key_or_group == "pooling"
    return [value for value in found if not (is_glob and value == CONCAT)]


def _without_parts(jobs: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the jobs of a sweep over concat and other poolings, which take no ``pooling.of``.

    >>> _without_parts([("pooling=cls", "pooling.of=[cls,mean]"), ("pooling=concat", "pooling.of=[cls,mean]")])
    [('pooling=cls',), ('pooling=concat', 'pooling.of=[cls,mean]')]
    """
    if not any(CONCATENATION in job for job in jobs):
        return jobs
    kept = [job if CONCATENATION in job else tuple(word for word in job if not word.startswith(OF)) for job in jobs]
    return list(dict.fromkeys(kept))


def varying_keys(jobs: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the keys whose values differ between the jobs, in their order.

    >>> varying_keys([("layer=0", "seed=1"), ("layer=1", "seed=1")])
    ('layer',)
    """
    values: dict[str, set[str]] = {}
    for word in itertools.chain.from_iterable(jobs):
        values.setdefault(override_key(word), set()).add(word)
    return tuple(key for key, found in values.items() if len(found) > 1)


def override_key(word: str) -> str:
    """Return the key of an override, without a sign before it."""
    return word.partition("=")[0].lstrip("+~")


def swept_layers(overrides: Sequence[str]) -> tuple[int, ...]:
    """Return the values of ``layer`` that a sweep runs over; empty if it has one layer.

    >>> swept_layers(["pooling=cls,mean", "layer=0,1,-1"]), swept_layers(["layer=3"])
    ((0, 1, -1), ())
    """
    layers = [
        each for each in OverridesParser.create().parse_overrides(list(overrides)) if each.key_or_group == "layer"
    ]
    if not layers or not layers[-1].is_discrete_sweep():
        return ()
    return tuple(int(value) for value in layers[-1].sweep_string_iterator() if value.lstrip("-").isdecimal())


def job_folders(
    config: DictConfig, jobs: Sequence[Sequence[str]], compose: Callable[[Sequence[str]], DictConfig]
) -> list[Path]:
    """Return the folder of each job.

    Raises
    ------
    UserError
        A folder is not below the sweep's, or several jobs would share it.
    """
    settings = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    assert isinstance(settings, dict)
    subdir, root = str(settings.get("subdir")), Path(config.hydra.sweep.dir)
    if ".." in Path(subdir).parts or Path(subdir).is_absolute():
        raise UserError(
            f"hydra.sweep.subdir={subdir}: a folder below hydra.sweep.dir is needed, such as "
            "'${hydra.job.override_dirname}'."
        )
    if "$" not in subdir.replace(JOB_NUMBER, ""):  # composing a job takes 0.05 s
        folders = [root / subdir.replace(JOB_NUMBER, str(number)) for number in range(len(jobs))]
    else:
        folders = [root / _composed_subdir(compose(job), number) for number, job in enumerate(jobs)]
    folder, times = Counter(folders).most_common(1)[0]
    if times > 1:
        raise UserError(
            f"hydra.sweep.subdir={subdir}: {times} jobs would share {folder}. "
            f"Give each its own: '{subdir}/{JOB_NUMBER}'."
        )
    return folders


def _composed_subdir(composed: DictConfig, number: int) -> str:
    with open_dict(composed.hydra.job):
        composed.hydra.job.num, composed.hydra.job.id = number, f"job_id_for_{number}"
    return str(composed.hydra.sweep.subdir)
