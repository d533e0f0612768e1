"""States the answer and the scope of the paper, and lists its claims."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from experiments.formatting import format_overall, join_names
from experiments.paper.claims import arms, ladder, practice, primary, settings, strata
from experiments.paper.claims.sentences import REAL_PAIRS, Claim, describe_overall, tasks_with_verdict
from experiments.paper.evidence import Evidence
from experiments.paper.labels import by_pooling

CLAIMS: tuple[Callable[[Evidence], Claim], ...] = (  # in their order on the page
    primary.values,
    primary.pooler_against_cls,
    primary.mean_against_both,
    ladder.ladder,
    ladder.geometry,
    ladder.precision,
    ladder.nsp_pooler,
    ladder.conditional,
    settings.coherence,
    settings.pairs,
    settings.layers,
    settings.data,
    settings.protocol,
    practice.draws,
    practice.finetuning,
    practice.cost,
    practice.along,
    practice.controls,
    practice.calibration,
)


def all_claims(evidence: Evidence) -> list[Claim]:
    """Return the claims in their order on the page, those in D² first where the records allow them."""
    by_deviance = any(map(evidence.has_deviance, evidence.models))
    first = [strata.by_stratum(evidence)] if by_deviance else []
    return [*first, *(claim(evidence) for claim in CLAIMS), *arms.claims(evidence)]


def scope(evidence: Evidence) -> str:
    """Return the scope of the paper."""
    models = [f"{model} (pooler {evidence.pooler_status(model)})" for model in evidence.models]
    total = sum(len(records) for records in evidence.values())
    return (
        "Scope: **frozen** features. A linear probe was fitted on each pooling of an encoder that was not trained "
        f"further; a small control fine-tunes. {total:,} runs; encoders: {join_names(models)}, small ones; the "
        "experiment files run with `model=bert-base-uncased` too. Differences are in points of each task's own "
        "metric, intervals are 95 %, the margin of equivalence is 1 point, fixed beforehand. Every number here is "
        "computed from the committed records by `python -m experiments.paper`."
    )


def answer(evidence: Evidence) -> list[str]:
    """Return the answer in five sentences, on a trained pooler and, beside it, an untrained one."""
    model = next(model for model in evidence.models if evidence.pooler_status(model) == "trained")
    tasks = evidence.contrasts(model)
    better, worse = (tasks_with_verdict(tasks, "mean", "cls", verdict) for verdict in ("better", "worse"))
    joint, separate = (
        evidence.over_tasks([f"pairs/{model}"], by_pooling, "mean", "cls", pairing=[pairing], dataset=REAL_PAIRS)
        for pairing in ("joint", "separate")
    )
    tuned = evidence.over_tasks(["finetune/bert-books"], by_pooling, "pooler", "cls")
    steps = {found.a: describe_overall(found) for found in evidence.ladder(model, "tuned")}
    return [
        _values(evidence, model),
        _pooler(evidence, model),
        f"Step by step, relative to [CLS]: W h + b {steps['pooler_preactivation']}, its tanh {steps['pooler']}, and "
        f"atanh of that {steps['pooler_inverse']}.",
        f"Mean pooling in {model} is better than [CLS] on {join_names(better, 'no task')} and worse on "
        f"{join_names(worse, 'no task')}; on {len(joint.tasks)} real pair tasks mean − [CLS] is "
        f"{format_overall(joint)} where the texts are read together and {format_overall(separate)} where they are "
        f"read apart ({separate.verdict}).",
        f"{_advice(better, worse, separate.verdict)} With all weights tuned, pooler − [CLS] is "
        f"{format_overall(tuned)}: {tuned.verdict}.",
    ]


def _values(evidence: Evidence, model: str) -> str:
    tasks = evidence.json(f"diagnostics/{model}.json")["tasks"].values()
    cosine = float(np.mean([task["difference"]["pooler"]["mean_cosine"] for task in tasks]))
    return (
        "`sequence_output[:, 0]` ([CLS]) and `pooled_output` = tanh(W·[CLS] + b) are different vectors of the same "
        f"size: in {model} a text's two vectors have a mean cosine of {cosine:z.2f}."
    )


def _pooler(evidence: Evidence, model: str) -> str:
    found, comparison = evidence.overall(model, "pooler", "cls"), ""
    untrained = next((model for model in evidence.models if evidence.pooler_status(model) == "untrained"), None)
    if untrained is not None:
        other = evidence.overall(untrained, "pooler", "cls")
        comparison = f", and {format_overall(other)} in {untrained}, whose pooler is untrained ({other.verdict})"
    return (
        f"As frozen features, over {len(found.tasks)} tasks, the pooler scores "
        f"{format_overall(found)} relative to [CLS] in {model}, where next-sentence prediction trained it "
        f"({found.verdict}){comparison}."
    )


def _advice(better: list[str], worse: list[str], separate: str) -> str:
    """Return the advice that the verdicts on mean pooling support."""
    first = "take the mean" if better and separate == "better" else "measure the mean"
    second = f", measure [CLS] beside it where a pair is read together ({join_names(worse)})" if worse else ""
    return (
        f"So {first} for single texts and for texts encoded apart{second}; use the pooler only where you measured "
        "that it helps."
    )
