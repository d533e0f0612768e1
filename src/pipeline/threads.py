"""The threads that a job computes with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

from src.config.schema import Config
from src.runtime.threads import limit_threads


@contextmanager
def resolved_threads(config: Config) -> Iterator[Config]:
    """Limit the libraries to ``runtime.threads``, and yield the configuration with that number resolved."""
    import src.pipeline.run  # noqa: F401  # loads the libraries that are limited

    with limit_threads(config.runtime.threads) as threads:
        yield dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, threads=threads))
