"""What a sweep's records say, task by task: which pooling to use, what the difference is worth, and what the rows could not have shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from experiments.collect import Record, labelled
from src.errors import UserError, flatten
from src.evaluation.contrasts import MARGIN, Contrast, Task, contrasts
from src.evaluation.differences import Difference, verdict
from src.evaluation.hierarchical import Overall, over_tasks
from src.evaluation.metrics import metrics
from src.evaluation.multiplicity import holm
from src.pooling import poolings
from src.results.cautions import cautions, is_one_vector, uses_untrained_pooler
from src.results.display import format_score, format_value, is_fraction
from src.results.groups import group_labels, group_runs, other_identity
from src.results.result import Result

CONTROLS = ("random_pooler",)  # measured for comparison, not for use
ASKED = ("mean", "cls", "pooler")  # named first where not all can be
FEWEST = 3  # tasks that a claim over tasks takes
FEW = 4  # poolings of which every pair is claimed; of more, those that the question is about, so that Holm leaves power to show anything
NAMED = 3
LEVEL = 0.05
OPPOSITE = {"better": "worse", "worse": "better"}
SAME = ("equivalent", "equivalent with a small difference")


@dataclass(frozen=True)
class Run:
    """One pooling's run. ``name`` is the pooling, with the start of the record's key where two runs would share it."""

    name: str
    result: Result

    @property
    def value(self) -> float | None:
        """The headline score, None where it is undefined."""
        return self.result.score["value"]

    @property
    def bytes(self) -> int:
        """Bytes that one row's features take in float32."""
        return 4 * int(self.result.counts.get("width") or 0)

    @property
    def cautions(self) -> list[str]:
        """What a reader of this score has to know."""
        undefined = (
            [] if self.value is not None else [f"{format_score(self.result.score['metric'], self.result.score)}."]
        )
        return [*undefined, *cautions(self.result)]


@dataclass(frozen=True)
class Section:
    """Runs that differ in their pooling alone, the best score first, with what was tested between them.

    ``label`` tells the section from the others; ``contrasts`` holds each pair once, the better score first; ``margin`` is in the metric's
    unit.
    """

    label: dict[str, str]
    runs: tuple[Run, ...]
    task: Task
    contrasts: Mapping[tuple[str, str], Contrast]
    margin: float

    @property
    def metric(self) -> str:
        return self.task.metric

    @property
    def title(self) -> str:
        """The dataset, then what else sets the section apart."""
        more = [f"{name}={value}" for name, value in self.label.items() if name not in ("dataset", "metric")]
        return ", ".join([self.label["dataset"], *more])

    @property
    def scored(self) -> list[Run]:
        """The runs whose score is defined, and whose features tell any two texts apart."""
        return [run for run in self.runs if run.value is not None and not is_one_vector(run.result)]

    @property
    def baseline(self) -> dict[str, Any]:
        """Trivial scores by name, each ``{value, low, high}``; no pooling changes them."""
        found = self.runs[0].result.baseline
        return {name: value if isinstance(value, Mapping) else {"value": value} for name, value in found.items()}

    def verdict(self, a: str, b: str) -> str:
        """One of `src.evaluation.differences.VERDICTS`, of a against b."""
        if (a, b) in self.contrasts:
            return self.contrasts[a, b].verdict
        found = self.contrasts[b, a].verdict
        return OPPOSITE.get(found, found)

    def contrast(self, a: str, b: str) -> Contrast:
        """What was tested between two runs, whichever stands first."""
        return self.contrasts[(a, b) if (a, b) in self.contrasts else (b, a)]

    def difference(self, a: str, b: str) -> Difference:
        """metric(a) - metric(b)."""
        found = self.contrast(a, b)
        return found.difference if found.a == a else _turned(found.difference)


