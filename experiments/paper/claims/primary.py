"""States the primary claims on [CLS], the pooler and mean pooling."""

from __future__ import annotations

from experiments.formatting import format_overall, format_points
from experiments.paper.claims.sentences import (
    HOLM,
    SWEEP,
    Claim,
    describe_tasks,
    overall_number,
    tasks_with_verdict,
)
from experiments.paper.evidence import Evidence
from src.evaluation.hierarchical import Overall


def pooler_against_cls(evidence: Evidence) -> Claim:
    """Return the primary claim on the pooler and [CLS]."""
    lines, numbers = [], []
    for model in evidence.models:
        found, tasks = evidence.overall(model, "pooler", "cls"), evidence.contrasts(model)
        lines.append(
            f"**{model}** (pooler {evidence.pooler_status(model)}): over {len(found.tasks)} tasks the pooler scores "
            f"{format_overall(found)} relative to [CLS]: {found.verdict}; "
            f"{_describe_sensitivity(found)} Task by task, after Holm, it is {describe_tasks(tasks, 'pooler', 'cls')}."
        )
        numbers.append(overall_number(found, f"{model}: pooler − cls", HOLM))
        numbers.append(
            overall_number(
                evidence.disjoint_overall(model, "pooler", "cls"),
                f"{model}: pooler − cls, tasks that share no sentence",
            )
        )
    return Claim(
        "pooled_output against [CLS]",
        " ".join(lines),
        numbers,
        SWEEP.format("poolings"),
        ["figures/differences", "tables/overall", *(f"tables/verdicts-{model}" for model in evidence.models)],
    )


def mean_against_both(evidence: Evidence) -> Claim:
    """Return the primary claim on mean pooling against [CLS] and the pooler."""
    lines, numbers = [], []
    for model in evidence.models:
        tasks, found = evidence.contrasts(model), evidence.overall(model, "mean", "cls")
        both = all(tasks_with_verdict(tasks, "mean", "cls", verdict) for verdict in ("better", "worse"))
        lines.append(
            f"**{model}**: {format_overall(found)} relative to [CLS] over all tasks "
            f"({found.verdict}; {_describe_sensitivity(found)[:-1]}). "
            f"{'The tasks disagree' if both else 'Task by task'}: mean pooling is "
            f"{describe_tasks(tasks, 'mean', 'cls')}."
        )
        for other in ("cls", "pooler"):
            numbers.append(overall_number(evidence.overall(model, "mean", other), f"{model}: mean − {other}", HOLM))
            numbers.append(
                overall_number(
                    evidence.disjoint_overall(model, "mean", other),
                    f"{model}: mean − {other}, tasks that share no sentence",
                )
            )
    return Claim(
        "Mean pooling against both",
        " ".join(lines),
        numbers,
        SWEEP.format("poolings"),
        ["figures/differences", *(f"tables/verdicts-{model}" for model in evidence.models)],
    )


def _describe_sensitivity(found: Overall) -> str:
    """Return the range of a difference without any one task, and its smallest margin."""
    ends = format_points(min(found.without), signed=True), format_points(max(found.without), signed=True)
    margin = max(abs(found.low90), abs(found.high90))
    return (
        f"without any one task between {ends[0]} and {ends[1]}; the 90 % interval lies within {format_points(margin)} "
        "points of zero."
    )


def values(evidence: Evidence) -> Claim:
    """Return the claim on the values of both vectors in the systems that return them."""
    found = evidence.json("parity.json")["bert-books"]["systems"]
    tanh = [each for each in found if each["hidden_act"] != "gelu"]
    erf = [each for each in found if each["hidden_act"] == "gelu"]
    distance = max(each["pooled_against_cls"] for each in found)
    formula = max(each["pooler_formula"] for each in found)
    largest = max(max(each["sequence_output"], each["pooled_output"]) for each in tanh)
    text = (
        f"Through {len({each['system'] for each in found})} systems on the same weights (google-research/bert, "
        "TF-Hub, TensorFlow 2, Hugging Face, this suite) pooled_output is tanh(W·sequence_output[:, 0] + b) to within "
        f"{formula:.0e}, and differs from sequence_output[:, 0] by up to {distance:.1f}. The systems agree to within "
        f"{largest:.0e} under the tanh GELU of Google's code, and to within "
        f"{max(each['sequence_output'] for each in erf):.0e} where the configuration's 'gelu' is read as erf, as "
        "Hugging Face does."
    )
    return Claim("Different values, same size", text, [], "python -m experiments.parity", ["figures/parity"])
