"""Any dataset of the hub: columns and splits that are found, and questions where they cannot be."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from src.config.paths import CONF
from src.config.schema import DatasetConfig
from src.data.checks import check_probe
from src.data.dataset import Dataset
from src.data.loading import load_dataset
from src.errors import UserError
from tests.helpers.datasets import option, second_texts
from tests.helpers.hub import COMMIT, cache_repository, served_dataset, write_dataset

NEWS = {"text": "string", "label": ["world", "sports", "arts"]}
TRAIN = {"text": [f"train {number}" for number in range(12)], "label": [0, 2] * 6}
TEST = {"text": ["a test", "another"], "label": [2, 0]}
HIDDEN = {"text": ["x", "y"], "label": [-1, -1]}


@pytest.fixture(autouse=True)
def own_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def hub_option(path: Path | str, hub: dict[str, Any] | None = None, **changes: Any) -> DatasetConfig:
    return option("hub", hub={"path": str(path)} | (hub or {}), **changes)


def load(path: Path | str, hub: dict[str, Any] | None = None, **changes: Any) -> Dataset:
    return load_dataset(hub_option(path, hub, **changes), None)


def test_text_and_classes_are_found_by_their_types(tmp_path: Path) -> None:
    extra = {"id": "int64", **NEWS}
    rows = [{"id": list(range(len(each["text"]))), **each} for each in (TRAIN, TEST)]
    read = load(write_dataset(tmp_path / "news", extra, train=rows[0], test=rows[1]))
    assert read.classes == ("world", "arts"), "in the dataset's own order, without a class that does not occur"
    assert read.test.text.to_pylist() == ["a test", "another"] and read.test.label.tolist() == [1, 0]
    assert read.roles == {"train": "train", "test": "test"} and read.selection == "carve"
    check_probe(read)
    assert read.source["from"] == "folder" and read.source["path"] == "news" and read.source["revision"] is None
    assert read.source["columns"] == {"text": "text", "label": "label"}
    assert set(read.source["files"]) == {"train.parquet", "test.parquet"}
    assert str(tmp_path) not in str(read.source)


def test_a_changed_folder_is_read_anew(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "news", NEWS, train=TRAIN, test=TEST)
    first = load(folder)
    stamp = (folder / "test.parquet").stat()
    write_dataset(tmp_path / "other", NEWS, test=TEST | {"text": ["a tesT", "another"]})
    (folder / "test.parquet").write_bytes((tmp_path / "other" / "test.parquet").read_bytes())
    os.utime(folder / "test.parquet", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert load(folder).test.text_digest != first.test.text_digest


def test_a_validation_split_chooses_the_grids_value(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "news", NEWS, train=TRAIN, dev=TEST, test=TEST)
    read = load(folder)
    assert read.roles == {"train": "train", "development": "dev", "test": "test"}
    assert read.selection == "development"
    folds = load(folder, selection="folds", folds=2)
    assert folds.roles == {"train": "train", "test": "test"} and folds.selection == "folds"
    nested = load(folder, selection="nested", folds=2)
    assert nested.roles == {"train": "train", "test": "train"}


def test_hidden_test_labels_give_way_to_the_validation_split(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "src")
    read = load(write_dataset(tmp_path / "news", NEWS, train=TRAIN, validation=TEST, test=HIDDEN))
    assert read.roles == {"train": "train", "test": "validation"} and read.selection == "carve"
    assert set(read.splits) == {"train", "validation"}
    assert sum("validation" in line and "'test'" in line for line in caplog.messages) == 1
    missing = {"text": ["x"], "label": [None]}
    read = load(write_dataset(tmp_path / "nulls", NEWS, train=TRAIN, validation=TEST, test=missing))
    assert read.roles["test"] == "validation"


def test_a_hidden_split_that_is_named_is_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "news", NEWS, train=TRAIN, validation=TEST, test=HIDDEN)
    with pytest.raises(UserError, match=r"'test' .*dataset\.splits\.test to 'validation'"):
        load(folder, splits={"test": "test"})


def test_a_test_part_is_divided_off_where_there_is_no_test_split(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "news", NEWS | {"who": "string"}, train=TRAIN | {"who": list("aabbccddeeff")})
    with pytest.raises(UserError, match=r"dataset\.test_fraction="):
        check_probe(load(folder, text="text"))
    read = load(folder, test_fraction=0.25, group="who")
    assert len(read.train) + len(read.test) == 12 and set(read.roles) == {"train", "test"}
    assert not set(read.train.text.to_pylist()) & set(read.test.text.to_pylist())
    pairs = {tuple(sorted((number, number ^ 1))) for number in range(12)}
    test_rows = {int(text.split()[1]) for text in read.test.text.to_pylist()}
    assert all(set(pair) <= test_rows or not set(pair) & test_rows for pair in pairs)
    corpus = write_dataset(tmp_path / "corpus", NEWS, corpus=TRAIN)
    read = load(corpus, test_fraction=0.25, splits={"train": "corpus"})
    assert read.roles == {"train": "corpus", "test": "test"} and len(read.train) + len(read.test) == 12
    both = write_dataset(tmp_path / "both", NEWS, train=TRAIN, test=TEST)
    with pytest.raises(UserError, match=r"dataset\.test_fraction"):
        load(both, test_fraction=0.25)
    with pytest.raises(UserError, match=r"dataset\.test_fraction .*got 2"):
        load(both, test_fraction=2)


def test_splits_may_be_named(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "news", NEWS, large=TRAIN, small=TEST, test=TEST)
    read = load(folder, splits={"train": "large", "test": "small"})
    assert read.roles == {"train": "large", "test": "small"} and set(read.splits) == {"large", "small"}
    with pytest.raises(UserError, match=r"dataset\.splits\.train: unknown split 'larg'; did you mean 'large'"):
        load(folder, splits={"train": "larg"})
    unusual = write_dataset(tmp_path / "odd", NEWS, large=TRAIN, small=TEST)
    with pytest.raises(UserError, match=r"large, small.*\n?.*dataset\.splits\.train="):
        load(unusual)


@pytest.mark.parametrize(
    ("features", "named"),
    [
        ({"text": "string", "label": "int64"}, ["text (text), label (int64)", "dataset.label=label"]),
        ({"text": "string", "label": "string"}, ["label (text)", "dataset.text=text dataset.label=label"]),
        (
            {"premise": "string", "hypothesis": "string", "label": ["no", "yes"]},
            ["dataset.text=premise dataset.text_pair=hypothesis", "label (class label (2))"],
        ),
        ({"text": "string", "label": ["a"], "topic": ["b"]}, ["dataset.label=label", "topic (class label (1))"]),
        ({"body": "string", "stars": "float32"}, ["dataset.label=stars dataset.task=regression"]),
    ],
)
def test_columns_that_cannot_be_found_are_asked_for(tmp_path: Path, features: Any, named: list[str]) -> None:
    cells = {"string": ["x"], "int64": [0], "float32": [0.5]}
    rows = {name: cells[kind] if isinstance(kind, str) else [0] for name, kind in features.items()}
    folder = write_dataset(tmp_path / "asks", features, train=rows, test=rows)
    with pytest.raises(UserError) as caught:
        load(folder)
    assert all(text in str(caught.value) for text in named), caught.value
    assert str(caught.value).count("\n") <= 2


@pytest.mark.parametrize(
    ("features", "task", "role"),
    [
        ({"text": "string", "label": ["a", "b"]}, "regression", "label"),
        ({"text": "string", "tags": {"list": "int64"}}, "classification", "label"),
        ({"number": "int64", "label": ["a", "b"]}, "classification", "text"),
    ],
)
def test_a_column_that_would_be_refused_is_not_proposed(tmp_path: Path, features: Any, task: str, role: str) -> None:
    rows = {name: [0] if kind != {"list": "int64"} else [[0]] for name, kind in features.items()}
    rows |= {"text": ["x"]} if "text" in features else {}
    folder = write_dataset(tmp_path / "asks", features, train=rows, test=rows)
    with pytest.raises(UserError, match=rf"dataset\.{role}\b(?!=)(.|\n)*dataset=files"):
        load(folder, task=task)


def test_labels_that_all_splits_hide_are_refused(tmp_path: Path) -> None:
    hidden = {"text": TRAIN["text"], "label": [-1] * 12}
    with pytest.raises(UserError, match=r"'train', 'test'.*'label'(.|\n)*dataset\.label="):
        load(write_dataset(tmp_path / "hidden", NEWS, train=hidden, test=hidden))


def test_named_columns_of_every_type_of_label(tmp_path: Path) -> None:
    features = {
        "text": "string", "note": "string", "word": "string", "number": "int64", "flag": "bool", "score": "float32",
    }  # fmt: skip
    rows = {
        "text": ["a", "b"], "note": ["c", "d"], "word": ["up", "down"], "number": [10, 2], "flag": [True, False],
        "score": [0.5, 2.0],
    }  # fmt: skip
    folder = write_dataset(tmp_path / "all", features, train=rows, test=rows)
    for label, classes in (("word", ("down", "up")), ("number", ("2", "10")), ("flag", ("false", "true"))):
        assert load(folder, text="text", label=label).classes == classes
    read = load(folder, text="text", text_pair="note", task="regression")
    assert read.train.label.tolist() == [0.5, 2.0] and second_texts(read.train) == ["c", "d"]
    assert read.source["columns"] == {"text": "text", "text_pair": "note", "label": "score"}
    with pytest.raises(UserError, match=r"dataset\.text=txt: .*text \(text\)"):
        load(folder, text="txt", label="word")
    with pytest.raises(UserError, match=r"'0\.5'|dataset\.task=regression"):
        check_probe(load(folder, text="text", label="score"))


def test_rows_whose_class_is_minus_one_are_left_out_and_counted(tmp_path: Path) -> None:
    train = {"text": [*TRAIN["text"], "no consensus"], "label": [*TRAIN["label"], -1]}
    read = load(write_dataset(tmp_path / "news", NEWS, train=train, test=TEST))
    assert len(read.train) == 12 and read.source["left_out"] == {"train": 1} and read.left_out == 1
    plain = {"text": "string", "label": "int64"}
    signs = {"text": TRAIN["text"], "label": [-1, 1] * 6}
    read = load(write_dataset(tmp_path / "signs", plain, train=signs, test=signs), label="label")
    assert read.classes == ("-1", "1") and read.left_out == 0


def test_missing_labels_and_empty_splits_are_refused(tmp_path: Path) -> None:
    gap = {"text": TRAIN["text"], "label": [*TRAIN["label"][:-1], None]}
    with pytest.raises(UserError, match=r"row 12 has no label.*'label'"):
        load(write_dataset(tmp_path / "gap", NEWS, train=gap, test=TEST))
    no_text = {"text": [None, "b"], "label": [0, 1]}
    with pytest.raises(UserError, match="row 1 has no text"):
        load(write_dataset(tmp_path / "null", NEWS, train=TRAIN, test=no_text))
    with pytest.raises(UserError, match=r"no rows.*dataset=files"):
        load(write_dataset(tmp_path / "empty", NEWS, train=TRAIN, test={"text": [], "label": []}))
    (tmp_path / "tables").mkdir()
    for name, row in (("train", "a,b\n"), ("test", "")):
        (tmp_path / "tables" / f"{name}.csv").write_text(f"text,label\n{row}")
    with pytest.raises(UserError, match=r"'test' has no rows.*dataset\.splits\.test="):
        load(tmp_path / "tables", text="text", label="label")


def test_lists_and_nested_columns(tmp_path: Path) -> None:
    features = {
        "text": "string", "labels": {"sequence": "int64"},
        "both": {"struct": [{"name": "en", "dtype": "string"}, {"name": "de", "dtype": "string"}]},
        "label": ["no", "yes"],
    }  # fmt: skip
    rows = {
        "text": ["a", "b"], "labels": [[0, 1], [1]], "both": [{"en": "x", "de": "u"}, {"en": "y", "de": "v"}],
        "label": [0, 1],
    }  # fmt: skip
    folder = write_dataset(tmp_path / "nested", features, train=rows, test=rows)
    with pytest.raises(UserError, match=r"'labels' .*list of int64.*dataset\.label="):
        load(folder, label="labels")
    with pytest.raises(UserError, match=r"dataset\.text=labels"):
        load(folder, text="labels")
    read = load(folder, text="both.en", text_pair="both.de")
    assert read.train.text.to_pylist() == ["x", "y"] and second_texts(read.train) == ["u", "v"]
    assert load(folder).train.text.to_pylist() == ["a", "b"], "parts of a column are not found by their type"


@pytest.mark.parametrize("path", ["../x/y", "a/b/c", "a b", "/no/such/folder", "a--b/c", "x.git", "~/none", ""])
def test_a_path_that_is_neither_a_folder_nor_an_id_is_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from src.runtime import hub

    monkeypatch.setattr(hub, "go_offline_unless_reachable", lambda: pytest.fail("asked the network"))
    with pytest.raises(UserError, match=r"dataset\.hub\.path"):
        load(path)


@pytest.mark.parametrize("revision", ["../../main", "a b", "-x", "/etc"])
def test_a_revision_that_is_a_path_is_refused(revision: str) -> None:
    with pytest.raises(UserError, match=r"dataset\.hub\.revision"):
        load("me/toy", {"revision": revision})


def test_what_else_a_path_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.csv").write_text("text,label\na,b\n")
    with pytest.raises(UserError, match=r"dataset=files dataset\.train=train\.csv"):
        load("train.csv")
    with pytest.raises(UserError, match="=csv is a format"):
        load("csv")
    write_dataset(tmp_path / "toy", NEWS, train=TRAIN, test=TEST)
    assert load("toy").source["path"] == "toy"
    with pytest.raises(UserError, match=r"dataset\.hub\.revision=v1"):
        load("toy", {"revision": "v1"})
    (tmp_path / "bare").mkdir()
    with pytest.raises(UserError, match="cannot load 'bare'"):
        load("bare")


def test_keys_of_files_are_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "news", NEWS, train=TRAIN, test=TEST)
    with pytest.raises(UserError, match=r"dataset\.train .*dataset\.splits\.train="):
        load(folder, train="train.csv")


def test_without_a_network_the_caches_are_read(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "news", NEWS, train=TRAIN, test=TEST)
    with pytest.raises(UserError, match=r"'me/toy' is not in its cache.*\n.*dataset\.hub\.path=.*dataset=files"):
        load("me/toy")
    cache_repository(tmp_path / "hub", "datasets", "me/toy", folder)
    read = load("me/toy")
    assert read.source["from"] == "hub" and read.source["path"] == "me/toy" and read.source["revision"] == COMMIT
    assert read.identity() == load(folder).identity()
    assert load("me/toy", {"revision": COMMIT}).identity() == read.identity()
    with pytest.raises(UserError, match="revision v2"):
        load("me/toy", {"revision": "v2"})


def test_a_served_hub_gives_what_the_folder_gives(tmp_path: Path) -> None:
    """The library reads the hub's address when it is imported, so that a process of its own is needed."""
    folder = write_dataset(tmp_path / "news", NEWS, train=TRAIN, validation=TEST, test=HIDDEN)
    code = (
        "import json, sys\n"
        "from src.data.loading import load_dataset\n"
        "from tests.helpers.datasets import option\n"
        "read = load_dataset(option('hub', hub={'path': sys.argv[1]}), None)\n"
        "print(json.dumps([read.identity(), read.source]))\n"
    )
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}

    def run(path: str) -> Any:
        command = [sys.executable, "-c", code, path]
        ended = subprocess.run(
            command, env=environment, cwd=CONF.parent, capture_output=True, text=True, check=False, timeout=120
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    with served_dataset("me/toy", folder) as address:
        environment["HF_ENDPOINT"] = address
        identity, source = run("me/toy")
    assert identity == json.loads(json.dumps(load(folder).identity()))
    assert (source["from"], source["path"], source["revision"]) == ("hub", "me/toy", COMMIT)
    environment["HF_HUB_OFFLINE"] = "1"
    assert run("me/toy") == [identity, source], "the library's own cache, without a network"
