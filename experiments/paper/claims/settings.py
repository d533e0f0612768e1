"""What moves the answer: how pairs are read, the layer, the data, the protocol."""

from __future__ import annotations

import numpy as np

from experiments.claims.sentences import (
    REAL_PAIRS,
    SWEEP,
    Claim,
    Number,
    against,
    amount,
    by_layer,
    by_name,
    by_pairing,
    listed,
    of,
    words,
)
from experiments.evidence import FEWER, Evidence, resamples
from experiments.tables import points
from src.evaluation.contrasts import contrasts


def pairs(evidence: Evidence) -> Claim:
    lines, numbers = [], []
    for model in evidence.having("pairs"):
        found = {}
        for pairing in ("joint", "separate"):
            for a, b in (("mean", "cls"), ("pooler", "cls")):
                found[a, pairing] = evidence.over(
                    [f"pairs/{model}"], by_name, a, b, pairing=[pairing], dataset=REAL_PAIRS
                )
                numbers.append(of(found[a, pairing], f"{model}, {pairing}: {a} − {b}"))
        recipe = evidence.over([f"pairs/{model}"], by_pairing, "mean, separate", "cls, joint", dataset=REAL_PAIRS)
        numbers.append(of(recipe, f"{model}: mean, texts apart − [CLS], texts together"))
        lines.append(
            f"**{model}**, {len(recipe.tasks)} real pair tasks: mean − [CLS] is {amount(found['mean', 'joint'])} where both texts are "
            "read together and "
            f"{amount(found['mean', 'separate'])} where they are read apart. The mean of texts apart against [CLS] of texts together: "
            f"{amount(recipe)} ({words(recipe.verdict)})."
        )
    return Claim(
        "Pairs, read together and apart",
        " ".join(lines),
        numbers,
        SWEEP.format("pairs"),
        ["figures/pairs", *(f"tables/pairs-{model}" for model in evidence.having("pairs"))],
    )


def coherence(evidence: Evidence) -> Claim:
    tasks = []
    for pairing in ("joint", "separate"):
        tasks += [(pairing, task) for task in evidence.tasks("coherence/bert-books", pairing=[pairing])]
        tasks += [
            (pairing, task)
            for task in evidence.tasks("pairs/bert-books", pairing=[pairing], dataset=["demo_coherence"])
        ]
    pairs_asked = [("pooler", "cls"), ("mean", "cls")]
    found = contrasts([task for _, task in tasks], pairs_asked, resamples=FEWER)  # one family
    named = list(zip([pairing for pairing, _ in tasks for _ in pairs_asked], found, strict=True))
    numbers = [against(each, f"{each.task}, {pairing}: {each.a} − {each.b}") for pairing, each in named]
    lines = []
    for pairing, way in (("joint", "together"), ("separate", "apart")):
        said = [
            f"{each.task} {each.a} {points(each.difference.value, signed=True)} ({words(each.verdict)})"
            for here, each in named
            if here == pairing
        ]
        lines.append(f"Read {way}, relative to [CLS]: {listed(said)}.")
    return Claim(
        "Where the pooler should win: does one text follow the other?",
        "What next-sentence prediction trained the pooler for, on passages of books that it never saw and on the suite's own task; "
        "embedded "
        "model. A negative's second passage comes from another book, and passages of a book overlap, so the intervals are somewhat narrow. "
        + " ".join(lines),
        numbers,
        "python -m experiments.studies.coherence_pairs text=FOLDER output=FOLDER, then python -m src.run -m dataset=files dataset.name=book_coherence "
        "dataset.train=FOLDER/train.tsv dataset.test=FOLDER/test.tsv dataset.text_pair=text_pair pairing=joint,separate "
        "pooling=cls,pooler,mean,max",
        ["figures/pairs"],
    )


def layers(evidence: Evidence) -> Claim:
    lines, numbers = [], []
    for model in evidence.having("layers"):
        bundle = [f"layers/{model}"]
        last = max(record.result.layer for record in evidence[bundle[0]])
        for pooling in ("cls", "mean", "max"):
            mine = {"pooling": [pooling], "layer": range(1, last + 1)}
            means = evidence.means(bundle[0], by_layer, **mine)
            best = max(means, key=lambda name: means[name])
            said = f"**{model}** {pooling}: best at layer {best} of {last} (mean over tasks {points(means[best])})"
            if int(best) != last:
                found = evidence.over(bundle, by_layer, best, str(last), **mine)
                numbers.append(of(found, f"{model}, {pooling}: layer {best} − layer {last}"))
                said += f", {amount(found)} relative to the last ({words(found.verdict)})"
            lines.append(f"{said}.")
    return Claim(
        "Layers: where each pooling is best",
        "The best layer is picked on the same scores that it is compared with, so that its lead is an upper estimate. "
        + " ".join(lines),
        numbers,
        SWEEP.format("layers") + " layer='range(0,L+1)'",
        ["figures/layers", *(f"tables/layers-{model}" for model in evidence.having("layers"))],
    )


def data(evidence: Evidence) -> Claim:
    lines = []
    numbers: list[Number] = []
    for model in evidence.having("mdl"):
        compression: dict[str, dict[str, float]] = {}
        for record in evidence[f"mdl/{model}"]:
            code = record.result.chosen["online_code"]
            compression.setdefault(record.result.pooling, {})[record.result.dataset] = code["compression"]
        mean = {pooling: float(np.mean(list(values.values()))) for pooling, values in compression.items()}
        order = sorted(mean, key=lambda pooling: -mean[pooling])
        lines.append(
            f"**{model}**: mean compression {listed([f'{pooling} {mean[pooling]:.3f}' for pooling in order])}."
        )
    return Claim(
        "How much data: the online code",
        "Bits that the labels cost to somebody who has the features; uniform code over these bits is the compression, more is better; "
        "one order of the rows, so without an interval. " + " ".join(lines),
        numbers,
        SWEEP.format("mdl"),
        ["figures/data", "tables/mdl"],
    )


PROTOCOLS = ("logistic", "senteval", "mteb")


def protocol(evidence: Evidence) -> Claim:
    lines, numbers = [], []
    for model in evidence.having("protocol"):
        signs: dict[str, list[str]] = {}
        for probe in PROTOCOLS:
            for a, b in (("mean", "cls"), ("pooler", "cls")):
                numbers.append(
                    of(
                        evidence.over([f"protocol/{model}"], by_name, a, b, probe=[probe]),
                        f"{model}, {probe}: {a} − {b}",
                    )
                )
            under = evidence.tasks(f"protocol/{model}", probe=[probe])
            for each in contrasts(under, [("mean", "cls")], resamples=resamples(under)):
                signs.setdefault(each.task, []).append(each.verdict)
        opposed = [task for task, verdicts in signs.items() if {"better", "worse"} <= set(verdicts)]
        moved = [task for task, verdicts in signs.items() if len(set(verdicts)) > 1]
        lines.append(
            f"**{model}**, {len(signs)} tasks under {len(PROTOCOLS)} protocols: mean is better than [CLS] under one and worse under "
            "another on "
            f"{listed(opposed)}; the verdict changes at all on {listed(moved)}."
        )
    return Claim(
        "How much of the disagreement is protocol",
        " ".join(lines),
        numbers,
        f"{SWEEP.format('protocol')}, and again with dataset=mrpc,sick_e pairing=separate",
        ["figures/protocol", "tables/protocol"],
    )
