"""Lists all tables of the paper."""

from __future__ import annotations

from experiments.paper.claims.practice import RANDOM
from experiments.paper.evidence import Evidence
from experiments.paper.tables.arms import arms, nsp_pooler
from experiments.paper.tables.comparisons import ladder, precision, strata, verdicts
from experiments.paper.tables.reference import diagnostics, runs, simulation
from experiments.paper.tables.scores import (
    conditional,
    controls,
    few_shot,
    finetune,
    layers,
    pairs,
    protocol,
    scores,
    similarity,
)
from experiments.paper.tables.table import Table
from experiments.paper.tables.training_rows import draws, mdl


def all_tables(evidence: Evidence) -> list[Table]:
    """Return all tables that have a line, in the paper's order."""
    models = evidence.models
    found = [
        *(scores(evidence, model) for model in models),
        *([scores(evidence, RANDOM)] if f"poolings/{RANDOM}" in evidence else []),
        *(scores(evidence, model, "demo") for model in evidence.models_of("demo")),
        strata(evidence),
        *(verdicts(evidence, model) for model in models),
        ladder(evidence),
        precision(evidence),
        diagnostics(evidence),
        nsp_pooler(evidence),
        *arms(evidence),
        conditional(evidence),
        *(pairs(evidence, model) for model in evidence.models_of("pairs")),
        *(similarity(evidence, model) for model in evidence.models_of("similarity")),
        *(layers(evidence, model) for model in evidence.models_of("layers")),
        few_shot(evidence),
        mdl(evidence),
        *(draws(evidence, model) for model in evidence.models_of("draws")),
        protocol(evidence),
        controls(evidence),
        *finetune(evidence),
        simulation(evidence),
        runs(evidence),
    ]
    return [table for table in found if table.cells]
