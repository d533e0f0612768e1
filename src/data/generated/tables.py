"""Return generated tasks as tables of texts and labels."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pyarrow as pa

from src.config.schema import Generated
from src.data.generated.writing import generate


def read_generated(generated: Generated) -> tuple[dict[str, pa.Table | None], dict[str, Any]]:
    """Return the table of each split, and the provenance."""
    name, seed = generated.grammar, generated.seed
    tables = dict(_tables(name, seed, tuple(generated.rows.items())))
    return tables, {"from": "generated", "path": name, "revision": None, "files": {}, "seed": seed}


@lru_cache(maxsize=4)  # the jobs of a sweep in one process share a task
def _tables(grammar: str, seed: int, rows: tuple[tuple[str, int], ...]) -> dict[str, pa.Table]:
    tables = {}
    for name, written in generate(grammar, seed, dict(rows)).items():
        columns = [*zip(*(texts for texts, _ in written), strict=True), [label for _, label in written]]
        roles = ("text", "text_pair", "label") if len(columns) == 3 else ("text", "label")
        tables[name] = pa.table(
            {role: pa.array(column, pa.large_string()) for role, column in zip(roles, columns, strict=True)}
        )
    return tables
