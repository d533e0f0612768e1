"""Computes the comparisons that the tables, figures and claims of the paper share."""

from __future__ import annotations

import csv
from collections import UserDict
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from experiments.bundles import Record
from experiments.manifest import RECORDS_DIR, read_committed
from experiments.paper.labels import by_dtype, by_pooling, regularisation
from experiments.paper.resampling import Resampling
from experiments.strata import Answer, StratumTasks, group_tasks, task_answer
from experiments.style import MAIN_PAIRS
from experiments.tasks import paired_tasks
from src.errors import UserError, flatten
from src.evaluation.contrasts import Contrast, Task
from src.evaluation.multiplicity import MAIN_POOLINGS
from src.evaluation.units import MeanContrast
from src.results.result import Result
from src.storage.files import read_json

# Real tasks in the order of the page: single texts, then pairs. Tasks that are not named follow.
SINGLE_TASKS = (
    *("sst2", "sst_fine", "mr", "cr", "mpqa", "subj", "trec", "banking77"),
    *("tweet_offensive", "tweet_irony", "cola"),
)
PAIR_TASKS = ("mrpc", "stsb", "sick_e", "sick_r", "rte", "wnli")
TASKS = (*SINGLE_TASKS, *PAIR_TASKS)
PAIRS = MAIN_PAIRS
LADDER = {  # steps from [CLS] to the pooler, and a control
    "pooler_preactivation": "W h + b",
    "pooler": "its tanh",
    "pooler_inverse": "atanh of that",
    "random_pooler": "a random pooler",
}
STRENGTHS = ("none", "weak", "tuned")  # of the ladder's penalty
RESAMPLES = 10_000  # of a contrast
FEWER = 1_000  # of a contrast of Spearman's correlations
Label = Callable[[Result], str]
T = TypeVar("T")


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
        self._kept: dict[Hashable, Any] = {}

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

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return what `compute` returns, computed at the first call with a key."""
        if key not in self._kept:
            self._kept[key] = compute()
        found: T = self._kept[key]
        return found

    def optional(self, name: str) -> Sequence[Record]:
        """Return a bundle, empty if it is not among the records."""
        return self.data.get(name, ())

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

    def contrasts(self, model: str) -> list[Contrast]:
        """Return the paired differences of `PAIRS` on each real task, in its own metric; Holm over a task's pairs."""
        tasks = partial(self.tasks, f"poolings/{model}", pooling=MAIN_POOLINGS)
        return self.once(("contrasts", model), lambda: self.paired_contrasts(sort_tasks(tasks())))

    def similarity_contrasts(self, model: str) -> list[Contrast]:
        """Return the paired differences of `PAIRS` where the cosine of unscaled vectors is the score."""
        unscaled = (each for each in self[f"similarity/{model}"] if is_unscaled(each.result))
        kept = (each for each in unscaled if each.result.pooling_label in MAIN_POOLINGS)
        return self.once(("similarity", model), lambda: self.paired_contrasts(paired_tasks(kept)))

    def paired_contrasts(self, tasks: Sequence[Task], pairs: Sequence[tuple[str, str]] = PAIRS) -> list[Contrast]:
        """Return the paired differences of some tasks, after Holm over a task's pairs.

        Correlations of ranks, which take the longest, get fewer resamples.
        """
        return [
            contrast
            for task in tasks
            for contrast in self.resampling.contrasts(
                [task], pairs, resamples=FEWER if task.metric == "spearman" else RESAMPLES
            )
        ]

    def answer(self, model: str, records: Sequence[Record]) -> Answer:
        """Return whether the task of some runs counts.

        It is decided once for a model, dataset and pairing, by the runs of the poolings experiment, or
        of the pairs experiment; by the runs themselves if neither holds the task. Where runs of both
        pairings are compared, the task has to count in both.
        """
        result = records[0].result
        if result.chosen.get("similarity"):
            return task_answer(records)
        pairings = dict.fromkeys(record.result.pairing for record in records)
        known = [self._decided(model).get((result.dataset, pairing)) for pairing in pairings]
        found = [each for each in known if each is not None]
        if len(found) < len(known):
            return task_answer(records)
        return next((each for each in found if not each.counts), found[0])

    def counts(self, model: str, result: Result) -> bool:
        """Return whether the task of a run is one that counts, as `answer` decides it; False if nothing decides."""
        known = self._decided(model).get((result.dataset, result.pairing))
        return known is not None and known.counts

    def _decided(self, model: str) -> dict[tuple[str, str], Answer]:
        return self.once(("answers", model), lambda: self._decide(model))

    def _decide(self, model: str) -> dict[tuple[str, str], Answer]:
        by_task: dict[tuple[str, str], list[Record]] = {}
        for experiment in ("pairs", "poolings"):  # the second replaces the first
            found: dict[tuple[str, str], list[Record]] = {}
            for record in self.optional(f"{experiment}/{model}"):
                found.setdefault((record.result.dataset, record.result.pairing), []).append(record)
            by_task |= found
        return {task: task_answer(members) for task, members in by_task.items()}

    def strata(self, model: str) -> list[StratumTasks]:
        """Return the strata of a model: its real tasks, pairs also read apart, and similarity of unscaled vectors."""
        records = [*self[f"poolings/{model}"]]
        for experiment in ("pairs", "similarity"):
            records += [each for each in self.optional(f"{experiment}/{model}") if each.result.pairing == "separate"]
        kept = [each for each in records if is_real(each.result) and is_unscaled(each.result)]
        return self.group(model, kept, by_pooling)

    def group(self, model: str, records: Iterable[Record], label: Label, stratum: str = "") -> list[StratumTasks]:
        """Return records as the tasks of each stratum, each with its runs by label.

        Read-outs without D² or a similarity are left out, and so is a stratum in which a probe's record
        lacks the log-likelihoods of its rows, as those of older versions do. Equal arguments give the same
        instances, which compute a claim once.

        Parameters
        ----------
        model : str
            Whose runs decide which tasks count.
        records : iterable of Record
        label : callable
            Returns the label of a run (`experiments.paper.labels`).
        stratum : str, optional
            One name for all, where runs of several strata are compared.

        Raises
        ------
        UserError
            Two runs of a task have the same label.
        """
        kept = [record for record in records if record.result.draws == 1]
        kept.sort(key=lambda record: task_place(record.result.dataset))
        answer = partial(self.answer, model)
        _, found = self.once(  # the records are held, so that no other gets the id of one
            ("groups", model, label, stratum, *map(id, kept)),
            lambda: (kept, group_tasks(kept, answer=answer, label=label, stratum=stratum)),
        )
        return found

    def claims(
        self,
        model: str,
        bundles: Sequence[str],
        label: Label,
        pairs: Sequence[tuple[str, str]],
        *,
        keep: Callable[[Result], bool] | None = None,
        stratum: str = "",
        repeated: bool = False,
    ) -> list[tuple[str, MeanContrast]]:
        """Return each stratum of some bundles with its claims over tasks, after Holm; see `group`.

        With `repeated`, they are followed by those without the regression tasks.
        """
        records = (record for name in bundles for record in self[name])
        kept = [each for each in records if is_real(each.result) and (keep is None or keep(each.result))]
        found = self.group(model, kept, label, stratum)
        return [named for each in found for named in stratum_claims(each, pairs, repeated=repeated)]

    def ladder(self, model: str, strength: str, *, repeated: bool = False) -> list[tuple[str, MeanContrast]]:
        """Return each step of `LADDER` against [CLS], at one of `STRENGTHS`, by stratum; see `claims`."""
        pairs = [(step, "cls") for step in LADDER]
        bundles = [f"ladder/{model}"]
        return self.claims(
            model, bundles, by_pooling, pairs, keep=lambda run: regularisation(run) == strength, repeated=repeated
        )

    def precision(self, model: str, *, repeated: bool = False) -> list[tuple[str, MeanContrast]]:
        """Return each pooling in half precision against itself in float32, by stratum; see `claims`."""
        bundle = f"precision/{model}"
        labels = {by_dtype(record.result) for record in self[bundle]}
        halves = sorted(label for label in labels if not label.endswith("float32"))
        pairs = [(half, f"{half.partition(',')[0]}, float32") for half in halves]
        return self.claims(model, [bundle], by_dtype, pairs, repeated=repeated)


