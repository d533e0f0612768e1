"""Records side by side: the runs of a sweep grouped, tested against the best of each group, and written as a table.

Reads records alone, so that a table is drawn on any laptop: no torch, no Hydra.
"""

from __future__ import annotations

import csv
import io
import os
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from src.errors import UserError, flatten, printable
from src.results.cautions import is_one_vector, uses_untrained_pooler
from src.results.display import format_value
from src.results.escaping import csv_cell, markdown
from src.results.groups import IDENTITY, group_labels, group_runs
from src.results.result import RECORD, Result, SchemaError, read_predictions
from src.storage.files import open_regular
from src.sweeps.status import FAILURE, LEFT, STATUS, STATUSES, read_failure, read_notes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

LEVEL = 0.05  # family-wise, within a group
WIDEST = 5  # poolings that stand side by side
MOST_NOTES = 1 << 20  # bytes of a job's words


@dataclass(frozen=True)
class Job:
    """One job of a sweep: its folder, what became of it, and its record or the reason why there is none."""

    folder: Path
    status: str
    result: Result | None = None
    error: str = ""
    overrides: tuple[str, ...] = ()
    record: Path | None = None  # folder of the record


@dataclass(frozen=True)
class Run:
    """One pooling's run within its group.

    ``mark`` is best, tie (not told apart from the best), lower, untested, one vector (of all texts), or empty where there is nothing to
    compare with.
    ``difference`` is the best's score minus this one's, ``p`` that of the paired test, ``adjusted`` the same after Holm.
    """

    result: Result
    folder: Path
    mark: str = ""
    difference: float | None = None
    p: float | None = None
    adjusted: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Group:
    """Runs that differ in their pooling alone. ``label`` holds what tells the group from the others."""

    label: dict[str, str]
    runs: tuple[Run, ...]

    @property
    def metric(self) -> str:
        """The headline metric, the same in all runs."""
        return str(self.runs[0].result.score["metric"])

    @property
    def baseline(self) -> dict[str, Any]:
        """Trivial scores, which no pooling changes."""
        return self.runs[0].result.baseline


@dataclass(frozen=True)
class Comparison:
    """A sweep's jobs, its runs by group, and what all groups share."""

    jobs: tuple[Job, ...]
    groups: tuple[Group, ...]
    common: dict[str, str] = field(default_factory=dict)

    def count(self, status: str) -> int:
        """Number of jobs that ended so."""
        return sum(job.status == status for job in self.jobs)

    @property
    def failed(self) -> tuple[Job, ...]:
        """The jobs that left no record."""
        return tuple(job for job in self.jobs if job.status == "failed")

    @property
    def poolings(self) -> list[str]:
        """Names in order of their first appearance."""
        return list(dict.fromkeys(run.result.pooling for group in self.groups for run in group.runs))


