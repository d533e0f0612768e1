"""The committed records are checked against the manifest, and an error names what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.bundles import PREDICTIONS_FILE, RECORDS_FILE
from experiments.manifest import MANIFEST, read_committed
from src.errors import UserError


def test_the_bundles_of_the_manifest_are_read(records):
    assert [len(each) for each in read_committed(records).values()] == [4]


def _take_a_line(records: Path) -> None:
    path = records / "poolings" / "tiny" / RECORDS_FILE
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))


def _other_schema(records: Path) -> None:
    path = records / "poolings" / "tiny" / RECORDS_FILE
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["record"]["schema"] = 2
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")


def _other_manifest(field: str, value: object) -> Callable[[Path], None]:
    def harm(records: Path) -> None:
        manifest = json.loads((records / MANIFEST).read_text())
        manifest["bundles"]["poolings/tiny"][field] = value
        (records / MANIFEST).write_text(json.dumps(manifest))

    return harm


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_take_a_line, "poolings/tiny lacks dataset=one pooling=cls"),
        (_other_schema, "has schema 2, this version reads schema 1"),
        (
            lambda records: (records / "poolings" / "tiny" / RECORDS_FILE).unlink(),
            "the records of poolings/tiny are missing",
        ),
        (lambda records: (records / "poolings" / "tiny" / PREDICTIONS_FILE).unlink(), "cannot be read"),
        (lambda records: (records / "poolings" / "tiny" / PREDICTIONS_FILE).write_bytes(b"x" * 99), "cannot be read"),
        (lambda records: (records / "cost.json").unlink(), "cost.json is missing"),
        (lambda records: (records / "cost.json").write_text("[]"), "cost.json has changed"),
        (lambda records: (records / MANIFEST).unlink(), "manifest.json cannot be read"),
        (_other_manifest("runs", {"key": 3}), "manifest.json cannot be read"),
        (_other_manifest("digests", {}), f"manifest.json cannot be read.*{RECORDS_FILE}"),
    ],
)
def test_an_error_names_what_is_missing_or_changed(records, harm, said):
    harm(records)
    with pytest.raises(UserError, match=said):
        read_committed(records)


def test_a_changed_score_is_refused(records):
    path = records / "poolings" / "tiny" / RECORDS_FILE
    path.write_text(path.read_text().replace("0.8", "0.9", 1))
    with pytest.raises(UserError, match="changed since it was collected"):
        read_committed(records)
