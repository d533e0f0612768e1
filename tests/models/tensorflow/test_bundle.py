"""Tensor bundles are read whole, or refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from src.errors import UserError
from src.models.finding import find_checkpoint
from src.models.tensorflow import bundle, table
from src.models.tensorflow.bundle import Bundle
from tests.helpers import bundles
from tests.helpers.google import CHECKPOINT, model_config, read_parameters, read_variables


def test_a_checkpoint_in_several_files_has_the_same_variables(tmp_path: Path) -> None:
    whole = read_variables()
    bundles.write(tmp_path / "bert_model.ckpt", whole, shards=3)
    again = Bundle(tmp_path / "bert_model.ckpt")
    assert len(again.files) == 4
    for name, values in whole.items():
        np.testing.assert_array_equal(again.read(name), values)


def test_a_float64_variable_is_refused(checkpoint_copy: Path) -> None:
    stored = read_variables()
    stored["bert/pooler/dense/bias"] = stored["bert/pooler/dense/bias"].astype(np.float64)
    bundles.write(checkpoint_copy / "bert_model.ckpt", stored)
    with pytest.raises(
        UserError, match=r"variable bert/pooler/dense/bias is of TensorFlow's type 2; only whole float32"
    ):
        read_parameters(checkpoint_copy)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({1: 1, 2: 1}, "big-endian"),
        ({1: 0}, "names no data files"),
        ({1: 10**9}, "names no data files"),
        ({1: 2}, "00000-of-00002 is missing"),
    ],
)
def test_an_impossible_header_is_refused(header: dict[int, int], message: str, checkpoint_copy: Path) -> None:
    bundles.write(checkpoint_copy / "bert_model.ckpt", read_variables(), header=header)
    with pytest.raises(UserError, match=message):
        find_checkpoint(model_config(checkpoint_copy))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"shard": 7}, "a data file that does not exist"),
        ({"offset": 1 << 40}, "it is cut short"),
        ({"shape": (24, 24, 2)}, "shape does not fit its bytes"),
        ({"shape": (1,) * 9}, "beyond any tensor's"),
        ({"shape": (1 << 62, 1 << 62)}, "beyond any tensor's"),
        ({"size": 0}, "shape does not fit its bytes"),
        ({"offset": 0}, "does not match its checksum"),
        ({"shape": (12, 48)}, r"is \(12, 48\)"),
    ],
)
def test_an_impossible_entry_is_refused_despite_a_valid_checksum(
    changed: dict[str, Any], message: str, checkpoint_copy: Path
) -> None:
    bundles.change(checkpoint_copy / "bert_model.ckpt.index", "bert/pooler/dense/kernel", **changed)
    with pytest.raises(UserError, match=message):
        read_parameters(checkpoint_copy)


def entry_of(index: Path, name: str) -> Any:
    return bundle._entry(table.read_table(index.read_bytes())[name.encode()], shards=1)


def test_mutated_checkpoints_are_refused_or_read_unchanged(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    expected = read_parameters(CHECKPOINT)
    index, data = "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"
    known = list(Bundle(CHECKPOINT / "bert_model.ckpt").shapes)
    outcomes = {"refused": 0, "identical": 0}
    folder = Path(shutil.copytree(CHECKPOINT, tmp_path / "mutated"))
    for number in range(200):
        for name in (index, data):
            shutil.copy(CHECKPOINT / name, folder / name)
        path = folder / (index if number % 2 else data)
        raw = bytearray(path.read_bytes())
        kind = number // 2 % 5
        if kind in (0, 1):  # bytes flipped
            for place in rng.integers(0, len(raw), 1 + kind * 7):
                raw[place] ^= int(rng.integers(1, 256))
            path.write_bytes(raw)
        elif kind == 2:  # cut short, or filled up
            cut = int(rng.integers(0, len(raw)))
            path.write_bytes(raw[:cut] if rng.random() < 0.7 else raw + rng.bytes(cut % 100))
        elif kind == 3:  # a piece moved to another place
            start, there, size = (int(each) for each in rng.integers(0, len(raw), 3))
            raw[there : there + size % 64] = raw[start : start + size % 64]
            path.write_bytes(raw)
        else:  # the shape, place or size of another variable, in an index whose own sums are right
            one, other = (str(name) for name in rng.choice(known, 2, replace=False))
            what = ("shape", "offset", "size")[number // 10 % 3]
            bundles.change(folder / index, one, **{what: getattr(entry_of(folder / index, other), what)})
        try:
            found = read_parameters(folder)
        except UserError as error:
            assert len(str(error).splitlines()) <= 3
            outcomes["refused"] += 1
            continue
        assert all(torch.equal(found[name], expected[name]) for name in expected), number
        outcomes["identical"] += 1
    assert sum(outcomes.values()) == 200 and outcomes["refused"] > 150, outcomes
