"""Groups sections that differ in their layer alone, and chooses one layer and pooling of each group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from experiments.losses import WITH_DEVIANCE
from experiments.report.sections import Run, Section, higher_is_better, label_title
from experiments.strata import selection_loss, stratum_of
from experiments.units import unit_members
from src.results.display import format_score
from src.results.result import Result

Choice = tuple[Section, Run]
FEWEST_TASKS = 2  # of a choice over tasks


@dataclass(frozen=True, eq=False)
class LayerGroup:
    """Sections that differ in their layer alone, and the layer and pooling to use.

    Attributes
    ----------
    label : dict
        Settings in which the group differs from others, without the layer.
    sections : tuple of Section
        The lowest layer first.
    chosen : (Section, Run)
        The layer and pooling to use.
    highest : (Section, Run)
        Those of the best test score.
    by_loss : bool
        Whether the choice was made by the loss on the rows that chose the penalty; else by the test score.
    scores : int
        Number of layers and poolings that were chosen among.
    """

    label: dict[str, str]
    sections: tuple[Section, ...]
    chosen: Choice
    highest: Choice
    by_loss: bool
    scores: int

    @property
    def title(self) -> str:
        """The dataset, then the rest of the label."""
        return label_title(self.label)

    @property
    def sentence(self) -> str:
        """The choice, its test score, and how it was made."""
        how = "by these test scores, so its own is an upper estimate"
        if self.by_loss:
            how = "by the loss on the rows that chose the penalty, not by test scores"
        return f"Use {_describe(self.chosen)}; chosen among {self.scores} layers and poolings {how}."

    @property
    def more(self) -> tuple[str, ...]:
        """The best test score, if it is another one."""
        if self.highest[1] is self.chosen[1]:
            return ()
        return (
            f"The best test score is that of {_describe(self.highest)}; as the best of {self.scores} on these rows "
            "it is an upper estimate.",
        )


def group_layers(sections: Sequence[Section]) -> list[Section | LayerGroup]:
    """Return the sections with those that differ in their layer alone as one group, in their order."""
    groups: dict[tuple[tuple[str, str], ...], list[Section]] = {}
    for section in sections:
        groups.setdefault(key_without_layer(section), []).append(section)
    found: list[Section | LayerGroup] = []
    for key, members in groups.items():
        group = _build_group(dict(key), members) if len(members) > 1 else None
        found += members if group is None else [group]
    return found


def key_without_layer(section: Section) -> tuple[tuple[str, str], ...]:
    """Return the label of a section without its layer."""
    return tuple((name, value) for name, value in section.label.items() if name != "layer")


def layer_of(section: Section) -> int:
    """Return the layer of a section's features."""
    return section.runs[0].result.layer


def _build_group(label: dict[str, str], members: Iterable[Section]) -> LayerGroup | None:
    """Return the group of some sections; None if no run has a score."""
    sections = tuple(sorted(members, key=layer_of))
    choices = [(section, run) for section in sections for run in section.scored if not run.is_random]
    if not choices:
        return None
    sign = 1 if higher_is_better(sections[0].metric) else -1
    highest = max(choices, key=lambda choice: sign * (choice[1].value or 0.0))
    losses = [_loss(run) for _, run in choices]
    known = [loss for loss in losses if loss is not None]
    by_loss = len(known) == len(choices)
    chosen = choices[known.index(min(known))] if by_loss else highest
    return LayerGroup(label, sections, chosen, highest, by_loss, len(choices))


def _loss(run: Run) -> float | None:
    return selection_loss(run.result) if run.result.probe in WITH_DEVIANCE else None


def _describe(choice: Choice) -> str:
    section, run = choice
    return f"{run.name} at layer {layer_of(section)}, {format_score(section.metric, run.result.score)}"


def describe_over_tasks(groups: Iterable[LayerGroup]) -> list[str]:
    """Return a sentence per stratum with the layer and pooling that are best over its tasks.

    The scale is the share of the constant's loss that a probe removes on the rows that chose its penalty,
    as the mean over units of tasks, so that test scores have no part. Groups without it, and strata of a
    single task, are left out.
    """
    strata: dict[tuple[str, ...], list[tuple[Result, dict[tuple[int, str], float]]]] = {}
    for group in groups:
        gains = _gains(group)
        others = [f"{name}={value}" for name, value in group.label.items() if name not in ("dataset", "metric")]
        if gains:
            result = group.chosen[1].result
            strata.setdefault((*others, str(stratum_of(result))), []).append((result, gains))
    found = []
    for key, tasks in strata.items():
        common = set.intersection(*(set(gains) for _, gains in tasks))
        if len(tasks) < FEWEST_TASKS or not common:
            continue
        _, members = unit_members([result for result, _ in tasks])
        weights = members.mean(axis=0)  # of each task in the mean over units
        means = {
            choice: float(sum(weight * gains[choice] for weight, (_, gains) in zip(weights, tasks, strict=True)))
            for choice in sorted(common)
        }
        layer, pooling = max(means, key=lambda choice: means[choice])
        found.append(
            f"{', '.join(key)}: over {len(tasks)} tasks {pooling} at layer {layer} is the best of {len(means)} layers "
            f"and poolings. On the rows that chose the penalty it removes {100 * means[layer, pooling]:z.1f} % of the "
            "constant's loss on average; test scores had no part in this choice."
        )
    return found


def _gains(group: LayerGroup) -> dict[tuple[int, str], float]:
    """Return the share of the constant's loss that each layer and pooling removes; nothing if one is unknown."""
    found = {}
    for section in group.sections:
        for run in section.scored:
            loss, constant = _loss(run), run.result.chosen.get("constant_loss")
            if loss is None or not constant:
                return {}
            if not run.is_random:
                found[layer_of(section), run.name] = 1 - loss / float(constant)
    return found
