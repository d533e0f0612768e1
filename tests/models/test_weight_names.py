"""Names of stored weights that do not fit the model are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from src.errors import UserError
from src.models.weight_names import find_prefix_mismatch
from tests.helpers.checkpoints import (
    copy_checkpoint,
    load_encoder,
)

LEFT_OVER: dict[str, tuple[str, str]] = {
    "relative": ("encoder.layer.0.attention.self.distance_embedding.weight", "relative"),
    "layer": ("encoder.layer.2.output.dense.weight", "2 layers"),
    "adapter": ("encoder.layer.0.attention.self.query.lora_A.default.weight", "merge"),
    "bottleneck": ("encoder.layer.1.output.adapters.x.adapter_down.0.weight", "merge"),
    "embeddings": ("embeddings.language_embeddings.weight", "config.json"),
    "tower": ("tower.encoder.layer.0.attention.self.query.weight", "config.json"),
    "wrapped": ("base_model.model.encoder.layer.0.attention.self.query.lora_A.weight", "merge"),
}


@pytest.mark.parametrize("prefix", ["", "bert."])
@pytest.mark.parametrize("case", LEFT_OVER)
def test_unused_weights_of_the_encoder_are_refused(case: str, prefix: str, bert: Path, tmp_path: Path) -> None:
    name, way = LEFT_OVER[case]

    def more(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        named = {prefix + key: value for key, value in weights.items()}
        alone = case in ("tower", "wrapped")
        return named | {name if alone else prefix + name: torch.zeros(16, 16), "cls.predictions.bias": torch.zeros(4)}

    with pytest.raises(UserError) as caught:
        load_encoder(copy_checkpoint(bert, tmp_path / "more", more))
    assert name in str(caught.value) and way in str(caught.value) and "cls.predictions" not in str(caught.value)
    assert str(caught.value).count("\n") <= 2


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module.bert.", "0.auto_model.", "bert.bert."])
def test_an_excess_prefix_is_named_with_code_that_removes_it(
    prefix: str, bert: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    folder = copy_checkpoint(
        bert, tmp_path / "wrapped", lambda weights: {prefix + key: value for key, value in weights.items()}
    )
    with pytest.raises(UserError, match="before their names") as caught:
        load_encoder(folder)
    _, *lines = str(caught.value).splitlines()
    assert len(lines) == 2
    monkeypatch.chdir(folder)
    exec("\n".join(lines), {})  # the advice works as it stands
    assert load_encoder(folder).layers == 2


def test_a_missing_prefix_is_named_with_code_that_adds_it(bert: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def shorter(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {key.removeprefix("encoder."): value for key, value in weights.items() if key.startswith("encoder.")}

    assert find_prefix_mismatch(
        list(shorter(load_file(bert / "model.safetensors"))), ["encoder.layer.0.output.dense.bias"], "bert."
    ) == (
        "add",
        "encoder.",
    )


def test_one_weight_under_two_names_is_refused(bert: Path, tmp_path: Path) -> None:
    def both(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return weights | {f"bert.{key}": value + 1 for key, value in weights.items()}

    with pytest.raises(UserError, match="both"):
        load_encoder(copy_checkpoint(bert, tmp_path / "both", both))


def test_weights_of_another_family_are_refused(bert: Path, tmp_path: Path) -> None:
    folder = copy_checkpoint(bert, tmp_path / "mixed", model_type="roberta")
    weights = load_file(folder / "model.safetensors")
    save_file(
        {f"bert.{name}": value for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(UserError, match="model_type=roberta") as caught:
        load_encoder(folder)
    assert "save_file" not in str(caught.value) and "bert" in str(caught.value)
