"""Build claims over tasks from records: which tasks count, their stratum, D² and its contrasts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.bundles import Record, require_rows
from experiments.losses import WITH_DEVIANCE, label_constant, record_constant, record_deviance, record_losses
from experiments.units import task_units, unit_members
from src.errors import UserError
from src.evaluation.deviance import (
    constant_losses,
    decodes,
)
from src.evaluation.multiplicity import MAIN_POOLINGS
from src.evaluation.overlap import row_clusters
from src.evaluation.row_contrasts import (
    RowContrast,
    TaskLosses,
    deviance_contrast,
    spearman_contrast,
)
from src.evaluation.units import MARGIN, MeanContrast, correct_claims, mean_over_units
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
    fitted = [
        record
        for record in records
        if record.result.probe in WITH_DEVIANCE and selection_loss(record.result) is not None
    ]
    if not fitted:
        raise UserError(
            f"{records[0].result.dataset}: whether it counts is decided by probe=logistic or probe=ridge, "
            "and no such run is here. Add one."
        )
    last = max(record.result.layer for record in fitted)
    of_layer = [record for record in fitted if record.result.layer == last]
    main = [record for record in of_layer if record.result.pooling_label in MAIN_POOLINGS] or of_layer
    pairs = [pair for pair in map(_losses_of_choice, main) if pair[1] > 0]
    if not pairs:
        return Answer(False)
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


def row_contrast(records: Mapping[str, Record], a: str, b: str, *, by_text: bool = True) -> RowContrast:
    """Return the contrast of two runs on one task, in D² or in Spearman's correlation.

    Parameters
    ----------
    records : mapping
        Name of each run to its record.
    a, b : str
    by_text : bool, default True
        Whether pairs that share one text depend on each other, where a record has the digests of each.
        Else pairs whose texts all agree do: digests of a pair and of a text never agree.

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
    clusters = clusters_of([records[a], records[b]], by_text=by_text)
    if stratum_of(result) == SIMILARITY:
        both = {name: records[name].predictions["prediction"] for name in (a, b)}
        sets = predictions.get("set")
        return spearman_contrast(result.dataset, predictions["label"], both, a, b, clusters, sets)
    losses = {name: record_losses(records[name]) for name in (a, b)}
    if missing := [name for name, each in losses.items() if each is None]:
        raise UserError(
            f"{result.dataset}: the record of {missing[0]} holds no log-likelihoods, so it has no D². Run it again."
        )
    kept = {name: each for name, each in losses.items() if each is not None}
    folds = predictions["fold"] if predictions["fold"].max(initial=-1) >= 0 else None
    task = TaskLosses(result.dataset, kept, record_constant(first), clusters, folds)
    return deviance_contrast(task, a, b)


def clusters_of(records: Sequence[Record], *, by_text: bool = True) -> Array:
    """Return the clusters of the rows of runs on one task; see `src.evaluation.overlap.row_clusters`."""
    predictions = records[0].predictions
    texts = next((each.predictions["texts"] for each in records if "texts" in each.predictions), None)
    return row_clusters(predictions["row"], predictions.get("group"), texts if by_text else None)


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
    clusters = clusters_of([record])
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
    # A page asks for the same claims several times.
    _contrasts: dict[tuple[str, str, str], RowContrast] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _claims: dict[Any, list[MeanContrast]] = field(default_factory=dict, init=False, repr=False, compare=False)

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
        pairs = tuple(pairs)
        key = (pairs, margin, regression)
        if key not in self._claims:
            self._claims[key] = correct_claims(self._means(pairs, margin, regression))
        return self._claims[key]

    def _means(self, pairs: Iterable[tuple[str, str]], margin: float, regression: bool) -> list[MeanContrast]:
        found, units = [], self.units()
        for a, b in pairs:
            contrasts = [
                replace(self._contrast(dataset, a, b), task=dataset, unit=units[dataset])
                for dataset, runs in self.tasks.items()
                if {a, b} <= runs.keys() and (regression or self.stratum == SIMILARITY or _is_classification(runs))
            ]
            if contrasts:
                found.append(mean_over_units(contrasts, margin=margin))
        return found

    def _contrast(self, dataset: str, a: str, b: str) -> RowContrast:
        key = (dataset, a, b)
        if key not in self._contrasts:
            self._contrasts[key] = row_contrast(self.tasks[dataset], a, b, by_text=not self.without_texts)
        return self._contrasts[key]

    @cached_property
    def without_texts(self) -> tuple[str, ...]:
        """The pair tasks, of no groups, whose records lack the digests of each text: made by an older version."""
        return tuple(
            name
            for name, runs in self.tasks.items()
            if any(has_pairs(each.result) and each.predictions for each in runs.values())
            and not any({"texts", "group"} & each.predictions.keys() for each in runs.values())
        )

    def repeated(self, pairs: Iterable[tuple[str, str]], *, margin: float = MARGIN) -> list[MeanContrast]:
        """Return the claims without the regression tasks; none where that leaves the tasks as they are, or none."""
        if self.stratum == SIMILARITY or all(map(_is_classification, self.tasks.values())):
            return []
        return self.claims(pairs, margin=margin, regression=False)

    def units(self) -> dict[str, str]:
        """Return the unit of each task that counts."""
        firsts = {task: next(iter(runs.values())).result for task, runs in self.tasks.items() if runs}
        return dict(zip(firsts, task_units(firsts.values(), names=firsts), strict=True))


def _is_classification(runs: Mapping[str, Record]) -> bool:
    return all(record.result.counts.get("classes") for record in runs.values())


def group_tasks(
    records: Iterable[Record],
    *,
    answer: Callable[[Sequence[Record]], Answer] = task_answer,
    label: Callable[[Result], str] = lambda result: result.pooling_label,
    stratum: str = "",
) -> list[StratumTasks]:
    """Return records as the tasks of each stratum, each with its runs by label.

    Read-outs without D² or a similarity are left out, and so is a stratum in which a probe's record
    lacks the log-likelihoods of its rows, as those of older versions do.

    Parameters
    ----------
    records : iterable of Record
        Of one encoder, or of those that the labels tell apart.
    answer : callable
        Returns whether the task of some runs counts.
    label : callable
        Returns the label of a run.
    stratum : str, optional
        One name for all, where runs of several strata are compared.

    Raises
    ------
    UserError
        Two runs of a task have the same label.
    """
    records = list(records)
    lacking = {stratum or stratum_of(record.result) for record in records if _lacks_losses(record)}
    by_task: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        own = stratum_of(record.result)
        if own is not None and (stratum or own) not in lacking:
            by_task.setdefault((stratum or own, record.result.dataset), []).append(record)
    found = {name: StratumTasks(name, {}, {}) for name in ([stratum] if stratum else STRATA)}
    approximate: dict[str, tuple[str, ...]] = dict.fromkeys(found, ())
    for (name, dataset), members in by_task.items():
        decided = answer(members)
        if not decided.counts:
            found[name].failed[dataset] = decided
        approximate[name] += (dataset,) * (decided.counts and decided.approximate)
        runs = (found[name].tasks if decided.counts else found[name].floors).setdefault(dataset, {})
        for record in members:
            if label(record.result) in runs:
                raise UserError(
                    f"{dataset}: two runs are labelled {label(record.result)}. Choose runs that differ in it."
                )
            runs[label(record.result)] = record
    kept = [each for each in found.values() if each.tasks or each.failed]
    return [replace(each, approximate=approximate[each.stratum]) for each in kept]


def _lacks_losses(record: Record) -> bool:
    return record.result.probe in WITH_DEVIANCE and record.sums is None and record_losses(record) is None
