"""What tokenizing loses of the texts is counted and warned of."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from src import extract, run
from src.runtime.logs import log_once
from tests.cli.refusals import Command, assert_refused
from tests.conftest import Ended
from tests.helpers.checkpoints import copy_with_tokenizer
from tests.test_run import record


@pytest.fixture(autouse=True)
def _repeat_warnings() -> None:
    log_once.cache_clear()


def test_a_row_without_any_token_is_refused(run_main: Command, bert: Path, tmp_path: Path) -> None:
    folder = copy_with_tokenizer(bert, tmp_path / "bare", post_processor=None)
    (tmp_path / "rows.csv").write_text("text,label\n" + "the cat,a\na dog,b\n" * 20 + '"",a\n')
    words = ["dataset=files", f"dataset.train={tmp_path}/rows.csv", "model=checkpoint", f"model.path={folder}"]
    assert_refused(run_main(extract.main, *words, "pooling=mean", "output=out"), "no token", "row 41")


def warnings(caplog: pytest.LogCaptureFixture, ended: Ended) -> str:
    assert ended.status == 0, ended.err
    return " ".join(entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING)


def test_unknown_pieces_are_counted_and_warned_of(
    run_main: Command, bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [f"{chr(0x732B + place)}{chr(0x96E8 + place)},{('no', 'yes')[place % 2]}" for place in range(40)]
    (tmp_path / "zh.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    ended = run_main(
        run.main, "dataset=files", f"dataset.train={tmp_path}/zh.csv", "dataset.test_fraction=0.3",
        "tracker=none", "probe.resamples=100",
        "model=checkpoint", f"model.path={bert}", "pooling=mean", "hydra.run.dir=out",
    )  # fmt: skip
    warned = warnings(caplog, ended)
    assert "100%" in warned and "unknown" in warned and "model.do_lower_case" in warned and "same vector" in warned
    counts = record(Path("out"))["counts"]
    assert counts["unknown"] == 80 and counts["tokens"] == 80 + 2 * 40 and counts["one_vector"] == counts["train"]


def test_truncation_is_counted_and_warned_of(
    run_main: Command, bert: Path, one_file: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    words = [*one_file, "model=checkpoint", f"model.path={bert}", "pooling=mean"]
    warned = warnings(caplog, run_main(run.main, *words, "model.max_length=6", "hydra.run.dir=out"))
    assert "longer than 6" in warned and "model.max_length" in warned and "up to 32" in warned
    counts = record(Path("out"))["counts"]
    assert (
        counts["truncated"] > 20
        and counts["unknown"] == counts["empty"] == counts["lowered"] == counts["one_vector"] == 0
    )
    caplog.clear()
    assert "longer" not in warnings(caplog, run_main(run.main, *words))


def test_empty_texts_are_warned_of(
    run_main: Command, bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "rows.csv").write_text(
        "text,label\n" + "".join(f"the cat {'mat ' * place},{'ab'[place % 2]}\n" for place in range(20)) + '" ",a\n'
    )
    words = [
        "dataset=files",
        f"dataset.train={tmp_path}/rows.csv",
        "dataset.test_fraction=0.5",
        "model=checkpoint",
        f"model.path={bert}",
    ]
    assert "1 of" in warnings(caplog, run_main(run.main, *words, "tracker=none", "pooling=mean", "probe.resamples=100"))


def test_lost_capitals_are_counted_and_warned_of(
    run_main: Command, cased: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [f"{('The Cat', 'a dog')[place % 2]}{' sat' * place},{'ab'[place % 2]}" for place in range(24)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *lines]))
    words = [
        "dataset=files", f"dataset.train={tmp_path}/rows.csv", "dataset.test_fraction=0.5", "tracker=none",
        "probe.resamples=100",
        "model=checkpoint", f"model.path={cased}", "pooling=mean",
    ]  # fmt: skip
    warned = warnings(caplog, run_main(run.main, *words, "hydra.run.dir=lowered"))
    assert "model.do_lower_case=false" in warned and record(Path("lowered"))["counts"]["lowered"] == 12
    caplog.clear()
    warned = warnings(caplog, run_main(run.main, *words, "hydra.run.dir=kept", "model.do_lower_case=false"))
    assert "do_lower_case" not in warned and record(Path("kept"))["counts"]["lowered"] == 0
    assert record(Path("kept"))["key"] != record(Path("lowered"))["key"]
    assert record(Path("kept"))["counts"]["tokens"] < record(Path("lowered"))["counts"]["tokens"]
    assert "do_lower_case" not in warnings(
        caplog, run_main(run.main, *words, "hydra.run.dir=meant", "model.do_lower_case=true")
    )


def test_casing_enters_the_key_of_features(run_main: Command, cased: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\n" + "The Cat sat,a\na dog,b\n" * 4)
    words = [
        "dataset=files",
        f"dataset.train={tmp_path}/rows.csv",
        "model=checkpoint",
        f"model.path={cased}",
        "pooling=mean",
    ]
    for lower, place in (("false", "kept"), ("true", "lowered")):
        assert run_main(extract.main, *words, f"model.do_lower_case={lower}", f"output={place}").status == 0
    kept, lowered = (load_file(Path(name) / "train.safetensors")["features"] for name in ("kept", "lowered"))
    assert np.abs(kept[0] - lowered[0]).max() > 1e-3
