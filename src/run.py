"""The door: ``python -m src.run [group=option ...] [key=value ...]``, one run or, with -m, a sweep."""

from __future__ import annotations

import importlib
import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from src.config import Config, ProbeConfig, parse
from src.door import open_door, say_crash, stop, tell
from src.errors import UserError, flatten

if TYPE_CHECKING:
    from src.pipeline import Prepared
    from src.trackers import Tracker

log = logging.getLogger("src.run")  # __main__ when run


def main() -> None:
    """Run what the command line asks for; exit 1 when a job of a sweep failed."""
    from src import sweep

    sweep.LAST = sweep.ERROR = sweep.UNDER_WAY = None
    sweep.LAYERS = ()
    try:
        open_door(task)
    except SystemExit as ending:
        if ending.code == 1:
            sweep.close()
        raise
    if isinstance(sweep.ERROR, UserError):
        stop(str(sweep.ERROR))
    if sweep.ERROR is not None:
        raise sweep.ERROR
    if sweep.LAST is not None:
        runs = sum(1 for job in sweep.LAST.jobs if any(job.folder.glob("wandb/offline-run-*")))
        if runs:
            folder = shlex.quote(str(sweep.LAST.jobs[0].folder.parent))
            what = "1 offline run; send it" if runs == 1 else f"{runs} offline runs; send them"
            tell(f"W&B: {what} with: wandb sync {folder}/*/wandb/offline-run-*")
        if sweep.LAST.failed:
            sys.exit(1)


def task(composed: DictConfig) -> None:
    """One job. In a sweep a failure is written down for the closing table, and the other jobs go on."""
    from src.launch import check_shards, kept_to_its_threads

    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    if hydra.mode != RunMode.MULTIRUN:
        config = parse(composed)
        check_shards(config.runtime, sweep=False, extracts=False)
        with kept_to_its_threads(config.runtime):
            run(config, folder)
        return
    from src import sweep

    overrides = list(hydra.overrides.task)
    log.info("[%s] %s", hydra.job.num, " ".join(overrides))
    try:
        config = parse(composed)
        check_shards(config.runtime, sweep=True, extracts=False)
        config.tracker.group = config.tracker.group or Path(hydra.sweep.dir).name
        with kept_to_its_threads(config.runtime):
            run(config, folder, resume=True, layers=sweep.LAYERS)
    except UserError as error:
        log.error("failed: %s", error)
        sweep.write_failure(folder, overrides, str(error), "user")
    except Exception as error:
        log.exception("failed")
        sweep.write_failure(folder, overrides, say_crash(error), "crash")


def run(config: Config, folder: Path, *, resume: bool = False, layers: Sequence[int] = ()) -> None:
    """Do one run and leave its record in `folder`; with `resume`, a run that was done before is not done again.

    `layers` are those of the sweep that the run is one of: a forward pass stores what the model has of them.
    """
    from src.pipeline import prepare, run_probe
    from src.records import recall, remember
    from src.result import summary, table
    from src.sweep import write_status
    from src.trackers import build
    from src.trackers.examples import examples

    assert config.probe is not None
    estimator = instantiate(config.probe)
    tracker = build(config.tracker)
    try:
        prepared = prepare(config)
    except Exception:
        if resume:
            _track_refused(tracker, config, folder)
        raise
    _also(prepared, layers)
    if resume and recall(prepared, folder):
        log.info("done before: its record is taken over")
        write_status(folder, "skipped")
        return
    failed = True
    tracker.start(
        prepared.resolved,
        name=_name(prepared.resolved),
        group=config.tracker.group,
        job_type="probe",
        tags=[prepared.data.name, prepared.target[0]],
        folder=folder,
    )
    try:
        finished = run_probe(prepared, estimator)
        remember(prepared, finished)  # first: whatever becomes of the folder, what hours have made is kept
        finished.write(folder)
        tell(summary(finished.result) if resume else table(finished.result))  # a sweep ends with a table of all
        tracker.log(finished.result)
        if config.tracker.examples:
            tracker.show({"examples": examples(finished.predictions, prepared.data, text=config.tracker.text)})
        failed = False
    finally:
        hint = tracker.finish(failed)
    write_status(folder, "done")
    if hint and not resume:  # a sweep says it once, at its end
        tell(hint)


def _name(shown: Mapping[str, Any]) -> str:
    """What a run is called in its tracker."""
    return f"{shown['dataset']}-{shown['model']}-{shown['pooling']}-L{shown['layer']}-{shown['probe']}-s{shown['seed']}"


def _track_refused(tracker: Tracker, config: Config, folder: Path) -> None:
    """Leave a failed run for a job of a sweep that was refused before it began, under the names that were asked for."""
    groups = {name: getattr(config, name).name for name in ("model", "dataset", "pooling", "probe")}
    shown = groups | {name: getattr(config, name) for name in ("layer", "pairing", "seed", "draws")}
    tags = [groups["dataset"], groups["pooling"]]
    tracker.start(shown, name=_name(shown), group=config.tracker.group, job_type="probe", tags=tags, folder=folder)
    tracker.finish(failed=True)


def _also(prepared: Prepared, layers: Sequence[int]) -> None:
    """Have a forward pass store these layers too; one that the model lacks is refused by the job that asks for it."""
    deepest = prepared.extractor.facts.layers
    also = prepared.config.runtime.also_layers
    also += [layer for layer in layers if -deepest - 1 <= layer <= deepest and layer not in also]


def instantiate(probe: ProbeConfig) -> object:
    """The probe's estimator, of a class with fit and predict, checked before anything is encoded; nothing else is called."""
    settings = dict(probe.estimator)
    name = str(settings.pop("_target_", ""))
    where = f"probe.estimator._target_={name}"
    module, _, attribute = name.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, ValueError, AttributeError) as error:
        raise UserError(f"{where} cannot be found: {flatten(error, 160)}. Name a class, such as sklearn.svm.LinearSVC.") from error
    if not (isinstance(kind, type) and hasattr(kind, "fit") and hasattr(kind, "predict")):
        raise UserError(f"{where} is no estimator: it is no class with fit and predict. Use a scikit-learn class.")
    try:
        estimator = kind(**settings)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where} cannot be made: {flatten(error, 160)}. Its parameters are those beside _target_.") from error
    known = estimator.get_params() if hasattr(estimator, "get_params") else {}
    parameter = next(iter(probe.grid))
    if parameter not in known:
        way_out = f"Set probe.grid.{parameter}=null and +probe.grid.NAME=[...]."
        raise UserError(
            f"probe.grid.{parameter}: {kind.__name__} has no such parameter. Known: {', '.join(sorted(known)) or 'none'}.\n{way_out}"
        )
    if probe.task == "classification" and not any(hasattr(estimator, each) for each in ("predict_proba", "decision_function", "solve")):
        raise UserError(f"{where} gives no probabilities and no decision values, which the grid is chosen by. Use a classifier that does.")
    return estimator


if __name__ == "__main__":
    main()
