"""States the claims on cost, fine-tuning, chance, and the error rates of the statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.benchmarks.calibration import LIMITS
from experiments.formatting import format_points, join_names
from experiments.paper.claims.sentences import (
    SWEEP,
    Claim,
    Number,
    about,
    claim_numbers,
    contrast_number,
    describe_claims,
    describe_tasks,
    no_claim,
)
from experiments.paper.evidence import PAIRS, Evidence, sort_tasks, task_place
from experiments.paper.labels import by_model
from experiments.paper.tables.cells import score_rows
from experiments.paper.tables.table import Row
from experiments.style import pair_label
from src.evaluation.contrasts import FEW_ROWS, Contrast, Task
from src.evaluation.multiplicity import MAIN_POOLINGS
from src.evaluation.units import MeanContrast
from src.results.result import Result

TRAINED, RANDOM = "bert-books", "bert-books-random"
FINETUNED = f"finetune/{TRAINED}"
AGAINST_RANDOM = ("cls", "pooler", "mean", "max")


def finetuning(evidence: Evidence) -> Claim | None:
    """Return the claim on fine-tuned encoders; None if there are no records of it."""
    if FINETUNED not in evidence:
        return None
    numbers = [contrast_number(each, f"tuned, {each.task}: {pair_label(each.a, each.b)}") for each in _tuned(evidence)]
    text = f"{describe_tuned(evidence, PAIRS)} The frozen probes beside them had all rows."
    command = (
        "python -m experiments.studies.finetune rows=1500 rate=0.0001,0.0003,0.001 seeds=0,1,2,3,4 "
        "dataset=sst2,sst_fine,trec,tweet_offensive,stsb,sick_e data_root=FOLDER output=FOLDER"
    )
    return Claim("If you fine-tune", text, numbers, command, ["figures/finetune", "tables/finetune"])


def describe_tuned(evidence: Evidence, pairs: Sequence[tuple[str, str]]) -> str:
    """Return what the tests of fine-tuned encoders show of some pairs; empty if there are no records of them."""
    if FINETUNED not in evidence:
        return ""
    tuned, results = _tuned(evidence), [record.result for record in evidence[FINETUNED]]
    tasks = {each.task for each in tuned}
    described = [f"{pair_label(a, b)}: {describe_tasks(tuned, a, b)}" for a, b in pairs]
    rows, seeds = max(result.counts["train"] for result in results), results[0].draws
    return (
        f"{TRAINED}, all weights tuned on at most {rows:,} training rows of {len(tasks)} tasks, {seeds} seeds; "
        f"task by task, each in its own metric. {'. '.join(described)}."
    )


def _tuned(evidence: Evidence) -> list[Contrast]:
    """Return the contrasts of fine-tuned encoders, computed once."""
    return evidence.once(FINETUNED, lambda: _contrasts(evidence, evidence.tasks(FINETUNED, pooling=MAIN_POOLINGS)))


def _contrasts(evidence: Evidence, tasks: list[Task]) -> list[Contrast]:
    return evidence.paired_contrasts(sort_tasks(tasks))


@about("cost")
def cost(evidence: Evidence) -> Claim:
    """Return the claim on the cost of each representation."""
    lines = []
    for model in evidence.models_of("cost"):
        found = evidence.json(f"cost/{model}.json")
        for name, each in found["tasks"].items():
            seconds = each["seconds"]
            passes = {int(layer): value["median"] for layer, value in seconds["forward"]["joint"].items()}
            whole = passes[max(passes)]
            pools = [value["median"] for value in seconds["pool"]["joint"].values()]
            lines.append(
                f"**{model}** on {name}: the forward pass takes {1000 * whole / each['rows']:.1f} s per 1,000 rows on "
                f"one core, the slowest pooling {100 * max(pools) / whole:.1f} % of that; a row is kept in "
                f"{each['bytes']['joint']['cls']['float32']:,} bytes whatever the pooling."
            )
    return Claim(
        "Cost of the pass and of the pooling",
        " ".join(lines),
        [],
        "python -m experiments.benchmarks.cost dataset=sst2,mrpc data_root=FOLDER output=FILE",
        ["figures/cost"],
    )


def along(evidence: Evidence) -> Claim:
    """Return the claim on the snapshots of the pre-training."""
    rows = evidence.csv("along.csv")
    steps = sorted({int(row["step"]) for row in rows})
    lines = []
    for task in sorted({row["dataset"] for row in rows}):
        moves = []
        for pooling in ("cls", "pooler", "mean"):
            at = {
                int(row["step"]): float(row["value"])
                for row in rows
                if (row["dataset"], row["pooling"]) == (task, pooling)
            }
            moves.append(f"{pooling} {format_points(at[steps[0]])} to {format_points(at[steps[-1]])}")
        lines.append(f"{task}: {', '.join(moves)}.")
    return Claim(
        "Along the pre-training",
        f"Scores × 100, each in its task's metric, after {steps[0]:,} and after {steps[-1]:,} steps of the "
        "bert-books' pre-training. The probes had an earlier, coarser grid, so the last scores differ somewhat from "
        "the tables. " + " ".join(lines),
        [],
        "python -m experiments.pretraining.snapshots snapshots=FOLDER data_root=FOLDER",
        ["figures/along"],
    )


@about("draws")
def draws(evidence: Evidence) -> Claim:
    """Return the claim on resamples of the training rows."""
    lines, numbers = [], []
    for model in evidence.models_of("draws"):
        found = _contrasts(evidence, evidence.tasks(f"draws/{model}", pooling=MAIN_POOLINGS))
        numbers += [
            contrast_number(each, f"{model}, {each.task}: {pair_label(each.a, each.b, evidence.pooler_status(model))}")
            for each in found
        ]
        described = [
            f"{pair_label(a, b, evidence.pooler_status(model))}: {describe_tasks(found, a, b)}" for a, b in PAIRS[:2]
        ]
        scores = [record.result.score for record in evidence[f"draws/{model}"]]
        spread = [float(np.std(score["draws"], ddof=1)) for score in scores if score["value"] is not None]
        ends = (
            f"{format_points(min(spread))} to {format_points(max(spread))} points of its metric"
            if spread
            else "undefined"
        )
        lines.append(
            f"**{model}**, intervals of the mean over draws, for new rows and new draws. {'. '.join(described)}. "
            f"A score's standard deviation between draws is {ends}."
        )
    see = ["figures/draws", *(f"tables/draws-{model}" for model in evidence.models_of("draws"))]
    return Claim("How much the choice of training rows matters", " ".join(lines), numbers, SWEEP.format("draws"), see)


def controls(evidence: Evidence) -> Claim:
    """Return the claim on the controls."""
    lines = []
    for model in evidence.models_of("controls"):
        control = [record.result for record in evidence[f"controls/{model}"] if _is_control(record.result)]
        higher, lower = (sum(sign * _off_chance(result) > 0 for result in control) for sign in (1, -1))
        lines.append(
            f"**{model}**: of {len(control)} controls that must score at chance (shuffled labels, layer 0 of [CLS]) "
            f"{higher or 'none'} {'is' if higher == 1 else 'are'} shown to be above the best constant's score, "
            f"{lower or 'none'} below it."
        )
    for model in evidence.models:
        lines.append(
            f"**{model}**: a bag of word pieces under the same probe scores above [CLS], pooler and mean on "
            f"{bag_count(evidence, model)} tasks that count; on all tasks: "
            f"{join_names(tasks_below_bag(evidence, model))}."
        )
    found = against_random(evidence)
    numbers = claim_numbers(found)
    described = f"{describe_claims(found)}." if found else no_claim(TRAINED)
    lines.append(f"Pre-trained less one draw of random weights: {described}")
    return Claim(
        "Controls",
        " ".join(lines),
        numbers,
        f"{SWEEP.format('controls')}; python -m experiments.studies.random_weights output=FOLDER/{RANDOM}, "
        f"then {SWEEP.format('poolings')} model=checkpoint model.path=FOLDER/{RANDOM} pooling=cls,pooler,mean,max",
        ["tables/controls", f"tables/poolings-{RANDOM}"],
    )


def against_random(evidence: Evidence) -> list[tuple[str, MeanContrast]]:
    """Return each pooling of the embedded model against the same of random weights, by stratum."""
    bundles = [f"poolings/{TRAINED}", f"poolings/{RANDOM}"]
    if not all(name in evidence for name in bundles):
        return []
    pairs = [(f"{pooling}, {TRAINED}", f"{pooling}, {RANDOM}") for pooling in AGAINST_RANDOM]
    return evidence.claims(TRAINED, bundles, by_model, pairs, repeated=True)


def bag_count(evidence: Evidence, model: str) -> str:
    """Return the number of tasks that count on which a bag of word pieces scores above all three, of how many."""
    names = {each.result.dataset for each in evidence[f"poolings/{model}"] if evidence.counts(model, each.result)}
    above = names.intersection(tasks_below_bag(evidence, model))
    return f"{len(above)} of {len(names)}"


def tasks_below_bag(evidence: Evidence, model: str) -> list[str]:
    """Return the real tasks on which a bag of word pieces scores above [CLS], the pooler and the mean."""
    scores: dict[str, list[Row]] = {}
    for row in score_rows(evidence[f"poolings/{model}"]):
        if row["value"] is not None and row["pooling"] in MAIN_POOLINGS:
            scores.setdefault(row["dataset"], []).append(row)
    above = [
        task
        for task, rows in scores.items()
        if (rows[0]["bag_of_word_pieces"] or 0) > max(row["value"] for row in rows)
    ]
    return sorted(above, key=task_place)


def _is_control(result: Result) -> bool:
    """Return whether a run must score at chance."""
    return bool(result.config["probe"].get("shuffled_labels")) or (result.layer == 0 and result.pooling_label == "cls")


def _off_chance(result: Result) -> int:
    """Return 1 if the 95 % interval of a score lies above the best constant's score, -1 if below it, else 0."""
    constant = result.baseline["constant"]["value"] or 0.0
    low, high = result.score["low"], result.score["high"]
    return 0 if low is None or high is None else int(low > constant) - int(high < constant)


