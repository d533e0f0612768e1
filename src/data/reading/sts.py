"""Read the years of the STS tasks: sets of pairs, each with a file of gold scores beside it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from src.data.reading.files import numbered_lines, read_error, without_line_end
from src.data.reading.tables import table_from_rows
from src.errors import UserError
from src.storage.numbers import is_decimal

INPUT, GOLD, END = "STS.input.", "STS.gs.", ".txt"
NOT_A_SET = "ALL"  # the sets of a year one after the other
COLUMNS = ["text", "text_pair", "label", "set"]


def find_sets(folder: Path, given: str, known: Sequence[str]) -> list[str]:
    """Return the sets of a year in the order of their names: those with pairs and with gold scores.

    Parameters
    ----------
    folder : Path
    given : str
        The folder as messages name it.
    known : sequence of str
        Sets of the year's official download, which need both files. Another set with gold scores
        alone is left out: the pairs of STS 2013's SMT are not distributed.

    Raises
    ------
    UserError
        There is no set, or a set lacks one of its files.
    """
    try:
        files = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise read_error(given, error) from None
    pairs, gold = _sets(files, INPUT), _sets(files, GOLD)
    if lacking := sorted((pairs - gold) | (gold & set(known)) - pairs):
        present, absent = (GOLD, INPUT) if lacking[0] in gold else (INPUT, GOLD)
        raise UserError(
            f"{given} has {present}{lacking[0]}{END} and no {absent}{lacking[0]}{END}. Add it, or take both away."
        )
    if not pairs:
        raise UserError(f"{given} has no {INPUT}<set>{END} with {GOLD}<set>{END} beside it.")
    return sorted(pairs)


def _sets(files: set[str], prefix: str) -> set[str]:
    """Return the names of the sets that have a file with this prefix."""
    names = {file.removeprefix(prefix).removesuffix(END) for file in files if file.startswith(prefix)}
    return {name for name in names if f"{prefix}{name}{END}" in files} - {NOT_A_SET}


def set_files(name: str) -> tuple[str, str]:
    """Return the file names of a set's pairs and of its gold scores."""
    return f"{INPUT}{name}{END}", f"{GOLD}{name}{END}"


def read_set(folder: Path, given: str, name: str, encoding: str = "utf-8") -> tuple[pa.Table, int]:
    """Return the scored pairs of a set, and the number of pairs without a gold score.

    Line i of the gold scores belongs to line i of the pairs. Fields after the second are ignored.

    Returns
    -------
    table : pa.Table
        Columns ``text``, ``text_pair``, ``label`` and ``set``.
    left_out : int

    Raises
    ------
    UserError
        The files have different numbers of lines, a line holds no pair, a score is no number, or no
        pair has a score.
    """
    left_out = [0]
    table = table_from_rows(COLUMNS, _rows(folder, given, name, encoding, left_out), given)
    if not len(table):
        raise UserError(f"'{given}/{set_files(name)[1]}' holds no score. Take both files of the set away.")
    return table, left_out[0]


def _rows(folder: Path, given: str, name: str, encoding: str, left_out: list[int]) -> Iterator[list[str]]:
    """Yield the scored pairs of a set; count those without a score in `left_out`."""
    (pairs, pairs_given), (gold, gold_given) = ((folder / file, f"{given}/{file}") for file in set_files(name))
    both = itertools.zip_longest(numbered_lines(pairs, pairs_given, encoding), numbered_lines(gold, gold_given))
    ended = None  # the file that has ended, with its number of lines
    for number, (line, scored) in enumerate(both, 1):
        if ended is None and (line is None or scored is None):
            ended = (pairs_given if line is None else gold_given), number - 1
        text = without_line_end(line[1]) if line else ""
        score = scored[1].strip() if scored else ""
        if ended and (text.strip() or score):
            raise UserError(
                f"'{ended[0]}' ends after line {ended[1]:,}, before the other file of its set; line i of one belongs "
                "to line i of the other.\nTake both files from one download."
            )
        if not score:
            left_out[0] += bool(text.strip())
            continue
        fields = text.split("\t")
        if len(fields) < 2:
            raise UserError(f"'{pairs_given}' line {number} holds no tab: two sentences with a tab between are needed.")
        if not is_decimal(score):
            raise UserError(f"'{gold_given}' line {number} holds no score: a number, or nothing if there is none.")
        yield [fields[0], fields[1], score, name]
