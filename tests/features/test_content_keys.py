"""Content keys do not change: otherwise stored features and records would not be found again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from src.cli.application import register
from src.cli.validation import parse_config
from src.config.paths import CONF
from src.features.inputs import encoder_inputs
from src.pipeline.prepare import PreparedRun, prepare

RECORDS = Path(__file__).resolve().parents[2] / "experiments" / "records" / "demo" / "bert-books" / "records.jsonl"
RECORDED = [("demo_acceptability", "pooler"), ("demo_similarity", "mean"), ("demo_entailment", "max")]
# Keys of features of the embedded model's last layer, float32 on a CPU, of the test split,
# by dataset, pairing and pooling.
FEATURES = {
    ("demo_sentiment", "joint", "cls"): ["5d82adcb5f2f8b392b95ea3b40c6f3a5195a24436c583235a7ff7efd476c70bd"],
    ("demo_sentiment", "joint", "pooler"): ["7e2c13b781def2701c4d00e3acbafead8c3cd9d15ce8d4f1ab656085c6d77f96"],
    ("demo_paraphrase", "joint", "mean"): ["4a1de9a41cf0a91c7625bf6a686f1625c2f13856ad0918e4e167eb51c1e20118"],
    ("demo_paraphrase", "separate", "mean"): [
        "b0bf5e951f6835decde6e5b9733524fe16cf45b91f98c9013e2210514babed23",
        "c6bf23b8017fd044e263afb0e184172010903654644aadad9e0d8b87ae0fbb87",
    ],
}


def prepared(*words: str) -> PreparedRun:
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        found = prepare(parse_config(compose("config", [*words, "runtime.device=cpu"])))
    if not found.extractor.info.kernel.startswith("bert-packed"):
        pytest.skip("keys hold the kernel of the linear layers, and this build of torch lacks the usual one")
    return found


@pytest.mark.parametrize(("dataset", "pooling"), RECORDED)
def test_keys_of_committed_records_are_unchanged(dataset: str, pooling: str) -> None:
    records: list[dict[str, Any]] = [
        json.loads(line)["record"] for line in RECORDS.read_text(encoding="utf-8").splitlines()
    ]
    (record,) = [each for each in records if each["dataset"] == dataset and each["pooling"] == pooling]
    names = ("dataset", "pooling", "probe", "layer", "pairing", "seed", "draws")
    # The records were made with a grid of fixed values; named, such a grid is taken as it stands.
    grid = [
        f"probe.grid.{name}={values}".replace(" ", "") for name, values in record["config"]["probe"]["grid"].items()
    ]
    assert prepared(*(f"{name}={record[name]}" for name in names), *grid).key == record["key"]


@pytest.mark.parametrize(("dataset", "pairing", "pooling"), list(FEATURES))
def test_keys_of_stored_features_are_unchanged(dataset: str, pairing: str, pooling: str) -> None:
    run = prepared(f"dataset={dataset}", f"pairing={pairing}", f"pooling={pooling}")
    found = [run.extractor._key(text, run.target) for text in encoder_inputs(run.data.test, pairing, dataset)]
    assert found == FEATURES[dataset, pairing, pooling]
