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
    ("demo_sentiment", "joint", "cls"): ["30778452faeffb0c2979448ffa12f4c59add380a71cc5738f28f5ed8fc9946c9"],
    ("demo_paraphrase", "joint", "mean"): ["c4b9d97592b7463edaf379e82e3516bf0f4384d635b8810e61bef84af676f9e4"],
    ("demo_paraphrase", "separate", "mean"): [
        "30ed24276bfcae78854e18b2e36fe19f99849124a144fdc17e8007330d7eff3e",
        "bd8b925cf90f7e1c6e8799bdb4e4a480b33fbf2445a945457a51b5646cb18dbc",
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
