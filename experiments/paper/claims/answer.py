"""States the answer and the scope of the paper, and lists its claims."""

from __future__ import annotations

from collections.abc import Callable

from experiments.formatting import join_names
from experiments.paper.claims import arms, ladder, practice, primary, settings, strata
from experiments.paper.claims.sentences import Claim, format_claim, scale_of, scope_of
from experiments.paper.evidence import PAIRS, Evidence
from experiments.strata import SIMILARITY, SINGLE, TOGETHER
from experiments.style import LABELS
from src.errors import UserError
from src.evaluation.differences import BETTER, INCONCLUSIVE, NO_RELEVANT_DIFFERENCE, SMALL_DIFFERENCE, WORSE
from src.evaluation.multiplicity import MAIN_POOLINGS
from src.evaluation.units import MeanContrast

CLAIMS: tuple[Callable[[Evidence], Claim], ...] = (  # in their order on the page
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
PLACES = {
    SINGLE: "single texts under a linear probe",
    TOGETHER: "pairs read together under a linear probe",
    SIMILARITY: "similarity by cosine, nothing fitted",
}
BASE_SHAPE = (12, 768)  # layers and width of BERT-base
NAMES = {"cls": "[CLS]", "pooler": "the pooler", "mean": "the mean"}
WORDS = {
    BETTER: "{a} is better than {b}",
    WORSE: "{a} is worse than {b}",
    NO_RELEVANT_DIFFERENCE: "there is no relevant difference between {a} and {b}",
    SMALL_DIFFERENCE: "there is a small difference, less than 1 point, in favour of {winner} over {loser}",
    INCONCLUSIVE: "{a} against {b} is inconclusive",
}


def all_claims(evidence: Evidence) -> list[Claim]:
    """Return the claims in their order on the page."""
    return [*(claim(evidence) for claim in CLAIMS), *arms.claims(evidence)]


def scope(evidence: Evidence) -> str:
    """Return what was measured, in a paragraph."""
    models = [f"{model} (pooler {evidence.pooler_status(model)})" for model in evidence.models]
    total = sum(len(records) for records in evidence.values())
    return (
        "BERT returns `sequence_output`, whose first vector is [CLS], and `pooled_output` = tanh(W·[CLS] + b), "
        "the pooler. Do they serve the same purpose, and how do they compare with the mean of all vectors? "
        f"Encoders are **frozen**{'' if has_base(evidence) else ' and small'}: {join_names(models)}; {total:,} runs."
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
    better, worse = (claim.a, claim.b) if claim.value > 0 else (claim.b, claim.a)
    named = {"a": claim.a, "b": claim.b, "winner": better, "loser": worse}
    words = WORDS[claim.verdict].format(**{key: NAMES[name] for key, name in named.items()})
    number = f"{format_claim(claim)} points of {scale_of(stratum)} {scope_of(claim)}"
    return f"{PLACES[stratum].capitalize()}: {words}, {number}."


def _missing(stratum: str, pair: tuple[str, str]) -> str:
    return f"{PLACES[stratum].capitalize()}: {' − '.join(LABELS[name] for name in pair)} is not measured."


def lead(evidence: Evidence) -> str:
    """Return the line above the answer: the encoder that it is about, and the poolings that no test excludes."""
    model = trained_model(evidence)
    parts = []
    for stratum in evidence.strata(model):
        names = [LABELS[name] for name in not_shown_worse(stratum.claims(PAIRS))]
        if names:
            parts.append(f"{join_names(names)} for {stratum.stratum}")
    left = f" Poolings that no other of the three is shown to beat: {'; '.join(parts)}." if parts else ""
    status = evidence.pooler_status(model)
    return (
        f"For **{model}**, whose pooler is {status}. D² is the share of a constant answer's loss that a probe removes. "
        f"Differences have 95 % intervals; the margin is 1 point.{left}"
    )


def not_shown_worse(claims: list[MeanContrast]) -> list[str]:
    """Return those of cls, pooler and mean that no verdict places below another."""
    shown = [each for each in claims if each.verdict in (BETTER, WORSE, SMALL_DIFFERENCE)]
    lesser = {each.b if each.value > 0 else each.a for each in shown}
    compared = {name for each in claims for name in (each.a, each.b)}
    return [name for name in MAIN_POOLINGS if name in compared - lesser]
