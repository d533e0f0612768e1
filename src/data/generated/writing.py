"""Write the rows of generated tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping

from src.data.generated.draw import Draw
from src.data.generated.grammars import Grammar, Texts, grammars
from src.errors import UserError

MAX_ROWS = 100_000
MAX_TRIES = 1000  # in a row without a new text, before the grammar counts as exhausted


def generate(name: str, seed: int, rows: Mapping[str, int]) -> dict[str, list[tuple[Texts, str]]]:
    """Write the splits of a task.

    Parameters
    ----------
    name : str
        A grammar: sentiment, acceptability, paraphrase, entailment, similarity or coherence.
    seed : int
        The seed of the task, not of the run.
    rows : mapping
        Split name to its number of rows.

    Returns
    -------
    dict
        Split name to its rows: a tuple of one or two texts, and the label. Labels have equal
        shares. No two rows of any splits consist of the same words, in whatever order.

    Raises
    ------
    UserError
        The grammar is unknown, a split has no rows, or the grammar has fewer texts than rows.
    """
    found = grammars[name]
    splits: dict[str, list[tuple[Texts, str]]] = {}
    seen: set[tuple[str, ...]] = set()
    for split, number in rows.items():
        given = f"demo task {name}: dataset.generated.rows.{split}={number}"
        if number < 1:
            raise UserError(f"{given}: at least 1 is needed.")
        if number > MAX_ROWS:
            raise UserError(f"{given}: at most {MAX_ROWS:,} are written.")
        draw = Draw(name, seed, split)
        labels = [found.labels[place % len(found.labels)] for place in range(number)]
        splits[split] = [(_new_texts(found, name, draw, label, seen), label) for label in draw.some(labels, number)]
    return splits


def _new_texts(found: Grammar, name: str, draw: Draw, label: str, seen: set[tuple[str, ...]]) -> Texts:
    """Write texts until their words are new, and add the words to `seen`."""
    for _ in range(MAX_TRIES):
        texts = tuple(_sentence(text) for text in found.write(draw, label))
        words = tuple(sorted(re.findall(r"\w+", " ".join(texts).lower())))
        if words not in seen:
            seen.add(words)
            return texts
    raise UserError(
        f"demo task {name}: its grammar has no more than about {len(seen)} texts. "
        "Ask for fewer in dataset.generated.rows."
    )


def _sentence(text: str) -> str:
    """Return a text with single spaces, a capital letter in front and a full stop at the end."""
    text = " ".join(text.split()).replace(" ,", ",").replace(" ;", ";")
    return text[0].upper() + text[1:] + "."
