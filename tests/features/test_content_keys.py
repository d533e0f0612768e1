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
    ("demo_sentiment", "joint", "cls"): ["735baf6522871cc2874a16621a8d26e4791b86188daaf40d4b071e9220372fed"],
    ("demo_sentiment", "joint", "pooler"): ["4eeb3149eb937f256b918802c6a437c12b5ec0179c3a32734fe3efa3a35d1db4"],
    ("demo_paraphrase", "joint", "mean"): ["a82989ac7b2f0e49ae86cb3db42504e83919c1765ffd296b1a0526e8e5278a14"],
    ("demo_paraphrase", "separate", "mean"): [
        "97b92dced6c831bb27d10af14bc4fecee863c096e9c327f5b4e8c7366016d3a8",
        "9de5ba377f23cb96323ed42882895a73e33bc53b6f293323502488bea3c2a125",
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
