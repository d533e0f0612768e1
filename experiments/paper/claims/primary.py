"""The primary claims: how [CLS], the pooler and mean pooling compare over tasks and task by task."""

from __future__ import annotations

from experiments.claims.sentences import HOLM, SWEEP, Claim, amount, of, split, told, words
from experiments.evidence import Evidence
from experiments.tables import points
from src.evaluation.hierarchical import Overall


def pooler_against_cls(evidence: Evidence) -> Claim:
    lines, numbers = [], []
    for model in evidence.models:
        found, tasks = evidence.overall(model, "pooler", "cls"), evidence.contrasts(model)
        lines.append(
            f"**{model}** (pooler {evidence.pooler(model)}): over {len(found.tasks)} tasks the pooler scores {amount(found)} relative to "
            "[CLS]: "
            f"{words(found.verdict)}; {_sensitive(found)} Task by task, after Holm, it is {split(tasks, 'pooler', 'cls')}."
        )
        numbers.append(of(found, f"{model}: pooler − cls", HOLM))
        numbers.append(
            of(evidence.apart(model, "pooler", "cls"), f"{model}: pooler − cls, tasks that share no sentence")
        )
    return Claim(
        "pooled_output against [CLS]",
        " ".join(lines),
        numbers,
        SWEEP.format("poolings"),
        ["figures/differences", "tables/overall", *(f"tables/verdicts-{model}" for model in evidence.models)],
    )


def mean_against_both(evidence: Evidence) -> Claim:
    lines, numbers = [], []
    for model in evidence.models:
        tasks, found = evidence.contrasts(model), evidence.overall(model, "mean", "cls")
        both = told(tasks, "mean", "cls", "better") and told(tasks, "mean", "cls", "worse")
        lines.append(
            f"**{model}**: {amount(found)} relative to [CLS] over all tasks ({words(found.verdict)}; {_sensitive(found)[:-1]}). "
            f"{'The tasks disagree' if both else 'Task by task'}: mean pooling is {split(tasks, 'mean', 'cls')}."
        )
        for other in ("cls", "pooler"):
            numbers.append(of(evidence.overall(model, "mean", other), f"{model}: mean − {other}", HOLM))
            numbers.append(
                of(evidence.apart(model, "mean", other), f"{model}: mean − {other}, tasks that share no sentence")
            )
    return Claim(
        "Mean pooling against both",
        " ".join(lines),
        numbers,
        SWEEP.format("poolings"),
        ["figures/differences", *(f"tables/verdicts-{model}" for model in evidence.models)],
    )


def _sensitive(found: Overall) -> str:
    """How much the claim hangs on one task, and the margin at which it would be one of equivalence."""
    ends = points(min(found.without), signed=True), points(max(found.without), signed=True)
    margin = max(abs(found.low90), abs(found.high90))
    return f"without any one task between {ends[0]} and {ends[1]}; the 90 % interval lies within {points(margin)} points of zero."


def values(evidence: Evidence) -> Claim:
    """Different values, same size: the question itself, on the systems that it was asked of."""
    found = evidence.json("parity.json")["bert-books"]["systems"]
    tanh = [each for each in found if each["hidden_act"] != "gelu"]
    erf = [each for each in found if each["hidden_act"] == "gelu"]
    apart = max(each["pooled_against_cls"] for each in found)
    formula = max(each["pooler_formula"] for each in found)
    largest = max(max(each["sequence_output"], each["pooled_output"]) for each in tanh)
    text = (
        f"Through {len({each['system'] for each in found})} systems on the same weights (google-research/bert, TF-Hub, TensorFlow 2, "
        "Hugging Face, "
        f"this suite) pooled_output is tanh(W·sequence_output[:, 0] + b) to within {formula:.0e}, and differs from sequence_output[:, 0] "
        "by up to "
        f"{apart:.1f}. The systems agree to within {largest:.0e} under the tanh GELU of Google's code, and to within "
        f"{max(each['sequence_output'] for each in erf):.0e} where the configuration's 'gelu' is read as erf, as Hugging Face does."
    )
    return Claim("Different values, same size", text, [], "python -m experiments.parity", ["figures/parity"])
