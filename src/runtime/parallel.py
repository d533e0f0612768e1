"""A `map` over threads, for numpy functions on blocks of rows or resamples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Map = Callable[..., Iterable[Any]]

_active_map: ContextVar[Map | None] = ContextVar("_active_map", default=None)


@contextmanager
def parallel_map() -> Iterator[Map]:
    """Yield a `map` on as many threads as BLAS may use, and keep BLAS itself on one thread.

    The threads then meet once a pass and not at every small product. On a shared machine, a BLAS
    thread that waits for another one costs ten times the product. Nested calls yield the same
    `map`.
    """
    from threadpoolctl import threadpool_info, threadpool_limits

    outer = _active_map.get()
    if outer is not None:
        yield outer
        return
    number = max((library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"), default=1)
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(number) as pool:
        token = _active_map.set(pool.map)
        try:
            yield pool.map
        finally:
            _active_map.reset(token)
