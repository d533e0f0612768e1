"""JSON: lines, documents and columns, and refusals that name the line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from src.data.reading.json_lines import read_json_lines
from src.errors import UserError
from tests.helpers.files import STRANGE, any_reader, write_file


def test_json_lines_keep_all_texts(tmp_path: Path) -> None:
    rows = [{"text": text, "label": row} for row, text in enumerate([*STRANGE, "two\nlines"])]
    path = write_file(tmp_path / "a.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    table = read_json_lines(path, path.name, ["text", "label"])
    assert table["text"].to_pylist() == [row["text"] for row in rows]
    assert table["label"].to_pylist() == [str(row["label"]) for row in rows]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a", "label": 0}\n{"text": "b"\n', "line 2 is no JSON"),
        ('["a", 0]\n["b", 1]\n', "line 1 is not a JSON object"),
        ('{"text": "a", "label": [1]}', "line 1: 'label' is a JSON list"),
        ('{"sentence": "a", "label": 0}', "no column 'text'. There are: sentence, label"),
        ('{"text": "\\ud800", "label": 0}', "half a surrogate pair"),
    ],
)
def test_bad_json_is_refused_by_line_or_column(tmp_path: Path, content: str, message: str) -> None:
    path = write_file(tmp_path / "bad.jsonl", content)
    with pytest.raises(UserError, match=f"'bad.jsonl'.*{message}"):
        read_json_lines(path, path.name, ["text", "label"])


def test_equal_json_values_of_any_type_have_one_spelling(tmp_path: Path) -> None:
    values = ["1", 1, 1.0, True, 2.5, None]
    path = write_file(
        tmp_path / "a.jsonl",
        "\n".join(json.dumps({"text": "", "label": value}) for value in values) + '\n\n{"text": ""}\n',
    )
    assert read_json_lines(path, "a", ["text", "label"])["label"].to_pylist() == [
        "1",
        "1",
        "1",
        "true",
        "2.5",
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100 + "1" + "}" * 100, "nested too deeply"),
        ('{"text": NaN}', "'text' is NaN"),
        ('{"text": -Infinity}', "'text' is -Infinity"),
        ('{"text": {"0": "a"}}', "'text' is a JSON object"),
        ("null", "not a JSON object"),
        ("{'text': 'a'}", "no JSON"),
    ],
)
def test_the_error_for_bad_json_names_the_line(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(UserError, match=f"'a.jsonl' line 3.*{message}") as caught:
        any_reader(write_file(tmp_path / "a.jsonl", f'{{"text": "a"}}\n\n{line}\n'))
    assert len(str(caught.value)) < 300


def test_numbers_of_json_keep_all_their_digits(tmp_path: Path) -> None:
    digits = ["9007199254740993", "9007199254740993.0", "0.1000000000000000055", "1E2", "-0.0", "7" * 400]
    path = write_file(
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
    path = write_file(tmp_path / "a.json", json.dumps(document, indent=indent))
    table = read_json_lines(path, "a.json", ["text", "label"])
    assert table.to_pydict() == {"text": ["a", "b"], "label": ["1", "0"]}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"columns": ["text", "label"], "index": [0], "data": [["a", 1]]}, "no column 'text'"),
        ({"0": {"text": "a", "label": 1}}, "no column 'text'"),
        ({"data": [{"text": "a", "label": 1}]}, "no column 'text'. There are: data"),
        ({"text": {"0": "a"}, "label": {"1": 1}}, "do not have the same rows"),
        ({"text": ["a"], "label": [1, 2]}, "do not have the same number of rows"),
        ([["a", 1]], "row 1 is not a JSON object"),
        ([{"text": "a", "label": 1}, None], "row 2 is not a JSON object"),
    ],
)
def test_other_json_documents_are_refused_with_the_way_out(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"(?s){message}.*lines=True"):
        read_json_lines(write_file(tmp_path / "a.json", json.dumps(document)), "a.json", ["text", "label"])


def test_a_json_document_above_the_size_limit_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.data.reading.json_lines.MAX_DOCUMENT", 100)
    with pytest.raises(UserError, match=r"(?s)longer than.*lines=True"):
        any_reader(write_file(tmp_path / "a.json", json.dumps([{"text": "a" * 200}])).rename(tmp_path / "a.jsonl"))
    assert any_reader(write_file(tmp_path / "b.jsonl", '{"text": "a"}\n' * 50)).num_rows == 50
