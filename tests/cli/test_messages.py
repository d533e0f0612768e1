"""Texts of errors."""

from __future__ import annotations

import logging

import pytest

from src.cli.messages import exit_with_error, format_crash, format_error, print_text
from src.cli.streams import PrintableFormatter
from src.errors import UserError


def test_an_unexpected_error_has_a_line() -> None:
    assert format_error(ValueError()) == "ValueError"
    assert format_error(ValueError("one\ntwo:\nthree")) == "one"
    assert format_error(UserError("a\nb")) == "a\nb"
    assert format_crash(KeyError("x")) == "KeyError: 'x'"


def test_control_characters_are_printed_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b[2J\rb\x9b\u2028\ud800\nc é 数 \u200d"
    harmless = "a\\x1b[2J\\rb\\x9b\\u2028\\ud800\nc é 数 \u200d"
    print_text(evil)
    with pytest.raises(SystemExit):
        exit_with_error(evil)
    captured = capsys.readouterr()
    assert captured.out == f"{harmless}\n"
    assert captured.err == f"error: {harmless}\n"
    assert PrintableFormatter().format(logging.LogRecord("src", logging.INFO, "", 0, "%s", (evil,), None)) == harmless