@dataclass(frozen=True)
class Verdict:
    """The pooling to use (empty where none can be named), the sentence, and what has to be added to it."""

    use: str
    sentence: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """One pair over all tasks of a setting; p-values and verdict after Holm over the setting's pairs."""

    overall: Overall
    p: float
    p_equivalence: float

    @property
    def verdict(self) -> str:
        """Of a against b, from the corrected p-values."""
        return verdict(self.difference, self.overall.margin, p=self.p, equivalence=self.p_equivalence <= LEVEL)

    @property
    def difference(self) -> Difference:
        """The mean over tasks of metric(a) - metric(b)."""
        found = self.overall
        return Difference(found.value, found.low, found.high, found.low90, found.high90, found.p, "over tasks")


@dataclass(frozen=True)
class Setting:
    """Tasks that share all but their data, and the claims over them; ``reason`` says why there are none."""

    label: dict[str, str]
    tasks: tuple[str, ...]
    claims: tuple[Claim, ...]
    reason: str = ""


def sections(records: Iterable[Record], *, margin: float = MARGIN) -> list[Section]:
    """Group records that differ in their pooling alone and test every pair of each group, Holm over the group's pairs.

    Parameters
    ----------
    margin : float
        Of equivalence, as a fraction: 0.01 is a point. For a metric in the label's unit it is this share of the test labels' standard
        deviation.
    """
    groups = group_runs(sorted(records, key=_place), lambda record: record.result, by_weights=True)
    labels = _labelled([members[0].result for members in groups])
    return [_section(label, members, margin) for label, members in zip(labels, groups, strict=True)]


def _sources(result: Result) -> tuple[str, str]:
    """Digests of the texts and of the weights, which a name such as `files` or `checkpoint` does not tell."""
    found = result.provenance
    return _digest(found.get("texts")), _digest(found.get("model", {}).get("weights"))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:6]


def _labelled(results: Sequence[Result]) -> list[dict[str, str]]:
    """What tells each group from the others. Data and checkpoints that share a name are told apart by their files and their digests."""
    labels, _ = group_labels(results)
    shorter = [{name: value for name, value in label.items() if name != "probe"} for label in labels]
    if len({json.dumps(label) for label in shorter}) == len(
        {json.dumps(label) for label in labels}
    ):  # the probe follows from the data
        labels = shorter
    sources = [_sources(result) for result in results]
    for result, label, (texts, weights) in zip(results, labels, sources, strict=True):
        if (
            len({other for each, (other, _) in zip(results, sources, strict=True) if each.dataset == result.dataset})
            > 1
        ):
            files = sorted(
                {name.rpartition("/")[2] for name in (result.provenance.get("data") or {}).get("files") or {}}
            )
            label["dataset"] += f" ({', '.join([*files[:NAMED], texts])})"
        if len({other for each, (_, other) in zip(results, sources, strict=True) if each.model == result.model}) > 1:
            label["model"] = f"{result.model} ({weights})"
    return labels


def _place(record: Record) -> tuple[Any, ...]:
    result = record.result
    names = (result.dataset, result.model, result.layer, result.pairing, result.probe, result.seed, result.draws)
    return (*names, json.dumps(other_identity(result), sort_keys=True), result.pooling, result.key)


def _section(label: dict[str, str], members: Sequence[Record], margin: float) -> Section:
    names = {record.result.key: name for record, name in zip(members, _names(members), strict=True)}
    task = labelled(members, lambda result: names[result.key])[0]
    runs = [Run(names[record.result.key], record.result) for record in members]
    sign = 1 if higher_is_better(task.metric) else -1
    runs.sort(
        key=lambda run: (run.value is None, is_one_vector(run.result), 0 if run.value is None else -sign * run.value)
    )
    pairs = list(combinations([run.name for run in runs], 2))
    margin = margin if is_fraction(task.metric) else margin * (float(np.std(task.labels)) or 1.0)
    found = contrasts([task], pairs, margin=margin) if pairs else []
    return Section(label, tuple(runs), task, {(contrast.a, contrast.b): contrast for contrast in found}, margin)


