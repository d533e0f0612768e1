"""The benchmark of dtypes offers what a device has, and counts predictions that change."""

from __future__ import annotations

import pytest

from experiments.benchmarks import dtypes
from src.errors import UserError


def test_a_device_offers_its_dtypes_after_float32() -> None:
    assert dtypes.offered(["tf32", "mixed", "bfloat16"], "cuda") == ["float32", "tf32", "mixed", "bfloat16"]
    assert dtypes.offered(["tf32", "mixed", "float32"], "cpu") == ["float32", "mixed"]
    with pytest.raises(UserError, match=r"dtypes=int8.*float32"):
        dtypes.offered(["int8"], "cpu")
