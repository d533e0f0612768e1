"""A model built like BERT gets the project's forward pass, and every other the library's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from src.errors import UserError
from src.models import forward, kernels
from src.models.bert_forward import BertForward
from src.models.encoder import Encoder
from src.models.finding import EMBEDDED_DIR
from src.models.options import EncodingOptions
from tests.helpers.checkpoints import load_encoder

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 80,
}
LENGTHS = [1, 2, 15, 17, 64, 78]
HALF = {"mixed": 3e-2}  # largest difference relative to the largest value, products in bfloat16


@pytest.fixture(scope="module")
def make_uneven(make_checkpoint: Any, vocabulary: list[str]) -> Callable[..., Path]:
    """Return a function that saves a model with weights so large that attention is uneven and GELU bends."""

    def make(family: str = "Bert", **settings: Any) -> Path:
        torch.manual_seed(0)
        config = getattr(transformers, f"{family}Config")(vocab_size=len(vocabulary), **{**SIZES, **settings})
        model = getattr(transformers, f"{family}Model")(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
        name = "-".join([family, *map(str, settings.values())])
        folder: Path = make_checkpoint(model, f"uneven-{name}")
        return folder

    return make


def plain_model(folder: Path) -> Any:
    return transformers.AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()


def largest_difference(encoder: Encoder, plain: Any, tokens: int, padded: bool) -> float:
    """Return the largest difference of real tokens' states, relative to the layer's largest state."""
    rows, pieces = 5, plain.config.vocab_size
    ids = np.random.default_rng(tokens).integers(4, pieces, (rows, tokens))
    lengths = np.maximum(1, tokens - np.arange(rows)) if padded else None
    found = encoder.forward(ids, np.zeros_like(ids), np.zeros_like(ids), lengths)
    with torch.inference_mode():
        expected = plain(torch.from_numpy(ids), found.mask.long(), output_hidden_states=True)
        if found.pooled is not None:  # ALBERT applies its tanh outside its pooler
            pooled = torch.tanh(found.hidden[-1][:, 0] @ found.pooler_weight.T + found.pooler_bias)
            torch.testing.assert_close(found.pooled, pooled, atol=1e-6, rtol=1e-5)
    return max(
        float((one[found.mask] - other[found.mask]).abs().max() / other[found.mask].abs().max())
        for one, other in zip(found.hidden, expected.hidden_states, strict=True)
    )


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("family", ["Bert", "Roberta"])
def test_hidden_states_are_those_of_the_plain_model(
    family: str, padded: bool, make_uneven: Callable[..., Path]
) -> None:
    folder = make_uneven(family)
    encoder, plain = load_encoder(folder), plain_model(folder)
    assert encoder.info.kernel == f"bert-{'packed' if can_pack() else 'plain'}-{kernels.VERSION}"
    assert encoder.info.attention == "sdpa"
    for tokens in LENGTHS:
        assert largest_difference(encoder, plain, tokens, padded) < 1e-5


@pytest.mark.parametrize("activation", ["gelu_new", "gelu_pytorch_tanh", "gelu_python", "relu", "silu"])
def test_activations_are_those_of_the_configuration(activation: str, make_uneven: Callable[..., Path]) -> None:
    folder = make_uneven(hidden_act=activation)
    encoder = load_encoder(folder)
    assert encoder.info.kernel.startswith("bert-")
    assert largest_difference(encoder, plain_model(folder), 17, False) < 1e-5


def check_trained(folder: Path) -> None:
    encoder, plain = load_encoder(folder), plain_model(folder)
    assert encoder.info.kernel.startswith("bert-")
    for tokens in (9, 40):
        assert largest_difference(encoder, plain, tokens, padded=True) < 1e-5


def test_the_embedded_model_has_the_states_of_the_plain_model() -> None:
    check_trained(EMBEDDED_DIR / "bert-books")


def test_minilm_has_the_states_of_the_plain_model(shared: Path) -> None:
    check_trained(shared / "models" / "all-MiniLM-L6-v2")


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("MPNet", {}),
        ("Electra", {"embedding_size": 8}),
        ("Albert", {"embedding_size": 8}),
        ("Bert", {"is_decoder": True}),
    ],
)
def test_other_models_keep_the_forward_pass_of_the_library(
    family: str, settings: dict[str, Any], make_uneven: Callable[..., Path]
) -> None:
    encoder = load_encoder(make_uneven(family, **settings))
    assert encoder.info.kernel == (f"packed-{kernels.VERSION}" if can_pack() else "plain")
    plain = plain_model(encoder.checkpoint.folder)
    assert largest_difference(encoder, plain, 17, False) < 1e-5


def test_a_forward_pass_that_differs_is_not_used(
    make_uneven: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_uneven()

    class Wrong(BertForward):
        def __call__(self, *arguments: Any) -> Any:
            hidden, pooled = super().__call__(*arguments)
            return tuple(2 * each for each in hidden), pooled

    monkeypatch.setattr(forward, "BertForward", Wrong)
    assert not load_encoder(folder).info.kernel.startswith("bert-")


def test_runtime_attention_is_used(make_uneven: Callable[..., Path]) -> None:
    folder = make_uneven()
    info = load_encoder(folder, attention="eager").info
    assert (info.attention, info.kernel.startswith("bert-")) == ("eager", False)
    assert load_encoder(folder, attention="sdpa").info == load_encoder(folder).info


@pytest.mark.parametrize("family", ["Bert", "MPNet"])
def test_a_pass_for_some_layers_gives_their_states(family: str, make_uneven: Callable[..., Path]) -> None:
    encoder = load_encoder(make_uneven(family))
    ids = np.array([[2, 7, 8, 9, 3], [2, 9, 7, 7, 3]])
    whole = encoder.forward(ids, ids * 0, ids < 4)
    for needed in ({0}, {1}, {0, 2}, set(range(3))):
        part = encoder.forward(ids, ids * 0, ids < 4, layers=needed)
        assert len(part.hidden) == 3
        assert all(torch.equal(part.hidden[layer], whole.hidden[layer]) for layer in needed)
        if 2 in needed:
            assert whole.pooled is not None
            assert part.pooled is not None
            assert torch.equal(part.pooled, whole.pooled)


@pytest.mark.parametrize("family", ["Bert", "Roberta", "MPNet", "ModernBert", "DistilBert"])
def test_mixed_differs_by_the_rounding_of_bfloat16(
    family: str, make_checkpoint: Any, make_uneven: Callable[..., Path], vocabulary: list[str]
) -> None:
    settings = {
        "ModernBert": {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3},
        "DistilBert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
    }.get(family, {})
    sizes = {} if family == "DistilBert" else SIZES
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(vocab_size=len(vocabulary), **{**sizes, **settings})
    folder = make_checkpoint(getattr(transformers, f"{family}Model")(config), f"even-{family}")
    encoder, plain = load_encoder(folder, dtype="mixed"), plain_model(folder)
    for padded in (False, True):
        assert 1e-5 < largest_difference(encoder, plain, 17, padded) < HALF["mixed"]
    ids = np.array([[2, 7, 8, 9, 3]])
    assert all(each.dtype == torch.float32 for each in encoder.forward(ids, ids * 0, ids < 4).hidden)


def test_mixed_works_without_bfloat16_units_and_warns_once(
    make_uneven: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    encoder = load_encoder(make_uneven(), dtype="mixed")
    assert encoder.info.kernel == f"bert-plain-{kernels.VERSION}"
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["runtime.dtype=mixed"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_without_its_units_is_warned_of(
    dtype: str, make_uneven: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for units in ({}, {"avx512_bf16": True, "avx512_fp16": True}):
        caplog.clear()
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda units=units: units)
        load_encoder(make_uneven(), dtype=dtype)
        assert len(caplog.records) == (not units)


def test_mixed_refuses_a_model_whose_residual_would_be_rounded(make_uneven: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"runtime\.dtype=float32"):
        load_encoder(make_uneven("Electra", embedding_size=8), dtype="mixed")


@pytest.mark.parametrize(("dtype", "device"), [("tf32", "cpu"), ("tf32", "mps"), ("mixed", "mps")])
def test_dtypes_that_the_device_lacks_are_refused(dtype: str, device: str) -> None:
    with pytest.raises(UserError, match=rf"runtime\.dtype={dtype}.*{device}.*runtime\.dtype=float32"):
        EncodingOptions(device=device, dtype=dtype)


def test_half_precision_uses_the_library_alone(make_uneven: Callable[..., Path]) -> None:
    info = load_encoder(make_uneven(), dtype="bfloat16").info
    assert (info.kernel, info.attention) == ("plain", "sdpa")


def can_pack() -> bool:
    return kernels.can_pack("cpu", torch.float32)
