"""Compares pre-training arms: contrasts that are paired by seed, and the checks of docs/protocol.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from experiments.bundles import Record
from experiments.losses import WITH_DEVIANCE, record_deviance
from experiments.paper.evidence import Evidence
from experiments.strata import STRATA, stratum_of, task_answer
from experiments.studies.pooler_arms import ARMS
from experiments.units import unit_members
from src.errors import UserError
from src.evaluation.differences import Difference, p_equivalence, verdict
from src.evaluation.metrics import Array
from src.evaluation.multiplicity import MAIN_POOLINGS, holm_within
from src.evaluation.units import LEVEL, MARGIN, seed_contrast

NAMES = ("nsp", "continued")  # of the studies
WORDS_ONLY = "mlm"  # the arm whose pooler gets no gradient
QUANTITIES: dict[str, dict[str, float]] = {  # weights of the poolings
    **{pooling: {pooling: 1.0} for pooling in MAIN_POOLINGS},
    "pooler − cls": {"pooler": 1.0, "cls": -1.0},
    "mean − cls": {"mean": 1.0, "cls": -1.0},
}
LEARNT = 0.6  # held-out accuracy of next sentences above which fresh weights, or a pooler alone, learnt them


@dataclass(frozen=True)
class Quantity:
    """Holds a weighted sum of D² that is compared.

    Attributes
    ----------
    name : str
    arms : tuple of str
        One arm, or two, of which the second is taken from the first.
    weights : mapping of (str, str) to float
        By arm and pooling.
    untrained : str, optional
        The arm whose pooler the sum reads though nothing trained it.
    """

    name: str
    arms: tuple[str, ...]
    weights: Mapping[tuple[str, str], float]
    untrained: str | None = None

    @property
    def label(self) -> str:
        """The arms in one line, an untrained one marked."""
        return " − ".join(f"{arm} (untrained)" if arm == self.untrained else arm for arm in self.arms)


def difference_of_arms(name: str, a: str, b: str, weights: Mapping[str, float], untrained: str) -> Quantity:
    """Return a weighted sum of poolings of arm a less the same of arm b; `untrained` names an arm."""
    signed = {(arm, pooling): sign * each for arm, sign in ((a, 1.0), (b, -1.0)) for pooling, each in weights.items()}
    return Quantity(name, (a, b), signed, untrained if untrained in (a, b) and "pooler" in weights else None)


@dataclass(frozen=True)
class SeedContrast:
    """One quantity over the seeds and units of a stratum."""

    source: str  # a study, or the encoder of poolers that were trained alone
    stratum: str
    quantity: Quantity
    regression: bool  # whether the regression tasks are in
    tasks: tuple[str, ...]
    units: tuple[str, ...]
    seeds: tuple[int, ...]
    values: Array  # (seeds, units)
    difference: Difference
    p: float | None  # after Holm, as is the next one
    p_equivalence: float | None

    @property
    def freedom(self) -> int:
        """Degrees of freedom of Student's quantile."""
        return min(len(self.seeds), len(self.units)) - 1

    @property
    def verdict(self) -> str:
        """One of `src.evaluation.differences.VERDICTS`."""
        same = self.p_equivalence is not None and self.p_equivalence <= LEVEL
        return verdict(self.difference, MARGIN, p=self.p, equivalence=same)


