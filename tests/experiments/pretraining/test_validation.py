"""Tests of the checks of the settings: every refusal names its key."""

from __future__ import annotations

import pytest

from experiments import pretrain
from tests.cli.refusals import Command, assert_refused


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], ["text is not set"]),
        (["text=nowhere"], ["nowhere", "no such folder"]),
        (["text=."], ["0 .txt files"]),
        (["text=.", "schedule.stepss=3"], ["stepss", "steps"]),
        (["text=.", "schedule.steps=0"], ["schedule.steps=0", "at least 1"]),
        (["text=.", "shape.heads=5"], ["shape.heads=5", "multiple"]),
        (["text=.", "shape.positions=64"], ["shape.positions=64"]),
        (["text=.", "held_out=1.5"], ["held_out=1.5"]),
        (["text=.", "pace.device=tpu"], ["tpu", "cpu"]),
        (["text=.", "schedule.objective=nsp"], ["schedule.objective=nsp", "mlm_nsp"]),
        (["text=.", "schedule.negatives=none"], ["schedule.negatives=none", "same_document"]),
        (["text=.", "schedule.dtype=float16"], ["schedule.dtype=float16", "bfloat16"]),
        (["text=.", "schedule.dropout=1"], ["schedule.dropout=1"]),
        (["text=.", "schedule.rate=-1"], ["schedule.rate=-1", "0 or more"]),
        (["text=.", "schedule.clip=0"], ["schedule.clip=0", "above 0"]),
        (["text=.", "schedule.rate=nan"], ["schedule.rate=nan", "0 or more"]),
        (["text=.", "schedule.weight_decay=-0.1"], ["schedule.weight_decay=-0.1"]),
    ],
)
def test_a_refusal_names_the_key(run_main: Command, words: list[str], named: list[str]) -> None:
    assert_refused(run_main(pretrain.main, "tracker=none", *words), *named)
