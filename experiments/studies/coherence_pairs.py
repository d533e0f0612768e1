"""Write a task of consecutive segments: does the second segment follow the first?

``python -m experiments.studies.coherence_pairs text=FOLDER output=FOLDER``

Writes train.tsv and test.tsv for ``dataset=files`` from the last part of every document, which
pre-training holds out. No document of test is one of train. The files hold sentences of the text.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.cli import at_least, command, required
from experiments.files import check_unused, make_folder
from experiments.pretraining.corpus import Corpus, check_share, read_texts, split_held_out
from experiments.pretraining.examples import Batch, Examples, Vocabulary
from src.cli.messages import print_text
from src.errors import UserError
from src.storage.atomic import replace_files

LABELS = ("consecutive", "other")  # in the order of BERT's next-sentence head
TEST_SHARE = 0.3  # share of the documents
SPECIAL_TOKENS = 3  # tokens of a row: [CLS], [SEP], [SEP]


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    text: str = required("a folder of .txt files, a document each")
    output: str = required("the folder of train.tsv and test.tsv")
    train: int = at_least(1, 3000)
    test: int = at_least(1, 1000)
    words: int = at_least(1, 45)
    held_out: float = 0.02
    seed: int = at_least(0, 0)


@command(Options)
def main(options: Options) -> None:
    """Write both files."""
    check_share(options.held_out)
    _, tail = split_held_out(read_texts(Path(options.text)), options.held_out)
    order = np.random.default_rng([options.seed, 0]).permutation(len(tail))
    cut = round(TEST_SHARE * len(tail))
    parts = (("test", options.test, order[:cut]), ("train", options.train, order[cut:]))
    files = {}
    for place, (name, count, numbers) in enumerate(parts):
        rows = pairs([tail[number] for number in numbers], count, options.words, [options.seed, 1, place])
        files[f"{name}.tsv"] = to_tsv(rows)
    folder = make_folder(Path(options.output))
    check_unused(folder, files)
    replace_files(folder, files)
    words = " ".join(f"dataset.{name}={Path(options.output) / name}.tsv" for name in ("train", "test"))
    print_text(f"dataset=files {words} dataset.text_pair=text_pair")


class UnmaskedExamples(Examples):
    """Draws pairs as pre-training does, without masks."""

    def _mask(
        self, rng: np.random.Generator, ids: np.ndarray, segments: np.ndarray, content: np.ndarray, random: np.ndarray
    ) -> Batch:
        none = np.zeros(0, np.int64)
        return Batch(ids, segments, none, none, random)


def pairs(
    documents: list[list[str]], rows: int, words: int, seed: list[int]
) -> tuple[list[str], list[str], np.ndarray]:
    """Draw pairs of segments; half of the second segments come from another document.

    Parameters
    ----------
    documents : list of list of str
        Sentences of each document.
    rows : int
        No two rows have the same boundary between their segments.
    words : int
        Of both segments together, split by spaces.
    seed : list of int
        For `numpy.random.default_rng`.

    Returns
    -------
    first, second : lists of (rows,) str
    label : (rows,) int64
        0 if the second follows the first, 1 if not.

    Raises
    ------
    UserError
        There are fewer boundaries than rows, or fewer than two long documents.

    References
    ----------
    Devlin et al. (2019), BERT, appendix A.1 and A.2.
    """
    sentences = [[line.split() for line in document] for document in documents]
    table = [word for document in sentences for line in document for word in line]
    sizes = [len(line) for document in sentences for line in document]
    if rows > len(table):  # a pair needs a boundary of its own, and a boundary a word
        raise UserError(f"{rows} pairs need as many words, and the texts hold {len(table)}. Use fewer rows.")
    ends = np.cumsum([0, *(sum(map(len, document)) for document in sentences)])
    flat = Corpus(np.arange(len(table)), np.cumsum([0, *sizes])[:-1], ends)
    drawn = UnmaskedExamples(flat, Vocabulary.of_size(len(table))).draw(
        np.random.default_rng(seed), 4 * rows, words + SPECIAL_TOKENS
    )
    second = words + SPECIAL_TOKENS - drawn.segments.sum(axis=1)  # the column where the second segment begins
    boundaries = drawn.ids[np.arange(len(second)), second - 2]
    kept = np.sort(np.unique(boundaries, return_index=True)[1])[:rows]
    if len(kept) < rows:
        raise UserError(
            f"{rows} pairs of {words} words need as many boundaries, and {len(kept)} were found. Use fewer rows."
        )
    texts = [
        [
            " ".join(table[place] for place in row)
            for row in (drawn.ids[number][1 : second[number] - 1], drawn.ids[number][second[number] : -1])
        ]
        for number in kept
    ]
    return [row[0] for row in texts], [row[1] for row in texts], drawn.random[kept]


def to_tsv(rows: tuple[list[str], list[str], np.ndarray]) -> bytes:
    """Return the columns text, text_pair and label as a file; no word needs quoting."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
    writer.writerow(("text", "text_pair", "label"))
    writer.writerows((first, second, LABELS[label]) for first, second, label in zip(*rows, strict=True))
    return text.getvalue().encode()


if __name__ == "__main__":
    main()
