"""Random choices from a seed, by integer arithmetic that is the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
MASK = (1 << 64) - 1


class Draw:
    """A stream of choices that is seeded by names.

    >>> Draw("sentiment", 0).below(1000) == Draw("sentiment", 0).below(1000)
    True

    References
    ----------
    Steele, Lea, Flood (2014), Fast Splittable Pseudorandom Number Generators, OOPSLA: SplitMix64.
    """

    def __init__(self, *names: object) -> None:
        self._state = int.from_bytes(hashlib.sha256("/".join(map(str, names)).encode()).digest()[:8], "little")

    def below(self, end: int) -> int:
        """Return a whole number from 0 to `end` - 1."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        return ((mixed ^ (mixed >> 31)) * end) >> 64

    def percent(self, share: int) -> bool:
        """Return True with a probability of `share` percent."""
        return self.below(100) < share

    def pick(self, things: Sequence[T]) -> T:
        """Return one of `things`."""
        return things[self.below(len(things))]

    def some(self, things: Sequence[T], number: int) -> list[T]:
        """Return `number` of `things` in a random order, none twice."""
        left = list(things)
        return [left.pop(self.below(len(left))) for _ in range(number)]
