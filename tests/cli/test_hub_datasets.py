"""Any dataset of the hub on the command line: its name in records and tables, and the probe on new rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from src import extract, predict, run
from tests.cli.refusals import Command, assert_refused
from tests.config.test_conf import composed
from tests.conftest import SENTENCES
from tests.helpers.checkpoints import copy_checkpoint
from tests.helpers.hub import COMMIT, cache_repository, write_dataset

FEATURES = {"review": "string", "label": ["bad", "good"]}


@pytest.fixture
def quick(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Put the datasets me/one and me/two into a cache of the hub; return the overrides of a quick run."""
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for name, word in (("me/one", "the"), ("me/two", "cat")):
        rows = {
            "review": [SENTENCES[place % 5] + f" {word}" * (place % 7) for place in range(40)],
            "label": [int(place % 5 >= 2) for place in range(40)],
        }
        test = {column: cells[:20] for column, cells in rows.items()}
        folder = write_dataset(tmp_path / name, FEATURES, train=rows, test=test)
        cache_repository(tmp_path / "hub", "datasets", name, folder)
        folder.rename(tmp_path / name.replace("/", "-"))
    words = ["runtime.threads=1", "runtime.progress=false", "probe.resamples=200", "tracker=none"]
    return ["dataset=hub", f"model.path={bert}", *words]


def test_a_sweep_tells_two_datasets_apart(run_main: Command, quick: list[str], tmp_path: Path) -> None:
    ended = run_main(run.main, "-m", *quick, "dataset.hub.path=me/one,me/two", "hydra.sweep.dir=sweep")
    assert ended.status == 0, ended.err
    records = [json.loads((tmp_path / "sweep" / str(job) / "result.json").read_text()) for job in range(2)]
    assert [record["dataset"] for record in records] == ["me/one", "me/two"]
    assert "me/one" in ended.out and "me/two" in ended.out
    source = records[0]["provenance"]["data"]
    assert (source["from"], source["path"], source["revision"]) == ("hub", "me/one", COMMIT)
    assert source["columns"] == {"text": "review", "label": "label"}
    assert records[0]["config"]["dataset"]["classes"] == ["bad", "good"]


def test_a_folder_has_its_last_name_and_the_cached_datasets_key(
    run_main: Command, quick: list[str], tmp_path: Path
) -> None:
    for place, path in (("hub", "me/one"), ("folder", str(tmp_path / "me-one"))):
        ended = run_main(run.main, *quick, f"dataset.hub.path={path}", f"hydra.run.dir={place}")
        assert ended.status == 0, ended.err
    first, second = (json.loads((tmp_path / place / "result.json").read_text()) for place in ("hub", "folder"))
    assert second["dataset"] == "me-one" and second["key"] == first["key"]
    assert str(tmp_path) not in json.dumps(second)


def test_columns_that_were_found_are_known_to_later_commands(
    run_main: Command, quick: list[str], tmp_path: Path
) -> None:
    assert run_main(run.main, *quick, "dataset.hub.path=me/one", "hydra.run.dir=run").status == 0
    (tmp_path / "new.csv").write_text("review\nthe cat sat\nyes\n")
    ended = run_main(predict.main, "record=run", "input=new.csv", "output=out.csv")
    assert ended.status == 0, ended.err
    with (tmp_path / "out.csv").open(newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} <= {"bad", "good"}
    ended = run_main(extract.main, *quick, "dataset.hub.path=me/one", "output=features")
    assert ended.status == 0, ended.err
    assert sorted(path.name for path in (tmp_path / "features").iterdir()) == ["test.safetensors", "train.safetensors"]


def test_the_record_of_an_equal_run_is_copied_under_the_names_of_this_one(
    run_main: Command, quick: list[str], bert: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    read = pq.read_table(tmp_path / "me-one" / "train.parquet").to_pydict()
    rows = {"body": read["review"], "mark": read["label"]}
    write_dataset(
        other, {"body": "string", "mark": ["bad", "good"]}, train=rows, test={k: v[:20] for k, v in rows.items()}
    )
    stating = copy_checkpoint(bert, tmp_path / "stating")
    modules = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
    modules.append({"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"})
    (stating / "modules.json").write_text(json.dumps(modules))
    (stating / "1_Pooling").mkdir()
    (stating / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "mean"}))
    for place, folder in (("me-one", bert), ("other", stating)):
        words = [quick[0], *quick[2:], f"model.path={folder}", f"dataset.hub.path={tmp_path / place}"]
        ended = run_main(run.main, "-m", *words, "pooling=cls,mean", f"hydra.sweep.dir={place}-sweep")
        assert ended.status == 0, ended.err
    assert "2 skipped" in ended.out, "the second sweep copies the records of the first"
    for job in ("0", "1"):
        first, copied = (
            json.loads((tmp_path / f"{name}-sweep" / job / "result.json").read_text()) for name in ("me-one", "other")
        )
        assert first["key"] == copied["key"] and first["score"] == copied["score"]
        assert (copied["dataset"], copied["model"]) == ("other", "stating")
        assert copied["config"]["model"]["path"] == copied["provenance"]["model"]["path"] == "stating"
        assert copied["provenance"]["model"]["stated"]["pooling"] == ["mean"]
        assert "stated" not in first["provenance"]["model"]
        assert copied["provenance"]["data"]["columns"] == {"text": "body", "label": "mark"}
    new = tmp_path / "new.csv"
    new.write_text("body\nthe cat sat\nthe mat\n")
    ended = run_main(predict.main, "record=other-sweep/1", f"input={new}", "output=out.csv")
    assert ended.status == 0, ended.err


def test_a_name_holds_the_configuration_of_the_hub() -> None:
    words = ["dataset=hub", "dataset.hub.path=nyu-mll/glue", "dataset.hub.name=sst2", "dataset.splits.test=validation"]
    assert composed(*words).dataset.name == "nyu-mll/glue/sst2"
    assert composed("dataset=sst2", "dataset.hub.path=me/mirror").dataset.name == "sst2"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["dataset=hub"], ["dataset.hub.path="]),
        (["dataset=hub", "dataset.hub.path=null"], ["dataset.hub.path="]),
        (["dataset=hub", "dataset.hub.path=[a,b]"], ["dataset.hub.path"]),
        (["dataset=hub", "dataset.hub.path=../x/y"], ["../x/y", "dataset=files"]),
        (["dataset=hub", "dataset.hub.path=me/none"], ["me/none", "dataset.hub.path=FOLDER", "dataset=files"]),
        (["dataset=hub", "dataset.hub.path=me/none", "dataset.splits.tests=x"], ["tests"]),
        (["dataset=ag_news"], ["unknown dataset 'ag_news'", "dataset.hub.path=ag_news"]),
        (["dataset=org/name"], ["dataset.hub.path=org/name"]),
    ],
)
def test_bad_datasets_of_the_hub_are_refused(
    run_main: Command, quick: list[str], no_forward_pass: None, words: list[str], named: list[str]
) -> None:
    assert_refused(run_main(run.main, *quick[1:], *words), *named)
