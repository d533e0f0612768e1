"""What is read from disk is read with bounds: whatever a file holds, it is a value or one exception."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.storage.files import MAX_DEPTH, Unreadable, open_regular, parse_json, read_json, require_fields

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(VALUES)
def test_what_json_writes_is_read(value: Any) -> None:
    assert parse_json(json.dumps(value)) == parse_json(json.dumps(value).encode()) == value


@given(st.text() | st.binary())
def test_anything_is_a_value_or_unreadable(content: str | bytes) -> None:
    try:
        parse_json(content)
    except Unreadable as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "{", "[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 100 + "1" + "}" * 100, "NaN", "[Infinity]", "-Infinity",
        "1e999", "9" * 301, "9" * 5000, b"\xff", "{'a': 1}", "[1,]", "\ufeff{}",
    ],
)  # fmt: skip
def test_what_no_file_of_ours_holds_is_refused(text: str | bytes) -> None:
    with pytest.raises(Unreadable):
        parse_json(text)


def test_depth_has_a_bound_and_width_has_none() -> None:
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None
    with pytest.raises(Unreadable, match="deep"):
        parse_json("[" * (MAX_DEPTH + 1) + "1" + "]" * (MAX_DEPTH + 1))
    assert len(parse_json("[" + "[]," * 1000 + "[]]")) == 1001


def test_fields_have_types() -> None:
    value = {"a": 1, "b": "x", "c": True, "d": None}
    assert require_fields(value, {"a": float, "b": str}, {"d": int, "e": str}) is value
    for wrong in ({"a": str}, {"c": int}, {"c": float}, {"d": int}, {"e": str}, {"b": (int, list)}):
        with pytest.raises(Unreadable, match=next(iter(wrong))):
            require_fields(value, wrong)
    with pytest.raises(Unreadable):
        require_fields([value], {"a": int})


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "pipe link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link", "pipe link", "."):
        with pytest.raises(OSError):
            open_regular(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none")
    (tmp_path / "real").write_text('{"a": 1}')
    (tmp_path / "to real").symlink_to("real")
    assert read_json(tmp_path / "to real") == {"a": 1}
