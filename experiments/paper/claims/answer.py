"""States the answer and the scope of the paper, and lists its claims."""

from __future__ import annotations

from collections.abc import Callable

from experiments.formatting import format_points, join_names
from experiments.paper.claims import arms, ladder, practice, primary, settings, strata
from experiments.paper.claims.sentences import NAMES, SHOWN, Claim, format_claim, format_difference
from experiments.paper.evidence import PAIRS, Evidence
from experiments.strata import APART, SIMILARITY, SINGLE, STRATA, TOGETHER, StratumTasks
from experiments.style import LABELS
from src.errors import UserError
from src.evaluation.contrasts import Contrast
from src.evaluation.differences import BETTER, INCONCLUSIVE, NO_RELEVANT_DIFFERENCE, SMALL_DIFFERENCE, WORSE
from src.evaluation.multiplicity import MAIN_POOLINGS
from src.evaluation.units import MeanContrast

CLAIMS: tuple[Callable[[Evidence], Claim | None], ...] = (  # in their order on the page; None: no runs to speak of
    strata.by_stratum,
    primary.task_by_task,
    primary.values,
    ladder.ladder,
    ladder.geometry,
    ladder.nsp_pooler,
    ladder.conditional,
    settings.coherence,
    settings.pairs,
    settings.similarity,
    settings.layers,
    settings.few_shot,
    settings.data,
    settings.protocol,
    ladder.precision,
    practice.draws,
    practice.finetuning,
    practice.cost,
    practice.along,
    practice.controls,
    practice.calibration,
)
SENTENCES = (  # stratum and pair of each sentence of the answer
    (SINGLE, ("pooler", "cls")),
    (TOGETHER, ("pooler", "cls")),
    (SINGLE, ("mean", "cls")),
    (TOGETHER, ("mean", "cls")),
    (SIMILARITY, ("mean", "cls")),
)
ENCODERS = {  # what a reader has to know of them
    "bert-books": "a small BERT that this project pre-trained on 85 books; pooler trained, by next sentences",
    "all-MiniLM-L6-v2": "a sentence encoder trained with mean pooling, which favours the mean; pooler never trained",
}
PLACES = {
    SINGLE: "single texts",
    TOGETHER: "pairs read together",
    SIMILARITY: "similarity",
}
READ = {TOGETHER: "[CLS] A [SEP] B [SEP], one vector"}
READING = (  # below the answer
    "**Reading the numbers.** Points are hundredths of D² (similarity: Spearman's ρ); a difference within 1 is not "
    "relevant, better and worse are of any size that is shown. D² is the share of a constant prediction's log-loss "
    "that the probe removes (scores: R²). Brackets: 95 %. Verdicts are corrected for several tests (Holm), intervals "
    "are not. Tasks that share texts are one unit, units count equally; *on these tasks* says nothing of others."
)
NEAR = (0.04, 0.06)  # p-values, after Holm, that are shown beside the verdict that hangs on them
BASE_SHAPE = (12, 768)  # layers and width of BERT-base
WORDS = {
    BETTER: "{a} is better than {b}",
    WORSE: "{a} is worse than {b}",
    NO_RELEVANT_DIFFERENCE: "there is no relevant difference between {a} and {b}",
    SMALL_DIFFERENCE: "there is a small difference, less than 1 point, in favour of {winner} over {loser}",
    INCONCLUSIVE: "{a} against {b} is inconclusive",
}


def all_claims(evidence: Evidence) -> list[Claim]:
    """Return the claims in their order on the page."""
    found = [claim(evidence) for claim in CLAIMS]
    return [*(claim for claim in found if claim is not None), *arms.claims(evidence)]


def scope(evidence: Evidence) -> str:
    """Return what was measured, in a paragraph."""
    models = [
        f"**{model}** ({ENCODERS.get(model, f'pooler {evidence.pooler_status(model)}')})" for model in evidence.models
    ]
    total = sum(len(records) for records in evidence.values())
    return (
        "BERT returns `sequence_output`, whose first vector is [CLS], and `pooled_output` = tanh(W·[CLS] + b), "
        "the pooler. Do they serve the same purpose, and how do they compare with the mean of all vectors? "
        f"Encoders are **frozen**{'' if has_base(evidence) else ' and small'}: {join_names(models)}. {total:,} runs."
    )


def has_base(evidence: Evidence) -> bool:
    """Return whether an encoder of BERT-base's shape is among the models."""
    results = [evidence[f"poolings/{model}"][0].result for model in evidence.models]
    return any((result.layer, result.counts["width"]) == BASE_SHAPE for result in results)


def answer(evidence: Evidence) -> list[str]:
    """Return the answer in five sentences, each with a number and its verdict, on `trained_model`."""
    model = trained_model(evidence)
    claims = {stratum.stratum: stratum.claims(PAIRS) for stratum in evidence.strata(model)}
    found = []
    for stratum, pair in SENTENCES:
        claim = next((each for each in claims.get(stratum, ()) if (each.a, each.b) == pair), None)
        found.append(_missing(stratum, pair) if claim is None else _sentence(stratum, claim))
    return found


