"""States the claims on pre-training arms; there are none before their records exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from experiments.formatting import format_interval, format_points, join_names
from experiments.paper.arms import LEARNT, WORDS_ONLY, SeedContrast, Study, studies
from experiments.paper.claims.sentences import NAMES, Claim, Number, claim_numbers, describe_claims, format_difference
from experiments.paper.continued import conditions, within_trainings
from experiments.paper.evidence import PAIRS, Evidence
from experiments.paper.grids import MARKS
from experiments.strata import STRATA
from experiments.style import pair_label
from src.evaluation.differences import INCONCLUSIVE
from src.evaluation.units import MeanContrast
from src.results.display import format_p_value

OBJECTIVES = {
    "mlm": "masked words alone",
    "nsp_other_document": "masked words and next sentences",
    "nsp_same_document": "masked words and next sentences, negatives from the same document",
}
NEXT_SENTENCES = "nsp_other_document"  # the arm that is BERT's own recipe
NEGATIVES = {
    "nsp_other_document": "with negatives from another document",
    "nsp_same_document": "with negatives from the same document",
}
SHOWN = ("cls", "mean")  # poolings that the page names
TITLES = {
    "nsp": "Does next-sentence prediction do it?",
    "continued": "A strong encoder whose pooler was trained",
}
COMMANDS = {
    "nsp": "python -m experiments.pretraining.arms study=nsp text=FOLDER output=ARMS, then "
    "python -m experiments.pretraining.arm_records study=nsp arms=ARMS data_root=FOLDER",
    "continued": "python -m experiments.pretraining.arms study=continued model.path=FOLDER text=FOLDER output=ARMS, "
    "then python -m experiments.pretraining.arm_records study=continued arms=ARMS text=FOLDER other_text=FOLDER "
    "data_root=FOLDER",
}

NOT_YET = "Contrasts between the arms are made when all planned trainings are there."
NO_CONTRAST = "No contrast: two seeds of all arms and two units of tasks that count are needed."


def claims(evidence: Evidence) -> list[Claim]:
    """Return a claim for each study whose records are there."""
    return [_claim(evidence, study) for study in studies(evidence)]


def _claim(evidence: Evidence, study: Study) -> Claim:
    contrasts = study.all_contrasts
    found = [each for each in contrasts if each.regression]
    text = [_trainings(study), _checks(evidence, study)]
    see = ["tables/arms-checks", "tables/arms-levels"]
    if found:
        text.append(_scopes(contrasts))
        see.insert(0, "tables/arms")
    else:
        text.append(NO_CONTRAST if len(study.facts) == study.planned else NOT_YET)
    numbers = [format_seed_contrast(each) for each in found]
    if study.name == "continued":
        within = within_trainings(evidence, study)
        for label, claims in within.items():
            numbers += claim_numbers(claims, f"within {label}, ", study.pooler(label))
        if within:
            text.append(f"Within a training, whose error is that of rows: {describe_within(study, within)}")
        see += ["tables/arms-conditions", "tables/arms-similarity"]
    return Claim(TITLES[study.name], " ".join(text), numbers, COMMANDS[study.name], see)


Within = Mapping[str, Sequence[tuple[str, MeanContrast]]]  # claims of each training, from `within_trainings`


def summarise_within(study: Study, within: Within) -> str:
    """Return the differences of `describe_within` alone, with the tasks' numbers and the marks of the tables."""
    parts = []
    for arm, _, claims in _shown_within(study, within):
        for pair in dict.fromkeys((each.a, each.b) for _, each in claims):
            found = [
                f"{format_points(each.value, signed=True)}{MARKS[each.verdict]} ({stratum}, {len(each.tasks)} tasks)"
                for stratum, each in claims
                if (each.a, each.b) == pair
            ]
            parts.append(f"{OBJECTIVES[arm]}, {pair_label(*pair)}: {', '.join(found)}")
    return "; ".join(parts)


def describe_within(study: Study, within: Within) -> str:
    """Return the pooler and the mean against [CLS] in each training; an untrained pooler is left out."""
    return " ".join(
        f"**{OBJECTIVES[arm]}** (pooler {study.pooler(label)}): {describe_claims(claims, study.pooler(label))}."
        for arm, label, claims in _shown_within(study, within)
    )


def _shown_within(study: Study, within: Within) -> Iterator[tuple[str, str, list[tuple[str, MeanContrast]]]]:
    """Yield arm, label and claims of each training, those of the strata against [CLS] without an untrained pooler."""
    for label, claims in within.items():
        arm = str(study.facts[label]["arm"])
        pairs = [pair for pair in PAIRS[:2] if "pooler" not in pair or arm != WORDS_ONLY]
        found = [(stratum, each) for stratum, each in claims if stratum in STRATA and (each.a, each.b) in pairs]
        if found:
            yield arm, label, found


def failed_conditions(evidence: Evidence, study: Study) -> str:
    """Return the conditions that failed, each with its bound and the trainings in which it did; empty if none did."""
    found = conditions(evidence, study)
    failed = Counter((each.what, each.bound) for each in found if each.held is False)
    of = Counter(each.what for each in found if each.held is not None)
    return join_names(
        [
            f"{what} misses its bound, {format_points(bound, signed=bound < 0)}, in {number} of {of[what]} trainings"
            for (what, bound), number in failed.items()
        ]
    )


