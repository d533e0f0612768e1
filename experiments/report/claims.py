"""Tests each pair of poolings over the tasks of one stratum that count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

from experiments.bundles import Record
from experiments.formatting import format_difference, format_margin, join_names
from experiments.losses import WITH_DEVIANCE
from experiments.report.layers import key_without_layer, layer_of
from experiments.report.sections import Section
from experiments.strata import SIMILARITY, STRATA, Answer, StratumTasks, stratum_of, task_answer
from src.errors import UserError, flatten
from src.evaluation.multiplicity import MAIN_POOLINGS
from src.evaluation.units import MARGIN, MeanContrast
from src.results.groups import unequal_widths, weights_digest

Groups = list[tuple[dict[str, str], list[Section]]]  # labels, each with its sections
FEWEST_TASKS = 2
MOST_POOLINGS = 4  # with more, only pairs of the main ones are tested
ORDER = ("mean", "pooler", "cls")  # the first of a pair stands before the second


@dataclass(frozen=True)
class Setting:
    """Tasks of one stratum that share all but their data, and the claims over them.

    Attributes
    ----------
    label : dict
        Options in which it differs from the other settings.
    stratum : str
        One of `experiments.strata.STRATA`; empty for a read-out without D².
    tasks : tuple of str
        Those that count.
    claims : tuple of MeanContrast
        After Holm over the pairs of cls, pooler and mean, and over all other pairs.
    failed : dict
        task that does not count to its `Answer`.
    reason : str
        Why there is no claim.
    without_texts : tuple of str
        Tasks of pairs whose records do not tell which share a text.
    """

    label: dict[str, str]
    stratum: str
    tasks: tuple[str, ...]
    claims: tuple[MeanContrast, ...]
    failed: dict[str, Answer] = field(default_factory=dict)
    reason: str = ""
    approximate: bool = False
    without_texts: tuple[str, ...] = ()
    repeated: tuple[MeanContrast, ...] = ()  # without the regression tasks
    unequal: frozenset[tuple[str, str]] = frozenset()  # pairs whose features differ in width on a task

    @property
    def scale(self) -> str:
        """What the points are points of."""
        return "Spearman's correlation" if self.stratum == SIMILARITY else "D²"


def build_settings(sections: Sequence[Section], *, margin: float = MARGIN) -> list[Setting]:
    """Return the settings of a sweep with the claims over their tasks.

    Parameters
    ----------
    sections : sequence of Section
    margin : float, default 0.01
        Margin of equivalence as a fraction.
    """
    by_task = _records_by_task(sections)
    found = []
    for label, members in _group(at_last_layer(sections)):
        strata = {section: stratum_of(section.runs[0].result) or "" for section in members}
        for stratum in ("", *STRATA):
            if inside := [section for section in members if strata[section] == stratum]:
                found.append(_build_setting(dict(label), stratum, inside, by_task, margin))
    return found


def _group(sections: Sequence[Section]) -> Groups:
    """Return the sections that share all but their data.

    The logistic probe of classes and the ridge of scores are one read-out, unless a task has both.
    """
    joined = _by_label(sections, joined=True)
    tasks = [[task_name(section) for section in members] for _, members in joined]
    return joined if all(len(set(each)) == len(each) for each in tasks) else _by_label(sections, joined=False)


def _by_label(sections: Sequence[Section], *, joined: bool) -> Groups:
    """Return sections by what they share but their data; with `joined`, probes with a D² share theirs."""
    groups: dict[tuple[tuple[str, str], ...], list[Section]] = {}
    for section in sections:
        kept = {n: value for n, value in section.label.items() if n.partition(".")[0] not in ("dataset", "metric")}
        if joined and kept.get("probe") in WITH_DEVIANCE:
            del kept["probe"]
        groups.setdefault(tuple(kept.items()), []).append(section)
    return [(dict(label), members) for label, members in groups.items()]


def section_answers(sections: Sequence[Section]) -> dict[Section, Answer | None]:
    """Return whether the task of each section counts; None where no probe with a loss was fitted."""
    by_task = _records_by_task(sections)
    found: dict[Section, Answer | None] = {}
    for section in sections:
        try:
            found[section] = task_answer(by_task[_task_key(section)])
        except UserError:
            found[section] = None
    return found


def _records_by_task(sections: Sequence[Section]) -> dict[tuple[str, str, str, str], list[Record]]:
    found: dict[tuple[str, str, str, str], list[Record]] = {}
    for section in sections:
        found.setdefault(_task_key(section), []).extend(section.records.values())
    return found


def at_last_layer(sections: Sequence[Section]) -> list[Section]:
    """Return the sections without those for which a later layer was run: layers are not tested one by one."""
    last: dict[tuple[tuple[str, str], ...], int] = {}
    for section in sections:
        key = key_without_layer(section)
        last[key] = max(last.get(key, layer_of(section)), layer_of(section))
    return [section for section in sections if layer_of(section) == last[key_without_layer(section)]]


def _task_key(section: Section) -> tuple[str, str, str, str]:
    """Return what decides together whether a task counts: its data, encoder and pairing."""
    result = section.runs[0].result
    similarity = "similarity" if stratum_of(result) == SIMILARITY else ""
    return task_name(section), weights_digest(result), result.pairing, similarity


def task_name(section: Section) -> str:
    """Return the name of a section's task: its dataset, and what tells it from others of that name."""
    own = [f"{name}={value}" for name, value in section.label.items() if name.startswith("dataset.")]
    return ", ".join([section.label["dataset"], *own])


