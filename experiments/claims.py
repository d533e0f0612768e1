"""What the records say, in sentences: one function per claim, each with its numbers, intervals, tests and command.

Every word that depends on a number is chosen by it, so that the page cannot say what the records do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from experiments.evidence import PAIRS, PRIMARY, STRENGTHS, Evidence
from experiments.tables import p_value, points, scored, span
from src.paired import Contrast, Overall
from src.result import Result

SWEEP = "python -m src.run -m +experiment={} data_root=FOLDER"
REAL_PAIRS = ("mrpc", "stsb", "rte", "sick_e", "sick_r")
TESTS = {
    "tasks": "hierarchical bootstrap over {} tasks and their rows; equivalence: two one-sided tests at 1 point",
    "holm": "paired test on the same rows, Holm",
}


@dataclass(frozen=True)
class Number:
    """One figure of a claim: what, how much with its interval, and the test behind it."""

    what: str
    value: str
    interval: str
    test: str


@dataclass(frozen=True)
class Claim:
    """A claim of the page. `see` names its figures and tables."""

    title: str
    text: str
    numbers: list[Number]
    command: str
    see: list[str] = field(default_factory=list)


def scope(evidence: Evidence) -> str:
    """What the page speaks of."""
    models = [f"{model} (pooler {evidence.pooler(model)})" for model in evidence.models]
    total = sum(len(records) for records in evidence.values())
    return (
        "Scope: **frozen** features. A linear probe was fitted on each pooling of an encoder that was not trained further; a "
        f"small control fine-tunes. {total:,} runs; encoders: {listed(models)}. They are small; the same experiment files run unchanged with "
        "`model=bert-base-uncased`. Differences are in points of each task's own metric, intervals are 95 %, the margin of equivalence is 1 "
        "point, fixed beforehand. Every number here is computed from the committed records by `python -m experiments.paper`."
    )


def answer(evidence: Evidence) -> list[str]:
    """The question's answer in five sentences."""
    trained, other = evidence.models
    pooler = {model: evidence.overall(model, "pooler", "cls") for model in evidence.models}
    apart = [each["difference"]["pooler"]["mean_cosine"] for each in evidence.json(f"diagnostics/{trained}.json")["tasks"].values()]
    steps = {found.a: found for found in evidence.ladder(trained, "tuned", list(STEPS))}
    gained, lost = (told(evidence.contrasts(trained), "mean", "cls", verdict) for verdict in ("better", "worse"))
    joint, separate = (
        evidence.over([f"pairs/{trained}"], _pooling, "mean", "cls", pairing=[pairing], dataset=REAL_PAIRS)
        for pairing in ("joint", "separate")
    )
    tuned = evidence.over(["finetune/bert-books"], _pooling, "pooler", "cls")

    def step(name: str) -> str:
        return f"{amount(steps[name])} ({words(steps[name].verdict)})"

    return [
        "`sequence_output[:, 0]` ([CLS]) and `pooled_output` = tanh(W·[CLS] + b) are different vectors of the same size: in "
        f"{trained} a text's two vectors have a mean cosine of {float(np.mean(apart)):.2f}.",
        f"As frozen features they serve the same purpose at little distance: over {len(PRIMARY)} tasks the pooler scores "
        f"{amount(pooler[trained])} relative to [CLS] where next-sentence prediction trained it ({trained}: "
        f"{words(pooler[trained].verdict)}), and {amount(pooler[other])} where nothing ever did ({other}: {words(pooler[other].verdict)}).",
        f"Step by step, relative to [CLS]: W h + b {step('pooler_preactivation')}, its tanh {step('pooler')}, and atanh of that "
        f"{step('pooler_inverse')}.",
        f"Mean pooling against [CLS] is a question of what is read: in {trained} it is better on {listed(gained, 'no task')}, worse on "
        f"{listed(lost, 'no task')}, and on five real pair tasks {amount(joint)} where the texts are read together but {amount(separate)} "
        "where they are read apart.",
        "So take the mean for single sentences and for pairs encoded apart, measure [CLS] beside it where a pair is read together, and let "
        "the pooler be unless you have checked that it was trained and that it helps; with all weights tuned, pooler − [CLS] is "
        f"{amount(tuned)}: {words(tuned.verdict)}.",
    ]


