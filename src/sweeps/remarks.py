"""The lines around a comparison's table: settings, baselines, what the words mean, warnings, failed jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from src.errors import UserError, flatten
from src.results.display import bag_scores_higher, baseline_texts, format_score
from src.results.statements import recorded_joint_reading
from src.sweeps.cells import OTHER_PAIR, UNTRAINED, WIDER, symbols
from src.sweeps.comparison import SIGNIFICANCE_LEVEL, Comparison, Group, best_layers
from src.sweeps.jobs import Job
from src.sweeps.status import STATUSES

MAX_TITLES = 6  # groups that a line names
MAX_ALIKE = 3  # jobs that failed for one reason and have a line each
MEANINGS = {
    "no relevant difference": "shown to be within 1 point (0.01) of the best",
    "small difference": "worse than the best, and shown to be within 1 point (0.01) of it",
    "inconclusive": "neither a difference from the best nor its absence is shown",
    "untested": "not tested against the best",
    "one vector": "all texts have one and the same vector: nothing can be read from it",
    OTHER_PAIR: "not a pair of cls, pooler and mean: corrected over all other pairs",
    UNTRAINED: "made with a pooler that was never trained",
    WIDER: "wider than another pooling of its group: the scores compare numbers of dimensions too",
}
TESTS = (
    f"A verdict compares a run with the best of its group by paired tests on the same rows, at "
    f"{100 * SIGNIFICANCE_LEVEL:g} %, Holm over the pairs of cls, pooler and mean."
)


def caption(comparison: Comparison) -> str:
    """Return a line with the settings that all runs share; empty if they share none."""
    shared = ", ".join(f"{name} {value}" for name, value in comparison.common.items())
    return f"All runs: {shared}" if shared else ""


def legend(comparison: Comparison) -> dict[str, str]:
    """Return the meaning of each verdict and symbol that occurs."""
    runs = [run for group in comparison.groups for run in group.runs]
    used = {run.mark for run in runs} | {symbol for run in runs for symbol in symbols(run)}
    return {word: meaning for word, meaning in MEANINGS.items() if word in used}


def legend_text(comparison: Comparison) -> str:
    """Return how runs are tested, what the verdicts mean, and why runs are not tested, a line each."""
    runs = [run for group in comparison.groups for run in group.runs]
    lines = [TESTS] * any(run.p is not None for run in runs)
    lines += [f"{word}: {meaning}" for word, meaning in legend(comparison).items()]
    reasons = Counter(run.reason for run in runs if run.reason)
    lines += [f"not tested, {number} of the runs: {reason}" for reason, number in reasons.items()]
    return "\n".join(lines)


def baseline_lines(comparison: Comparison) -> list[str]:
    """Return a line with the trivial scores of each task, and its settings where a task has several such lines."""
    found: dict[str, dict[str, Group]] = {}
    for group in comparison.groups:
        if texts := group_baselines(group):
            # Baselines depend on no layer, so that all layers of a task have the same line.
            found.setdefault(group.runs[0].result.dataset, {}).setdefault(", ".join(texts), group)
    lines = []
    for dataset, groups in found.items():
        labels = [{name: value for name, value in group.label.items() if name != "layer"} for group in groups.values()]
        named = [label_text(label) if len(groups) > 1 else dataset for label in labels]
        lines += [f"baseline, {name}: {text}" for name, text in zip(named, groups, strict=True)]
    return lines


def bag_lines(comparison: Comparison) -> list[str]:
    """Return a line that names the groups where the bag of word pieces is better than every pooling, if there are."""
    titles = [
        group_title(group) for group in comparison.groups if bag_scores_higher([run.result for run in group.runs])
    ]
    if not titles:
        return []
    more = f" and {len(titles) - MAX_TITLES} more" * (len(titles) > MAX_TITLES)
    return [f"The bag of word pieces scores better than every pooling here: {', '.join(titles[:MAX_TITLES])}{more}"]


def group_baselines(group: Group) -> list[str]:
    """Return each trivial baseline of a group with its score."""
    return baseline_texts(group.runs[0].result)


def layer_lines(comparison: Comparison) -> list[str]:
    """Return a line for each best layer, with the number of scores that it was chosen among."""
    lines = []
    for found in best_layers(comparison):
        metric, result = str(found.run.result.score["metric"]), found.run.result
        lines.append(
            f"{label_text(found.label)}: the best layer is {result.layer} with {result.pooling_label}, "
            f"{format_score(metric, result.score, bounds=False)}, chosen among {found.scores} scores on these test "
            "rows, so an upper estimate. Layers are not tested against each other."
        )
    return lines


def warnings(comparison: Comparison) -> list[str]:
    """Return a line for each model that read pairs in another way than it was made for, with the tasks."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for result in (run.result for group in comparison.groups for run in group.runs):
        if caution := recorded_joint_reading(result):
            found.setdefault((result.model, caution), {})[result.dataset] = None
    return [f"warning: {model} on {', '.join(datasets)}: {caution}" for (model, caution), datasets in found.items()]


def tally(comparison: Comparison) -> list[str]:
    """Return a line with the number of jobs by status, then a line for each failed job.

    It has the overrides that not all jobs share, the reason, and the folder. Of many jobs that failed
    for one reason the first has a line, with their number.
    """
    lines = [", ".join(f"{comparison.count(status)} {status}" for status in STATUSES)]
    jobs = comparison.jobs
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    reasons: dict[str, list[Job]] = {}
    for job in comparison.failed:
        reasons.setdefault(flatten(UserError(job.error)), []).append(job)
    for reason, failed in reasons.items():
        number = f"{len(failed)} jobs, the first " if len(failed) > MAX_ALIKE else ""
        for job in failed[:1] if number else failed:
            what = " ".join(word for word in job.overrides if word not in shared) or job.folder.name
            lines.append(f"failed: {number}{what}: {reason} ({job.folder})")
    return lines


def group_title(group: Group) -> str:
    """Return the settings in which a group differs from the others."""
    return label_text(group.label)


def label_text(label: Mapping[str, str]) -> str:
    """Return settings as text, dataset and metric by their values alone."""
    names = ("dataset", "metric")
    return " ".join(
        [label[name] for name in names] + [f"{name}={value}" for name, value in label.items() if name not in names]
    )
