"""States the claims over tasks by stratum, in D² and in Spearman's correlation."""

from __future__ import annotations

from experiments.formatting import format_points, join_names
from experiments.paper.claims.sentences import SWEEP, Claim, claim_numbers, no_claim
from experiments.paper.evidence import PAIRS, Evidence, stratum_claims
from experiments.strata import StratumTasks


def by_stratum(evidence: Evidence) -> Claim:
    """Return the claims over the tasks of each stratum, for every model whose records allow them."""
    lines, numbers = [], []
    for model in evidence.models:
        found = evidence.strata(model)
        lines.append(f"**{model}**: {'. '.join(map(_describe, found))}." if found else no_claim(model))
        for stratum in found:
            named = stratum_claims(stratum, PAIRS, repeated=True)
            numbers += claim_numbers(named, f"{model}, ", evidence.pooler_status(model))
    return Claim("Over the tasks that count", " ".join(lines), numbers, SWEEP.format("poolings"), ["tables/strata"])


def _describe(stratum: StratumTasks) -> str:
    failed = [f"{name} ({format_points(each.gain or 0.0)} %)" for name, each in stratum.failed.items()]
    cannot = f"; too little decoded: {join_names(failed)}" if failed else ""
    guessed = f"; decided by the test labels: {join_names(stratum.approximate)}" if stratum.approximate else ""
    return f"{stratum.stratum}: {join_names(stratum.tasks)}{cannot}{guessed}"