claims: list[Callable[[Evidence], Claim]] = []


def claim(function: Callable[[Evidence], Claim]) -> Callable[[Evidence], Claim]:
    """Register a claim; the page has them in the order of this file."""
    claims.append(function)
    return function


def words(verdict: str, better: str = "better", worse: str = "worse") -> str:
    """A verdict as half a sentence.

    >>> words("equivalent with a small difference")
    'equivalent within 1 point, and yet different'
    """
    return {
        "equivalent": "equivalent within 1 point",
        "equivalent with a small difference": "equivalent within 1 point, and yet different",
        "better": better,
        "worse": worse,
        "undecided": "neither told apart nor shown to be equivalent",
    }[verdict]


def of(overall: Overall, what: str) -> Number:
    """A claim over tasks as a figure."""
    test = TESTS["tasks"].format(len(overall.tasks))
    value = f"{points(overall.value, signed=True)}; {words(overall.verdict)}"
    return Number(
        what,
        value,
        span(overall.low, overall.high, signed=True),
        f"{test}; p {p_value(overall.p)}, equivalence p {p_value(overall.p_equivalence)}",
    )


def against(contrast: Contrast, what: str) -> Number:
    """One task's contrast as a figure."""
    difference = contrast.difference
    return Number(
        what,
        f"{points(difference.value, signed=True)}; {words(contrast.verdict)}",
        span(difference.low, difference.high, signed=True),
        f"{difference.method}; p {p_value(contrast.p_holm)} (Holm), equivalence p {p_value(contrast.p_equivalence_holm)} (Holm)",
    )


def listed(names: Sequence[str], none: str = "none") -> str:
    """Names in a sentence.

    >>> listed(["mr", "cr", "mpqa"]), listed([])
    ('mr, cr and mpqa', 'none')
    """
    names = list(names)
    if not names:
        return none
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def told(contrasts: Sequence[Contrast], a: str, b: str, verdict: str) -> list[str]:
    """Tasks on which a against b got this verdict."""
    return [each.task for each in contrasts if (each.a, each.b) == (a, b) and each.verdict == verdict]


def amount(overall: Overall) -> str:
    """A claim over tasks in a sentence: the mean difference with its interval."""
    return f"{points(overall.value, signed=True)} points {span(overall.low, overall.high, signed=True)}"


def _split(contrasts: Sequence[Contrast], a: str, b: str) -> str:
    better, worse = told(contrasts, a, b, "better"), told(contrasts, a, b, "worse")
    same = told(contrasts, a, b, "equivalent") + told(contrasts, a, b, "equivalent with a small difference")
    rest = len({each.task for each in contrasts}) - len(better) - len(worse) - len(same)
    return f"better on {listed(better)}, worse on {listed(worse)}, equivalent on {listed(same)}, undecided on {rest} of the tasks"


@claim
def pooler_against_cls(evidence: Evidence) -> Claim:
    lines, numbers = [], []
    for model in evidence.models:
        found, tasks = evidence.overall(model, "pooler", "cls"), evidence.contrasts(model)
        status = evidence.pooler(model)
        lines.append(
            f"**{model}** (pooler {status}): over {len(PRIMARY)} tasks the pooler scores {amount(found)} relative to [CLS]: "
            f"{words(found.verdict)}. Task by task, after Holm, it is {_split(tasks, 'pooler', 'cls')}."
        )
        numbers.append(of(found, f"{model}: pooler − cls"))
    return Claim(
        "pooled_output against [CLS]", " ".join(lines), numbers, SWEEP.format("poolings"),
        ["figures/differences", "tables/overall", *(f"tables/verdicts-{model}" for model in evidence.models)],
    )  # fmt: skip


@claim
def mean_against_both(evidence: Evidence) -> Claim:
    lines, numbers = [], []
    for model in evidence.models:
        tasks = evidence.contrasts(model)
        for other in ("cls", "pooler"):
            found = evidence.overall(model, "mean", other)
            numbers.append(of(found, f"{model}: mean − {other}"))
        found = evidence.overall(model, "mean", "cls")
        lines.append(
            f"**{model}**: {amount(found)} relative to [CLS] over all tasks ({words(found.verdict)}), because the tasks disagree: "
            f"mean pooling is {_split(tasks, 'mean', 'cls')}."
        )
    return Claim(
        "Mean pooling against both",
        " ".join(lines),
        numbers,
        SWEEP.format("poolings"),
        ["figures/differences", *(f"tables/verdicts-{model}" for model in evidence.models)],
    )


