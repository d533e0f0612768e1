"""Draw the score of every pooling on every task, for an encoder with an untrained pooler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments.paper.figures import drawing, layout, scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLACE = 3
NEEDS = ("poolings/all-MiniLM-L6-v2",)
CAPTION = scores.CAPTION.replace("bert-books", "all-MiniLM-L6-v2") + (
    " The pooler of this checkpoint was never trained: open markers."
)


@drawing.requires(NEEDS)
def draw(data: drawing.Bundles, files: Path) -> Figure:
    """Draw a panel per task, a row per pooling."""
    return scores.panels(layout.by_title(data[NEEDS[0]]))
