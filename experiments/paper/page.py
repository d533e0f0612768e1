"""Composes the page of the paper: the answer, its tables and figure, the limits, and the appendices."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from experiments.formatting import format_points, join_names
from experiments.paper.arms import studies
from experiments.paper.claims.answer import (
    READING,
    all_claims,
    answer,
    apart,
    has_base,
    lead,
    other_encoders,
    purpose,
    scope,
    trained_model,
    trust,
)
from experiments.paper.claims.arms import failed_conditions, next_sentences, summarise_within
from experiments.paper.claims.practice import bag_count, describe_tuned
from experiments.paper.claims.sentences import Claim, format_claim
from experiments.paper.claims.settings import layer_means, layer_strata, whitened
from experiments.paper.continued import within_trainings
from experiments.paper.evidence import PAIRS, Evidence
from experiments.paper.grids import LEGEND, Grid, pooler_note, similarity_grid, task_grid
from experiments.paper.published import MTEB_NOTE, PUBLISHED_BASE, SBERT
from experiments.style import pair_label, pooling_label

TITLE = "What [CLS], pooled_output and mean pooling are worth"
FIRST = "differences"  # the page's figure
METHOD = (
    "**Read-out.** Each pooling gets one linear probe on frozen features; a held-out part of the training rows chooses "
    "its regularisation strength. **D²** = 1 − the probe's log-loss / that of the constant prediction, the class "
    "frequencies of the training rows, like scikit-learn's `d2_log_loss_score` (for scores: squared errors, and the "
    "training rows' mean). It can be averaged "
    "over tasks; accuracies, correlations and F1 cannot. **A task counts** if the best of [CLS], pooler and mean "
    "removes at least 5 % of the constant's loss on the training rows that chose that strength; from the others too "
    "little is decoded. The mean is that of all vectors of the text, [CLS] and [SEP] among them, without padding. "
    "Tasks that share texts are one **unit**: sst2, sst_fine, mr and subj; sick_e and sick_r; stsb and the STS years. "
    "Averages are over units. With five units or more a claim is about tasks in general "
    "(Student's quantiles over units). With fewer it is about these tasks alone (the error of their rows). Differences "
    "between trainings have the error of their seeds and units, with Student's quantiles for the fewer of the two. "
    "**Verdicts** at 5 %: a difference by a two-sided test, its irrelevance by two one-sided tests against 1 point, "
    "after Holm's correction over the three pairs of [CLS], pooler and mean. *Better* and *worse* are shown "
    "differences of any size; *small difference* and *no relevant difference* are shown to lie within 1 point. "
    "Intervals are 95 %, uncorrected, so one without 0 can be inconclusive. What was "
    "fixed before which runs is in the [protocol](../docs/protocol.md#what-was-fixed-when)."
)
COLUMNS = (
    "In the tables below, *size* is tasks / units; a small *p* shows a difference, a small *eq* that it is within 1 "
    "point; ₂ marks comparisons beyond the three pairs of [CLS], pooler and mean, corrected among themselves."
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
    reading: tuple[str, ...] = ()  # paragraphs below the answer


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
        appendices=tuple(_appendices(evidence, figures, tables)),
        figures={name: " ".join(caption.split()) for name, caption in figures.items()},
        tables=tables,
        reading=tuple(
            part
            for part in (trust(evidence), apart(evidence), purpose(evidence), next_sentences(evidence), READING)
            if part
        ),
    )


def _appendices(evidence: Evidence, figures: Collection[str], tables: Collection[str]) -> list[Appendix]:
    """Return the claims, each figure at the first that names it; what has no records is not named."""
    shown = {FIRST}
    found = []
    for claim in all_claims(evidence):
        named = [name.removeprefix("figures/") for name in claim.see if name.startswith("figures/")]
        mine = tuple(name for name in named if name in figures and name not in shown)
        shown.update(mine)
        there = {*(f"figures/{name}" for name in figures), *(f"tables/{name}" for name in tables)}
        see = [name for name in claim.see if name in there]
        found.append(Appendix(replace(claim, see=see), mine))
    return found


def limits(evidence: Evidence) -> list[str]:
    """Return what the page does not show."""
    shapes = []
    for model in evidence.models:
        result = evidence[f"poolings/{model}"][0].result
        shapes.append(f"{model} has {result.layer} layers of width {result.counts['width']}")
    others, tuned = other_encoders(evidence), describe_tuned(evidence, PAIRS[:2])
    measured = has_base(evidence)
    size = "Frozen encoders" if measured else "Small, frozen encoders"
    base = "" if measured else f" BERT-base is untested; `{BERT_BASE}` tests it. {PUBLISHED_BASE}"
    return [
        f"**{size}**, **English** texts: {join_names(shapes)}.{base}"
        f"{'' if tuned else ' Fine-tuning can move any of this, and is not measured.'}",
        *([f"**Fine-tuning** can move any of this. {tuned}"] if tuned else []),
        *([f"**Other training, other answer**: {beside}"] if (beside := trained_elsewhere(evidence)) else []),
        *([f"**One encoder**: the answer is about {trained_model(evidence)} alone. {others}"] if others else []),
        *([f"**Similarity depends on the scaling**: {scaled}"] if (scaled := scalings(evidence)) else []),
        "A **bag of word pieces** under the same probe scores above all three, without a test, on "
        f"{bag_counts(evidence)}.",
        *([f"**The last layer** does not always score best: {early}."] if (early := early_layers(evidence)) else []),
    ]


def scalings(evidence: Evidence) -> str:
    """Return the differences of similarity once the vectors are whitened; empty if that was not measured."""
    parts = []
    for model in evidence.models_of("similarity"):
        status = evidence.pooler_status(model)
        for _, each in whitened(evidence, model):
            parts.append(f"{model}, {pair_label(each.a, each.b, status)} {format_claim(each)} ({each.verdict})")
    return f"with vectors whitened by the evaluated texts, {'; '.join(parts)}." if parts else ""


def trained_elsewhere(evidence: Evidence) -> str:
    """Return what the pooler of a strong encoder is worth once it was trained; empty if there is no record of it."""
    study = next((each for each in studies(evidence) if each.name == "continued"), None)
    found = summarise_within(study, within_trainings(evidence, study)) if study else ""
    if study is None or not found:
        return ""
    failed = failed_conditions(evidence, study)
    return (
        "all-MiniLM-L6-v2 was trained further on books, by masked words, with and without next sentences, which "
        f"alone train its pooler. In points, with the marks of the tables (none: shown), seed 0: {found}."
        + (f" Read this with care, since a condition set beforehand failed: {failed}." if failed else "")
    )


def early_layers(evidence: Evidence) -> str:
    """Return which layer and pooling is best in each encoder and stratum where it is not the last layer."""
    parts, poolings = [], set()
    for model in evidence.models_of("layers"):
        for stratum in layer_strata(evidence, model):
            means = layer_means(stratum)
            if not means:
                continue
            last = max(layer for layer, _ in means)
            poolings |= {pooling_label(name, "") for _, name in means}
            (layer, pooling), best = max(means.items(), key=lambda item: item[1])
            at_last = {name: value for (of, name), value in means.items() if of == last}
            named = max(at_last, key=lambda name: at_last[name])
            if layer != last:
                parts.append(
                    f"{model}, {stratum.stratum} ({len(stratum.tasks)} tasks): {pooling_label(pooling, '')} of layer "
                    f"{layer}{' (word embeddings)' * (layer == 0)} {format_points(best)}, of the last ({last}) "
                    f"{pooling_label(named, '')} {format_points(at_last[named])}"
                )
    chosen = f"D² of the best layer and pooling (of {join_names(sorted(poolings))}), chosen on these rows, no test: "
    return chosen + "; ".join(parts) if parts else ""


def bag_counts(evidence: Evidence) -> str:
    """Return on how many tasks a bag of word pieces scores above [CLS], pooler and mean of each encoder."""
    first, *others = evidence.models
    counts = [f"{bag_count(evidence, first)} tasks that count with {first}"]
    return join_names([*counts, *(f"{bag_count(evidence, model)} with {model}" for model in others)])
