"""Bad options of the measurement on held-out text end with a line, before a model is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.pretraining import held_out
from experiments.studies import coherence_pairs


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], ["text"]),
        (["text=.", "rows=0"], ["rows=0", "16"]),
        (["text=.", "held_out=0"], ["held_out=0", "fraction"]),
        (["text=.", "held_out=1.5"], ["held_out=1.5", "fraction"]),
        (["text=.", "lengths=512"], ["lengths=512", "256"]),
        (["text=.", "lengths=8"], ["lengths=8", "16"]),
        (["text=nowhere"], ["text=nowhere"]),
    ],
)
def test_a_refusal_names_the_option(words: list[str], named: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        held_out.main(words)
    said = capsys.readouterr().err
    assert ended.value.code == 1 and all(each in said for each in named) and len(said.splitlines()) <= 2


@pytest.mark.parametrize("word", ["train=0", "test=-1", "words=0", "seed=-1", "held_out=0", "held_out=nan"])
def test_pairs_of_no_size_are_refused(word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        coherence_pairs.main(["text=.", f"output={tmp_path}", word])
    assert ended.value.code == 1 and word.partition("=")[0] in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
