"""Computes the comparisons that the tables, figures and claims of the paper share."""

from __future__ import annotations

import csv
from collections import UserDict
from collections.abc import Callable, Container, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bundles import Record
from experiments.manifest import RECORDS_DIR, read_committed
from experiments.paper.labels import by_dtype, regularisation
from experiments.paper.resampling import Resampling
from experiments.strata import WITH_DEVIANCE, StratumTasks, build_strata, record_losses
from experiments.tasks import labelled_tasks, paired_tasks
from src.errors import UserError, flatten
from src.evaluation.contrasts import Contrast, Task
from src.evaluation.hierarchical import Overall, as_family
from src.evaluation.multiplicity import MAIN_POOLINGS
from src.results.result import Result
from src.storage.files import read_json

# The tasks of the primary claim: all real ones but SST with five classes, whose sentences are those
# of SST-2.
PRIMARY = ("cola", "sst2", "mrpc", "stsb", "rte", "wnli", "mr", "cr", "mpqa", "sick_e", "sick_r")
SHARING = ("sst2", "sick_r")  # share their texts with MR and SICK-E
PAIRS = (("pooler", "cls"), ("mean", "cls"), ("mean", "pooler"))
LADDER = {  # steps from [CLS] to the pooler, and a control
    "pooler_preactivation": "W h + b",
    "pooler": "its tanh",
    "pooler_inverse": "atanh of that",
    "random_pooler": "a random pooler",
}
STRENGTHS = ("none", "weak", "tuned")  # of the ladder's penalty
RESAMPLES = 10_000  # of the primary claim
FEWER = 1_000  # of every other claim


