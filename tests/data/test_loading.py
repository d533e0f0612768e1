"""Options of conf/dataset, and refusals before any file is read."""

from __future__ import annotations

import pytest

from src.config.paths import CONF
from tests.helpers.datasets import option

OPTIONS = sorted(path.stem for path in (CONF / "dataset").glob("*.yaml"))


GLUE = {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"}


SENTEVAL = {"mr", "cr", "subj", "mpqa", "trec", "sst_binary", "sst_fine", "sick_e", "sick_r"}


HEADLINES = {"cola": "mcc", "mrpc": "f1", "qqp": "f1", "stsb": "pearson", "sick_r": "pearson"}


SIMILARITY = {"sts12", "sts13", "sts14", "sts15", "sts16", "sick_sts"}


def test_every_documented_dataset_has_its_option() -> None:
    assert set(OPTIONS) >= GLUE | SENTEVAL | SIMILARITY | {"files"}


@pytest.mark.parametrize("name", sorted(SIMILARITY))
def test_similarity_tasks_have_one_test_split_and_spearman_as_headline(name: str) -> None:
    config = option(name)
    assert config.splits == {"test": "test"} and config.metrics == ["spearman", "pearson"]
    assert config.local is not None and config.citation and list(config.local.files) == ["test"]
    assert config.hub.path is not None and len(config.hub.revision) == 40


@pytest.mark.parametrize("name", OPTIONS)
def test_options_are_consistent(name: str) -> None:
    config = option(name)
    assert config.name == name
    if name not in GLUE | SENTEVAL:
        return
    assert config.metrics[0] == HEADLINES.get(name, "accuracy")
    assert (config.task == "regression") == (config.classes is None)
    assert config.local is not None and config.citation
    assert {"train", "test"} <= set(config.splits) and set(config.splits.values()) <= set(config.local.files)
    assert (config.selection == "development") == ("development" in config.splits)
    assert (config.selection == "nested") == (config.splits["train"] == config.splits["test"])
    assert set((config.labels or {}).values()) <= set(config.classes or ())
    assert (config.hub.path == "nyu-mll/glue" and len(config.hub.revision) == 40) == (name in GLUE)


def test_reading_data_needs_no_torch() -> None:
    import subprocess
    import sys

    heavy = ["torch", "transformers", "datasets", "pandas", "sklearn", "scipy", "huggingface_hub"]
    code = f"import sys, src.data.dataset, src.runtime.hub; sys.exit(', '.join(set({heavy!r}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CONF.parent)
    assert done.returncode == 0, done.stderr
