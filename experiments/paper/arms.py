"""Compares pre-training arms: contrasts that are paired by seed, and the checks of docs/protocol.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from experiments.bundles import Record
from experiments.paper.evidence import Evidence
from experiments.strata import STRATA, WITH_DEVIANCE, record_constant, record_losses, stratum_of, task_answer, unit_of
from src.evaluation.deviance import deviance_explained
from src.evaluation.differences import Difference, p_equivalence, verdict
from src.evaluation.metrics import Array
from src.evaluation.multiplicity import MAIN_POOLINGS, holm_within
from src.evaluation.proportions import wilson
from src.evaluation.units import LEVEL, MARGIN, seed_contrast

NAMES = ("nsp", "continued")  # of the studies
WORDS_ONLY = "mlm"  # the arm whose pooler gets no gradient
QUANTITIES: dict[str, dict[str, float]] = {  # weights of the poolings
    **{pooling: {pooling: 1.0} for pooling in MAIN_POOLINGS},
    "pooler − cls": {"pooler": 1.0, "cls": -1.0},
    "mean − cls": {"mean": 1.0, "cls": -1.0},
}
LEARNT = 0.6  # held-out accuracy of next sentences above which an arm of study=nsp learnt them
# Conditions of study=continued.
NEXT_SENTENCE, CHANCE, LARGEST_LOSS = 0.7, 0.5, 0.03
PROBED = ("sst2", "mr", "cr", "mpqa")
CORRELATED = ("sts12", "sts13", "sts14", "sts15")
ORIGINAL = "all-MiniLM-L6-v2"


@dataclass(frozen=True)
class SeedContrast:
    """One quantity of arm a less that of arm b, over the seeds and units of a stratum."""

    study: str
    stratum: str
    a: str
    b: str
    quantity: str
    regression: bool  # whether the regression tasks are in
    tasks: tuple[str, ...]
    units: tuple[str, ...]
    seeds: tuple[int, ...]
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


class Study:
    """Holds the records of a study's arms.

    Parameters
    ----------
    evidence : Evidence
    name : str
        One of `NAMES`.
    """

    def __init__(self, evidence: Evidence, name: str) -> None:
        self.name = name
        content = evidence.json(f"arms/{name}/arms.json")
        self.facts: Mapping[str, Mapping[str, Any]] = content["arms"]
        self.planned = int(content["planned"])
        self.arms = tuple(dict.fromkeys(each["arm"] for each in self.facts.values()))
        self.records: dict[str, list[Record]] = {label: [] for label in self.facts}
        for record in evidence[f"arms/{name}"]:
            self.records[record.result.model].append(record)  # a model is named by its training's folder

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of which every arm is there."""
        found = sorted({int(each["seed"]) for each in self.facts.values()})
        return tuple(seed for seed in found if all(f"{arm}-{seed}" in self.facts for arm in self.arms))

    @cached_property
    def runs(self) -> dict[tuple[str, str], dict[str, dict[str, Record]]]:
        """Records by stratum and task, then label of the training, then pooling; those that have a D²."""
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
                [_deviance(self.runs[stratum, task][f"{arm}-{seed}"][pooling]) for task in tasks]
                for seed in self.seeds
            ]
        )  # fmt: skip

    def contrasts(self, stratum: str, *, regression: bool = True) -> list[SeedContrast]:
        """Return all contrasts between the arms; Holm over the quantities of each pair of arms.

        There are none with fewer than two seeds or two units.
        """
        tasks = self.tasks(stratum, regression=regression)
        units = [unit_of(task) or task for task in tasks]
        names = list(dict.fromkeys(units))
        if len(self.seeds) < 2 or len(names) < 2:
            return []
        members = np.array([[unit == name for unit in units] for name in names], dtype=float)
        members /= members.sum(axis=1, keepdims=True)  # a unit's value is the mean of its tasks
        values = {
            (arm, pooling): self.explained(stratum, tasks, arm, pooling) @ members.T
            for arm in self.arms
            for pooling in MAIN_POOLINGS
        }
        found = []
        for b, a in combinations(self.arms, 2):
            differences = [
                seed_contrast(sum(weight * (values[a, name] - values[b, name]) for name, weight in weights.items()))
                for weights in QUANTITIES.values()
            ]
            p = _holm([each.p for each in differences])
            same = _holm([p_equivalence(each, MARGIN) for each in differences])
            found += [
                SeedContrast(
                    self.name, stratum, a, b, quantity, regression, tuple(tasks), tuple(names), self.seeds,
                    difference, own, equal,
                )
                for quantity, difference, own, equal in zip(QUANTITIES, differences, p, same, strict=True)
            ]  # fmt: skip
        return found

    def all_contrasts(self) -> Iterator[SeedContrast]:
        """Yield the contrasts of each stratum, and those without the regression tasks where that differs."""
        for stratum in STRATA:
            yield from self.contrasts(stratum)
            if self.tasks(stratum, regression=False) != self.tasks(stratum):
                yield from self.contrasts(stratum, regression=False)

    def pooler(self, label: str) -> str:
        """Return how an arm's pooler came about."""
        return "untrained" if self.facts[label]["arm"] == WORDS_ONLY else "trained"

    def learnt(self, label: str) -> bool | None:
        """Return whether an arm learnt next sentences; None for the arm that was not to learn them."""
        accuracy = self.facts[label]["nsp_accuracy"]
        return None if accuracy is None else bool(accuracy > LEARNT)