def calibration(evidence: Evidence) -> Claim:
    """Return the claim on the error rates of the statistics in simulation."""
    rows = evidence.csv("simulation.csv")
    wide = [row for row in rows if int(row["rows"]) >= FEW_ROWS]
    outside = [row for row in wide if row["within"] != "yes"]
    wider = [row for row in outside if row["quantity"] == "coverage" and float(row["measured"]) > LIMITS["coverage"][1]]
    few = [row for row in rows if int(row["rows"]) < FEW_ROWS and row["within"] != "yes"]
    numbers = [
        Number(
            f"{row['quantity']} of {row['method']}, {row['metric']}, {row['rows']} rows, {row['setting']}",
            f"{100 * float(row['measured']):.1f} %",
            f"± {100 * float(row['error']):.1f} (standard error)",
            row["note"],
        )
        for row in outside
    ]
    return Claim(
        "Do the statistics hold what they promise?",
        f"In simulation with {FEW_ROWS} rows or more, {len(wide) - len(outside)} of {len(wide)} settings keep their "
        "limits (error rate at most 6 %, coverage 93 to 97 %, false equivalence at most 6 %); those that do not are "
        f"below, {len(wider)} of them with intervals that cover more than 97 %, as is expected over tasks that do not "
        f"differ. With fewer rows {len(few) or 'none'} of {len(rows) - len(wide)} "
        "settings leaves its limits.",
        numbers,
        "python -m experiments.benchmarks.calibration",
        ["figures/calibration", "tables/simulation"],
    )