class SeedRuns:
    """Holds the records of arms with several seeds; a record's model is ``ARM-SEED``.

    Parameters
    ----------
    name : str
    labels : iterable of str
        The models.
    records : iterable of Record

    Raises
    ------
    UserError
        A record is of another model.
    """

    def __init__(self, name: str, labels: Iterable[str], records: Iterable[Record]) -> None:
        self.name = name
        self.labels = tuple(labels)
        self.arms = tuple(dict.fromkeys(label.rpartition("-")[0] for label in self.labels))
        self.records: dict[str, list[Record]] = {label: [] for label in self.labels}
        for record in records:
            if record.result.model not in self.records:
                raise UserError(
                    f"{name}: the records hold {record.result.model}, which is none of its trainings: "
                    f"{', '.join(self.labels)}. Collect its records, and write arms.json, anew."
                )
            self.records[record.result.model].append(record)

    @property
    def families(self) -> list[list[Quantity]]:
        """The quantities that are compared, by Holm's family."""
        raise NotImplementedError

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of which every arm is there."""
        found = sorted({int(label.rpartition("-")[2]) for label in self.labels})
        return tuple(seed for seed in found if all(f"{arm}-{seed}" in self.records for arm in self.arms))

    @cached_property
    def runs(self) -> dict[tuple[str, str], dict[str, dict[str, Record]]]:
        """Records by stratum and task, then model, then pooling; those that have a D²."""
        found: dict[tuple[str, str], dict[str, dict[str, Record]]] = {}
        for label, records in self.records.items():
            for record in records:
                stratum = stratum_of(record.result)
                if stratum is not None and record.result.probe in WITH_DEVIANCE:
                    task = found.setdefault((stratum, record.result.dataset), {})
                    task.setdefault(label, {})[record.result.pooling_label] = record
        return found

    def tasks(self, stratum: str, *, regression: bool = True) -> list[str]:
        """Return the tasks that count: for more than half of the seeds of at least one arm."""
        found = []
        for (own, dataset), runs in self.runs.items():
            classes = [record.result.counts.get("classes") for of_arm in runs.values() for record in of_arm.values()]
            if own == stratum and (regression or all(classes)) and self._counts(runs):
                found.append(dataset)
        return found

    def _counts(self, runs: Mapping[str, Mapping[str, Record]]) -> bool:
        labels = [[f"{arm}-{seed}" for seed in self.seeds] for arm in self.arms]
        if not all(label in runs for of_arm in labels for label in of_arm):
            return False
        counts = [[task_answer(list(runs[label].values())).counts for label in of_arm] for of_arm in labels]
        return any(2 * sum(of_arm) > len(of_arm) for of_arm in counts)

    def explained(self, stratum: str, tasks: Sequence[str], arm: str, pooling: str) -> Array:
        """Return D² of an arm's pooling, (seeds, tasks)."""
        return np.array(
            [
                [record_deviance(self.runs[stratum, task][f"{arm}-{seed}"][pooling]) for task in tasks]
                for seed in self.seeds
            ]
        )  # fmt: skip

    def contrasts(self, stratum: str, *, regression: bool = True) -> list[SeedContrast]:
        """Return all contrasts of a stratum, after Holm over each family.

        There are none with fewer than two seeds or two units.

        Raises
        ------
        UserError
            A model lacks a run that others have.
        """
        self._check_complete(stratum)
        tasks = self.tasks(stratum, regression=regression)
        names, members = self._unit_members(stratum, tasks)
        if len(self.seeds) < 2 or len(names) < 2:
            return []
        found = []
        for family in self.families:
            values = [self._combine(stratum, tasks, quantity) @ members.T for quantity in family]
            differences = [seed_contrast(each) for each in values]
            p = _holm([each.p for each in differences])
            same = _holm([p_equivalence(each, MARGIN) for each in differences])
            found += [
                SeedContrast(
                    self.name, stratum, quantity, regression, tuple(tasks), tuple(names), self.seeds, value,
                    difference, own, equal,
                )
                for quantity, value, difference, own, equal in zip(family, values, differences, p, same, strict=True)
            ]  # fmt: skip
        return found

    def _check_complete(self, stratum: str) -> None:
        """Raise UserError if a model of `seeds` lacks a task or a pooling: the task would be left out silently."""
        labels = [f"{arm}-{seed}" for arm in self.arms for seed in self.seeds]
        for (own, dataset), runs in self.runs.items():
            poolings = {name for of_model in runs.values() for name in of_model}
            for label in labels if own == stratum else ():
                if missing := sorted(poolings - runs.get(label, {}).keys()):
                    raise UserError(
                        f"{self.name}: the records of {label} lack {dataset} with {', '.join(missing)}, which others "
                        "have. Run them, and collect the records again."
                    )

    def _combine(self, stratum: str, tasks: Sequence[str], quantity: Quantity) -> Array:
        """Return a quantity of each seed and task."""
        return np.sum(
            [
                weight * self.explained(stratum, tasks, arm, pooling)
                for (arm, pooling), weight in quantity.weights.items()
            ],
            axis=0,
        )

    def _unit_members(self, stratum: str, tasks: Sequence[str]) -> tuple[list[str], Array]:
        """Return the units of some tasks, and the share of each task in its unit's mean, (units, tasks)."""
        runs = [next(iter(self.runs[stratum, task].values())) for task in tasks]  # of any arm and seed
        return unit_members([next(iter(each.values())).result for each in runs])

    def means(self, stratum: str) -> dict[tuple[str, str], float]:
        """Return D² by arm and pooling: the mean over seeds and units of the tasks that count."""
        tasks = self.tasks(stratum)
        if not tasks or not self.seeds:
            return {}
        _, members = self._unit_members(stratum, tasks)
        poolings = self.runs[stratum, tasks[0]][f"{self.arms[0]}-{self.seeds[0]}"]
        return {
            (arm, pooling): float((self.explained(stratum, tasks, arm, pooling) @ members.T).mean())
            for arm in self.arms
            for pooling in poolings
        }

    @cached_property
    def all_contrasts(self) -> list[SeedContrast]:
        """The contrasts of each stratum, and those without the regression tasks where that differs."""
        found = []
        for stratum in STRATA:
            found += self.contrasts(stratum)
            if self.tasks(stratum, regression=False) != self.tasks(stratum):
                found += self.contrasts(stratum, regression=False)
        return found


