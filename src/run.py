"""Command ``python -m src.run [group=option ...] [key=value ...]``: one run or, with -m, a sweep."""

from __future__ import annotations

import sys

if not __package__:  # python src/run.py would put this folder's modules in the place of the standard library's
    sys.exit("error: call it as a module, from the folder that holds src/: python -m src.run ...")

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from src.cli.application import run_app
from src.cli.messages import print_json, print_text, short_path, terminal_width
from src.cli.validation import parse_config, parse_tracker
from src.config.schema import Config
from src.errors import mask
from src.probes.estimators import instantiate
from src.results.result import RECORD
from src.sweeps.checks import check_shards
from src.sweeps.job_process import SweepJob
from src.sweeps.status import discard_earlier_result, write_status

if TYPE_CHECKING:
    from src.pipeline.prepare import PreparedRun
    from src.results.result import Result
    from src.trackers.tracker import Tracker

log = logging.getLogger("src.run")  # __main__ when run


def main() -> None:
    """Run what the command line asks for; exit with status 1 if that fails or a job of a sweep fails."""
    run_app(task)


def task(composed: DictConfig) -> None:
    """Do a single run, or one job of a sweep, whose failure is written down and does not stop the others."""
    job = SweepJob.current()
    if job is None:
        run_single(parse_config(composed), Path(HydraConfig.get().runtime.output_dir))
        return
    try:
        run_job(composed, job)
    except Exception as error:
        job.fail(error)


def run_single(config: Config, folder: Path) -> None:
    """Do one run and write its record into `folder`."""
    from src.pipeline.threads import resolved_threads

    check_shards(config.runtime, sweep=False, extracts=False)
    with resolved_threads(config) as resolved:
        tracker, estimator, prepared = _prepare(resolved)
        discard_earlier_result(folder, None)
        hint = _run_probe(tracker, prepared, estimator, folder, partial(_show, folder, as_json=config.runtime.json))
    write_status(folder, "done")
    if hint and not config.runtime.json:
        print_text(hint)


def _show(folder: Path, result: Result, *, as_json: bool) -> None:
    """Print a run's scores and where its record is; log all its values for ``runtime.log=debug``."""
    from src.results.display import result_lines, result_table

    path = short_path(folder / RECORD)
    log.debug("%s", result_table(result))
    if as_json:
        print_json({"results": path, **json.loads(result.to_json())})
    else:
        print_text(f"{result_lines(result, width=terminal_width())}\nresults: {path}")


def run_job(composed: DictConfig, job: SweepJob) -> None:
    """Do the run of a sweep's job, or copy the record of an equal run that is done."""
    from src.pipeline.record import renamed
    from src.pipeline.threads import resolved_threads
    from src.results.cache import ResultCache
    from src.results.display import format_score, score_summary
    from src.trackers.registry import run_group

    has_result = job.start()
    with _refusals_tracked(composed, job):
        config = parse_config(composed)
        check_shards(config.runtime, sweep=True, extracts=False)
    group = run_group(config.tracker, job.sweep.label)
    config = replace(config, tracker=replace(config.tracker, group=group))
    with resolved_threads(config) as resolved:
        with _refusals_tracked(composed, job):
            tracker, estimator, prepared = _prepare(resolved)
        prepared = _with_layers(prepared, job.sweep.layers)
        rename = partial(renamed, prepared)
        copied = ResultCache(prepared.extractor.store.root).get(prepared.key, job.folder, rename)
        if copied is None:
            job.discard_earlier_result()
            _run_probe(tracker, prepared, estimator, job.folder, lambda result: _log_job(job, score_summary(result)))
        else:
            score = f"{copied.score['metric']} {format_score(copied.score['metric'], copied.score)}"
            _log_job(job, f"skipped, an equal run is in the store: {score}")
            if not (has_result and tracker.holds(job.folder, prepared.key)):
                _start(tracker, prepared, job.folder, copied.provenance)
                _log(tracker, prepared, copied, job.folder)
                tracker.finish(failed=False)
    job.finish("done" if copied is None else "skipped", encoded=bool(prepared.extractor.encoded))


def _log_job(job: SweepJob, text: str) -> None:
    """Log a line about a job of a sweep."""
    log.info("%s: %s", job.label, text)


