"""Groups runs that differ in their pooling alone, and tests every pair of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from experiments import style
from experiments.bundles import Record
from experiments.tasks import paired_task
from src.evaluation.contrasts import MARGIN, Contrast, Task, contrasts, metric_margin
from src.evaluation.differences import Difference, mirrored
from src.evaluation.metrics import metrics
from src.pooling import parts_of
from src.results.cautions import cautions, is_one_vector, uses_untrained_pooler
from src.results.display import format_score
from src.results.groups import group_labels, group_runs, other_identity, texts_digest, weights_digest
from src.results.result import Result

CONTROLS = ("random_pooler",)  # never recommended
FILES_SHOWN = 3


@dataclass(frozen=True)
class Run:
    """The run of one pooling.

    Parameters
    ----------
    name : str
        The pooling, with the start of the record's key if two runs of a section have the same
        pooling.
    result : Result
    """

    name: str
    result: Result

    @property
    def value(self) -> float | None:
        """The headline score, None if it is undefined."""
        return self.result.score["value"]

    @property
    def bytes(self) -> int:
        """Bytes of a row of features in float32."""
        return 4 * int(self.result.counts.get("width") or 0)

    @property
    def is_random(self) -> bool:
        """Whether the features pass through weights that were never trained."""
        parts = parts_of(self.result.pooling_label)
        return not set(CONTROLS).isdisjoint(parts) or uses_untrained_pooler(self.result)

    @property
    def needs_pooler(self) -> bool:
        """Whether the features pass through the pooler's weights."""
        return style.needs_pooler(self.result.pooling_label)

    @property
    def cautions(self) -> list[str]:
        """Cautions for readers of this score."""
        undefined = (
            [] if self.value is not None else [f"{format_score(self.result.score['metric'], self.result.score)}."]
        )
        return [*undefined, *cautions(self.result)]


@dataclass(frozen=True, eq=False)
class Section:
    """Runs that differ in their pooling alone."""

    label: dict[str, str]  # settings in which it differs from the other sections
    runs: tuple[Run, ...]  # the best score first
    task: Task
    # each pair of runs once, the better score first
    contrasts: Mapping[tuple[str, str], Contrast]
    margin: float  # of equivalence, in the metric's unit
    records: Mapping[str, Record]  # by the name of their run

    @property
    def metric(self) -> str:
        return self.task.metric

    @property
    def title(self) -> str:
        """The dataset, then the rest of the label."""
        return label_title(self.label)

    @property
    def scored(self) -> list[Run]:
        """The runs that have a score and more than one vector for all texts."""
        return [run for run in self.runs if run.value is not None and not is_one_vector(run.result)]

    @property
    def baseline(self) -> dict[str, Any]:
        """Trivial scores by name, each ``{value, low, high}``."""
        found = self.runs[0].result.baseline
        return {name: value if isinstance(value, Mapping) else {"value": value} for name, value in found.items()}

    def verdict(self, a: str, b: str) -> str:
        """Return the verdict of a against b, one of `src.evaluation.differences.VERDICTS`."""
        if (a, b) in self.contrasts:
            return self.contrasts[a, b].verdict
        return mirrored(self.contrasts[b, a].verdict)

    def contrast(self, a: str, b: str) -> Contrast:
        """Return the test between two runs, in either order."""
        return self.contrasts[(a, b) if (a, b) in self.contrasts else (b, a)]

    def difference(self, a: str, b: str) -> Difference:
        """Return metric(a) - metric(b)."""
        found = self.contrast(a, b)
        return found.difference if found.a == a else negate(found.difference)


def label_title(label: Mapping[str, str]) -> str:
    """Return a label as a title: the dataset, then the rest without the metric."""
    rest = [f"{name}={value}" for name, value in label.items() if name not in ("dataset", "metric")]
    return ", ".join([label["dataset"], *rest])


