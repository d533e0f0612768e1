"""How many threads a process computes with."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from src.runtime.provenance import cores

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

VARIABLES = ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK")  # set by launchers and users


def available_threads() -> int:
    """Return the number of cores that this process may use, or the environment's limit if lower."""
    values = [os.environ.get(name, "") for name in VARIABLES]
    return min([cores(), *(int(value) for value in values if value.isdecimal() and int(value) > 0)])


@contextmanager
def limit_threads(requested: int | None = None) -> Iterator[int]:
    """Limit the BLAS libraries to a number of threads, and yield that number.

    Only libraries that have been imported before are limited.

    Parameters
    ----------
    requested : int, optional
        Default: `available_threads()`.
    """
    threads = requested or available_threads()
    with _pools("torch" in sys.modules).limit(limits=threads, user_api="blas"):
        yield threads


@functools.cache
def _pools(with_torch: bool) -> ThreadpoolController:
    """Return the thread pools of the loaded libraries; cached, because finding them takes 8 ms."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
