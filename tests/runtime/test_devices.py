"""Devices: the one asked for, the first available one, or an error that names the option."""

from __future__ import annotations

import pytest
import torch

from src.errors import UserError
from src.runtime.devices import device_kind, resolve_device


def test_a_device_that_is_not_available_is_refused() -> None:
    assert resolve_device("cpu") == device_kind("cpu") == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match=r"runtime\.device=cuda"):
            resolve_device("cuda")


def test_auto_is_a_device_that_is_available() -> None:
    assert device_kind("auto") == resolve_device("auto")