def _names(members: Sequence[Record]) -> Iterator[str]:
    """The pooling; where a group has it twice, as when its function was changed in between, with the start of the record's key."""
    given = [record.result.pooling for record in members]
    for record, name in zip(members, given, strict=True):
        yield f"{name} ({record.result.key[:6]})" if given.count(name) > 1 else name


def higher_is_better(metric: str) -> bool:
    """Whether more of a metric is better; True where it is not registered."""
    return metric not in metrics or metrics[metric].higher_is_better


def judge(section: Section) -> Verdict:
    """What to use on one task, in one sentence, and what the rows could not have shown."""
    scored = section.scored
    if not scored:
        why = (
            "All texts have one and the same vector"
            if any(run.value is not None for run in section.runs)
            else "No score is defined here"
        )
        return Verdict("", f"{why}, so no pooling can be named.")
    best = scored[0]
    if len(scored) == 1:
        others = len(section.runs) - 1
        alone = f"the scores of the other {others} are undefined" if others else "there is nothing to compare it with"
        return Verdict(
            best.name,
            f"{_trivial(section)}only {best.name} was scored ({format_score(section.metric, best.result.score)}): {alone}.",
        )
    names = [run.name for run in scored]
    level = [
        run for run in scored if all(section.verdict(name, run.name) != "better" for name in names if name != run.name)
    ] or [best]
    use = min(level, key=_cost)
    rest = [run.name for run in scored if run is not use]
    stands = {name: section.verdict(use.name, name) for name in rest}
    beaten = [name for name in rest if stands[name] == "better"]
    same = [name for name in rest if stands[name] == SAME[0]]
    near = [name for name in rest if stands[name] == SAME[1]]
    open_ = [name for name in rest if stands[name] == "undecided"]
    parts = []
    if beaten:
        named = _first(beaten)
        parts.append(", ".join(f"{_gain(section, use.name, name)} {name}" for name in named))
        if len(beaten) > len(named):
            parts[-1] += f", and better than {len(beaten) - len(named)} more"
    if near:
        parts.append(f"less than {extent(section.metric, section.margin)} from {_some(near)}, but told apart")
    if same:
        parts.append(f"{_some(same)} equivalent to it within {extent(section.metric, section.margin)}")
    if open_ and parts:
        parts.append(f"{_some(open_)} not told apart from it")
    if parts:
        parts += _question(section, use.name)
        told = f"use {use.name}: {'; '.join(parts)}"
    else:
        told = f"use {use.name}, though nothing tells it apart from {_some(open_)}"
    sentence = f"{_trivial(section)}{told}."
    return Verdict(
        use.name, sentence[0].upper() + sentence[1:], (*_reason(section, use, level), *_power(section, use.name, open_))
    )


def _cost(run: Run) -> tuple[Any, ...]:
    """What to prefer among runs that are not told apart: nothing random, fewer bytes, no pooler's weights; the best come first."""
    return (is_random(run), run.bytes, _needs_pooler(run))


def is_random(run: Run) -> bool:
    """Whether a run's features go through weights that were never trained."""
    return run.result.pooling in CONTROLS or uses_untrained_pooler(run.result)


def _needs_pooler(run: Run) -> bool:
    return run.result.pooling in poolings and poolings[run.result.pooling].needs_pooler


def _first(names: Sequence[str]) -> list[str]:
    """At most `NAMED` of the names, those that the question is about before others, in the order given."""
    kept = sorted(names, key=lambda name: name not in ASKED)[:NAMED]
    return [name for name in names if name in kept]


def _some(names: Sequence[str]) -> str:
    named = _first(names)
    more = len(names) - len(named)
    listed = [*named, f"{more} more"] if more else named
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"


def _gain(section: Section, a: str, b: str) -> str:
    """``+3.1 [2.0, 4.2] over``, or ``-0.2 [-0.3, -0.1] against`` where less is better."""
    return (
        f"{gap(section.metric, section.difference(a, b))} {'over' if higher_is_better(section.metric) else 'against'}"
    )


