"""One forward pass serves everything, whatever interrupts it, and its timing is never passed off as a hit's."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from src.config.schema import ModelConfig
from src.data.dataset import Split
from src.errors import UserError
from src.features import extractor as extractor_module
from src.features import loading
from src.features.extractor import FeatureExtractor
from src.features.inputs import EncoderInput, encoder_inputs
from src.features.vectors import pair_features
from src.models import kernels
from src.models.encoder import Encoder
from src.models.finding import find_checkpoint
from src.models.options import EncodingOptions
from src.pooling import EncoderOutput, poolings
from src.runtime.clock import Clock
from src.storage.arrays import ArrayStore
from src.storage.keys import content_key
from tests.conftest import SENTENCES


def make_text(rows: int = 200, seed: int = 0) -> EncoderInput:
    rng = np.random.default_rng(seed)
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    column = pa.array([" ".join(rng.choice(words, size=rng.integers(0, 20))) for _ in range(rows)], pa.large_string())
    return EncoderInput(column, None, f"digest of {rows} {seed}", "words/train")


def extractor(bert: Path, root: Path, workers: int = 2, progress: bool = False, **options: Any) -> FeatureExtractor:
    checkpoint = find_checkpoint(ModelConfig(path=str(bert)))
    encoding = EncodingOptions(**{"token_budget": 64, **options})
    return FeatureExtractor(checkpoint, encoding, ArrayStore(root), Clock(), workers, progress)


def test_features_are_those_of_a_plain_pass_one_row_at_a_time_in_the_order_of_the_text(
    bert: Path, tmp_path: Path
) -> None:
    from transformers import AutoModel, AutoTokenizer

    text = make_text(60)
    found = extractor(bert, tmp_path).features(text, ("mean", 2)).values
    model, tokenizer = AutoModel.from_pretrained(bert).eval(), AutoTokenizer.from_pretrained(bert)
    for row, sentence in enumerate(text.text.to_pylist()):
        hidden = model(**tokenizer(sentence, return_tensors="pt", truncation=True)).last_hidden_state[0]
        np.testing.assert_allclose(found[row], hidden.mean(0).detach().numpy(), atol=1e-5)


def test_a_miss_stores_every_pooling_and_a_hit_is_bit_identical(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = make_text()
    first = extractor(bert, tmp_path)
    made = first.features(text, ("cls", 2))
    assert not made.hit
    assert first.encoded == 200
    monkeypatch.setattr(Encoder, "forward", None)  # whatever follows is read
    for name, pooling in poolings.items():
        if pooling.at_least <= 2:
            later = extractor(bert, tmp_path)
            found = later.features(text, (name, 2))
            assert found.hit
            assert later.encoded == 0
            assert found.timing == made.timing
            assert later.clock.seconds()["encode"] == 0
    np.testing.assert_array_equal(extractor(bert, tmp_path).features(text, ("cls", 2)).values, made.values)


def test_the_division_of_labour_changes_no_bit(bert: Path, tmp_path: Path) -> None:
    text = make_text(500)
    alone = extractor(bert, tmp_path / "a", workers=1).features(text, ("mean", 2)).values
    shared = extractor(bert, tmp_path / "b", workers=3).features(text, ("mean", 2)).values
    np.testing.assert_array_equal(alone, shared)


def test_every_identity_field_changes_the_key(bert: Path, tmp_path: Path) -> None:
    text = make_text()
    base = extractor(bert, tmp_path)
    keys = [
        base._key(text, ("mean", 2)),
        base._key(text, ("cls", 2)),
        base._key(text, ("mean", 1)),
        base._key(replace(text, digest="x"), ("mean", 2)),
    ]
    keys += [
        extractor(bert, tmp_path, **change)._key(text, ("mean", 2))
        for change in ({"token_budget": 128}, {"dtype": "bfloat16"}, {"attention": "eager"}, {"max_length": 8})
    ]
    assert len(set(keys)) == len(keys)
    # Where it runs and how fast is no part of the identity.
    assert extractor(bert, tmp_path / "elsewhere", workers=1)._key(text, ("mean", 2)) == keys[0]


def test_other_kernels_get_other_features(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store says of a model must not outlive the kernels that it was found with."""
    first, second = extractor(bert, tmp_path), extractor(bert, tmp_path)
    first_key = first._key(make_text(), ("mean", 2))
    assert second._key(make_text(), ("mean", 2)) == first_key
    assert second._encoder is None
    for module in (kernels, extractor_module):
        monkeypatch.setattr(module, "VERSION", kernels.VERSION + 1)
    monkeypatch.setattr(loading, "_kept", {})
    assert extractor(bert, tmp_path)._key(make_text(), ("mean", 2)) != first_key


