"""States the claims on pre-training arms; there are none before their records exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from experiments.formatting import format_interval, format_points, join_names
from experiments.paper.arms import WORDS_ONLY, SeedContrast, Study, studies
from experiments.paper.claims.sentences import Claim, Number, claim_numbers, describe_claims
from experiments.paper.continued import conditions, within_trainings
from experiments.paper.evidence import PAIRS, Evidence
from src.evaluation.units import MeanContrast
from src.results.display import format_p_value

TITLES = {
    "nsp": "Does next-sentence prediction do it?",
    "continued": "A strong encoder whose pooler was trained",
}
COMMANDS = (
    "python -m experiments.pretraining.arms study={0} text=FOLDER output=ARMS, then "
    "python -m experiments.pretraining.arm_records study={0} arms=ARMS data_root=FOLDER"
)

NO_CONTRAST = "No contrast: two seeds of all arms and two units of tasks that count are needed."


def claims(evidence: Evidence) -> list[Claim]:
    """Return a claim for each study whose records are there."""
    return [_claim(evidence, study) for study in studies(evidence)]


def _claim(evidence: Evidence, study: Study) -> Claim:
    found = [each for each in study.all_contrasts() if each.regression]
    text = [_trainings(study), _checks(evidence, study)]
    see = ["tables/arms-checks", "tables/arms-levels"]
    if found:
        text.append(_scopes(found))
        see.insert(0, "tables/arms")
    else:
        text.append(NO_CONTRAST)
    numbers = [format_seed_contrast(each) for each in found]
    if study.name == "continued":
        within = within_trainings(evidence, study)
        for label, claims in within.items():
            numbers += claim_numbers(claims, f"within {label}, ")
        if within:
            text.append(f"Within a training, whose error is that of rows: {describe_within(study, within)}")
        see += ["tables/arms-conditions", "tables/arms-similarity"]
    return Claim(TITLES[study.name], " ".join(text), numbers, COMMANDS.format(study.name), see)


def describe_within(study: Study, within: Mapping[str, Sequence[tuple[str, MeanContrast]]]) -> str:
    """Return the pooler and the mean against [CLS] in the trainings whose pooler learnt next sentences.

    Parameters
    ----------
    study : Study
    within : mapping
        Claims by training, from `within_trainings`.
    """
    parts = []
    for label, claims in within.items():
        found = [(stratum, each) for stratum, each in claims if (each.a, each.b) in PAIRS[:2]]
        if found and study.facts[label]["arm"] != WORDS_ONLY:
            parts.append(f"**{label}** (pooler {study.pooler(label)}): {describe_claims(found)}.")
    return " ".join(parts)


def _trainings(study: Study) -> str:
    return (
        f"{len(study.facts)} trainings of {join_names(study.arms)} differ in their objective alone; "
        f"{len(study.seeds)} of their seeds have all arms. The pooler of mlm is untrained."
    )


def _checks(evidence: Evidence, study: Study) -> str:
    """Return which arms learnt next sentences, or which conditions failed."""
    if study.name == "nsp":
        failed = [label for label in study.facts if study.learnt(label) is False]
        return f"Not learnt next sentences: {join_names(failed, 'no arm that was to')}."
    found = conditions(evidence, study)
    failed, missing = (
        [f"{each.what} ({each.label})" for each in found if each.held is state] for state in (False, None)
    )
    return f"Conditions that failed: {join_names(failed)}; not measured: {join_names(missing)}."


def _scopes(found: list[SeedContrast]) -> str:
    """Return the tasks of each stratum."""
    scopes = {each.stratum: f"{each.stratum}: {join_names(each.tasks)}" for each in found}
    return (
        f"In points of D², {'; '.join(scopes.values())}. The error is that of seeds and units; Holm is over the five "
        "rows of a stratum and pair of arms."
    )


def format_seed_contrast(each: SeedContrast) -> Number:
    """Return a contrast as a number; its size is tasks / units and seeds, p-values are after Holm."""
    difference, size = each.difference, f"{len(each.tasks)} / {len(each.units)}, {len(each.seeds)} seeds"
    return Number(
        f"{each.stratum}: {each.quantity.name}, {each.quantity.arms}",
        format_points(difference.value, signed=True),
        format_interval(difference.low, difference.high, signed=True),
        f"{size}; p {format_p_value(each.p)}, eq {format_p_value(each.p_equivalence)}",
        each.verdict,
    )
