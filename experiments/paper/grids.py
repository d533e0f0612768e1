"""Builds the tables of the page: tasks by [CLS], pooler and mean, marked with the verdicts of their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments import style
from experiments.formatting import format_points, join_names
from experiments.paper.evidence import PAIRS, Evidence, is_unscaled, task_place
from experiments.paper.published import MTEB, OTHER_ROWS
from experiments.strata import APART, SIMILARITY, SINGLE, STRATA, TOGETHER, StratumTasks, average_level, stratum_of
from src.evaluation.contrasts import Contrast
from src.evaluation.differences import BETTER, INCONCLUSIVE, NO_RELEVANT_DIFFERENCE, SMALL_DIFFERENCE, WORSE
from src.evaluation.multiplicity import MAIN_POOLINGS
from src.results.result import Result

METRICS = {"accuracy": "acc", "mcc": "MCC", "f1": "F1", "macro_f1": "mF1", "pearson": "r", "spearman": "ρ"}
MARKS = {BETTER: "", WORSE: "", INCONCLUSIVE: "°", NO_RELEVANT_DIFFERENCE: "≈", SMALL_DIFFERENCE: "~"}
ABOVE = "▲"  # a trivial score above all poolings
LEGEND = (
    "Scores × 100; *in*: the task's metric (acc: accuracy, F1, mF1: macro F1, MCC: Matthews, r: Pearson, ρ: Spearman). "
    "**Bold**: the best of [CLS], pooler and mean. A mark is a score's verdict against the best, in that metric: "
    f"{MARKS[INCONCLUSIVE]} inconclusive, {MARKS[NO_RELEVANT_DIFFERENCE]} no relevant difference (shown to be within 1 "
    f"point), {MARKS[SMALL_DIFFERENCE]} small difference (real, within 1 point); no mark: shown to be worse. "
    "Grey (in Markdown: struck out): under 5 % of the constant's loss is decoded, whatever the score, so the task is "
    "in no average. Lines in italics, over the other tasks: the average D² of [CLS] (similarity: ρ), and the average "
    "differences to it, marked by their verdict against [CLS]; no mark: shown to be better (+) or worse (−). Const.: "
    f"the best constant prediction. Bag: counts of word pieces under the same probe, or their cosine. {ABOVE}: "
    "constant or bag is above all three, without a test. Marks of single tasks ignore that pairs share texts; averages "
    "allow for it. Intervals: in the figure, and in the tables of the appendices."
)


@dataclass(frozen=True)
class Cell:
    """A cell of a grid."""

    text: str
    is_best: bool = False


@dataclass(frozen=True)
class Line:
    """A line of a grid; `kind` is task, floor (a task that does not count) or claim (over tasks)."""

    kind: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """A table of the page; the first column holds names."""

    columns: tuple[str, ...]
    lines: tuple[Line, ...]


def task_grid(evidence: Evidence, model: str) -> Grid:
    """Return the real tasks of a model with the differences over them, by stratum."""
    strata = {each.stratum: each for each in evidence.strata(model)}
    scores = _scores(evidence, f"poolings/{model}")
    verdicts = _verdicts(evidence.contrasts(model))
    lines: list[Line] = []
    for name in STRATA[:3]:
        lines += _claim_lines(name, strata.get(name))
        for task, runs in scores.items():
            if name in (SINGLE, TOGETHER) and stratum_of(next(iter(runs.values()))) == name:
                answer = evidence.answer(model, [each for each in evidence[f"poolings/{model}"]
                                                 if each.result.dataset == task])  # fmt: skip
                lines.append(_task_line(task, runs, verdicts, ("constant", "bag_of_word_pieces"), answer.counts))
    pooler = "pooler†" if evidence.pooler_status(model) == "untrained" else "pooler"
    return Grid(("task", "in", "[CLS]", pooler, "mean", "const.", "bag"), tuple(lines))


def similarity_grid(evidence: Evidence, model: str) -> Grid:
    """Return the similarity tasks of a model, vectors as they are, beside published scores."""
    strata = {each.stratum: each for each in evidence.strata(model)}
    scores = _scores(evidence, f"similarity/{model}")
    verdicts = _verdicts(evidence.similarity_contrasts(model))
    published = MTEB.get(model, {})
    lines = _claim_lines(SIMILARITY, strata.get(SIMILARITY))
    for task, runs in scores.items():
        line = _task_line(task, runs, verdicts, ("bag_of_word_pieces",), counts=True)
        known = f"{published[task]:.1f}{'‡' * (task in OTHER_ROWS)}" if task in published else ""
        lines.append(Line(line.kind, (*line.cells, Cell(known))))
    pooler = "pooler†" if evidence.pooler_status(model) == "untrained" else "pooler"
    columns: tuple[str, ...] = ("cosine", "in", "[CLS]", pooler, "mean", "bag", "MTEB")
    if not published:
        lines = [Line(line.kind, line.cells[:6]) for line in lines]
        columns = columns[:6]
    return Grid(columns, tuple(lines))


def _scores(evidence: Evidence, bundle: str) -> dict[str, dict[str, Result]]:
    """Return the runs of cls, pooler and mean of each task, in the order of the page."""
    found: dict[str, dict[str, Result]] = {}
    for record in evidence[bundle]:
        result = record.result
        if result.pooling_label in MAIN_POOLINGS and is_unscaled(result):
            found.setdefault(result.dataset, {})[result.pooling_label] = result
    return {task: found[task] for task in sorted(found, key=task_place)}


def _verdicts(found: Sequence[Contrast]) -> dict[tuple[str, frozenset[str]], str]:
    return {(each.task, frozenset((each.a, each.b))): each.verdict for each in found}


def _claim_lines(name: str, stratum: StratumTasks | None) -> list[Line]:
    """Return the line of the differences to [CLS] over a stratum's tasks; none if there is no claim."""
    claims = {(each.a, each.b): each for each in stratum.claims(PAIRS)} if stratum else {}
    if not claims:
        return []
    first = next(iter(claims.values()))
    scope = join_names(first.tasks) if name == APART else first.size  # those tasks have no lines of their own
    level = average_level(stratum, "cls") if stratum else None
    cells = ["" if level is None else format_points(level)]
    for pooling in MAIN_POOLINGS[1:]:
        claim = claims.get((pooling, "cls"))
        cells.append("" if claim is None else format_points(claim.value, signed=True) + MARKS[claim.verdict])
    scale = "ρ" if name == SIMILARITY else "D²"
    texts = [f"{name}, {scope}", scale, *cells]
    return [Line("claim", tuple(map(Cell, [*texts, "", ""])))]


