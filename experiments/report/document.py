"""Composes the report as a document of plain text, which `markdown` and `html` write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from experiments.bundles import Record
from experiments.formatting import format_margin
from experiments.report.claims import Setting, build_settings, describe_setting, section_answers
from experiments.report.introduction import introduction
from experiments.report.layers import LayerGroup, describe_over_tasks, group_layers
from experiments.report.predicted import Predicted, choose_predictions, judge_predictions
from experiments.report.sections import Section, build_sections
from experiments.report.tables import Table, claims_table, layers_table, overview_table, pairs_table, runs_table
from experiments.report.verdicts import Verdict, judge, judge_failed, judge_layers
from experiments.strata import Answer
from src.evaluation.contrasts import MARGIN
from src.results.display import is_fraction

EXPLANATIONS = (
    "A score has its 95 % interval for this probe or read-out on new rows. A difference is that of two poolings on the "
    "same rows, with its 95 % interval; p is of no difference (McNemar's mid-p for accuracy, else a paired bootstrap).",
    "Verdicts: no relevant difference (shown to lie within the margin, {margin}, by two one-sided tests), small "
    "difference (real, and within the margin), better or worse, inconclusive. Holm corrects over a task's pairs of "
    "cls, pooler and mean, and separately over all its other pairs; verdicts follow the corrected p at 5 %.",
    "Inconclusive is no verdict of equal quality: the rows were too few for either. Groups are not tested against "
    "each other, and baselines have no paired test.",
    "Over tasks the scale is D², the share of the constant's log-loss (scores: squared error) that a probe removes, in "
    "points. Tasks on which none of cls, pooler and mean beats the constant by 5 % at the last layer, on the rows that "
    "chose the penalty, are left out. Tasks that share texts are one unit; with fewer than five units a claim is about "
    "these tasks alone. Claims over tasks allow for pairs that share a text, tests on one task do not.",
    "Of several layers one is chosen together with its pooling, by the loss on the rows that chose the penalty where "
    "all records hold it, else by the test score. Claims over tasks are made at the last layer.",
    "Where tests leave several, the preferred pooling is no random projection, takes fewer bytes per row, needs no "
    "pooler's weights, and then scores best. Bytes are those of float32; all poolings come out of one forward pass, "
    "so the seconds are those of the probe or read-out.",
)
AGAIN = "Where a run failed or is damaged, the sweep's command makes it again."


@dataclass(frozen=True)
class Part:
    """A section with its verdict, its tables and its notes."""

    title: str
    section: Section  # that of the chosen layer, where several were run
    verdict: Verdict
    runs: Table
    pairs: Table | None
    notes: tuple[str, ...]
    layers: LayerGroup | None = None
    by_layer: Table | None = None
    fails: bool = False  # whether the task does not count


@dataclass(frozen=True)
class Report:
    """The content of a report."""

    title: str
    head: tuple[str, ...]  # scope, models, what is compared and what is left out
    overview: Table  # a row per section
    # the claims over tasks: setting, sentence, table
    across: tuple[tuple[Setting, str, Table | None], ...]
    parts: tuple[Part, ...]
    left_out: tuple[str, ...]  # a line each
    reading: tuple[str, ...]  # how to read the numbers
    predicted: Predicted | None = None
    over_layers: tuple[str, ...] = ()  # the best layer and pooling over the tasks of each stratum


def compose(
    records: Sequence[Record],
    left_out: Sequence[str] = (),
    *,
    margin: float = MARGIN,
    predictions: str | None = None,
) -> Report:
    """Return the report on some records.

    Parameters
    ----------
    records : sequence of Record
    left_out : sequence of str
        A line on each job without a record, and on each bundle without rows.
    margin : float, default 0.01
        Margin of equivalence as a fraction: 0.01 is a point.
    predictions : str, optional
        File of predictions to compare with; default: the committed ones, if they are about an encoder of
        these records.
    """
    sections = build_sections(records, margin=margin)
    expected = choose_predictions(predictions, sections)
    answers = section_answers(sections)
    parts = tuple(_compose_part(each, answers) for each in group_layers(sections))
    models = list(dict.fromkeys(section.runs[0].result.model for section in sections))
    datasets = list(dict.fromkeys(section.label["dataset"] for section in sections))
    named = ", ".join(datasets) if len(datasets) <= 3 else f"{len(datasets)} tasks"
    settings = build_settings(sections, margin=margin)
    return Report(
        title=f"Which pooling? {' and '.join(models)} on {named}",
        head=tuple(introduction(sections, left_out)),
        overview=overview_table([(part.title, part.section, part.verdict, part.fails) for part in parts]),
        across=tuple((each, describe_setting(each), claims_table(each)) for each in settings),
        parts=parts,
        left_out=tuple(left_out),
        reading=tuple(line.format(margin=_describe_margin(sections, margin)) for line in EXPLANATIONS),
        over_layers=tuple(
            describe_over_tasks(part.layers for part in parts if part.layers is not None and not part.fails)
        ),
        predicted=judge_predictions(expected, sections, settings) if expected else None,
    )


def _compose_part(found: Section | LayerGroup, answers: Mapping[Section, Answer | None]) -> Part:
    """Return the part on a section, or on the layers of a task."""
    group = found if isinstance(found, LayerGroup) else None
    section = found.chosen[0] if isinstance(found, LayerGroup) else found
    answer = answers[section]
    fails = answer is not None and not answer.counts
    verdict = judge_layers(group) if group else judge(section)
    return Part(
        found.title,
        section,
        judge_failed(answer) if answer is not None and fails else verdict,
        runs_table(section),
        pairs_table(section),
        tuple(_notes(section)),
        group,
        layers_table(group, fails=fails) if group else None,
        fails,
    )


def setting_prefix(label: Mapping[str, str]) -> str:
    """Return the start of a setting's sentence: the options in which it differs from the others."""
    named = ", ".join(f"{name}={value}" for name, value in label.items())
    return f"{named}: " if named else ""


def _describe_margin(sections: Iterable[Section], margin: float) -> str:
    metrics = list(dict.fromkeys(section.metric for section in sections))
    found = [format_margin("accuracy", margin)] * any(map(is_fraction, metrics))
    units = [metric for metric in metrics if not is_fraction(metric)]
    return " and ".join([*found, *(f"{margin:g} standard deviations of the test labels for {each}" for each in units)])


def _notes(section: Section) -> Iterable[str]:
    """Yield the cautions of a section's runs, then the flags of its tests."""
    cautions: dict[str, list[str]] = {}
    for run in section.runs:
        for caution in run.cautions:
            cautions.setdefault(caution, []).append(run.name)
    for caution, names in cautions.items():
        yield caution if len(names) == len(section.runs) else f"{', '.join(names)}: {caution}"
    flags: dict[str, int] = {}
    for contrast in section.contrasts.values():
        if contrast.flag:
            flags[contrast.flag] = flags.get(contrast.flag, 0) + 1
    for flag, count in flags.items():
        share = "" if count == len(section.contrasts) else f" ({count} of {len(section.contrasts)} pairs)"
        yield f"tests to be read with care: {flag}{share}."