def _question(section: Section, use: str) -> list[str]:
    """[CLS] against the pooler, where neither is the one to use."""
    if use in ("cls", "pooler") or not {"cls", "pooler"} <= {run.name for run in section.scored}:
        return []
    found = section.verdict("cls", "pooler")
    if found in SAME:
        return [f"cls and pooler equivalent within {extent(section.metric, section.margin)}"]
    if found == "undecided":
        alike = (
            section.verdict(use, "cls") == section.verdict(use, "pooler") == "undecided"
        )  # which is told of both already
        return [] if alike else ["cls and pooler not told apart"]
    a, b = ("cls", "pooler") if found == "better" else ("pooler", "cls")
    return [f"{a} {_gain(section, a, b)} {b}"]


def _trivial(section: Section) -> str:
    """How a sentence begins where no pooling is worth what trivial predictions are."""
    best, sign = section.scored[0], 1 if higher_is_better(section.metric) else -1
    bag, constant = (section.baseline.get(name, {}).get("value") for name in ("bag_of_word_pieces", "constant"))
    reached = best.result.score.get("low" if sign == 1 else "high")
    assert best.value is not None
    found = []
    if bag is not None and sign * (bag - best.value) > 0:
        found.append(
            f"a bag of word pieces scores above every pooling ({format_value(section.metric, bag)} against {format_value(section.metric, best.value)})"
        )
    if constant is not None and (reached is None or sign * (reached - constant) <= 0):
        found.append(f"no pooling is shown to beat one constant answer ({format_value(section.metric, constant)})")
    return f"{' and '.join(found)}; of the poolings, " if found else ""


def _reason(section: Section, use: Run, level: Sequence[Run]) -> list[str]:
    """Why this one, where the tests leave several."""
    if len(level) == 1:
        return []
    best = level[0]
    if use is best:
        return [f"{use.name} scores highest, and nothing level with it is cheaper."]
    why = "it needs no pooler's weights"
    if is_random(best):
        why = f"{best.name} is a random projection, a control"
    elif use.bytes < best.bytes:
        why = f"it takes {use.bytes:,} bytes per row, not {best.bytes:,}"
    return [
        f"{best.name} scores highest, {gap(section.metric, section.difference(best.name, use.name))}; {use.name} because {why}."
    ]


def _power(section: Section, use: str, open_: Sequence[str]) -> list[str]:
    """What these rows could have shown where they show nothing."""
    found = [section.contrast(use, name) for name in open_]
    seen = [contrast.smallest_difference for contrast in found if contrast.smallest_difference is not None]
    margins = [contrast.smallest_margin for contrast in found if contrast.smallest_margin is not None]
    if not seen or not margins:
        return []
    return [
        f"Not told apart: {found[0].rows:,} rows would show a true difference of {extent(section.metric, max(seen))} four times in "
        f"five, and equivalence is shown within {extent(section.metric, max(margins))}."
    ]


def settings(found: Sequence[Section], *, margin: float = MARGIN) -> list[Setting]:
    """The primary claim over at least three tasks, for every pair of the poolings that all of them have; with many, of `ASKED` alone.

    Tasks whose metric has a unit are left out: a difference there is no number of points.
    """
    return [_setting(label, members, margin) for label, members in _by_setting(found)]


def _by_setting(found: Sequence[Section]) -> Iterator[tuple[dict[str, str], list[Section]]]:
    """Sections that differ in their data alone."""
    groups: dict[tuple[tuple[str, str], ...], list[Section]] = {}
    for section in found:
        key = tuple((name, value) for name, value in section.label.items() if name not in ("dataset", "metric"))
        groups.setdefault(key, []).append(section)
    for key, members in groups.items():
        yield dict(key), members