def next_sentences(evidence: Evidence) -> str:
    """Return what next-sentence prediction does to [CLS] and to the mean; empty before all trainings are there."""
    study = next((each for each in studies(evidence) if each.name == "nsp"), None)
    found = [
        each for each in (study.all_contrasts if study else ()) if each.quantity.arms == (NEXT_SENTENCES, WORDS_ONLY)
    ]
    if study is None or not found:
        return ""
    named = [each for each in found if each.quantity.name in SHOWN]
    undecided = all(each.verdict == INCONCLUSIVE for each in named)
    parts = [
        f"{NAMES[pooling]} "
        + join_names(_strata_shown([each for each in named if each.quantity.name == pooling], undecided))
        for pooling in SHOWN
    ]
    return (
        f"**Next sentences in pre-training.** {'Their effect could not be told. ' * undecided}Small encoders were "
        f"trained alike with next-sentence prediction and without it, {len(study.seeds)} seeds each "
        f"({_learners(study, NEXT_SENTENCES)} learnt it). The difference that it makes, in points: {'; '.join(parts)}"
        f"{'. All are inconclusive' * undecided}."
    )


def _strata_shown(found: Sequence[SeedContrast], undecided: bool) -> list[str]:
    """Return a contrast in each stratum, and without the regression tasks where the verdict differs."""
    shown = []
    for each in found:
        if each.regression:
            repeated = [other for other in found if other.stratum == each.stratum and not other.regression]
            size = f"{len(each.tasks)} tasks of {len(each.units)} units"
            shown.append(f"{_shown(each, undecided)} for {each.stratum} ({size})")
            shown[-1] += "".join(
                f" (classification tasks only: {_shown(other, undecided)})"
                for other in repeated
                if other.verdict != each.verdict
            )
    return shown


def _shown(each: SeedContrast, undecided: bool) -> str:
    """Return a contrast with its interval, and with its verdict unless all are inconclusive."""
    return format_difference(each.difference) + f", {each.verdict}," * (not undecided)


def _learners(study: Study, arm: str) -> str:
    """Return by how many of an arm's trainings next sentences were learnt."""
    learnt = [study.learnt(label) is True for label in study.labels if study.facts[label]["arm"] == arm]
    return f"{sum(learnt)} of {len(learnt)}"


def _learnt(study: Study, arm: str) -> str:
    """Return by how many trainings of an arm next sentences were learnt, and their held-out accuracies."""
    known = [study.facts[label]["nsp_accuracy"] for label in study.labels if study.facts[label]["arm"] == arm]
    accuracies = [float(each) for each in known if each is not None]
    if not accuracies:
        return f"{NEGATIVES[arm]}, not measured"
    return f"{NEGATIVES[arm]}, {_learners(study, arm)} ({100 * min(accuracies):.1f} to {100 * max(accuracies):.1f} %)"


def _trainings(study: Study) -> str:
    return (
        f"{len(study.facts)} trainings"
        + (f" of {study.planned} planned" if study.planned > len(study.facts) else "")
        + ", which differ in seed and objective alone: "
        + join_names([f"{OBJECTIVES[arm]} (`{arm}`)" for arm in study.arms])
        + f"; {len(study.seeds)} seeds have all of them. The pooler of `{WORDS_ONLY}` is untrained."
    )


def _checks(evidence: Evidence, study: Study) -> str:
    """Return which arms learnt next sentences, or which conditions failed."""
    if study.name == "nsp":
        learnt = [_learnt(study, arm) for arm in study.arms if arm != WORDS_ONLY]
        return f"Next sentences learnt, above {100 * LEARNT:g} % of held-out pairs: {'; '.join(learnt)}."
    found = conditions(evidence, study)
    missing = [f"{each.what} ({each.label})" for each in found if each.held is None]
    held = sum(each.held is True for each in found)
    return (
        f"Of {len(found)} conditions {held} held; failed: {failed_conditions(evidence, study) or 'none'}"
        + (f"; not measured: {join_names(missing)}" if missing else "")
        + "."
    )


def _scopes(found: list[SeedContrast]) -> str:
    """Return the tasks of each stratum, and whether nothing is conclusive, regression tasks left out or not."""
    scopes = {each.stratum: f"{each.stratum}: {join_names(each.tasks)}" for each in found if each.regression}
    return (
        f"In points of D², {'; '.join(scopes.values())}. The error is that of seeds and units; Holm is over the five "
        "rows of a stratum and pair of arms."
        + (" No contrast between arms is conclusive." if all(e.verdict == INCONCLUSIVE for e in found) else "")
    )


def format_seed_contrast(each: SeedContrast) -> Number:
    """Return a contrast as a number; its size is tasks / units and seeds, p-values are after Holm."""
    difference, above = each.difference, int((each.values.mean(axis=1) > 0).sum())
    size = f"{len(each.tasks)} / {len(each.units)}, {len(each.seeds)} seeds, {above} above 0"
    return Number(
        f"{each.stratum}: {each.quantity.name}, {each.quantity.label}",
        format_points(difference.value, signed=True),
        format_interval(difference.low, difference.high, signed=True),
        f"{size}; p {format_p_value(each.p)}, eq {format_p_value(each.p_equivalence)}",
        each.verdict,
    )
