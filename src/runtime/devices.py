"""The device that computes: cuda, mps or cpu."""

from __future__ import annotations

import sys

from src.errors import UserError
from src.runtime.provenance import version


def resolve_device(requested: str) -> str:
    """Return the device that computes.

    Parameters
    ----------
    requested : str
        ``cuda``, ``mps``, ``cpu``, or ``auto`` for the first of them that is available.

    Raises
    ------
    UserError
        The requested device is not available.
    """
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if requested == "auto":
        return next(name for name, found in available.items() if found)
    if not available[requested]:
        raise UserError(f"runtime.device={requested}: this machine has no such device. Use runtime.device=auto.")
    return requested


def synchronise(device: str) -> None:
    """Wait until a device has finished its queued work."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def device_kind(requested: str) -> str:
    """Return the device as `resolve_device` does, without importing torch if only the CPU is possible."""
    if requested != "auto":
        return requested
    if sys.platform == "linux" and (version("torch") or "").endswith("+cpu"):
        return "cpu"
    return resolve_device(requested)
