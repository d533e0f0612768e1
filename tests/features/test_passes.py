"""Forward passes survive interruptions, with the same bits and bounded memory."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.errors import UserError
from src.features import loading
from src.models.encoder import Encoder
from src.pooling import EncoderOutput
from tests.helpers.extraction import make_column, make_extractor


def test_the_number_of_workers_changes_no_bit(bert: Path, tmp_path: Path) -> None:
    text = make_column(500)
    alone = make_extractor(bert, tmp_path / "a", workers=1).features(text, ("mean", 2)).values
    shared = make_extractor(bert, tmp_path / "b", workers=3).features(text, ("mean", 2)).values
    np.testing.assert_array_equal(alone, shared)


def test_a_model_is_warmed_up_once(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_kept", {})
    first, second = make_extractor(bert, tmp_path), make_extractor(bert, tmp_path)
    first.features(make_column(), ("mean", 2))
    assert first.warmup > 0
    second.features(make_column(seed=1), ("mean", 2))
    assert second.encoded > 0
    assert second.warmup == 0


def test_an_interrupted_pass_continues_from_its_finished_shards(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = make_column(600)
    undisturbed = np.array(make_extractor(bert, tmp_path / "a").features(text, ("mean", 2)).values)
    forward, calls = Encoder.forward, itertools.count()

    def failing(self: Encoder, *arguments: Any, **options: Any) -> object:
        if next(calls) >= 60:
            raise RuntimeError("power cut")
        return forward(self, *arguments, **options)

    monkeypatch.setattr(Encoder, "forward", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        make_extractor(bert, tmp_path / "b").features(text, ("mean", 2))
    monkeypatch.setattr(Encoder, "forward", forward)
    resumed = make_extractor(bert, tmp_path / "b")
    found = resumed.features(text, ("mean", 2))
    assert 0 < resumed.encoded < 600
    assert found.timing["shards_resumed"] > 0
    np.testing.assert_array_equal(found.values, undisturbed)
    assert not list((tmp_path / "b").glob("passes/*/claims"))


SCRIPT = """
import sys, pathlib
sys.path.insert(0, sys.argv[1])
from tests.helpers.extraction import make_column, make_extractor
e = make_extractor(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
print('ready', flush=True); sys.stdin.readline()
values = e.features(make_column(4000), ('mean', 2)).values
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


def test_a_killed_pass_that_is_started_again_gives_the_same_bits(bert: Path, tmp_path: Path) -> None:
    undisturbed = np.array(make_extractor(bert, tmp_path / "a").features(make_column(4000), ("mean", 2)).values)
    for wait in (0.15, 0.4):
        process = start(bert, tmp_path / "b")
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
    found = make_extractor(bert, tmp_path / "b").features(make_column(4000), ("mean", 2))
    np.testing.assert_array_equal(found.values, undisturbed)


def test_a_shard_is_never_whole_in_memory(bert: Path, tmp_path: Path) -> None:
    one = make_extractor(bert, tmp_path, workers=1, token_budget=2048)
    text = make_column(20_000)
    one.features(make_column(), ("mean", 2), [0, 1])  # what is loaded once is not counted
    targets = one._pass_targets(("mean", 2), [0, 1])
    with one._forward_pass(text, one.tokens(text), targets) as forward:
        tracemalloc.start()
        try:
            forward.encode_shard(0, 8)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    shards = [path.stat().st_size for path in one.shard_store(text, targets).listed().values()]
    assert len(shards) == 4 and max(shards) > 1e6
    assert peak < max(shards) / 2


@pytest.mark.parametrize("after", [0, 5, 40])
def test_a_pass_that_fails_leaves_no_partial_shard(
    after: int, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, calls = Encoder.forward, itertools.count()

    def overflowing(self: Encoder, *arguments: Any, **options: Any) -> EncoderOutput:
        output = forward(self, *arguments, **options)
        return output if next(calls) < after else replace(output, hidden=[layer * np.nan for layer in output.hidden])

    expected = np.array(make_extractor(bert, tmp_path / "a").features(make_column(), ("mean", 2)).values)
    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "forward", overflowing)
        with pytest.raises(UserError, match=r"NaN or infinite \(words/train, cls\)"):
            make_extractor(bert, tmp_path / "b").features(make_column(), ("mean", 2))
    assert not list(tmp_path.rglob("*.tmp"))
    np.testing.assert_array_equal(
        make_extractor(bert, tmp_path / "b").features(make_column(), ("mean", 2)).values, expected
    )


def test_two_processes_make_one_forward_pass(bert: Path, tmp_path: Path) -> None:
    processes = [start(bert, tmp_path) for _ in range(2)]
    outputs = [process.communicate("\n", timeout=60)[0].split() for process in processes]
    assert sorted(int(encoded) for encoded, _ in outputs) == [0, 4000]
    assert len({total for _, total in outputs}) == 1


def test_the_progress_bar_counts_tokens(
    bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    one = make_extractor(bert, tmp_path, progress=True)
    text = make_column()
    one.features(text, ("mean", 2))
    total = int(one.tokens(text).offsets[-1])
    shown = capsys.readouterr().err
    assert f"{total / 1000:.2f}k" in shown
    assert "tok/s" in shown


def test_a_resumed_bar_starts_at_what_is_stored(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import nullcontext
    from types import SimpleNamespace

    shown: list[dict[str, Any]] = []

    def bar(*_: object, **options: Any) -> Any:
        shown.append(options)
        return nullcontext(SimpleNamespace(update=lambda done: None))

    monkeypatch.setattr("src.features.passes.progress_bar", bar)
    one, text, target = make_extractor(bert, tmp_path), make_column(), ("mean", 2)
    one.encode_shard(text, target, [], 0, 2)
    one.features(text, target)
    half, rest = shown
    total = int(one.tokens(text).offsets[-1])
    assert half["initial"] == 0 and 0 < half["total"] < total
    assert rest["total"] == total and rest["initial"] == half["total"]
