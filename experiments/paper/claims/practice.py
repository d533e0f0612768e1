"""What a practitioner asks next: cost, fine-tuning, chance, and whether the statistics hold."""

from __future__ import annotations

import numpy as np

from experiments import collect
from experiments.claims.sentences import SWEEP, Claim, Number, amount, by_model, by_name, listed, of, words
from experiments.evidence import PAIRS, PRIMARY, Evidence
from experiments.tables import points
from src.evaluation.contrasts import FEW_ROWS
from src.results.result import Result


def finetuning(evidence: Evidence) -> Claim:
    bundle = "finetune/bert-books"
    tuned = {pair: evidence.over([bundle], by_name, *pair) for pair in PAIRS}
    tasks = tuned["mean", "cls"].tasks
    frozen = {
        pair: evidence.over(["poolings/bert-books", "demo/bert-books"], by_name, *pair, dataset=tasks) for pair in PAIRS
    }
    numbers = [of(found, f"tuned: {found.a} − {found.b}") for found in tuned.values()]
    numbers += [of(found, f"frozen, the same tasks: {found.a} − {found.b}") for found in frozen.values()]
    rows, seeds = (max(record.result.counts["train"] for record in evidence[bundle]), evidence[bundle][0].result.draws)
    text = (
        f"All weights tuned on at most {rows:,} training rows of {len(tasks)} tasks, {seeds} seeds; the frozen probes beside them had "
        "all rows. "
        f"mean − [CLS]: tuned {amount(tuned['mean', 'cls'])} ({words(tuned['mean', 'cls'].verdict)}), frozen "
        f"{amount(frozen['mean', 'cls'])}; "
        f"pooler − [CLS]: tuned {amount(tuned['pooler', 'cls'])} ({words(tuned['pooler', 'cls'].verdict)}), frozen "
        f"{amount(frozen['pooler', 'cls'])}."
    )
    command = "python -m experiments.studies.finetune rows=1500 rate=0.0001,0.0003,0.001 tune=sick_e dataset=... output=FOLDER"
    return Claim("If you fine-tune", text, numbers, command, ["figures/finetune", "tables/finetune"])


def cost(evidence: Evidence) -> Claim:
    lines = []
    for model in evidence.having("cost"):
        found = evidence.json(f"cost/{model}.json")
        for name, each in found["tasks"].items():
            seconds = each["seconds"]
            passes = {int(layer): value["median"] for layer, value in seconds["forward"]["joint"].items()}
            whole = passes[max(passes)]
            pools = [value["median"] for value in seconds["pool"]["joint"].values()]
            lines.append(
                f"**{model}** on {name}: the forward pass takes {1000 * whole / each['rows']:.1f} s per 1,000 rows on one core, the "
                "dearest pooling "
                f"{100 * max(pools) / whole:.1f} % of that; a row is kept in {each['bytes']['joint']['cls']['float32']:,} bytes whatever "
                "the pooling."
            )
    return Claim(
        "Cost: the pooling is free, the pass is not",
        " ".join(lines),
        [],
        "python -m experiments.benchmarks.cost dataset=sst2,mrpc data_root=FOLDER output=FILE",
        ["figures/cost"],
    )


def along(evidence: Evidence) -> Claim:
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
            moves.append(f"{pooling} {points(at[steps[0]])} to {points(at[steps[-1]])}")
        lines.append(f"{task}: {', '.join(moves)}.")
    return Claim(
        "Along the pre-training",
        f"Scores after {steps[0]:,} and after {steps[-1]:,} steps of the embedded model's pre-training. "
        + " ".join(lines),
        [],
        "python -m experiments.pretraining.snapshots snapshots=FOLDER data_root=FOLDER",
        ["figures/along"],
    )


