"""Log lines that a process writes once, however many jobs of a sweep it runs."""

from __future__ import annotations

import functools
import logging


@functools.cache
def log_once(log: logging.Logger, line: str, level: int = logging.WARNING) -> None:
    """Log a line, unless this process has logged it."""
    log.log(level, line)
