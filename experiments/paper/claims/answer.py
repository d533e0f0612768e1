"""What the records say, in sentences: a function per claim, each with its numbers, intervals, tests and command."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from experiments.formatting import format_overall, join_names
from experiments.paper.claims import ladder, practice, primary, settings
from experiments.paper.claims.sentences import REAL_PAIRS, Claim, describe_verdict, tasks_with_verdict
from experiments.paper.evidence import Evidence
from experiments.paper.labels import by_pooling

CLAIMS: tuple[Callable[[Evidence], Claim], ...] = (  # in the page's order
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


def scope(evidence: Evidence) -> str:
    """What the page speaks of."""
    models = [f"{model} (pooler {evidence.pooler_status(model)})" for model in evidence.models]
    total = sum(len(records) for records in evidence.values())
    return (
        "Scope: **frozen** features. A linear probe was fitted on each pooling of an encoder that was not trained "
        f"further; a small control fine-tunes. {total:,} runs; encoders: {join_names(models)}, small ones; the "
        "experiment files run with `model=bert-base-uncased` too. Differences are in points of each task's own "
        "metric, intervals are 95 %, the margin of equivalence is 1 point, fixed beforehand. Every number here is "
        "computed from the committed records by `python -m experiments.paper`."
    )


PURPOSE = {
    "equivalent": "they serve the same purpose equally well",
    "equivalent with a small difference": "they serve the same purpose, at a difference within 1 point",
    "undecided": "they serve the same purpose at about the same quality, though neither a difference nor equivalence within 1 point is "
    "shown",
    "better": "the pooler serves the same purpose better",
    "worse": "the pooler serves the same purpose a little worse",
}


def answer(evidence: Evidence) -> list[str]:
    """The question's answer in five sentences, for the first model whose pooler was trained, with one beside it where none was."""
    trained = next(model for model in evidence.models if evidence.pooler_status(model) == "trained")
    untrained = next((model for model in evidence.models if evidence.pooler_status(model) == "untrained"), None)
    pooler, tasks = evidence.overall(trained, "pooler", "cls"), evidence.contrasts(trained)
    apart = [
        each["difference"]["pooler"]["mean_cosine"]
        for each in evidence.json(f"diagnostics/{trained}.json")["tasks"].values()
    ]
    steps = {found.a: found for found in evidence.ladder(trained, "tuned")}
    gained, lost = (tasks_with_verdict(tasks, "mean", "cls", verdict) for verdict in ("better", "worse"))
    joint, separate = (
        evidence.over_tasks([f"pairs/{trained}"], by_pooling, "mean", "cls", pairing=[pairing], dataset=REAL_PAIRS)
        for pairing in ("joint", "separate")
    )
    tuned = evidence.over_tasks(["finetune/bert-books"], by_pooling, "pooler", "cls")
    beside = ""
    if untrained is not None:
        other = evidence.overall(untrained, "pooler", "cls")
        beside = (
            f", and {format_overall(other)} in {untrained}, whose pooler is untrained "
            f"({describe_verdict(other.verdict)})"
        )

    def step(name: str) -> str:
        return f"{format_overall(steps[name])} ({describe_verdict(steps[name].verdict)})"

    return [
        "`sequence_output[:, 0]` ([CLS]) and `pooled_output` = tanh(W·[CLS] + b) are different vectors of the same "
        f"size: in {trained} a text's two vectors have a mean cosine of {float(np.mean(apart)):z.2f}.",
        f"As frozen features {PURPOSE[pooler.verdict]}: over {len(pooler.tasks)} tasks the pooler scores "
        f"{format_overall(pooler)} relative to [CLS] in {trained}, where next-sentence prediction trained it "
        f"({describe_verdict(pooler.verdict)}){beside}.",
        f"Step by step, relative to [CLS]: W h + b {step('pooler_preactivation')}, its tanh {step('pooler')}, and "
        f"atanh of that {step('pooler_inverse')}.",
        f"Mean pooling in {trained} is better than [CLS] on {join_names(gained, 'no task')} and worse on "
        f"{join_names(lost, 'no task')}; on {len(joint.tasks)} real pair tasks mean − [CLS] is "
        f"{format_overall(joint)} where the texts are read together and {format_overall(separate)} where they are "
        f"read apart ({describe_verdict(separate.verdict)}).",
        _advice(gained, lost, separate.verdict)
        + f" With all weights tuned, pooler − [CLS] is {format_overall(tuned)}: {describe_verdict(tuned.verdict)}.",
    ]


def _advice(gained: list[str], lost: list[str], apart: str) -> str:
    """What follows for a practitioner, as far as the verdicts go."""
    first = "take the mean" if gained and apart == "better" else "measure the mean"
    second = f", measure [CLS] beside it where a pair is read together ({join_names(lost)})" if lost else ""
    return (
        f"So {first} for single texts and for texts encoded apart{second}; use the pooler only where you measured "
        "that it helps."
    )
