"""Files of features are written block by block, whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from src.errors import UserError
from src.pipeline import feature_files
from src.pipeline.feature_files import write_features


def test_features_are_written_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_files, "BLOCK", 3)
    values = np.arange(40, dtype=np.float32).reshape(10, 4)
    write_features(tmp_path / "x.safetensors", [[values]], np.arange(10), {"a": "b"})
    written = load_file(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(written["features"], values)
    np.testing.assert_array_equal(written["labels"], np.arange(10))
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").mkdir()  # so that the last step fails
    with pytest.raises(UserError, match=r"cannot be written.*output="):
        write_features(tmp_path / "x.safetensors", [[np.zeros((2, 2), np.float32)]], np.zeros(2), {})
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]
