"""States the claims on the encoding of pairs, similarity, the layer, the training rows and the protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from experiments import style
from experiments.bundles import Record
from experiments.formatting import format_points, join_names
from experiments.paper.claims.sentences import (
    SWEEP,
    Claim,
    Number,
    about,
    claim_numbers,
    contrast_number,
    describe_claims,
    no_claim,
)
from experiments.paper.evidence import PAIRS, Evidence, is_real
from experiments.paper.labels import by_pairing, by_pooling, layer_and_pooling, rows_per_class
from experiments.strata import StratumTasks, average_level
from experiments.tasks import paired_tasks
from src.config.schema import DISTANCE_SCALINGS
from src.evaluation.contrasts import Contrast
from src.evaluation.differences import BETTER, WORSE
from src.evaluation.multiplicity import MAIN_POOLINGS
from src.evaluation.units import MeanContrast
from src.results.result import Result

PROTOCOLS = ("logistic", "senteval", "mteb")
OWN_TASK = "book_coherence"  # passages of books that the encoder never saw
RECIPES = "pairs, apart against together"


@about("pairs")
def pairs(evidence: Evidence) -> Claim:
    """Return the claim on pairs encoded jointly and separately."""
    lines, numbers = [], []
    for model in evidence.models_of("pairs"):
        found = evidence.claims(model, [f"pairs/{model}"], by_pooling, PAIRS, repeated=True)
        apart = apart_against_together(evidence, model)
        numbers += claim_numbers([*found, *apart], f"{model}, ", evidence.pooler_status(model))
        mean = [(stratum, each) for stratum, each in [*found, *apart] if each.a.startswith("mean") and "cls" in each.b]
        lines.append(f"**{model}**: {describe_claims(mean)}." if mean else no_claim(model))
    return Claim(
        "Pairs, read together and apart",
        " ".join(lines),
        numbers,
        SWEEP.format("pairs"),
        ["figures/pairs", *(f"tables/pairs-{model}" for model in evidence.models_of("pairs"))],
    )


def apart_against_together(evidence: Evidence, model: str) -> list[tuple[str, MeanContrast]]:
    """Return the mean of texts read apart against [CLS] and the mean of pairs read together."""
    recipes = [("mean, separate", "cls, joint"), ("mean, separate", "mean, joint")]
    return evidence.claims(model, [f"pairs/{model}"], by_pairing, recipes, stratum=RECIPES, repeated=True)


def recipe_level(evidence: Evidence, model: str, recipe: str) -> float | None:
    """Return the mean D² of a recipe, as ``cls, joint``, over the tasks of `apart_against_together`."""
    kept = [each for each in evidence[f"pairs/{model}"] if is_real(each.result)]
    found = evidence.group(model, kept, by_pairing, RECIPES)
    return average_level(found[0], recipe) if found else None


@about("similarity")
def similarity(evidence: Evidence) -> Claim:
    """Return the claim on the cosine of two texts, by the scaling of their vectors."""
    lines, numbers = [], []
    for model in evidence.models_of("similarity"):
        for scaling in DISTANCE_SCALINGS:
            found = evidence.claims(model, [f"similarity/{model}"], by_pooling, PAIRS, keep=_has_scaling(scaling))
            numbers += claim_numbers(found, f"{model}, scaling {scaling}, ", evidence.pooler_status(model))
            if scaling in (DISTANCE_SCALINGS[0], DISTANCE_SCALINGS[-1]) and found:
                lines.append(
                    f"**{model}**, scaling {scaling}: {describe_claims(found, evidence.pooler_status(model))}."
                )
    return Claim(
        "Similarity: the cosine of two texts, nothing fitted",
        "Spearman's correlation with the gold scores, texts encoded apart; scalings are fitted on the evaluated texts, "
        "without labels. " + " ".join(lines),
        numbers,
        SWEEP.format("similarity"),
        ["figures/similarity", *(f"tables/similarity-{model}" for model in evidence.models_of("similarity"))],
    )


def whitened(evidence: Evidence, model: str) -> list[tuple[str, MeanContrast]]:
    """Return the pooler and the mean against [CLS] by the cosine of whitened vectors."""
    keep = _has_scaling(DISTANCE_SCALINGS[-1])
    found = evidence.claims(model, [f"similarity/{model}"], by_pooling, PAIRS, keep=keep)
    return [(stratum, each) for stratum, each in found if each.b == "cls"]


def _has_scaling(scaling: str) -> Callable[[Result], bool]:
    """Return a function that says whether a run scaled its vectors so."""
    return lambda result: result.config["probe"].get("features") == scaling


def coherence_contrasts(evidence: Evidence, model: str) -> list[tuple[str, Contrast]]:
    """Return the pooler and the mean against [CLS] on whether one text follows the other, each with its pairing."""
    if f"coherence/{model}" not in evidence:
        return []
    tasks = []
    for pairing in ("joint", "separate"):
        tasks += [(pairing, task) for task in evidence.tasks(f"coherence/{model}", pairing=[pairing])]
        own = [each for each in evidence.optional(f"pairs/{model}") if each.result.dataset == "demo_coherence"]
        tasks += [(pairing, task) for task in paired_tasks(each for each in own if each.result.pairing == pairing)]
    found = evidence.paired_contrasts([task for _, task in tasks])
    named = zip([pairing for pairing, _ in tasks for _ in PAIRS], found, strict=True)
    return [(pairing, each) for pairing, each in named if each.b == "cls"]


@about("coherence")
def coherence(evidence: Evidence) -> Claim:
    """Return the claim on whether one text follows the other."""
    lines, numbers = [], []
    for model in evidence.models_of("coherence"):
        named, status = coherence_contrasts(evidence, model), evidence.pooler_status(model)
        numbers += [
            contrast_number(each, f"{model}, {each.task}, {pairing}: {style.pair_label(each.a, each.b, status)}")
            for pairing, each in named
        ]
        for pairing, way in (("joint", "together"), ("separate", "apart")):
            described = [
                f"{each.task} {style.pooling_label(each.a, status)} "
                f"{format_points(each.difference.value, signed=True)} ({each.verdict})"
                for here, each in named
                if here == pairing
            ]
            lines.append(f"**{model}** read {way}, difference to [CLS] in points: {join_names(described)}.")
    return Claim(
        "The pooler's own pre-training task: does one text follow the other?",
        "What next-sentence prediction trained the pooler for, on passages of books that it never saw and on the "
        "suite's own task, in accuracy. A negative's second passage comes from another book, and passages of "
        "a book overlap, so the intervals are somewhat narrow. " + " ".join(lines),
        numbers,
        "python -m experiments.studies.coherence_pairs text=FOLDER output=FOLDER, then python -m src.run -m "
        "dataset=files dataset.name=book_coherence dataset.train=FOLDER/train.tsv dataset.test=FOLDER/test.tsv "
        "dataset.text_pair=text_pair pairing=joint,separate pooling=cls,pooler,mean,max",
        ["figures/pairs"],
    )


@about("layers")
def layers(evidence: Evidence) -> Claim:
    """Return the claim on the best layer and pooling of each stratum."""
    lines: list[str] = []
    numbers: list[Number] = []
    for model in evidence.models_of("layers"):
        found = layer_strata(evidence, model)
        for stratum in found:
            means = layer_means(stratum)
            if means:
                numbers += _layer_numbers(model, stratum, means)
                (layer, pooling), best = max(means.items(), key=lambda item: item[1])
                name = style.pooling_label(pooling, evidence.pooler_status(model))
                lines.append(
                    f"**{model}**, {stratum.stratum}: the best of {len(means)} is {name} at layer {layer}, "
                    f"{format_points(best)}."
                )
        lines += [] if found else [no_claim(model)]
    return Claim(
        "Layers: where each pooling is best",
        "Mean D² over the tasks that count. The best layer and pooling is chosen on these test rows among all "
        "that were scored, so that its D² is an upper estimate; layers are not tested against each other. "
        + " ".join(lines),
        numbers,
        SWEEP.format("layers"),
        ["figures/layers", *(f"tables/layers-{model}" for model in evidence.models_of("layers"))],
    )


def layer_strata(evidence: Evidence, model: str) -> list[StratumTasks]:
    """Return the strata of the layers experiment, each task with its runs by layer and pooling."""
    kept = [each for each in evidence[f"layers/{model}"] if is_real(each.result)]
    return evidence.group(model, kept, layer_and_pooling)


def layer_means(stratum: StratumTasks) -> dict[tuple[int, str], float]:
    """Return the mean D² of each layer and pooling that all tasks of a stratum have."""
    found = {}
    for name, record in next(iter(stratum.tasks.values()), {}).items():
        level = average_level(stratum, name)
        if level is not None:
            found[record.result.layer, record.result.pooling_label] = level
    return found


def _layer_numbers(model: str, stratum: StratumTasks, means: dict[tuple[int, str], float]) -> Sequence[Number]:
    last = max(layer for layer, _ in means)
    best = max(means, key=lambda name: means[name])
    chosen = f"best of {len(means)}"
    of_last = {pooling: value for (layer, pooling), value in means.items() if layer == last}
    lines = [(f"layer {best[0]}, {best[1]}", means[best], chosen)]
    lines += [(f"layer {last} (last), {pooling}", value, "") for pooling, value in of_last.items()]
    return [
        Number(f"{model}, {stratum.stratum}: {what}", format_points(value), "", f"{len(stratum.tasks)} tasks", note)
        for what, value, note in lines
    ]


@about("mdl")
def data(evidence: Evidence) -> Claim:
    """Return the claim on the online code."""
    lines = []
    for model in evidence.models_of("mdl"):
        tasks: dict[str, dict[str, float]] = {}
        for record in evidence[f"mdl/{model}"]:
            code = record.result.chosen["online_code"]
            if evidence.counts(model, record.result):
                tasks.setdefault(record.result.dataset, {})[record.result.pooling_label] = code["compression"]
        named = [
            f"{task} {' / '.join(f'{found[name]:.2f}' if name in found else '–' for name in MAIN_POOLINGS)}"
            for task, found in tasks.items()
        ]
        lines.append(f"**{model}**, [CLS] / pooler / mean on the tasks that count: {join_names(named)}.")
    return Claim(
        "How much data: the online code",
        "Compression is the labels' bits under a uniform code, divided by their bits if a probe on the features "
        "predicts them block by block. More is better; at 1 the probe knows no more than the number of classes, and "
        "unbalanced labels alone pass it. One order of the rows, so no interval. " + " ".join(lines),
        [],
        SWEEP.format("mdl"),
        ["figures/data", "tables/mdl"],
    )


@about("few_shot")
def few_shot(evidence: Evidence) -> Claim:
    """Return the claim on probes of few training rows."""
    lines, numbers = [], []
    for model in evidence.models_of("few_shot"):
        records, status = evidence[f"few_shot/{model}"], evidence.pooler_status(model)
        counts: dict[tuple[str, str], list[str]] = {pair: [] for pair in PAIRS[:2]}
        for size in sorted({rows_per_class(record.result) for record in records}):
            tasks = paired_tasks(record for record in records if rows_per_class(record.result) == size)
            found = evidence.paired_contrasts(tasks)
            numbers += [
                contrast_number(
                    each,
                    f"{model}, {size} rows a class, {each.task}: {style.pair_label(each.a, each.b, status)}",
                )
                for each in found
            ]
            for pair, parts in counts.items():
                mine = [each.verdict for each in found if (each.a, each.b) == pair]
                parts.append(f"{mine.count(BETTER)} / {mine.count(WORSE)} of {len(mine)} at {size}")
        drawn = len(records[0].result.score["draws"])
        lines.append(
            f"**{model}**, {drawn} draws. Tasks with a verdict of better / worse, by rows a class: "
            + ". ".join(f"{style.pair_label(*pair, status)}: {', '.join(parts)}" for pair, parts in counts.items())
            + "."
        )
        if below := below_constant(records):
            lines.append(f"No pooling is above the best constant: {join_names(below)}.")
    return Claim(
        "Which pooling with few training rows",
        "Draws of rows by MTEB's rules, the same for every pooling; each task in its own metric, each number of "
        "rows a family of its own. " + " ".join(lines),
        numbers,
        SWEEP.format("few_shot"),
        ["figures/few_shot", "tables/few_shot"],
    )


def below_constant(records: Iterable[Record]) -> list[str]:
    """Return the tasks and rows a class at which no pooling scores above the best constant."""
    best: dict[tuple[str, int], list[float]] = {}
    for record in records:
        result = record.result
        constant, value = result.baseline["constant"]["value"], result.score["value"]
        if constant is not None and value is not None:
            best.setdefault((result.dataset, rows_per_class(result)), []).append(value - constant)
    return [f"{task} at {size}" for (task, size), margins in sorted(best.items()) if max(margins) <= 0]


@about("protocol")
def protocol(evidence: Evidence) -> Claim:
    """Return the claim on the published protocols."""
    lines, numbers = [], []
    for model in evidence.models_of("protocol"):
        verdicts: dict[str, list[str]] = {}
        status = evidence.pooler_status(model)
        for probe in PROTOCOLS:
            tasks = evidence.tasks(f"protocol/{model}", probe=[probe])
            found = evidence.paired_contrasts(tasks)
            found = [each for each in found if (each.a, each.b) in PAIRS[:2]]  # the third pair is in the tables
            numbers += [
                contrast_number(
                    each,
                    f"{model}, {probe}, {each.task}: {style.pair_label(each.a, each.b, status)}",
                )
                for each in found
            ]
            for each in found:
                verdicts.setdefault(f"{each.task} {style.pair_label(each.a, each.b, status)}", []).append(each.verdict)
        opposed = [name for name, each in verdicts.items() if {BETTER, WORSE} <= set(each)]
        alike = [
            f"{verdict} {join_names([name for name, each in verdicts.items() if each == [verdict] * len(PROTOCOLS)])}"
            for verdict in (BETTER, WORSE)
        ]
        lines.append(
            f"**{model}**: better under one and worse under another: {join_names(opposed)}; under all "
            f"{len(PROTOCOLS)}: {'; '.join(alike)}."
        )
    return Claim(
        "Do published protocols agree with the suite's probe?",
        "SentEval's and MTEB's rules give no D², so tasks are compared one by one; pairs are read apart. "
        + " ".join(lines),
        numbers,
        f"{SWEEP.format('protocol')}, and again with dataset=mrpc,sick_e pairing=separate",
        ["figures/protocol", "tables/protocol"],
    )
