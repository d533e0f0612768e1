"""Writes a table of the paper as Markdown, LaTeX and CSV.

Scores are shown in points (a fraction times 100); the CSV holds fractions with eight significant
digits.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.formatting import markdown_table

Row = dict[str, Any]
LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "<": "$<$",
    ">": "$>$",
}


@dataclass(frozen=True)
class Table:
    """A table and the numbers behind it.

    Parameters
    ----------
    name : str
        Name of its files.
    caption : str
    columns : sequence of str
    cells : sequence of tuples of str
        The rows as they are shown.
    rows : sequence of mappings
        The rows of the CSV, with unrounded numbers.
    """

    name: str
    caption: str
    columns: Sequence[str]
    cells: Sequence[tuple[str, ...]]
    rows: Sequence[Mapping[str, Any]]

    def markdown(self) -> str:
        """Return the table in Markdown, all columns but the first aligned to the right."""
        columns, *cells = [[cell.replace("|", "\\|") for cell in row] for row in (self.columns, *self.cells)]
        numeric = [place > 0 for place in range(len(self.columns))]
        return "\n".join(markdown_table(columns, cells, numeric)) + "\n"

    def latex(self) -> str:
        """Return a booktabs table with its caption, for \\input."""
        columns = "l" + "r" * (len(self.columns) - 1)
        head, *body = [" & ".join(map(_escape_latex, row)) + r" \\" for row in (self.columns, *self.cells)]
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escape_latex(self.caption)}}}",
            rf"\label{{tab:{self.name}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        """Return the numbers as CSV; undefined ones are empty."""
        out = io.StringIO()
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        writer = csv.DictWriter(out, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _round(value) for name, value in row.items()} for row in self.rows)
        return out.getvalue()


def _escape_latex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def _round(value: Any) -> Any:
    """Return a number with eight significant digits, so that all processors give the same."""
    return float(f"{round(value, 10):.8g}") + 0.0 if isinstance(value, float) else value
