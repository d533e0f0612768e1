"""A report on a sweep of your own: ``python -m experiments.report records=FOLDER [output=FOLDER] [margin=0.01]``.

Reads the records below a sweep's folder, or a committed bundle, and writes ``report.md`` and ``report.html``, one page that needs nothing
else: which pooling to use on each task, what the difference is worth, and what the rows could not have shown.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import page, verdicts
from experiments.cli import command, required
from experiments.collect import LINES, Record, read
from experiments.verdicts import Run, Section, Setting, Verdict, gap, signed
from src.cli.messages import print_text
from src.errors import UserError, flatten
from src.evaluation.contrasts import MARGIN
from src.pooling import poolings
from src.results.display import format_score, format_value, is_fraction
from src.results.escaping import markdown
from src.results.result import SchemaError
from src.storage.atomic import replace_files
from src.sweeps.comparison import Job, find_jobs, read_job

MARKDOWN, PAGE = "report.md", "report.html"
TASKS = ("task", "rows", "metric", "use", "its score", "verdict")
RUNS = (
    "pooling",
    "score",
    "to the best",
    "p (Holm)",
    "equivalence p (Holm)",
    "verdict",
    "kappa with the best",
    "fit, s",
    "bytes per row",
)
PAIRS = (
    "pair",
    "difference",
    "p (Holm)",
    "equivalence p (Holm)",
    "verdict",
    "kappa",
    "difference that 80 % would show",
    "smallest margin",
)
CLAIMS = ("pair", "difference, points", "p (Holm)", "equivalence p (Holm)", "verdict", "shown to differ on at least")
TOWARDS = {"better": "lower", "worse": "better", "equivalent with a small difference": "equivalent, slightly lower"}
POOLERS = {
    "trained": "its pooler is trained",
    "untrained": "its pooler was never trained: what goes through it is a random projection of cls",
    "missing": "its checkpoint lacks the pooler's weights",
    "absent": "its architecture has no pooler",
}
READING = (
    "A score has its 95 % interval for this fitted probe on new rows. A difference is that of two poolings on the same rows, with its 95 % "
    "interval; p is of no difference (McNemar's mid-p for accuracy, else a paired bootstrap).",
    "Equivalence is two one-sided tests: the 90 % interval lies within the margin, {margin}. Holm corrects over all pairs of a task, "
    "separately for differences and equivalences; verdicts follow the corrected p at 5 %.",
    "Not told apart is no verdict of equal quality: the rows were too few for either. Groups are not tested against each other, and "
    "baselines have no paired test.",
    "Where tests leave several, the preferred pooling is no random projection, takes fewer bytes per row, needs no pooler's weights, and "
    "then scores highest. Bytes are those of float32; all poolings come out of one forward pass, so the seconds are those of the probe.",
)


@dataclass(frozen=True)
class Cell:
    """A table's cell: its text, and what it is sorted by (the text where there is no number)."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """Named columns and rows of cells; the first column says what a row is."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Part:
    """A section with its verdict, its tables and its notes."""

    section: Section
    verdict: Verdict
    runs: Table
    pairs: Table | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """All that is said, in plain text; Markdown and the page lay it out."""

    title: str
    head: tuple[str, ...]
    overview: Table
    across: tuple[tuple[Setting, str, Table | None], ...]
    parts: tuple[Part, ...]
    left_out: tuple[str, ...]
    reading: tuple[str, ...]


def gather(folder: Path) -> tuple[list[Record], list[str]]:
    """The records of every bundle and job at or below `folder`, each once, and what was left out with its reason.

    Raises
    ------
    UserError
        There is no such folder, it holds no record, or a record is of another schema version.
    """
    if not os.path.isdir(folder):
        raise UserError(
            f"records={str(folder)[:200]}: there is no such folder. Name a sweep's, such as multirun/2026-01-31/12-00-00.000000."
        )
    found = [record for path in sorted(folder.rglob(LINES)) for record in read(path.parent)]
    jobs = [read_job(path) for path in find_jobs(folder)]
    words = [set(job.overrides) for job in jobs]
    shared = set.intersection(*words) if len(words) > 1 else set()
    left_out = []
    for job in jobs:
        try:
            if job.result is None:
                raise UserError(job.error)
            found += read(job.folder)
        except SchemaError:
            raise
        except UserError as error:
            left_out.append(f"{_what(job, shared, folder)}: {flatten(error)}")
    records = list({record.result.key: record for record in found}.values())
    if not records:
        reasons = (
            f" Of its jobs {len(left_out)} failed, the first: {left_out[0]}"
            if left_out
            else " Name a sweep's folder, or one above it."
        )
        raise UserError(f"records={folder} holds no record.{reasons}")
    return records, left_out


