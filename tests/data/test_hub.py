"""The hub gives the same rows and labels as official folders, and its errors name the way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.data.loading import load_dataset
from src.errors import UserError
from tests.helpers.datasets import option, write_files


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[tuple[Any, ...]]]:
    """Return `install(features, train=rows, ...)`, which replaces the hub and returns the list of requests."""
    import datasets

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("src.data.hub.go_offline_unless_reachable", lambda: True)

    def install(features: dict[str, Any], **splits: dict[str, list[Any]]) -> list[tuple[Any, ...]]:
        asked: list[tuple[Any, ...]] = []
        info = datasets.DatasetInfo(features=datasets.Features(features))
        info.download_checksums = {
            f"hf://datasets/a/b@{'0123abcd' * 5}/x/train-00000-of-00001.parquet": {"num_bytes": 1, "checksum": None}
        }

        def load_dataset(*arguments: Any, **options: Any) -> Any:
            asked.append((*arguments, options))
            return datasets.DatasetDict(
                {name: datasets.Dataset.from_dict(rows, info=info) for name, rows in splits.items()}
            )

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return asked

    return install


def test_hub_and_folder_give_the_same_data(fake_hub: Callable[..., list[tuple[Any, ...]]], tmp_path: Path) -> None:
    from datasets import ClassLabel, Value

    rows = {"sentence1": ["a", '"b'], "sentence2": ["c ", "d"], "label": [1, 0]}
    hidden = {"sentence1": ["x"], "sentence2": ["y"], "label": [-1]}
    features = {
        "sentence1": Value("string"),
        "sentence2": Value("string"),
        "label": ClassLabel(names=["entailment", "not_entailment"]),
    }
    asked = fake_hub(features, train=rows, validation=rows, test=hidden)
    content = 'index\tsentence1\tsentence2\tlabel\n0\ta\tc \tnot_entailment\n1\t"b\td\tentailment\n'
    root = write_files(tmp_path, {f"glue_data/RTE/{name}.tsv": content for name in ("train", "dev")})
    here, there = load_dataset(option("rte"), root), load_dataset(option("rte"), None)
    assert set(here.splits) == set(there.splits) and here.classes == there.classes
    for name, split in here.splits.items():
        other = there.splits[name]
        assert (split.text_digest, split.text_pair_digest, split.label.tolist()) == (
            other.text_digest,
            other.text_pair_digest,
            other.label.tolist(),
        )
    assert asked == [("nyu-mll/glue", "rte", {"revision": "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"})]
    assert there.source == {"from": "hub", "path": "nyu-mll/glue", "revision": "0123abcd" * 5, "files": {}}
    with pytest.raises(UserError, match=r"split 'test' .*dataset.splits.test to 'validation'"):
        load_dataset(option("rte", splits={"test": "test"}), None)


def test_class_ids_follow_the_names_not_the_hub_order(fake_hub: Callable[..., list[tuple[Any, ...]]]) -> None:
    from datasets import ClassLabel, Value

    rows = {"sentence": ["a", "b"], "label": [0, 1]}
    fake_hub(
        {"sentence": Value("string"), "label": ClassLabel(names=["positive", "negative"])}, train=rows, validation=rows
    )
    assert load_dataset(option("sst2"), None).train.label.tolist() == [1, 0]


def test_scores_of_the_hub_are_those_of_the_folder(fake_hub: Callable[..., list[tuple[Any, ...]]]) -> None:
    from datasets import Value

    rows = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [3.8, 5.0]}
    unlabelled = {**rows, "label": [-1.0, -1.0]}
    features = {"sentence1": Value("string"), "sentence2": Value("string"), "label": Value("float32")}
    fake_hub(features, train=rows, validation=rows, test=unlabelled)
    read = load_dataset(option("stsb"), None)
    assert read.train.label.tolist() == [3.8, 5.0], "float32 on the hub, decimal in the file: the same score"
    assert set(read.splits) == {"train", "validation"}


def test_scores_that_the_hub_hides_come_from_another_dataset_if_they_are_used(
    fake_hub: Callable[..., list[tuple[Any, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets
    from datasets import Value

    texts = {"sentence1": Value("string"), "sentence2": Value("string")}
    rows = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [3.8, 5.0]}
    asked = fake_hub(
        {**texts, "label": Value("float32")}, train=rows, validation=rows, test={**rows, "label": [-1.0, -1.0]}
    )
    load_usual = datasets.load_dataset
    scored = datasets.Dataset.from_dict({"sentence1": ["x"], "sentence2": ["y"], "score": [2.5], "split": ["test"]})

    def load(path: str, *arguments: Any, **options: Any) -> Any:
        if path == "nyu-mll/glue":
            return load_usual(path, *arguments, **options)
        asked.append((path, *arguments, options))
        return datasets.DatasetDict({"train": scored, "test": scored})

    monkeypatch.setattr(datasets, "load_dataset", load)
    load_dataset(option("stsb"), None)
    assert [path for path, *_ in asked] == ["nyu-mll/glue"]
    read = load_dataset(option("stsb", splits={"test": "test"}), None)
    revision = "b0fddb56ed78048fa8b90373c8a3cfc37b684831"
    assert asked[-1] == ("mteb/stsbenchmark-sts", None, {"revision": revision})
    assert (read.test.text.to_pylist(), read.test.label.tolist()) == (["x"], [2.5]) and len(read.train) == 2
    assert read.source["labelled"] == {"path": "mteb/stsbenchmark-sts", "revision": revision}


def test_a_year_of_the_hub_has_no_sets(fake_hub: Callable[..., list[tuple[Any, ...]]]) -> None:
    from datasets import Value

    rows = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "score": [3.8, 5.0]}
    features = {"sentence1": Value("string"), "sentence2": Value("string"), "score": Value("float64")}
    asked = fake_hub(features, train=rows, test=rows)
    read = load_dataset(option("sts12"), None)
    assert read.test.sets is None and read.roles == {"test": "test"} and read.left_out == 0
    assert asked == [("mteb/sts12-sts", None, {"revision": "a0d554a64d88156834ff5ae9920b964011b16384"})]


def test_a_hub_split_without_a_label_column_is_hidden_and_a_missing_text_column_is_named(
    fake_hub: Callable[..., list[tuple[Any, ...]]],
) -> None:
    from datasets import Value

    fake_hub({"sentence": Value("string")}, train={"sentence": ["a"]})
    with pytest.raises(UserError, match=r"split 'train' .*dataset.splits.train"):
        load_dataset(option("sst2", splits={"test": "train"}), None)
    fake_hub({"text": Value("string"), "label": Value("int64")}, train={"text": ["a"], "label": [0]})
    with pytest.raises(UserError, match=r"'sentence'. .*: text, label"):
        load_dataset(option("sst2", splits={"test": "train"}), None)


def test_a_local_folder_that_hides_the_hubs_dataset_is_refused(
    fake_hub: Callable[..., list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    from datasets import Value

    asked = fake_hub(
        {"sentence": Value("string"), "label": Value("int64")}, train={"sentence": ["a", "b"], "label": [0, 1]}
    )
    (tmp_path / "glue").mkdir()
    load_dataset(option("sst2", splits={"test": "train"}), None)
    assert len(asked) == 1
    (tmp_path / "nyu-mll" / "glue").mkdir(parents=True)
    with pytest.raises(UserError, match=r"'nyu-mll/glue'.* another folder"):
        load_dataset(option("sst2"), None)


@pytest.mark.parametrize(
    ("online", "message"),
    [(False, "cannot reach the hub and 'nyu-mll/glue' is not in its cache"), (True, "cannot load .*: broken")],
)
def test_errors_of_the_hub_name_data_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, online: bool, message: str
) -> None:
    import datasets

    def fail(*arguments: Any, **options: Any) -> None:
        raise ConnectionError("broken")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", fail)
    monkeypatch.setattr("src.data.hub.go_offline_unless_reachable", lambda: online)
    with pytest.raises(UserError, match=f"(?s)cola: {message}.*Give data_root=<folder holding glue_data/>."):
        load_dataset(option("cola"), None)


def test_labels_of_the_hub_have_the_spelling_of_files(fake_hub: Callable[..., list[tuple[Any, ...]]]) -> None:
    from datasets import Value

    features = {"sentence ": Value("string"), "label": Value("string")}
    rows = {"sentence ": ["a", "b", "c"], "label": ["1.0", " 0", "1"]}
    fake_hub(features, train=rows, validation=rows)
    read = load_dataset(option("sst2"), None)
    assert read.classes == ("negative", "positive") and read.train.label.tolist() == [1, 0, 1]