def stratum_claims(
    tasks: StratumTasks, pairs: Sequence[tuple[str, str]], *, repeated: bool = False
) -> list[tuple[str, MeanContrast]]:
    """Return the claims of a stratum by its name; with `repeated`, also those without its regression tasks."""
    found = [(tasks.stratum, claim) for claim in tasks.claims(pairs)]
    again = tasks.repeated(pairs) if repeated else []
    return found + [(f"{tasks.stratum}, classification tasks only", claim) for claim in again]


def is_real(result: Result) -> bool:
    """Return whether a task is none of the suite's own."""
    return not result.dataset.startswith("demo_")


def task_place(dataset: str) -> tuple[int, str]:
    """Return the place of a task on the page."""
    return (TASKS.index(dataset) if dataset in TASKS else len(TASKS), dataset)


def sort_tasks(tasks: Iterable[Task]) -> list[Task]:
    """Return tasks in the order of the page."""
    return sorted(tasks, key=lambda task: task_place(task.name))


def is_unscaled(result: Result) -> bool:
    """Return whether a run scores something other than the cosine of scaled vectors."""
    return not result.chosen.get("similarity") or result.config["probe"].get("features") == "none"


def _matches(result: Result, only: Mapping[str, Container[Any]]) -> bool:
    return all(getattr(result, name) in values for name, values in only.items())


def _unreadable(name: str, error: Exception) -> UserError:
    return UserError(
        f"{name} of the records cannot be read: {flatten(error)}. experiments/README.md names its command."
    )
