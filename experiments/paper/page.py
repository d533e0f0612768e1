"""Composes the page of the paper: the answer, its tables and figure, the limits, and the appendices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.formatting import join_names
from experiments.paper.claims.answer import all_claims, answer, lead, scope
from experiments.paper.claims.practice import tasks_below_bag
from experiments.paper.claims.sentences import Claim
from experiments.paper.evidence import Evidence
from experiments.paper.grids import LEGEND, Grid, pooler_note, similarity_grid, task_grid
from experiments.paper.published import MTEB_NOTE, SBERT

TITLE = "What [CLS], pooled_output and mean pooling are worth"
FIRST = "differences"  # the page's figure
METHOD = (
    "**Read-out.** One linear probe per pooling, frozen features, its penalty chosen on held-out training rows. "
    "**D²** is the share of the constant's log-loss that a probe removes (scores: of its squared error), in points; "
    "it can be averaged over tasks, their metrics cannot. **A task counts** if the best of [CLS], pooler and mean "
    "removes at least 5 % of the constant's loss on the rows that chose the penalty. Tasks that share texts are one "
    "**unit**; with five units or more a claim is about tasks in general (Student's quantiles over units), with fewer "
    "about these tasks (the error of their rows). Intervals are 95 %. Equivalence: two one-sided tests at 1 point. "
    "**Holm** is over the three pairs of [CLS], pooler and mean; ² marks p-values of all other pairs, a second family. "
    "In appendices, *size* is tasks / units, *p* of no difference, *eq* of a difference beyond 1 point. All of it was "
    "[fixed beforehand](../docs/protocol.md)."
)
BERT_BASE = "python -m src.run -m +experiment=poolings model=bert-base-uncased data_root=FOLDER"


@dataclass(frozen=True)
class Encoder:
    """The tables of one encoder."""

    title: str
    tasks: Grid
    similarity: Grid | None
    note: str


@dataclass(frozen=True)
class Appendix:
    """A claim with the figures that are shown at it."""

    claim: Claim
    figures: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """The content of the page; texts hold Markdown's bold, code and links."""

    title: str
    scope: str
    lead: str
    answer: tuple[str, ...]
    encoders: tuple[Encoder, ...]
    notes: tuple[str, ...]
    limits: tuple[str, ...]
    method: str
    appendices: tuple[Appendix, ...]
    figures: Mapping[str, str]  # name to caption
    tables: Mapping[str, str]


def compose_page(evidence: Evidence, figures: Mapping[str, str], tables: Mapping[str, str]) -> Page:
    """Return the page.

    Parameters
    ----------
    evidence : Evidence
    figures, tables : mapping of str to str
        Names and captions.
    """
    encoders = tuple(
        Encoder(
            f"{model} (pooler {evidence.pooler_status(model)})",
            task_grid(evidence, model),
            similarity_grid(evidence, model) if f"similarity/{model}" in evidence else None,
            pooler_note(evidence, model),
        )
        for model in evidence.models
    )
    return Page(
        title=TITLE,
        scope=scope(evidence),
        lead=lead(evidence),
        answer=tuple(answer(evidence)),
        encoders=encoders,
        notes=(LEGEND, f"{SBERT} {MTEB_NOTE}"),
        limits=tuple(limits(evidence)),
        method=METHOD,
        appendices=tuple(_appendices(evidence, figures)),
        figures={name: " ".join(caption.split()) for name, caption in figures.items()},
        tables=tables,
    )


def _appendices(evidence: Evidence, figures: Mapping[str, str]) -> list[Appendix]:
    """Return the claims, each figure at the first that names it."""
    shown = {FIRST}
    found = []
    for claim in all_claims(evidence):
        named = [name.removeprefix("figures/") for name in claim.see if name.startswith("figures/")]
        mine = tuple(name for name in named if name in figures and name not in shown)
        shown.update(mine)
        found.append(Appendix(claim, mine))
    return found


def limits(evidence: Evidence) -> list[str]:
    """Return what the page does not show."""
    shapes = []
    for model in evidence.models:
        result = evidence[f"poolings/{model}"][0].result
        shapes.append(f"{model} has {result.layer} layers of width {result.counts['width']}")
    untrained = [model for model in evidence.models if evidence.pooler_status(model) == "untrained"]
    found = [
        f"**Small encoders**: {join_names(shapes)}. BERT-base is untested here; `{BERT_BASE}` tests it.",
        "**Frozen** features, **English** texts. Fine-tuning can move any of this; a small control is in the appendix.",
    ]
    if untrained:
        found.append(
            f"The pooler of {join_names(untrained)} was never trained: nothing about trained poolers follows from it."
        )
    for model in evidence.models:
        above = tasks_below_bag(evidence, model)
        total = len({record.result.dataset for record in evidence[f"poolings/{model}"]})
        if above:
            found.append(
                f"A **bag of word pieces** under the same probe scores above [CLS], pooler and mean of {model} on "
                f"{len(above)} of {total} tasks."
            )
    return found