def draws(evidence: Evidence) -> Claim:
    lines, numbers = [], []
    for model in evidence.having("draws"):
        for a, b in PAIRS[:2]:
            numbers.append(
                of(evidence.over([f"draws/{model}"], by_name, a, b), f"{model}, ten draws of train: {a} − {b}")
            )
        spread = [
            np.std(record.result.score["draws"], ddof=1)
            for record in evidence[f"draws/{model}"]
            if record.result.score["value"] is not None
        ]
        scores = [
            record.result.score for record in evidence[f"draws/{model}"] if record.result.score["low"] is not None
        ]
        widths = [score["high"] - score["low"] for score in scores]
        lines.append(
            f"**{model}**: resampling the training rows moves a score by {points(float(np.median(spread)))} points (the median standard "
            f"deviation over tasks and poolings); the 95 % interval for new rows and a new draw is {points(float(np.median(widths)))} wide."
        )
    return Claim(
        "The luck of the training rows", " ".join(lines), numbers, SWEEP.format("draws"),
        ["figures/draws", *(f"tables/draws-{model}" for model in evidence.having("draws"))],
    )  # fmt: skip


def controls(evidence: Evidence) -> Claim:
    lines, numbers = [], []
    for model in evidence.having("controls"):
        control = [record.result for record in evidence[f"controls/{model}"] if _chance(record.result)]
        hits = [result for result in control if _at_chance(result)]
        lines.append(
            f"**{model}**: of {len(control)} controls that must score at chance (shuffled labels, layer 0 of [CLS]) {len(hits)} "
            "have the best constant's score in their 95 % interval, or stay below it."
        )
    for model in evidence.models:
        beaten = []
        for task in PRIMARY:
            here = [
                row
                for row in collect.rows(evidence[f"poolings/{model}"])
                if row["dataset"] == task and row["value"] is not None
            ]
            if here and (here[0]["bag_of_word_pieces"] or 0) > max(row["value"] for row in here):
                beaten.append(task)
        lines.append(
            f"**{model}**: a bag of word pieces under the same probe scores above every pooling on {listed(beaten, 'no task')}."
        )
    random, better = "bert-books-random", 0
    for pooling in ("cls", "pooler", "mean", "max"):
        found = evidence.over(["poolings/bert-books", f"poolings/{random}"], by_model, f"{pooling}, bert-books", f"{pooling}, {random}",
                              dataset=PRIMARY)  # fmt: skip
        numbers.append(of(found, f"{pooling}: pre-trained − random weights"))
        better += found.verdict == "better"
    lines.append(
        f"Over the primary tasks pre-training is better than one draw of random weights for {better} of {len(numbers)} poolings."
    )
    return Claim(
        "Controls",
        " ".join(lines),
        numbers,
        f"{SWEEP.format('controls')}; python -m experiments.studies.random_weights output=FOLDER/bert-books-random, then {SWEEP.format('poolings')} "
        "model=checkpoint model.path=FOLDER/bert-books-random",
        ["tables/controls", "tables/poolings-bert-books-random"],
    )


def _chance(result: Result) -> bool:
    return bool(result.config["probe"].get("shuffled_labels")) or (result.layer == 0 and result.pooling == "cls")


def _at_chance(result: Result) -> bool:
    constant = result.baseline["constant"]["value"] or 0.0
    value, low = result.score["value"], result.score["low"]
    return (
        value is None or value <= constant or (low is not None and low <= constant)
    )  # what is undefined says nothing either


def calibration(evidence: Evidence) -> Claim:
    rows = [row for row in evidence.csv("simulation.csv") if not row["note"].startswith("a form that was not chosen")]
    wide = [row for row in rows if int(row["rows"]) >= FEW_ROWS]
    outside = [row for row in wide if row["within"] != "yes"]
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
        f"In simulation with {FEW_ROWS} rows or more, {len(wide) - len(outside)} of {len(wide)} settings keep their limits (error rate at "
        "most 6 %, coverage 93 to 97 %, false equivalence at most 6 %); those that do not are below. With fewer rows, whose contrasts are "
        f"flagged, {len(few) or 'none'} of {len(rows) - len(wide)} settings leaves them.",
        numbers,
        "python -m experiments.benchmarks.calibration",
        ["figures/calibration", "tables/simulation"],
    )
