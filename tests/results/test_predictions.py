"""Arrays beside a record: files that are damaged or do not fit the record are refused."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from src.errors import UserError
from src.results.result import PREDICTIONS, read_predictions
from tests.helpers.records import make_predictions, make_result

LABELS = np.array([0, 1, 1, 0, 1])
PROBE_ARRAYS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3)}


@pytest.mark.parametrize(
    "changes",
    [
        {"label": np.zeros((3, 2), int)},
        {"label": np.array([0, 1, 7])},
        {"label": np.array([0.0, 1.0, np.nan])},
        {"prediction": np.array([0, -1, 1])},
        {"prediction": np.array([0.5, 0.1, 0.2])},
        {"row": np.array([0.5, 1.5, 2.5])},
    ],
)
def test_predictions_that_the_record_cannot_have_are_refused(tmp_path, changes):
    plain = make_predictions(np.array([0, 1, 1]), np.array([0, 1, 0]))
    save_file(plain, tmp_path / "right.safetensors")
    assert set(read_predictions(tmp_path / "right.safetensors", make_result())) == set(plain)
    save_file(plain | changes, tmp_path / "wrong.safetensors")
    with pytest.raises(UserError, match=r"wrong\.safetensors"):
        read_predictions(tmp_path / "wrong.safetensors", make_result())


def test_predictions_without_their_fields_or_rows_are_refused(tmp_path):
    whole = make_predictions(LABELS, LABELS)
    for name in whole:
        with pytest.raises(ValueError, match=f"lack {name}"):
            make_result().write(tmp_path, {key: value for key, value in whole.items() if key != name}, PROBE_ARRAYS)
        if name != "row":
            with pytest.raises(ValueError, match=f"{name} not of 5 rows"):
                make_result().write(tmp_path, whole | {name: whole[name][:-1]}, PROBE_ARRAYS)
    with pytest.raises(ValueError, match=r"lack mismatched\.row"):
        make_result().write(tmp_path, whole | {"mismatched.label": LABELS}, PROBE_ARRAYS)
    assert not list(tmp_path.iterdir())


def test_a_damaged_predictions_file_is_refused(tmp_path):
    make_result().write(tmp_path, make_predictions(LABELS, LABELS), PROBE_ARRAYS)
    content = (tmp_path / PREDICTIONS).read_bytes()
    for damaged in (b"", content[:40], content[:-1], b"\xff" * len(content)):
        (tmp_path / PREDICTIONS).write_bytes(damaged)
        with pytest.raises(UserError, match=PREDICTIONS):
            read_predictions(tmp_path)
    with pytest.raises(UserError, match="No such file"):
        read_predictions(tmp_path / "nowhere")
