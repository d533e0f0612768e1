"""Vega-Lite charts of the dashboard: scores and differences with their intervals, which W&B's own bars lack.

A field of a chart is a column of a table that `experiments.sweep_charts.tables` logs.
"""

from __future__ import annotations

from typing import Any

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
INTERVALS, LAYERS = "pooling-intervals", "pooling-layers"  # names of the charts in an entity
DISPLAY_NAMES = {INTERVALS: "Values with intervals", LAYERS: "Scores by layer with intervals"}


def charts() -> dict[str, dict[str, Any]]:
    """Return the specification of each chart, by name."""
    return {INTERVALS: _intervals(), LAYERS: _layers()}


def _intervals() -> dict[str, Any]:
    """Return a chart with a panel per group, a row per label, and a point with its interval."""
    row = {"field": "${field:label}", "type": "nominal", "title": None, "sort": None}
    bounds = {"x": _number("low"), "x2": {"field": "${field:high}"}}
    tooltip = [{"field": f"${{field:{name}}}"} for name in ("panel", "label", "low", "value", "high")]
    return _faceted(
        [
            {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": bounds},
            {"mark": {"type": "point", "filled": True, "size": 60}, "encoding": {"x": _number("value")}},
        ],
        {"y": row, "color": {**row, "legend": None}, "tooltip": tooltip},
        resolve="x",
    )


def _layers() -> dict[str, Any]:
    """Return a chart with a panel per group, and a line per label with its intervals as bars."""
    layer = {"field": "${field:layer}", "type": "quantitative", "title": "layer", "axis": {"tickMinStep": 1}}
    bounds = {"y": _number("low"), "y2": {"field": "${field:high}"}}
    return _faceted(
        [
            {"mark": {"type": "line", "point": True}, "encoding": {"y": _number("value")}},
            {"mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.6}, "encoding": bounds},
        ],
        {"x": layer, "color": {"field": "${field:label}", "type": "nominal", "title": None}},
        resolve="y",
    )


def _number(name: str) -> dict[str, Any]:
    """Return a channel of numbers whose axis need not begin at 0."""
    return {
        "field": f"${{field:{name}}}", "type": "quantitative", "title": "${string:title}", "scale": {"zero": False},
    }  # fmt: skip


def _faceted(layer: list[dict[str, Any]], encoding: dict[str, Any], *, resolve: str) -> dict[str, Any]:
    """Return layers of marks with a panel per group, each with its own scale on the axis `resolve`."""
    return {
        "$schema": SCHEMA,
        "data": {"name": "wandb"},
        "facet": {"field": "${field:panel}", "type": "nominal", "title": None, "sort": None},
        "columns": 3,
        "spec": {"width": 220, "encoding": encoding, "layer": layer},
        "resolve": {"scale": {resolve: "independent"}},
    }
