"""States the claims on the steps from [CLS] to the pooler, and on their causes."""

from __future__ import annotations

import numpy as np

from experiments import style
from experiments.formatting import join_names
from experiments.paper.arms import LEARNT, find_pooler_study
from experiments.paper.claims.arms import NO_CONTRAST, format_seed_contrast
from experiments.paper.claims.sentences import SHOWN, SWEEP, Claim, about, claim_numbers, describe_claims, no_claim
from experiments.paper.evidence import STRENGTHS, Evidence
from experiments.paper.labels import by_pooling
from src.evaluation.differences import NO_RELEVANT_DIFFERENCE, SMALL_DIFFERENCE
from src.evaluation.units import MARGIN

CKA = ("pooler", "random_pooler", "mean")  # compared with [CLS]
BESIDE = ("cls+pooler", "cls+random_pooler", "cls+mean")


@about("ladder")
def ladder(evidence: Evidence) -> Claim:
    """Return the claim on each step from [CLS] to the pooler."""
    lines, numbers = [], []
    for model in evidence.models_of("ladder"):
        status = evidence.pooler_status(model)
        for strength in STRENGTHS:
            found = evidence.ladder(model, strength, repeated=True)
            numbers += claim_numbers(found, f"{model}, penalty {strength}, ", status)
        ends = {strength: evidence.ladder(model, strength) for strength in (STRENGTHS[0], STRENGTHS[-1])}
        described = [
            f"**{model}**, penalty {strength}: {describe_claims(found, status)}."
            for strength, found in ends.items()
            if found
        ]
        lines += described or [no_claim(model)]
    return Claim(
        "The ladder: which step from [CLS] to the pooler costs what",
        "Without a penalty a linear probe sees the same in h and in W h + b, as W is invertible; what differs is "
        "regularisation and rounding. " + " ".join(lines),
        numbers,
        SWEEP.format("ladder"),
        ["figures/ladder", "tables/ladder"],
    )


@about("nsp_pooler")
def nsp_pooler(evidence: Evidence) -> Claim:
    """Return the claim on poolers that next-sentence prediction trained alone."""
    lines, numbers = [], []
    for model in evidence.models_of("nsp_pooler"):
        study = find_pooler_study(evidence, model)
        found = [each for each in study.all_contrasts if each.regression]
        numbers += [format_seed_contrast(each) for each in found]
        right = study.accuracies
        head, probe = (
            100 * float(np.mean([each[name]["value"] for each in right.values()]))
            for name in ("head of nsp", "probe on cls")
        )
        scopes = {each.stratum: f"{each.stratum}: {join_names(each.tasks)}" for each in found}
        lines.append(
            f"**{model}**, encoder frozen, W and b trained by next-sentence prediction alone: right on {head:.1f} % of "
            f"held-out pairs (a linear probe on [CLS]: {probe:.1f} %), mean of {len(right)} seeds; "
            f"{len(study.learnt)} of them exceed {100 * LEARNT:g} %. "
            + (f"In points of D², {'; '.join(scopes.values())}." if scopes else NO_CONTRAST)
        )
    return Claim(
        "What next-sentence prediction teaches the pooler itself",
        "The same frozen encoder with random poolers and with those that only next-sentence prediction has trained, "
        "each from its random start; the error is that of starts and units. " + " ".join(lines),
        numbers,
        "python -m experiments.studies.nsp_pooler text=FOLDER output=PLACE, then "
        + SWEEP.format("nsp_pooler")
        + " model=checkpoint model.path=PLACE/random-0,PLACE/nsp-0,...",
        ["figures/nsp_pooler", "tables/nsp_pooler"],
    )


