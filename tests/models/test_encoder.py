"""Any encoder loads, frozen; the load itself tells which weights were there."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers

from src.config.schema import ModelConfig
from src.errors import UserError
from src.models.encoder import Encoder
from src.models.finding import find_checkpoint
from src.models.next_sentence import sentence_pairs
from src.models.options import EncodingOptions
from src.models.pooler import marchenko_pastur, pooler_error, quarter_circle
from src.models.tokenizer import Tokenizer

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}


def load(folder: Path, **options: Any) -> Encoder:
    return Encoder(find_checkpoint(ModelConfig(path=str(folder))), EncodingOptions(**options))


def amend(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def rewrite(folder: Path, to: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """A copy of a checkpoint with other weights."""
    from safetensors.torch import save_file

    shutil.copytree(folder, to)
    weights = tensors(folder)
    change(weights)
    save_file(weights, to / "model.safetensors", {"format": "pt"})
    return to


FAMILIES = {
    "Roberta": {},
    "Albert": {"embedding_size": 8},
    "Electra": {"embedding_size": 8},
    "MPNet": {},
    "ModernBert": {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3},
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_its_layers_and_says_whether_it_has_a_pooler(
    family: str, make_checkpoint: Any, vocabulary: list[str]
) -> None:
    settings = {} if family == "DistilBert" else SMALL
    config = getattr(transformers, f"{family}Config")(vocab_size=len(vocabulary), **settings, **FAMILIES[family])
    torch.manual_seed(0)
    encoder = load(make_checkpoint(getattr(transformers, f"{family}Model")(config), family))
    expected = {"Roberta": "untrained", "Albert": "untrained", "MPNet": "untrained"}.get(family, "absent")
    assert encoder.info.pooler["status"] == expected
    ids = np.array([[2, 7, 8, 9, 3], [2, 9, 7, 7, 3]])
    output = encoder.forward(ids, np.zeros_like(ids), ids < 4)
    assert len(output.hidden) == 3
    assert output.hidden[-1].shape == (2, 5, 16)
    assert not encoder.model.training
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())
    if expected != "absent":
        assert output.pooled is not None
        weight, bias = output.pooler_weight, output.pooler_bias
        torch.testing.assert_close(output.pooled, torch.tanh(output.hidden[-1][:, 0] @ weight.T + bias))


def test_a_pooler_saved_away_is_missing_and_other_lost_weights_refuse_the_model(bert: Path, tmp_path: Path) -> None:
    def drop(*starts: str) -> Callable[[dict[str, torch.Tensor]], None]:
        return lambda weights: [weights.pop(key) for key in list(weights) if key.startswith(starts)] and None

    missing = load(rewrite(bert, tmp_path / "missing", drop("pooler.")))
    assert missing.info.pooler["status"] == "missing"
    assert not missing.info.has_pooler
    with pytest.raises(UserError, match=r"lacks 1 of its weights \(encoder.layer.1.output.dense.weight\)"):
        load(rewrite(bert, tmp_path / "lost", drop("encoder.layer.1.output.dense.weight")))


def test_the_pooler_is_trained_unless_both_signs_say_otherwise(bert: Path, tmp_path: Path) -> None:
    def fresh(weights: dict[str, torch.Tensor]) -> None:
        weights["pooler.dense.weight"] = torch.randn(16, 16, generator=torch.Generator().manual_seed(1)) * 0.02
        weights["pooler.dense.bias"] = torch.zeros(16)

    def biased(weights: dict[str, torch.Tensor]) -> None:
        fresh(weights)
        weights["pooler.dense.bias"][3] = 1e-3

    def spiked(weights: dict[str, torch.Tensor]) -> None:
        fresh(weights)
        weights["pooler.dense.weight"] += torch.ones(16, 16) * 0.05

    for name, change, status in (
        ("fresh", fresh, "untrained"),
        ("biased", biased, "trained"),
        ("spiked", spiked, "trained"),
    ):
        pooler = load(rewrite(bert, tmp_path / name, change)).info.pooler
        assert pooler["status"] == status, name
        assert pooler["evidence"]["bias_is_zero"] == (name != "biased")
        assert pooler["evidence"]["spectrum_is_random"] == (name != "spiked")


@pytest.mark.parametrize(
    ("name", "value"), [("weight", float("nan")), ("weight", float("inf")), ("bias", float("-inf"))]
)
def test_a_pooler_that_is_no_finite_numbers_leaves_the_other_poolings(
    name: str, value: float, bert: Path, tmp_path: Path
) -> None:
    def spoil(weights: dict[str, torch.Tensor]) -> None:
        weights[f"pooler.dense.{name}"].view(-1)[5] = value

    info = load(rewrite(bert, tmp_path / "spoilt", spoil)).info
    assert info.pooler["evidence"]["not_finite"] == 1
    assert not info.has_pooler
    assert "1 of its weights are no finite numbers" in str(pooler_error("pooler", "x", info.pooler))


def test_word_pieces_without_an_embedding_are_refused(bert: Path, vocabulary: list[str]) -> None:
    encoder = load(bert)
    encoder.check_ids(np.array([0, len(vocabulary) - 1]))
    with pytest.raises(
        UserError, match=f"gives word piece {len(vocabulary)}, and its weights embed {len(vocabulary)} of them"
    ):
        encoder.check_ids(np.array([2, len(vocabulary), 3]))


@pytest.mark.parametrize("width", [16, 64, 256, 768])
def test_noise_of_any_scale_passes_for_noise_and_a_structured_matrix_does_not(width: int) -> None:
    rng = np.random.default_rng(width)
    for scale in (1e-3, 0.02, 5.0):
        assert marchenko_pastur(scale * rng.standard_normal((width, width)))["is_random"]
        assert marchenko_pastur(scale * rng.uniform(-1, 1, (width, width)))["is_random"]
    noise = rng.standard_normal((width, width))
    u, v = rng.standard_normal((2, width, 1))
    assert not marchenko_pastur(noise + 4 * u @ v.T / np.sqrt(width))["is_random"], "an outlier above the edge"
    assert not marchenko_pastur(np.eye(width) + 0.02 * noise)["is_random"], "a band away from the law"
    assert not marchenko_pastur(np.zeros((width, width)))["is_random"]


def test_the_law_is_a_distribution_function() -> None:
    values = quarter_circle(np.linspace(-1, 3, 401))
    assert values[0] == 0
    assert values[-1] == 1
    assert (np.diff(values) >= 0).all()
    # Its density is sqrt(4 - x^2) / pi.
    x = np.linspace(0.1, 1.9, 50)
    np.testing.assert_allclose(
        (quarter_circle(x + 1e-5) - quarter_circle(x - 1e-5)) / 2e-5, np.sqrt(4 - x**2) / np.pi, rtol=1e-6
    )


def test_the_real_checkpoint_whose_pooler_was_never_trained_is_found_out(shared: Path) -> None:
    pooler = load(shared / "models" / "all-MiniLM-L6-v2").info.pooler
    assert pooler["status"] == "untrained"
    assert pooler["evidence"]["singular_max"] == pytest.approx(0.352, abs=5e-4)
    assert pooler["evidence"]["entry_std"] == pytest.approx(0.0091, abs=5e-5)


def test_a_next_sentence_head_is_evidence(make_checkpoint: Any, vocabulary: list[str]) -> None:
    config = transformers.BertConfig(vocab_size=len(vocabulary), **SMALL)
    encoder = load(make_checkpoint(transformers.BertForPreTraining(config), "pretraining"))
    accuracy = encoder.info.pooler["evidence"]["next_sentence_accuracy"]
    assert 0 <= accuracy <= 1
    pairs = sentence_pairs()
    assert sum(consecutive for *_, consecutive in pairs) * 2 == len(pairs) == len(set(pairs))


def test_a_missing_and_an_absent_pooler_name_the_way_out() -> None:
    missing = pooler_error("pooler", "x/y", {"status": "missing", "evidence": {"model_type": "roberta"}})
    assert "encoder 'x/y' has no trained pooler: pooler.dense.weight is missing from its checkpoint" in str(missing)
    absent = pooler_error("pooler", "x/y", {"status": "absent", "evidence": {"model_type": "electra"}})
    assert "electra" in str(absent)
    assert "cls or mean" in str(absent)


def test_truncation_is_counted_and_what_the_tokenizer_file_fixes_is_overridden(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fixed"
    shutil.copytree(bert, folder)
    settings = json.loads((folder / "tokenizer.json").read_text())
    settings["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    settings["padding"] = {
        "strategy": {"Fixed": 6},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    column = pa.array(["cat", "cat sat on mat", "the cat sat on the mat", ""], pa.large_string())
    tokens = Tokenizer(find_checkpoint(ModelConfig(path=str(folder))), 6)(column, None)
    assert tokens.lengths.tolist() == [3, 6, 6, 2]
    assert tokens.truncated == 1, "four words and two special tokens fit exactly"
    assert tokens.special.tolist()[:3] == [True, False, True]
    pairs = Tokenizer(find_checkpoint(ModelConfig(path=str(folder))), 9)(column, column)
    assert pairs.lengths.tolist() == [5, 9, 9, 3]
    assert pairs.truncated == 2
    assert pairs.segments[:5].tolist() == [0, 0, 0, 1, 1]


def test_the_collector_is_as_it_was_once_a_split_is_tokenised(bert: Path) -> None:
    tokenizer = Tokenizer(find_checkpoint(ModelConfig(path=str(bert))), 6)
    tokenizer(pa.array(["cat"]), None)
    assert gc.isenabled()
    with pytest.raises(pa.ArrowException):
        tokenizer(pa.array([1]), None)
    assert gc.isenabled()


def test_the_limit_is_the_smaller_of_the_table_and_the_tokenizer(
    bert: Path, make_checkpoint: Any, vocabulary: list[str]
) -> None:
    assert load(bert).info.max_length == 32
    assert load(bert, max_length=12).info.max_length == 12
    with pytest.raises(UserError, match="positions for 32 word pieces"):
        load(bert, max_length=33)
    roberta = transformers.RobertaModel(
        transformers.RobertaConfig(vocab_size=len(vocabulary), **{**SMALL, "max_position_embeddings": 20})
    )
    assert load(make_checkpoint(roberta, "short")).info.max_length == 18, "positions start after the padding index"


def test_files_that_are_no_model_are_refused(bert: Path, tmp_path: Path) -> None:
    def broken(name: str, change: Callable[[Path], object]) -> Path:
        shutil.copytree(bert, tmp_path / name)
        change(tmp_path / name)
        return tmp_path / name

    weights = (bert / "model.safetensors").read_bytes()
    cases = {
        "no-config": (lambda f: (f / "config.json").unlink(), "no config.json"),
        "bad-config": (lambda f: (f / "config.json").write_text("{"), r"config\.json cannot be read"),
        "no-type": (lambda f: (f / "config.json").write_text("{}"), "no model_type"),
        "unknown-type": (lambda f: (f / "config.json").write_text('{"model_type": "wordbag"}'), "cannot be loaded"),
        "own-code": (
            lambda f: amend(f / "config.json", model_type="x", auto_map={"AutoConfig": "x.Config"}),
            "code is not run",
        ),
        "other-shapes": (lambda f: amend(f / "config.json", hidden_size=32), "other shapes than config.json says"),
        "no-layer": (
            lambda f: amend(f / "config.json", num_hidden_layers=0),
            "num_hidden_layers=0, and 1 to 1000 are possible",
        ),
        "a-million-layers": (
            lambda f: amend(f / "config.json", num_hidden_layers=10**6),
            "num_hidden_layers=1000000, and 1 to 1000",
        ),
        "short-limit": (
            lambda f: amend(f / "tokenizer_config.json", model_max_length=2),
            r"model_max_length=2 .* Set model\.max_length",
        ),
        "worded-limit": (
            lambda f: amend(f / "tokenizer_config.json", model_max_length="long"),
            "model_max_length=long",
        ),
        "no-weights": (lambda f: (f / "model.safetensors").unlink(), r"no model\.safetensors"),
        "pickle": (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "is a pickle"),
        "short": (
            lambda f: (f / "model.safetensors").write_bytes(weights[: len(weights) // 2]),
            "damaged or cut short",
        ),
        "empty": (lambda f: (f / "model.safetensors").write_bytes(b""), "damaged or cut short"),
        "no-tokenizer": (lambda f: [p.unlink() for p in f.glob("token*")], "tokenizer"),
        "bad-index": (
            lambda f: [(f / "model.safetensors").unlink(), (f / "model.safetensors.index.json").write_text("[]")],
            "cannot be read",
        ),
        "lost-shard": (
            lambda f: [
                (f / "model.safetensors").unlink(),
                (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "b.safetensors"}}'),
            ],
            "b.safetensors, named by",
        ),
        "climbing": (
            lambda f: [
                (f / "model.safetensors").unlink(),
                (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../b.safetensors"}}'),
            ],
            "named by",
        ),
    }
    for name, (change, message) in cases.items():
        folder = broken(name, change)
        with pytest.raises(UserError, match=message) as caught:
            pytest.fail(f"{name}: {load(folder)}")
        assert len(str(caught.value).splitlines()) <= 3, name
    with pytest.raises(UserError, match="no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no model is named"):
        find_checkpoint(ModelConfig())


def test_remote_code_is_not_run(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "remote"
    shutil.copytree(bert, folder)
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}, "model_type": "evil"}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UserError):
        load(folder)
    assert not (tmp_path / "ran").exists()
