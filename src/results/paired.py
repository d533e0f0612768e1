"""Build the task of a paired test from records and their predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from src.results.predictions import Arrays, headline_predictions
from src.results.result import Result

if TYPE_CHECKING:
    from src.evaluation.contrasts import Task


def have_same_rows(one: Arrays, other: Arrays) -> bool:
    """Return whether two runs predicted the same test rows with the same labels."""
    import numpy as np

    return all(np.array_equal(one[name], other[name]) for name in ("row", "label"))


def make_task(result: Result, predictions: Mapping[str, Arrays], widths: Mapping[str, int] | None = None) -> Task:
    """Return the task of runs on the same test rows.

    Parameters
    ----------
    result : Result
        Record of one of them.
    predictions : mapping
        Name of each run to its arrays, as `src.results.result.read_predictions` returns them. Where
        a threshold was chosen for the headline metric, the predictions are those at it.
    widths : mapping, optional
        Name of each run to the dimensions of its features.
    """
    from src.evaluation.contrasts import Task

    first = next(iter(predictions.values()))
    return Task(
        name=result.dataset,
        metric=str(result.score["metric"]),
        classes=int(result.counts.get("classes") or 0),
        labels=first["label"],
        predictions={name: headline_predictions(arrays) for name, arrays in predictions.items()},
        seed=result.seed,
        folds=int(first["fold"].max(initial=-1)) + 1,
        strata=first.get("set"),
        groups=first.get("group"),
        texts=next((arrays["texts"] for arrays in predictions.values() if "texts" in arrays), None),
        widths=dict(widths or {}),
    )
