"""What tokenising adds and loses: the first token, unknown pieces, capitals, the tails of long texts."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from src import extract, run
from src.config.schema import ModelConfig
from src.errors import UserError
from src.features.text_losses import warn_once
from src.models import wordpieces
from src.models.encoder import Encoder
from src.models.finding import find_checkpoint
from src.models.options import EncodingOptions
from src.models.tokenizer import Tokenizer, load_tokenizer
from src.models.wordpieces import inspect_tokenizer, row_blocks, truncate_texts
from tests.cli.test_application import refused
from tests.conftest import SENTENCES, SMALL, Ended
from tests.test_run import record

Door = Callable[..., Ended]
LIMIT = 12


def texts(rows: list[str]) -> Any:
    return pa.array(rows, pa.large_string())


@pytest.fixture(scope="module")
def tokenizer(bert: Path) -> Tokenizer:
    return Tokenizer(find_checkpoint(ModelConfig(path=str(bert))), LIMIT)


@pytest.fixture(autouse=True)
def _said_anew() -> None:
    warn_once.cache_clear()


WORDS = st.sampled_from(["cat", "dog", " ", "\n", "  ", ".", "x" * 150, "café", "☃", "\u200b", "mat"])
LONG = st.builds(
    lambda words, times, mark: mark.join(words) * times,
    st.lists(WORDS, min_size=1, max_size=8),
    st.integers(1, 60),
    st.sampled_from([" ", ""]),
)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(LONG, LONG), min_size=1, max_size=3))
def test_long_texts_keep_the_pieces_that_the_whole_text_has(tokenizer: Tokenizer, rows: list[tuple[str, str]]) -> None:
    for pair in (False, True):
        first, second = ([row[side] for row in rows] for side in (0, 1))
        found = tokenizer(texts(first), texts(second) if pair else None)
        whole = tokenizer._tokenizer(
            first, second if pair else None, truncation="longest_first", max_length=LIMIT, verbose=False
        )["input_ids"]
        for row, ids in enumerate(whole):
            got = found.ids[found.offsets[row] : found.offsets[row + 1]].tolist()
            assert got == ids, (row, pair)
        free = tokenizer._tokenizer(first, second if pair else None, truncation=False, verbose=False)["input_ids"]
        assert found.truncated == sum(len(ids) > LIMIT for ids in free)


def test_a_text_without_end_costs_its_beginning(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[int] = []
    inner = tokenizer._tokenizer

    class Counting:
        def __call__(self, text: Any, *rest: Any, **named: Any) -> Any:
            handed.append(len(text) if isinstance(text, str) else sum(map(len, text)))
            return inner(text, *rest, **named)

    monkeypatch.setattr(tokenizer, "_tokenizer", Counting())
    found = tokenizer(texts(["the cat " * 1_000_000, "yes"]), None)
    assert max(handed) < 2_000 and found.truncated == 1
    monkeypatch.setattr(wordpieces, "MAX_CHARACTERS", 4096)
    handed.clear()
    assert tokenizer(texts([" " * 1_000_000 + "cat"]), None).lengths.tolist() == [
        2
    ]  # [CLS] [SEP]: blanks give no piece
    assert max(handed) <= 4096


def test_rows_are_handed_over_in_blocks_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordpieces, "BLOCK_CHARACTERS", 100)
    rows = ["x" * 40] * 7 + ["y" * 1000, "", "z"]
    sliced = row_blocks(texts(rows), None, 3)
    assert [row for start, size in sliced for row in range(start, start + size)] == list(range(10))
    assert all(size == 1 or sum(len(row) for row in rows[start : start + size]) <= 100 for start, size in sliced)
    assert max(size for _, size in sliced) <= 3
    assert row_blocks(texts([]), None, 3) == [(0, 0)]


def plain(bert: Path, folder: Path, **changes: Any) -> Path:
    """A copy of a checkpoint whose tokenizer.json differs in the given parts."""
    shutil.copytree(bert, folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    content.update(changes)
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def rows(tmp_path: Path) -> list[str]:
    lines = [
        f"{SENTENCES[place % 5]} {['cat', 'dog', 'mat'][place % 3]},{('no', 'yes')[place % 2]}" for place in range(60)
    ]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *lines]))
    return [
        f"dataset.train={tmp_path}/rows.csv",
        "dataset=files",
        "dataset.test_fraction=0.3",
        "tracker=none",
        "probe.resamples=100",
    ]


@pytest.mark.parametrize("pooling", ["cls", "pooler", "cls_mean", "random_pooler"])
def test_a_tokenizer_without_a_first_token_has_no_cls(
    door: Door, bert: Path, tmp_path: Path, rows: list[str], pooling: str
) -> None:
    folder = plain(bert, tmp_path / "bare", post_processor=None)
    words = [*rows, "model=checkpoint", f"model.path={folder}"]
    refused(door(run.main, *words, f"pooling={pooling}"), pooling, "bare", "special token")
    assert door(run.main, *words, "pooling=mean").status == 0


def test_a_token_that_sees_nothing_of_the_text_is_no_cls(
    door: Door, make_checkpoint: Callable[..., Path], vocabulary: list[str], rows: list[str]
) -> None:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    folder = make_checkpoint(BertModel(BertConfig(vocab_size=len(vocabulary), is_decoder=True, **SMALL)), "causal")
    words = [*rows, "model=checkpoint", f"model.path={folder}"]
    refused(door(run.main, *words, "pooling=cls"), "cls", "causal", "left")
    ended = door(run.main, *words, "pooling=mean")
    assert ended.status == 0, ended.err


def test_a_row_without_any_token_is_refused(door: Door, bert: Path, tmp_path: Path) -> None:
    folder = plain(bert, tmp_path / "bare", post_processor=None)
    (tmp_path / "rows.csv").write_text("text,label\n" + "the cat,a\na dog,b\n" * 20 + '"",a\n')
    words = ["dataset=files", f"dataset.train={tmp_path}/rows.csv", "model=checkpoint", f"model.path={folder}"]
    refused(door(extract.main, *words, "pooling=mean", "output=out"), "no token", "row 41")


def said(caplog: pytest.LogCaptureFixture, ended: Ended) -> str:
    assert ended.status == 0, ended.err
    return " ".join(entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING)


def test_unknown_pieces_are_counted_and_said(
    door: Door, bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [f"{chr(0x732B + place)}{chr(0x96E8 + place)},{('no', 'yes')[place % 2]}" for place in range(40)]
    (tmp_path / "zh.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    ended = door(
        run.main, "dataset=files", f"dataset.train={tmp_path}/zh.csv", "dataset.test_fraction=0.3", "tracker=none", "probe.resamples=100",
        "model=checkpoint", f"model.path={bert}", "pooling=mean", "hydra.run.dir=out",
    )  # fmt: skip
    told = said(caplog, ended)
    assert "100%" in told and "unknown" in told and "model.do_lower_case" in told and "same vector" in told
    counts = record(Path("out"))["counts"]
    assert counts["unknown"] == 80 and counts["tokens"] == 80 + 2 * 40 and counts["one_vector"] == counts["train"]


def test_truncation_is_said_with_its_limit_and_its_key(
    door: Door, bert: Path, rows: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    words = [*rows, "model=checkpoint", f"model.path={bert}", "pooling=mean"]
    told = said(caplog, door(run.main, *words, "model.max_length=6", "hydra.run.dir=out"))
    assert "longer than 6" in told and "model.max_length" in told and "up to 32" in told
    counts = record(Path("out"))["counts"]
    assert (
        counts["truncated"] > 20
        and counts["unknown"] == counts["empty"] == counts["lowered"] == counts["one_vector"] == 0
    )
    caplog.clear()
    assert "longer" not in said(caplog, door(run.main, *words))


def test_an_empty_text_is_said(door: Door, bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
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
    assert "1 of" in said(caplog, door(run.main, *words, "tracker=none", "pooling=mean", "probe.resamples=100"))


@pytest.fixture(scope="module")
def cased(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests' BERT with some pieces in capitals, lower-casing all the same."""
    folder = tmp_path_factory.mktemp("cased") / "cased"
    shutil.copytree(bert, folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    pieces = content["model"]["vocab"]
    content["model"]["vocab"] = {
        ("The" if piece == "the" else "Cat" if piece == "cat" else piece): number for piece, number in pieces.items()
    }
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


def test_capitals_that_are_lost_are_counted(
    door: Door, cased: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [f"{('The Cat', 'a dog')[place % 2]}{' sat' * place},{'ab'[place % 2]}" for place in range(24)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *lines]))
    words = [
        "dataset=files", f"dataset.train={tmp_path}/rows.csv", "dataset.test_fraction=0.5", "tracker=none", "probe.resamples=100",
        "model=checkpoint", f"model.path={cased}", "pooling=mean",
    ]  # fmt: skip
    told = said(caplog, door(run.main, *words, "hydra.run.dir=lowered"))
    assert "model.do_lower_case=false" in told and record(Path("lowered"))["counts"]["lowered"] == 12
    caplog.clear()
    told = said(caplog, door(run.main, *words, "hydra.run.dir=kept", "model.do_lower_case=false"))
    assert "do_lower_case" not in told and record(Path("kept"))["counts"]["lowered"] == 0
    assert record(Path("kept"))["key"] != record(Path("lowered"))["key"]
    assert record(Path("kept"))["counts"]["tokens"] < record(Path("lowered"))["counts"]["tokens"]
    assert "do_lower_case" not in said(
        caplog, door(run.main, *words, "hydra.run.dir=meant", "model.do_lower_case=true")
    )