def _deviance(record: Record) -> float:
    losses = record_losses(record)
    assert losses is not None
    return deviance_explained(losses, record_constant(record))


def _holm(pvalues: Sequence[float | None]) -> list[float | None]:
    return holm_within(pvalues, ["one family"] * len(pvalues))


def studies(evidence: Evidence) -> list[Study]:
    """Return the studies whose records are there."""
    return [Study(evidence, name) for name in NAMES if (evidence.files / "arms" / name / "arms.json").is_file()]


@dataclass(frozen=True)
class Condition:
    """A condition that was fixed beforehand, and what was measured."""

    label: str  # of the training
    what: str
    value: float | None  # None if it was not measured
    bound: float
    interval: tuple[float, float] | None = None

    @property
    def held(self) -> bool | None:
        """Whether the value, or the lower end of its interval, lies above the bound; None if not measured."""
        if self.value is None:
            return None
        return (self.value if self.interval is None else self.interval[0]) > self.bound


def conditions(evidence: Evidence, study: Study) -> list[Condition]:
    """Return the conditions of study=continued for each arm and seed.

    Differences are in accuracy, of the arm's mean less the original's; their bound is a loss.
    """
    found = []
    for label, facts in study.facts.items():
        if facts["arm"] != WORDS_ONLY:
            books, other = (facts[name] for name in ("books", "other_text"))
            found.append(Condition(label, "next sentences, held-out books", books["nsp_accuracy"], NEXT_SENTENCE))
            interval = wilson(round(other["nsp_accuracy"] * other["rows"]), other["rows"])
            found.append(Condition(label, "next sentences, other text", other["nsp_accuracy"], CHANCE, interval))
        before, after = (accuracies(records) for records in (original(evidence, "poolings"), study.records[label]))
        found += [
            # At most three points below is allowed, also exactly three.
            Condition(
                label,
                f"mean on {task} less the original's",
                after[task] - before[task] if task in after and task in before else None,
                -LARGEST_LOSS - 1e-9,
            )
            for task in PROBED
        ]
    return found


def original(evidence: Evidence, experiment: str) -> Sequence[Record]:
    """Return the records of the checkpoint that study=continued begins with; none if they are not there."""
    name = f"{experiment}/{ORIGINAL}"
    return evidence.data.get(name, ())


def accuracies(records: Sequence[Record]) -> dict[str, float]:
    """Return the accuracy of mean pooling under probe=logistic, by task."""
    return {
        record.result.dataset: float(record.result.metrics["accuracy"]["value"])
        for record in records
        if record.result.pooling_label == "mean" and record.result.probe == "logistic"
    }


def correlations(records: Sequence[Record]) -> dict[tuple[str, str], float]:
    """Return Spearman's correlation of the cosine as the vectors are, by task and pooling."""
    return {
        (record.result.dataset, record.result.pooling_label): float(record.result.score["value"])
        for record in records
        if record.result.probe == "cosine"
        and record.result.config["probe"]["features"] == "none"
        and record.result.dataset in CORRELATED
        and record.result.pooling_label in MAIN_POOLINGS
    }
