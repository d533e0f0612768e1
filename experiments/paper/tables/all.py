"""The paper's tables, as Markdown, LaTeX and CSV, from the committed records alone.

Scores stand in points (a fraction times 100; correlations and Matthews' likewise); the CSV holds fractions, eight significant digits.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.collect import Record, rows
from experiments.evidence import PAIRS, STRENGTHS, Evidence
from experiments.figures import style
from experiments.figures.style import LABELS, METRICS, label
from src.evaluation.contrasts import Contrast
from src.evaluation.hierarchical import Overall

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Table:
    """A table: what is shown, in cells of text, and the numbers behind it, a tidy row each."""

    name: str
    caption: str
    head: tuple[str, ...]
    shown: Sequence[tuple[str, ...]]
    tidy: Rows

    def markdown(self) -> str:
        """Pipes and dashes; numbers to the right."""
        rule = "| " + " | ".join("---" if place == 0 else "---:" for place in range(len(self.head))) + " |"
        lines = [_piped(self.head), rule, *map(_piped, self.shown)]
        return "\n".join(lines) + "\n"

    def latex(self) -> str:
        """A booktabs tabular with its caption, to be \\input."""
        columns = "l" + "r" * (len(self.head) - 1)
        body = [" & ".join(map(_escaped, line)) + r" \\" for line in self.shown]
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escaped(self.caption)}}}",
            rf"\label{{tab:{self.name}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(map(_escaped, self.head)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        """The numbers, a row each; what is undefined is empty."""
        out = io.StringIO()
        names = list(dict.fromkeys(name for row in self.tidy for name in row))
        writer = csv.DictWriter(out, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: rounded(value) for name, value in row.items()} for row in self.tidy)
        return out.getvalue()


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "<": "$<$",
    ">": "$>$",
}


def _escaped(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def rounded(value: Any) -> Any:
    """Eight significant digits, so that the last bits of another machine's arithmetic do not show."""
    return float(f"{round(value, 10):.8g}") + 0.0 if isinstance(value, float) else value


def points(value: float | None, *, signed: bool = False) -> str:
    """A fraction in points.

    >>> points(0.0312, signed=True), points(-0.0004, signed=True), points(None)
    ('+3.1', '0.0', 'undefined')
    """
    if value is None:
        return "undefined"
    text = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    if text in ("+0.0", "-0.0"):
        return "0.0"
    return text.replace("-", "−")


