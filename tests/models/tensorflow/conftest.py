"""Fixtures of original TensorFlow checkpoints."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers.google import CHECKPOINT


@pytest.fixture
def checkpoint_copy(tmp_path: Path) -> Path:
    """Copy the checkpoint, to be changed."""
    return Path(shutil.copytree(CHECKPOINT, tmp_path / "copy"))
