"""A bundle holds the records of a sweep, and equal records give equal bytes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from experiments.bundles import (
    FIELDS,
    PREDICTIONS_FILE,
    RECORDS_FILE,
    Record,
    kept_arrays,
    read_records,
    write_bundle,
)
from experiments.losses import record_deviance, record_losses, without_rows
from experiments.strata import explained
from experiments.tasks import paired_task
from src.errors import UserError
from src.evaluation.deviance import log_likelihoods
from tests.helpers.records import LABELS, make_predictions, make_result


def test_a_bundle_holds_the_records_of_a_sweep(sweep, tmp_path):
    found = read_records(sweep)
    write_bundle(found, tmp_path / "bundle")
    again = read_records(tmp_path / "bundle")
    assert [each.result for each in again] == [each.result for each in found]
    for one, other in zip(found, again, strict=True):
        decision = {"decision"} if other.result.draws == 1 else set()
        assert set(other.predictions) == set(FIELDS) - {"texts", "set", "group", "thresholded"} | decision
        for name, array in other.predictions.items():
            np.testing.assert_array_equal(array, one.predictions[name])


def test_the_bytes_of_a_bundle_do_not_depend_on_the_order_of_records(sweep, tmp_path):
    found = read_records(sweep)
    write_bundle(found, tmp_path / "a")
    write_bundle(found[::-1], tmp_path / "b")
    for name in (RECORDS_FILE, PREDICTIONS_FILE):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_arrays_are_stored_in_small_types_and_read_in_their_own(tmp_path):
    predictions = make_predictions(LABELS, LABELS.astype(np.float64) / 3)
    kept = {name: predictions[name] for name in FIELDS if name in predictions}
    result = make_result(counts={**make_result().counts, "classes": None})
    write_bundle([Record("x", result, kept)], tmp_path)
    (back,) = read_records(tmp_path)
    np.testing.assert_allclose(back.predictions["prediction"], kept["prediction"], rtol=1e-7)
    assert back.predictions["label"].dtype == np.int64 and back.predictions["row"].dtype == np.uint64
    assert (tmp_path / PREDICTIONS_FILE).stat().st_size < len(LABELS) * 16 + 1000


@pytest.mark.parametrize("classes", [2, 3])
def test_a_bundle_keeps_the_log_likelihood_of_each_test_row(tmp_path, classes):
    generator = np.random.default_rng(0)
    labels, rows = generator.integers(classes, size=50), 50
    decisions = generator.standard_normal(rows if classes == 2 else (rows, classes)).astype(np.float32)
    predictions = (decisions > 0).astype(int) if classes == 2 else decisions.argmax(axis=1)
    result = make_result(counts={**make_result().counts, "classes": classes})
    arrays = make_predictions(labels, predictions) | {"decision": decisions}
    kept = kept_arrays(result, arrays)
    assert ("decision" in kept, "log_likelihood" in kept) == (classes == 2, classes > 2)
    write_bundle([Record("x", result, kept)], tmp_path)
    (back,) = read_records(tmp_path)
    expected = -log_likelihoods(labels, decisions, classes)
    assert record_losses(back) == pytest.approx(expected, abs=1e-6)
    other = kept_arrays(replace(result, probe="senteval"), arrays)
    assert "decision" not in other and "log_likelihood" not in other


def _bundle_with(folder, **changed):
    """Write a bundle of one run whose arrays are changed; None leaves an array out."""
    arrays = make_predictions(LABELS, LABELS)
    kept = {name: arrays[name] for name in FIELDS if name in arrays} | changed
    write_bundle([Record("x", make_result(), {name: each for name, each in kept.items() if each is not None})], folder)


@pytest.mark.parametrize(
    "changed",
    [
        {"label": None},
        {"fold": None},
        {"label": LABELS[:-1]},
        {"label": LABELS + 100},
        {"label": np.stack([LABELS, LABELS])},
        {"prediction": LABELS - 100},
        {"fold": LABELS / 2},
        {"decision": np.full(len(LABELS), np.nan)},
        {"log_likelihood": np.zeros(len(LABELS) - 1)},
    ],
    ids=lambda changed: " ".join(f"{name} {np.shape(each)}" for name, each in changed.items()),
)
def test_arrays_that_do_not_fit_their_record_are_refused(tmp_path, changed):
    _bundle_with(tmp_path)
    assert len(read_records(tmp_path)) == 1
    _bundle_with(tmp_path, **changed)
    with pytest.raises(UserError, match=f"{RECORDS_FILE}, line 1.*{next(iter(changed))}"):
        read_records(tmp_path)


def test_a_bundle_without_a_record_is_refused(tmp_path):
    _bundle_with(tmp_path)
    (tmp_path / RECORDS_FILE).write_text("")
    with pytest.raises(UserError, match=f"{tmp_path.name} holds no record"):
        read_records(tmp_path)


@pytest.mark.parametrize("draws", [1, 3])
def test_scores_without_their_rows_keep_their_deviance(tmp_path, draws):
    generator = np.random.default_rng(0)
    labels = generator.standard_normal(60)
    predictions = labels + generator.standard_normal((draws, 60))
    result = make_result(probe="ridge", draws=draws, counts={**make_result().counts, "classes": None})
    whole = Record("x", result, make_predictions(labels, predictions if draws > 1 else predictions[0]))
    expected = 1 - ((predictions - labels) ** 2).mean(axis=0).sum() / ((labels - labels.mean()) ** 2).sum()
    write_bundle([without_rows(whole)], tmp_path)
    (back,) = read_records(tmp_path)
    assert record_deviance(back) == pytest.approx(expected, abs=1e-9)
    for compare in (lambda: paired_task([back], lambda result: "x"), lambda: explained(back)):
        with pytest.raises(UserError, match="without its test rows"):
            compare()


def test_a_record_without_its_rows_keeps_its_deviance(tmp_path):
    generator = np.random.default_rng(0)
    decisions = generator.standard_normal(len(LABELS)) + 2 * LABELS - 1
    arrays = make_predictions(LABELS, (decisions > 0).astype(int)) | {"decision": decisions}
    result = make_result()
    whole = Record("x", result, kept_arrays(result, arrays))
    write_bundle([without_rows(whole)], tmp_path)
    (back,) = read_records(tmp_path)
    assert not back.predictions and record_losses(back) is None
    constant = -np.log(np.bincount(LABELS)[LABELS] / len(LABELS)).sum()
    loss = np.logaddexp(0, np.where(LABELS == 1, -decisions, decisions)).sum()
    assert record_deviance(back) == pytest.approx(1 - loss / constant, abs=1e-9)
    assert record_deviance(back) == pytest.approx(record_deviance(whole), abs=1e-12)


@pytest.mark.parametrize(
    "sums",
    [
        {"loss": 1.0, "constant": 0.0},
        {"loss": "many", "constant": 1.0},
        ["loss"],
        {"loss": 1.0},
        {"loss": -1.0, "constant": 1.0},
    ],
    ids=str,
)
def test_sums_that_are_no_losses_are_refused(tmp_path, sums):
    write_bundle([without_rows(Record("x", make_result(), make_predictions(LABELS, LABELS)))], tmp_path)
    path = tmp_path / RECORDS_FILE
    entry = json.loads(path.read_text()) | {"sums": sums}
    path.write_text(json.dumps(entry) + "\n")
    with pytest.raises(UserError, match=f"{RECORDS_FILE}, line 1"):
        read_records(tmp_path)


def test_a_changed_byte_is_noticed(tmp_path):
    write_bundle([Record("x", make_result(), make_predictions(LABELS, LABELS))], tmp_path)
    path = tmp_path / PREDICTIONS_FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="has changed"):
        read_records(tmp_path)
