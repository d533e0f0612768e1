"""Probes on [CLS] with another vector beside it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from experiments.studies import conditional, geometry
from src.pooling import parts_of
from src.probes.protocols.base import Protocol
from src.probes.settings import ProbeData, ProbeSettings, Rows
from src.probes.solvers.estimators import LogisticRegression, Ridge
from src.results.result import Result, read_predictions
from tests.conftest import SENTENCES, write_csv


@pytest.mark.parametrize(
    ("more", "needle"),
    [
        ([], "output is not set"),
        (["dataset=sst3", "output=x"], "sst3"),
        (["pooler=cls", "output=x"], "pooler"),
        (["-m"], "-m"),
        (["x"], "x"),
    ],
)
@pytest.mark.parametrize("command", [geometry, conditional])
def test_bad_input_ends_with_one_error(
    command: object, more: list[str], needle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(more)  # type: ignore[attr-defined]
    error = capsys.readouterr().err
    assert ended.value.code == 1 and error.startswith("error: ") and needle in error and len(error.splitlines()) <= 3


def test_a_record_for_each_vector_beside_cls(words: list[str]) -> None:
    conditional.main([*words, "output=beside"])
    with Path("beside/information.csv").open(newline="") as file:
        rows = {row["pooling"]: row for row in csv.DictReader(file)}
    assert list(rows) == [each.label for each in conditional.representations()] and "concat(cls,pooler)" in rows
    assert float(rows["cls"]["gain"]) == 0
    records = {name: Result.read(f"beside/files/{name}") for name in rows}
    assert {name: record.pooling_label for name, record in records.items()} == {name: name for name in rows}
    assert {name: record.counts["width"] for name, record in records.items()} == {
        name: 16 * len(parts_of(name)) for name in rows
    }
    assert len({record.key for record in records.values()}) == len(rows)
    digests = [read_predictions(Path("beside/files", name))["row"] for name in rows]
    assert all(np.array_equal(digests[0], each) for each in digests)


def test_a_record_of_other_options_is_kept(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    conditional.main([*words, "output=beside"])
    before = Path("beside/files/cls/result.json").read_bytes()
    with pytest.raises(SystemExit) as ended:
        conditional.main([*words, "seed=1", "output=beside"])
    assert ended.value.code == 1 and "another" in capsys.readouterr().err.lower()
    assert Path("beside/files/cls/result.json").read_bytes() == before
    # another task beside the first: the table holds both
    conditional.main([*words, "dataset.name=mine", "output=beside"])
    with Path("beside/information.csv").open(newline="") as file:
        assert [row["dataset"] for row in csv.DictReader(file)] == ["files"] * 5 + ["mine"] * 5


@pytest.mark.parametrize(
    ("more", "named"),
    [("dataset.name=../../escaped", "dataset.name"), ("probe=knn", "probe=knn"), ("output=/proc/x", "/proc/x")],
)
def test_what_has_no_place_or_no_bits_is_refused(
    words: list[str], more: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        conditional.main([*words, "output=beside", more])
    assert ended.value.code == 1 and named in capsys.readouterr().err
    assert not list(Path().rglob("result.json")) and not Path("../escaped").exists()


def test_finished_runs_are_skipped(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    conditional.main([*words, "output=beside"])
    first = Path("beside/information.csv").read_text()
    capsys.readouterr()
    for place in ("beside", "elsewhere"):
        conditional.main([*words, f"output={place}"])
        assert f"{len(conditional.representations())} skipped" in capsys.readouterr().out
        assert Path(place, "information.csv").read_text() == first


def test_a_separate_pair_has_four_blocks_of_each_representation(words: list[str], tmp_path: Path) -> None:
    for name, rows in (("train", 40), ("test", 20)):
        texts = [
            (SENTENCES[place % 4], SENTENCES[place % 5] + " the" * (place % 7), place % 5) for place in range(rows)
        ]
        write_csv(tmp_path / f"{name}.csv", texts, header=("text", "second", "label"))
    more = ["dataset.text_pair=second", "dataset.task=regression", "pairing=separate", "output=pairs"]
    conditional.main([*words, *more])
    assert Result.read("pairs/files/concat(cls,mean)").counts["width"] == 4 * 2 * 16
    with Path("pairs/information.csv").open(newline="") as file:
        gains = {row["pooling"]: row["low"] for row in csv.DictReader(file)}
    assert set(gains.values()) == {""}


@pytest.mark.parametrize(("estimator", "classes"), [(LogisticRegression(), 2), (Ridge(), 0)])
def test_zeros_beside_cls_change_nothing(estimator: object, classes: int) -> None:
    """The baseline of conditional probing, [CLS; 0], is [CLS]."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 6)).astype(np.float32)
    y = (x[:, 0] + rng.standard_normal(200) > 0).astype(np.int64) if classes else x[:, 0] + rng.standard_normal(200)
    settings = ProbeSettings({"alpha": [1.0, 0.1, 0.01]})
    wide = np.concatenate([x, np.zeros_like(x)], axis=1)
    one, other = (
        Protocol().fit(
            estimator, settings, ProbeData(Rows(each[:150], y[:150]), {"test": Rows(each[150:], y[150:])}, classes)
        )
        for each in (x, wide)
    )
    assert one.choice.value == other.choice.value
    assert np.allclose(one.predictions["test"].decisions, other.predictions["test"].decisions, atol=1e-5)
