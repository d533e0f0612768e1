"""Streams that lose their reader, or are closed."""

from __future__ import annotations

import os
import subprocess
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


SCRIPT = """
from dataclasses import dataclass
from src.cli.arguments import command
from src.cli.messages import print_text

@dataclass(frozen=True)
class Options:
    output: str = "here"

@command(Options)
def main(options):
    for _ in range(1000):
        print_text("a line that nobody reads")

main()
"""


def test_a_command_ends_well_after_its_reader_has_closed() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run([sys.executable, "-c", SCRIPT], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert ended.returncode == 0 and ended.stderr == ""
