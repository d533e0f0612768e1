"""Repeated measurements of processor time on one core."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

Measurements = dict[str, Callable[[], object]]


@contextmanager
def one_core() -> Iterator[None]:
    """Limit torch and BLAS to one thread."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def load_average() -> float | None:
    """Return the load of the last minute, which shows whether other work runs; None if it is not known."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def measure(
    functions: Mapping[str, Callable[[], object]], repeats: int, *, now: Callable[[], float] = time.process_time
) -> dict[str, Any]:
    """Time each function: once unmeasured, then in `repeats` rounds, each in another random order.

    Returns
    -------
    dict
        Name to ``{median, low, high}``, in seconds of processor time, rounded to microseconds.
    """
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    rng = np.random.default_rng(0)
    for _ in range(repeats):
        for name in rng.permutation(list(functions)).tolist():
            began = now()
            functions[name]()
            taken[name].append(now() - began)
    return {
        name: {"median": round(statistics.median(each), 6), "low": round(min(each), 6), "high": round(max(each), 6)}
        for name, each in taken.items()
    }


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return names with slashes as mappings in mappings.

    >>> nested({"a/b": 1, "a/c": 2})
    {'a': {'b': 1, 'c': 2}}
    """
    found: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split("/")
        place = found
        for step in path:
            place = place.setdefault(step, {})
        place[last] = value
    return found


def format_seconds(seconds: Mapping[str, Any], prefix: str = "") -> str:
    """Return a line per measurement: its name, median, quickest and slowest, in milliseconds."""
    lines = []
    for name, value in seconds.items():
        path = f"{prefix} {name}".strip()
        if "median" in value:
            low, high = 1000 * value["low"], 1000 * value["high"]
            lines.append(f"  {path:32} {1000 * value['median']:9.2f} ms  [{low:.2f}, {high:.2f}]")
        else:
            lines.append(format_seconds(value, path))
    return "\n".join(lines)
