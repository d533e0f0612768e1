"""Build claims over tasks from records: which tasks count, their stratum, D² and its contrasts."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from experiments.bundles import Record, require_rows
from experiments.losses import WITH_DEVIANCE, label_constant, record_constant, record_deviance, record_losses
from src.config.paths import CONF
from src.errors import UserError
from src.evaluation.deviance import (
    constant_losses,
    decodes,
)
from src.evaluation.multiplicity import MAIN_POOLINGS
from src.evaluation.row_contrasts import (
    RowContrast,
    TaskLosses,
    deviance_contrast,
    row_clusters,
    spearman_contrast,
)
from src.evaluation.units import MARGIN, MeanContrast, correct_claims, mean_over_units
from src.results.groups import weights_digest
from src.results.paired import have_same_rows
from src.results.result import Result
from src.results.statements import has_pairs

SINGLE, TOGETHER, APART, SIMILARITY = "single texts", "pairs read together", "pairs read apart", "similarity"
STRATA = (SINGLE, TOGETHER, APART, SIMILARITY)
Array = NDArray[Any]


def stratum_of(result: Result) -> str | None:
    """Return the stratum of a run; None for a read-out that has neither D² nor a similarity."""
    if result.chosen.get("similarity"):
        return SIMILARITY
    if result.probe not in WITH_DEVIANCE:
        return None
    if not has_pairs(result):
        return SINGLE
    return APART if result.pairing == "separate" else TOGETHER


@dataclass(frozen=True)
class Answer:
    """Whether a task counts.

    Attributes
    ----------
    counts : bool
    gain : float or None
        Share of the constant's loss by which the best probe is better; None for similarity.
    approximate : bool
        Whether the records lack the constant's loss, which is then that of the test labels.
    """

    counts: bool
    gain: float | None = None
    approximate: bool = False


def task_answer(records: Sequence[Record]) -> Answer:
    """Return whether the task of some runs counts over tasks; docs/protocol.md has the rule.

    Parameters
    ----------
    records : sequence of Record
        Runs of one encoder, dataset and pairing, of any layer, pooling and read-out.

    Raises
    ------
    UserError
        No run has a log-loss or a squared error to decide by.
    """
    if any(stratum_of(record.result) == SIMILARITY for record in records):
        return Answer(True)
    fitted = [record for record in records if record.result.probe in WITH_DEVIANCE and selection_loss(record.result)]
    if not fitted:
        raise UserError(
            f"{records[0].result.dataset}: whether it counts is decided by probe=logistic or probe=ridge, "
            "and no such run is here. Add one."
        )
    last = max(record.result.layer for record in fitted)
    of_layer = [record for record in fitted if record.result.layer == last]
    main = [record for record in of_layer if record.result.pooling_label in MAIN_POOLINGS] or of_layer
    pairs = [_losses_of_choice(record) for record in main]
    gain = max(1 - loss / constant for loss, constant, _ in pairs)
    counts = decodes([(loss, constant) for loss, constant, _ in pairs])
    return Answer(counts, gain, any(approximate for *_, approximate in pairs))


def selection_loss(result: Result) -> float | None:
    """Return the loss at the grid's choice, on the rows that chose it."""
    chosen = result.chosen
    if chosen.get("loss") is not None:
        return float(chosen["loss"])
    losses = [each.get("loss") for each in chosen.get("grid", []) if each.get("value") == chosen.get("value")]
    return float(losses[0]) if losses and losses[0] is not None else None


def _losses_of_choice(record: Record) -> tuple[float, float, bool]:
    """Return the loss at the grid's choice, that of the constant, and whether the latter is approximate."""
    loss, constant = selection_loss(record.result), record.result.chosen.get("constant_loss")
    assert loss is not None
    if constant is not None:
        return loss, float(constant), False
    require_rows([record])
    return loss, float(constant_losses(record.predictions["label"], label_constant(record)).mean()), True