def build_sections(records: Iterable[Record], *, margin: float = MARGIN) -> list[Section]:
    """Return a section for each group of records that differ in their pooling alone.

    Parameters
    ----------
    records : iterable of Record
    margin : float, default 0.01
        Margin of equivalence as a fraction: 0.01 is a point. For a metric in the label's unit, a
        share of the standard deviation of the test labels.
    """
    groups = group_runs(sorted(records, key=_sort_key), lambda record: record.result, by_weights=True)
    labels = _section_labels([members[0].result for members in groups])
    return [_build_section(label, members, margin) for label, members in zip(labels, groups, strict=True)]


def _sort_key(record: Record) -> tuple[Any, ...]:
    result = record.result
    names = (result.dataset, result.model, result.layer, result.pairing, result.probe, result.seed, result.draws)
    return (*names, json.dumps(other_identity(result), sort_keys=True), result.pooling_label, result.key)


def _section_labels(results: Sequence[Result]) -> list[dict[str, str]]:
    """Return the settings in which each section differs from the others."""
    labels, _ = group_labels(results)
    without_probe = [{name: value for name, value in label.items() if name != "probe"} for label in labels]
    if _count_distinct(without_probe) == _count_distinct(labels):  # the probe follows from the data
        labels = without_probe
    texts: dict[str, set[str]] = {}
    weights: dict[str, set[str]] = {}
    for result in results:
        texts.setdefault(result.dataset, set()).add(texts_digest(result))
        weights.setdefault(result.model, set()).add(weights_digest(result))
    for result, label in zip(results, labels, strict=True):
        if len(texts[result.dataset]) > 1:
            listed = (result.provenance.get("data") or {}).get("files") or {}
            files = sorted({name.rpartition("/")[2] for name in listed})
            label["dataset"] += f" ({', '.join([*files[:FILES_SHOWN], texts_digest(result)])})"
        if len(weights[result.model]) > 1:
            label["model"] = f"{result.model} ({weights_digest(result)})"
    return labels


def _count_distinct(labels: Iterable[dict[str, str]]) -> int:
    return len({json.dumps(label) for label in labels})


def _build_section(label: dict[str, str], members: Sequence[Record], margin: float) -> Section:
    names = {record.result.key: name for record, name in zip(members, _run_names(members), strict=True)}
    task = paired_task(members, lambda result: names[result.key])
    runs = [Run(names[record.result.key], record.result) for record in members]
    sign = 1 if higher_is_better(task.metric) else -1
    runs.sort(
        key=lambda run: (run.value is None, is_one_vector(run.result), 0 if run.value is None else -sign * run.value)
    )
    pairs = list(combinations([run.name for run in runs], 2))
    margin = metric_margin(task, margin)
    found = contrasts([task], pairs, margin=margin) if pairs else []
    records = {names[record.result.key]: record for record in members}
    return Section(label, tuple(runs), task, {(each.a, each.b): each for each in found}, margin, records)


def _run_names(members: Sequence[Record]) -> Iterator[str]:
    """Yield each run's pooling, with the start of the key if two runs have the same."""
    given = [record.result.pooling_label for record in members]
    for record, name in zip(members, given, strict=True):
        yield f"{name} ({record.result.key[:6]})" if given.count(name) > 1 else name


def higher_is_better(metric: str) -> bool:
    """Return whether a higher value of a metric is better; True for an unregistered metric."""
    return metric not in metrics or metrics[metric].higher_is_better


def negate(difference: Difference) -> Difference:
    """Return the difference of b and a in place of that of a and b."""

    def minus(value: float | None) -> float | None:
        return None if value is None else -value

    def interval(level: float) -> tuple[float, float]:
        assert difference.interval is not None
        low, high = difference.interval(level)
        return -high, -low

    return replace(
        difference,
        interval=interval if difference.interval else None,
        value=minus(difference.value),
        low=minus(difference.high),
        high=minus(difference.low),
        low90=minus(difference.high90),
        high90=minus(difference.low90),
    )
