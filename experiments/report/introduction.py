"""Composes the first lines of a report: its scope, the models, what is compared or left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.report.sections import Section
from src.pooling import poolings
from src.results.result import Result
from src.results.statements import describe_statements, recorded_statements

POOLERS = {
    "trained": "its pooler is trained",
    "untrained": "its pooler was never trained: what goes through it is a random projection of cls",
    "missing": "its checkpoint lacks the pooler's weights",
    "absent": "its architecture has no pooler",
}
SCOPES = {
    "probe": "a linear probe was fitted",
    "cosine": "the similarity of two texts' vectors was compared with the gold scores (probe=cosine)",
    "knn": "each text got the class of its nearest training rows (probe=knn)",
}


def introduction(sections: Sequence[Section], left_out: Sequence[str]) -> Iterator[str]:
    """Yield the first lines of the report on some sections and the jobs that are left out."""
    results = [run.result for section in sections for run in section.runs]
    yield f"Scope: frozen features. {_scope(results)} and nothing here speaks of fine-tuning."
    yield from dict.fromkeys(map(_model, results))
    yield _compared(sections, len(results))
    labels = (name for section in sections for name in section.label if name not in ("dataset", "metric"))
    if differing := ", ".join(dict.fromkeys(labels)):
        yield (f"Runs are compared within a group that differs in its pooling alone; the groups differ in {differing}.")
    yield f"Left out: {f'{len(left_out)}, listed at the end with the reason' if left_out else 'nothing'}."


def _model(result: Result) -> str:
    """Return a line on a run's model: its checkpoint, its pooler and what it says of itself."""
    stated = describe_statements(recorded_statements(result))
    described = [describe_pooler(result.pooler), *([stated] if stated else [])]
    return f"Model: {result.model}{_checkpoint(result.model, result.config)}; {'; '.join(described)}."


def _scope(results: Sequence[Result]) -> str:
    """Return what was computed from the features, by probes or read-outs, without the sentence's end."""
    kinds = {_kind(result) for result in results}
    found = " or ".join(sentence for kind, sentence in SCOPES.items() if kind in kinds)
    unfitted = "" if "probe" in kinds else "; this is a read-out, without a fit"
    return f"For each pooling of the encoder's states {found}{unfitted}; the encoder itself was not trained,"


def _kind(result: Result) -> str:
    """Return which of `SCOPES` a run belongs to."""
    if result.chosen.get("similarity"):
        return "cosine"
    return "knn" if result.chosen.get("parameter") == "n_neighbors" else "probe"


def describe_pooler(pooler: Mapping[str, Any]) -> str:
    """Return the status of a pooler in words, with the evidence that it fits the encoder."""
    status = POOLERS.get(str(pooler.get("status")), f"its pooler's status is {pooler.get('status')}")
    if pooler.get("status") != "trained":
        return status
    accuracy = pooler.get("evidence", {}).get("next_sentence_accuracy")
    if accuracy is None:
        return (
            f"{status}, its fit to the encoder unknown: "
            "weights cannot show whether the encoder was tuned later without it"
        )
    return (
        f"{status}, and its next-sentence head gets {100 * accuracy:.0f} % of our sentence pairs right (50 is chance)"
    )


def _compared(sections: Sequence[Section], runs: int) -> str:
    names = sorted({run.name for section in sections for run in section.runs}, key=_registry_order)
    rows = [len(section.task.labels) for section in sections]
    spread = f"{rows[0]:,}" if min(rows) == max(rows) else f"{min(rows):,} to {max(rows):,}"
    datasets = len({section.label["dataset"] for section in sections})
    groups = f" in {len(sections)} groups" if len(sections) > datasets else ""
    return (
        f"Compared: {', '.join(names)}; {datasets} task{'s' * (datasets > 1)} of {spread} test rows, "
        f"{runs} runs{groups}."
    )


def _registry_order(name: str) -> tuple[int, str]:
    registered = list(poolings)
    return registered.index(name) if name in registered else len(registered), name


def _checkpoint(name: str, config: Mapping[str, Any]) -> str:
    model = config.get("model", {})
    named = [str(model[key]) for key in ("path", "revision") if model.get(key) and model[key] != name]
    return f" ({', revision '.join(named)})" if named else ""
