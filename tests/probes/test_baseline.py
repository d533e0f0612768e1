"""The bag of word pieces reads pairs as the features beside it do."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.conftest import write_csv
from tests.helpers.protocols import done, settings

WORDS = ["dog", "mat", "rain", "road", "day", "party", "cat", "morning"]


def test_the_bag_reads_pairs_as_the_features_do(bert: Path, tmp_path: Path) -> None:
    """Whether both texts hold one word is in the product of two bags, and not in one bag of both."""
    generator = np.random.default_rng(0)
    for name, rows in (("train", 400), ("test", 200)):
        table = []
        for row in range(rows):
            one, other = generator.choice(WORDS, size=2, replace=False)
            pair = ((one, one), (other, other)) if row % 2 else ((one, other), (other, one))
            table += [(*each, int(row % 2)) for each in pair]
        write_csv(tmp_path / f"{name}.csv", table, header=("text", "other", "label"))
    files = [f"dataset.train={tmp_path / 'train.csv'}", f"dataset.test={tmp_path / 'test.csv'}"]
    bags = {}
    for pairing in ("joint", "separate"):
        _, finished = done(settings(bert, tmp_path, *files, "dataset.text_pair=other", f"pairing={pairing}"))
        bags[pairing] = finished.result.baseline["bag_of_word_pieces"]
    assert bags["separate"]["value"] == 1 and bags["separate"]["width"] == 4 * bags["joint"]["width"]
    assert bags["joint"]["width"] == len(WORDS)