def _what(job: Job, shared: set[str], folder: Path) -> str:
    words = " ".join(word for word in job.overrides if word not in shared)
    return f"{words} (job {job.folder.relative_to(folder)})" if words else f"job {job.folder.relative_to(folder)}"


def compose(records: Sequence[Record], left_out: Sequence[str] = (), *, margin: float = MARGIN) -> Report:
    """Everything that the records say, with an equivalence margin as a fraction (0.01 is a point)."""
    found = verdicts.sections(records, margin=margin)
    parts = tuple(_part(section) for section in found)
    models = list(dict.fromkeys(section.runs[0].result.model for section in found))
    datasets = list(dict.fromkeys(section.label["dataset"] for section in found))
    named = ", ".join(datasets) if len(datasets) <= 3 else f"{len(datasets)} tasks"
    return Report(
        title=f"Which pooling? {' and '.join(models)} on {named}",
        head=tuple(_head(found, left_out)),
        overview=Table("Verdicts", TASKS, tuple(_overview(part) for part in parts)),
        across=tuple((each, verdicts.claimed(each), _claims(each)) for each in verdicts.settings(found, margin=margin)),
        parts=parts,
        left_out=tuple(left_out),
        reading=tuple(line.format(margin=_margin(found, margin)) for line in READING),
    )


def _margin(found: Iterable[Section], margin: float) -> str:
    metrics = list(dict.fromkeys(section.metric for section in found))
    told = [verdicts.extent("accuracy", margin)] * any(map(is_fraction, metrics))
    told += [
        f"{margin:g} standard deviations of the test labels for {metric}"
        for metric in metrics
        if not is_fraction(metric)
    ]
    return " and ".join(told)


def _head(found: Sequence[Section], left_out: Sequence[str]) -> Iterable[str]:
    """Scope, models, what is compared, what was left out."""
    yield (
        "Scope: frozen features. A linear probe was fitted on each pooling of the encoder's states; the encoder itself was not trained, "
        "and nothing here speaks of fine-tuning."
    )
    results = [run.result for section in found for run in section.runs]
    told = list(
        dict.fromkeys(
            (result.model, _checkpoint(result.model, result.config), pooler(result.pooler)) for result in results
        )
    )
    for model, checkpoint, status in told:
        yield f"Model: {model}{checkpoint}; {status}."
    names = sorted({run.name for section in found for run in section.runs}, key=_listing)
    rows = [len(section.task.labels) for section in found]
    spread = f"{rows[0]:,}" if min(rows) == max(rows) else f"{min(rows):,} to {max(rows):,}"
    datasets = len({section.label["dataset"] for section in found})
    yield (
        f"Compared: {', '.join(names)}; {datasets} task{'s' * (datasets > 1)} of {spread} test rows, {len(results)} runs"
        + (f" in {len(found)} groups" if len(found) > datasets else "")
        + "."
    )
    apart = list(
        dict.fromkeys(name for section in found for name in section.label if name not in ("dataset", "metric"))
    )
    if apart:
        yield f"Runs are compared within a group that differs in its pooling alone; the groups differ in {', '.join(apart)}."
    jobs = f"{len(left_out)} job{'s' * (len(left_out) > 1)} without a record, listed at the end"
    yield f"Left out: {jobs if left_out else 'nothing'}."


def _listing(name: str) -> tuple[int, str]:
    """Poolings in the registry's order, then the rest."""
    registered = list(poolings)
    return registered.index(name) if name in registered else len(registered), name