class Evidence(UserDict[str, Sequence[Record]]):
    """Holds bundles of records by name (``poolings/bert-books``), and computes comparisons once.

    Parameters
    ----------
    bundles : mapping of str to sequence of Record
    files : Path
        Folder of the records that are no bundles.
    resampling : Resampling, optional
        Computes what is resampled; default: without stored results.
    """

    def __init__(
        self,
        bundles: Mapping[str, Sequence[Record]],
        files: Path = RECORDS_DIR,
        resampling: Resampling | None = None,
    ) -> None:
        super().__init__(bundles)
        self.files = files
        self.resampling = Resampling() if resampling is None else resampling
        self._contrasts: dict[tuple[str, tuple[tuple[str, str], ...]], list[Contrast]] = {}
        self._primary: dict[str, list[Task]] = {}
        self._ladders: dict[tuple[str, ...], list[Overall]] = {}
        self._overall: dict[tuple[str, ...], Overall] = {}

    @classmethod
    def read(cls, records: Path = RECORDS_DIR) -> Evidence:
        """Return the evidence in a folder of records.

        Raises
        ------
        UserError
            A file that the manifest lists is missing or has changed.
        """
        return cls(read_committed(records), records, Resampling.read(records))

    @classmethod
    def of(cls, data: Mapping[str, Sequence[Record]], files: Path) -> Evidence:
        """Return `data` as evidence; an instance is returned unchanged."""
        return data if isinstance(data, cls) else cls(data, files)

    def __missing__(self, name: str) -> Sequence[Record]:
        raise UserError(f"the records of {name} are missing. experiments/README.md names the command that makes them.")

    def json(self, name: str) -> Any:
        """Return the content of a JSON file among the records."""
        try:
            return read_json(self.files / name)
        except (OSError, ValueError) as error:
            raise _unreadable(name, error) from error

    def csv(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a CSV file among the records."""
        try:
            with (self.files / name).open(newline="", encoding="utf-8") as file:
                return list(csv.DictReader(file))
        except (OSError, ValueError) as error:
            raise _unreadable(name, error) from error

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The models on which all poolings were compared, the embedded one first."""
        names = [
            name.partition("/")[2] for name in self if name.startswith("poolings/") and not name.endswith("-random")
        ]
        return tuple(sorted(names, key=lambda name: (name != "bert-books", name)))

    def models_of(self, experiment: str) -> list[str]:
        """Return the models that have a bundle or a JSON file of an experiment."""
        return [
            model
            for model in self.models
            if f"{experiment}/{model}" in self or (self.files / experiment / f"{model}.json").is_file()
        ]

    def pooler_status(self, model: str) -> str:
        """Return the status of a model's pooler."""
        return str(self[f"poolings/{model}"][0].result.pooler.get("status"))

    def tasks(self, bundle: str, **only: Container[Any]) -> list[Task]:
        """Return a bundle's tasks; `only` maps fields of the record to the values that are kept."""
        return paired_tasks(record for record in self[bundle] if _matches(record.result, only))

    def labelled_tasks(
        self, bundles: Sequence[str], label: Callable[[Result], str], keep: Callable[[Result], bool] | None = None
    ) -> list[Task]:
        """Return the tasks of several bundles by label, without datasets that lack a label.

        Parameters
        ----------
        bundles : sequence of str
        label : callable
            Returns the label of a run (`experiments.paper.labels`).
        keep : callable, optional
            Returns whether a run is used.
        """
        records = (record for name in bundles for record in self[name])
        found = labelled_tasks((record for record in records if keep is None or keep(record.result)), label)
        names = {name for task in found for name in task.predictions}
        return [task for task in found if set(task.predictions) == names]

    def primary_tasks(self, model: str) -> list[Task]:
        """Return the tasks of the primary claim, the same objects at each call."""
        if model not in self._primary:
            found = {task.name: task for task in self.tasks(f"poolings/{model}", pooling=MAIN_POOLINGS)}
            if missing := [name for name in PRIMARY if name not in found]:
                names = ", ".join(missing)
                raise UserError(
                    f"poolings/{model} lacks {names}. Run the experiment on all its tasks, then collect it."
                )
            self._primary[model] = [found[name] for name in PRIMARY]
        return self._primary[model]

    def contrasts(self, model: str, pairs: Sequence[tuple[str, str]] = PAIRS) -> list[Contrast]:
        """Return the paired differences on the primary tasks; Holm over the pairs of a task."""
        key = (model, tuple(pairs))
        if key not in self._contrasts:
            self._contrasts[key] = self.resampling.contrasts(self.primary_tasks(model), pairs, resamples=RESAMPLES)
        return self._contrasts[key]

    def overall(self, model: str, a: str, b: str) -> Overall:
        """Return a against b over the primary tasks; Holm over `PAIRS`."""
        if (model, a, b) not in self._overall:
            tasks = self.primary_tasks(model)
            found = [self.resampling.over_tasks(tasks, *pair, resamples=RESAMPLES) for pair in PAIRS]
            self._overall |= {(model, each.a, each.b): each for each in as_family(found)}
        return self._overall[model, a, b]

    def disjoint_overall(self, model: str, a: str, b: str) -> Overall:
        """Return a against b over those primary tasks that share no text with each other."""
        if (model, a, b, "disjoint") not in self._overall:
            tasks = [task for task in self.primary_tasks(model) if task.name not in SHARING]
            self._overall[model, a, b, "disjoint"] = self.resampling.over_tasks(tasks, a, b, resamples=FEWER)
        return self._overall[model, a, b, "disjoint"]

    def over_tasks(
        self, bundles: Sequence[str], label: Callable[[Result], str], a: str, b: str, **only: Container[Any]
    ) -> Overall:
        """Return the runs labelled a against those labelled b, over the tasks of some bundles.

        Parameters
        ----------
        bundles : sequence of str
        label : callable
            Returns the label of a run (`experiments.paper.labels`).
        a, b : str
            Labels.
        **only
            Fields of the record and the values that are kept, as in ``pairing=["joint"]``.
        """
        key = (*bundles, label.__name__, a, b, *(f"{name}={values}" for name, values in only.items()))
        if key not in self._overall:

            def keep(result: Result) -> bool:
                return _matches(result, only) and label(result) in (a, b)

            found = self.labelled_tasks(bundles, label, keep)
            self._overall[key] = self.resampling.over_tasks(found, a, b, resamples=resamples(found))
        return self._overall[key]

    def means(self, bundle: str, label: Callable[[Result], str], **only: Container[Any]) -> dict[str, float]:
        """Return the mean score over a bundle's tasks for each label; `only` as in `over_tasks`."""
        scores: dict[str, list[float]] = {}
        for record in self[bundle]:
            if _matches(record.result, only) and record.result.score["value"] is not None:
                scores.setdefault(label(record.result), []).append(record.result.score["value"])
        return {name: sum(values) / len(values) for name, values in scores.items()}

    def has_deviance(self, model: str) -> bool:
        """Return whether a model's records hold the loss of every test row, as D² needs."""
        return all(
            record_losses(record) is not None
            for record in self[f"poolings/{model}"]
            if record.result.probe in WITH_DEVIANCE
        )

    def strata(self, model: str) -> list[StratumTasks]:
        """Return the strata of a model, with the tasks that can answer; none if its records lack D²."""
        if not self.has_deviance(model):
            return []
        records = list(self[f"poolings/{model}"])
        for experiment in ("pairs", "similarity"):
            if (name := f"{experiment}/{model}") in self:
                records += [each for each in self[name] if each.result.pairing == "separate"]
        return build_strata([each for each in records if each.result.pooling in MAIN_POOLINGS])

    def ladder(self, model: str, strength: str) -> list[Overall]:
        """Return each step of `LADDER` against [CLS], at one of `STRENGTHS`."""
        if (model, strength) not in self._ladders:
            records = self[f"ladder/{model}"]
            found = paired_tasks(record for record in records if regularisation(record.result) == strength)
            self._ladders[model, strength] = [
                self.resampling.over_tasks(found, step, "cls", resamples=FEWER) for step in LADDER
            ]
        return self._ladders[model, strength]

    def precision(self, model: str) -> list[Overall]:
        """Return each pooling in half precision against itself in float32."""
        bundle = f"precision/{model}"
        labels = {by_dtype(record.result) for record in self[bundle]}
        halves = sorted(label for label in labels if not label.endswith("float32"))
        return [self.over_tasks([bundle], by_dtype, half, f"{half.partition(',')[0]}, float32") for half in halves]


def resamples(tasks: Sequence[Task]) -> int:
    """Return the resamples of a claim that is not primary, fewer for tasks with several draws."""
    dimensions = max((np.ndim(predictions) for task in tasks for predictions in task.predictions.values()), default=1)
    return FEWER if dimensions == 1 else FEWER // 3


def _matches(result: Result, only: Mapping[str, Container[Any]]) -> bool:
    return all(getattr(result, name) in values for name, values in only.items())


def _unreadable(name: str, error: Exception) -> UserError:
    return UserError(
        f"{name} of the records cannot be read: {flatten(error)}. experiments/README.md names its command."
    )
