"""Progress of fits on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from src.runtime.terminal import hides_bar

BAR_DELAY = 3.0  # seconds of fitting before a bar is shown
Progress = Callable[[str, int, int], None]  # stage of the fit, number of fits that are done, total number


def no_progress(stage: str, done: int, total: int) -> None:
    """Ignore the progress."""


@contextmanager
def progress_bar(label: str, wanted: bool) -> Iterator[Progress]:
    """Yield a callback that counts fits on a bar, on a terminal alone and after `BAR_DELAY`."""
    from tqdm import tqdm

    with tqdm(
        desc=label,
        unit="fit",
        delay=BAR_DELAY,
        leave=False,
        miniters=0,
        dynamic_ncols=True,
        disable=hides_bar(wanted),
    ) as bar:

        def progress(stage: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_description_str(f"{label}, {stage}", refresh=False)
            bar.update(max(0, done - bar.n))

        yield progress
