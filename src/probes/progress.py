"""Progress of fits on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from src.runtime import terminal

BAR_DELAY = 3.0  # seconds of fitting before a bar is shown
Progress = Callable[[str, int, int], None]  # stage of the fit, number of fits that are done, total number


def no_progress(stage: str, done: int, total: int) -> None:
    """Ignore the progress."""


@contextmanager
def progress_bar(label: str, wanted: bool) -> Iterator[Progress]:
    """Yield a callback that counts fits: on a bar after `BAR_DELAY`, without a terminal in the log."""
    with terminal.progress_bar(label, wanted, unit="fit", delay=BAR_DELAY, leave=False, miniters=0) as bar:

        def progress(stage: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_description_str(f"{label}, {stage}", refresh=False)
            bar.update(max(0, done - bar.n))

        yield progress
