"""Builds the tasks of paired tests: predictions of several runs for the same test rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from experiments.bundles import Record, require_rows
from src.errors import UserError
from src.evaluation.contrasts import Task
from src.results.groups import group_runs
from src.results.paired import have_same_rows, make_task
from src.results.result import Result


def paired_tasks(records: Iterable[Record]) -> list[Task]:
    """Return a task for each group of runs that differ in their pooling alone.

    Raises
    ------
    UserError
        Two runs of a task predicted different rows.
    """
    groups = group_runs(records, lambda record: record.result, by_texts=False)
    return [paired_task(members, lambda result: result.pooling_label) for members in groups]


def paired_task(members: Sequence[Record], label: Callable[[Result], str]) -> Task:
    """Return the task of runs on the same test rows, their predictions by label.

    Raises
    ------
    UserError
        Two runs have the same label, or predicted different rows.
    """
    require_rows(members)
    first = members[0]
    result = first.result
    labels = [label(record.result) for record in members]
    if repeated := sorted({name for name in labels if labels.count(name) > 1}):
        raise UserError(
            f"{result.dataset}: two runs are labelled {repeated[0]}. Choose runs that differ in their label."
        )
    for other, name in zip(members[1:], labels[1:], strict=True):
        if not have_same_rows(first.predictions, other.predictions):
            raise UserError(
                f"{result.dataset}: {labels[0]} and {name} were scored on different rows, so they cannot be paired. "
                "Run them again on the same data."
            )
    widths = {name: int(record.result.counts.get("width") or 0) for name, record in zip(labels, members, strict=True)}
    arrays = {name: record.predictions for name, record in zip(labels, members, strict=True)}
    return make_task(result, arrays, widths)
