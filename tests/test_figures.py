"""Figures call a pooling by one name, and say of a pooler that was never trained that it was not."""

from __future__ import annotations

import pytest

from experiments.figures import scores, style
from src.pooling import poolings


@pytest.mark.parametrize("name", poolings)
def test_what_needs_an_untrained_pooler_is_called_so(name: str) -> None:
    assert ("untrained" in style.label(name, "untrained")) == poolings[name].needs_pooler
    assert style.label(name, "trained") == style.LABELS.get(name, name)


def test_a_pooling_of_another_version_keeps_its_name() -> None:
    assert style.label("pooler_of_old", "untrained") == "pooler_of_old"


@pytest.mark.parametrize(
    ("word", "named"), [("tabel=x.csv", "unknown key 'tabel'; did you mean 'table'"), ("table=nowhere.csv", "table=nowhere.csv")]
)
def test_bad_options_are_refused(word: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        scores.main([word])
    assert ended.value.code == 1
    assert named in capsys.readouterr().err