def find_jobs(folder: Path) -> list[Path]:
    """The job folders below a sweep's folder, in the order of their numbers.

    A folder with Hydra's own notes and nothing else counts too: its job was killed.
    """
    found = []
    for path, folders, files in os.walk(folder):
        if {STATUS, FAILURE, RECORD} & set(files) or (".hydra" in folders and Path(path) != folder):
            found.append(Path(path))
            folders.clear()
    return sorted(found, key=lambda job: _natural(str(job)))


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort key that puts 2 before 10."""
    return [(int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", text)]


def read_job(folder: Path) -> Job:
    """What became of one job. A record that cannot be read is a failure, one of another schema a SchemaError."""
    notes = read_notes(folder / STATUS)
    named = notes.get("record")
    record = folder / named if isinstance(named, str) and os.path.isfile(folder / named / RECORD) else folder
    killed = notes.get("status") == "running" and not notes.get(
        "settled"
    )  # else it was about to look whether this is done already
    if killed or notes.get("status") == "failed" or not (record / RECORD).is_file():
        failure = {} if killed else read_failure(folder)
        error = failure.get("error") or "left no record: it was killed, or is still running"
        return Job(folder, "failed", error=error, overrides=_overrides(folder, failure))
    try:
        result = Result.read(record)
    except SchemaError:
        raise
    except UserError as error:
        return Job(folder, "failed", error=str(error), overrides=_overrides(folder, {}))
    status = "skipped" if notes.get("status") == "skipped" else "done"
    return Job(folder, status, result=result, overrides=_overrides(folder, {}), record=record)


def _overrides(folder: Path, failure: Mapping[str, Any]) -> tuple[str, ...]:
    """A job's command-line words: from its failure, else from Hydra's notes."""
    if failure.get("overrides"):
        return tuple(failure["overrides"])
    try:
        with open_regular(folder / ".hydra" / "overrides.yaml") as file:
            lines = file.read(MOST_NOTES).decode().splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    return tuple(line.removeprefix("- ") for line in lines if line.startswith("- "))


def compare_records(folders: Iterable[Path], unbegun: Mapping[Path, Sequence[str]] | None = None) -> Comparison:
    """Compare the records of job folders: within a group each run is tested against the best, on the same rows.

    `unbegun` are folders, with their jobs' words, whose outcome is an earlier sweep's: they count as failed.

    Raises
    ------
    SchemaError
        A record was written by another version: its numbers may mean something else.
    """
    late = unbegun or {}
    jobs = tuple(
        Job(folder, "failed", error=LEFT["waiting"], overrides=tuple(late[folder]))
        if folder in late
        else read_job(folder)
        for folder in folders
    )
    groups = group_runs(_distinct(jobs), _result)
    labels, common = group_labels([_result(members[0]) for members in groups], by_texts=True)
    compared = [Group(label, _test(members)) for label, members in zip(labels, groups, strict=True)]
    return Comparison(jobs, tuple(sorted(compared, key=lambda group: _position(compared, group))), common)


def _distinct(jobs: Iterable[Job]) -> Iterator[Job]:
    """Jobs with a record, each record once: the same identity run again gives the same numbers."""
    seen = set()
    for job in jobs:
        if job.result is not None and job.result.key not in seen:
            seen.add(job.result.key)
            yield job


def _result(job: Job) -> Result:
    assert job.result is not None
    return job.result


def _position(groups: Sequence[Group], group: Group) -> int:
    """Groups of one dataset stand together, datasets in order of their first appearance."""
    dataset = group.runs[0].result.dataset
    return next(place for place, other in enumerate(groups) if other.runs[0].result.dataset == dataset)


def _test(members: Sequence[Job]) -> tuple[Run, ...]:
    """Mark the best of a group and test each of the others against it; Holm over the group's tests."""
    from src.evaluation.multiplicity import holm

    runs = [
        Run(job.result, job.record or job.folder, mark="one vector" if is_one_vector(job.result) else "")
        for job in members if job.result is not None
    ]  # fmt: skip
    scored = [run for run in runs if run.result.score["value"] is not None and not run.mark]
    if len(scored) < 2:
        return tuple(runs)
    best = max(scored, key=lambda run: _sign(run) * run.result.score["value"])
    tested = [_against(best, run) for run in runs]
    adjusted = iter(holm([run.p for run in tested if run.p is not None]))
    return tuple(run if run.p is None else _judged(run, next(adjusted)) for run in tested)


def _judged(run: Run, adjusted: float) -> Run:
    return replace(run, mark="lower" if adjusted <= LEVEL else "tie", adjusted=adjusted)


def _sign(run: Run) -> int:
    """1 where more is better, -1 for an error."""
    from src.evaluation.metrics import metrics

    name = run.result.score["metric"]
    return 1 if name not in metrics or metrics[name].higher_is_better else -1