def trained_model(evidence: Evidence) -> str:
    """Return the first model whose pooler was trained; the first of all if there is none.

    Raises
    ------
    UserError
        No bundle is one of the experiment poolings.
    """
    if not evidence.models:
        raise UserError(
            "no bundle poolings/MODEL is among the records, so there is no answer. experiments/README.md names the "
            "command that makes one."
        )
    trained = [model for model in evidence.models if evidence.pooler_status(model) == "trained"]
    return (trained or list(evidence.models))[0]


def _sentence(stratum: str, claim: MeanContrast) -> str:
    number = f"{format_claim(claim)} points {claim.scope}"
    if claim.p is not None and NEAR[0] < claim.p < NEAR[1]:
        number += f" (p {claim.p:.3g}, corrected)"
    return f"{PLACES[stratum].capitalize()}: {_words(claim)}, {number}."


def _words(found: Contrast | MeanContrast) -> str:
    """Return the verdict of a difference in words."""
    positive = (found.difference.value or 0) > 0
    winner, loser = (found.a, found.b) if positive else (found.b, found.a)
    named = {"a": found.a, "b": found.b, "winner": winner, "loser": loser}
    return WORDS[found.verdict].format(**{key: NAMES[name] for key, name in named.items()})


def _missing(stratum: str, pair: tuple[str, str]) -> str:
    return f"{PLACES[stratum].capitalize()}: {' − '.join(LABELS[name] for name in pair)} is not measured."


def lead(evidence: Evidence) -> str:
    """Return the text above the answer: the encoder that it is about, and the poolings that no test excludes."""
    model = trained_model(evidence)
    apart_wins = any(claim.verdict == BETTER for claim in _apart_claims(evidence)[:1])
    notes = READ | ({APART: "better than together"} if apart_wins else {})
    parts = [part for stratum in evidence.strata(model) if (part := _choice(stratum, notes.get(stratum.stratum)))]
    choice = f"take {'; '.join(parts)}. {_closing(evidence, model)}" if parts else "no claim."
    status = evidence.pooler_status(model)
    return f"For frozen **{model}** (pooler {status}), by a linear probe or (similarity) the cosine: {choice}"


def _closing(evidence: Evidence, model: str) -> str:
    """Return what was shown of the poolings that are not taken, and where the pooler is better than [CLS]."""
    strata = evidence.strata(model)
    claims = [found for stratum in strata if (found := stratum.claims(PAIRS))]
    classified = [found for stratum in strata if (found := stratum.claims(PAIRS, regression=False))]
    text = "In each case the other two are shown to be worse."
    if not all(map(_all_below_one, [*claims, *classified])):
        text = "The others are each shown to be worse than one of the three."
    if any(_gains(each) for found in claims for each in found):
        return text
    results = [record.result for record in evidence[f"poolings/{model}"]]
    counted = {result.dataset for result in results if evidence.counts(model, result)}
    tasks = [each for each in evidence.contrasts(model) if each.task in counted]
    tasks += evidence.similarity_contrasts(model) if f"similarity/{model}" in evidence else []
    tasks = [each for each in tasks if (each.a, each.b) == ("pooler", "cls")]
    gains = sum(map(_gains, tasks))
    places = f"{gains or 'none'} of {len(tasks)} tasks that count"
    return f"{text} The pooler is shown to be better than [CLS] in no average, and on {places}."


def _gains(found: Contrast | MeanContrast) -> bool:
    """Return whether the pooler is shown to be better than [CLS]."""
    return _is_gain(found) and (found.a, found.b) == ("pooler", "cls")


def _is_gain(found: Contrast | MeanContrast) -> bool:
    """Return whether a is shown to be better than b."""
    return found.verdict in SHOWN and (found.difference.value or 0) > 0


def _all_below_one(claims: list[MeanContrast]) -> bool:
    """Return whether one pooling is left that each of the others is shown to be worse than."""
    left = not_shown_worse(claims)
    if len(left) != 1:
        return False
    found = [each for each in claims if each.verdict in SHOWN and left[0] in (each.a, each.b)]
    return {each.b if each.value > 0 else each.a for each in found} == {*MAIN_POOLINGS} - {*left}


def _choice(stratum: StratumTasks, note: str | None = None) -> str:
    """Return the poolings of a stratum that no verdict excludes, and those of its classifications if they differ."""
    claims, classified = stratum.claims(PAIRS), stratum.claims(PAIRS, regression=False)
    names, others = not_shown_worse(claims), not_shown_worse(classified)
    if not names:
        return ""
    notes = [note] if note else []
    if others and others != names:
        tasks = classified[0].tasks
        kind = "the only classification task that counts" if len(tasks) == 1 else "the classification tasks that count"
        notes.append(f"but {_either(others)} in D² on {join_names(tasks)}, {kind}")
    remark = f" ({'; '.join(notes)})" if notes else ""
    return f"{_either(names)} for {stratum.stratum}{remark}"