STEPS = {"pooler_preactivation": "W h + b", "pooler": "its tanh", "pooler_inverse": "atanh of that", "random_pooler": "a random pooler"}


@claim
def ladder(evidence: Evidence) -> Claim:
    lines, numbers = [], []
    for model in evidence.models:
        for strength in STRENGTHS:
            for found in evidence.ladder(model, strength, list(STEPS)):
                numbers.append(of(found, f"{model}, {strength} regularisation: {STEPS[found.a]} − [CLS]"))
        tuned = {found.a: found for found in evidence.ladder(model, "tuned", list(STEPS))}
        said = [f"{STEPS[name]} {amount(found)} ({words(found.verdict)})" for name, found in tuned.items()]
        lines.append(f"**{model}**, tuned regularisation, relative to [CLS]: {listed(said)}.")
    return Claim(
        "The ladder: which step from [CLS] to the pooler costs what",
        "Without a penalty a linear probe sees the same in h and in W h + b, as W is invertible; what differs is regularisation and "
        "rounding. " + " ".join(lines),
        numbers,
        SWEEP.format("ladder"),
        ["figures/ladder", "tables/ladder"],
    )


@claim
def pairs(evidence: Evidence) -> Claim:
    lines, numbers = [], []
    for model in evidence.models:
        found = {}
        for pairing in ("joint", "separate"):
            for a, b in (("mean", "cls"), ("pooler", "cls")):
                found[a, pairing] = evidence.over([f"pairs/{model}"], _pooling, a, b, pairing=[pairing], dataset=REAL_PAIRS)
                numbers.append(of(found[a, pairing], f"{model}, {pairing}: {a} − {b}"))
        recipe = evidence.over([f"pairs/{model}"], _paired, "mean, separate", "cls, joint", dataset=REAL_PAIRS)
        numbers.append(of(recipe, f"{model}: mean, texts apart − [CLS], texts together"))
        lines.append(
            f"**{model}**, five real pair tasks: mean − [CLS] is {amount(found['mean', 'joint'])} where both texts are read together and "
            f"{amount(found['mean', 'separate'])} where they are read apart. The mean of texts apart against [CLS] of texts together: "
            f"{amount(recipe)} ({words(recipe.verdict)})."
        )
    return Claim(
        "Pairs, read together and apart",
        " ".join(lines),
        numbers,
        SWEEP.format("pairs"),
        ["figures/pairs", *(f"tables/pairs-{model}" for model in evidence.models)],
    )


def _pooling(result: Result) -> str:
    return result.pooling


def _layer(result: Result) -> str:
    return str(result.layer)


def _paired(result: Result) -> str:
    return f"{result.pooling}, {result.pairing}"


@claim
def layers(evidence: Evidence) -> Claim:
    lines, numbers = [], []
    for model in evidence.models:
        bundle = [f"layers/{model}"]
        last = max(record.result.layer for record in evidence[bundle[0]])
        for pooling in ("cls", "mean", "max"):
            mine = {"pooling": [pooling], "layer": range(1, last + 1)}
            means = evidence.means(bundle[0], _layer, **mine)
            best = max(means, key=lambda name: means[name])
            said = f"**{model}** {pooling}: best at layer {best} of {last} (mean over tasks {points(means[best])})"
            if int(best) != last:
                found = evidence.over(bundle, _layer, best, str(last), **mine)
                numbers.append(of(found, f"{model}, {pooling}: layer {best} − layer {last}"))
                said += f", {amount(found)} relative to the last ({words(found.verdict)})"
            lines.append(f"{said}.")
    return Claim(
        "Layers: where each pooling is best",
        "The best layer is picked on the same scores that it is compared with, so that its lead is an upper estimate. " + " ".join(lines),
        numbers,
        SWEEP.format("layers") + " layer='range(0,L+1)'",
        ["figures/layers", *(f"tables/layers-{model}" for model in evidence.models)],
    )


