"""Progress on a terminal as a bar, elsewhere as a line a minute."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

LOG_INTERVAL = 60.0  # seconds between two lines about a long step

log = logging.getLogger("src.progress")


def is_interactive() -> bool:
    """Return whether bars can be drawn: stderr is a terminal, or a notebook shows it."""
    return "ipykernel" in sys.modules or sys.stderr.isatty()


def progress_bar(label: str, wanted: bool, *, total: int | None = None, initial: int = 0, **options: Any) -> Any:
    """Return a bar for a long step: tqdm's on a terminal, else one that logs a line a minute.

    Parameters
    ----------
    label : str
    wanted : bool
        Whether progress is shown at all.
    total, initial : int
        Units of the step, and how many of them are done.
    **options
        Of tqdm: ``unit``, ``delay`` ...
    """
    if wanted and not is_interactive():
        return LoggedProgress(label, total, initial)
    from tqdm import tqdm

    return tqdm(desc=label, total=total, initial=initial, disable=not wanted, dynamic_ncols=True, **options)


class LoggedProgress:
    """Progress of a step in the log, with the part of tqdm's interface that is used here."""

    def __init__(self, label: str, total: int | None, initial: int) -> None:
        self.label, self.total, self.n, self.initial = label, total, initial, initial
        self.started = self.logged = time.monotonic()

    def __enter__(self) -> LoggedProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def set_description_str(self, label: str, refresh: bool = True) -> None:
        """Change the label of the lines."""
        self.label = label

    def update(self, done: int = 1) -> None:
        """Add units that are done; log a line if the last one is a minute old."""
        self.n += done
        now = time.monotonic()
        if now - self.logged < LOG_INTERVAL or not self.total:
            return
        self.logged, new = now, self.n - self.initial
        left = (now - self.started) * (self.total - self.n) / new if new else None
        log.info("%s: %d %%%s", self.label, 100 * self.n // self.total, time_left(left))


def time_left(seconds: float | None) -> str:
    """Return the end of a line about the time that is left; empty if it is unknown.

    >>> time_left(None), time_left(44), time_left(200), time_left(9000)
    ('', ', about 50 s left', ', about 3 min left', ', about 2.5 h left')
    """
    if seconds is None:
        return ""
    if seconds < 100:
        amount = f"{max(10, 10 * round(seconds / 10 + 0.499)):.0f} s"
    else:
        amount = f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
    return f", about {amount} left"
