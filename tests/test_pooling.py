"""Laws that every registered pooling obeys; a new pooling is tested without being named here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from src.config.schema import ModelConfig
from src.errors import UserError
from src.features.vectors import saturated
from src.models.encoder import Encoder
from src.models.finding import find_checkpoint
from src.models.options import EncodingOptions
from src.models.tokenizer import Tokenizer, Tokens
from src.pooling import SATURATED, BaseVectors, EncoderOutput, Pooling, poolings
from tests.conftest import SENTENCES

torch = pytest.importorskip("torch")

names = [name for name in poolings if poolings[name].at_least <= 2]


@pytest.fixture(scope="module")
def encoder(bert: Path) -> Encoder:
    return Encoder(find_checkpoint(ModelConfig(path=str(bert))), EncodingOptions())


@pytest.fixture(scope="module")
def tokens(bert: Path) -> Tokens:
    import pyarrow as pa

    return Tokenizer(find_checkpoint(ModelConfig(path=str(bert))), 32)(pa.array(SENTENCES, pa.large_string()), None)


def padded(tokens: Tokens, rows: list[int], to: int | None = None) -> tuple[np.ndarray, ...]:
    """Rows side by side, padded to the longest or to a given length."""
    width = to or max(tokens.lengths[row] for row in rows)
    arrays = [np.zeros((len(rows), width), np.int64) for _ in range(3)]
    for place, row in enumerate(rows):
        span = slice(tokens.offsets[row], tokens.offsets[row + 1])
        for array, source in zip(arrays, (tokens.ids, tokens.segments, tokens.special), strict=True):
            array[place, : tokens.lengths[row]] = source[span]
    return (*arrays, tokens.lengths[rows])


def pool(name: str, output: EncoderOutput) -> np.ndarray:
    return poolings[name].pool(output, 2)


@pytest.mark.parametrize("name", names)
def test_pooling_does_not_depend_on_padding_or_the_order_of_rows(name: str, encoder: Encoder, tokens: Tokens) -> None:
    rows = list(range(len(SENTENCES)))
    together = pool(name, encoder.forward(*padded(tokens, rows)))
    backwards = pool(name, encoder.forward(*padded(tokens, rows[::-1])))
    stretched = pool(name, encoder.forward(*padded(tokens, rows, to=32)))
    np.testing.assert_allclose(backwards[::-1], together, atol=2e-6)
    np.testing.assert_allclose(stretched, together, atol=2e-6)
    for row in rows:
        alone = pool(name, encoder.forward(*padded(tokens, [row])))
        unmasked = pool(name, encoder.forward(*padded(tokens, [row])[:3]))
        np.testing.assert_allclose(alone[0], together[row], atol=2e-6)
        np.testing.assert_allclose(unmasked, alone, atol=2e-6)


@pytest.mark.parametrize("name", names)
def test_pooled_vectors_are_float32_of_the_right_shape(name: str, encoder: Encoder, tokens: Tokens) -> None:
    pooled = pool(name, encoder.forward(*padded(tokens, [0, 1, 5])))
    assert pooled.shape == (3, 16)
    assert pooled.dtype == np.float32
    assert np.isfinite(pooled).all()


def test_poolings_equal_their_formulas_in_float64(encoder: Encoder, tokens: Tokens) -> None:
    """Each formula again, in float64 over one row without padding."""
    row = 2
    output = encoder.forward(*padded(tokens, [row])[:3])
    hidden = [layer[0].double().numpy() for layer in output.hidden]
    last, special = hidden[-1], tokens.special[tokens.offsets[row] : tokens.offsets[row + 1]]
    position = np.arange(1, len(last) + 1)[:, None]
    expected = {
        "cls": last[0],
        "mean": last.mean(0),
        "max": last.max(0),
        "mean_content": last[~special].mean(0),
        "mean_sqrt_len": last.sum(0) / np.sqrt(len(last)),
        "weighted_mean": (last * position).sum(0) / position.sum(),
        "cls_mean": (last[0] + last.mean(0)) / 2,
        "first_last_mean": (hidden[1].mean(0) + hidden[2].mean(0)) / 2,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(pool(name, output)[0], value, atol=1e-6, err_msg=name)


def test_pooler_is_the_tanh_of_its_preactivation_and_its_inverse_undoes_it(encoder: Encoder, tokens: Tokens) -> None:
    """pooler == tanh(W cls + b), and its inverse gives W cls + b back where tanh has not saturated."""
    output = encoder.forward(*padded(tokens, list(range(8))))
    weight, bias = encoder.model.pooler.dense.weight.numpy(), encoder.model.pooler.dense.bias.numpy()
    preactivation = pool("cls", output) @ weight.T + bias
    np.testing.assert_allclose(pool("pooler_preactivation", output), preactivation, atol=1e-6)
    np.testing.assert_allclose(pool("pooler", output), np.tanh(preactivation), atol=1e-6)
    assert output.pooled is not None  # what the model itself returns
    np.testing.assert_allclose(pool("pooler", output), output.pooled.numpy(), atol=1e-6)
    # Float32 keeps tanh to 2^-24, and atanh stretches that by 1 / (1 - tanh^2).
    tolerance = 2**-22 / (1 - np.tanh(preactivation.astype(np.float64)) ** 2)
    assert (np.abs(pool("pooler_inverse", output) - preactivation) <= tolerance + 1e-6).all()


def test_saturated_entries_are_counted_and_stay_finite() -> None:
    states = np.zeros((8, 4), np.float32)
    states[0, :3] = [20.0, -20.0, np.arctanh(np.float64(SATURATED))]
    base = BaseVectors({"cls": states}, np.ones(8), np.eye(4), np.eye(4, dtype=np.float32), np.zeros(4, np.float32))
    pooled, inverse = (poolings[name].derive(base) for name in ("pooler", "pooler_inverse"))
    assert np.isfinite(inverse).all()
    # The largest value below one is where nothing can be told any more from one itself.
    assert saturated(inverse, "pooler_inverse") == 3
    assert saturated(pooled, "pooler") == 2
    assert saturated(inverse, "mean") is None


def test_random_pooler_is_the_same_at_each_load(encoder: Encoder, tokens: Tokens, bert: Path) -> None:
    again = Encoder(find_checkpoint(ModelConfig(path=str(bert))), EncodingOptions())
    batch = padded(tokens, [0, 1])
    first = pool("random_pooler", encoder.forward(*batch))
    np.testing.assert_array_equal(first, pool("random_pooler", again.forward(*batch)))
    assert np.abs(first - pool("pooler", encoder.forward(*batch))).max() > 0.01


def test_impossible_layers_are_refused() -> None:
    with pytest.raises(UserError, match=r"pooler.*layer=-3.*pooling=cls"):
        poolings["pooler"].check_layer(-3)
    with pytest.raises(UserError, match=r"first_last_mean.*layer=2.*Leave layer out"):
        poolings["first_last_mean"].check_layer(2)
    poolings["cls"].check_layer(-3)


def test_the_registry_is_read_without_torch() -> None:
    import subprocess
    import sys

    code = "import src.config.schema, src.pooling, sys; assert 'torch' not in sys.modules; print(*src.pooling.poolings)"
    assert (
        "pooler_inverse"
        in subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    )


def test_changed_code_changes_the_digest_and_comments_do_not(tmp_path: Path) -> None:
    import importlib.util

    def digest(name: str, source: str) -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return Pooling("p", module.p, "any", False, 1).code

    helper = "def _half(x):\n    return x / 2\n"
    base = digest("a", helper + "def p(output, layer):\n    return _half(output)\n")
    assert (
        digest("b", helper + '\ndef p(output, layer):\n    """Words."""\n    # why\n    return _half(output)\n') == base
    )
    assert digest("c", helper.replace("2", "3") + "def p(output, layer):\n    return _half(output)\n") != base
    assert digest("d", helper + "def p(output, layer):\n    return _half(output) + 1\n") != base
    assert len({poolings[name].code for name in poolings}) == len(poolings)
