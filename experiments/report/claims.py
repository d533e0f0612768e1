"""Tests each pair of poolings over all tasks of one setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from experiments.formatting import format_difference, format_margin
from experiments.report.sections import Section
from experiments.report.verdicts import MAIN_POOLINGS
from src.errors import UserError, flatten
from src.evaluation.contrasts import MARGIN
from src.evaluation.differences import Difference, verdict
from src.evaluation.hierarchical import Overall, over_tasks
from src.evaluation.multiplicity import holm
from src.results.display import is_fraction

FEWEST_TASKS = 3
MOST_POOLINGS = 4  # with more, only pairs of the main ones are tested: Holm costs power
LEVEL = 0.05


@dataclass(frozen=True)
class Claim:
    """One pair of poolings over the tasks of a setting; p-values after Holm over its pairs."""

    overall: Overall
    p: float
    p_equivalence: float

    @property
    def verdict(self) -> str:
        """The verdict of a against b, from the corrected p-values."""
        return verdict(self.difference, self.overall.margin, p=self.p, equivalence=self.p_equivalence <= LEVEL)

    @property
    def difference(self) -> Difference:
        """The mean over tasks of metric(a) - metric(b)."""
        found = self.overall
        return Difference(found.value, found.low, found.high, found.low90, found.high90, found.p, "over tasks")


@dataclass(frozen=True)
class Setting:
    """Tasks that share all but their data, and the claims over them."""

    label: dict[str, str]  # options in which it differs from the other settings
    tasks: tuple[str, ...]
    claims: tuple[Claim, ...]
    reason: str = ""  # why there is no claim


def build_settings(sections: Sequence[Section], *, margin: float = MARGIN) -> list[Setting]:
    """Return the settings of a sweep with the claims over their tasks.

    Parameters
    ----------
    sections : sequence of Section
        Those whose metric has a unit are left out, because their differences are no points.
    margin : float, default 0.01
        Margin of equivalence as a fraction.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Section]] = {}
    for section in sections:
        key = tuple((name, value) for name, value in section.label.items() if name not in ("dataset", "metric"))
        groups.setdefault(key, []).append(section)
    return [_build_setting(dict(label), members, margin) for label, members in groups.items()]


def _build_setting(label: dict[str, str], members: Sequence[Section], margin: float) -> Setting:
    members = [section for section in members if is_fraction(section.metric) and section.scored]
    names = tuple(section.label["dataset"] for section in members)
    if len(names) < FEWEST_TASKS:
        count = f"{'is' if len(names) == 1 else 'are'} {len(names)}"
        return Setting(label, names, (), f"it takes {FEWEST_TASKS} tasks scored in points, here {count}")
    pairs = _choose_pairs(members)
    if not pairs:
        return Setting(label, names, (), "no two poolings were run on all of its tasks")
    try:
        found = [over_tasks([section.task for section in members], a, b, margin=margin) for a, b in pairs]
    except UserError as error:
        return Setting(label, names, (), flatten(error))
    differences, equivalences = holm([each.p for each in found]), holm([each.p_equivalence for each in found])
    tested = zip(found, differences, equivalences, strict=True)
    return Setting(label, names, tuple(Claim(each, p, equivalence) for each, p, equivalence in tested))


def _choose_pairs(members: Sequence[Section]) -> list[tuple[str, str]]:
    """Return the pairs of the poolings that all sections have, the higher mean score first."""
    common = set.intersection(*({run.name for run in section.scored} for section in members))
    if len(common) > MOST_POOLINGS and len(common.intersection(MAIN_POOLINGS)) > 1:
        common.intersection_update(MAIN_POOLINGS)
    means = {
        name: float(np.mean([run.value for section in members for run in section.scored if run.name == name]))
        for name in common
    }
    return list(combinations(sorted(common, key=lambda name: (-means[name], name)), 2))


def describe_setting(setting: Setting) -> str:
    """Return the claim on [CLS] against the pooler in a sentence, else that on the first pair."""
    if not setting.claims:
        return f"No claim over tasks is made: {setting.reason.rstrip('.')}."
    main = [each for each in setting.claims if {each.overall.a, each.overall.b} == {"cls", "pooler"}]
    sentences = [f"Over {len(setting.tasks)} tasks, {_describe_claim(each)}" for each in main or setting.claims[:1]]
    return "; ".join(sentences) + "."


def _describe_claim(claim: Claim) -> str:
    found = claim.overall
    a, b = found.a, found.b
    difference = f"{format_difference('accuracy', claim.difference)} points"
    margin = format_margin("accuracy", found.margin)
    phrases = {
        "equivalent": f"{a} and {b} are equivalent within {margin} ({difference})",
        "equivalent with a small difference": f"{a} is better than {b} by less than {margin} ({difference})",
        "better": f"{a} is better than {b}: {difference}",
        "worse": f"{a} is worse than {b}: {difference}",
        "undecided": f"{a} and {b} are neither told apart nor shown equivalent within {margin} ({difference})",
    }
    shown = "on no task by itself is a difference shown"
    if found.at_least:
        shown = f"they are shown to differ on at least {found.at_least} of them"
    unequal = f"; {found.flag}" if found.flag else ""
    return f"{phrases[claim.verdict]}; {shown}{unequal}"
