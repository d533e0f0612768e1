"""Builds the tables on pre-training arms; there are none before their records exist."""

from __future__ import annotations

from experiments.formatting import format_interval, format_points
from experiments.paper.arms import LEARNT, WORDS_ONLY, SeedContrast, Study, find_pooler_study, studies
from experiments.paper.continued import (
    CORRELATED,
    ORIGINAL,
    Condition,
    conditions,
    correlations,
    original,
    original_means,
)
from experiments.paper.evidence import Evidence
from experiments.paper.tables.table import Table
from experiments.strata import STRATA
from src.evaluation.multiplicity import MAIN_POOLINGS
from src.results.display import format_p_value

ARMS_CAPTION = (
    "Pre-training arms, paired by seed: D² in points, one arm less the other, over the tasks that count. Error of "
    "seeds and of units, Student's quantiles with the fewer degrees of freedom; Holm over the five quantities of a "
    "pair of arms; margin 1 point. The pooler of the arm mlm is untrained. Size: seeds / units / tasks."
)
POOLER_CAPTION = (
    "One frozen encoder with random poolers, and with the same after next-sentence prediction has trained them and "
    "nothing else, paired by seed: D² in points over the tasks that count. Error of seeds and of units; Holm over the "
    "three lines of a stratum; margin 1 point. Size: seeds / units / tasks."
)


def arms(evidence: Evidence) -> list[Table]:
    """Return the tables of all studies whose records are there."""
    found = studies(evidence)
    if not found:
        return []
    tables = [checks(found), levels(evidence, found)]
    if lines := [each for study in found for each in study.all_contrasts]:
        tables.insert(0, contrasts("arms", ARMS_CAPTION, "study", lines))
    for study in found:
        if study.name == "continued":
            tables += [held(conditions(evidence, study)), similarities(evidence, study)]
    return tables


def nsp_pooler(evidence: Evidence) -> Table:
    """Return the contrasts of poolers that next-sentence prediction trained alone."""
    lines = [
        each for model in evidence.models_of("nsp_pooler") for each in find_pooler_study(evidence, model).all_contrasts
    ]
    return contrasts("nsp_pooler", POOLER_CAPTION, "encoder", lines)


def contrasts(name: str, caption: str, heading: str, lines: list[SeedContrast]) -> Table:
    """Return contrasts that are paired by seed; `heading` names their sources."""
    cells = [
        (
            each.source,
            each.stratum + ("" if each.regression else ", without scores"),
            each.quantity.label,
            each.quantity.name,
            format_points(each.difference.value, signed=True),
            format_interval(each.difference.low, each.difference.high, signed=True),
            each.verdict,
            format_p_value(each.p),
            format_p_value(each.p_equivalence),
            f"{len(each.seeds)} / {len(each.units)} / {len(each.tasks)}",
        )
        for each in lines
    ]
    rows = [
        {
            heading: each.source,
            **{name: getattr(each, name) for name in ("stratum", "regression")},
            "arms": each.quantity.label,
            "quantity": each.quantity.name,
            "difference": each.difference.value,
            **{name: getattr(each.difference, name) for name in ("low", "high", "low90", "high90")},
            "p_holm": each.p,
            "p_equivalence_holm": each.p_equivalence,
            "verdict": each.verdict,
            "freedom": each.freedom,
            **{name: " ".join(map(str, getattr(each, name))) for name in ("seeds", "units", "tasks")},
        }
        for each in lines
    ]
    columns = (heading, "stratum", "arms", "what", "difference", "95 %", "verdict", "p", "p equivalence", "size")
    return Table(name, caption, columns, cells, rows)


