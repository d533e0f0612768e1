"""States the claims on the steps from [CLS] to the pooler, and on their causes."""

from __future__ import annotations

import numpy as np

from experiments import style
from experiments.formatting import format_overall, format_score_points, join_names
from experiments.paper.claims.sentences import SWEEP, Claim, describe_overall, overall_number
from experiments.paper.evidence import LADDER, STRENGTHS, Evidence
from experiments.paper.labels import by_model, by_pooling

CKA = ("pooler", "random_pooler", "mean")  # compared with [CLS]


def ladder(evidence: Evidence) -> Claim:
    """Return the claim on each step from [CLS] to the pooler."""
    lines, numbers = [], []
    for model in evidence.models_of("ladder"):
        for strength in STRENGTHS:
            for found in evidence.ladder(model, strength):
                numbers.append(overall_number(found, f"{model}, {strength} regularisation: {LADDER[found.a]} − [CLS]"))
        tuned = {found.a: found for found in evidence.ladder(model, "tuned")}
        described = [f"{LADDER[name]} {describe_overall(found)}" for name, found in tuned.items()]
        lines.append(f"**{model}**, tuned regularisation, relative to [CLS]: {join_names(described)}.")
    return Claim(
        "The ladder: which step from [CLS] to the pooler costs what",
        "Without a penalty a linear probe sees the same in h and in W h + b, as W is invertible; what differs is "
        "regularisation and "
        "rounding. " + " ".join(lines),
        numbers,
        SWEEP.format("ladder"),
        ["figures/ladder", "tables/ladder"],
    )


def nsp_pooler(evidence: Evidence) -> Claim:
    """Return the claim on a pooler that next-sentence prediction trained alone."""
    lines, numbers = [], []
    for model in evidence.models_of("nsp_pooler"):
        bundles = [f"nsp_pooler/{model}-{kind}" for kind in ("nsp", "random")]
        apart = evidence.over_tasks(bundles, by_model, "pooler, nsp", "pooler, random")
        numbers.append(overall_number(apart, f"{model}: its own NSP-trained pooler − its random start"))
        for kind in ("nsp", "random"):
            found = evidence.over_tasks(bundles, by_model, f"pooler, {kind}", f"cls, {kind}")
            numbers.append(overall_number(found, f"{model}: {kind} pooler − [CLS]"))
        right = evidence.json(f"nsp_pooler/{model}.json")["held_out_accuracy"]
        head, probe = right["head of nsp"], right["probe on cls"]
        lines.append(
            f"**{model}**, encoder frozen, W and b trained by next-sentence prediction alone: right on "
            f"{format_score_points(head)} % of held-out pairs (a linear probe straight on [CLS]: "
            f"{format_score_points(probe)} %). On the tasks that training moved the pooler's score by "
            f"{format_overall(apart)}: {apart.verdict}."
        )
    return Claim(
        "What next-sentence prediction teaches the pooler itself",
        "The same frozen encoder with a random pooler and with one that only next-sentence prediction has trained, "
        "from one random start, "
        "whose luck the intervals do not hold. " + " ".join(lines),
        numbers,
        "python -m experiments.studies.nsp_pooler text=FOLDER output=FOLDER, then " + SWEEP.format("nsp_pooler"),
        ["figures/nsp_pooler", "tables/nsp_pooler"],
    )


def conditional(evidence: Evidence) -> Claim:
    """Return the claim on what another vector adds to [CLS]."""
    lines, numbers = [], []
    beside = ("cls+pooler", "cls+random_pooler", "cls+mean")
    for model in evidence.models_of("conditional"):
        for name in beside:
            found = evidence.over_tasks([f"conditional/{model}"], by_pooling, name, "cls")
            numbers.append(overall_number(found, f"{model}: [{name.replace('+', '; ')}] − [cls]"))
        extra = evidence.over_tasks([f"conditional/{model}"], by_pooling, "cls+pooler", "cls+random_pooler")
        numbers.append(overall_number(extra, f"{model}: [cls; pooler] − [cls; random_pooler]"))
        lines.append(
            f"**{model}**: [cls; pooler] scores {format_overall(extra)} relative to [cls; random pooler], which is as "
            f"wide: {extra.verdict}."
        )
    return Claim(
        "Does the pooler add anything to [CLS]?",
        "Conditional probing: [CLS] and another vector side by side, under the same protocol. " + " ".join(lines),
        numbers,
        "python -m experiments.studies.conditional dataset=cola,mrpc,stsb,rte,sick_e data_root=FOLDER output=FOLDER",
        ["tables/conditional"],
    )


def precision(evidence: Evidence) -> Claim:
    """Return the claim on half precision."""
    found = [(model, each) for model in evidence.models_of("precision") for each in evidence.precision(model)]
    largest = max(found, key=lambda one: abs(one[1].value))
    different = [f"{model} {each.a}" for model, each in found if each.verdict in ("better", "worse")]
    text = (
        f"Of {len(found)} combinations of pooling and half-precision type, {join_names(different)} are better or "
        "worse than float32; the largest of these means is "
        f"{format_overall(largest[1])} ({largest[0]}, {largest[1].a})."
    )
    numbers = [overall_number(each, f"{model}: {each.a} − {each.b}") for model, each in found]
    return Claim("Half precision", text, numbers, SWEEP.format("precision"), ["figures/precision", "tables/precision"])


def geometry(evidence: Evidence) -> Claim:
    """Return the claim on the geometry of the representations."""
    lines = []
    for model in evidence.models_of("diagnostics"):
        found = evidence.json(f"diagnostics/{model}.json")
        tasks = list(found["tasks"].values())
        weight = found["pooler"]["weight"]

        cka = {name: float(np.mean([task["cka"][f"cls {name}"] for task in tasks])) for name in CKA}
        saturated = np.mean([task["representations"]["pooler"]["saturation"]["nearly"] for task in tasks])
        ranks = []
        for name in ("cls", "pooler_preactivation", "pooler", "mean"):
            rank = np.mean([task["representations"][name]["effective_rank"] for task in tasks])
            ranks.append(f"{style.pooling_label(name, '')} {rank:.0f}")
        lines.append(
            f"**{model}** (means over {len(tasks)} tasks): W's largest singular value is "
            f"{weight['singular_max']:.2f}, noise of its variance ends at {weight['singular_edge']:.2f}, its "
            f"condition number is {weight['condition_number']:,.0f}; effective rank of {join_names(ranks)}; "
            f"{100 * saturated:.1f} % of the pooler's entries lie beyond 0.99; linear CKA with [CLS] is "
            f"{cka['pooler']:.2f} for the pooler, {cka['random_pooler']:.2f} for a random one and {cka['mean']:.2f} "
            "for the mean."
        )
    return Claim(
        "Why: what each step does to the representation",
        "W squeezes some directions of [CLS]: a probe without a penalty can stretch them again, a penalised one pays "
        "for it; tanh then rounds off "
        "what it saturates. " + " ".join(lines),
        [],
        "python -m experiments.studies.geometry dataset=cola,mrpc,stsb,rte,mr,sick_e data_root=FOLDER output=FILE",
        ["figures/spectrum", "tables/diagnostics"],
    )
