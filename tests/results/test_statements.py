"""A checkpoint's statements in words, and the caution where pairs are read in another way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from src import run
from src.errors import UserError
from src.results.cautions import cautions
from src.results.result import Result
from src.results.statements import describe_statements
from src.trackers.none import NoTracker
from tests.conftest import SENTENCES, Ended, write_csv
from tests.helpers.checkpoints import copy_checkpoint
from tests.helpers.records import make_result
from tests.models.test_statements import PLAIN, write_statements

MEAN: dict[str, Any] = {"modules": ["Transformer", "Pooling"], "pooling": ["mean"]}
SEPARATE = "pairing=separate"


def stating(stated: Any, pairs: bool = True, **changes: Any) -> Result:
    texts = {"test": ["a", "b"] if pairs else ["a"]}
    return make_result(provenance={"model": {"stated": stated}, "texts": texts}, **changes)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({}, []),
        (MEAN, ["mean", "apart"]),
        (MEAN | {"pooling": ["cls", "max"]}, ["cls and max", "concatenated"]),
        (MEAN | {"dense": [{"in": 8, "out": 4, "activation": "Tanh"}]}, ["8 to 4", "Tanh"]),
        (MEAN | {"modules": ["Transformer", "Pooling", "Normalize"], "max_length": 256}, ["unit vectors", "256"]),
        (MEAN | {"prompts": {"query": "query: "}}, ["prompt", "query"]),
        ({"modules": ["Transformer", "SpladePooling"]}, ["SpladePooling"]),
    ],
)
def test_the_description_names_what_is_stated(stated: dict[str, Any], words: list[str]) -> None:
    text = describe_statements(stated)
    assert all(word in text for word in words) and bool(text) == bool(words)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (stating(MEAN), True),
        (stating(MEAN, pairing="separate"), False),
        (stating(MEAN, pairs=False), False),
        (stating({"modules": ["Transformer"]}), False),
        (stating(MEAN | {"model_type": "CrossEncoder"}), False),
        (stating(MEAN | {"model_type": "SentenceTransformer"}), True),
        (make_result(), False),
    ],
)
def test_the_caution_names_the_alternative(result: Result, expected: bool) -> None:
    assert sum(SEPARATE in line for line in cautions(result)) == expected


@pytest.mark.parametrize(
    "stated",
    [
        [],
        {"pooling": ["mean"]},
        MEAN | {"pooling": "mean"},
        MEAN | {"pooling": [3]},
        MEAN | {"max_length": "long"},
        MEAN | {"dense": [{"in": 8}]},
        MEAN | {"prompts": {"query": []}},
    ],
)
def test_a_damaged_statement_damages_the_record(stated: Any) -> None:
    with pytest.raises(UserError, match="stated"):
        Result.from_json(stating(stated).to_json())
    assert Result.from_json(stating(MEAN).to_json()).provenance["model"] == {"stated": MEAN}


@pytest.fixture
def pairs(bert: Path, tmp_path: Path) -> list[str]:
    """Overrides of a run on pairs with a checkpoint that states its pooling."""
    folder = copy_checkpoint(bert, tmp_path / "stating")
    write_statements(folder, PLAIN, **{"1_Pooling__config": {"pooling_mode": "mean"}})
    for name, number in (("train", 40), ("test", 20)):
        rows = [(SENTENCES[place % 5], SENTENCES[place % 3], place % 4 + 0.5) for place in range(number)]
        write_csv(tmp_path / f"{name}.csv", rows, ("text", "other", "label"))
    data = ["dataset=files", "dataset.train=train.csv", "dataset.test=test.csv", "dataset.text_pair=other"]
    quick = ["dataset.task=regression", "runtime.threads=1", "runtime.progress=false", "probe.resamples=100"]
    return [f"model.path={folder}", *data, *quick, "tracker=none"]


def test_a_run_records_and_warns_once(
    run_main: Any, pairs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked: list[dict[str, Any]] = []
    monkeypatch.setattr(NoTracker, "start", lambda self, config, **_: tracked.append(config))
    ended: Ended = run_main(run.main, *pairs, "pooling=mean", "hydra.run.dir=run")
    assert ended.status == 0, ended.err
    text = " ".join((ended.out + ended.err).split())
    assert text.count(SEPARATE) == 1 and "made for mean pooling, texts read apart" in text
    assert Result.read(tmp_path / "run").provenance["model"]["stated"] == MEAN
    assert [config["stated"] for config in tracked] == [MEAN]
    apart = run_main(run.main, *pairs, "pooling=mean", "hydra.run.dir=apart", SEPARATE)
    assert apart.status == 0 and apart.out.count("warning: the checkpoint was made") == 0


def test_a_sweep_warns_once(run_main: Any, pairs: list[str], tmp_path: Path) -> None:
    words = ["-m", *pairs, "pooling=mean,cls", "layer=1,2", "hydra.sweep.dir=sweep"]
    ended: Ended = run_main(run.main, *words)
    assert ended.status == 0, ended.err
    assert sum(SEPARATE in line for line in (ended.out + ended.err).splitlines()) == 1
    assert (tmp_path / "sweep" / "comparison.md").read_text().count(SEPARATE) == 1
