"""States the claims on the encoding of pairs, the layer, the training rows and the protocol."""

from __future__ import annotations

import numpy as np

from experiments.formatting import format_overall, format_points, join_names
from experiments.paper.claims.sentences import (
    REAL_PAIRS,
    SWEEP,
    Claim,
    contrast_number,
    describe_overall,
    overall_number,
)
from experiments.paper.evidence import FEWER, Evidence, resamples
from experiments.paper.labels import by_layer, by_pairing, by_pooling

PROTOCOLS = ("logistic", "senteval", "mteb")


def pairs(evidence: Evidence) -> Claim:
    """Return the claim on pairs encoded jointly and separately."""
    lines, numbers = [], []
    for model in evidence.models_of("pairs"):
        found = {}
        for pairing in ("joint", "separate"):
            for a, b in (("mean", "cls"), ("pooler", "cls")):
                only = {"pairing": [pairing], "dataset": REAL_PAIRS}
                found[a, pairing] = evidence.over_tasks([f"pairs/{model}"], by_pooling, a, b, **only)
                numbers.append(overall_number(found[a, pairing], f"{model}, {pairing}: {a} − {b}"))
        recipe = evidence.over_tasks([f"pairs/{model}"], by_pairing, "mean, separate", "cls, joint", dataset=REAL_PAIRS)
        numbers.append(overall_number(recipe, f"{model}: mean, texts apart − [CLS], texts together"))
        lines.append(
            f"**{model}**, {len(recipe.tasks)} real pair tasks: mean − [CLS] is "
            f"{format_overall(found['mean', 'joint'])} where both texts are read together and "
            f"{format_overall(found['mean', 'separate'])} where they are read apart. The mean of texts apart against "
            f"[CLS] of texts together: {describe_overall(recipe)}."
        )
    return Claim(
        "Pairs, read together and apart",
        " ".join(lines),
        numbers,
        SWEEP.format("pairs"),
        ["figures/pairs", *(f"tables/pairs-{model}" for model in evidence.models_of("pairs"))],
    )


def coherence(evidence: Evidence) -> Claim:
    """Return the claim on whether one text follows the other."""
    tasks = []
    for pairing in ("joint", "separate"):
        tasks += [(pairing, task) for task in evidence.tasks("coherence/bert-books", pairing=[pairing])]
        own = evidence.tasks("pairs/bert-books", pairing=[pairing], dataset=["demo_coherence"])
        tasks += [(pairing, task) for task in own]
    compared = [("pooler", "cls"), ("mean", "cls")]
    found = evidence.resampling.contrasts([task for _, task in tasks], compared, resamples=FEWER)
    named = list(zip([pairing for pairing, _ in tasks for _ in compared], found, strict=True))
    numbers = [contrast_number(each, f"{each.task}, {pairing}: {each.a} − {each.b}") for pairing, each in named]
    lines = []
    for pairing, way in (("joint", "together"), ("separate", "apart")):
        described = [
            f"{each.task} {each.a} {format_points(each.difference.value, signed=True)} ({each.verdict})"
            for here, each in named
            if here == pairing
        ]
        lines.append(f"Read {way}, relative to [CLS]: {join_names(described)}.")
    return Claim(
        "Where the pooler should win: does one text follow the other?",
        "What next-sentence prediction trained the pooler for, on passages of books that it never saw and on the "
        "suite's own task; embedded model. A negative's second passage comes from another book, and passages of a "
        "book overlap, so the intervals are somewhat narrow. " + " ".join(lines),
        numbers,
        "python -m experiments.studies.coherence_pairs text=FOLDER output=FOLDER, then python -m src.run -m "
        "dataset=files dataset.name=book_coherence dataset.train=FOLDER/train.tsv dataset.test=FOLDER/test.tsv "
        "dataset.text_pair=text_pair pairing=joint,separate pooling=cls,pooler,mean,max",
        ["figures/pairs"],
    )


def layers(evidence: Evidence) -> Claim:
    """Return the claim on the best layer of each pooling."""
    lines, numbers = [], []
    for model in evidence.models_of("layers"):
        bundle = [f"layers/{model}"]
        last = max(record.result.layer for record in evidence[bundle[0]])
        for pooling in ("cls", "mean", "max"):
            mine = {"pooling": [pooling], "layer": range(1, last + 1)}
            means = evidence.means(bundle[0], by_layer, **mine)
            best = max(means, key=lambda name: means[name])
            described = (
                f"**{model}** {pooling}: best at layer {best} of {last} (mean over tasks {format_points(means[best])})"
            )
            if int(best) != last:
                found = evidence.over_tasks(bundle, by_layer, best, str(last), **mine)
                numbers.append(overall_number(found, f"{model}, {pooling}: layer {best} − layer {last}"))
                described += f", {format_overall(found)} relative to the last ({found.verdict})"
            lines.append(f"{described}.")
    return Claim(
        "Layers: where each pooling is best",
        "The best layer is picked on the same scores that it is compared with, so that its lead is an upper estimate. "
        + " ".join(lines),
        numbers,
        SWEEP.format("layers") + " layer='range(0,L+1)'",
        ["figures/layers", *(f"tables/layers-{model}" for model in evidence.models_of("layers"))],
    )


def data(evidence: Evidence) -> Claim:
    """Return the claim on the online code."""
    lines = []
    for model in evidence.models_of("mdl"):
        compression: dict[str, list[float]] = {}
        for record in evidence[f"mdl/{model}"]:
            compression.setdefault(record.result.pooling_label, []).append(
                record.result.chosen["online_code"]["compression"]
            )
        mean = {pooling: float(np.mean(values)) for pooling, values in compression.items()}
        order = sorted(mean, key=lambda pooling: -mean[pooling])
        lines.append(
            f"**{model}**: mean compression {join_names([f'{pooling} {mean[pooling]:.3f}' for pooling in order])}."
        )
    return Claim(
        "How much data: the online code",
        "Bits that the labels cost to somebody who has the features; uniform code over these bits is the compression, "
        "more is better; "
        "one order of the rows, so without an interval. " + " ".join(lines),
        [],
        SWEEP.format("mdl"),
        ["figures/data", "tables/mdl"],
    )


def protocol(evidence: Evidence) -> Claim:
    """Return the claim on the published protocols."""
    lines, numbers = [], []
    for model in evidence.models_of("protocol"):
        verdicts: dict[str, set[str]] = {}
        for probe in PROTOCOLS:
            for a, b in (("mean", "cls"), ("pooler", "cls")):
                found = evidence.over_tasks([f"protocol/{model}"], by_pooling, a, b, probe=[probe])
                numbers.append(overall_number(found, f"{model}, {probe}: {a} − {b}"))
            tasks = evidence.tasks(f"protocol/{model}", probe=[probe])
            for each in evidence.resampling.contrasts(tasks, [("mean", "cls")], resamples=resamples(tasks)):
                verdicts.setdefault(each.task, set()).add(each.verdict)
        opposed = [task for task, found_verdicts in verdicts.items() if {"better", "worse"} <= found_verdicts]
        moved = [task for task, found_verdicts in verdicts.items() if len(found_verdicts) > 1]
        lines.append(
            f"**{model}**, {len(verdicts)} tasks under {len(PROTOCOLS)} protocols: mean is better than [CLS] under one "
            f"and worse under another on {join_names(opposed)}; the verdict changes at all on {join_names(moved)}."
        )
    return Claim(
        "How much of the disagreement is protocol",
        " ".join(lines),
        numbers,
        f"{SWEEP.format('protocol')}, and again with dataset=mrpc,sick_e pairing=separate",
        ["figures/protocol", "tables/protocol"],
    )