def span(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """An interval in points."""
    return "" if low is None or high is None else f"[{points(low, signed=signed)}, {points(high, signed=signed)}]"


def p_value(value: float | None) -> str:
    """A p-value to three digits.

    >>> p_value(0.00004), p_value(0.0312), p_value(None)
    ('< 0.001', '0.031', '')
    """
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def scored(row: dict[str, Any]) -> str:
    """A score with its interval."""
    return f"{points(row['value'])} {span(row['low'], row['high'])}".rstrip()


def task_name(row: dict[str, Any]) -> str:
    """A task with its metric."""
    return f"{row['dataset']} ({METRICS.get(row['metric'], row['metric'])})"


def _model(row: dict[str, Any]) -> str:
    return style.model_label(row["model"], row["pooler"])


def by_pooling(
    name: str,
    caption: str,
    records: Sequence[Record],
    poolings: Sequence[str],
    group: Callable[[dict[str, Any]], tuple[str, ...]] = lambda row: (task_name(row),),
    head: tuple[str, ...] = ("task",),
    *,
    trivial: bool = True,
) -> Table:
    """Scores with a column per pooling, a line for each value of `group`, in the order of the records."""
    tidy = rows(records)
    lines: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for row in tidy:
        lines.setdefault(group(row), {})[row["pooling"]] = row
    status = next((row["pooler"] for row in tidy), "")
    shown = []
    for line, cells in lines.items():
        found = [scored(cells[pooling]) if pooling in cells else "" for pooling in poolings]
        one = next(iter(cells.values()))
        shown.append(
            (*line, *found, *((points(one["bag_of_word_pieces"]), points(one["constant"])) if trivial else ()))
        )
    titles = tuple(label(pooling, status) for pooling in poolings)
    return Table(name, caption, (*head, *titles, *(("bag of word pieces", "constant") if trivial else ())), shown, tidy)


def contrast_row(contrast: Contrast) -> tuple[str, ...]:
    """Difference, its interval, both p-values, the verdict and what the rows could have shown."""
    difference = contrast.difference
    kappa = "" if contrast.agreement is None else f"{contrast.agreement:.2f}"
    return (
        points(difference.value, signed=True),
        span(difference.low, difference.high, signed=True),
        p_value(contrast.p_holm),
        p_value(contrast.p_equivalence_holm),
        contrast.verdict,
        points(contrast.smallest_margin),
        points(contrast.smallest_difference),
        kappa,
        contrast.flag or "",
    )


OVERALL = ("difference", "95 %", "90 %", "p", "p equivalence", "verdict", "shown to differ on at least")
CONTRAST = (
    "difference",
    "95 %",
    "p (Holm)",
    "p equivalence (Holm)",
    "verdict",
    "smallest margin",
    "smallest difference",
    "kappa",
    "care",
)


def tidy_contrast(contrast: Contrast) -> dict[str, Any]:
    """All of a contrast's numbers."""
    difference = contrast.difference
    return {
        "task": contrast.task,
        "metric": contrast.metric,
        "a": contrast.a,
        "b": contrast.b,
        "rows": contrast.rows,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "low90": difference.low90,
        "high90": difference.high90,
        "p": difference.p,
        "p_holm": contrast.p_holm,
        "p_equivalence": contrast.p_equivalence,
        "p_equivalence_holm": contrast.p_equivalence_holm,
        "verdict": contrast.verdict,
        "smallest_margin": contrast.smallest_margin,
        "smallest_difference": contrast.smallest_difference,
        "agreement": contrast.agreement,
        "flag": contrast.flag,
    }


def overall_row(overall: Overall) -> tuple[str, ...]:
    """A claim over tasks: difference, intervals, p-values, verdict, and on how many tasks the difference is shown at 5 %."""
    return (
        points(overall.value, signed=True),
        span(overall.low, overall.high, signed=True),
        span(overall.low90, overall.high90, signed=True),
        p_value(overall.p),
        p_value(overall.p_equivalence),
        overall.verdict,
        f"{overall.at_least} of {len(overall.tasks)}",
    )


def tidy_overall(overall: Overall, **named: Any) -> dict[str, Any]:
    """All numbers of a claim over tasks."""
    return {
        **named,
        "a": overall.a,
        "b": overall.b,
        "tasks": len(overall.tasks),
        "difference": overall.value,
        "low": overall.low,
        "high": overall.high,
        "low90": overall.low90,
        "high90": overall.high90,
        "p": overall.p,
        "p_equivalence": overall.p_equivalence,
        "verdict": overall.verdict,
        "shown_on_at_least": overall.at_least,
        "without_one_low": min(overall.without),
        "without_one_high": max(overall.without),
    }


def verdicts(evidence: Evidence, model: str) -> Table:
    """Every primary pair on every primary task."""
    found = evidence.contrasts(model)
    shown = [(f"{each.a} − {each.b}", each.task, *contrast_row(each)) for each in found]
    caption = (
        f"{model}: paired differences on the same rows, in points. Holm separately over the differences and the equivalences of this "
        "table; equivalence by two one-sided tests at 1 point. Smallest margin: at which these rows show equivalence. Smallest difference: "
        "that they show with a power of 80 %; both before Holm's correction."
    )
    return Table(
        f"verdicts-{model}", caption, ("pair", "task", *CONTRAST), shown, [tidy_contrast(each) for each in found]
    )


def overall(evidence: Evidence) -> Table:
    """The primary claim: each pair over all primary tasks, for each model."""
    found = [(model, evidence.overall(model, *pair)) for model in evidence.models for pair in PAIRS]
    shown = [
        (
            model,
            f"{each.a} − {each.b}",
            *overall_row(each),
        )
        for model, each in found
    ]
    head = ("model", "pair", *OVERALL)
    caption = (
        "The primary claim, over tasks: mean difference in points by a hierarchical bootstrap over tasks and rows; margin 1 point, fixed "
        "beforehand; Holm over the pairs of a model. SST-2 shares sentences with MR, and SICK-R has SICK-E's pairs: the tasks are not "
        "quite "
        "independent."
    )
    return Table("overall", caption, head, shown, [tidy_overall(each, model=model) for model, each in found])


STEPS = ("pooler_preactivation", "pooler", "pooler_inverse", "random_pooler")


def ladder(evidence: Evidence) -> Table:
    """Each step from [CLS] to the pooler, over the experiment's tasks, under each regularisation."""
    found = [
        (model, strength, each)
        for model in evidence.having("ladder")
        for strength in STRENGTHS
        for each in evidence.ladder(model, strength, STEPS)
    ]
    shown = [
        (model, strength, label(each.a, evidence.pooler(model)), *overall_row(each)) for model, strength, each in found
    ]
    caption = (
        "The ladder: each step's score less that of [CLS], over the tasks of experiment=ladder, in points. No penalty, a weak one (0.0001 "
        "per row) and the one tuned on held-out training rows."
    )
    tidy = [tidy_overall(each, model=model, regularisation=strength) for model, strength, each in found]
    return Table("ladder", caption, ("model", "regularisation", "step", *OVERALL), shown, tidy)


def precision(evidence: Evidence) -> Table:
    """Each step in half precision against itself in float32."""
    found = [(model, each) for model in evidence.having("precision") for each in evidence.precision(model)]
    shown = [(model, f"{each.a} − {each.b}", *overall_row(each)) for model, each in found]
    caption = "Half precision (encoder and pooling) against float32, over the tasks of experiment=precision, in points."
    return Table(
        "precision",
        caption,
        ("model", "pair", *OVERALL),
        shown,
        [tidy_overall(each, model=model) for model, each in found],
    )


def layers(evidence: Evidence, model: str) -> Table:
    """Score by layer."""
    records = evidence[f"layers/{model}"]
    caption = f"{model}: score by layer (0: the embeddings, where [CLS] is a constant), in points with 95 % intervals."
    return by_pooling(
        f"layers-{model}", caption, sorted(records, key=lambda each: (each.result.dataset, each.result.layer)), ("cls", "mean", "max"),
        lambda row: (task_name(row), str(row["layer"])), ("task", "layer"),
    )  # fmt: skip


def pairs(evidence: Evidence, model: str) -> Table:
    """Joint against separate encoding."""
    caption = f"{model}: pairs encoded jointly and apart, in points with 95 % intervals."
    return by_pooling(
        f"pairs-{model}", caption, evidence[f"pairs/{model}"], ("cls", "pooler", "mean", "max"),
        lambda row: (task_name(row), row["pairing"]), ("task", "pairing"),
    )  # fmt: skip


def scores(evidence: Evidence, model: str, experiment: str = "poolings") -> Table:
    """Every pooling on every task."""
    records = evidence[f"{experiment}/{model}"]
    poolings = [name for name in LABELS if any(record.result.pooling == name for record in records)]
    kind = "the suite's own tasks" if experiment == "demo" else "real tasks"
    caption = f"{model} on {kind}: score in points with its 95 % interval, pairs encoded jointly, last layer."
    return by_pooling(f"{experiment}-{model}", caption, records, poolings)


def draws(evidence: Evidence, model: str) -> Table:
    """The luck of the training rows: standard deviation over resamples of train, and differences over draws and rows."""
    records = evidence[f"draws/{model}"]
    tidy = rows(records)
    for row, record in zip(tidy, records, strict=True):
        values = record.result.score.get("draws") or []
        row["deviation"] = float(np.std(values, ddof=1)) if len(values) > 1 and None not in values else None
    lines: dict[str, dict[str, dict[str, Any]]] = {}
    for row in tidy:
        lines.setdefault(task_name(row), {})[row["pooling"]] = row
    poolings = ("cls", "pooler", "mean", "max")
    shown = [
        (name, *(f"{points(cells[each]['value'])} ± {points(cells[each]['deviation'])}" for each in poolings))
        for name, cells in lines.items()
    ]
    caption = f"{model}: mean over ten resamples of the training rows and their standard deviation, in points."
    titles = tuple(label(pooling, evidence.pooler(model)) for pooling in poolings)
    return Table(f"draws-{model}", caption, ("task", *titles), shown, tidy)


def nsp_pooler(evidence: Evidence) -> Table:
    """A frozen encoder with a random pooler and with one that next-sentence prediction trained."""
    kinds = [(model, kind) for model in evidence.having("nsp_pooler") for kind in ("random", "nsp")]
    steps = ("cls", "pooler_preactivation", "pooler")
    shown, tidy = [], []
    for model, kind in kinds:
        records = evidence[f"nsp_pooler/{model}-{kind}"]
        part = by_pooling("", "", records, steps, lambda row: (task_name(row),), trivial=False)
        shown += [(model, kind, *line) for line in part.shown]
        tidy += [{"encoder": model, "weights": kind, **row} for row in part.tidy]
    caption = (
        "One frozen encoder with two poolers: a random start, and the same after next-sentence prediction has trained it and nothing else; "
        "points with 95 % intervals."
    )
    return Table(
        "nsp_pooler", caption, ("encoder", "pooler", "task", *(label(step, "") for step in steps)), shown, tidy
    )


def protocol(evidence: Evidence) -> Table:
    """The same features under this suite's, SentEval's and MTEB's rules."""
    records = [record for model in evidence.having("protocol") for record in evidence[f"protocol/{model}"]]
    caption = "The same features under this suite's rules, SentEval's and MTEB's few-shot ones; in points with 95 % intervals."
    return by_pooling(
        "protocol", caption, records, ("cls", "pooler", "mean", "max"),
        lambda row: (_model(row), task_name(row), row["probe"]), ("model", "task", "protocol"), trivial=False,
    )  # fmt: skip


def controls(evidence: Evidence) -> Table:
    """What must score at chance, beside the same without the control."""
    records = [record for model in evidence.having("controls") for record in evidence[f"controls/{model}"]]
    shuffled = {record.result.key: bool(record.result.config["probe"].get("shuffled_labels")) for record in records}
    caption = (
        "Controls: labels shuffled before anything is fitted, and [CLS] of layer 0, one constant, must score at chance. Mean pooling of "
        "layer 0 is a bag of word embeddings; points with 95 % intervals."
    )
    return by_pooling(
        "controls", caption, records, ("cls", "mean"),
        lambda row: (_model(row), task_name(row), str(row["layer"]), "shuffled" if shuffled[row["key"]] else "as they are"),
        ("model", "task", "layer", "labels"),
    )  # fmt: skip


def mdl(evidence: Evidence) -> Table:
    """Bits and compression of the online code."""
    tidy = []
    for model in evidence.having("mdl"):
        for record in evidence[f"mdl/{model}"]:
            code, result = record.result.chosen["online_code"], record.result
            named = {"model": model, "dataset": result.dataset, "pooling": result.pooling}
            tidy.append({**named, **{name: code[name] for name in ("bits", "uniform_bits", "compression")}})
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for row in tidy:
        lines.setdefault((row["model"], row["dataset"]), {})[row["pooling"]] = (
            f"{row['bits']:,.0f} ({row['compression']:.3f})"
        )
    poolings = ("cls", "pooler", "mean")
    shown = [(*line, *(cells.get(pooling, "") for pooling in poolings)) for line, cells in lines.items()]
    caption = "Bits that the training labels cost by the online code, and compression (the uniform code over them; more is better)."
    return Table("mdl", caption, ("model", "task", *poolings), shown, tidy)


def finetune(evidence: Evidence) -> Table:
    """A head on each pooling with all weights tuned, beside the frozen probe."""
    tuned = by_pooling("", "", evidence["finetune/bert-books"], ("cls", "pooler", "mean"), trivial=False)
    tasks = {row["dataset"] for row in tuned.tidy}
    frozen = [
        record
        for name in ("poolings/bert-books", "demo/bert-books")
        for record in evidence[name]
        if record.result.dataset in tasks
    ]
    beside = by_pooling("", "", frozen, ("cls", "pooler", "mean"), trivial=False)
    still = {line[0]: line[1:] for line in beside.shown}
    shown = [(*line, *still.get(line[0], ("", "", ""))) for line in tuned.shown]
    head = (
        "task",
        *(f"{name}, tuned" for name in ("[CLS]", "pooler", "mean")),
        *(f"{name}, frozen" for name in ("[CLS]", "pooler", "mean")),
    )
    caption = "The embedded model with all weights tuned, on at most 1,500 training rows, and frozen, on all; points with 95 % intervals."
    return Table("finetune", caption, head, shown, tuned.tidy + beside.tidy)


def conditional(evidence: Evidence) -> Table:
    """[CLS] with another vector beside it."""
    records = [record for model in evidence.having("conditional") for record in evidence[f"conditional/{model}"]]
    beside = ("cls", "cls+pooler", "cls+pooler_preactivation", "cls+random_pooler", "cls+mean")
    caption = (
        "Conditional probing: [CLS] alone and with another vector of its width beside it; points with 95 % intervals."
    )
    return by_pooling(
        "conditional",
        caption,
        records,
        beside,
        lambda row: (_model(row), task_name(row)),
        ("model", "task"),
        trivial=False,
    )


def simulation(evidence: Evidence) -> Table:
    """Error rates of the tests and coverage of the intervals."""
    tidy = evidence.csv("simulation.csv")
    names = list(tidy[0])
    caption = "Simulated error rates of every test and coverage of every interval, with the limits that are asked from 250 rows on."
    return Table("simulation", caption, tuple(names), [tuple(str(row[name]) for name in names) for row in tidy], tidy)


def diagnostics(evidence: Evidence) -> Table:
    """The geometry of each representation."""
    tidy = []
    for model in evidence.having("diagnostics"):
        found = evidence.json(f"diagnostics/{model}.json")
        for task, each in found["tasks"].items():
            for name, figures in each["representations"].items():
                saturation = figures.get("saturation") or {}
                tidy.append(
                    {
                        "model": model,
                        "task": task,
                        "pooling": name,
                        **{
                            key: figures[key]
                            for key in (
                                "width",
                                "effective_rank",
                                "participation_ratio",
                                "condition_number",
                                "anisotropy",
                            )
                        },
                        **{f"saturated_{key}": value for key, value in saturation.items()},
                        "cka_with_cls": 1.0
                        if name == "cls"
                        else each["cka"].get(f"cls {name}", each["cka"].get(f"{name} cls")),
                    }
                )
    shown = [
        (
            str(row["model"]),
            str(row["task"]),
            label(row["pooling"], evidence.pooler(row["model"])),
            f"{row['effective_rank']:.1f} of {row['width']}",
            f"{row['condition_number']:.3g}",
            f"{row['anisotropy']:.3f}",
            f"{row['cka_with_cls']:.3f}",
            "" if row.get("saturated_nearly") is None else f"{100 * row['saturated_nearly']:.2f} %",
        )
        for row in tidy
    ]
    head = (
        "model",
        "task",
        "representation",
        "effective rank",
        "condition number",
        "anisotropy",
        "CKA with [CLS]",
        "saturated",
    )
    caption = "Geometry of each representation on a task's training rows: exact for these texts, so without intervals."
    return Table("diagnostics", caption, head, shown, tidy)


def runs(evidence: Evidence) -> Table:
    """What was run: every bundle, with the seconds that its runs took as they ran, one after the other."""
    tidy = []
    for name, records in sorted(evidence.items()):
        provenance = [record.result.provenance for record in records]
        tidy.append(
            {
                "bundle": name,
                "runs": len(records),
                "tasks": len({record.result.dataset for record in records}),
                "minutes": sum(float(record.result.timing.get("total") or 0) for record in records) / 60,
                "cpu": next((str(each.get("cpu")) for each in provenance), ""),
                "cores": next((each.get("cores") for each in provenance), None),
                "commits": " ".join(sorted({str(each.get("commit"))[:7] for each in provenance})),
            }
        )
    shown = [
        (
            str(row["bundle"]),
            str(row["runs"]),
            str(row["tasks"]),
            f"{row['minutes']:.1f}",
            f"{row['cores']} x {row['cpu']}",
            str(row["commits"]),
        )
        for row in tidy
    ]
    caption = (
        "Every bundle of records. Minutes are those of its runs on two cores that other work shared: an upper estimate."
    )
    return Table("runs", caption, ("bundle", "runs", "tasks", "minutes", "hardware", "commit"), shown, tidy)


def every(evidence: Evidence) -> list[Table]:
    """All tables, in the paper's order."""
    models = evidence.models
    return [
        *(scores(evidence, model) for model in models),
        scores(evidence, "bert-books-random"),
        *(scores(evidence, model, "demo") for model in evidence.having("demo")),
        overall(evidence),
        *(verdicts(evidence, model) for model in models),
        ladder(evidence),
        precision(evidence),
        diagnostics(evidence),
        nsp_pooler(evidence),
        conditional(evidence),
        *(pairs(evidence, model) for model in evidence.having("pairs")),
        *(layers(evidence, model) for model in evidence.having("layers")),
        mdl(evidence),
        *(draws(evidence, model) for model in evidence.having("draws")),
        protocol(evidence),
        controls(evidence),
        finetune(evidence),
        simulation(evidence),
        runs(evidence),
    ]
