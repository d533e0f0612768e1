"""Files to columns: what a row is, what a cell is, and what is refused with the line named."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import os
import re
import shlex
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.data import reading
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
    table = reading.read_delimited(
        path, path.name, ["text", "label"], **{"delimiter": "\t", "quoting": False, **options}
    )
    return {name: table[name].to_pylist() for name in table.column_names}


def test_only_a_line_feed_ends_a_row_of_tsv(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.tsv", "text\tlabel\n" + "".join(f"{text}\t{row}\n" for row, text in enumerate(STRANGE))
    )
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
    assert tsv(written(tmp_path / "a.csv", 'text,label\n5" pipe,0\n'), delimiter=",", quoting=True)["text"] == [
        '5" pipe'
    ]


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
    assert reading.read_sentences(path, "a.pos", "positive").to_pydict() == {
        "text": ["one", "", "two ", ""],
        "label": ["positive"] * 4,
    }


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
    path = written(
        tmp_path / "a.jsonl",
        "\n".join(json.dumps({"text": "", "label": value}) for value in values) + '\n\n{"text": ""}\n',
    )
    assert reading.read_json_lines(path, "a", ["text", "label"])["label"].to_pylist() == [
        "1",
        "1",
        "1",
        "true",
        "2.5",
        None,
        None,
    ]


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
    assert (
        len(
            tsv(written(tmp_path / "a.csv", f"text,label\n{'x' * 300_000},0\n"), delimiter=",", quoting=True)["text"][0]
        )
        == 300_000
    )


def test_messages_are_short(tmp_path: Path) -> None:
    path = written(tmp_path / "wide.tsv", "\t".join(f"column{number}" for number in range(5000)) + "\n")
    with pytest.raises(UserError) as caught:
        tsv(path)
    assert len(str(caught.value)) < 500 and len(re.findall("\n", str(caught.value))) < 3


# Columns' names -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", ["csv", "tsv", "jsonl", "parquet"])
def test_spaces_around_a_column_name_do_not_count_unless_two_names_differ_in_them(
    tmp_path: Path, extension: str
) -> None:
    def read(*names: str) -> dict[str, list[str]]:
        path = tmp_path / f"a.{extension}"
        cells = [str(number) for number in range(len(names))]
        if extension == "parquet":
            pq.write_table(pa.table(dict(zip(names, ([cell] for cell in cells), strict=True))), path)
            return reading.read_parquet(path, path.name, ["text"]).to_pydict()
        if extension == "jsonl":
            written(path, json.dumps(dict(zip(names, cells, strict=True))))
            return reading.read_json_lines(path, path.name, ["text"]).to_pydict()
        mark = "," if extension == "csv" else "\t"
        written(path, mark.join(names) + "\n" + mark.join(cells) + "\n")
        return reading.read_delimited(path, path.name, ["text"], delimiter=mark, quoting=extension == "csv").to_pydict()

    assert read("label", "text ") == {"text": ["1"]}
    assert read("text ", "text") == {"text": ["1"]}, "the exact name comes first"
    with pytest.raises(UserError, match=r"2 columns called 'text' but for spaces: ' text', 'text '"):
        read(" text", "text ")
    with pytest.raises(UserError, match=r"no column 'text'\. There are: 'txt ', label"):
        read("txt ", "label")


def test_a_comma_and_a_space_separate_where_the_header_says_so(tmp_path: Path) -> None:
    rows = 'label, "text"\n0, "red, blue"\n1, "two\nlines"\n1, plain\n'
    assert tsv(written(tmp_path / "a.csv", rows), delimiter=",", quoting=True) == {
        "text": ["red, blue", "two\nlines", "plain"],
        "label": ["0", "1", "1"],
    }


@pytest.mark.parametrize("row", [' "whole",0\n', ' "cut, in two",0\n'])
def test_a_space_before_a_quote_is_refused_not_read_as_text(tmp_path: Path, row: str) -> None:
    path = written(tmp_path / "a.csv", "text,label\nfine,1\n" + row)
    with pytest.raises(UserError, match=r"(?s)line 3.*(space|3 fields)"):
        tsv(path, delimiter=",", quoting=True)
    with pytest.raises(UserError, match="line 1 is no valid CSV"):
        tsv(written(tmp_path / "c.csv", 'text, "label\nx, 0\n'), delimiter=",", quoting=True)
    harmless = written(tmp_path / "b.csv", 'text,label\n" ""said""",0\n "said" he,1\n')
    assert tsv(harmless, delimiter=",", quoting=True)["text"] == [' "said"', ' "said" he']


@pytest.mark.parametrize("first", ["a quiet evening\t1\n", "1\tquiet\n"])
def test_a_first_line_that_is_data_gets_the_way_out(tmp_path: Path, first: str) -> None:
    with pytest.raises(UserError, match=r"(?s)no column 'text'.*column names above it, with 'text'"):
        tsv(written(tmp_path / "a.tsv", first))


