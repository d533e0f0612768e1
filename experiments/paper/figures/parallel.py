"""Draws and writes figures in other processes while this one is busy, and then in this one too."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from threading import Lock
from typing import Any

from experiments.paper.evidence import Evidence
from experiments.paper.figures import registry
from experiments.paper.html import embed
from src.runtime.provenance import cores
from src.runtime.threads import limit_threads

PROCESSES = 4  # at most


@dataclass(frozen=True)
class Drawn:
    """A figure that has been written.

    Attributes
    ----------
    files : list of Path
        PDF and PNG.
    source : str
        Address of the image for a page of HTML that holds it.
    resampled : dict
        Results of resampling that were asked for; see `Resampling.add`.
    """

    files: list[Path]
    source: str
    resampled: Mapping[str, Any]


class Drawing:
    """Figures that other processes draw. Each reads the records itself: figures take longer to send.

    Parameters
    ----------
    pool : ProcessPoolExecutor
    processes : int
        Of the pool.
    records, folder : Path
        Of the records, and of the files.
    """

    def __init__(self, pool: ProcessPoolExecutor, processes: int, records: Path, folder: Path) -> None:
        self._pool, self._processes = pool, processes
        self._records, self._folder = records, folder
        self._names: list[str] = []
        self._waiting: deque[str] = deque()
        self._jobs: dict[str, Future[Drawn]] = {}
        self._lock = Lock()
        pool.submit(_read, records)  # a process begins to read while this one does

    def begin(self, names: Iterable[str]) -> None:
        """Begin to draw these figures."""
        self._names = list(names)
        self._waiting.extend(self._names)
        for _ in range(self._processes):
            self._submit_next()

    def _submit_next(self, _: object = None) -> None:
        """Give the next figure to a process that is free; what waits in the pool, this process could not draw."""
        with self._lock:
            if not self._waiting:
                return
            name = self._waiting.popleft()
            job = self._jobs[name] = self._pool.submit(_draw_own, name, self._records, self._folder)
        job.add_done_callback(self._submit_next)

    def finish(self, evidence: Evidence) -> dict[str, Drawn]:
        """Draw what no other process has begun, wait for the rest, and return all figures by name.

        What the others resampled is added to that of `evidence`.
        """
        from tqdm import tqdm

        drawn: dict[str, Drawn] = {}
        with tqdm(total=len(self._names), desc="figures", unit="figure", leave=False, disable=None) as bar:
            while name := self._take_last():
                drawn[name] = draw(name, evidence, self._records, self._folder)
                bar.update()
            for name, job in self._jobs.items():
                drawn[name] = job.result()
                bar.update()
        for each in drawn.values():
            evidence.resampling.add(each.resampled)
        return {name: drawn[name] for name in self._names}

    def _take_last(self) -> str | None:
        with self._lock:
            return self._waiting.pop() if self._waiting else None

    def stop(self) -> None:
        """Begin no further figure."""
        with self._lock:
            self._waiting.clear()


@contextmanager
def drawing_processes(records: Path, folder: Path) -> Iterator[Drawing]:
    """Start processes that draw figures from a folder of records into another folder."""
    processes = min(PROCESSES, max(1, cores() - 1))
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        drawing = Drawing(pool, processes, records, folder)
        try:
            yield drawing
        finally:
            drawing.stop()
            pool.shutdown(cancel_futures=True)


def draw(name: str, evidence: Evidence, records: Path, folder: Path) -> Drawn:
    """Draw one figure and write its files into a folder."""
    pdf, png = registry.save(registry.FIGURES[name].draw(evidence, records), folder / name)
    return Drawn([pdf, png], embed(png), evidence.resampling.used)


def _draw_own(name: str, records: Path, folder: Path) -> Drawn:
    with limit_threads(1):  # as the process that builds the page
        return draw(name, _read_once(records), records, folder)


def _read(records: Path) -> None:
    """Read the records for later figures. An error is kept in the job; the first figure raises it again."""
    _read_once(records)


@functools.cache
def _read_once(records: Path) -> Evidence:
    return Evidence.read(records)
