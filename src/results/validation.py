"""Checks of a record's nested fields, so that tables, tests and figures can rely on their types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from src.runtime.clock import PHASES
from src.storage.files import Unreadable, require_fields

NULL = type(None)
INTERVAL: dict[str, Any] = {"low": float, "high": float, "reason": str, "converged": bool}
CHOSEN: dict[str, Any] = {
    "parameter": str, "value": float, "grid": list, "at_edge": str, "online_code": dict,
    "converged": bool, "separable": bool, "reusable": bool,
    "similarity": str, "features": str, "dropped_directions": int,
    "loss": float, "constant_loss": float, "constants": list, "threshold": float, "thresholds": list,
}  # fmt: skip
STATED: dict[str, Any] = {
    "pooling": list, "dense": list, "max_length": int, "lower_case": bool, "prompts": dict, "default_prompt": str,
    "include_prompt": bool, "similarity": str, "model_type": str,
}  # fmt: skip
MAX_NUMBER = 1e100  # largest measured number; its square is finite
MAX_ROWS = 1 << 53


def check_fields(values: Mapping[str, Any]) -> None:
    """Check the nested fields of a record.

    Raises
    ------
    Unreadable
        A field is of a wrong type or size.
    """
    _check("score", values["score"], {"metric": str, "value": (float, NULL)}, INTERVAL)
    for field in ("metrics", "baseline"):
        for name, value in values[field].items():
            scores = value if isinstance(value, dict) else {"value": value}
            _check(f"{field}.{name}", scores, {}, {"value": float} | INTERVAL)
    for name, least in (("draws", 1), ("seed", 0), ("layer", -MAX_ROWS)):
        if not least <= values[name] < MAX_ROWS:
            raise Unreadable(f"{name} is out of its range")
    _check_counts(values["counts"])
    _check_chosen(values["chosen"])
    pooler, timing, config = (values[name] for name in ("pooler", "timing", "config"))
    _check("pooler", pooler, {}, {"status": str, "evidence": dict})
    _check("pooler.evidence", pooler.get("evidence") or {}, {}, {"next_sentence_accuracy": float})
    seconds = {name: float for name in timing if name not in ("cache", "passes")}
    _check("timing", timing, {}, {"cache": str, "passes": list} | seconds)
    for each in timing.get("passes") or []:
        _check("timing.passes", each, {}, dict.fromkeys(PHASES, float))
    _check("config", config, {}, dict.fromkeys(("model", "dataset", "probe", "runtime"), dict))
    _check("config.probe", config.get("probe") or {}, {}, {"grid": dict})
    model = values["provenance"].get("model")
    if isinstance(model, dict) and model.get("stated") is not None:
        _check_stated(model["stated"])
    _check_sources(values["provenance"])


def _check_sources(provenance: Mapping[str, Any]) -> None:
    """Check where the rows came from: the digests of the texts, by split and column, and the names."""
    data, texts = provenance.get("data"), provenance.get("texts")
    _check("provenance.data", data if data is not None else {}, {}, {"unit": (str, NULL), "files": (dict, NULL)})
    if not all(isinstance(digest, str) for digest in ((data or {}).get("files") or {}).values()):
        raise Unreadable("provenance.data.files holds no digests")
    if texts is None:
        return
    columns = list(texts.values()) if isinstance(texts, dict) else [None]
    if not all(isinstance(each, list) and all(isinstance(digest, str) for digest in each) for each in columns):
        raise Unreadable("provenance.texts holds no digests of texts")


def _check_stated(stated: Any) -> None:
    where = "provenance.model.stated"
    _check(where, stated, {"modules": list}, STATED)
    names = [*stated["modules"], *(stated.get("pooling") or []), *(stated.get("prompts") or {}).values()]
    if not all(isinstance(name, str) for name in names):
        raise Unreadable(f"{where}: a name is not text")
    for dense in stated.get("dense") or []:
        _check(where, dense, {"in": int, "out": int, "activation": str}, {})


def _check_counts(counts: Mapping[str, Any]) -> None:
    for name, count in counts.items():
        if count is not None and not (type(count) is int and 0 <= count < MAX_ROWS):
            raise Unreadable(f"counts: '{name}' is not a count")
    if (counts.get("classes") or 0) > max(2, counts.get("train") or 0):
        raise Unreadable("counts: more classes than training rows")


def _check_chosen(chosen: Mapping[str, Any]) -> None:
    _check("chosen", chosen, {}, CHOSEN)
    for row in chosen.get("grid") or []:
        _check("chosen.grid", row, {}, {"value": float, "loss": float, "converged": bool})
    if chosen.get("online_code") is not None:
        bits = dict.fromkeys(("bits", "uniform_bits", "compression"), float)
        _check("chosen.online_code", chosen["online_code"], bits, {})


def _check(where: str, value: Any, required: Mapping[str, Any], optional: Mapping[str, Any]) -> None:
    """Check an object's fields as `require_fields` does, and that its numbers are not too large."""
    try:
        fields = require_fields(value, required, optional)
        for name in (*required, *optional):
            if type(fields.get(name)) in (int, float) and not abs(fields[name]) <= MAX_NUMBER:
                raise Unreadable(f"'{name}' is too large")
    except Unreadable as error:
        raise Unreadable(f"{where}: {error}") from None
