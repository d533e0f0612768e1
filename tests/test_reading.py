"""Files to columns: what a row is, what a cell is, and what is refused with the line named."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src import reading
from src.errors import UserError

STRANGE = [
    "a\rb",
    "line\u2028separator",
    "form\x0cfeed",
    "nul\x00here",
    "file\x1cmark",
    "next\x85line",
    " spaces ",
    "",
    '"quoted',
    "NA",
    "null",
    "1e5",
]


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def tsv(path: Path, **options: Any) -> dict[str, list[str]]:
    table = reading.read_delimited(path, path.name, ["text", "label"], **{"delimiter": "\t", "quoting": False, **options})
    return {name: table[name].to_pylist() for name in table.column_names}


def test_only_a_line_feed_ends_a_row_of_tsv(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", "text\tlabel\n" + "".join(f"{text}\t{row}\n" for row, text in enumerate(STRANGE)))
    assert tsv(path) == {"text": STRANGE, "label": [str(row) for row in range(len(STRANGE))]}


def test_quoted_csv_gives_back_what_was_written(tmp_path: Path) -> None:
    texts = [*STRANGE, "two\nlines", "crlf\r\ninside", 'say "yes", please']
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([["label", "text"], *([row, text] for row, text in enumerate(texts))])
    assert tsv(tmp_path / "a.csv", delimiter=",", quoting=True)["text"] == texts


def test_json_lines_give_back_what_was_written(tmp_path: Path) -> None:
    rows = [{"text": text, "label": row} for row, text in enumerate([*STRANGE, "two\nlines"])]
    path = written(tmp_path / "a.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    table = reading.read_json_lines(path, path.name, ["text", "label"])
    assert table["text"].to_pylist() == [row["text"] for row in rows]
    assert table["label"].to_pylist() == [str(row["label"]) for row in rows]


@pytest.mark.parametrize(
    "content",
    [
        "text\tlabel\na\t0\nb\t1\n",
        "text\tlabel\r\na\t0\r\nb\t1\r\n",
        "text\tlabel\na\t0\nb\t1",
        "\ufefftext\tlabel\na\t0\n\nb\t1\n\n",
    ],
)
@pytest.mark.parametrize("quoting", [False, True])
def test_line_ends_byte_order_mark_and_blank_lines_change_nothing(tmp_path: Path, content: str, quoting: bool) -> None:
    assert tsv(written(tmp_path / "a.tsv", content), quoting=quoting) == {"text": ["a", "b"], "label": ["0", "1"]}


def test_quotes_are_plain_characters_unless_asked(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", 'text\tlabel\n"open\t0\nmiddle " quote\t1\n"closed"\t0\n')
    assert tsv(path)["text"] == ['"open', 'middle " quote', '"closed"']
    with pytest.raises(UserError, match=r"'a.tsv' line 2 is no valid CSV"):
        tsv(path, quoting=True)


def test_a_quote_inside_an_unquoted_field_is_a_character(tmp_path: Path) -> None:
    assert tsv(written(tmp_path / "a.csv", 'text,label\n5" pipe,0\n'), delimiter=",", quoting=True)["text"] == ['5" pipe']


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\tlabel\na\t0\nb\n", "line 3 has 1 fields, not 2"),
        ("text\tlabel\na\t0\tx\n", "line 2 has 3 fields, not 2"),
        ("sentence\tlabel\na\t0\n", "no column 'text'. There are: sentence, label"),
        ("text\ttext\tlabel\na\tb\t0\n", "2 columns called 'text'"),
        (
            "text,label\na,0\n",
            "no column 'text'. There are: text,label.\nThe file seems to be separated by ','. Save it with commas as .csv",
        ),
        ("text;label\na;0\n", "no column 'text'. There are: text;label.\nThe file seems to be separated by ';'"),
        ("text\tlabel\ra\t0\rb\t1\r", "seems to end its lines with lone carriage returns.\n.*tr "),
        ("", "is empty"),
        (b"text\tlabel\na\t0\nbl\xe9\t1\n", "line 3, byte 3 of the line \\(0xE9\\) is not UTF-8"),
    ],
)
def test_refused_tables_name_file_and_line(tmp_path: Path, content: bytes | str, message: str) -> None:
    with pytest.raises(UserError, match=f"'bad.tsv'.*{message}"):
        tsv(written(tmp_path / "bad.tsv", content))


def test_a_carriage_return_outside_quotes_is_refused_not_a_row(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 2 is no valid CSV"):
        tsv(written(tmp_path / "a.csv", "text,label\na\rb,0\n"), delimiter=",", quoting=True)


def test_a_csv_that_is_none_says_what_it_seems_to_be(tmp_path: Path) -> None:
    for content, message in (
        ("text;label\na;0\n", "(?s)no column 'text'.*separated by ';'"),
        ("text\tlabel\na\t0\n", "(?s)no column 'text'.*separated by tabs"),
        ("text,label\ra,0\r", "lone carriage returns"),
        ("words\na\n", r"no column 'text'. There are: words\.$"),
    ):
        with pytest.raises(UserError, match=message):
            tsv(written(tmp_path / "a.csv", content), delimiter=",", quoting=True)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file 'none.tsv'"):
        tsv(tmp_path / "none.tsv")
    with pytest.raises(UserError, match="is a folder"):
        tsv(tmp_path)
    with pytest.raises(UserError, match="cannot read"):
        reading.opened(written(tmp_path / "a.tsv", "x") / "b", "a.tsv/b")


def test_latin_1_and_unknown_encodings(tmp_path: Path) -> None:
    path = written(tmp_path / "t.label", b"ENTY:other What is \xf0 ?\nHUM:ind Who ?\n")
    table = reading.read_labelled_lines(path, path.name, ":", "latin-1")
    assert table.to_pydict() == {"text": ["What is \u00f0 ?", "Who ?"], "label": ["ENTY", "HUM"]}
    with pytest.raises(UserError, match=r"line 1, byte 20 .* is not UTF-8"):
        reading.read_labelled_lines(path, path.name, ":")
    with pytest.raises(UserError, match="encoding 'klingon' is unknown"):
        reading.read_labelled_lines(path, path.name, ":", "klingon")


def test_labelled_lines_need_a_space(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 3 holds no space"):
        reading.read_labelled_lines(written(tmp_path / "a", "0 good\n\nx\n"), "a", None)


def test_every_line_of_sentences_is_a_row(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pos", "one\n\ntwo \r\n\n")
    assert reading.read_sentences(path, "a.pos", "positive").to_pydict() == {"text": ["one", "", "two ", ""], "label": ["positive"] * 4}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a", "label": 0}\n{"text": "b"\n', "line 2 is no JSON"),
        ('["a", 0]\n["b", 1]\n', "line 1 is no JSON object"),
        ('{"text": "a", "label": [1]}', "line 1: 'label' is a JSON list"),
        ('{"sentence": "a", "label": 0}', "no column 'text'. There are: sentence, label"),
        ('{"text": "\\ud800", "label": 0}', "half a surrogate pair"),
    ],
)
def test_refused_json(tmp_path: Path, content: str, message: str) -> None:
    path = written(tmp_path / "bad.jsonl", content)
    with pytest.raises(UserError, match=f"'bad.jsonl'.*{message}"):
        reading.read_json_lines(path, path.name, ["text", "label"])


def test_json_values_are_spelled_alike_whatever_their_type(tmp_path: Path) -> None:
    values = ["1", 1, 1.0, True, 2.5, None]
    path = written(tmp_path / "a.jsonl", "\n".join(json.dumps({"text": "", "label": value}) for value in values) + '\n\n{"text": ""}\n')
    assert reading.read_json_lines(path, "a", ["text", "label"])["label"].to_pylist() == ["1", "1", "1", "true", "2.5", None, None]


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
def test_parquet_columns_are_spelled_as_text(tmp_path: Path, column: pa.Array, spelled: list[str | None]) -> None:
    pq.write_table(pa.table({"x": column, "other": column}), tmp_path / "a.parquet")
    table = reading.read_parquet(tmp_path / "a.parquet", "a.parquet", ["x"])
    assert table["x"].type == pa.large_string()
    assert table.to_pydict() == {"x": spelled}


def test_refused_parquet(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no sound Parquet file"):
        reading.read_parquet(written(tmp_path / "a.parquet", b"PAR1 not really"), "a.parquet", ["x"])
    pq.write_table(pa.table({"x": [[1]]}), tmp_path / "b.parquet")
    with pytest.raises(UserError, match=r"'b.parquet': column 'x' is of type list"):
        reading.read_parquet(tmp_path / "b.parquet", "b.parquet", ["x"])
    with pytest.raises(UserError, match=r"no column 'y'. There are: x"):
        reading.read_parquet(tmp_path / "b.parquet", "b.parquet", ["y"])


def test_more_rows_than_a_block_keep_their_order_and_nulls(tmp_path: Path) -> None:
    labels = [None if row % 7 == 3 else f"caf\u00e9 {row}" for row in range(2 * reading.BLOCK + 5)]
    path = written(tmp_path / "a.jsonl", "\n".join(json.dumps({"label": label}) for label in labels))
    table = reading.read_json_lines(path, "a", ["label"])
    table.validate(full=True)
    assert table["label"].to_pylist() == labels
    assert table["label"].null_count == sum(label is None for label in labels)


def test_a_long_text_is_read_whole(tmp_path: Path) -> None:
    assert len(tsv(written(tmp_path / "a.csv", f"text,label\n{'x' * 300_000},0\n"), delimiter=",", quoting=True)["text"][0]) == 300_000


def test_messages_are_short(tmp_path: Path) -> None:
    path = written(tmp_path / "wide.tsv", "\t".join(f"column{number}" for number in range(5000)) + "\n")
    with pytest.raises(UserError) as caught:
        tsv(path)
    assert len(str(caught.value)) < 500 and len(re.findall("\n", str(caught.value))) < 3