def test_casing_enters_the_key_of_features(door: Door, cased: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\n" + "The Cat sat,a\na dog,b\n" * 4)
    words = [
        "dataset=files",
        f"dataset.train={tmp_path}/rows.csv",
        "model=checkpoint",
        f"model.path={cased}",
        "pooling=mean",
    ]
    for lower, place in (("false", "kept"), ("true", "lowered")):
        assert door(extract.main, *words, f"model.do_lower_case={lower}", f"output={place}").status == 0
    kept, lowered = (load_file(Path(name) / "train.safetensors")["features"] for name in ("kept", "lowered"))
    assert np.abs(kept[0] - lowered[0]).max() > 1e-3


def test_other_tokenizers_have_no_casing_of_their_own(bert: Path, tmp_path: Path) -> None:
    folder = plain(bert, tmp_path / "other", normalizer={"type": "Lowercase"})
    with pytest.raises(UserError, match=r"model\.do_lower_case"):
        load_tokenizer(find_checkpoint(ModelConfig(path=str(folder), do_lower_case=False)))


def test_a_tokenizer_that_cannot_encode_is_refused_in_a_line(
    door: Door, bert: Path, tmp_path: Path, rows: list[str]
) -> None:
    folder = plain(bert, tmp_path / "nope")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["unk_token"] = "[NOPE]"
    (folder / "tokenizer.json").write_text(json.dumps(content))
    refused(door(run.main, *rows, "model=checkpoint", f"model.path={folder}", "pooling=mean"), "nope", "tokenizer")


def test_what_is_known_of_a_tokenizer(bert: Path, cased: Path) -> None:
    known = inspect_tokenizer(load_tokenizer(find_checkpoint(ModelConfig(path=str(bert)))), "tiny")
    assert (known.first, known.unknown, known.lowers_capitals) == (2, 1, False)
    assert inspect_tokenizer(load_tokenizer(find_checkpoint(ModelConfig(path=str(cased)))), "cased").lowers_capitals
    assert truncate_texts(load_tokenizer(find_checkpoint(ModelConfig(path=str(bert)))), texts(["a dog", None]), 8) == [
        "a dog",
        None,
    ]


def test_the_encoder_knows_its_limits(bert: Path) -> None:
    info = Encoder(find_checkpoint(ModelConfig(path=str(bert))), EncodingOptions(max_length=9)).info
    assert (info.max_length, info.positions, info.first_token) == (9, 32, None)
