"""Seconds by phase of a run, with the device synchronised."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PHASES = ("load", "tokenise", "encode", "pool", "store", "fit", "score")


class Clock:
    """Clock of wall seconds by phase of one run.

    Phases nest: an outer phase pauses while its inner one runs, so no second is counted twice.

    Parameters
    ----------
    synchronise : callable, optional
        Called before each reading. On an accelerator it waits for the queued work, which would
        otherwise count towards a later phase.
    now : callable
        Returns seconds from a monotonic source. Default: `time.perf_counter`.
    """

    def __init__(
        self, synchronise: Callable[[], object] | None = None, *, now: Callable[[], float] = time.perf_counter
    ) -> None:
        self.synchronise = synchronise
        self._now = now
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._open: list[str] = []
        self._start = self._mark = self._read()

    def _read(self) -> float:
        if self.synchronise is not None:
            self.synchronise()
        return self._now()

    def _advance(self) -> None:
        """Add the time since the last call to the innermost open phase, if any."""
        now = self._read()
        if self._open:
            self.add(self._open[-1], now - self._mark)
        self._mark = now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the seconds of the block to a phase, also if it raises an error."""
        self._advance()
        self._open.append(name)
        try:
            yield
        finally:
            self._advance()
            self._open.pop()

    def add(self, name: str, seconds: float) -> None:
        """Add seconds that were measured elsewhere; `total` does not contain them."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def seconds(self) -> dict[str, float]:
        """Return the seconds by phase; ``total`` is the wall time since the clock was created."""
        self._advance()
        return {**self._seconds, "total": self._mark - self._start}
