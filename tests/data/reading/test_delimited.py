"""CSV and TSV: what a row is, what a cell is, and refusals that name the line."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from src.errors import UserError
from tests.helpers.files import STRANGE, read_tsv, write_file


def test_only_a_line_feed_ends_a_row_of_tsv(tmp_path: Path) -> None:
    path = write_file(
        tmp_path / "a.tsv", "text\tlabel\n" + "".join(f"{text}\t{row}\n" for row, text in enumerate(STRANGE))
    )
    assert read_tsv(path) == {"text": STRANGE, "label": [str(row) for row in range(len(STRANGE))]}


def test_quoted_csv_keeps_all_texts(tmp_path: Path) -> None:
    texts = [*STRANGE, "two\nlines", "crlf\r\ninside", 'say "yes", please']
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([["label", "text"], *([row, text] for row, text in enumerate(texts))])
    assert read_tsv(tmp_path / "a.csv", delimiter=",", quoting=True)["text"] == texts


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
    assert read_tsv(write_file(tmp_path / "a.tsv", content), quoting=quoting) == {
        "text": ["a", "b"],
        "label": ["0", "1"],
    }


def test_quotes_are_plain_characters_unless_asked(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.tsv", 'text\tlabel\n"open\t0\nmiddle " quote\t1\n"closed"\t0\n')
    assert read_tsv(path)["text"] == ['"open', 'middle " quote', '"closed"']
    with pytest.raises(UserError, match=r"'a.tsv' line 2 is not valid CSV"):
        read_tsv(path, quoting=True)


def test_a_quote_inside_an_unquoted_field_is_a_character(tmp_path: Path) -> None:
    assert read_tsv(write_file(tmp_path / "a.csv", 'text,label\n5" pipe,0\n'), delimiter=",", quoting=True)["text"] == [
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
            "no column 'text'. There are: text,label.\n.* separated by ','. .* .csv",
        ),
        ("text;label\na;0\n", "no column 'text'. There are: text;label.\nThe file seems to be separated by ';'"),
        ("text\tlabel\ra\t0\rb\t1\r", "seems to end its lines with lone carriage returns.\n.*tr "),
        ("", "is empty"),
        (b"text\tlabel\na\t0\nbl\xe9\t1\n", "line 3, byte 3 of the line \\(0xE9\\) is not UTF-8"),
    ],
)
def test_errors_of_tables_name_file_and_line(tmp_path: Path, content: bytes | str, message: str) -> None:
    with pytest.raises(UserError, match=f"'bad.tsv'.*{message}"):
        read_tsv(write_file(tmp_path / "bad.tsv", content))


def test_a_carriage_return_outside_quotes_is_refused_not_a_row(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 2 is not valid CSV"):
        read_tsv(write_file(tmp_path / "a.csv", "text,label\na\rb,0\n"), delimiter=",", quoting=True)


def test_the_error_for_a_wrong_separator_names_it(tmp_path: Path) -> None:
    for content, message in (
        ("text;label\na;0\n", "(?s)no column 'text'.*separated by ';'"),
        ("text\tlabel\na\t0\n", "(?s)no column 'text'.*separated by tabs"),
        ("text,label\ra,0\r", "lone carriage returns"),
        ("words\na\n", r"no column 'text'. There are: words\.$"),
    ):
        with pytest.raises(UserError, match=message):
            read_tsv(write_file(tmp_path / "a.csv", content), delimiter=",", quoting=True)


def test_a_long_text_is_read_whole(tmp_path: Path) -> None:
    assert (
        len(
            read_tsv(write_file(tmp_path / "a.csv", f"text,label\n{'x' * 300_000},0\n"), delimiter=",", quoting=True)[
                "text"
            ][0]
        )
        == 300_000
    )


def test_a_header_with_comma_and_space_sets_the_separator(tmp_path: Path) -> None:
    rows = 'label, "text"\n0, "red, blue"\n1, "two\nlines"\n1, plain\n'
    assert read_tsv(write_file(tmp_path / "a.csv", rows), delimiter=",", quoting=True) == {
        "text": ["red, blue", "two\nlines", "plain"],
        "label": ["0", "1", "1"],
    }


@pytest.mark.parametrize("row", [' "whole",0\n', ' "cut, in two",0\n'])
def test_a_space_before_a_quote_is_refused_not_read_as_text(tmp_path: Path, row: str) -> None:
    path = write_file(tmp_path / "a.csv", "text,label\nfine,1\n" + row)
    with pytest.raises(UserError, match=r"(?s)line 3.*(space|3 fields)"):
        read_tsv(path, delimiter=",", quoting=True)
    with pytest.raises(UserError, match="line 1 is not valid CSV"):
        read_tsv(write_file(tmp_path / "c.csv", 'text, "label\nx, 0\n'), delimiter=",", quoting=True)
    harmless = write_file(tmp_path / "b.csv", 'text,label\n" ""said""",0\n "said" he,1\n')
    assert read_tsv(harmless, delimiter=",", quoting=True)["text"] == [' "said"', ' "said" he']


def test_an_unclosed_quote_is_refused_at_the_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("src.data.reading.delimited.MAX_LINE", 2000)
    rows = "text,label\nfine,0\n" + '"two\nlines",1\n' * 500
    assert len(read_tsv(write_file(tmp_path / "a.csv", rows), delimiter=",", quoting=True)["text"]) == 501
    with pytest.raises(UserError, match="line 1003 begins a row"):
        read_tsv(write_file(tmp_path / "b.csv", f'{rows}"open,0\n' + "row,1\n" * 500), delimiter=",", quoting=True)
