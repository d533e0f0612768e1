"""Seconds per phase, device synchronised."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PHASES = ("load", "tokenise", "encode", "pool", "store", "fit", "score")


class Clock:
    """Wall seconds per phase of one run.

    Phases nest: while an inner phase runs, its outer one stands still, so that no second is counted twice.

    Parameters
    ----------
    synchronise : callable, optional
        Called before each reading; on an accelerator it waits for the queued work, which would else be billed to a later phase.
    now : callable
        Seconds from a monotonic source.
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

    def _turn(self) -> None:
        """Bill the time since the last turn to the innermost open phase, if any."""
        now = self._read()
        if self._open:
            self.add(self._open[-1], now - self._mark)
        self._mark = now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Bill the block to `name`, also when it raises. A phase entered again accumulates."""
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def add(self, name: str, seconds: float) -> None:
        """Bill seconds that were measured elsewhere, such as in a worker process; they need not lie inside `total`."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def seconds(self) -> dict[str, float]:
        """Seconds by phase, 0.0 where it did not happen; ``total`` is the wall time since the clock was made."""
        self._turn()
        return {**self._seconds, "total": self._mark - self._start}
