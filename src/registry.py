"""Names to functions: refuses duplicates, suggests near names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from src.errors import UserError

T = TypeVar("T")


def unknown(kind: str, name: object, known: Iterable[str], *, where: str = "") -> UserError:
    """The error for a name that is not in a vocabulary, with the nearest known one.

    >>> print(unknown("metric", "acuracy", ["accuracy", "f1"], where="sst2: "))
    sst2: unknown metric 'acuracy'; did you mean 'accuracy'? Known: accuracy, f1.
    """
    names = sorted(known)
    return UserError(f"{where}unknown {kind} '{name}'{near(name, names)} Known: {', '.join(names)}.")


def near(name: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or a full stop."""
    found = difflib.get_close_matches(str(name), sorted(known), n=1)
    return f"; did you mean '{found[0]}'?" if found else "."


class Registry(Mapping[str, T], Generic[T]):
    """An ordered mapping of names to registered things.

    >>> shapes = Registry("shape")
    >>> shapes.add("square", 4)
    >>> shapes["sqare"]
    Traceback (most recent call last):
    src.errors.UserError: unknown shape 'sqare'; did you mean 'square'? Known: square.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._things: dict[str, T] = {}

    def add(self, name: str, thing: T) -> None:
        """Register `thing`; a second one under the same name is a programming error."""
        if name in self._things:
            raise ValueError(f"{self.kind} '{name}' is registered twice")
        self._things[name] = thing

    def __getitem__(self, name: str) -> T:
        if name not in self._things:
            raise unknown(self.kind, name, self._things)
        return self._things[name]

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)
