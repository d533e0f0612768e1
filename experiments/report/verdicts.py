"""Judges one task: the pooling to use, and the differences that the rows show or could show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.formatting import format_difference, format_margin, join_names
from experiments.report.layers import LayerGroup, layer_of
from experiments.report.sections import Run, Section, higher_is_better
from experiments.strata import Answer
from src.evaluation.differences import BETTER, INCONCLUSIVE, NO_RELEVANT_DIFFERENCE, SMALL_DIFFERENCE, WORSE
from src.evaluation.multiplicity import MAIN_POOLINGS
from src.results.display import format_score, format_value
from src.results.groups import unequal_widths

AT_LAYER = ", layer "  # between the names of a pooling and of its layer
NAMES_SHOWN = 3  # in a list; the main poolings come before others


@dataclass(frozen=True)
class Verdict:
    """The verdict on a section.

    Parameters
    ----------
    use : str
        The run to use, empty if none can be named.
    sentence : str
    more : tuple of str
        Further sentences.
    """

    use: str
    sentence: str
    more: tuple[str, ...] = ()


def judge(section: Section) -> Verdict:
    """Return the verdict on a section: the pooling to use and why."""
    scored = section.scored
    if not scored:
        has_score = any(run.value is not None for run in section.runs)
        why = "All texts have one and the same vector" if has_score else "No score is defined here"
        return Verdict("", f"{why}, so no pooling can be named.")
    best = scored[0]
    if len(scored) == 1:
        others = len(section.runs) - 1
        why = f"the scores of the other {others} are undefined" if others else "there is nothing to compare it with"
        score = format_score(section.metric, best.result.score)
        return Verdict(
            best.name, _capitalise(f"{_baseline_clause(section)}only {best.name} was scored ({score}): {why}.")
        )
    candidates = [run for run in scored if not any(_is_better(section, other, run) for other in scored)] or [best]
    use = min(candidates, key=_preference)
    inconclusive = _inconclusive(section, use)
    sentence = f"{_baseline_clause(section)}{_recommend(section, use)}."
    more = (
        *_explain_choice(section, use, candidates),
        *_explain_widths(section),
        *_explain_power(section, use.name, inconclusive),
    )
    return Verdict(use.name, _capitalise(sentence), more)


def judge_layers(group: LayerGroup) -> Verdict:
    """Return the choice of a layer and a pooling; tests are made within the chosen layer alone."""
    section, run = group.chosen
    layer = layer_of(section)
    found = _trivial(section, run, above="it", nothing="it is not")
    trivial = f" {_capitalise(' and '.join(found))}." if found else ""
    within = "; ".join(_comparisons(section, run)) or "was scored alone"
    more = (
        *group.more,
        f"Layers are not tested against each other. Within layer {layer}: {run.name} {within}.",
        *_explain_widths(section),
        *_explain_power(section, run.name, _inconclusive(section, run)),
    )
    return Verdict(f"{run.name}{AT_LAYER}{layer}", f"{group.sentence}{trivial}", more)


def judge_failed(answer: Answer) -> Verdict:
    """Return the verdict on a task that does not count."""
    share = f"{100 * (answer.gain or 0):z.1f} % of the constant's loss"
    more = ("The constant is approximate, that of the test labels: the records hold none.",)
    return Verdict(
        "",
        "Too little is decoded, so none is recommended: at the last layer the best of the main poolings removes "
        f"{share}; a task counts from 5 % on.",
        more if answer.approximate else (),
    )


def _is_better(section: Section, a: Run, b: Run) -> bool:
    return a is not b and section.verdict(a.name, b.name) == BETTER


def _preference(run: Run) -> tuple[bool, int, bool]:
    """Return a sort key: without random weights first, then fewer bytes, then without a pooler."""
    return (run.is_random, run.bytes, run.needs_pooler)


def _inconclusive(section: Section, use: Run) -> list[str]:
    """Return the names of the runs whose tests against a run are inconclusive."""
    return [
        run.name for run in section.scored if run is not use and section.verdict(use.name, run.name) == INCONCLUSIVE
    ]


def _recommend(section: Section, use: Run) -> str:
    """Return the clause that recommends a run and compares it with the others."""
    parts = _comparisons(section, use)
    untold = parts[0].startswith(("inconclusive", "not testable"))
    return f"use {use.name}{', ' if untold else ': '}{'; '.join(parts)}"


def _comparisons(section: Section, use: Run) -> list[str]:
    """Return the clauses that compare a run with the others of its section."""
    verdicts: dict[str, list[str]] = {}
    for run in section.scored:
        if run is not use:
            verdicts.setdefault(section.verdict(use.name, run.name), []).append(run.name)
    margin = format_margin(section.metric, section.margin)
    parts = []
    if better := verdicts.get(WORSE):
        named = _first_names(better)
        gains = (f"{name} ({format_difference(section.metric, section.difference(use.name, name))})" for name in named)
        more = [f"{len(better) - len(named)} more"] if len(better) > len(named) else []
        parts.append(f"worse than {join_names([*gains, *more])}")
    if worse := verdicts.get(BETTER):
        named = _first_names(worse)
        parts.append(", ".join(f"{_format_gain(section, use.name, name)} {name}" for name in named))
        if len(worse) > len(named):
            parts[-1] += f", and better than {len(worse) - len(named)} more"
    if near := verdicts.get(SMALL_DIFFERENCE):
        parts.append(f"small difference, within {margin}, from {_some_names(near)}")
    if same := verdicts.get(NO_RELEVANT_DIFFERENCE):
        parts.append(f"no relevant difference, within {margin}, from {_some_names(same)}")
    if inconclusive := verdicts.get(INCONCLUSIVE):
        untested = [name for name in inconclusive if not _has_test(section, use.name, name)]
        if tested := [name for name in inconclusive if name not in untested]:
            parts.append(f"inconclusive against {_some_names(tested)}")
        if untested:
            parts.append(f"not testable against {_some_names(untested)} on these rows")
        if not (better or worse or near or same):
            return parts
    return [*parts, *_compare_pooler(section, use.name)]


def _has_test(section: Section, a: str, b: str) -> bool:
    """Return whether the rows allow a test or an interval of two runs; fewer groups than five do not."""
    found = section.difference(a, b)
    return found.p is not None or found.low is not None


def _first_names(names: Sequence[str]) -> list[str]:
    """Return at most `NAMES_SHOWN` names, the main poolings before others, in the order given."""
    kept = sorted(names, key=lambda name: name not in MAIN_POOLINGS)[:NAMES_SHOWN]
    return [name for name in names if name in kept]


def _some_names(names: Sequence[str]) -> str:
    named = _first_names(names)
    more = len(names) - len(named)
    return join_names([*named, f"{more} more"] if more else named)


def _format_gain(section: Section, a: str, b: str) -> str:
    """Return ``+3.1 [2.0, 4.2] over``, or ``-0.2 [-0.3, -0.1] against`` if lower is better."""
    difference = format_difference(section.metric, section.difference(a, b))
    return f"{difference} {'over' if higher_is_better(section.metric) else 'against'}"


def _compare_pooler(section: Section, use: str) -> list[str]:
    """Return a clause on [CLS] against the pooler, if neither is recommended."""
    if use in ("cls", "pooler") or not {"cls", "pooler"} <= {run.name for run in section.scored}:
        return []
    found = section.verdict("cls", "pooler")
    if found in (NO_RELEVANT_DIFFERENCE, SMALL_DIFFERENCE):
        return [f"between cls and pooler {found}, within {format_margin(section.metric, section.margin)}"]
    if found == INCONCLUSIVE:
        mentioned = section.verdict(use, "cls") == section.verdict(use, "pooler") == INCONCLUSIVE
        words = "inconclusive" if _has_test(section, "cls", "pooler") else "not testable"
        return [] if mentioned else [f"cls against pooler {words}"]
    a, b = ("cls", "pooler") if found == BETTER else ("pooler", "cls")
    return [f"{a} {_format_gain(section, a, b)} {b}"]


def _baseline_clause(section: Section) -> str:
    """Return the first clause of a verdict if trivial predictions are as good as every pooling."""
    found = _trivial(section, section.scored[0], above="every pooling", nothing="no pooling is")
    return f"{' and '.join(found)}; of the poolings, " if found else ""


def _trivial(section: Section, run: Run, *, above: str, nothing: str) -> list[str]:
    """Return a clause for each trivial prediction that a run does not surpass; `above` and `nothing` name the run."""
    metric, sign = section.metric, 1 if higher_is_better(section.metric) else -1
    bag, constant = (section.baseline.get(name, {}).get("value") for name in ("bag_of_word_pieces", "constant"))
    bound = run.result.score.get("low" if sign == 1 else "high")
    assert run.value is not None
    found = []
    if bag is not None and sign * (bag - run.value) > 0:
        scores = f"{format_value(metric, bag)} against {format_value(metric, run.value)}"
        found.append(f"a bag of word pieces scores better than {above} ({scores})")
    if constant is not None and (bound is None or sign * (bound - constant) <= 0):
        found.append(f"{nothing} shown to beat one constant answer ({format_value(metric, constant)})")
    return found


def _capitalise(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _explain_choice(section: Section, use: Run, candidates: Sequence[Run]) -> list[str]:
    """Return why a run is preferred, if the tests leave several."""
    if len(candidates) == 1:
        return []
    best = candidates[0]
    if use is best:
        return [f"{use.name} scores best, and nothing level with it is cheaper."]
    why = "it needs no pooler's weights"
    if best.is_random:
        why = f"{best.name} is a random projection, a control"
    elif use.bytes < best.bytes:
        why = f"it takes {use.bytes:,} bytes per row, not {best.bytes:,}"
    lead = format_difference(section.metric, section.difference(best.name, use.name))
    return [f"{best.name} scores best, {lead}; {use.name} because {why}."]


def _explain_widths(section: Section) -> list[str]:
    """Return the widths of the poolings, if they differ."""
    widths = unequal_widths([run.result for run in section.runs])
    listed = ", ".join(f"{name} {width:,}" for name, width in sorted(widths.items(), key=lambda item: item[1]))
    return [f"Unequal widths are compared, in dimensions: {listed}."] if widths else []


def _explain_power(section: Section, use: str, inconclusive: Sequence[str]) -> list[str]:
    """Return which differences these rows could have shown, if some tests are inconclusive."""
    found = [section.contrast(use, name) for name in inconclusive]
    differences = [contrast.smallest_difference for contrast in found if contrast.smallest_difference is not None]
    margins = [contrast.smallest_margin for contrast in found if contrast.smallest_margin is not None]
    if not differences or not margins:
        return []
    return [
        f"Inconclusive: {found[0].rows:,} rows would show a true difference of "
        f"{format_margin(section.metric, max(differences))} four times in five, and equivalence within "
        f"{format_margin(section.metric, max(margins))}, both before Holm's correction."
    ]
