"""Registry of grammars; each writes the rows of one generated task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from src.data.generated.draw import Draw
from src.registry import Registry

Texts = tuple[str, ...]


@dataclass(frozen=True)
class Grammar:
    """The labels of a task, in equal shares, and the function that writes one row for a label."""

    labels: tuple[str, ...]
    write: Callable[[Draw, str], Texts]


grammars: Registry[Grammar] = Registry("grammar")


def grammar(*labels: str) -> Callable[[Callable[[Draw, str], Texts]], Callable[[Draw, str], Texts]]:
    """Register a function that writes one row for a label, under the function's name."""

    def register(write: Callable[[Draw, str], Texts]) -> Callable[[Draw, str], Texts]:
        grammars.add(write.__name__, Grammar(labels, write))
        return write

    return register
