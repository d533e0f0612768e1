"""What the committed records say, computed once for tables, figures and sentences: the tasks, the pairs and the margin fixed beforehand."""

from __future__ import annotations

import csv
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from experiments.collect import RECORDS, Record, committed, labelled, tasks
from src.errors import UserError, flatten
from src.evaluation.contrasts import Contrast, Task, contrasts
from src.evaluation.hierarchical import Overall, as_family, over_tasks
from src.results.result import Result
from src.storage.files import read_json

# The primary claim's tasks: every real one at hand, but SST with five classes, whose sentences are SST-2's. Most of SST-2's test sentences
# are among MR's, and SICK's two tasks have the same pairs: `Evidence.apart` leaves one of each out.
PRIMARY = ("cola", "sst2", "mrpc", "stsb", "rte", "wnli", "mr", "cr", "mpqa", "sick_e", "sick_r")
SHARING = ("sst2", "sick_r")
COMPARED = ("cls", "pooler", "mean")
PAIRS = (("pooler", "cls"), ("mean", "cls"), ("mean", "pooler"))
RESAMPLES = 10_000  # of the primary claim
FEWER = 1_000  # of every other one, as in the simulation: a page of them in seconds
STRENGTHS = ("none", "weak", "tuned")


def _fits(result: Result, only: Mapping[str, Container[Any]]) -> bool:
    return all(getattr(result, name) in values for name, values in only.items())


def _typed(result: Result) -> str:
    return f"{result.pooling}, {result.config['runtime']['dtype']}"


def _any(result: Result) -> bool:
    return True


