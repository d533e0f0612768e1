"""Draws and writes figures in other processes while this one is busy, and then in this one too."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
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
    records, folder : Path
        Of the records, and of the files.
    """

    def __init__(self, pool: ProcessPoolExecutor, records: Path, folder: Path) -> None:
        self._pool = pool
        self._records, self._folder = records, folder
        self._jobs: dict[str, Future[Drawn]] = {}
        pool.submit(_read, records)  # a process begins to read while this one does

    def begin(self, names: Iterable[str]) -> None:
        """Begin to draw these figures."""
        for name in names:
            self._jobs[name] = self._pool.submit(_draw_own, name, self._records, self._folder)

    def finish(self, evidence: Evidence) -> dict[str, Drawn]:
        """Draw what no other process has begun, wait for the rest, and return all figures by name.

        What the others resampled is added to that of `evidence`.
        """
        from tqdm import tqdm

        with tqdm(total=len(self._jobs), desc="figures", unit="figure", leave=False, disable=None) as bar:
            for job in self._jobs.values():
                job.add_done_callback(lambda _: bar.update())  # of a cancelled one too, which is drawn at once
            own = {
                name: draw(name, evidence, self._records, self._folder)
                for name, job in reversed(self._jobs.items())
                if job.cancel()
            }
            drawn = {name: own[name] if name in own else job.result() for name, job in self._jobs.items()}
        for each in drawn.values():
            evidence.resampling.add(each.resampled)
        return drawn


@contextmanager
def drawing_processes(records: Path, folder: Path) -> Iterator[Drawing]:
    """Start processes that draw figures from a folder of records into another folder."""
    processes = min(PROCESSES, max(1, cores() - 1))
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        try:
            yield Drawing(pool, records, folder)
        finally:
            pool.shutdown(cancel_futures=True)


def draw(name: str, evidence: Evidence, records: Path, folder: Path) -> Drawn:
    """Draw one figure and write its files into a folder."""
    with limit_threads(1):  # its products are small, and threads that wait for one another cost more
        pdf, png = registry.save(registry.FIGURES[name].draw(evidence, records), folder / name)
        return Drawn([pdf, png], embed(png), evidence.resampling.used)


def _draw_own(name: str, records: Path, folder: Path) -> Drawn:
    return draw(name, _read_once(records), records, folder)


def _read(records: Path) -> None:
    """Read the records for later figures. An error is kept in the job; the first figure raises it again."""
    _read_once(records)


@functools.cache
def _read_once(records: Path) -> Evidence:
    with limit_threads(1):
        return Evidence.read(records)
