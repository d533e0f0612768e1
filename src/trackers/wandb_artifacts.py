"""Names of the artifacts that hold the files of a run."""

from __future__ import annotations

from src.results.result import PREDICTIONS, PROBE, RECORD

ARTIFACT_TYPE = "record"
ARTIFACT_FILES = (PREDICTIONS, PROBE, RECORD)  # the probe where something was fitted
KEY_DIGITS = 16


def artifact_name(key: str) -> str:
    """Return the name of the artifact with the files of the record with this key."""
    return f"record-{key[:KEY_DIGITS]}"
