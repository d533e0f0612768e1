"""Fixtures of a small folder of texts and of its prepared arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.pretraining.corpus import Corpus, load_prepared, prepare

VOCABULARY = 200
THEMES = (
    "sea ship wave sail wind storm",
    "bread oven flour cook salt butter",
    "king court crown queen guard throne",
    "road horse cart mile hill inn",
)


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write four documents with four sets of words, so that a segment identifies its document."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("books")
    for number, theme in enumerate(THEMES):
        words = theme.split()
        lines = [" ".join(["the", *rng.choice(words, 5)]).capitalize() + "." for _ in range(400)]
        (folder / f"{number}.txt").write_text(
            "\n\n".join(" ".join(lines[start : start + 4]) for start in range(0, 400, 4)), encoding="utf-8"
        )
    return folder


@pytest.fixture(scope="module")
def parts(books: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Corpus, Path]:
    """Return training part, held-out part and tokenizer of the texts."""
    return load_prepared(prepare(books, tmp_path_factory.mktemp("work"), VOCABULARY, 0.1))
