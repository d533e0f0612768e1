"""Fixtures of the command line's tests."""

from __future__ import annotations

import pytest


@pytest.fixture
def no_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a model is loaded."""

    def refuse(*_: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("src.features.on_demand.load_encoder", refuse)