def _checkpoint(name: str, config: dict[str, Any]) -> str:
    model = config.get("model", {})
    told = [str(model[key]) for key in ("path", "revision") if model.get(key) and model[key] != name]
    return f" ({', revision '.join(told)})" if told else ""


def pooler(found: dict[str, Any]) -> str:
    """A pooler's status in plain words, with what is known of whether it fits the encoder."""
    told = POOLERS.get(str(found.get("status")), f"its pooler's status is {found.get('status')}")
    if found.get("status") != "trained":
        return told
    right = found.get("evidence", {}).get("next_sentence_accuracy")
    if right is None:
        return f"{told}, its fit to the encoder unknown: weights cannot show whether the encoder was tuned later without it"
    return f"{told}, and its next-sentence head gets {100 * right:.0f} % of our sentence pairs right (50 is chance)"


def _overview(part: Part) -> tuple[Cell, ...]:
    section, verdict = part.section, part.verdict
    rows = len(section.task.labels)
    used = next((run for run in section.runs if run.name == verdict.use), None)
    score = Cell("") if used is None else Cell(format_score(section.metric, used.result.score), used.value)
    return (
        Cell(section.title),
        Cell(f"{rows:,}", rows),
        Cell(section.metric),
        Cell(verdict.use),
        score,
        Cell(verdict.sentence),
    )


def _part(section: Section) -> Part:
    runs = Table(
        f"{section.title}: {section.metric}{_unit(section.metric)}",
        RUNS,
        (*(_run(section, run) for run in section.runs), *(_baseline(section, name) for name in section.baseline)),
    )
    pairs = [
        _pair(section, a.name, b.name) for place, a in enumerate(section.scored) for b in section.scored[place + 1 :]
    ]
    every = Table(f"{section.title}: every pair", PAIRS, tuple(pairs)) if len(pairs) > 1 else None
    return Part(section, verdicts.judge(section), runs, every, tuple(_notes(section)))


def _unit(metric: str) -> str:
    direction = "" if verdicts.higher_is_better(metric) else ", lower is better"
    return (" in %, differences in points" if is_fraction(metric) else " in the label's unit") + direction


def _run(section: Section, run: Run) -> tuple[Cell, ...]:
    metric, score = section.metric, run.result.score
    scored = Cell(format_score(metric, score) if run.value is not None else "undefined", run.value)
    fit = run.result.timing.get("fit")
    cost = Cell("" if fit is None else f"{fit:.1f}", fit), Cell(f"{run.bytes:,}", run.bytes)
    best = section.runs[0]
    if run is best or run.value is None:
        stands = "best" if run is best and len(section.scored) > 1 else ""
        return Cell(run.name), scored, Cell(""), Cell(""), Cell(""), Cell(stands), Cell(""), *cost
    found, difference = section.contrast(best.name, run.name), section.difference(run.name, best.name)
    return (
        Cell(run.name),
        scored,
        Cell(gap(metric, difference), difference.value),
        Cell(_p(found.p_holm), found.p_holm),
        Cell(_p(found.p_equivalence_holm), found.p_equivalence_holm),
        Cell(TOWARDS.get(found.verdict, found.verdict)),
        Cell("" if found.agreement is None else f"{found.agreement:z.2f}", found.agreement),
        *cost,
    )


def _baseline(section: Section, name: str) -> tuple[Cell, ...]:
    value, best = section.baseline[name], section.runs[0].value
    found = value.get("value")
    apart = None if found is None or best is None else found - best
    return (
        Cell(f"{name.replace('_', ' ')} (baseline)"),
        Cell("undefined" if found is None else format_score(section.metric, value), found),
        Cell("" if apart is None else signed(section.metric, apart), apart),
        *[Cell("")] * (len(RUNS) - 3),
    )


