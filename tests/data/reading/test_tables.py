"""Columns keep the order of their rows and have a bounded size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from src.data.reading.json_lines import read_json_lines
from src.data.reading.tables import BLOCK_ROWS
from src.errors import UserError
from tests.helpers.files import any_reader, write_file


def test_more_rows_than_a_block_keep_their_order_and_nulls(tmp_path: Path) -> None:
    labels = [None if row % 7 == 3 else f"caf\u00e9 {row}" for row in range(2 * BLOCK_ROWS + 5)]
    path = write_file(tmp_path / "a.jsonl", "\n".join(json.dumps({"label": label}) for label in labels))
    table = read_json_lines(path, "a", ["label"])
    table.validate(full=True)
    assert table["label"].to_pylist() == labels
    assert table["label"].null_count == sum(label is None for label in labels)


@pytest.mark.parametrize("extension", ["csv", "jsonl"])
def test_columns_of_text_files_have_the_same_size_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extension: str
) -> None:
    monkeypatch.setattr("src.data.reading.tables.MAX_TABLE_BYTES", 1 << 16)
    rows = ['{"text": "a"}' if extension == "jsonl" else "a"] * 10_000
    with pytest.raises(UserError, match="holds more than"):
        any_reader(write_file(tmp_path / f"a.{extension}", "\n".join(["text"] * (extension == "csv") + rows)))