@claim
def nsp_pooler(evidence: Evidence) -> Claim:
    lines, numbers = [], []
    for model in evidence.models:
        bundles = [f"nsp_pooler/{model}-{kind}" for kind in ("nsp", "random")]
        apart = evidence.over(bundles, _pooled_by, "pooler, nsp", "pooler, random")
        numbers.append(of(apart, f"{model}: its own NSP-trained pooler − its random start"))
        for kind in ("nsp", "random"):
            numbers.append(of(evidence.over(bundles, _pooled_by, f"pooler, {kind}", f"cls, {kind}"), f"{model}: {kind} pooler − [CLS]"))
        right = evidence.json(f"nsp_pooler/{model}.json")["held_out_accuracy"]
        head, probe = right["head of nsp"], right["probe on cls"]
        lines.append(
            f"**{model}**, encoder frozen, W and b trained by next-sentence prediction alone: right on {scored(head)} % of held-out pairs "
            f"(a linear probe straight on [CLS]: {scored(probe)} %). On the tasks that training moved the pooler's score by "
            f"{amount(apart)}: {words(apart.verdict)}."
        )
    return Claim(
        "What next-sentence prediction teaches the pooler itself",
        "The same frozen encoder with a random pooler and with one that only next-sentence prediction has trained. " + " ".join(lines),
        numbers,
        "python -m experiments.nsp_pooler text=FOLDER output=FOLDER, then " + SWEEP.format("nsp_pooler"),
        ["figures/nsp_pooler", "tables/nsp_pooler"],
    )


def _chance(result: Result) -> bool:
    return bool(result.config["probe"].get("shuffled_labels")) or (result.layer == 0 and result.pooling == "cls")


def _at_chance(result: Result) -> bool:
    constant = result.baseline["constant"]["value"] or 0.0
    value, low = result.score["value"], result.score["low"]
    return value is None or value <= constant or (low is not None and low <= constant)


def _pooled_by(result: Result) -> str:
    return f"{result.pooling}, {result.model}"


@claim
def precision(evidence: Evidence) -> Claim:
    found = [(model, each) for model in evidence.models if f"precision/{model}" in evidence for each in evidence.precision(model)]
    largest = max(found, key=lambda one: abs(one[1].value))
    different = [f"{model} {each.a}" for model, each in found if each.verdict in ("better", "worse")]
    text = (
        f"Of {len(found)} combinations of pooling and half-precision type, {listed(different)} differ from float32 beyond the margin; the "
        f"largest mean change is {amount(largest[1])} ({largest[0]}, {largest[1].a})."
    )
    numbers = [of(each, f"{model}: {each.a} − {each.b}") for model, each in found]
    return Claim("Half precision", text, numbers, SWEEP.format("precision"), ["figures/precision", "tables/precision"])


@claim
def controls(evidence: Evidence) -> Claim:
    lines, numbers = [], []
    for model in evidence.models:
        control = [record.result for record in evidence[f"controls/{model}"] if _chance(record.result)]
        hits = [result for result in control if _at_chance(result)]
        lines.append(
            f"**{model}**: of {len(control)} controls that must score at chance (shuffled labels, layer 0 of [CLS]) {len(hits)} "
            "have the best constant's score in their 95 % interval, or stay below it."
        )
    random = "bert-books-random"
    for pooling in ("cls", "pooler", "mean", "max"):
        found = evidence.over(["poolings/bert-books", f"poolings/{random}"], _pooled_by, f"{pooling}, bert-books", f"{pooling}, {random}",
                              dataset=PRIMARY)  # fmt: skip
        numbers.append(of(found, f"{pooling}: pre-trained − random weights"))
    better = [number for number in numbers if "; better" in number.value]
    lines.append(f"Pre-training is worth something over the primary tasks for {len(better)} of {len(numbers)} poolings.")
    return Claim(
        "Controls",
        " ".join(lines),
        numbers,
        f"{SWEEP.format('controls')}; python -m experiments.fresh output=RANDOM, then {SWEEP.format('poolings')} "
        "model=checkpoint model.path=RANDOM",
        ["tables/controls", "tables/poolings-bert-books-random"],
    )