def test_a_model_is_warmed_up_once(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_kept", {})
    first, second = extractor(bert, tmp_path), extractor(bert, tmp_path)
    first.features(make_text(), ("mean", 2))
    assert first.warmup > 0
    second.features(make_text(seed=1), ("mean", 2))
    assert second.encoded > 0
    assert second.warmup == 0


def test_a_tokenizer_of_another_model_is_refused_before_anything_is_encoded(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(bert, folder)
    settings = json.loads((folder / "tokenizer.json").read_text())
    settings["model"]["vocab"]["zebra"] = 5000
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    text = EncoderInput(pa.array(["the cat", "the zebra"], pa.large_string()), None, "zebra", "words/train")
    with pytest.raises(UserError, match="gives word piece 5000"):
        extractor(folder, tmp_path / "store").features(text, ("mean", 2))


def test_also_layers_are_stored_by_the_same_pass(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = make_text()
    extractor(bert, tmp_path).features(text, ("cls", 2), also_layers=[0, -2])
    monkeypatch.setattr(Encoder, "forward", None)
    layers = [extractor(bert, tmp_path).features(text, ("cls", layer)).values for layer in (0, 1, 2)]
    assert np.ptp(layers[0], axis=0).max() == 0, "layer-0 [CLS] is a constant"
    assert not np.array_equal(layers[1], layers[2])


@pytest.mark.parametrize("name", ["features", "tokens"])
def test_a_flipped_byte_is_recomputed_to_the_same_bits(
    name: str, bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = make_text()
    values = np.array(extractor(bert, tmp_path).features(text, ("mean", 2)).values)
    for path in (tmp_path / name).rglob("*.npy"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
    again = extractor(bert, tmp_path).features(text, ("mean", 2))
    assert "damaged" in caplog.text
    np.testing.assert_array_equal(again.values, values)


def test_an_interrupted_pass_goes_on_from_its_finished_shards(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = make_text(600)
    undisturbed = np.array(extractor(bert, tmp_path / "a").features(text, ("mean", 2)).values)
    forward, calls = Encoder.forward, itertools.count()

    def failing(self: Encoder, *arguments: np.ndarray) -> object:
        if next(calls) >= 60:
            raise RuntimeError("power cut")
        return forward(self, *arguments)

    monkeypatch.setattr(Encoder, "forward", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        extractor(bert, tmp_path / "b").features(text, ("mean", 2))
    monkeypatch.setattr(Encoder, "forward", forward)
    resumed = extractor(bert, tmp_path / "b")
    found = resumed.features(text, ("mean", 2))
    assert 0 < resumed.encoded < 600
    assert found.timing["shards_resumed"] > 0
    np.testing.assert_array_equal(found.values, undisturbed)
    assert not any((tmp_path / "b" / "partial").iterdir())


SCRIPT = """
import sys, pathlib
sys.path.insert(0, sys.argv[1])
from tests.features.test_extractor import extractor, make_text
e = extractor(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
print('ready', flush=True); sys.stdin.readline()
values = e.features(make_text(4000), ('mean', 2)).values
print(e.encoded, values.sum(dtype='f8'), flush=True)
"""


def start(bert: Path, root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).resolve().parents[2]), str(bert), str(root)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_killed_and_started_again_the_bits_are_the_same(bert: Path, tmp_path: Path) -> None:
    undisturbed = np.array(extractor(bert, tmp_path / "a").features(make_text(4000), ("mean", 2)).values)
    for wait in (0.15, 0.4):
        process = start(bert, tmp_path / "b")
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
    found = extractor(bert, tmp_path / "b").features(make_text(4000), ("mean", 2))
    np.testing.assert_array_equal(found.values, undisturbed)


def test_a_shard_is_never_in_memory(bert: Path, tmp_path: Path) -> None:
    one = extractor(bert, tmp_path, workers=1, token_budget=2048)
    text = make_text(20_000)
    one.features(make_text(), ("mean", 2), [0, 1])  # what is loaded once is not counted
    targets = one._pass_targets(("mean", 2), [0, 1])
    with one._forward_pass(text, one.tokens(text), targets) as forward:
        tracemalloc.start()
        try:
            forward.encode_shard(0, 8)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    shards = [path.stat().st_size for path in one.shard_store(text, targets).listed().values()]
    assert len(shards) == 4 and max(shards) > 2e6
    assert peak < max(shards) / 2


@pytest.mark.parametrize("after", [0, 5, 40])
def test_a_pass_that_fails_leaves_no_half_shard(
    after: int, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, calls = Encoder.forward, itertools.count()

    def overflowing(self: Encoder, *arguments: np.ndarray) -> EncoderOutput:
        output = forward(self, *arguments)
        return output if next(calls) < after else replace(output, hidden=[layer * np.nan for layer in output.hidden])

    expected = np.array(extractor(bert, tmp_path / "a").features(make_text(), ("mean", 2)).values)
    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "forward", overflowing)
        with pytest.raises(UserError, match=r"no finite numbers \(words/train, cls\)"):
            extractor(bert, tmp_path / "b").features(make_text(), ("mean", 2))
    assert not list(tmp_path.rglob("*.tmp"))
    np.testing.assert_array_equal(extractor(bert, tmp_path / "b").features(make_text(), ("mean", 2)).values, expected)


def test_processes_at_once_make_one_forward_pass(bert: Path, tmp_path: Path) -> None:
    processes = [start(bert, tmp_path) for _ in range(2)]
    outputs = [process.communicate("\n", timeout=60)[0].split() for process in processes]
    assert sorted(int(encoded) for encoded, _ in outputs) == [0, 4000]
    assert len({total for _, total in outputs}) == 1


def test_layers_and_poolings_that_a_model_lacks_are_refused(bert: Path, tmp_path: Path) -> None:
    one = extractor(bert, tmp_path)
    assert one.resolve_target("cls", -3) == ("cls", 0)
    for name, layer, message in (
        ("cls", 3, "out of range"),
        ("cls", -4, "out of range"),
        ("pooler", 1, "last layer only"),
        ("last4_mean", -1, "has 2 layers"),
        ("poler", -1, "did you mean 'pooler'"),
    ):
        with pytest.raises(UserError, match=message):
            one.resolve_target(name, layer)


def test_pairs_together_and_apart() -> None:
    column = pa.array(["a", "b"], pa.large_string())
    split = Split("train", column, pa.array(["c", "d"], pa.large_string()), np.array([0, 1]))
    (joint,) = encoder_inputs(split, "joint", "x")
    u, v = encoder_inputs(split, "separate", "x")
    assert joint.text_pair is split.text_pair
    assert len({joint.digest, u.digest, v.digest}) == 3
    assert encoder_inputs(replace(split, text_pair=None), "joint", "x")[0].digest == u.digest, (
        "a side alone shares its features"
    )
    a, b = np.array([[1.0, 2.0]]), np.array([[3.0, -1.0]])
    np.testing.assert_array_equal(pair_features([a, b]), [[1, 2, 3, -1, 2, 3, 3, -2]])
    assert pair_features([a]) is a


def test_progress_speaks_of_tokens(
    bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    one = extractor(bert, tmp_path, progress=True)
    text = make_text()
    one.features(text, ("mean", 2))
    total = int(one.tokens(text).offsets[-1])
    shown = capsys.readouterr().err
    assert f"{total / 1000:.2f}k" in shown
    assert "tok/s" in shown


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near_and_stored_apart(dtype: str, bert: Path, tmp_path: Path) -> None:
    text = make_text(40)
    full = extractor(bert, tmp_path).features(text, ("mean", 2)).values
    half = extractor(bert, tmp_path, dtype=dtype).features(text, ("mean", 2))
    assert not half.hit
    assert half.values.dtype == np.float32
    assert 0 < np.abs(half.values - full).max() < 0.1


FACTS = [
    ("layers", "two"), ("layers", -1), ("width", 10**200), ("width", True), ("max_length", None), ("attention", 3), ("pooler", []),
    ("pooler", {}), ("pooler", {"status": 1}), ("unknown", 1),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), FACTS)
def test_facts_that_cannot_be_are_damaged(
    field: str, value: Any, bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = extractor(bert, tmp_path)
    sound = one.info
    path = one.store.folder("facts", one._info_key()) / "meta.json"
    record = json.loads(path.read_text())
    del record["digest"]
    for content in (json.dumps(asdict(sound) | {field: value}), "[" * 10_000, "3", "NaN", 5):
        record["meta"]["facts"] = content
        path.write_text(json.dumps({**record, "digest": content_key(record)}))
        caplog.clear()
        assert extractor(bert, tmp_path).info == sound
        assert caplog.text.count("is damaged") == 1


def test_features_and_tokens_that_cannot_be_are_damaged(
    bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text, target = make_text(), ("mean", 2)
    expected = np.array(extractor(bert, tmp_path).features(text, target).values)
    one = extractor(bert, tmp_path)
    place = one.store.folder("features", one._key(text, target))
    sound = json.loads((place / "meta.json").read_text())
    for notes in (
        {},
        {"pass": []},
        {"pass": {}},
        {"pass": sound["meta"]["pass"] | {"encode": "x"}},
        {"pass": {"shards_resumed": None}},
    ):
        record = {"meta": notes, "sha256": sound["sha256"]}
        (place / "meta.json").write_text(json.dumps({**record, "digest": content_key(record)}))
        caplog.clear()
        np.testing.assert_array_equal(extractor(bert, tmp_path).features(text, target).values, expected)
        assert "is damaged" in caplog.text
    tokens = one.tokens(text)
    for path in (tmp_path / "tokens").glob("*/*"):
        shutil.rmtree(path)
        one.store.put("tokens", path.name, {"ids": tokens.ids[:3]}, {"truncated": 0})
    assert len(extractor(bert, tmp_path).tokens(text).offsets) == 201