# Files of unknown origin --------------------------------------------------------------------------------------------------------------


def any_reader(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        return reading.read_parquet(path, path.name, ["text"])
    if path.suffix == ".jsonl":
        return reading.read_json_lines(path, path.name, ["text"])
    return reading.read_delimited(path, path.name, ["text"], delimiter=",", quoting=path.suffix == ".csv")


EXTENSIONS = ["csv", "tsv", "jsonl", "parquet"]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_only_regular_files_are_opened(tmp_path: Path, extension: str) -> None:
    for number, make in enumerate(
        [os.mkfifo, lambda path: os.symlink("/dev/zero", path), os.mkdir, lambda path: os.symlink(path, path)]
    ):
        path = tmp_path / f"{number}.{extension}"
        make(path)
        with pytest.raises(UserError, match=path.name):
            any_reader(path)
    with pytest.raises(UserError, match="cannot read"):
        any_reader(Path(f"nul\0.{extension}"))


@pytest.mark.parametrize("extension", ["csv", "tsv", "jsonl"])
def test_a_line_without_end_is_refused_by_its_number(tmp_path: Path, extension: str) -> None:
    path = written(tmp_path / f"a.{extension}", '{"text": "a"}\n' if extension == "jsonl" else "text\n")
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # NULs without end, none of them on the disk
    with pytest.raises(UserError, match=f"{path.name}' line 2 is longer than 64 MiB"):
        any_reader(path)


def test_a_quote_that_swallows_the_file_is_refused_at_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 2000)
    rows = "text,label\nfine,0\n" + '"two\nlines",1\n' * 500
    assert len(tsv(written(tmp_path / "a.csv", rows), delimiter=",", quoting=True)["text"]) == 501
    with pytest.raises(UserError, match="line 1003 begins a row"):
        tsv(written(tmp_path / "b.csv", f'{rows}"open,0\n' + "row,1\n" * 500), delimiter=",", quoting=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"text\na\n", mtime=0), "gzip.*gunzip < .* > "),
        (bz2.compress(b"text\na\n"), "bzip2.*bunzip2 < .* > "),
        (lzma.compress(b"text\na\n"), "xz.*xz -dc < .* > "),
        (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", "office.*CSV UTF-8"),
        (b"PK\x03\x04" + bytes(26) + b"rows.csv", "ZIP archive.*unzip"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<!DOCTYPE html>\n<html>", "web page.*Download"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
    ids=["gzip", "bzip2", "xz", "xlsx", "zip", "pdf", "html", "lfs"],
)
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_another_format_is_named_with_the_way_out(tmp_path: Path, extension: str, content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=f"(?s)'a.{extension}' is .*{message}"):
        any_reader(written(tmp_path / f"a.{extension}", content))


def test_parquet_under_another_name_is_told_as_such(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"(?s)is a Parquet file.*\.parquet"):
        any_reader(tmp_path / "a.csv")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("extension", ["csv", "jsonl"])
def test_wide_encodings_are_recognised_and_the_advice_works(tmp_path: Path, encoding: str, extension: str) -> None:
    texts = ["caf\u00e9", "\u4e2d\u6587"]
    content = "\r\n".join(
        ["text", *texts] if extension == "csv" else [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    )
    path = written(tmp_path / f"it's mine.{extension}", content.encode(encoding))
    with pytest.raises(UserError) as caught:
        any_reader(path)
    _, old, _, new, source, _, target = shlex.split(re.findall("iconv (.*)", str(caught.value))[0])
    Path(target).write_bytes(Path(source).read_bytes().decode(old).encode(new))
    assert any_reader(Path(target))["text"].to_pylist() == texts


def test_an_encoding_that_cannot_be_cut_into_lines_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a", "0 x\n")
    for encoding in ("utf-16", "utf-32-le", "base64"):
        with pytest.raises(UserError, match=f"encoding '{encoding}'"):
            reading.read_labelled_lines(path, "a", None, encoding)


def test_a_text_that_holds_nuls_is_no_wide_encoding(tmp_path: Path) -> None:
    assert any_reader(written(tmp_path / "a.csv", "text\na\x00b\x00c\x00d\n"))["text"].to_pylist() == [
        "a\x00b\x00c\x00d"
    ]


# JSON ---------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100 + "1" + "}" * 100, "nested too deeply"),
        ('{"text": NaN}', "'text' is NaN"),
        ('{"text": -Infinity}', "'text' is -Infinity"),
        ('{"text": {"0": "a"}}', "'text' is a JSON object"),
        ("null", "no JSON object"),
        ("{'text': 'a'}", "no JSON"),
    ],
)
def test_a_bad_line_of_json_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(UserError, match=f"'a.jsonl' line 3.*{message}") as caught:
        any_reader(written(tmp_path / "a.jsonl", f'{{"text": "a"}}\n\n{line}\n'))
    assert len(str(caught.value)) < 300


