"""The bars of the benchmark, and whether the figures clear them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from experiments.benchmarks import encoder, probe, startup

RATIOS = (0.60, 0.75)  # of the seconds of sentence-transformers: the checkpoint, BERT-base's shape
MIXED = 0.35  # the same with runtime.dtype=mixed, on a CPU with AMX
SECOND_POOLING = 0.20  # of the first run's seconds
HELP = 1.5  # seconds


@dataclass(frozen=True)
class Bar:
    """A figure with the largest value that it may have.

    Attributes
    ----------
    value : float or None
        None if it was not measured.
    reason : str
        Why not, or what else has to be known.
    """

    name: str
    limit: float
    value: float | None
    reason: str = ""

    @property
    def verdict(self) -> str:
        """``met``, ``missed`` or ``unmeasured``."""
        if self.value is None:
            return "unmeasured"
        return "met" if self.value <= self.limit else "missed"

    def record(self) -> dict[str, Any]:
        """Return the bar by the names of its fields."""
        return {**asdict(self), "verdict": self.verdict}

    def line(self) -> str:
        """Return the bar as it is printed."""
        value = "" if self.value is None else f"{self.value:.3g} "
        return f"  {self.verdict:10} {self.name}: {value}(at most {self.limit:g})" + f" {self.reason}".rstrip()


def encoder_bars(figures: Sequence[encoder.Figures], limits: Sequence[float]) -> Iterator[Bar]:
    """Yield the bars of extraction: by sentence-transformers, by the quickest peer, and in mixed."""
    for found, limit in zip(figures, limits, strict=True):
        first, quickest = next(iter(found.peers)), found.quickest_peer
        yield Bar(f"{found.name}, by {first}", limit, found.ratio(first))
        yield Bar(f"{found.name}, by the quickest peer", 1.0, found.ratio(quickest), quickest)
    if figures:
        found = figures[0]
        value = found.ratio(next(iter(found.peers)), found.mixed) if found.mixed else None
        yield Bar(f"{found.name}, mixed", MIXED, value, "" if found.mixed else "this CPU has no AMX")


def probe_bars(figures: Sequence[probe.Figures]) -> Iterator[Bar]:
    """Yield the bars of the probe: seconds by the peer's, and the gap to the optimum."""
    for found in figures:
        name = f"probe, {found.classes} classes"
        yield Bar(f"{name}, by {probe.PEER}", probe.ALLOWED[found.classes], found.ratio)
        yield Bar(f"{name}, gap to the optimum", probe.ALLOWED_GAP, found.gap)


def startup_bars(figures: startup.Figures) -> Iterator[Bar]:
    """Yield the bars of whole commands."""
    reason = "" if figures.ratio is not None else "left out"
    yield Bar("a second pooling from the store, by the first run", SECOND_POOLING, figures.ratio, reason)
    yield Bar("--help, seconds", HELP, statistics.median(figures.help))
