"""Results of resampling are stored by their inputs: equal ones are read, others computed, unused ones dropped."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.manifest import RESAMPLING, write_manifest
from experiments.paper import resampling
from experiments.paper.resampling import METHOD, Resampling, source_digest
from src.evaluation import bootstrap
from src.evaluation.contrasts import Task, contrasts
from src.evaluation.estimates import evaluate

ROWS, FEW = 80, 200
PAIRS = (("mean", "cls"), ("pooler", "cls"))


def make_task(name: str = "one", seed: int = 0, **changes: Any) -> Task:
    """A task whose runs are wrong on rows of their own."""
    rng = np.random.default_rng(seed)
    labels = np.arange(ROWS) % 2
    runs = {
        run: np.where(rng.random(ROWS) < share, 1 - labels, labels)
        for run, share in {"cls": 0.3, "pooler": 0.25, "mean": 0.1}.items()
    }
    return replace(Task(name, "f1", 2, labels, runs), **changes)


TASKS = (make_task(), make_task("two", 1, metric="accuracy"), make_task("three", 2, metric="mcc"))


def ask(store: Resampling, tasks: tuple[Task, ...] = TASKS) -> list[Any]:
    """One result of each kind."""
    first = tasks[0]
    return [
        *store.contrasts(tasks, PAIRS, resamples=FEW),
        store.evaluate("f1", first.labels, first.predictions["mean"], classes=2, resamples=FEW),
    ]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A folder with the results of `ask`."""
    store = Resampling.read(tmp_path)
    ask(store)
    store.write(tmp_path)
    return tmp_path


def test_results_that_other_processes_asked_for_are_kept() -> None:
    mine, other = Resampling(), Resampling()
    ask(other, TASKS[1:])
    ask(mine, TASKS[:1])
    both = Resampling()
    ask(both, TASKS[1:])
    ask(both, TASKS[:1])
    assert mine.text() != both.text()
    mine.add(other.used)
    assert mine.text() == both.text()


@pytest.fixture
def frozen(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever resamples fails, once results are stored."""

    def fail(*given: Any, **named: Any) -> None:
        raise AssertionError("computed anew")

    for name in ("contrasts", "evaluate"):
        monkeypatch.setattr(resampling, name, fail)


def test_a_stored_result_equals_a_new_one(stored: Path) -> None:
    first = TASKS[0]
    new = [
        *contrasts(TASKS, PAIRS, resamples=FEW),
        evaluate("f1", first.labels, first.predictions["mean"], classes=2, resamples=FEW),
    ]
    assert ask(Resampling.read(stored)) == new == ask(Resampling())


@pytest.mark.usefixtures("frozen")
def test_equal_inputs_are_read_and_the_file_stays_the_same(stored: Path) -> None:
    before = (stored / RESAMPLING).read_bytes()
    store = Resampling.read(stored)
    ask(store)
    store.write(stored)
    assert (stored / RESAMPLING).read_bytes() == before == store.text()


def _flip(task: Task) -> Task:
    changed = task.predictions["pooler"].copy()
    changed[0] = 1 - changed[0]
    return replace(task, predictions=task.predictions | {"pooler": changed})


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize(
    "change",
    [
        _flip,
        lambda task: replace(task, seed=1),
        lambda task: replace(task, labels=task.labels[::-1]),
        lambda task: replace(task, groups=np.arange(ROWS) // 2),
        lambda task: replace(task, texts=np.zeros((ROWS, 2), dtype=np.uint64)),
        lambda task: replace(task, folds=5),
        lambda task: replace(task, metric="accuracy"),
        lambda task: replace(task, widths={"cls": 8, "mean": 16}),
        lambda task: replace(task, predictions=dict(reversed(task.predictions.items()))),
    ],
)
def test_a_changed_input_is_computed_again(stored: Path, change: Any) -> None:
    store = Resampling.read(stored)
    store.contrasts(TASKS[:1], PAIRS, resamples=FEW)
    with pytest.raises(AssertionError, match="computed anew"):
        store.contrasts([change(TASKS[0])], PAIRS, resamples=FEW)


@pytest.mark.usefixtures("frozen")
def test_other_options_are_computed_again(stored: Path) -> None:
    store = Resampling.read(stored)
    for options in ({"margin": 0.02, "resamples": FEW}, {"resamples": FEW + 1}):
        with pytest.raises(AssertionError, match="computed anew"):
            store.contrasts(TASKS, PAIRS, **options)


def test_what_nobody_asks_for_is_dropped(stored: Path) -> None:
    store = Resampling.read(stored)
    ask(store, TASKS[:2])
    store.write(stored)
    assert (stored / RESAMPLING).read_bytes() == store.text()
    kept = Resampling()
    ask(kept, TASKS[:2])
    assert kept.text() == store.text()


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize(
    "harm",
    [
        lambda text: text.replace('"inconclusive"', '"better"').replace("0.01,", "0.02,"),
        lambda text: text.replace('"method": "', '"method": "0'),
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "",
    ],
)
def test_a_damaged_or_outdated_file_is_not_used(stored: Path, harm: Any) -> None:
    path = stored / RESAMPLING
    path.write_text(harm(path.read_text()))
    with pytest.raises(AssertionError, match="computed anew"):
        ask(Resampling.read(stored))


def test_the_digest_covers_every_module_that_a_result_depends_on() -> None:
    folder = Path(bootstrap.__file__).parent
    for name in METHOD:
        tree = ast.parse((folder / f"{name}.py").read_text())
        used = {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        needed = {each.rpartition(".")[2] for each in used if each.startswith("src.evaluation.")}
        assert needed <= set(METHOD)


def test_the_digest_follows_the_code() -> None:
    assert source_digest(["x = 1"]) == source_digest(["x = (1)  # one"]) != source_digest(["x = 2"])


def test_the_manifest_does_not_list_the_file(stored: Path) -> None:
    write_manifest(stored)
    assert RESAMPLING not in (stored / "manifest.json").read_text()
