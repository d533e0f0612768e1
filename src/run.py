"""The door: ``python -m src.run [group=option ...] [key=value ...]``, one run or, with -m, a sweep."""

from __future__ import annotations

import sys

if not __package__:  # python src/run.py would put this folder's modules in the place of the standard library's
    sys.exit("error: call it as a module, from the folder that holds src/: python -m src.run ...")

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.cli.application import job_overrides, run_app
from src.cli.messages import exit_with_error, format_error, print_text
from src.cli.validation import parse_config, parse_tracker
from src.config.schema import Config
from src.errors import UserError, mask
from src.probes.estimators import instantiate
from src.runtime.threads import limit_threads
from src.storage.folder_lock import folders_released
from src.sweeps.status import begin_anew, write_status
from src.trackers import run_group

if TYPE_CHECKING:
    from src.pipeline.run import PreparedRun
    from src.trackers import Tracker

log = logging.getLogger("src.run")  # __main__ when run


@folders_released()
def main() -> None:
    """Run what the command line asks for; exit 1 when a job of a sweep failed."""
    from src.sweeps import sweep

    sweep.forget()
    try:
        run_app(task)
    except SystemExit as ending:
        if ending.code == 1:
            sweep.close()
            _tell_runs()
        raise
    if isinstance(sweep.ERROR, UserError | OmegaConfBaseException):
        exit_with_error(format_error(sweep.ERROR))
    if sweep.ERROR is not None:
        raise sweep.ERROR
    _tell_runs()
    if sweep.LAST is not None and sweep.LAST.failed:
        sys.exit(1)


def _tell_runs() -> None:
    """After a sweep, where its tracker's runs are."""
    from src.sweeps import sweep

    if sweep.LAST is not None and sweep.LAST.jobs:
        from src.trackers.wandb import closing

        for line in closing([job.folder for job in sweep.LAST.jobs]):
            print_text(line)


def task(composed: DictConfig) -> None:
    """One job. In a sweep a failure is written down for the closing table, and the other jobs go on."""
    import src.pipeline.run  # noqa: F401  # with all libraries whose threads are limited
    from src.sweeps.launch import check_shards

    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    if hydra.mode != RunMode.MULTIRUN:
        config = parse_config(composed)
        check_shards(config.runtime, sweep=False, extracts=False)
        with limit_threads(config.runtime.threads) as threads:
            run(replace(config, runtime=replace(config.runtime, threads=threads)), folder)
        return
    from src.sweeps import sweep
    from src.sweeps.status import begin

    words, number = job_overrides(), hydra.job.num
    log.info("[%s] %s", number, " ".join(words))
    job = Job(number, Path(hydra.sweep.dir).name, composed, layers=sweep.LAYERS)
    try:
        job.settled = begin(folder)
        try:
            config = parse_config(composed)
            check_shards(config.runtime, sweep=True, extracts=False)
        except Exception:
            job.track_refused(folder)
            raise
        tracker = replace(config.tracker, group=run_group(config.tracker, job.sweep))
        with limit_threads(config.runtime.threads) as threads:
            run(replace(config, tracker=tracker, runtime=replace(config.runtime, threads=threads)), folder, job)
    except Exception as error:
        sweep.note_failure(folder, words, error, f"[{number}] ")


@dataclass
class Job:
    """One of a sweep's: it takes over the record of an equal run, and its forward passes store all `layers` of the sweep.

    `settled` says whether a job came to its end in this folder before.
    """

    number: int
    sweep: str
    composed: DictConfig
    layers: Sequence[int] = ()
    settled: bool = False

    def track_refused(self, folder: Path) -> None:
        """Leave a failed run for a job that was refused before it began, under the names that were asked for."""
        from src.trackers import build

        with suppress(Exception):  # also of a tracker that is refused itself
            groups = {name: self._asked(f"{name}.name") for name in ("model", "dataset", "pooling", "probe")}
            shown = groups | {name: self._asked(name) for name in ("layer", "pairing", "seed", "draws")}
            about = parse_tracker(self.composed)
            tracker, group = build(about), run_group(about, self.sweep)
            tags = [str(groups["dataset"]), str(groups["pooling"])]
            tracker.start(shown, name=_name(shown), group=group, job_type="probe", tags=tags, folder=folder)
            tracker.finish(failed=True)

    def _asked(self, key: str) -> Any:
        """What was asked for under a key, fit to be shown."""
        value = OmegaConf.select(self.composed, key)
        return mask(value) if isinstance(value, str) else value


