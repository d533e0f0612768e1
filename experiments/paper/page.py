"""Composes the page of the paper: the answer, each claim with its numbers, figures and tables."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.formatting import markdown_table
from experiments.paper.claims.answer import all_claims, answer, scope
from experiments.paper.claims.sentences import Claim
from experiments.paper.evidence import Evidence


def compose_page(evidence: Evidence, figures: Mapping[str, str], tables: Mapping[str, str]) -> str:
    """Return report.md.

    Parameters
    ----------
    evidence : Evidence
    figures, tables : mapping of str to str
        Names and captions.
    """
    lines = ["# What [CLS], pooled_output and mean pooling are worth", "", scope(evidence), "", "## The answer", ""]
    lines += numbered(answer(evidence))
    lines += ["", "## Claims", ""]
    for number, claim in enumerate(all_claims(evidence), 1):
        lines += _claim(claim, number)
    lines += ["## Figures", ""]
    for name, caption in figures.items():
        lines += [f"![{name}](figures/{name}.png)", "", f"*{name}.* {' '.join(caption.split())}", ""]
    lines += ["## Tables", "", *(f"- [{name}](tables/{name}.md): {caption}" for name, caption in tables.items()), ""]
    return "\n".join(lines)


def numbered(sentences: list[str]) -> list[str]:
    """Return sentences as a numbered list."""
    return [f"{number}. {sentence}" for number, sentence in enumerate(sentences, 1)]


def _claim(claim: Claim, number: int) -> list[str]:
    lines = [f"### {number}. {claim.title}", "", claim.text, ""]
    if claim.numbers:
        rows = [(each.what, each.value, each.interval, each.test) for each in claim.numbers]
        columns = ("what", "points", "95 % interval", "test")
        lines += [*markdown_table(columns, rows, [False, True, True, False]), ""]
    return [*lines, f"`{claim.command}`", "", f"See {', '.join(map(_link, claim.see))}.", ""]


def _link(name: str) -> str:
    folder, _, plain = name.partition("/")
    return f"[{plain}]({name}.{'png' if folder == 'figures' else 'md'})"