def _task_line(
    task: str, runs: dict[str, Result], verdicts: dict[tuple[str, frozenset[str]], str], trivial: Sequence[str],
    counts: bool,
) -> Line:  # fmt: skip
    values = {name: run.score["value"] for name, run in runs.items() if run.score["value"] is not None}
    best = max(values, key=lambda name: values[name]) if values else ""
    cells = []
    for pooling in MAIN_POOLINGS:
        verdict = verdicts.get((task, frozenset((best, pooling))), BETTER)
        mark = "" if pooling == best or pooling not in values else MARKS[verdict]
        text = format_points(values[pooling]) + mark if pooling in values else "–"
        cells.append(Cell(text, is_best=pooling == best))
    first = next(iter(runs.values()))
    metric = str(first.score["metric"])
    for name in trivial:
        value = _trivial(first.baseline.get(name))
        above = value is not None and bool(values) and value > values[best]
        cells.append(Cell("–" if value is None else format_points(value) + ABOVE * above))
    return Line("task" if counts else "floor", (Cell(task), Cell(METRICS.get(metric, metric)), *cells))


def _trivial(value: Any) -> float | None:
    found = value.get("value") if isinstance(value, dict) else value
    return None if found is None else float(found)


def pooler_note(evidence: Evidence, model: str) -> str:
    """Return the note on a model's untrained pooler, empty if it was trained."""
    untrained = evidence.pooler_status(model) == "untrained"
    return (
        f"† {style.model_label(model, 'untrained')}: random weights, so its column says nothing of trained poolers."
        if untrained
        else ""
    )