def _against(best: Run, run: Run) -> Run:
    """Test one run against the best of its group, where both predicted the same rows."""
    if run is best:
        return replace(run, mark="best")
    if run.mark:
        return run
    value = run.result.score["value"]
    if value is None:
        return replace(run, mark="untested", reason="its score is undefined")
    difference = best.result.score["value"] - value
    try:
        p = _paired(best, run)
    except UserError as error:
        return replace(run, mark="untested", difference=difference, reason=str(error))
    return replace(run, difference=difference, p=p)


def _paired(best: Run, run: Run) -> float:
    """p of the paired test on the same rows.

    With several draws, twice the median p over the draws, which is valid however they depend on each other (Meinshausen, Meier and
    Bühlmann, 2009, p-values for high-dimensional regression, theorem 3.1).
    """
    import numpy as np

    from src.evaluation.comparisons import compare

    one, other = read_predictions(best.folder, best.result), read_predictions(run.folder, run.result)
    if any(not np.array_equal(one[name], other[name]) for name in ("row", "label")):
        raise UserError("its test rows are not those of the best")
    result = best.result
    if result.draws > 1 and not one["prediction"].ndim == other["prediction"].ndim == 2:
        raise UserError("its score is a mean over draws, its predictions are those of one draw")
    classes = int(result.counts.get("classes") or 0)
    draws = zip(np.atleast_2d(one["prediction"]), np.atleast_2d(other["prediction"]), strict=True)
    found = [
        compare(result.score["metric"], one["label"], first, second, classes=classes, seed=result.seed)
        for first, second in draws
    ]
    p = [difference.p for difference in found if difference.p is not None]
    if len(p) < len(found):
        raise UserError(next(difference.method for difference in found if difference.p is None))
    return p[0] if len(p) == 1 else min(1.0, 2 * median(p))


MARKS = {"best": "*", "tie": "~", "untested": "?", "one vector": "=", "lower": "", "": ""}
BEST = re.compile(r"^-?[\d.e+-]+ \*u?$", re.MULTILINE)  # the best score and its marks in a cell
LEGEND = {
    "*": "the best of its group",
    "~": f"not told apart from the best (paired test on the same rows, Holm, {100 * LEVEL:g} % level)",
    "?": "not tested against the best",
    "=": "all texts have one and the same vector: nothing can be read from it",
    "u": "made with a pooler that was never trained",
}


def mark(run: Run) -> str:
    """A run's marks, as the legend explains them."""
    return MARKS[run.mark] + ("u" if uses_untrained_pooler(run.result) else "")


def render(comparison: Comparison, *, width: int = 100, terminal: bool = False) -> str:
    """The comparison as text: poolings side by side where they fit `width` columns, else one below the other."""
    from rich.console import Console

    console = Console(
        file=io.StringIO(), width=width, force_terminal=terminal, no_color=not terminal, highlight=False, emoji=False
    )
    if comparison.groups:
        console.print(_text(caption(comparison)))
        columns, rows = _wide(comparison)
        if len(comparison.poolings) <= WIDEST and _width(columns, rows) <= width and not _repeated(comparison):
            _print(console, columns, rows)
        else:
            _print_long(console, comparison)
        if legend := _legend(comparison):
            console.print(_text(legend))
    console.print(_text(tally(comparison)), soft_wrap=True)  # a folder's name stays whole
    file = console.file
    assert isinstance(file, io.StringIO)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def _text(text: str, style: str = "") -> Text:
    """What reaches a terminal: a text with its control characters escaped."""
    from rich.text import Text

    return Text(printable(text), style=style)


def caption(comparison: Comparison) -> str:
    """What the numbers are, and what all groups share: the model, the seed and the draws unless the groups differ in them."""
    shared = ", ".join(f"{name} {value}" for name, value in comparison.common.items())
    return f"Score in % with its 95 % interval{'; ' * bool(shared)}{shared}"


