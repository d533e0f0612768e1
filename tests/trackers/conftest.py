"""An environment for W&B."""

from __future__ import annotations

import os

import pytest

from src.trackers import wandb_server


@pytest.fixture
def clean(monkeypatch):
    """An environment without W&B's own switches and without proxies."""
    for name in list(os.environ):
        if name.startswith("WANDB_") or "proxy" in name.lower():
            monkeypatch.delenv(name)
    wandb_server.shared_server.cache_clear()
    return monkeypatch
