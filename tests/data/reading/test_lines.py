"""Plain layouts: one sentence a line, a label before each sentence, and files whose lines belong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.data.reading.lines import read_labelled_lines, read_parallel_lines, read_sentences
from src.errors import UserError
from tests.helpers.files import write_file


def test_latin_1_is_read_and_unknown_encodings_are_refused(tmp_path: Path) -> None:
    path = write_file(tmp_path / "t.label", b"ENTY:other What is \xf0 ?\nHUM:ind Who ?\n")
    table = read_labelled_lines(path, path.name, ":", "latin-1")
    assert table.to_pydict() == {"text": ["What is \u00f0 ?", "Who ?"], "label": ["ENTY", "HUM"]}
    with pytest.raises(UserError, match=r"line 1, byte 20 .* is not UTF-8"):
        read_labelled_lines(path, path.name, ":")
    with pytest.raises(UserError, match="encoding 'klingon' is unknown"):
        read_labelled_lines(path, path.name, ":", "klingon")


def test_labelled_lines_need_a_space(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 3 holds no space"):
        read_labelled_lines(write_file(tmp_path / "a", "0 good\n\nx\n"), "a", None)


def test_every_line_of_sentences_is_a_row(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.pos", "one\n\ntwo \r\n\n")
    assert read_sentences(path, "a.pos", "positive").to_pydict() == {
        "text": ["one", "", "two ", ""],
        "label": ["positive"] * 4,
    }


def test_lines_of_parallel_files_belong_together(tmp_path: Path) -> None:
    texts = write_file(tmp_path / "texts", "one\u2028 line \n\nthree\r\n".encode())
    labels = write_file(tmp_path / "labels", "1\n0\n1\n")
    table = read_parallel_lines({"text": (texts, "texts"), "label": (labels, "labels")})
    assert table.to_pydict() == {"text": ["one\u2028 line ", "", "three"], "label": ["1", "0", "1"]}
    short = write_file(tmp_path / "short", "1\n0\n")
    with pytest.raises(UserError, match="texts has 3, short has 2"):
        read_parallel_lines({"text": (texts, "texts"), "label": (short, "short")})
