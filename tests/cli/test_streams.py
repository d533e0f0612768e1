"""Streams that lose their reader, or are closed."""

from __future__ import annotations

import os
import sys

import pytest

from src.cli.streams import TolerantFile, open_streams


def test_writing_continues_after_the_reader_has_closed() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with TolerantFile(writing, "w") as stream:
        assert stream.write(b"unheard") == 7


def test_closed_streams_become_the_null_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
        monkeypatch.setattr(sys, f"__{name}__", None)
    open_streams()
    try:
        assert sys.stdin.read() == ""
        assert sys.stdout.write("unheard") == sys.stderr.write("unheard") == 7
        assert not sys.stdout.isatty()
    finally:
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            stream.close()
