"""Whether the data of a task are there is known without reading them whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from src.cli.structured import load_option
from src.config.schema import DatasetConfig
from src.data.presence import check_data
from src.errors import UserError


def option(name: str, **changes: object) -> DatasetConfig:
    return load_option(DatasetConfig, "dataset", name, **changes)


def test_official_files_are_looked_for_in_every_split_that_is_used(tmp_path: Path) -> None:
    cola = option("cola")
    with pytest.raises(UserError, match="data_root"):
        check_data(cola, str(tmp_path / "nowhere"))
    folder = tmp_path / "glue_data" / "CoLA"
    folder.mkdir(parents=True)
    (folder / "train.tsv").touch()  # not read, so that it may be empty
    with pytest.raises(UserError, match=r"dev\.tsv"):
        check_data(cola, str(tmp_path))
    check_data(replace(cola, splits={"train": "train"}), str(tmp_path))
    (folder / "dev.tsv").touch()
    check_data(cola, str(tmp_path))


def test_a_year_of_similarity_sets_is_a_folder(tmp_path: Path) -> None:
    sts = option("sts12")
    assert sts.local is not None
    with pytest.raises(UserError, match=sts.local.folder):
        check_data(sts, str(tmp_path))
    (tmp_path / sts.local.folder).mkdir(parents=True)
    check_data(sts, str(tmp_path))


def test_own_files_are_looked_for(tmp_path: Path) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("text,label\na,b\n")
    own = option("files", train=str(train), test=str(test))
    with pytest.raises(UserError, match=r"test\.csv"):
        check_data(own, None)
    test.write_text("text,label\na,b\n")
    check_data(own, None)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"text,label\n", "no rows"),
        ("a.csv", b"text;label\na;b\n", "separated"),
        ("a.csv", b"sentence,label\na,b\n", "'text'"),
        ("a.csv", b"text,gold\na,b\n", "'label'"),
        ("a.csv", b"\x1f\x8b\x08", "gunzip"),
        ("a.csv", b"text,label\n\xff\xfe,b\n", "UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n', "'label'"),
        ("a.parquet", b"text,label\na,b\n", "a.parquet"),
        ("a.xlsx", b"PK", "xlsx"),
    ],
)
def test_own_files_that_no_job_can_read_are_refused(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=said):
        check_data(option("files", train=str(path), test_fraction=0.2), None)


def test_labels_are_looked_for_where_they_are_needed_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text\nfirst\n")
    check_data(option("files", train=str(path)), None, labels=False)
    with pytest.raises(UserError, match="label"):
        check_data(option("files", train=str(path)), None)


@pytest.mark.parametrize(("name", "changes"), [("cola", {}), ("hub", {"hub": {"path": "owner/name"}})])
def test_the_hubs_cache_is_asked_where_the_hub_cannot_be_reached(
    name: str, changes: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    with pytest.raises(UserError, match="cannot reach the hub"):
        check_data(option(name, **changes), None)


def test_generated_texts_and_folders_of_datasets_are_there(tmp_path: Path) -> None:
    check_data(option("demo_sentiment"), None)
    check_data(option("hub", hub={"path": str(tmp_path)}), None)