def test_numbers_of_json_keep_all_their_digits(tmp_path: Path) -> None:
    digits = ["9007199254740993", "9007199254740993.0", "0.1000000000000000055", "1E2", "-0.0", "7" * 400]
    path = written(
        tmp_path / "a.jsonl", "\ufeff" + "\n".join(f'{{"text": {number}, "other": NaN}}' for number in digits) + "\n\n"
    )
    expected = ["9007199254740993", "9007199254740993", "0.1000000000000000055", "100", "0", "7" * 400]
    assert any_reader(path)["text"].to_pylist() == expected


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "document",
    [
        [{"text": "a", "label": 1}, {"label": 0, "text": "b"}],
        {"text": {"4": "a", "2": "b"}, "label": {"4": 1, "2": 0}},
        {"text": ["a", "b"], "other": 5, "label": [1, 0]},
    ],
)
def test_a_json_document_is_read_as_a_table(tmp_path: Path, document: Any, indent: int | None) -> None:
    path = written(tmp_path / "a.json", json.dumps(document, indent=indent))
    table = reading.read_json_lines(path, "a.json", ["text", "label"])
    assert table.to_pydict() == {"text": ["a", "b"], "label": ["1", "0"]}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"columns": ["text", "label"], "index": [0], "data": [["a", 1]]}, "no column 'text'"),
        ({"0": {"text": "a", "label": 1}}, "no column 'text'"),
        ({"data": [{"text": "a", "label": 1}]}, "no column 'text'. There are: data"),
        ({"text": {"0": "a"}, "label": {"1": 1}}, "do not have the same rows"),
        ({"text": ["a"], "label": [1, 2]}, "do not have the same number of rows"),
        ([["a", 1]], "row 1 is no JSON object"),
        ([{"text": "a", "label": 1}, None], "row 2 is no JSON object"),
    ],
)
def test_other_json_documents_get_the_way_out(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"(?s){message}.*lines=True"):
        reading.read_json_lines(written(tmp_path / "a.json", json.dumps(document)), "a.json", ["text", "label"])


def test_a_json_document_longer_than_the_bound_gets_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_DOCUMENT", 100)
    with pytest.raises(UserError, match=r"(?s)longer than.*lines=True"):
        any_reader(written(tmp_path / "a.json", json.dumps([{"text": "a" * 200}])).rename(tmp_path / "a.jsonl"))
    assert any_reader(written(tmp_path / "b.jsonl", '{"text": "a"}\n' * 50)).num_rows == 50


# Parquet ------------------------------------------------------------------------------------------------------------------------------


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
def test_more_parquet_columns_are_spelled_as_text(tmp_path: Path, column: pa.Array, spelled: list[str | None]) -> None:
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
def test_more_refused_parquet_columns(tmp_path: Path, column: pa.Array, message: str) -> None:
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=f"'a.parquet': column {message}"):
        any_reader(tmp_path / "a.parquet")


@pytest.mark.parametrize("dictionary", [True, False])
def test_few_bytes_of_parquet_that_stand_for_many_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dictionary: bool
) -> None:
    monkeypatch.setattr(reading, "MOST_BYTES", 1 << 20)
    texts = pa.array(["x" * 1000]).dictionary_encode().take(pa.array([0] * 5000))
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", store_schema=dictionary)
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    with pytest.raises(UserError, match=r"'a\.parquet' holds more than"):
        any_reader(tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": texts[:900]}), tmp_path / "b.parquet", store_schema=dictionary)
    assert any_reader(tmp_path / "b.parquet").num_rows == 900


def test_rows_are_bounded_by_the_metadata_before_any_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.table({"text": [""] * 1000}), tmp_path / "a.parquet")
    monkeypatch.setattr(reading, "MOST_BYTES", 7999)
    monkeypatch.setattr(reading, "_decoded", None)
    with pytest.raises(UserError, match=r"'a\.parquet' holds more than"):
        any_reader(tmp_path / "a.parquet")


@pytest.mark.parametrize("extension", ["csv", "jsonl"])
def test_the_columns_of_other_files_have_the_same_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extension: str
) -> None:
    monkeypatch.setattr(reading, "MOST_BYTES", 1 << 16)
    rows = ['{"text": "a"}' if extension == "jsonl" else "a"] * 10_000
    with pytest.raises(UserError, match="holds more than"):
        any_reader(written(tmp_path / f"a.{extension}", "\n".join(["text"] * (extension == "csv") + rows)))
