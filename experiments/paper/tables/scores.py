"""Builds the tables of scores with a column per pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from experiments import style
from experiments.bundles import Record
from experiments.formatting import format_points, format_score_points
from experiments.paper.evidence import Evidence
from experiments.paper.labels import rows_per_class
from experiments.paper.tables.cells import model_cell, score_rows, task_cell
from experiments.paper.tables.table import Row, Table
from src.config.schema import DISTANCE_SCALINGS
from src.evaluation.multiplicity import MAIN_POOLINGS

POOLINGS = ("cls", "pooler", "mean", "max")
Group = Callable[[Row], tuple[str, ...]]


def by_task(row: Row) -> tuple[str, ...]:
    """Return the first cells of a line per task."""
    return (task_cell(row),)


def by_pooling(
    name: str,
    caption: str,
    records: Sequence[Record],
    poolings: Sequence[str],
    group: Group = by_task,
    head: tuple[str, ...] = ("task",),
    *,
    baselines: bool = True,
) -> Table:
    """Return a table of scores with a column per pooling and a line per group.

    Parameters
    ----------
    name, caption : str
    records : sequence of Record
        Their order is that of the lines.
    poolings : sequence of str
        The columns.
    group : callable
        Returns the first cells of a record's line.
    head : tuple of str
        Headings of these cells.
    baselines : bool, default True
        Add the columns of the trivial scores.
    """
    rows = score_rows(records)
    status = next((row["pooler"] for row in rows), "")
    trivial = tuple(style.BASELINES) if baselines else ()
    cells = []
    for line, members in group_lines(rows, group).items():
        scores = [format_score_points(members[pooling]) if pooling in members else "" for pooling in poolings]
        first = next(iter(members.values()))
        cells.append((*line, *scores, *(format_points(first[each]) for each in trivial)))
    titles = [style.pooling_label(pooling, status) for pooling in poolings]
    columns = (*head, *titles, *(each.replace("_", " ") for each in trivial))
    return Table(name, caption, columns, cells, rows)


def group_lines(rows: Sequence[Row], group: Group) -> dict[tuple[str, ...], dict[str, Row]]:
    """Return the rows of each line of a table by their pooling."""
    lines: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        lines.setdefault(group(row), {})[row["pooling"]] = row
    return lines


def records_of(evidence: Evidence, experiment: str) -> list[Record]:
    """Return the records of an experiment on all models."""
    return [record for model in evidence.models_of(experiment) for record in evidence[f"{experiment}/{model}"]]


def scores(evidence: Evidence, model: str, experiment: str = "poolings") -> Table:
    """Return the scores of every pooling on every task."""
    records = evidence[f"{experiment}/{model}"]
    poolings = [name for name in style.LABELS if any(record.result.pooling_label == name for record in records)]
    kind = "the suite's own tasks" if experiment == "demo" else "real tasks"
    caption = f"{model} on {kind}: score in points with its 95 % interval, pairs encoded jointly, last layer."
    return by_pooling(f"{experiment}-{model}", caption, records, poolings)


def layers(evidence: Evidence, model: str) -> Table:
    """Return the scores by layer."""
    records = sorted(evidence[f"layers/{model}"], key=lambda each: (each.result.dataset, each.result.layer))
    caption = f"{model}: score by layer (0: the embeddings, where [CLS] is a constant), in points with 95 % intervals."

    def group(row: Row) -> tuple[str, ...]:
        return task_cell(row), str(row["layer"])

    return by_pooling(f"layers-{model}", caption, records, ("cls", "mean", "max"), group, ("task", "layer"))


def pairs(evidence: Evidence, model: str) -> Table:
    """Return the scores of pairs encoded jointly and separately."""
    caption = f"{model}: pairs encoded jointly and apart, in points with 95 % intervals."

    def group(row: Row) -> tuple[str, ...]:
        return task_cell(row), row["pairing"]

    return by_pooling(f"pairs-{model}", caption, evidence[f"pairs/{model}"], POOLINGS, group, ("task", "pairing"))


def similarity(evidence: Evidence, model: str) -> Table:
    """Return the correlations of the cosine with the gold scores, by the scaling of the vectors."""
    records = sorted(
        evidence[f"similarity/{model}"],
        key=lambda each: (each.result.dataset, DISTANCE_SCALINGS.index(each.result.config["probe"]["features"])),
    )
    poolings = [name for name in style.LABELS if any(record.result.pooling_label == name for record in records)]
    caption = (
        f"{model}, read-out without a fit: Spearman's correlation of the cosine of two texts encoded apart with the "
        "gold scores, by the scaling of the vectors; points with 95 % intervals."
    )

    def group(row: Row) -> tuple[str, ...]:
        return task_cell(row), row["features"]

    return by_pooling(f"similarity-{model}", caption, records, poolings, group, ("task", "scaling"))


def protocol(evidence: Evidence) -> Table:
    """Return the scores of the same features under this suite's, SentEval's and MTEB's protocol."""
    records = records_of(evidence, "protocol")
    caption = (
        "The same features under this suite's rules, SentEval's and MTEB's few-shot ones; in points with 95 % "
        "intervals."
    )

    def group(row: Row) -> tuple[str, ...]:
        return model_cell(row), task_cell(row), row["probe"]

    return by_pooling("protocol", caption, records, POOLINGS, group, ("model", "task", "protocol"), baselines=False)


