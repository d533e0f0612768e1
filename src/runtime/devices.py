"""The device that computes: cuda, mps or cpu."""

from __future__ import annotations

import sys

from src.errors import UserError
from src.runtime.provenance import version


def resolve_device(asked: str) -> str:
    """Return the device that computes.

    Parameters
    ----------
    asked : str
        ``cuda``, ``mps``, ``cpu``, or ``auto`` for the first of them that is available.

    Raises
    ------
    UserError
        The device asked for is not available.
    """
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == "auto":
        return next(name for name, found in available.items() if found)
    if not available[asked]:
        raise UserError(f"runtime.device={asked}: this machine has no such device. Use runtime.device=auto.")
    return asked


def device_kind(asked: str) -> str:
    """Return the device as `resolve_device` does, without importing torch if only the CPU is possible."""
    if asked != "auto":
        return asked
    if sys.platform == "linux" and (version("torch") or "").endswith("+cpu"):
        return "cpu"
    return resolve_device(asked)
