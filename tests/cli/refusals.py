"""What every refusal has in common."""

from __future__ import annotations

from collections.abc import Callable

from src.errors import printable
from tests.conftest import Ended

Command = Callable[..., Ended]


def assert_refused(ended: Ended, *named: str) -> None:
    """Check that a command refused its input in one to three lines that hold these texts."""
    assert ended.status == 1, ended
    assert ended.lines[0].startswith("error: ")
    assert 1 <= len(ended.lines) <= 3, ended.err
    assert max(map(len, ended.lines)) < 400
    assert "Traceback" not in ended.err
    assert ended.err == printable(ended.err)
    assert not ended.out
    for text in named:
        assert text in ended.err, ended.err
