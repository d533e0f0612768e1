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
RECORDED = [("demo_acceptability", "cls"), ("demo_similarity", "mean"), ("demo_entailment", "max")]
# Keys of features of the embedded model's last layer, float32 on a CPU, of the test split,
# by dataset, pairing and pooling. Poolings that follow from others are not stored and have none.
FEATURES = {
    ("demo_sentiment", "joint", "cls"): ["9a2b7638bcb5f20c7425cc55c16abf05f7866e5ace43f2b0e34a790410da53d6"],
    ("demo_paraphrase", "joint", "mean"): ["642111e9067d7d1cedfd41dcd1ba632f3683783833e9cd31c49a05b7a1df81da"],
    ("demo_paraphrase", "separate", "mean"): [
        "5ec6d9f38562413197ca3ce000aae9e02cfe14e1a740f076eeeaf7dfbe1f16f9",
        "8497c952037a2b963469f95d4da208c6151481216ed6281caf3748519ecd6335",
    ],
}


def prepared(*words: str) -> PreparedRun:
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        found = prepare(parse_config(compose("config", [*words, "runtime.device=cpu"])))
    if not found.extractor.info.kernel.startswith("packed"):
        pytest.skip("keys hold the kernel of the linear layers, and this build of torch lacks the usual one")
    return found


@pytest.mark.parametrize(("dataset", "pooling"), RECORDED)
def test_keys_of_committed_records_are_unchanged(dataset: str, pooling: str) -> None:
    records: list[dict[str, Any]] = [
        json.loads(line)["record"] for line in RECORDS.read_text(encoding="utf-8").splitlines()
    ]
    (record,) = [each for each in records if each["dataset"] == dataset and each["pooling"] == pooling]
    names = ("dataset", "pooling", "probe", "layer", "pairing", "seed", "draws")
    assert prepared(*(f"{name}={record[name]}" for name in names)).key == record["key"]


@pytest.mark.parametrize(("dataset", "pairing", "pooling"), list(FEATURES))
def test_keys_of_stored_features_are_unchanged(dataset: str, pairing: str, pooling: str) -> None:
    run = prepared(f"dataset={dataset}", f"pairing={pairing}", f"pooling={pooling}")
    found = [run.extractor._key(text, run.target) for text in encoder_inputs(run.data.test, pairing, dataset)]
    assert found == FEATURES[dataset, pairing, pooling]
