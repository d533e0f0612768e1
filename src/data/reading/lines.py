"""Read the plain layouts of official downloads: one sentence a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from src.data.reading.files import numbered_lines, without_line_end
from src.data.reading.tables import table_from_rows
from src.errors import UserError


def read_sentences(path: Path, given: str, label: str, encoding: str = "utf-8") -> pa.Table:
    """Read one sentence a line, empty lines too, all of class `label`: columns text, label."""
    rows = ([without_line_end(line), label] for _, line in numbered_lines(path, given, encoding))
    return table_from_rows(["text", "label"], rows, given)


def read_parallel_lines(files: Mapping[str, tuple[Path, str]], encoding: str = "utf-8") -> pa.Table:
    """Read files whose lines belong together, a column each.

    Parameters
    ----------
    files : mapping
        Column to file, and what messages call the file.
    encoding : str

    Raises
    ------
    UserError
        A file cannot be read, or the files have different numbers of lines.
    """
    lines = {
        column: [without_line_end(line) for _, line in numbered_lines(path, given, encoding)]
        for column, (path, given) in files.items()
    }
    counts = {given: len(lines[column]) for column, (_, given) in files.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{given} has {count:,}" for given, count in counts.items())
        raise UserError(
            f"the lines of these files belong together, and their numbers differ: {listed}. Get the files again."
        )
    return table_from_rows(list(files), zip(*lines.values(), strict=True), ", ".join(counts))


def read_labelled_lines(path: Path, given: str, label_end: str | None, encoding: str = "utf-8") -> pa.Table:
    """Read a label, a space and a sentence from each line: columns text, label.

    `label_end`, as the colon of ``COARSE:fine``, ends the label within the first word.
    """

    def rows() -> Iterator[list[str]]:
        for number, line in numbered_lines(path, given, encoding):
            if not (text := without_line_end(line)):
                continue
            label, space, sentence = text.partition(" ")
            if not space:
                raise UserError(
                    f"'{given}' line {number} holds no space: a label, a space and the sentence are expected."
                )
            yield [sentence, label.partition(label_end)[0] if label_end else label]

    return table_from_rows(["text", "label"], rows(), given)
