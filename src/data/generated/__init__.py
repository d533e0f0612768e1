"""Demo tasks written by a small grammar of the project's own: nothing to download, no sentence of anybody else's.

Each task is one file that registers one function `(draw, label) -> texts`. The texts of a task follow from its name, its seed and
the numbers of rows alone. They are made so that words alone say little: the label follows from how words stand together, within a
sentence or across the two of a pair. They compare poolings where no data is at hand; they are no measure of a model's English.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from src.data.generated.draw import Draw
from src.errors import UserError
from src.registry import Registry

Texts = tuple[str, ...]
TASKS = ("sentiment", "acceptability", "paraphrase", "entailment", "similarity", "coherence")
MOST_ROWS = 100_000
MOST_TRIES = 1000  # in a row without a new text; then the grammar has run dry


@dataclass(frozen=True)
class Grammar:
    """How one task is written: its labels, in equal shares, and the function that writes one row for a label."""

    labels: tuple[str, ...]
    write: Callable[[Draw, str], Texts]


_grammars: Registry[Grammar] = Registry("grammar")


def grammar(*labels: str) -> Callable[[Callable[[Draw, str], Texts]], Callable[[Draw, str], Texts]]:
    """Register a function that writes one row for a label, under its own name."""

    def register(write: Callable[[Draw, str], Texts]) -> Callable[[Draw, str], Texts]:
        _grammars.add(write.__name__, Grammar(labels, write))
        return write

    return register


def grammars() -> Registry[Grammar]:
    """All of them, by name."""
    for task in TASKS:
        import_module(f"src.data.generated.{task}")
    return _grammars


def generate(name: str, seed: int, rows: Mapping[str, int]) -> dict[str, list[tuple[Texts, str]]]:
    """Write the splits of a task.

    Parameters
    ----------
    name : str
        A grammar: sentiment, acceptability, paraphrase, entailment, similarity or coherence.
    seed : int
        Of the task, not of the run.
    rows : mapping
        Split name to its number of rows.

    Returns
    -------
    dict
        Split name to its rows: the texts (one, or two of a pair) and the label. Labels have equal shares, and no two rows of any
        splits consist of the same words, in whatever order.

    Raises
    ------
    UserError
        An unknown grammar, a split without rows, more rows than the grammar has texts.
    """
    found = grammars()[name]
    splits: dict[str, list[tuple[Texts, str]]] = {}
    seen: set[tuple[str, ...]] = set()
    for split, number in rows.items():
        if number < 1:
            raise UserError(f"demo task {name}: dataset.generated.rows.{split}={number}: at least 1 is needed.")
        if number > MOST_ROWS:
            raise UserError(
                f"demo task {name}: dataset.generated.rows.{split}={number}: at most {MOST_ROWS:,} are written."
            )
        draw = Draw(name, seed, split)
        labels = [found.labels[place % len(found.labels)] for place in range(number)]
        splits[split] = [(_unseen(found, name, draw, label, seen), label) for label in draw.some(labels, number)]
    return splits


def _unseen(found: Grammar, name: str, draw: Draw, label: str, seen: set[tuple[str, ...]]) -> Texts:
    for _ in range(MOST_TRIES):
        texts = tuple(_sentence(text) for text in found.write(draw, label))
        words = tuple(sorted(re.findall(r"\w+", " ".join(texts).lower())))
        if words not in seen:
            seen.add(words)
            return texts
    raise UserError(
        f"demo task {name}: its grammar has no more than about {len(seen)} texts. Ask for fewer in dataset.generated.rows."
    )


def _sentence(text: str) -> str:
    """One space between words, a capital letter in front, a full stop at the end."""
    text = " ".join(text.split()).replace(" ,", ",").replace(" ;", ";")
    return text[0].upper() + text[1:] + "."