def run(config: Config, folder: Path, job: Job | None = None) -> None:
    """Do one run and leave its record in `folder`; one of a sweep that was done before is not done again."""
    from src.pipeline.run import prepare
    from src.results.cache import ResultCache
    from src.trackers import build

    tracker = build(config.tracker)
    try:
        estimator = instantiate(config.probe)
        prepared = prepare(config)
    except Exception:
        if job:
            job.track_refused(folder)
        raise
    if job is None:
        _finish(tracker, prepared, estimator, folder, None)
        return
    prepared = _also(prepared, job.layers)
    taken = ResultCache(prepared.extractor.store.root).get(prepared.key, folder, prepared.names)
    if taken is None:
        _finish(tracker, prepared, estimator, folder, job)
        return
    log.info("[%s] done before: its record is taken over", job.number)
    if not (job.settled and tracker.holds(folder, prepared.key)):
        _start(tracker, prepared, folder)
        tracker.log(taken)
        tracker.finish(failed=False)
    write_status(folder, "skipped")


def _finish(tracker: Tracker, prepared: PreparedRun, estimator: object, folder: Path, job: Job | None) -> None:
    """Fit and score what is prepared, and hand the record to whoever keeps it."""
    from src.pipeline.run import run_probe
    from src.results.cache import ResultCache
    from src.results.display import result_summary, result_table
    from src.trackers.examples import examples

    failed, asked = True, prepared.config.tracker
    begin_anew(folder)
    _start(tracker, prepared, folder)
    try:
        finished = run_probe(prepared, estimator)
        # First, so that hours of work are kept if the folder cannot be written.
        ResultCache(prepared.extractor.store.root).put(prepared.key, finished.files)
        finished.write(folder)
        print_text(
            result_summary(finished.result) if job else result_table(finished.result)
        )  # a sweep ends with a table of all
        tracker.log(finished.result)
        if asked.examples:
            tracker.show({"examples": examples(finished.predictions, prepared.data, text=asked.text)})
        failed = False
    finally:
        hint = tracker.finish(failed)
    write_status(folder, "done")
    if hint and not job:  # a sweep says it once, at its end
        print_text(hint)


def _start(tracker: Tracker, prepared: PreparedRun, folder: Path) -> None:
    shown = prepared.resolved
    tags = [prepared.data.name, prepared.target[0]]
    tracker.start(
        shown, name=_name(shown), group=prepared.config.tracker.group, job_type="probe", tags=tags, folder=folder
    )


def _name(shown: Mapping[str, Any]) -> str:
    """What a run is called in its tracker."""
    return f"{shown['dataset']}-{shown['model']}-{shown['pooling']}-L{shown['layer']}-{shown['probe']}-s{shown['seed']}"


def _also(prepared: PreparedRun, layers: Sequence[int]) -> PreparedRun:
    """Have a forward pass store these layers too; one that the model lacks is refused by the job that asks for it."""
    deepest = prepared.extractor.info.layers
    runtime = prepared.config.runtime
    also = [layer for layer in layers if -deepest - 1 <= layer <= deepest and layer not in runtime.also_layers]
    runtime = replace(runtime, also_layers=[*runtime.also_layers, *also])
    return replace(prepared, config=replace(prepared.config, runtime=runtime))


if __name__ == "__main__":
    main()