def _build_setting(
    label: dict[str, str],
    stratum: str,
    members: Sequence[Section],
    by_task: dict[tuple[str, str, str, str], list[Record]],
    margin: float,
) -> Setting:
    names = tuple(task_name(section) for section in members)
    if not stratum:
        return Setting(label, stratum, names, (), reason="this read-out has no D²; its tasks are compared one by one")
    tasks, failed, approximate = {}, {}, False
    try:
        for section in members:
            answer = task_answer(by_task[_task_key(section)])
            if answer.counts:
                scored = {run.name for run in section.scored}
                runs = {name: record for name, record in section.records.items() if name in scored}
                tasks[task_name(section)] = runs
                approximate |= answer.approximate
            else:
                failed[task_name(section)] = answer
        pairs = _choose_pairs(list(tasks.values()))
        if len(tasks) < FEWEST_TASKS:
            count = f"{len(tasks)} {'counts' if len(tasks) == 1 else 'count'}"
            reason = f"it takes {FEWEST_TASKS} tasks that count, and {count} here"
            return Setting(label, stratum, tuple(tasks), (), failed, reason)
        if not pairs:
            return Setting(label, stratum, tuple(tasks), (), failed, "no two poolings were run on all of its tasks")
        counted = StratumTasks(stratum, tasks, failed)
        claims, repeated = (tuple(each(pairs, margin=margin)) for each in (counted.claims, counted.repeated))
    except UserError as error:
        return Setting(label, stratum, names, (), failed, flatten(error))
    unequal = frozenset(pair for pair in pairs if any(_differ(runs, *pair) for runs in tasks.values()))
    return Setting(
        label,
        stratum,
        tuple(tasks),
        claims,
        failed,
        approximate=approximate,
        without_texts=counted.without_texts,
        repeated=repeated,
        unequal=unequal,
    )


def _differ(runs: dict[str, Record], a: str, b: str) -> bool:
    """Return whether the features of two runs differ in width."""
    return bool(unequal_widths([runs[a].result, runs[b].result]))


def width_mark(setting: Setting, claim: MeanContrast) -> str:
    """Return the mark of a claim on features of unequal widths, empty if they are equal."""
    return " (unequal widths)" if (claim.a, claim.b) in setting.unequal else ""


def _choose_pairs(tasks: Sequence[dict[str, Record]]) -> list[tuple[str, str]]:
    """Return the pairs of the poolings that all tasks have."""
    if not tasks:
        return []
    common = set.intersection(*(set(runs) for runs in tasks))
    if len(common) > MOST_POOLINGS and len(common.intersection(MAIN_POOLINGS)) > 1:
        common.intersection_update(MAIN_POOLINGS)
    place = {name: number for number, name in enumerate(ORDER)}
    return list(combinations(sorted(common, key=lambda name: (place.get(name, -1), name)), 2))


def describe_setting(setting: Setting) -> str:
    """Return the claims of cls, pooler and mean in sentences, else the first one, and the tasks left out."""
    left_out = ""
    if setting.failed:
        named = [f"{name} ({100 * (answer.gain or 0):z.1f} %)" for name, answer in setting.failed.items()]
        left_out = f" Left out, since too little is decoded at the last layer: {join_names(named)}."
    if setting.approximate:
        left_out += " The constant of older records is that of the test labels."
    if setting.without_texts:
        left_out += (
            f" Records of {join_names(setting.without_texts)} do not tell which pairs share a text, so that pairs "
            "count as independent and intervals may be too narrow: run them again."
        )
    if not setting.claims:
        return f"No claim over tasks is made: {setting.reason.rstrip('.')}.{left_out}"
    described = _describe_main(setting, setting.claims)
    if setting.repeated:
        described += f". Without the regression tasks, {_describe_main(setting, setting.repeated)}"
    return f"{setting.stratum.capitalize()}, {described}.{left_out}"


def _describe_main(setting: Setting, claims: Sequence[MeanContrast]) -> str:
    """Return the claims of cls, pooler and mean, else the first one, with the tasks that they are about."""
    main = [each for each in claims if {each.a, each.b} <= set(MAIN_POOLINGS)] or list(claims[:1])
    described = "; ".join(describe_claim(each) + width_mark(setting, each) for each in main)
    scope = main[0].scope if len(main[0].tasks) > 1 else f"on {main[0].tasks[0]}"
    return f"{scope}, in points of {setting.scale}: {described}"


def describe_claim(claim: MeanContrast) -> str:
    """Return a pair with its difference and its verdict."""
    difference = format_difference("accuracy", claim.difference)
    return f"{claim.a} − {claim.b} {difference}, {claim.verdict} (margin {format_margin('accuracy', claim.margin)})"
