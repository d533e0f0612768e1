"""A record as W&B's flat summary, and as one row of its history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from src.results.result import Result, phase_seconds

CHOSEN = ("parameter", "value", "converged", "separable", "similarity", "features", "dropped_directions")


def wandb_summary(result: Result) -> dict[str, Any]:
    """Return a record as a flat dictionary; `src.trackers.wandb` explains the names."""
    values: dict[str, Any] = {
        "key": result.key,
        "cache": result.timing.get("cache"),
        "pooler/status": result.pooler.get("status"),
    }
    values |= {"score_metric": result.score["metric"], **_with_interval("score", result.score)}
    for name, value in result.metrics.items():
        values |= _with_interval(f"metric/{name}", value)
    for name, value in result.baseline.items():
        values |= _with_interval(f"baseline/{name}", value)
    values |= {f"seconds/{name}": seconds for name, seconds in phase_seconds(result.timing).items()}
    values |= {f"counts/{name}": value for name, value in result.counts.items()}
    values |= {f"chosen/{name}": result.chosen.get(name) for name in CHOSEN}
    return {name: value for name, value in values.items() if value is not None}


def wandb_history(result: Result) -> dict[str, Any]:
    """Return a record as one row of a history, because W&B draws charts of histories alone.

    The layer is in it so that a chart of several runs can have the layers as its horizontal axis.
    """
    values = {"layer": result.layer, **_with_interval("score", result.score)}
    for name, value in result.metrics.items():
        values[f"metric/{name}"] = value.get("value")
    return {name: value for name, value in values.items() if value is not None}


def _with_interval(name: str, value: Any) -> dict[str, Any]:
    """Return a score and its interval under three names."""
    if not isinstance(value, Mapping):
        return {name: value}
    return {name: value.get("value"), f"{name}_low": value.get("low"), f"{name}_high": value.get("high")}
