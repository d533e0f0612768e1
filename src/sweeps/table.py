"""A comparison as a value that shows itself: as text, in a notebook, and as rows."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from src.results.result import Result
from src.sweeps.cells import COLUMNS, run_rows
from src.sweeps.comparison import Comparison
from src.sweeps.export import to_rows
from src.sweeps.remarks import (
    bag_lines,
    caption,
    group_baselines,
    group_title,
    layer_lines,
    legend_text,
    warnings,
)
from src.sweeps.rendering import render

if TYPE_CHECKING:
    import pandas as pd

UNNEEDED = {"folder"}  # columns that say nothing of runs without a folder


@dataclass(frozen=True, repr=False)
class ComparisonTable:
    """Runs that differ in their pooling, in groups by all else, each tested against the best of its group.

    Attributes
    ----------
    comparison : Comparison
        Groups of runs with their records and paired tests, as at the end of a sweep.
    """

    comparison: Comparison

    @property
    def results(self) -> list[Result]:
        """The record of each run."""
        return [run.result for group in self.comparison.groups for run in group.runs]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A dictionary per run, with the columns of ``comparison.csv``; scores are fractions."""
        names, *rows = to_rows(self.comparison)
        found = [dict(zip(names, row, strict=True)) for row in rows]
        return [{name: value for name, value in row.items() if name not in UNNEEDED} for row in found]

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def __repr__(self) -> str:
        text = render(self.comparison)
        return text[: text.rstrip().rindex("\n")] if "\n" in text.rstrip() else text  # the last line counts jobs

    def _repr_html_(self) -> str:
        """Return the tables as HTML, for notebooks."""
        parts = [f"<p>{html.escape(caption(self.comparison))}</p>"]
        for group in self.comparison.groups:
            title = "; ".join([group_title(group), *group_baselines(group)])
            rows = [f"<tr>{_cells('th', COLUMNS)}</tr>", *(f"<tr>{_cells('td', row)}</tr>" for row in run_rows(group))]
            parts.append(f"<table><caption>{html.escape(title)}</caption>{''.join(rows)}</table>")
        comparison = self.comparison
        notes = [*bag_lines(comparison), *legend_text(comparison).splitlines(), *layer_lines(comparison)]
        notes += warnings(comparison)
        return f"{''.join(parts)}<p>{'<br>'.join(map(html.escape, notes))}</p>"


def _cells(tag: str, texts: list[str]) -> str:
    return "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)
