"""Draw what next-sentence prediction does to [CLS], the pooler and the mean: pre-training arms, paired by seed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments.paper.arms import find_study
from experiments.paper.evidence import Evidence
from experiments.paper.figures import drawing
from experiments.paper.figures.seed_contrasts import draw_contrasts
from src.evaluation.contrasts import MARGIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLACE = 13.5
NEEDS = ("arms/nsp", "arms/nsp/arms.json")
CAPTION = f"""Encoders of bert-books' shape, pre-trained alike but for next-sentence prediction: with masked words
alone (mlm), with negatives from another document, with negatives from the same document. Right of 0 the first arm
is better than the second. Means over seeds and units of tasks with 95 % intervals of both; the band is the margin
of {100 * MARGIN:g} point. The pooler of mlm is untrained."""


def has_content(data: drawing.Bundles, files: Path) -> bool:
    """Return whether there is a contrast to draw."""
    return bool(find_study(Evidence.of(data, files), "nsp").all_contrasts)


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a panel per stratum and a line per contrast."""
    study = find_study(Evidence.of(data, files), "nsp")
    return draw_contrasts([each for each in study.all_contrasts if each.regression])