def _either(poolings: list[str]) -> str:
    return " or ".join(f"**{LABELS[name]}**" for name in poolings)


def apart(evidence: Evidence) -> str:
    """Return how pairs read apart compare with pairs read together; empty if it was not measured."""
    found = _apart_claims(evidence)
    numbers = [f"{format_claim(claim)} points on {join_names(claim.tasks)}" for claim in found]
    if not found or found[0].verdict not in (BETTER, WORSE):
        return ""
    repeated = "; classification alone, " + numbers[1] + f", {found[1].verdict}" if len(found) > 1 else ""
    values = [settings.recipe_level(evidence, trained_model(evidence), each) for each in (found[0].a, found[0].b)]
    known = [format_points(value) for value in values if value is not None]
    levels = f" (D² {' and '.join(known)})" if len(known) == len(values) else ""
    return (
        "**Pairs read apart.** The mean of each text, as [u; v; |u − v|; u · v], four times as "
        f"wide, is {found[0].verdict} than [CLS] of pairs read together, {numbers[0]}{levels}{repeated}."
    )


def _apart_claims(evidence: Evidence) -> list[MeanContrast]:
    """Return the mean of pairs read apart against [CLS] of pairs read together; without regression tasks second."""
    model = trained_model(evidence)
    if f"pairs/{model}" not in evidence:
        return []
    return [claim for _, claim in settings.apart_against_together(evidence, model) if claim.b == "cls, joint"]


def purpose(evidence: Evidence) -> str:
    """Return how the pooler does on what it was trained for; empty if it was not measured."""
    return " ".join(
        f"**The pooler's own task.** In its pre-training task, whether one passage follows another, {_words(each)}, "
        f"{format_difference(each.difference)} points of accuracy under the same probe."
        for pairing, each in settings.coherence_contrasts(evidence, trained_model(evidence))
        if (pairing, each.task, each.a) == ("joint", settings.OWN_TASK, "pooler")
    )


def trust(evidence: Evidence) -> str:
    """Return how far an encoder as small as this one can be trusted: by a bag of words and by random weights."""
    model = trained_model(evidence)
    parts = [
        "a bag of word pieces scores above all three, without a test, on "
        f"{practice.bag_count(evidence, model)} tasks that count"
    ]
    unaided: dict[str, list[str]] = {}
    for stratum, each in practice.against_random(evidence):
        pooling = each.a.partition(",")[0]
        if stratum in STRATA and pooling in MAIN_POOLINGS and not _is_gain(each):
            unaided.setdefault(stratum, []).append(NAMES[pooling])
    if model == practice.TRAINED and unaided:
        where = [f"{stratum} ({join_names(poolings)})" for stratum, poolings in unaided.items()]
        parts.append(f"no gain over random weights is shown for {join_names(where)}")
    found = " and ".join(parts)
    found = found[:1].upper() + found[1:] if has_base(evidence) else f"{model} is small; {found}"
    return f"**How far to trust it.** {found}. In other encoders the order may differ."


def other_encoders(evidence: Evidence) -> str:
    """Return the mean against [CLS] in every encoder but the answer's, by stratum; empty if there is no other."""
    found = []
    for model in evidence.models:
        claims = {stratum.stratum: stratum.claims(PAIRS) for stratum in evidence.strata(model)}
        parts = [
            f"{format_claim(each)} for {stratum} ({_verdict(each)})"
            for stratum, pair in SENTENCES
            for each in claims.get(stratum, ())
            if pair == (each.a, each.b) == ("mean", "cls")
        ]
        if parts and model != trained_model(evidence):
            found.append(f"In {model} (pooler {evidence.pooler_status(model)}), mean − [CLS] is {join_names(parts)}.")
    return " ".join(found)


def _verdict(claim: MeanContrast) -> str:
    """Return a claim's verdict; that correction alone makes it inconclusive is said."""
    low, high = claim.difference.low, claim.difference.high
    beside_zero = low is not None and high is not None and not low <= 0 <= high
    return f"{claim.verdict} once corrected" if claim.verdict == INCONCLUSIVE and beside_zero else claim.verdict


def not_shown_worse(claims: list[MeanContrast]) -> list[str]:
    """Return those of cls, pooler and mean that no verdict places below another."""
    shown = [each for each in claims if each.verdict in SHOWN]
    lesser = {each.b if each.value > 0 else each.a for each in shown}
    compared = {name for each in claims for name in (each.a, each.b)}
    return [name for name in MAIN_POOLINGS if name in compared - lesser]
