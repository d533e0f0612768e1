"""Parquet: columns as text, refused types, and bounds before decoding."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.data.reading.parquet import read_parquet
from src.errors import UserError
from tests.helpers.files import any_reader, write_file


@pytest.mark.parametrize(
    ("column", "spelled"),
    [
        (pa.array([1, 0, None]), ["1", "0", None]),
        (pa.array([1.0, 0.0, None]), ["1", "0", None]),
        (pa.array([3.8, 5.0], pa.float32()), ["3.8", "5"]),
        (pa.array([1.5, 2.0], pa.float16()), ["1.5", "2"]),
        (pa.array([1e300, 2.0]), ["1e+300", "2"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
    ],
)
def test_numbers_and_texts_of_parquet_become_text(tmp_path: Path, column: pa.Array, spelled: list[str | None]) -> None:
    pq.write_table(pa.table({"x": column, "other": column}), tmp_path / "a.parquet")
    table = read_parquet(tmp_path / "a.parquet", "a.parquet", ["x"])
    assert table["x"].type == pa.large_string()
    assert table.to_pydict() == {"x": spelled}


def test_damaged_parquet_and_missing_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a valid Parquet file"):
        read_parquet(write_file(tmp_path / "a.parquet", b"PAR1 not really"), "a.parquet", ["x"])
    pq.write_table(pa.table({"x": [[1]]}), tmp_path / "b.parquet")
    with pytest.raises(UserError, match=r"'b.parquet': column 'x' is of type list"):
        read_parquet(tmp_path / "b.parquet", "b.parquet", ["x"])
    with pytest.raises(UserError, match=r"no column 'y'. There are: x"):
        read_parquet(tmp_path / "b.parquet", "b.parquet", ["y"])


@pytest.mark.parametrize(
    ("column", "spelled"),
    [
        (pa.array([Decimal("1.00"), Decimal("2.50"), None]), ["1", "2.5", None]),
        (pa.array([Decimal("1.0"), Decimal("1.0")]).dictionary_encode(), ["1", "1"]),
        (pa.array([2**64 - 1, 2**63], pa.uint64()), ["18446744073709551615", "9223372036854775808"]),
        (pa.array([0.1, 3.0, None], pa.float16()), ["0.1", "3", None]),
        (pa.array([0.1, 0.7], pa.float32()), ["0.1", "0.7"]),
        (pa.array([b"a", "\u00e9".encode(), None]), ["a", "\u00e9", None]),
        (pa.array([b"a"], pa.large_binary()), ["a"]),
        (pa.array([b"a", b"a"]).dictionary_encode(), ["a", "a"]),
        (pa.array([None, "a"]).dictionary_encode(), [None, "a"]),
        (pa.array([], pa.string()), []),
        (
            pa.array([f"row {row}" if row % 3 else None for row in range(1000)]),
            [f"row {row}" if row % 3 else None for row in range(1000)],
        ),
    ],
)
def test_decimals_bytes_and_dictionaries_become_text(
    tmp_path: Path, column: pa.Array, spelled: list[str | None]
) -> None:
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet", row_group_size=300)
    table = any_reader(tmp_path / "a.parquet")
    table.validate(full=True)
    assert table["text"].to_pylist() == spelled


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([b"\xff"]), "'text' holds bytes that are not UTF-8"),
        (pa.array([b"ab"], pa.binary(2)), "'text' is of type fixed_size_binary"),
        (pa.array([0], pa.date32()), "'text' is of type date32"),
        (pa.array([0], pa.time64("us")), "'text' is of type time64"),
        (pa.array([0], pa.timestamp("us")), "'text' is of type timestamp"),
        (pa.array([0], pa.duration("us")), "'text' is of type duration"),
        (pa.array([{"a": 1}]), "'text' is of type struct"),
        (pa.nulls(1), "'text' is of type null"),
    ],
)
def test_columns_of_other_types_are_refused(tmp_path: Path, column: pa.Array, message: str) -> None:
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=f"'a.parquet': column {message}"):
        any_reader(tmp_path / "a.parquet")


@pytest.mark.parametrize("dictionary", [True, False])
def test_parquet_that_decodes_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dictionary: bool
) -> None:
    monkeypatch.setattr("src.data.reading.tables.MAX_TABLE_BYTES", 1 << 20)
    texts = pa.array(["x" * 1000]).dictionary_encode().take(pa.array([0] * 5000))
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", store_schema=dictionary)
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    with pytest.raises(UserError, match=r"'a\.parquet' holds more than"):
        any_reader(tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": texts[:900]}), tmp_path / "b.parquet", store_schema=dictionary)
    assert any_reader(tmp_path / "b.parquet").num_rows == 900


def test_too_many_rows_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"text": [""] * 1000}), tmp_path / "a.parquet")
    monkeypatch.setattr("src.data.reading.tables.MAX_TABLE_BYTES", 7999)
    monkeypatch.setattr("src.data.reading.parquet._decode", None)
    with pytest.raises(UserError, match=r"'a\.parquet' holds more than"):
        any_reader(tmp_path / "a.parquet")
