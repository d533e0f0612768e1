"""States the claims over tasks by stratum, in D² and in Spearman's correlation."""

from __future__ import annotations

from experiments.formatting import format_interval, format_p_value, format_points, join_names
from experiments.paper.claims.sentences import HOLM, SWEEP, Claim, Number
from experiments.paper.evidence import PAIRS, Evidence
from experiments.strata import SIMILARITY, StratumTasks
from src.evaluation.units import MeanContrast


def by_stratum(evidence: Evidence) -> Claim:
    """Return the claim over the tasks of each stratum, for every model whose records allow it."""
    lines, numbers = [], []
    for model in evidence.models:
        for stratum in evidence.strata(model):
            claims = stratum.claims(PAIRS)
            if claims:
                lines.append(f"**{model}**: {_describe(stratum, claims)}")
                numbers += [_number(each, f"{model}, {stratum.stratum}: {each.a} − {each.b}") for each in claims]
            if stratum.stratum != SIMILARITY:
                without = stratum.claims(PAIRS, regression=False)
                kept = [each for each in without if each.tasks != claims[0].tasks]
                numbers += [
                    _number(each, f"{model}, {stratum.stratum}, without scores: {each.a} − {each.b}") for each in kept
                ]
    return Claim("Over the tasks that can answer", " ".join(lines), numbers, SWEEP.format("poolings"), ["tables/runs"])


def _describe(stratum: StratumTasks, claims: list[MeanContrast]) -> str:
    scale = "Spearman's correlation" if stratum.stratum == SIMILARITY else "D²"
    pairs = join_names(
        [
            f"{each.a} − {each.b} {format_points(each.value, signed=True)} "
            f"{format_interval(each.difference.low, each.difference.high, signed=True)} ({each.verdict})"
            for each in claims
        ]
    )
    left_out = f" Nothing is decoded from {join_names(list(stratum.failed))}." if stratum.failed else ""
    return f"{stratum.stratum}, {claims[0].scope}, in points of {scale}: {pairs}.{left_out}"


def _number(claim: MeanContrast, what: str) -> Number:
    """Return a claim as a number with its test."""
    p, equivalence = format_p_value(claim.p), format_p_value(claim.p_equivalence)
    return Number(
        what,
        f"{format_points(claim.value, signed=True)}; {claim.verdict}",
        format_interval(claim.difference.low, claim.difference.high, signed=True),
        f"{claim.scope}; {claim.difference.method}; p {p}, equivalence p {equivalence} ({HOLM})",
    )
