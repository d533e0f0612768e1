"""Build configurations, files, splits and datasets for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from src.cli.structured import load_option
from src.config.schema import DatasetConfig
from src.data.dataset import Dataset, Split

ROWS = [("one", "b"), ("", "a"), ("three, three", "b"), ("caf\u00e9", "a")]


def option(name: str, **changes: Any) -> DatasetConfig:
    """Return conf/dataset/NAME.yaml with changes."""
    return load_option(DatasetConfig, "dataset", name, **changes)


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> str:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(folder)


def write_rows(folder: Path, extension: str, rows: list[tuple[str, Any]], name: str = "rows") -> str:
    path = folder / f"{name}{extension}"
    if extension == ".parquet":
        pq.write_table(pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]}), path)
    elif extension in (".csv", ".tsv"):
        mark = '"' if extension == ".csv" else ""
        lines = [f"{mark}{text}{mark}{',' if mark else chr(9)}{label}" for text, label in rows]
        path.write_text("\n".join([f"text{',' if mark else chr(9)}label", *lines]) + "\n", encoding="utf-8")
    else:
        path.write_text("\n".join(json.dumps({"text": text, "label": label}) for text, label in rows), encoding="utf-8")
    return str(path)


def make_split(rows: list[tuple[str, Any]], **options: Any) -> Split:
    pair = options.get("pair")
    texts = pa.array([text for text, _ in rows], pa.large_string())
    return Split(
        options.get("name", "train"),
        texts,
        None if pair is None else pa.array(pair, pa.large_string()),
        np.array([y for _, y in rows]),
    )


def labelled_split(labels: list[float], name: str = "train") -> Split:
    return make_split([(f"text {row}", label) for row, label in enumerate(labels)], name=name)


def make_dataset(splits: dict[str, Split], **changes: Any) -> Dataset:
    fields: dict[str, Any] = {
        "name": "toy",
        "task": "classification",
        "classes": ("no", "yes", "rare"),
        "splits": splits,
        "roles": {name: name for name in splits},
    }
    fields |= {"selection": "carve", "folds": 10, "metrics": ("accuracy",), "source": {}} | changes
    return Dataset(**fields)


def counts(split: Split) -> list[int]:
    return [int(count) for count in np.bincount(split.label)]


def second_texts(split: Split) -> list[str]:
    assert split.text_pair is not None
    return list(split.text_pair.to_pylist())