@about("conditional")
def conditional(evidence: Evidence) -> Claim:
    """Return the claim on what another vector adds to [CLS]."""
    lines, numbers = [], []
    pairs = [*((name, "cls") for name in BESIDE), ("cls+pooler", "cls+random_pooler")]
    for model in evidence.models_of("conditional"):
        found = evidence.claims(model, [f"conditional/{model}"], by_pooling, pairs, repeated=True)
        numbers += claim_numbers(found, f"{model}, ", evidence.pooler_status(model))
        extra = [(stratum, each) for stratum, each in found if (each.a, each.b) == pairs[-1]]
        lines.append(
            f"**{model}**: {describe_claims(extra, evidence.pooler_status(model))}." if extra else no_claim(model)
        )
    return Claim(
        "Does the pooler add anything to [CLS]?",
        "Conditional probing: [CLS] and another vector side by side, under the same protocol; a random pooler is as "
        "wide. " + " ".join(lines),
        numbers,
        "python -m experiments.studies.conditional dataset=cola,mrpc,stsb,rte,sick_e data_root=FOLDER output=FOLDER",
        ["tables/conditional"],
    )


@about("precision")
def precision(evidence: Evidence) -> Claim:
    """Return the claim on half precision."""
    lines, numbers = [], []
    for model in evidence.models_of("precision"):
        found = evidence.precision(model)
        numbers += claim_numbers(evidence.precision(model, repeated=True), f"{model}, ", evidence.pooler_status(model))
        if not found:
            lines.append(no_claim(model))
            continue
        shown = [(stratum, each) for stratum, each in found if each.verdict in SHOWN]
        within = sum(each.verdict in (NO_RELEVANT_DIFFERENCE, SMALL_DIFFERENCE) for _, each in found)
        lines.append(
            f"**{model}**: {within} of {len(found)} comparisons with float32 are shown to lie within "
            f"{100 * MARGIN:g} point; {len(shown) or 'none'} of {len(found)} show{'s' * (len(shown) < 2)} a difference"
            + (f": {describe_claims(shown, evidence.pooler_status(model))}." if shown else ".")
        )
    see = ["figures/precision", "tables/precision"]
    results = [record.result for model in evidence.models_of("precision") for record in evidence[f"precision/{model}"]]
    dtypes = ",".join(dict.fromkeys(result.config["runtime"]["dtype"] for result in results))
    tasks = ",".join(dict.fromkeys(result.dataset for result in results))
    command = f"{SWEEP.format('precision')} runtime.dtype={dtypes} dataset={tasks}"
    return Claim("Half precision", " ".join(lines), numbers, command, see)


@about("diagnostics")
def geometry(evidence: Evidence) -> Claim:
    """Return the claim on the geometry of the representations."""
    lines: list[str] = []
    names: list[str] = []
    for model in evidence.models_of("diagnostics"):
        found = evidence.json(f"diagnostics/{model}.json")
        tasks = list(found["tasks"].values())
        names = [*dict.fromkeys((*names, *found["tasks"]))]
        weight = found["pooler"]["weight"]

        cka = {name: float(np.mean([task["cka"][f"cls {name}"] for task in tasks])) for name in CKA}
        saturated = np.mean([task["representations"]["pooler"]["saturation"]["nearly"] for task in tasks])
        ranks = []
        for name in ("cls", "pooler_preactivation", "pooler", "mean"):
            rank = np.mean([task["representations"][name]["effective_rank"] for task in tasks])
            ranks.append(f"{style.pooling_label(name, '')} {rank:.0f}")
        lines.append(
            f"**{model}** (means over {len(tasks)} tasks' texts): linear CKA with [CLS] is {cka['pooler']:.2f} for the "
            f"pooler, {cka['random_pooler']:.2f} for a random one and {cka['mean']:.2f} for the mean. W's largest "
            f"singular value is {weight['singular_max']:.2f}, that of a random matrix of its variance at most "
            f"{weight['singular_edge']:.2f}, its condition number is {weight['condition_number']:,.0f}; effective rank "
            f"of {join_names(ranks)}; {100 * saturated:.1f} % of the pooler's entries lie beyond 0.99."
        )
    return Claim(
        "Why: what each step does to the representation",
        "[CLS] and the pooler have different bases, so that coordinates cannot be compared; linear CKA compares what "
        "a basis does not change. W squeezes some directions of [CLS]: a probe without a penalty can stretch them "
        "again, a penalised one may pay for it; tanh then rounds off what it saturates. " + " ".join(lines),
        [],
        f"python -m experiments.studies.geometry dataset={','.join(names)} data_root=FOLDER output=FILE",
        ["figures/spectrum", "tables/diagnostics"],
    )
