"""Draw what next-sentence prediction alone makes of a pooler, on one encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments.paper.arms import find_pooler_study
from experiments.paper.evidence import Evidence
from experiments.paper.figures import drawing
from experiments.paper.figures.seed_contrasts import draw_contrasts
from src.evaluation.contrasts import MARGIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLACE = 14
NEEDS = ("nsp_pooler/bert-books", "nsp_pooler/bert-books.json")
CAPTION = f"""Poolers on the frozen bert-books, whose [CLS] is the same in all: random, and the same after next-sentence
prediction on books has trained them and nothing else (nsp). Right of 0, the trained pooler is better than
the random one, or a pooler than [CLS]. Means over seeds and units of tasks with 95 % intervals of both; the band
is the margin of {100 * MARGIN:g} point. The random pooler is untrained."""


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a panel per stratum and a line per contrast."""
    study = find_pooler_study(Evidence.of(data, files), "bert-books")
    return draw_contrasts([each for each in study.all_contrasts if each.regression])
