"""A concatenation puts stored poolings side by side; its parts share one forward pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from src.errors import UserError
from src.features.unstored import unstored_encoder
from src.features.vectors import saturated
from src.models.encoder import Encoder
from tests.helpers.extraction import make_column, make_extractor

NAME = "concat(cls,pooler,first_last_mean)"


def test_the_columns_are_those_of_the_parts_after_one_pass(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, extractor = make_column(60), make_extractor(bert, tmp_path)
    target = extractor.resolve_target(NAME, -1)
    made = extractor.features(text, target)
    assert target == (NAME, 2) and not made.hit and extractor.encoded == 60
    monkeypatch.setattr(Encoder, "forward", None)
    parts = [extractor.features(text, (name, 2)).values for name in ("cls", "pooler", "first_last_mean")]
    np.testing.assert_array_equal(made.values, np.hstack(parts))
    read = make_extractor(bert, tmp_path).features(text, target)
    assert read.hit and read.timing == made.timing
    np.testing.assert_array_equal(read.values, made.values)


def test_rows_that_are_not_stored_have_the_same_columns(bert: Path, tmp_path: Path) -> None:
    text, extractor = make_column(60), make_extractor(bert, tmp_path)
    with unstored_encoder(extractor, (NAME, 2)) as encoder:
        values, _ = encoder.encode(text, lambda rows: None)
    np.testing.assert_allclose(values, extractor.features(text, (NAME, 2)).values, atol=1e-6)


def test_a_part_that_the_checkpoint_lacks_is_refused(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="last4_mean"):
        make_extractor(bert, tmp_path).resolve_target("concat(cls,last4_mean)", -1)


def test_saturated_entries_are_counted_in_the_part_that_has_them() -> None:
    cls, pooler = np.full((3, 2), 5, np.float32), np.array([[1, 0.5], [-1, 1], [0, 0]], np.float32)
    assert saturated(np.hstack([cls, pooler]), "concat(cls,pooler)") == 3
    assert saturated(np.hstack([cls, cls]), "concat(cls,mean)") is None