def checks(found: list[Study]) -> Table:
    """Return what each arm learnt, and whether its pooler was trained."""
    cells, rows = [], []
    for study in found:
        for label, facts in study.facts.items():
            learnt = study.learnt(label)
            word = "" if study.name != "nsp" else {True: "learnt", False: "not learnt", None: "not trained"}[learnt]
            accuracy = facts["nsp_accuracy"]
            cells.append(
                (
                    study.name,
                    str(facts["arm"]),
                    str(facts["seed"]),
                    f"{facts['tokens'] / 1e6:.1f} M",
                    "" if accuracy is None else format_points(accuracy),
                    word,
                    format_points(facts["mlm_accuracy"]),
                    study.pooler(label),
                )
            )
            rows.append(
                {
                    "study": study.name,
                    **{name: facts[name] for name in ("arm", "seed", "steps", "tokens", "nsp_accuracy")},
                    "learnt": learnt,
                    **{name: facts[name] for name in ("mlm_accuracy", "weights")},
                    "pooler": study.pooler(label),
                }
            )
    missing = [
        f"{study.name}: {study.planned - len(study.facts)}" for study in found if study.planned > len(study.facts)
    ]
    caption = (
        "Each training of the arms on held-out pairs drawn as in its training, in percent. In study=nsp an arm learnt "
        f"next sentences if their accuracy exceeds {100 * LEARNT:g} %. The pooler of mlm got no gradient."
        + (f" Trainings still missing: {', '.join(missing)}." if missing else "")
    )
    columns = ("study", "arm", "seed", "pieces", "next sentence", "check", "masked pieces", "pooler")
    return Table("arms-checks", caption, columns, cells, rows)


def levels(evidence: Evidence, found: list[Study]) -> Table:
    """Return the mean D² of each arm and pooling, beside that of the checkpoint which the trainings continue from."""
    cells, rows = [], []
    for study in found:
        for stratum in STRATA:
            means = study.means(stratum)
            lines = {arm: {name: value for (own, name), value in means.items() if own == arm} for arm in study.arms}
            if study.name == "continued":
                lines = {f"{ORIGINAL}, original": original_means(evidence, study, stratum), **lines}
            for arm, values in lines.items():
                if values:
                    untrained = arm == WORDS_ONLY or arm.endswith("original")
                    name = f"{arm} (pooler untrained)" if untrained else arm
                    scores = [
                        "" if pooling not in values else format_points(values[pooling]) for pooling in MAIN_POOLINGS
                    ]
                    cells.append((study.name, stratum, name, *scores))
                    rows.append({"study": study.name, "stratum": stratum, "arm": arm, **values})
    caption = (
        "D² of each arm, in points: means over its seeds and the units of tasks that count. No test; the differences "
        "between arms are in the table of contrasts."
    )
    return Table("arms-levels", caption, ("study", "stratum", "arm", *MAIN_POOLINGS), cells, rows)


def held(found: list[Condition]) -> Table:
    """Return the conditions of the continued trainings, each held or failed."""
    cells = [
        (
            each.label,
            each.what,
            format_points(each.value, signed=each.bound < 0),
            "" if each.interval is None else format_interval(*each.interval),
            format_points(each.bound),
            {True: "held", False: "failed", None: "not measured"}[each.held],
        )
        for each in found
    ]
    rows = [
        {"training": each.label, "what": each.what, "value": each.value, "bound": each.bound, "held": each.held}
        for each in found
    ]
    caption = (
        "Conditions of the trainings that continue from MiniLM, fixed beforehand, in points of accuracy: next "
        "sentences on 128 pieces above 70 on held-out books, their 95 % interval above 50 on text of another kind, and "
        "a probe on the mean at most 3 below the original's."
    )
    columns = ("training", "what", "value", "95 %", "bound", "condition")
    return Table("arms-conditions", caption, columns, cells, rows)


def similarities(evidence: Evidence, study: Study) -> Table:
    """Return the similarity of each continued arm beside the original's."""
    sources = {f"{ORIGINAL}, original": original(evidence, "similarity"), **study.records}
    cells, rows = [], []
    for label, records in sources.items():
        found = correlations(records)
        for pooling in MAIN_POOLINGS:
            values = [found.get((task, pooling)) for task in CORRELATED]
            if any(value is not None for value in values):
                status = study.pooler(label) if label in study.facts else "untrained"
                name = f"{pooling} (untrained)" if pooling == "pooler" and status == "untrained" else pooling
                cells.append((label, name, *("" if value is None else format_points(value) for value in values)))
                rows.append({"training": label, "pooling": pooling, **dict(zip(CORRELATED, values, strict=True))})
    caption = (
        "Spearman's correlation (times 100) of the cosine with the gold scores, without a fit: the trainings that "
        "continue from MiniLM beside the original."
    )
    return Table("arms-similarity", caption, ("training", "pooling", *CORRELATED), cells, rows)
