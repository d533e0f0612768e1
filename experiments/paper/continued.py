"""Checks the conditions of the trainings that continue from a checkpoint, and reads the scores of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.bundles import Record
from experiments.losses import record_deviance
from experiments.paper.arms import WORDS_ONLY, Study
from experiments.paper.evidence import PAIRS, Evidence, is_unscaled, stratum_claims
from experiments.paper.labels import by_pooling
from experiments.strata import stratum_of
from experiments.units import unit_members
from src.evaluation.multiplicity import MAIN_POOLINGS
from src.evaluation.proportions import wilson
from src.evaluation.units import MeanContrast

# Conditions of study=continued.
NEXT_SENTENCE, CHANCE, LARGEST_LOSS = 0.7, 0.5, 0.03
PROBED = ("sst2", "mr", "cr", "mpqa")
CORRELATED = ("sts12", "sts13", "sts14", "sts15")
ORIGINAL = "all-MiniLM-L6-v2"


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
    return evidence.optional(name)


def accuracies(records: Sequence[Record]) -> dict[str, float]:
    """Return the accuracy of mean pooling under probe=logistic, by task."""
    return {
        record.result.dataset: float(record.result.metrics["accuracy"]["value"])
        for record in records
        if record.result.pooling_label == "mean" and record.result.probe == "logistic"
    }


def original_means(evidence: Evidence, study: Study, stratum: str) -> dict[str, float]:
    """Return D² of the checkpoint that study=continued begins with, by pooling, over the study's tasks and units."""
    tasks = study.tasks(stratum)
    runs: dict[str, dict[str, Record]] = {}
    for record in original(evidence, "poolings"):
        if stratum_of(record.result) == stratum and record.result.dataset in tasks:
            runs.setdefault(record.result.dataset, {})[record.result.pooling_label] = record
    if not tasks or set(runs) != set(tasks):
        return {}
    names = [pooling for pooling in MAIN_POOLINGS if all(pooling in each for each in runs.values())]
    _, members = unit_members([next(iter(runs[task].values())).result for task in tasks])
    return {
        pooling: float((members @ np.array([record_deviance(runs[task][pooling]) for task in tasks])).mean())
        for pooling in names
    }


def within_trainings(evidence: Evidence, study: Study) -> dict[str, list[tuple[str, MeanContrast]]]:
    """Return the claims within each training whose rows are kept, by stratum, as for any other encoder."""
    found = {}
    for label in study.labels:
        records = [each for each in study.records[label] if each.sums is None and is_unscaled(each.result)]
        strata = evidence.group(label, records, by_pooling) if records else []
        found[label] = [named for stratum in strata for named in stratum_claims(stratum, PAIRS, repeated=True)]
    return {label: claims for label, claims in found.items() if claims}


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
