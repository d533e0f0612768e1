"""Names of columns: spaces around them, and advice where one is missing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.data.reading.delimited import read_delimited
from src.data.reading.json_lines import read_json_lines
from src.data.reading.parquet import read_parquet
from src.errors import UserError
from tests.helpers.files import read_tsv, write_file


@pytest.mark.parametrize("extension", ["csv", "tsv", "jsonl", "parquet"])
def test_spaces_around_a_column_name_do_not_count_unless_two_names_differ_in_them(
    tmp_path: Path, extension: str
) -> None:
    def read(*names: str) -> dict[str, list[str]]:
        path = tmp_path / f"a.{extension}"
        cells = [str(number) for number in range(len(names))]
        if extension == "parquet":
            pq.write_table(pa.table(dict(zip(names, ([cell] for cell in cells), strict=True))), path)
            return read_parquet(path, path.name, ["text"]).to_pydict()
        if extension == "jsonl":
            write_file(path, json.dumps(dict(zip(names, cells, strict=True))))
            return read_json_lines(path, path.name, ["text"]).to_pydict()
        mark = "," if extension == "csv" else "\t"
        write_file(path, mark.join(names) + "\n" + mark.join(cells) + "\n")
        return read_delimited(path, path.name, ["text"], delimiter=mark, quoting=extension == "csv").to_pydict()

    assert read("label", "text ") == {"text": ["1"]}
    assert read("text ", "text") == {"text": ["1"]}, "the exact name comes first"
    with pytest.raises(UserError, match=r"2 columns called 'text' but for spaces: ' text', 'text '"):
        read(" text", "text ")
    with pytest.raises(UserError, match=r"no column 'text'\. There are: 'txt ', label"):
        read("txt ", "label")


@pytest.mark.parametrize("first", ["a quiet evening\t1\n", "1\tquiet\n"])
def test_a_first_line_of_data_is_refused_with_the_way_out(tmp_path: Path, first: str) -> None:
    with pytest.raises(UserError, match=r"(?s)no column 'text'.*column names above it, with 'text'"):
        read_tsv(write_file(tmp_path / "a.tsv", first))


def test_the_error_for_a_wide_table_is_short(tmp_path: Path) -> None:
    path = write_file(tmp_path / "wide.tsv", "\t".join(f"column{number}" for number in range(5000)) + "\n")
    with pytest.raises(UserError) as caught:
        read_tsv(path)
    assert len(str(caught.value)) < 500 and len(re.findall("\n", str(caught.value))) < 3
