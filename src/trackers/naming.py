"""Name, tags and provenance of a run, as trackers show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TAGS = ("dataset", "pooling", "model", "probe")
PROVENANCE = ("commit", "dirty", "python", "packages", "device", "gpu")


def run_name(shown: Mapping[str, Any]) -> str:
    """Return the name of a run, as in ``sst2-bert-base-uncased-mean-L12-logistic-s0``."""
    return f"{shown['dataset']}-{shown['model']}-{shown['pooling']}-L{shown['layer']}-{shown['probe']}-s{shown['seed']}"


def run_tags(shown: Mapping[str, Any]) -> list[str]:
    """Return the tags of a run: dataset, pooling, model and read-out, each where it is known."""
    return [str(shown[name]) for name in TAGS if shown.get(name) is not None]


def shown_provenance(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return commit, device and versions out of a record's provenance, without what is unknown."""
    return {name: provenance[name] for name in PROVENANCE if provenance.get(name) is not None}