class Study(SeedRuns):
    """Holds the records of a study's pre-training arms.

    Parameters
    ----------
    evidence : Evidence
    name : str
        One of `NAMES`.
    """

    def __init__(self, evidence: Evidence, name: str) -> None:
        content = evidence.json(f"arms/{name}/arms.json")
        self.facts: Mapping[str, Mapping[str, Any]] = content["arms"]
        self.planned = int(content["planned"])
        super().__init__(name, self.facts, evidence[f"arms/{name}"])

    @property
    def families(self) -> list[list[Quantity]]:
        """`QUANTITIES` of each pair of arms."""
        return [
            [difference_of_arms(name, a, b, weights, WORDS_ONLY) for name, weights in QUANTITIES.items()]
            for b, a in combinations(self.arms, 2)
        ]

    @cached_property
    def all_contrasts(self) -> list[SeedContrast]:
        """The contrasts, once all planned trainings are there: those of some seeds would be a look ahead."""
        return super().all_contrasts if len(self.facts) == self.planned else []

    def pooler(self, label: str) -> str:
        """Return how an arm's pooler came about."""
        return "untrained" if self.facts[label]["arm"] == WORDS_ONLY else "trained"

    def learnt(self, label: str) -> bool | None:
        """Return whether an arm learnt next sentences; None for the arm that was not to learn them."""
        accuracy = self.facts[label]["nsp_accuracy"]
        return None if accuracy is None else bool(accuracy > LEARNT)


class PoolerStudy(SeedRuns):
    """Holds the records of one frozen encoder with random poolers, and with those that were trained alone.

    Parameters
    ----------
    evidence : Evidence
    model : str
        The encoder.
    """

    def __init__(self, evidence: Evidence, model: str) -> None:
        records = evidence[f"nsp_pooler/{model}"]
        seeds: Mapping[str, Mapping[str, Any]] = evidence.json(f"nsp_pooler/{model}.json")["seeds"]
        self.accuracies = {int(seed): found["held_out_accuracy"] for seed, found in seeds.items()}
        super().__init__(model, [f"{arm}-{seed}" for seed in self.accuracies for arm in ARMS], records)

    @property
    def families(self) -> list[list[Quantity]]:
        """The trained pooler less the random one, and each less [CLS], which is the same in both."""
        random, trained = ARMS
        within = [
            Quantity("pooler − cls", (arm,), {(arm, "pooler"): 1.0, (arm, "cls"): -1.0}, untrained)
            for arm, untrained in ((trained, None), (random, random))
        ]
        return [[difference_of_arms("pooler", trained, random, {"pooler": 1.0}, random), *within]]

    @property
    def learnt(self) -> list[int]:
        """The seeds whose head exceeds `LEARNT` on held-out pairs."""
        return [seed for seed, found in self.accuracies.items() if found["head of nsp"]["value"] > LEARNT]


def _holm(pvalues: Sequence[float | None]) -> list[float | None]:
    return holm_within(pvalues, ["one family"] * len(pvalues))


def studies(evidence: Evidence) -> list[Study]:
    """Return the studies whose records are there."""
    return [find_study(evidence, name) for name in NAMES if (evidence.files / "arms" / name / "arms.json").is_file()]


def find_study(evidence: Evidence, name: str) -> Study:
    """Return a study of `NAMES`, the same instance for the same evidence."""
    return evidence.once(f"arms/{name}", lambda: Study(evidence, name))


def find_pooler_study(evidence: Evidence, model: str) -> PoolerStudy:
    """Return the study of an encoder's poolers, the same instance for the same evidence."""
    return evidence.once(f"nsp_pooler/{model}", lambda: PoolerStudy(evidence, model))
