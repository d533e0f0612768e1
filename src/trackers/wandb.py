"""Weights & Biases: one run per job, offline by default, always finished, without questions.

A run contains the following and nothing else. Dashboards and sweeps rely on these names:

==================================== ===========================================================
name                                 dataset-model-pooling-Llayer-probe-sseed, as in
                                     ``sst2-bert-base-uncased-mean-L12-logistic-s0``
group                                ``tracker.group``, or ``WANDB_RUN_GROUP``, or the name that the
                                     user gave the sweep's folder, or date, time, models and datasets
                                     (``2026-01-31 12-00-00 bert-books mrpc,rte``); none for a single
                                     run
job type                             ``probe``, also for the read-outs cosine and knn;
                                     ``comparison`` for a sweep's own run;
                                     ``pretrain`` for pre-training
tags                                 dataset, pooling, model, probe, and those of ``WANDB_TAGS``; of a
                                     sweep's own run ``comparison`` and its datasets
id                                   8 digits of the record's key and 8 random ones; a job done
                                     again in its folder continues its run. ``refused`` and 8
                                     random digits for a job that was refused before it began;
                                     its next attempt replaces that run
state                                finished; failed if the job failed. The run of a killed job
                                     contains what was logged half a second before. A job whose
                                     record was copied has a run with the original seconds
config                               model, dataset, pooling, probe (names), layer (0 to L),
                                     pairing, seed, draws, key, and ``settings``: the rest as
                                     resolved, without a path of the machine. ``stated``: what a
                                     checkpoint of sentence-transformers says of itself
config: provenance                   commit, dirty (src and conf differ from it), device, gpu, python
                                     and packages (versions), as in the record
history                              one row: layer, score, score_low, score_high, metric/NAME
summary: score, _low, _high          headline metric with its 95 % interval: a fraction (MCC and
                                     correlations -1 to 1); errors in the label's unit
summary: score_metric                its name
summary: metric/NAME, _low, _high    every metric of the task; undefined values are left out
summary: baseline/NAME, _low, _high  trivial scores on the headline metric
summary: seconds/PHASE               wall time in seconds: load, tokenise, encode, pool, store,
                                     fit, score ... total
summary: counts/NAME                 rows: train, test, truncated, test_in_train; tokens; classes;
                                     width of the features
summary: chosen/NAME                 parameter and value of the grid's choice, converged,
                                     separable; read-out cosine: similarity, features,
                                     dropped_directions; read-out knn: n_neighbors and its value
summary: pooler/status               trained, untrained, missing, absent
summary: cache, key                  hit, partial or miss; the record's key
table: grid                          the grid: value, loss (knn: share of held-out rows that is
                                     wrong), converged
table: examples                      with ``tracker.examples=true``, a row per test row: split,
                                     row (digest), fold, label, prediction, correct (with draws
                                     the share that is right) or error (not for cosine); with
                                     ``tracker.text=true`` the texts too
artifact: record-KEY                 with ``tracker.artifacts=true``, of type ``record``: result.json,
                                     predictions.safetensors and, if anything was fitted,
                                     probe.safetensors; KEY is the start of the record's key
==================================== ===========================================================

A sweep's own run (``tracker.comparison=false`` leaves it out) contains the following. A later one
of the same folder replaces it while it is offline and unsent:

==================================== ===========================================================
history: layers/GROUP/POOLING,       scores with the layer as step, where a sweep has several layers;
_low, _high; layer                   GROUP is the dataset, the metric and what else differs
history: jobs/STATUS                 number of jobs: done, skipped, failed
table: comparison                    a row per run: the columns of comparison.csv; ``group`` and
                                     ``panel``, its settings but for the pooling, and for the layer
table: differences                   a row per group and pair: a - b with its interval; p-values
                                     after Holm over the group's pairs; model, layer, probe ...
image: figures/scores, /layers       a panel per group, intervals as error bars (with matplotlib)
==================================== ===========================================================

W&B's environment variables apply unless an option of the command line says otherwise:
``WANDB_PROJECT``, ``WANDB_ENTITY``, ``WANDB_RUN_GROUP``, ``WANDB_NOTES``, ``WANDB_BASE_URL``,
``WANDB_API_KEY`` ... ``WANDB_NAME`` and ``WANDB_JOB_TYPE`` replace the names above. ``WANDB_DIR``
is the folder of the runs in place of the records' folders. A sweep ignores, with a warning,
``WANDB_RUN_ID``, ``WANDB_RESUME`` and ``WANDB_NAME``, which name a single run. `RUN_SETTINGS` of
`src.trackers.wandb_settings` cannot be changed.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from src.config.limits import check_wandb_name
from src.config.schema import TrackerConfig
from src.errors import UserError, flatten
from src.results.groups import IDENTITY
from src.results.result import Result
from src.trackers.registry import tracker
from src.trackers.tracker import Table
from src.trackers.wandb_artifacts import ARTIFACT_FILES, ARTIFACT_TYPE, artifact_name
from src.trackers.wandb_files import has_ended
from src.trackers.wandb_runs import (
    note_run_folder,
    remove_empty_runs,
    remove_replaced_runs,
    run_identity,
    runs_of_key,
)
from src.trackers.wandb_server import shared_server
from src.trackers.wandb_settings import RUN_SETTINGS, quiet_service, staging_folder
from src.trackers.wandb_summary import wandb_history, wandb_summary

PROJECT = "bert-pooling-probes"  # unless an option or W&B's settings name one
LONGEST_TAG = 64  # characters that the server accepts
COMPARISON = "comparison"  # job type of a sweep's own run

log = logging.getLogger(__name__)


@tracker("wandb")
class WandbTracker:
    """A run of Weights & Biases.

    Mode ``offline`` writes the run beside the record. ``online`` sends it, and raises an error at
    once without a key or a server. ``auto`` sends it if there are both, and is otherwise offline. The
    environment's ``WANDB_MODE=offline`` or ``disabled`` wins over all three, so that one setting
    can silence a cluster. ``WANDB_MODE=online`` does not send what the configuration keeps offline.

    Attributes
    ----------
    mode : str
        ``offline``, ``online`` or ``disabled``.
    reason : str or None
        Why runs stay offline although another mode was requested.

    Raises
    ------
    UserError
        ``tracker.mode=online`` is not possible, or the environment's project or entity is invalid.
    """

    def __init__(self, config: TrackerConfig) -> None:
        quiet_service()
        self.config = config
        self.mode: Any = config.mode
        self.reason: str | None = None
        self._server = shared_server()
        self._run: Any = None
        self._folder: Path | None = None
        wanted = {"dryrun": "offline"}.get(os.environ.get("WANDB_MODE", ""), os.environ.get("WANDB_MODE", ""))
        if wanted in ("offline", "disabled"):
            self.mode = wanted
        elif config.mode in ("auto", "online"):
            self._choose_mode(self._server.offline_reason())
        elif wanted in ("online", "shared"):
            self.reason = f"tracker.mode={config.mode} wins over WANDB_MODE={wanted}; tracker.mode=online sends runs"
        if self.mode != "disabled":
            for name in ("WANDB_PROJECT", "WANDB_ENTITY"):
                check_wandb_name(name, os.environ.get(name) or None)

    def _choose_mode(self, offline_reason: str | None) -> None:
        """Replace ``auto`` by what is possible; raise a UserError if ``online`` is not possible."""
        if offline_reason is None:
            self.mode = "online"
        elif self.config.mode == "online":
            raise UserError(
                f"tracker.mode=online: {offline_reason}.\n"
                "Run `wandb login`, or use tracker.mode=offline and `wandb sync` later, or tracker=none."
            )
        else:
            self.mode, self.reason = "offline", offline_reason

    def start(
        self, config: dict[str, Any], *, name: str, group: str | None, job_type: str, tags: list[str], folder: Path
    ) -> None:
        """Open the run below `folder`, or below the folder that `WANDB_DIR` names."""
        if self.mode == "disabled":
            return
        variables, other_folder = os.environ, os.environ.get("WANDB_DIR")
        more = [tag.strip() for tag in variables.get("WANDB_TAGS", "").split(",") if tag.strip()]
        arguments: dict[str, Any] = {
            "config": config,
            "group": group,
            "dir": os.path.abspath(other_folder) if other_folder else str(folder),
            "name": variables.get("WANDB_NAME") or name,
            "job_type": variables.get("WANDB_JOB_TYPE") or job_type,
            "tags": [tag[:LONGEST_TAG] for tag in dict.fromkeys([*tags, *more])],
        }
        if job_type in ("probe", COMPARISON):
            arguments |= run_identity(folder, str(config.get("key", "")))
            remove_empty_runs(folder, refused=True)
        try:
            self._open(arguments)
            if other_folder and self._folder:
                note_run_folder(folder, self._folder)
            if job_type == COMPARISON and self._folder:
                remove_replaced_runs(folder, self._folder)
        except Exception as error:
            if self.mode == "offline":
                self._give_up("could not open an offline run", error)
                return
            self._server.refusal = f"the server refused the run: {flatten(error)}"
            self._choose_mode(self._server.refusal)
            _stop_service()  # which would not accept the identifier twice
            with self._guarded("could not open an offline run"):
                self._open(arguments)

    def _open(self, arguments: dict[str, Any]) -> None:
        import wandb

        Path(arguments["dir"]).mkdir(parents=True, exist_ok=True)
        settings = wandb.setup(wandb.Settings(silent=True)).settings
        # By default the next job of a sweep in this process would get the previous job's run.
        self._run = wandb.init(
            project=self.config.project or settings.project or PROJECT,
            entity=self.config.entity,
            mode=self.mode,
            reinit="finish_previous",
            settings=wandb.Settings(**RUN_SETTINGS),
            **arguments,
        )
        self._folder = Path(self._run.dir).parent

    def holds(self, folder: Path, key: str) -> bool:
        """Return whether `folder` already has a run of the record with this key."""
        return self.mode == "disabled" or bool(runs_of_key(folder, key))

    def log(self, result: Result) -> None:
        """Write the record's numbers into the run's summary, and the grid as a table."""
        if self._run is None:
            return
        with self._guarded("could not log the record"):
            self._run.summary.update(wandb_summary(result))
            self._run.log(wandb_history(result))
        if grid := result.chosen.get("grid"):
            columns = list(grid[0])
            self.show({"grid": (columns, [[row.get(name) for name in columns] for row in grid])})

    def show(self, tables: Mapping[str, Table], images: Mapping[str, Path] | None = None) -> None:
        """Add tables, and images from files under ``figures/``."""
        if self._run is None:
            return
        with self._guarded("could not log tables and figures"), staging_folder(self._folder):
            import wandb

            values: dict[str, Any] = {
                name: wandb.Table(columns=list(columns), data=list(rows)) for name, (columns, rows) in tables.items()
            }
            values |= {f"figures/{name}": wandb.Image(str(path)) for name, path in (images or {}).items()}
            self._run.log(values)

    def attach(self, result: Result, folder: Path) -> None:
        """Add the files of a record as an artifact, of which W&B keeps each content once."""
        if self._run is None:
            return
        with self._guarded("could not log the files"), staging_folder(self._folder):
            import wandb

            about = {name: getattr(result, name) for name in ("key", *IDENTITY)}
            artifact = wandb.Artifact(artifact_name(result.key), ARTIFACT_TYPE, metadata=about)
            for name in ARTIFACT_FILES:
                if (folder / name).is_file():
                    artifact.add_file(str(folder / name), name=name)
            self._run.log_artifact(artifact)

    def measure(self, values: dict[str, float], step: int) -> None:
        """Add one point to the run's curves."""
        if self._run is None:
            return
        with self._guarded("could not log a step"):
            self._run.log(values, step=step, commit=True)  # by default a killed job loses its last point

    def finish(self, failed: bool) -> str | None:
        """Close the run, and return a line that says where it is and how to send it."""
        run, self._run = self._run, None
        if run is None:
            return None
        with self._guarded("could not close the run"):
            run.finish(exit_code=int(failed))
            if self.mode == "offline" and self._folder and not has_ended(self._folder):
                log.warning(
                    "W&B: the run in %s is incomplete, as after a full disk. The local record is not affected.",
                    _relative(self._folder),
                )
        if self.mode == "online":
            return f"W&B: {run.url}"
        note = f" ({self.reason})" if self.reason else ""
        return f"W&B: offline run{note}; send it with: wandb sync {shlex.quote(_relative(self._folder))}"

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        """Turn an error of the block into a warning."""
        try:
            yield
        except Exception as error:
            self._give_up(what, error)

    def _give_up(self, what: str, error: Exception) -> None:
        """Warn in one line, and stop the library's service, so that the next job has a new one."""
        log.warning("W&B %s: %s. The local record is not affected.", what, flatten(error))
        _stop_service()


def _stop_service() -> None:
    with suppress(Exception):
        import wandb

        wandb.teardown()


def _relative(path: Path | None) -> str:
    """Return a path relative to the working folder if it is below it."""
    if path is None:
        return ""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
