"""Builds the tables of a report, in plain text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from experiments import style
from experiments.formatting import format_difference, format_signed, format_unsigned
from experiments.report.claims import Setting, width_mark
from experiments.report.layers import LayerGroup, layer_of
from experiments.report.sections import Run, Section, higher_is_better
from experiments.report.verdicts import AT_LAYER, Verdict
from src.evaluation.contrasts import unequal_widths
from src.results.display import format_p_value, format_score, is_fraction

OVERVIEW = ("task", "rows", "metric", "use", "its score", "verdict")
RUNS = (
    *("pooling", "score", "to the best", "p (Holm)", "equivalence p (Holm)", "verdict"),
    *("kappa with the best", "fit, s", "bytes per row"),
)
PAIRS = (
    *("pair", "difference", "p (Holm)", "equivalence p (Holm)", "verdict", "family", "kappa"),
    *("difference that 80 % would show", "smallest margin"),
)
CLAIMS = ("pair", "difference, points", "p (Holm)", "equivalence p (Holm)", "verdict", "units", "family")


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, and the number that it is sorted by, if any."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """A table with named columns; the first cell names a row."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    faded: frozenset[int] = frozenset()  # places of rows whose task does not count

    @property
    def numeric(self) -> list[bool]:
        """Whether a column holds numbers."""
        return [any(row[place].value is not None for row in self.rows) for place in range(len(self.columns))]


def overview_table(judged: Iterable[tuple[str, Section, Verdict, bool]]) -> Table:
    """Return a row per part of the report: its title, section, verdict, and whether its task does not count."""
    judged = list(judged)
    faded = frozenset(place for place, (*_, fails) in enumerate(judged) if fails)
    return Table("Verdicts", OVERVIEW, tuple(_overview_row(*each) for each in judged), faded)


def _overview_row(title: str, section: Section, verdict: Verdict, fails: bool) -> tuple[Cell, ...]:
    rows = len(section.task.labels)
    used = next((run for run in section.runs if run.name == verdict.use.partition(AT_LAYER)[0]), None)
    score = Cell("") if used is None else Cell(format_score(section.metric, used.result.score), used.value)
    return (
        Cell(f"{title} (too little decoded)" if fails else title),
        Cell(f"{rows:,}", rows),
        Cell(section.metric),
        Cell(verdict.use),
        score,
        Cell(verdict.sentence),
    )


def runs_table(section: Section) -> Table:
    """Return a row per run against the best one, then a row per baseline."""
    unit = ", differences in points (0.01)" if is_fraction(section.metric) else " in the label's unit"
    direction = "" if higher_is_better(section.metric) else ", lower is better"
    runs = (_run_row(section, run) for run in section.runs)
    baselines = (_baseline_row(section, name) for name in section.baseline)
    return Table(f"{section.title}: {section.metric}{unit}{direction}", RUNS, (*runs, *baselines))


def _run_row(section: Section, run: Run) -> tuple[Cell, ...]:
    metric, best = section.metric, section.runs[0]
    score = Cell("undefined" if run.value is None else format_score(metric, run.result.score), run.value)
    fit = run.result.timing.get("fit")
    cost = Cell("" if fit is None else f"{fit:.1f}", fit), Cell(f"{run.bytes:,}", run.bytes)
    if run is best or run.value is None:
        verdict = "best" if run is best and len(section.scored) > 1 else ""
        return Cell(run.name), score, Cell(""), Cell(""), Cell(""), Cell(verdict), Cell(""), *cost
    found, difference = section.contrast(best.name, run.name), section.difference(run.name, best.name)
    return (
        Cell(run.name),
        score,
        Cell(format_difference(metric, difference), difference.value),
        *_p_cells(found.p_holm, found.p_equivalence_holm),
        Cell(section.verdict(run.name, best.name) + _width_mark(section, best.name, run.name)),
        _kappa_cell(found.agreement),
        *cost,
    )


def _width_mark(section: Section, a: str, b: str) -> str:
    """Return the mark of a comparison of unequal widths, empty if they are equal."""
    return " (unequal widths)" if unequal_widths(section.task, a, b) else ""


def _baseline_row(section: Section, name: str) -> tuple[Cell, ...]:
    baseline, best = section.baseline[name], section.runs[0].value
    value = baseline.get("value")
    difference = None if value is None or best is None else value - best
    return (
        Cell(f"{name.replace('_', ' ')} (baseline)"),
        Cell("undefined" if value is None else format_score(section.metric, baseline), value),
        Cell("" if difference is None else format_signed(section.metric, difference), difference),
        *[Cell("")] * (len(RUNS) - 3),
    )


def pairs_table(section: Section) -> Table | None:
    """Return a row per pair of runs, None if there are fewer than two pairs."""
    names = [run.name for run in section.scored]
    rows = [_pair_row(section, a, b) for place, a in enumerate(names) for b in names[place + 1 :]]
    return Table(f"{section.title}: every pair", PAIRS, tuple(rows)) if len(rows) > 1 else None


def _pair_row(section: Section, a: str, b: str) -> tuple[Cell, ...]:
    found, metric = section.contrasts[a, b], section.metric
    smallest = (found.smallest_difference, found.smallest_margin)
    return (
        Cell(f"{a} - {b}"),
        Cell(format_difference(metric, found.difference), found.difference.value),
        *_p_cells(found.p_holm, found.p_equivalence_holm),
        Cell(found.verdict + _width_mark(section, a, b)),
        Cell(found.family),
        _kappa_cell(found.agreement),
        *(Cell("" if value is None else format_unsigned(metric, value), value) for value in smallest),
    )


def claims_table(setting: Setting) -> Table | None:
    """Return a row per claim over the tasks of a setting, None if there is no claim."""
    rows = tuple(
        (
            Cell(f"{claim.a} - {claim.b}"),
            Cell(format_difference("accuracy", claim.difference), claim.value),
            *_p_cells(claim.p, claim.p_equivalence),
            Cell(claim.verdict + width_mark(setting, claim)),
            Cell(str(len(claim.units)), len(claim.units)),
            Cell(claim.family),
        )
        for claim in setting.claims
    )
    if not rows:
        return None
    tasks = ", ".join(setting.tasks)
    return Table(f"{setting.stratum.capitalize()}, {setting.scale}, {setting.claims[0].scope}: {tasks}", CLAIMS, rows)


def _p_cells(*values: float | None) -> tuple[Cell, ...]:
    return tuple(Cell(format_p_value(value), value) for value in values)


def layers_table(group: LayerGroup, *, fails: bool) -> Table:
    """Return the score of each pooling at each layer; the choice is marked unless the task does not count (`fails`)."""
    metric = group.sections[0].metric
    names = style.sort_poolings(run.name for section in group.sections for run in section.runs)
    rows = []
    for section in group.sections:
        runs = {run.name: run for run in section.runs}
        cells = []
        for name in names:
            if name not in runs:
                cells.append(Cell(""))
                continue
            mark = " (chosen)" if not fails and (section, runs[name]) == group.chosen else ""
            cells.append(Cell(format_score(metric, runs[name].result.score) + mark, runs[name].value))
        rows.append((Cell(str(layer_of(section)), layer_of(section)), *cells))
    return Table(f"{group.title}: {metric} by layer", ("layer", *names), tuple(rows))


def _kappa_cell(value: float | None) -> Cell:
    return Cell("" if value is None else f"{value:z.2f}", value)
