"""What all tests share: a two-layer BERT with random weights, sentences, and the real data if it is there."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("WANDB_MODE", "disabled")
os.environ.setdefault("WANDB_SILENT", "true")

SHARED = Path(os.environ.get("PROBES_SHARED", Path(__file__).resolve().parents[2] / "shared"))

# The BERT of the tests, but for its vocabulary.
SMALL: dict[str, int] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 32,
}  # fmt: skip
SENTENCES = (
    "the cat sat on the mat",
    "a dog barked",
    "nobody came to the party because it rained all day and the road was closed",
    "yes",
    "what a fine morning this is",
    "",
    "the mat sat on the cat",
    "rain fell , and the dog slept",
)


@pytest.fixture(autouse=True)
def _own_wandb_service() -> None:
    """Keep the W&B service of an earlier test in this process, which may have ended, from a test's commands."""
    os.environ.pop("WANDB_SERVICE", None)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and checkpoints; tests that need it skip where it is not at hand."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"needs the real data: no folder {SHARED.name}/data (set PROBES_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def vocabulary() -> list[str]:
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    return [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *words,
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
    ]


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory, vocabulary: list[str]) -> Callable[..., Path]:
    """Write a small checkpoint with random weights: `make_checkpoint(model_class, config)` gives its folder."""

    def make(model: Any, name: str = "tiny") -> Path:
        from tests.helpers.tokenizers import save_tokenizer

        folder = tmp_path_factory.mktemp("model") / name
        model.save_pretrained(folder)
        save_tokenizer(folder, vocabulary, 32)
        return folder

    return make


@pytest.fixture(scope="session")
def bert(make_checkpoint: Callable[..., Path], vocabulary: list[str]) -> Path:
    """Folder of a two-layer BERT of width 16 whose pooler has a bias, so that it counts as trained."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    model = BertModel(BertConfig(vocab_size=len(vocabulary), **SMALL))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return make_checkpoint(model, "tiny-bert")


@pytest.fixture(scope="session")
def cased(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests' BERT with some pieces in capitals, lower-casing all the same."""
    from tests.helpers.checkpoints import copy_with_tokenizer

    model = json.loads((bert / "tokenizer.json").read_text())["model"]
    capitals = {"the": "The", "cat": "Cat"}
    model["vocab"] = {capitals.get(piece, piece): number for piece, number in model["vocab"].items()}
    return copy_with_tokenizer(bert, tmp_path_factory.mktemp("cased") / "cased", model=model)


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit status, and what it wrote to stdout and stderr."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


@pytest.fixture
def run_main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Ended]:
    """Call a command in this process, from an empty folder with an empty store: `run_main(run.main, "pooling=cls")`."""
    from hydra.core.global_hydra import GlobalHydra

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def call(main: Callable[[], None], *words: str) -> Ended:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["run_main", *words])
        capsys.readouterr()
        status = 0
        try:
            main()
        except SystemExit as ending:
            status = int(ending.code or 0)
        captured = capsys.readouterr()
        return Ended(status, captured.out, captured.err)

    return call


@pytest.fixture
def files(tmp_path: Path, bert: Path) -> list[str]:
    """Write train.csv (40 rows, two classes) and test.csv (20); return the overrides of a quick run."""
    for name, number in (("train", 40), ("test", 20)):
        rows = [
            (SENTENCES[place % 5] + " the" * (place % 7), "no" if place % 5 < 2 else "yes") for place in range(number)
        ]
        write_csv(tmp_path / f"{name}.csv", rows)
    quick = ["runtime.threads=1", "runtime.progress=false", "probe.resamples=200", "tracker=none"]
    return [f"model.path={bert}", "dataset=files", "dataset.train=train.csv", "dataset.test=test.csv", *quick]


@pytest.fixture
def one_file(tmp_path: Path) -> list[str]:
    """Write rows.csv (60 rows, two classes); return the overrides of a quick run that divides it."""
    nouns, labels = ("cat", "dog", "mat"), ("no", "yes")
    write_csv(
        tmp_path / "rows.csv",
        [(f"{SENTENCES[place % 5]} {nouns[place % 3]}", labels[place % 2]) for place in range(60)],
    )
    train = ["dataset=files", f"dataset.train={tmp_path}/rows.csv", "dataset.test_fraction=0.3"]
    return [*train, "tracker=none", "probe.resamples=100"]


def write_csv(path: Path, rows: Iterable[Sequence[object]], header: Sequence[str] = ("text", "label")) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