class Evidence(Mapping[str, Sequence[Record]]):
    """Bundles by name (``poolings/bert-books``), with the comparisons that several readers need, each computed once."""

    def __init__(self, bundles: Mapping[str, Sequence[Record]], files: Path = RECORDS) -> None:
        self.bundles, self.files = dict(bundles), files
        self._contrasts: dict[tuple[str, tuple[tuple[str, str], ...]], list[Contrast]] = {}
        self._primary: dict[str, list[Task]] = {}
        self._ladders: dict[tuple[str, ...], list[Overall]] = {}
        self._overall: dict[tuple[str, ...], Overall] = {}

    @classmethod
    def read(cls, records: Path = RECORDS) -> Evidence:
        """Everything that the manifest lists; UserError where something is missing."""
        return cls(committed(records), records)

    @classmethod
    def of(cls, data: Mapping[str, Sequence[Record]], files: Path) -> Evidence:
        """The same evidence where it is some already, so that what it has computed is kept."""
        return data if isinstance(data, cls) else cls(data, files)

    def __getitem__(self, name: str) -> Sequence[Record]:
        if name not in self.bundles:
            raise UserError(
                f"the records of {name} are missing. experiments/README.md names the command that makes them."
            )
        return self.bundles[name]

    def __contains__(self, name: object) -> bool:
        return name in self.bundles

    def __iter__(self) -> Iterator[str]:
        return iter(self.bundles)

    def __len__(self) -> int:
        return len(self.bundles)

    def json(self, name: str) -> Any:
        """A file of records that is no bundle."""
        try:
            return read_json(self.files / name)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{name} of the records cannot be read: {flatten(error)}. experiments/README.md names its command."
            ) from error

    def csv(self, name: str) -> list[dict[str, str]]:
        """The rows of a table among the records."""
        try:
            with (self.files / name).open(newline="", encoding="utf-8") as file:
                return list(csv.DictReader(file))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{name} of the records cannot be read: {flatten(error)}. experiments/README.md names its command."
            ) from error

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Models that all poolings were compared on, the embedded one first."""
        names = [
            name.partition("/")[2] for name in self if name.startswith("poolings/") and not name.endswith("-random")
        ]
        return tuple(sorted(names, key=lambda name: (name != "bert-books", name)))

    def having(self, experiment: str) -> list[str]:
        """The models that an experiment was run on, whether it left a bundle or a file."""
        return [
            model
            for model in self.models
            if f"{experiment}/{model}" in self or (self.files / experiment / f"{model}.json").is_file()
        ]

    def tasks(self, bundle: str, **only: Container[Any]) -> list[Task]:
        """A bundle's tasks, of the runs alone that `only` leaves (see `over`): those may differ in pooling and dataset."""
        return tasks(record for record in self[bundle] if _fits(record.result, only))

    def labelled(
        self, bundles: Sequence[str], label: Callable[[Result], str], wanted: Callable[[Result], bool] = _any
    ) -> list[Task]:
        """Tasks across several bundles, their runs named by `label`; datasets that lack some label are left out."""
        found = labelled((record for name in bundles for record in self[name] if wanted(record.result)), label)
        names = {name for task in found for name in task.predictions}
        return [task for task in found if set(task.predictions) == names]

    def primary(self, model: str) -> list[Task]:
        """The tasks of the primary claim, in their order; the same objects each time, so that their resamples are drawn once."""
        if model not in self._primary:
            self._primary[model] = self._read_primary(model)
        return self._primary[model]

    def _read_primary(self, model: str) -> list[Task]:
        found = {task.name: task for task in self.tasks(f"poolings/{model}", pooling=COMPARED)}
        if missing := [name for name in PRIMARY if name not in found]:
            raise UserError(
                f"poolings/{model} lacks {', '.join(missing)}. Run the experiment on all its tasks, then collect it."
            )
        return [found[name] for name in PRIMARY]

    def contrasts(self, model: str, pairs: Sequence[tuple[str, str]] = PAIRS) -> list[Contrast]:
        """Paired differences on the primary tasks, one family for Holm."""
        key = (model, tuple(pairs))
        if key not in self._contrasts:
            self._contrasts[key] = contrasts(self.primary(model), pairs, resamples=RESAMPLES)
        return self._contrasts[key]

    def overall(self, model: str, a: str, b: str) -> Overall:
        """The claim over the primary tasks, of a against b: one of `PAIRS`, which are a model's family for Holm."""
        if (model, a, b) not in self._overall:
            found = [over_tasks(self.primary(model), *pair, resamples=RESAMPLES) for pair in PAIRS]
            self._overall |= {(model, each.a, each.b): each for each in as_family(found)}
        return self._overall[model, a, b]

    def apart(self, model: str, a: str, b: str) -> Overall:
        """The same over tasks that share no sentence: without SST-2, which shares them with MR, and SICK-R, whose pairs are SICK-E's."""
        if (model, a, b, "apart") not in self._overall:
            tasks = [task for task in self.primary(model) if task.name not in SHARING]
            self._overall[model, a, b, "apart"] = over_tasks(tasks, a, b, resamples=FEWER)
        return self._overall[model, a, b, "apart"]

    def over(
        self, bundles: Sequence[str], label: Callable[[Result], str], a: str, b: str, **only: Container[Any]
    ) -> Overall:
        """The claim over the tasks of some bundles, of the runs that `label` calls a against those it calls b.

        `only` narrows the runs: a field of the record and the values it may have, as in ``pairing=["joint"]``.
        """
        key = (*bundles, label.__name__, a, b, *(f"{name}={values}" for name, values in only.items()))
        if key not in self._overall:
            found = self.labelled(bundles, label, lambda result: _fits(result, only) and label(result) in (a, b))
            self._overall[key] = over_tasks(found, a, b, resamples=resamples(found))
        return self._overall[key]

    def means(self, bundle: str, label: Callable[[Result], str], **only: Container[Any]) -> dict[str, float]:
        """Mean score over a bundle's tasks for each label."""
        scores: dict[str, list[float]] = {}
        for record in self[bundle]:
            if _fits(record.result, only) and record.result.score["value"] is not None:
                scores.setdefault(label(record.result), []).append(record.result.score["value"])
        return {name: sum(values) / len(values) for name, values in scores.items()}

    def pooler(self, model: str) -> str:
        """The status of a model's pooler, as its records say."""
        return str(self[f"poolings/{model}"][0].result.pooler.get("status"))

    def ladder(self, model: str, strength: str, steps: Sequence[str]) -> list[Overall]:
        """Each step against [CLS] over the ladder's tasks, at one of `STRENGTHS`."""
        key = (model, strength, *steps)
        if key not in self._ladders:
            self._ladders[key] = self._ladder(model, strength, steps)
        return self._ladders[key]

    def _ladder(self, model: str, strength: str, steps: Sequence[str]) -> list[Overall]:
        found = tasks(record for record in self[f"ladder/{model}"] if regularisation(record.result) == strength)
        return [over_tasks(found, step, "cls", resamples=FEWER) for step in steps]

    def precision(self, model: str) -> list[Overall]:
        """Each pooling in half precision against itself in float32, over the tasks that have both."""
        bundle = f"precision/{model}"
        halves = sorted(
            {_typed(record.result) for record in self[bundle] if not _typed(record.result).endswith("float32")}
        )
        return [self.over([bundle], _typed, half, f"{half.partition(',')[0]}, float32") for half in halves]


def resamples(found: Sequence[Task]) -> int:
    """How many serve a claim that is not primary: where several draws were scored, each resample costs as many times as much."""
    drawn = max((np.ndim(predictions) for task in found for predictions in task.predictions.values()), default=1)
    return FEWER if drawn == 1 else FEWER // 3


def regularisation(result: Result) -> str:
    """Which of `STRENGTHS` a run's grid is: of one value, zero or not, or tuned."""
    (grid,) = result.config["probe"]["grid"].values()
    return "tuned" if len(grid) > 1 else "weak" if grid[0] else "none"
