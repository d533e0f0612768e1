"""Does the second segment go on with the first? A task on real text, of pages held out of the embedded model's training.

``python -m experiments.studies.coherence_pairs text=FOLDER output=FOLDER`` writes train.tsv and test.tsv for ``dataset=files`` from the last part of
every document, as pre-training held it out; the documents of test are not those of train. The text's own sentences stand in these files.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.cli import command, required
from experiments.pretraining.corpus import Corpus, read_texts, split_held_out
from experiments.pretraining.examples import Batch, Examples, Vocabulary
from src.cli.messages import print_text
from src.errors import UserError

LABELS = ("consecutive", "other")  # in the order of BERT's next-sentence head
TEST_SHARE = 0.3  # of the documents
MARKS = 3  # [CLS], [SEP], [SEP]: places of a row that hold no word


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    text: str = required("a folder of .txt files, a document each")
    output: str = required("the folder of train.tsv and test.tsv")
    train: int = 3000
    test: int = 1000
    words: int = 45
    held_out: float = 0.02
    seed: int = 0


@command(Options)
def main(options: Options) -> None:
    """Write both files."""
    _, tail = split_held_out(read_texts(Path(options.text)), options.held_out)
    order = np.random.default_rng([options.seed, 0]).permutation(len(tail))
    cut = round(TEST_SHARE * len(tail))
    parts = (("test", options.test, order[:cut]), ("train", options.train, order[cut:]))
    for place, (name, count, numbers) in enumerate(parts):
        rows = pairs([tail[number] for number in numbers], count, options.words, [options.seed, 1, place])
        write(Path(options.output) / f"{name}.tsv", rows)
    words = " ".join(f"dataset.{name}={Path(options.output) / name}.tsv" for name in ("train", "test"))
    print_text(f"dataset=files {words} dataset.text_pair=text_pair")


class Segments(Examples):
    """Pairs as pre-training draws them, with nothing masked."""

    def _mask(
        self, rng: np.random.Generator, ids: np.ndarray, segments: np.ndarray, content: np.ndarray, random: np.ndarray
    ) -> Batch:
        none = np.zeros(0, np.int64)
        return Batch(ids, segments, none, none, random)


def pairs(
    documents: list[list[str]], rows: int, words: int, seed: list[int]
) -> tuple[list[str], list[str], np.ndarray]:
    """Segments of text that meet at a sentence's end, or whose second comes from another document: half of each.

    Parameters
    ----------
    documents : sentences of each
    rows : how many; no two of them are parted at the same place
    words : of both segments of a row together, split by spaces
    seed : as `numpy.random.default_rng` takes it

    Returns
    -------
    first, second : lists of (rows,) str
    label : (rows,) int64
        0 where the second follows the first, 1 where it does not.

    Raises
    ------
    UserError
        Fewer places than rows, or fewer than two documents that are long enough.

    References
    ----------
    Devlin et al. (2019), BERT, appendix A.1 and A.2; `experiments.pretraining.examples` draws them.
    """
    sentences = [[line.split() for line in document] for document in documents]
    table = [word for document in sentences for line in document for word in line]
    sizes = [len(line) for document in sentences for line in document]
    ends = np.cumsum([0, *(sum(map(len, document)) for document in sentences)])
    flat = Corpus(np.arange(len(table)), np.cumsum([0, *sizes])[:-1], ends)
    drawn = Segments(flat, Vocabulary.of_size(len(table))).draw(np.random.default_rng(seed), 4 * rows, words + MARKS)
    second = words + MARKS - drawn.segments.sum(axis=1)  # the column where it begins
    parted = drawn.ids[np.arange(len(second)), second - 2]
    kept = np.sort(np.unique(parted, return_index=True)[1])[:rows]
    if len(kept) < rows:
        raise UserError(
            f"{rows} pairs of {words} words need as many places to part them at, and {len(kept)} were found. Ask for fewer."
        )
    texts = [
        [
            " ".join(table[place] for place in row)
            for row in (drawn.ids[number][1 : second[number] - 1], drawn.ids[number][second[number] : -1])
        ]
        for number in kept
    ]
    return [row[0] for row in texts], [row[1] for row in texts], drawn.random[kept]


def write(path: Path, rows: tuple[list[str], list[str], np.ndarray]) -> None:
    """A file with the columns text, text_pair and label, no quoting: no word holds a space or a tab."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
            writer.writerow(("text", "text_pair", "label"))
            writer.writerows((first, second, LABELS[label]) for first, second, label in zip(*rows, strict=True))
    except OSError as error:
        raise UserError(f"output={path.parent} cannot be written: {error.strerror}. Name another folder.") from error


if __name__ == "__main__":
    main()