@claim
def draws(evidence: Evidence) -> Claim:
    lines, numbers = [], []
    for model in evidence.models:
        for a, b in PAIRS:
            numbers.append(of(evidence.over([f"draws/{model}"], _pooling, a, b), f"{model}, ten draws of train: {a} − {b}"))
        spread = [float(np.std(values, ddof=1)) for record in evidence[f"draws/{model}"] if len(values := record.result.score["draws"]) > 1]
        rows = [record.result.score["high"] - record.result.score["low"] for record in evidence[f"draws/{model}"]]
        lines.append(
            f"**{model}**: resampling the training rows moves a score by {points(float(np.median(spread)))} points (the median standard "
            f"deviation over tasks and poolings); the 95 % interval for new rows and a new draw is {points(float(np.median(rows)))} wide."
        )
    return Claim(
        "The luck of the training rows", " ".join(lines), numbers, SWEEP.format("draws"),
        ["figures/draws", *(f"tables/draws-{model}" for model in evidence.models)],
    )  # fmt: skip


@claim
def protocol(evidence: Evidence) -> Claim:
    lines, numbers = [], []
    for model in evidence.models:
        signs: dict[str, list[float]] = {}
        for probe in ("logistic", "senteval", "mteb"):
            found = evidence.over([f"protocol/{model}"], _pooling, "mean", "cls", probe=[probe])
            numbers.append(of(found, f"{model}, {probe}: mean − cls"))
            numbers.append(
                of(evidence.over([f"protocol/{model}"], _pooling, "pooler", "cls", probe=[probe]), f"{model}, {probe}: pooler − cls")
            )
            for task, value in zip(found.tasks, found.differences, strict=True):
                signs.setdefault(task, []).append(value)
        flipped = [task for task, values in signs.items() if min(values) < 0 < max(values)]
        span_of = max(max(values) - min(values) for values in signs.values())
        lines.append(
            f"**{model}**: the sign of mean − [CLS] changes with the protocol on {listed(flipped)} of {len(signs)} tasks; it moves "
            f"that difference by up to {points(span_of)} points on the same features."
        )
    return Claim(
        "How much of the disagreement is protocol",
        " ".join(lines),
        numbers,
        SWEEP.format("protocol"),
        ["figures/protocol", "tables/protocol"],
    )


@claim
def data(evidence: Evidence) -> Claim:
    lines = []
    numbers: list[Number] = []
    for model in evidence.models:
        compression: dict[str, dict[str, float]] = {}
        for record in evidence[f"mdl/{model}"]:
            code = (
                record.result.chosen["details"]["online_code"] if "details" in record.result.chosen else record.result.chosen["online_code"]
            )
            compression.setdefault(record.result.pooling, {})[record.result.dataset] = code["compression"]
        mean = {pooling: float(np.mean(list(values.values()))) for pooling, values in compression.items()}
        order = sorted(mean, key=lambda pooling: -mean[pooling])
        lines.append(f"**{model}**: mean compression {listed([f'{pooling} {mean[pooling]:.3f}' for pooling in order])}.")
    return Claim(
        "How much data: the online code",
        "Bits that the labels cost to somebody who has the features; uniform code over these bits is the compression, more is better. "
        + " ".join(lines),
        numbers,
        SWEEP.format("mdl"),
        ["figures/data", "tables/mdl"],
    )


@claim
def finetuning(evidence: Evidence) -> Claim:
    numbers = [of(evidence.over(["finetune/bert-books"], _pooling, a, b), f"tuned: {a} − {b}") for a, b in PAIRS]
    named = {record.result.dataset for record in evidence["finetune/bert-books"]}
    frozen = {}
    for a, b in PAIRS:
        found = evidence.over(["poolings/bert-books", "demo/bert-books"], _pooling, a, b, dataset=named)
        frozen[a, b] = found
        numbers.append(of(found, f"frozen, the same tasks: {a} − {b}"))
    tuned = evidence.over(["finetune/bert-books"], _pooling, "mean", "cls")
    text = (
        f"With all weights tuned, on {len(named)} tasks: mean − [CLS] {amount(tuned)} ({words(tuned.verdict)}), frozen on the same tasks "
        f"{amount(frozen['mean', 'cls'])}; pooler − [CLS] {numbers[0].value.partition(';')[0]} {numbers[0].interval} tuned."
    )
    return Claim("If you fine-tune", text, numbers, "python -m experiments.finetune output=FOLDER", ["figures/finetune", "tables/finetune"])