def _pair(section: Section, a: str, b: str) -> tuple[Cell, ...]:
    found, metric = section.contrasts[a, b], section.metric
    shown, margin = found.smallest_difference, found.smallest_margin
    return (
        Cell(f"{a} - {b}"),
        Cell(gap(metric, found.difference), found.difference.value),
        Cell(_p(found.p_holm), found.p_holm),
        Cell(_p(found.p_equivalence_holm), found.p_equivalence_holm),
        Cell(found.verdict),
        Cell("" if found.agreement is None else f"{found.agreement:z.2f}", found.agreement),
        Cell("" if shown is None else format_value(metric, shown), shown),
        Cell("" if margin is None else format_value(metric, margin), margin),
    )


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _notes(section: Section) -> Iterable[str]:
    """Cautions with the poolings that they hold for, and what the tests flag."""
    told: dict[str, list[str]] = {}
    for run in section.runs:
        for caution in run.cautions:
            told.setdefault(caution, []).append(run.name)
    for caution, names in told.items():
        yield caution if len(names) == len(section.runs) else f"{', '.join(names)}: {caution}"
    flags: dict[str, int] = {}
    for contrast in section.contrasts.values():
        if contrast.flag:
            flags[contrast.flag] = flags.get(contrast.flag, 0) + 1
    for flag, count in flags.items():
        share = "" if count == len(section.contrasts) else f" ({count} of {len(section.contrasts)} pairs)"
        yield f"tests to be read with care: {flag}{share}."


def _claims(setting: Setting) -> Table | None:
    rows = tuple(
        (
            Cell(f"{claim.overall.a} - {claim.overall.b}"),
            Cell(gap("accuracy", claim.difference), claim.overall.value),
            Cell(_p(claim.p), claim.p),
            Cell(_p(claim.p_equivalence), claim.p_equivalence),
            Cell(claim.verdict),
            Cell(f"{claim.overall.at_least} of {len(claim.overall.tasks)} tasks", claim.overall.at_least),
        )
        for claim in setting.claims
    )
    return Table(f"Over {len(setting.tasks)} tasks: {', '.join(setting.tasks)}", CLAIMS, rows) if rows else None


def to_markdown(report: Report) -> str:
    """The report as a Markdown document."""
    lines = [
        f"# {markdown(report.title)}",
        "",
        *_listed(report.head),
        "",
        "## Verdicts",
        "",
        *_table(report.overview),
        "",
    ]
    lines += ["## Over the tasks", ""]
    for setting, sentence, table in report.across:
        lines += [markdown(f"{page.called(setting.label)}{sentence}"), ""] + ([*_table(table), ""] if table else [])
    for part in report.parts:
        lines += [f"## {markdown(part.section.title)}", "", f"**{markdown(part.verdict.sentence)}**", ""]
        lines += [*_listed(part.verdict.more), ""] if part.verdict.more else []
        lines += [markdown(f"{part.runs.caption}."), "", *_table(part.runs), ""]
        lines += [*_listed(part.notes), ""] if part.notes else []
    lines += ["## Left out", "", *_listed(report.left_out), ""] if report.left_out else []
    return "\n".join([*lines, "## How to read this", "", *_listed(report.reading)]) + "\n"


def _listed(lines: Iterable[str]) -> list[str]:
    return [f"- {markdown(line)}" for line in lines]


def _table(table: Table) -> list[str]:
    numeric = [any(row[place].value is not None for row in table.rows) for place in range(len(table.columns))]
    rule = ["---:" if each else "---" for each in numeric]
    rows = [table.columns, rule, *([markdown(cell.text) for cell in row] for row in table.rows)]
    return ["| " + " | ".join(row) + " |" for row in rows]


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    records: str = required("a sweep's folder, such as multirun/2026-01-31/12-00-00.000000")
    output: str | None = None
    margin: float = MARGIN


@command(Options)
def main(options: Options) -> None:
    """Write the report and print its verdicts."""
    if not 0 < options.margin < 1:
        raise UserError(
            f"margin={options.margin}: an equivalence margin is a fraction above 0 and below 1; 0.01 is one point."
        )
    folder = Path(options.records)
    records, left_out = gather(folder)
    report = compose(records, left_out, margin=options.margin)
    output = Path(options.output) if options.output else folder
    output.mkdir(parents=True, exist_ok=True)
    replace_files(output, {MARKDOWN: to_markdown(report).encode(), PAGE: page.to_html(report).encode()})
    for part in report.parts:
        print_text(f"{part.section.title}: {part.verdict.sentence}")
    for each in (MARKDOWN, PAGE):
        print_text(str(output / each))


if __name__ == "__main__":
    main()