def _repeated(comparison: Comparison) -> bool:
    """Whether a group holds a pooling twice, which one cell could not show."""
    return any(len({run.result.pooling for run in group.runs}) < len(group.runs) for group in comparison.groups)


def tally(comparison: Comparison) -> str:
    """How many jobs ended how, and for each failure what set it apart from the other jobs, its reason and its folder."""
    return "\n".join(_tally(comparison))


def _tally(comparison: Comparison) -> list[str]:
    lines = [", ".join(f"{comparison.count(status)} {status}" for status in STATUSES)]
    jobs = comparison.jobs
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    for job in comparison.failed:
        what = " ".join(word for word in job.overrides if word not in shared) or job.folder.name
        lines.append(f"failed: {what}: {flatten(UserError(job.error))} ({job.folder})")
    return lines


def _legend(comparison: Comparison) -> str:
    used = {sign for group in comparison.groups for run in group.runs for sign in mark(run)}
    lines = [f"{sign} {meaning}" for sign, meaning in LEGEND.items() if sign in used]
    reasons = Counter(run.reason for group in comparison.groups for run in group.runs if run.reason)
    lines += [f"  not tested, {number} of the runs: {reason}" for reason, number in reasons.items()]
    return "\n".join(lines)


def _wide(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """One row per group, one column per pooling: score and marks, below them interval, cache and seconds."""
    names = list(dict.fromkeys(name for group in comparison.groups for name in group.label))
    trivial = _trivial(comparison.groups)
    columns = [*names, *comparison.poolings, *(textwrap.fill(name.replace("_", " "), 9) for name in trivial)]
    rows = []
    for group in comparison.groups:
        cells = {
            run.result.pooling: "\n".join(
                (f"{score(group.metric, run.result.score)} {mark(run)}", interval(run), cost(run))
            )
            for run in group.runs
        }
        rows.append(
            [group.label.get(name, "") for name in names]
            + [cells.get(pooling, "") for pooling in comparison.poolings]
            + [score(group.metric, group.baseline[name]) if name in group.baseline else "" for name in trivial]
        )
    return columns, rows


def _long(group: Group) -> list[list[str]]:
    """One row per run: pooling, score and marks, interval, distance to the best, cache and seconds."""
    return [
        [
            run.result.pooling,
            f"{score(group.metric, run.result.score)} {mark(run)}".rstrip(),
            interval(run),
            "" if run.difference is None else _signed(group.metric, -run.difference),
            _p(run.adjusted),
            cost(run),
        ]
        for run in group.runs
    ]


def _signed(metric: str, value: float) -> str:
    return f"{'+' * (value > 0)}{format_value(metric, value)}"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


LONG = ["pooling", "score", "interval", "to best", "p (Holm)", "cache, seconds"]


def _print_long(console: Console, comparison: Comparison) -> None:
    tables = [_long(group) for group in comparison.groups]
    widths = [
        max(len(cell) for cell in cells) for cells in zip(LONG, *(row for rows in tables for row in rows), strict=True)
    ]
    for group, rows in zip(comparison.groups, tables, strict=True):
        trivial = [f"{name.replace('_', ' ')} {score(group.metric, value)}" for name, value in group.baseline.items()]
        console.print(_text(f"\n{'  '.join([_title(group), *trivial])}", "bold"))
        _print(console, LONG, rows, widths)


def _title(group: Group) -> str:
    names = ("dataset", "metric")
    return " ".join(
        [group.label[name] for name in names]
        + [f"{name}={value}" for name, value in group.label.items() if name not in names]
    )


def _print(
    console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int] | None = None
) -> None:
    from rich import box
    from rich.table import Table

    rule = box.Box("    \n    \n -  \n    \n    \n    \n    \n    \n", ascii=True)  # a line of dashes below the head
    table = Table(box=rule, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for place, name in enumerate(columns):
        table.add_column(
            _text(name),
            min_width=widths[place] if widths else None,
            no_wrap=place == 0,
            overflow="fold",
            vertical="top",
        )
    for row in rows:
        cells = [_text(cell) for cell in row]
        for cell in cells:
            cell.highlight_regex(BEST, "bold")
        table.add_row(*cells)
    console.print(table)


def _width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Columns of the terminal that a table takes unfolded."""
    return sum(
        2 + max(len(line) for cell in cells for line in cell.split("\n")) for cells in zip(columns, *rows, strict=True)
    )


def _trivial(groups: Iterable[Group]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for name in group.baseline))


def score(metric: str, value: Any) -> str:
    """A score, in percent where its metric is a fraction.

    >>> score("accuracy", {"value": 0.5}), score("accuracy", None)
    ('50.0', 'undefined')
    """
    found = _number(value)
    return "undefined" if found is None else format_value(metric, found)


def interval(run: Run) -> str:
    """The 95 % interval, empty where there is none."""
    metric, low, high = (run.result.score.get(name) for name in ("metric", "low", "high"))
    return (
        "" if low is None or high is None else f"[{format_value(str(metric), low)}, {format_value(str(metric), high)}]"
    )


def cost(run: Run) -> str:
    """Cache state and seconds of the whole run."""
    timing = run.result.timing
    return f"{timing.get('cache', '')} {timing.get('total', 0.0):.0f} s".strip()


def to_markdown(comparison: Comparison) -> str:
    """The comparison as a Markdown document, one row per run."""
    lines = ["# Comparison", "", markdown(f"{caption(comparison)}."), ""]
    for group in comparison.groups:
        trivial = ", ".join(
            f"{name.replace('_', ' ')} {score(group.metric, value)}" for name, value in group.baseline.items()
        )
        lines += [f"## {markdown(_title(group))}", "", *([markdown(f"Trivial: {trivial}"), ""] if trivial else [])]
        lines += ["| " + " | ".join(LONG) + " |", "| --- " * len(LONG) + "|"]
        lines += ["| " + " | ".join(map(markdown, row)) + " |" for row in _long(group)] + [""]
    lines += [f"- `{sign.strip()}`: {meaning}" for sign, meaning in LEGEND.items()]
    return "\n".join([*lines, "", *map(markdown, _tally(comparison))]) + "\n"


def to_csv(comparison: Comparison) -> str:
    """The comparison as a tidy table, one row per run, scores as fractions; undefined values are empty, and no text begins a formula."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(map(csv_cell, row) for row in to_rows(comparison))
    return out.getvalue()


def to_rows(comparison: Comparison) -> list[list[Any]]:
    """The names of the tidy table's columns, then its rows, as they stand."""
    labels = list(
        dict.fromkeys(name for group in comparison.groups for name in group.label if name not in (*IDENTITY, "metric"))
    )
    trivial = _trivial(comparison.groups)
    measured = [
        "value",
        "low",
        "high",
        "mark",
        "difference",
        "p",
        "p_holm",
        "pooler",
        "cache",
        "seconds",
        "key",
        "folder",
    ]
    rows: list[list[Any]] = [
        [*IDENTITY, *labels, "pooling", "metric", *measured, *(f"baseline_{name}" for name in trivial)]
    ]
    for group in comparison.groups:
        for run in group.runs:
            result, numbers = run.result, run.result.score
            rows.append(
                [
                    *(getattr(result, name) for name in IDENTITY),
                    *(group.label.get(name, "") for name in labels),
                    *(result.pooling, group.metric, numbers["value"], numbers.get("low"), numbers.get("high")),
                    *(run.mark, run.difference, run.p, run.adjusted, result.pooler.get("status")),
                    *(result.timing.get("cache"), result.timing.get("total"), result.key, run.folder.name),
                    *(_number(group.baseline.get(name)) for name in trivial),
                ]
            )
    return rows


def _number(value: Any) -> Any:
    return value.get("value") if isinstance(value, Mapping) else value