def row_contrast(records: Mapping[str, Record], a: str, b: str) -> RowContrast:
    """Return the contrast of two runs on one task, in D² or in Spearman's correlation.

    Parameters
    ----------
    records : mapping
        Name of each run to its record.
    a, b : str

    Raises
    ------
    UserError
        The runs have different rows, or a record does not hold the losses of its rows.
    """
    first = records[a]
    require_rows([records[a], records[b]])
    result, predictions = first.result, first.predictions
    if not have_same_rows(predictions, records[b].predictions):
        raise UserError(f"{result.dataset}: {a} and {b} were scored on different rows. Run them again on the same.")
    clusters = row_clusters(predictions["row"], predictions.get("group"))
    if stratum_of(result) == SIMILARITY:
        both = {name: records[name].predictions["prediction"] for name in (a, b)}
        return spearman_contrast(result.dataset, predictions["label"], both, a, b, clusters, predictions.get("set"))
    losses = {name: record_losses(records[name]) for name in (a, b)}
    if missing := [name for name, each in losses.items() if each is None]:
        raise UserError(
            f"{result.dataset}: the record of {missing[0]} holds no log-likelihoods, so it has no D². Run it again."
        )
    kept = {name: each for name, each in losses.items() if each is not None}
    folds = predictions["fold"] if predictions["fold"].max(initial=-1) >= 0 else None
    return deviance_contrast(TaskLosses(result.dataset, kept, record_constant(first), clusters, folds), a, b)


def explained(record: Record) -> RowContrast:
    """Return the D² of a run with its error: the contrast with the constant of its fitted rows.

    Raises
    ------
    UserError
        The record does not hold the losses of its rows.
    """
    require_rows([record])
    losses, predictions = record_losses(record), record.predictions
    if losses is None:
        raise UserError(f"{record.result.dataset}: the record holds no log-likelihoods, so it has no D². Run it again.")
    constant = record_constant(record)
    clusters = row_clusters(predictions["row"], predictions.get("group"))
    folds = predictions["fold"] if predictions["fold"].max(initial=-1) >= 0 else None
    both = {record.result.pooling_label: losses, "constant": constant}
    task = TaskLosses(record.result.dataset, both, constant, clusters, folds)
    return deviance_contrast(task, record.result.pooling_label, "constant")


def average_level(stratum: StratumTasks, name: str) -> float | None:
    """Return the mean over units of a run's D², or of its similarity; None if a task lacks the run."""
    if not stratum.tasks or not all(name in runs for runs in stratum.tasks.values()):
        return None
    records = [runs[name] for runs in stratum.tasks.values()]
    similar = stratum.stratum == SIMILARITY
    values = [float(each.result.score["value"]) if similar else record_deviance(each) for each in records]
    _, members = unit_members([record.result for record in records])
    return float((members @ np.array(values)).mean())


@dataclass(frozen=True)
class StratumTasks:
    """Tasks of one encoder, stratum, layer and read-out.

    Attributes
    ----------
    stratum : str
    tasks : dict
        Dataset to its records by pooling; those that count.
    failed : dict
        Dataset that does not count to its `Answer`.
    approximate : tuple of str
        Datasets that were decided by the test labels.
    floors : dict
        Dataset that does not count to its records by pooling, where they are kept to be shown.
    """

    stratum: str
    tasks: dict[str, dict[str, Record]]
    failed: dict[str, Answer]
    approximate: tuple[str, ...] = ()
    floors: dict[str, dict[str, Record]] = field(default_factory=dict)

    def claims(
        self, pairs: Iterable[tuple[str, str]], *, margin: float = MARGIN, regression: bool = True
    ) -> list[MeanContrast]:
        """Return the claim of each pair over the tasks that have both runs, after Holm.

        Parameters
        ----------
        pairs : iterable of (str, str)
        margin : float, default 0.01
        regression : bool, default True
            False leaves the regression tasks out; similarity is kept.
        """
        found, units = [], self.units()
        for a, b in pairs:
            contrasts = [
                replace(row_contrast(runs, a, b), unit=units[dataset])
                for dataset, runs in self.tasks.items()
                if {a, b} <= runs.keys() and (regression or self.stratum == SIMILARITY or _is_classification(runs))
            ]
            if contrasts:
                found.append(mean_over_units(contrasts, margin=margin))
        return correct_claims(found)

    def units(self) -> dict[str, str]:
        """Return the unit of each task that counts."""
        firsts = {task: next(iter(runs.values())).result for task, runs in self.tasks.items() if runs}
        return dict(zip(firsts, task_units(firsts.values(), names=firsts), strict=True))


