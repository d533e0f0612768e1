"""What the committed records say, computed once for tables, figures and sentences: the tasks, the pairs and the margin fixed beforehand."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.collect import RECORDS, Record, committed, labelled, tasks
from src.errors import UserError, flatten
from src.paired import Contrast, Overall, Task, contrasts, over_tasks
from src.result import Result

# The primary claim's tasks: every real one at hand, but SST with five classes, whose sentences are SST-2's.
PRIMARY = ("cola", "sst2", "mrpc", "stsb", "rte", "wnli", "mr", "cr", "mpqa", "sick_e", "sick_r")
COMPARED = ("cls", "pooler", "mean")
PAIRS = (("pooler", "cls"), ("mean", "cls"), ("mean", "pooler"))
RESAMPLES = 10_000
STRENGTHS = ("none", "weak", "tuned")


def _fits(result: Result, only: Mapping[str, Container[Any]]) -> bool:
    return all(getattr(result, name) in values for name, values in only.items())


def _any(result: Result) -> bool:
    return True


class Evidence(Mapping[str, Sequence[Record]]):
    """Bundles by name (``poolings/bert-books``), with the comparisons that several readers need, each computed once."""

    def __init__(self, bundles: Mapping[str, Sequence[Record]], files: Path = RECORDS) -> None:
        self.bundles, self.files = dict(bundles), files
        self._contrasts: dict[tuple[str, tuple[tuple[str, str], ...]], list[Contrast]] = {}
        self._primary: dict[str, list[Task]] = {}
        self._overall: dict[tuple[str, str, str], Overall] = {}

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
            raise UserError(f"the records of {name} are missing. experiments/README.md names the command that makes them.")
        return self.bundles[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.bundles)

    def __len__(self) -> int:
        return len(self.bundles)

    def json(self, name: str) -> Any:
        """A file of records that is no bundle."""
        try:
            return json.loads((self.files / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{name} of the records cannot be read: {flatten(error)}. experiments/README.md names its command.") from error

    def csv(self, name: str) -> list[dict[str, str]]:
        """The rows of a table among the records."""
        try:
            with (self.files / name).open(newline="", encoding="utf-8") as file:
                return list(csv.DictReader(file))
        except (OSError, ValueError) as error:
            raise UserError(f"{name} of the records cannot be read: {flatten(error)}. experiments/README.md names its command.") from error

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Models that all poolings were compared on, the embedded one first."""
        names = [name.partition("/")[2] for name in self if name.startswith("poolings/") and not name.endswith("-random")]
        return tuple(sorted(names, key=lambda name: (name != "bert-books", name)))

    def tasks(self, bundle: str, wanted: Callable[[Result], bool] = _any) -> list[Task]:
        """A bundle's tasks, of those runs alone that `wanted` names: what is left may differ in pooling and dataset only."""
        return tasks(record for record in self[bundle] if wanted(record.result))

    def labelled(self, bundles: Sequence[str], label: Callable[[Result], str], wanted: Callable[[Result], bool] = _any) -> list[Task]:
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
        found = {task.name: task for task in self.tasks(f"poolings/{model}", lambda result: result.pooling in COMPARED)}
        if missing := [name for name in PRIMARY if name not in found]:
            raise UserError(f"poolings/{model} lacks {', '.join(missing)}. Run the experiment on all its tasks, then collect it.")
        return [found[name] for name in PRIMARY]

    def contrasts(self, model: str, pairs: Sequence[tuple[str, str]] = PAIRS) -> list[Contrast]:
        """Paired differences on the primary tasks, one family for Holm."""
        key = (model, tuple(pairs))
        if key not in self._contrasts:
            self._contrasts[key] = contrasts(self.primary(model), pairs, resamples=RESAMPLES)
        return self._contrasts[key]

    def overall(self, model: str, a: str, b: str) -> Overall:
        """The claim over the primary tasks, of a against b."""
        key = (model, a, b)
        if key not in self._overall:
            self._overall[key] = over_tasks(self.primary(model), a, b, resamples=RESAMPLES)
        return self._overall[key]

    def over(self, bundles: Sequence[str], label: Callable[[Result], str], a: str, b: str, **only: Container[Any]) -> Overall:
        """The claim over the tasks of some bundles, of the runs that `label` calls a against those it calls b.

        `only` narrows the runs: a field of the record and the values it may have, as in ``pairing=["joint"]``.
        """
        found = self.labelled(bundles, label, lambda result: _fits(result, only) and label(result) in (a, b))
        return over_tasks(found, a, b, resamples=RESAMPLES)

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
        found = self.tasks(f"ladder/{model}", lambda result: regularisation(result) == strength)
        return [over_tasks(found, step, "cls", resamples=RESAMPLES) for step in steps]

    def precision(self, model: str) -> list[Overall]:
        """Each pooling in half precision against itself in float32."""
        found = self.labelled([f"precision/{model}"], lambda result: f"{result.pooling}, {result.config['runtime']['dtype']}")
        halves = [name for name in found[0].predictions if not name.endswith(", float32")]
        return [over_tasks(found, half, f"{half.partition(',')[0]}, float32", resamples=RESAMPLES) for half in sorted(halves)]


def regularisation(result: Result) -> str:
    """Which of `STRENGTHS` a run's grid is: of one value, zero or not, or tuned."""
    (grid,) = result.config["probe"]["grid"].values()
    return "tuned" if len(grid) > 1 else "weak" if grid[0] else "none"