def few_shot(evidence: Evidence) -> Table:
    """Return the scores of few-shot probes, by the training rows of a class."""
    records = records_of(evidence, "few_shot")
    sizes = {record.result.key: rows_per_class(record.result) for record in records}
    records.sort(key=lambda each: (each.result.model, each.result.dataset, sizes[each.result.key]))
    caption = (
        "Few training rows: means over draws by MTEB's rules, in points with 95 % intervals over draws and test rows."
    )

    def group(row: Row) -> tuple[str, ...]:
        return model_cell(row), task_cell(row), str(sizes[row["key"]])

    head = ("model", "task", "rows of a class")
    return by_pooling("few_shot", caption, records, MAIN_POOLINGS, group, head, baselines=False)


def controls(evidence: Evidence) -> Table:
    """Return the scores of controls that must be at chance."""
    records = records_of(evidence, "controls")
    shuffled = {record.result.key: bool(record.result.config["probe"].get("shuffled_labels")) for record in records}
    caption = (
        "Controls: labels shuffled before anything is fitted, and [CLS] of layer 0, one constant, must score at "
        "chance. Mean pooling of layer 0 is a bag of word embeddings; points with 95 % intervals."
    )

    def group(row: Row) -> tuple[str, ...]:
        labels = "shuffled" if shuffled[row["key"]] else "as they are"
        return model_cell(row), task_cell(row), str(row["layer"]), labels

    return by_pooling("controls", caption, records, ("cls", "mean"), group, ("model", "task", "layer", "labels"))


def conditional(evidence: Evidence) -> Table:
    """Return the scores of [CLS] with another vector beside it."""
    poolings = ("cls", "cls+pooler", "cls+pooler_preactivation", "cls+random_pooler", "cls+mean")
    caption = (
        "Conditional probing: [CLS] alone and with another vector of its width beside it; points with 95 % intervals."
    )
    records = records_of(evidence, "conditional")

    def group(row: Row) -> tuple[str, ...]:
        return model_cell(row), task_cell(row)

    return by_pooling("conditional", caption, records, poolings, group, ("model", "task"), baselines=False)


def finetune(evidence: Evidence) -> list[Table]:
    """Return the scores of a head on each pooling, all weights tuned, and of the frozen probe; none without records."""
    if "finetune/bert-books" not in evidence:
        return []
    tuned = by_pooling("", "", evidence["finetune/bert-books"], MAIN_POOLINGS, baselines=False)
    tasks = {row["dataset"] for row in tuned.rows}
    records = [*evidence["poolings/bert-books"], *evidence["demo/bert-books"]]
    frozen = by_pooling(
        "", "", [record for record in records if record.result.dataset in tasks], MAIN_POOLINGS, baselines=False
    )
    by_name = {line[0]: line[1:] for line in frozen.cells}
    cells = [(*line, *by_name.get(line[0], ("", "", ""))) for line in tuned.cells]
    labels = [style.LABELS[name] for name in MAIN_POOLINGS]
    columns = ("task", *(f"{label}, tuned" for label in labels), *(f"{label}, frozen" for label in labels))
    caption = (
        "bert-books with all weights tuned, on at most 1,500 training rows, and frozen, on all; "
        "points with 95 % intervals."
    )
    return [Table("finetune", caption, columns, cells, [*tuned.rows, *frozen.rows])]