def unit_of(result: Result) -> str | None:
    """Return the unit that a run's record names, or the configuration of its dataset; None without one."""
    source = result.provenance.get("data") or {}
    return source.get("unit") or _units().get(result.dataset)


def task_units(results: Iterable[Result], *, names: Iterable[str] | None = None) -> list[str]:
    """Return the unit of each task.

    Tasks are of one unit where their datasets name the same, or where they share a whole column of
    texts, as several labels of the same texts do. A unit without a name has that of its first task.

    Parameters
    ----------
    results : iterable of Result
        A run of each task.
    names : iterable of str, optional
        The tasks' names; default: their datasets.
    """
    results = list(results)
    tasks = [result.dataset for result in results] if names is None else list(names)
    units: list[str] = []
    marks: list[set[object]] = []  # what the tasks so far have in common with others
    for task, result in zip(tasks, results, strict=True):
        texts = result.provenance.get("texts") or {}
        own: set[object] = {digest for columns in texts.values() for digest in columns}
        own |= {("unit", name)} if (name := unit_of(result)) else set()
        joined = [place for place, mark in enumerate(marks) if mark & own]
        unit = name or (units[joined[0]] if joined else task)
        merged = {units[place] for place in joined}
        units = [unit if each in merged else each for each in units] + [unit]
        marks.append(own)
    return units


def unit_members(results: Sequence[Result]) -> tuple[list[str], Array]:
    """Return the units of some tasks, and the share of each task in its unit's mean, (units, tasks)."""
    units = task_units(results)
    names = list(dict.fromkeys(units))
    members = np.array([[unit == name for unit in units] for name in names], dtype=float).reshape(
        len(names), len(units)
    )
    return names, members / members.sum(axis=1, keepdims=True)


@functools.cache
def _units() -> dict[str, str]:
    """Return the unit of each dataset in conf/ that has one."""
    files = (CONF / "dataset").glob("*.yaml")
    found = {path.stem: OmegaConf.select(OmegaConf.load(path), "unit") for path in files}
    return {dataset: unit for dataset, unit in found.items() if unit}


def _is_classification(runs: Mapping[str, Record]) -> bool:
    return all(record.result.counts.get("classes") for record in runs.values())


def build_strata(records: Sequence[Record], *, layer: int | None = None) -> list[StratumTasks]:
    """Return the strata of one encoder's records at one layer, each task with its records by pooling.

    Parameters
    ----------
    records : sequence of Record
        Each dataset has one run per pooling, pairing, layer and read-out.
    layer : int, optional
        Default: each run's last layer in these records.

    Raises
    ------
    UserError
        The records are of several encoders, or two runs of a task have the same pooling.
    """
    if len({weights_digest(record.result) for record in records}) > 1:
        raise UserError("a claim over tasks is about one encoder, and these records are of several. Choose one.")
    by_task: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if stratum_of(record.result) is not None:
            kind = SIMILARITY if stratum_of(record.result) == SIMILARITY else record.result.pairing
            by_task.setdefault((record.result.dataset, kind), []).append(record)
    found = {stratum: StratumTasks(stratum, {}, {}) for stratum in STRATA}
    approximate: dict[str, list[str]] = {stratum: [] for stratum in STRATA}
    for (dataset, _), members in by_task.items():
        stratum, answer = str(stratum_of(members[0].result)), task_answer(members)
        if not answer.counts:
            found[stratum].failed[dataset] = answer
            continue
        if answer.approximate:
            approximate[stratum].append(dataset)
        last = max(record.result.layer for record in members) if layer is None else layer
        runs: dict[str, Record] = {}
        for record in members:
            if record.result.layer != last:
                continue
            if record.result.pooling_label in runs:
                raise UserError(
                    f"{dataset}: two runs have pooling={record.result.pooling_label}, so a claim over tasks cannot "
                    "choose. Leave one of them out."
                )
            runs[record.result.pooling_label] = record
        found[stratum].tasks[dataset] = runs
    return [
        StratumTasks(each.stratum, each.tasks, each.failed, tuple(approximate[each.stratum]))
        for each in found.values()
        if each.tasks or each.failed
    ]
