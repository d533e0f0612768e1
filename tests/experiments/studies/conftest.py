"""A quick task of the small BERT for the studies."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def words(files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A quick task of the small BERT, its store in the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return ["model=checkpoint", *files]
