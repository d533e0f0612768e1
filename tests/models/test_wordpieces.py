"""Tokenizers are inspected, and long texts are cut without changing their pieces."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src import run
from src.config.schema import ModelConfig
from src.errors import UserError
from src.models import wordpieces
from src.models.encoder import Encoder
from src.models.finding import find_checkpoint
from src.models.options import EncodingOptions
from src.models.tokenizer import Tokenizer, load_tokenizer
from src.models.wordpieces import inspect_tokenizer, row_blocks, truncate_texts
from src.runtime.logs import log_once
from tests.cli.refusals import Command, assert_refused
from tests.conftest import SMALL
from tests.helpers.checkpoints import copy_with_tokenizer

LIMIT = 12


def texts(rows: list[str]) -> Any:
    return pa.array(rows, pa.large_string())


@pytest.fixture(scope="module")
def tokenizer(bert: Path) -> Tokenizer:
    return Tokenizer(find_checkpoint(ModelConfig(path=str(bert))), LIMIT)


@pytest.fixture(autouse=True)
def _repeat_warnings() -> None:
    log_once.cache_clear()


WORDS = st.sampled_from(["cat", "dog", " ", "\n", "  ", ".", "x" * 150, "café", "☃", "\u200b", "mat"])


LONG = st.builds(
    lambda words, times, mark: mark.join(words) * times,
    st.lists(WORDS, min_size=1, max_size=8),
    st.integers(1, 60),
    st.sampled_from([" ", ""]),
)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(LONG, LONG), min_size=1, max_size=3))
def test_long_texts_keep_the_pieces_of_the_whole_text(tokenizer: Tokenizer, rows: list[tuple[str, str]]) -> None:
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


def test_only_the_beginning_of_a_long_text_is_tokenized(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
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
    # [CLS] [SEP]: blanks give no piece
    assert tokenizer(texts([" " * 1_000_000 + "cat"]), None).lengths.tolist() == [2]
    assert max(handed) <= 4096


def test_rows_are_tokenized_in_blocks_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordpieces, "BLOCK_CHARACTERS", 100)
    rows = ["x" * 40] * 7 + ["y" * 1000, "", "z"]
    sliced = row_blocks(texts(rows), None, 3)
    assert [row for start, size in sliced for row in range(start, start + size)] == list(range(10))
    assert all(size == 1 or sum(len(row) for row in rows[start : start + size]) <= 100 for start, size in sliced)
    assert max(size for _, size in sliced) <= 3
    assert row_blocks(texts([]), None, 3) == [(0, 0)]


@pytest.mark.parametrize("pooling", ["cls", "pooler", "cls_mean", "random_pooler"])
def test_cls_is_refused_without_a_special_first_token(
    run_main: Command, bert: Path, tmp_path: Path, one_file: list[str], pooling: str
) -> None:
    folder = copy_with_tokenizer(bert, tmp_path / "bare", post_processor=None)
    words = [*one_file, "model=checkpoint", f"model.path={folder}"]
    assert_refused(run_main(run.main, *words, f"pooling={pooling}"), pooling, "bare", "special token")
    assert run_main(run.main, *words, "pooling=mean").status == 0


def test_cls_is_refused_under_causal_attention(
    run_main: Command, make_checkpoint: Callable[..., Path], vocabulary: list[str], one_file: list[str]
) -> None:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    folder = make_checkpoint(BertModel(BertConfig(vocab_size=len(vocabulary), is_decoder=True, **SMALL)), "causal")
    words = [*one_file, "model=checkpoint", f"model.path={folder}"]
    assert_refused(run_main(run.main, *words, "pooling=cls"), "cls", "causal", "left")
    ended = run_main(run.main, *words, "pooling=mean")
    assert ended.status == 0, ended.err


def test_casing_of_other_tokenizers_cannot_be_set(bert: Path, tmp_path: Path) -> None:
    folder = copy_with_tokenizer(bert, tmp_path / "other", normalizer={"type": "Lowercase"})
    with pytest.raises(UserError, match=r"model\.do_lower_case"):
        load_tokenizer(find_checkpoint(ModelConfig(path=str(folder), do_lower_case=False)))


def test_a_tokenizer_that_cannot_encode_is_refused(
    run_main: Command, bert: Path, tmp_path: Path, one_file: list[str]
) -> None:
    folder = copy_with_tokenizer(bert, tmp_path / "nope")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["unk_token"] = "[NOPE]"
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert_refused(
        run_main(run.main, *one_file, "model=checkpoint", f"model.path={folder}", "pooling=mean"), "nope", "tokenizer"
    )


def test_traits_of_a_tokenizer(bert: Path, cased: Path) -> None:
    known = inspect_tokenizer(load_tokenizer(find_checkpoint(ModelConfig(path=str(bert)))), "tiny")
    assert (known.first, known.unknown, known.lowers_capitals) == (2, 1, False)
    assert inspect_tokenizer(load_tokenizer(find_checkpoint(ModelConfig(path=str(cased)))), "cased").lowers_capitals
    assert truncate_texts(load_tokenizer(find_checkpoint(ModelConfig(path=str(bert)))), texts(["a dog", None]), 8) == [
        "a dog",
        None,
    ]


def test_the_encoder_states_its_limits(bert: Path) -> None:
    info = Encoder(find_checkpoint(ModelConfig(path=str(bert))), EncodingOptions(max_length=9)).info
    assert (info.max_length, info.positions, info.first_token) == (9, 32, None)
