"""States the claims on [CLS], the pooler and mean pooling, task by task."""

from __future__ import annotations

from experiments.paper.claims.sentences import SWEEP, Claim, contrast_number, describe_tasks
from experiments.paper.evidence import PAIRS, Evidence
from experiments.style import pair_label


def task_by_task(evidence: Evidence) -> Claim:
    """Return the claim on each real task, in its own metric."""
    lines = []
    for model in evidence.models:
        found = evidence.contrasts(model)
        described = [
            f"{pair_label(a, b, evidence.pooler_status(model))}: {describe_tasks(found, a, b)}" for a, b in PAIRS
        ]
        lines.append(f"**{model}** (pooler {evidence.pooler_status(model)}). {'. '.join(described)}.")
    return Claim(
        "Task by task",
        "Each task in its own metric, after Holm over its three pairs. " + " ".join(lines),
        [
            contrast_number(each, f"{model}, {each.task}: {pair_label(each.a, each.b, evidence.pooler_status(model))}")
            for model in evidence.models
            for each in evidence.contrasts(model)
            if (each.a, each.b) in PAIRS[:2]  # the third pair is in the tables
        ],
        SWEEP.format("poolings"),
        ["figures/differences", *(f"tables/verdicts-{model}" for model in evidence.models)],
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
    return Claim("The two vectors, system by system", text, [], "python -m experiments.parity", ["figures/parity"])