def _prepare(config: Config) -> tuple[Tracker, object, PreparedRun]:
    """Return tracker, estimator and run, after all checks that need no forward pass."""
    from src.pipeline.prepare import prepare
    from src.trackers.registry import build_tracker

    return build_tracker(config.tracker), instantiate(config.probe), prepare(config)


def _run_probe(
    tracker: Tracker, prepared: PreparedRun, estimator: object, folder: Path, show: Callable[[Result], None]
) -> str | None:
    """Fit and score the probe, then write, show and track the record; return the tracker's hint for the user."""
    from src.pipeline.record import record_provenance
    from src.pipeline.run import run_probe
    from src.probes.protocols.base import get_protocol
    from src.results.cache import ResultCache
    from src.trackers.examples import examples

    failed, settings = True, prepared.config.tracker
    _start(tracker, prepared, folder, record_provenance(prepared))
    try:
        finished = run_probe(prepared, estimator)
        # First, so that the result is kept even if the folder cannot be written.
        ResultCache(prepared.extractor.store.root).put(prepared.key, finished.files)
        finished.write(folder)
        show(finished.result)
        _log(tracker, prepared, finished.result, folder)
        if settings.examples:
            compared = get_protocol(prepared.probe).FITTED  # a similarity has another unit than the gold scores
            table = examples(finished.predictions, prepared.data, text=settings.text, errors=compared)
            tracker.show({"examples": table})
        failed = False
    finally:
        hint = tracker.finish(failed)
    return hint


def _with_layers(prepared: PreparedRun, layers: tuple[int, ...]) -> PreparedRun:
    """Return a run whose forward pass also stores those of `layers` that the model has."""
    config, deepest = prepared.config, prepared.extractor.info.layers
    also = config.runtime.also_layers
    more = [layer for layer in layers if -deepest - 1 <= layer <= deepest and layer not in also]
    return replace(prepared, config=replace(config, runtime=replace(config.runtime, also_layers=[*also, *more])))


@contextmanager
def _refusals_tracked(composed: DictConfig, job: SweepJob) -> Iterator[None]:
    """Track a failed run if the job is refused before it begins, under the requested names."""
    from src.trackers.naming import run_name, run_tags
    from src.trackers.registry import build_tracker, run_group

    try:
        yield
    except Exception:
        with suppress(Exception):  # the tracker itself may be refused
            groups = {name: _requested(composed, f"{name}.name") for name in ("model", "dataset", "pooling", "probe")}
            groups["pooling"] = _requested_pooling(composed)
            shown = groups | {name: _requested(composed, name) for name in ("layer", "pairing", "seed", "draws")}
            settings = parse_tracker(composed)
            tracker, group = build_tracker(settings), run_group(settings, job.sweep.label)
            about: dict[str, Any] = {"name": run_name(shown), "tags": run_tags(shown), "group": group}
            tracker.start(shown, **about, job_type="probe", folder=job.folder)
            tracker.finish(failed=True)
        raise


def _requested(composed: DictConfig, key: str) -> Any:
    """Return the value of a key, without credentials."""
    value = OmegaConf.select(composed, key)
    return mask(value) if isinstance(value, str) else value


def _requested_pooling(composed: DictConfig) -> Any:
    """Return the name of the pooling that was asked for, with the parts of a concatenation."""
    name, parts = (_requested(composed, f"pooling.{key}") for key in ("name", "of"))
    return f"{name}({','.join(mask(str(part)) for part in parts)})" if parts else name


def _start(tracker: Tracker, prepared: PreparedRun, folder: Path, provenance: Mapping[str, Any]) -> None:
    """Start the tracker's run; `provenance` is that of its record."""
    from src.trackers.naming import run_name, run_tags, shown_provenance

    shown = {**prepared.resolved, "provenance": shown_provenance(provenance)}
    about: dict[str, Any] = {"name": run_name(shown), "tags": run_tags(shown), "group": prepared.config.tracker.group}
    tracker.start(shown, **about, job_type="probe", folder=folder)


def _log(tracker: Tracker, prepared: PreparedRun, result: Result, folder: Path) -> None:
    """Log a record that lies in `folder`, and its files if they are asked for."""
    tracker.log(result)
    if prepared.config.tracker.artifacts:
        tracker.attach(result, folder)


if __name__ == "__main__":
    main()