def _setting(label: dict[str, str], members: Sequence[Section], margin: float) -> Setting:
    members = [section for section in members if is_fraction(section.metric) and section.scored]
    names = tuple(section.label["dataset"] for section in members)
    if len(names) < FEWEST:
        return Setting(
            label,
            names,
            (),
            f"it takes {FEWEST} tasks scored in points, here {'is' if len(names) == 1 else 'are'} {len(names)}",
        )
    common = set.intersection(*({run.name for run in section.scored} for section in members))
    if len(common) > FEW and len(common.intersection(ASKED)) > 1:
        common.intersection_update(ASKED)
    means = {
        name: float(np.mean([run.value for section in members for run in section.scored if run.name == name]))
        for name in common
    }
    pairs = list(combinations(sorted(common, key=lambda name: (-means[name], name)), 2))
    if not pairs:
        return Setting(label, names, (), "no two poolings were run on all of its tasks")
    try:
        found = [over_tasks([section.task for section in members], a, b, margin=margin) for a, b in pairs]
    except UserError as error:
        return Setting(label, names, (), flatten(error))
    differences, equivalences = holm([each.p for each in found]), holm([each.p_equivalence for each in found])
    tested = zip(found, differences, equivalences, strict=True)
    return Setting(label, names, tuple(Claim(each, p, same) for each, p, same in tested))


def claimed(setting: Setting) -> str:
    """The primary claim in one sentence."""
    if not setting.claims:
        return f"No claim over tasks is made: {setting.reason.rstrip('.')}."
    asked = [
        each for each in setting.claims if {each.overall.a, each.overall.b} == {"cls", "pooler"}
    ] or setting.claims[:1]
    return "; ".join(f"Over {len(setting.tasks)} tasks, {_say(each)}" for each in asked) + "."


def _say(claim: Claim) -> str:
    found = claim.overall
    worth = f"{gap('accuracy', claim.difference)} points"
    within = extent("accuracy", found.margin)
    words = {
        "equivalent": f"{found.a} and {found.b} are equivalent within {within} ({worth})",
        "equivalent with a small difference": f"{found.a} is better than {found.b} by less than {within} ({worth})",
        "better": f"{found.a} is better than {found.b}: {worth}",
        "worse": f"{found.a} is worse than {found.b}: {worth}",
        "undecided": f"{found.a} and {found.b} are neither told apart nor shown equivalent within {within} ({worth})",
    }
    alone = (
        f"they are shown to differ on at least {found.at_least} of them"
        if found.at_least
        else "on no task by itself is a difference shown"
    )
    return f"{words[claim.verdict]}; {alone}"


def signed(metric: str, value: float) -> str:
    """A difference with its sign, in points where the metric is a fraction.

    >>> signed("accuracy", 0.0312), signed("accuracy", -0.0004), signed("rmse", -0.25)
    ('+3.1', '0.0', '-0.25')
    """
    text = _unsigned_zero(metric, value)
    return f"{'+' * (float(text) > 0)}{text}"


def _unsigned_zero(metric: str, value: float) -> str:
    text = format_value(metric, value)
    return text if float(text) else text.removeprefix("-")


def gap(metric: str, difference: Difference) -> str:
    """A difference with its 95 % interval."""
    if difference.value is None:
        return "undefined"
    text = signed(metric, difference.value)
    if difference.low is None or difference.high is None:
        return f"{text} (no interval)"
    return f"{text} [{_unsigned_zero(metric, difference.low)}, {_unsigned_zero(metric, difference.high)}]"


def extent(metric: str, value: float) -> str:
    """A margin or a difference without its sign.

    >>> extent("accuracy", 0.01), extent("accuracy", 0.0234), extent("rmse", 0.0234)
    ('1 point', '2.3 points', '0.023 of rmse')
    """
    if not is_fraction(metric):
        return f"{value:.2g} of {metric}"
    text = f"{100 * value:.1f}".removesuffix(".0")
    return f"{text} point{'s' * (text != '1')}"


def _turned(difference: Difference) -> Difference:
    """The difference seen from the other side."""

    def turn(value: float | None) -> float | None:
        return None if value is None else -value

    return replace(
        difference,
        value=turn(difference.value),
        low=turn(difference.high),
        high=turn(difference.low),
        low90=turn(difference.high90),
        high90=turn(difference.low90),
    )
