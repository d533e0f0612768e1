"""Tests of the NSP pooler: checkpoints that differ in it alone, pairs with true labels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from experiments.configurations import configs
from experiments.studies import coherence_pairs, nsp_pooler
from src.config.schema import Config, ModelConfig
from src.data.dataset import Split
from src.data.loading import load_dataset
from src.features.extractor import FeatureExtractor
from src.features.inputs import encoder_inputs
from src.models import finding
from src.models.options import EncodingOptions
from src.probes.settings import Rows
from src.runtime.clock import Clock
from src.storage.arrays import ArrayStore
from tests.conftest import SENTENCES

DOCUMENTS = [
    [f"d{document} s{place} " + " ".join(f"w{document}.{place}.{word}" for word in range(7)) for place in range(60)]
    for document in range(3)
]


@pytest.mark.parametrize("words", [20, 40])
def test_pairs_are_what_their_labels_say(words: int) -> None:
    opens = {
        " ".join(line.split()[:2]): (number, place)
        for number, lines in enumerate(DOCUMENTS)
        for place, line in enumerate(lines)
    }
    ends = {
        line.split()[-1]: (number, place + 1)
        for number, lines in enumerate(DOCUMENTS)
        for place, line in enumerate(lines)
    }
    first, second, label = coherence_pairs.pairs(DOCUMENTS, 40, words, [0])
    for a, b, kind in zip(first, second, label, strict=True):
        assert len(a.split()) + len(b.split()) == words
        after, before = opens[" ".join(b.split()[:2])], ends[a.split()[-1]]
        assert after == before if kind == 0 else after[0] != before[0]
    assert len({a.split()[-1] for a in first}) == 40 and 8 < label.sum() < 32


def test_pairs_depend_on_the_seed(tmp_path: Path) -> None:
    one, again, other = (coherence_pairs.pairs(DOCUMENTS, 30, 20, [seed]) for seed in (0, 0, 1))
    assert one[:2] == again[:2] and one[:2] != other[:2]


@pytest.fixture
def books(tmp_path: Path) -> Path:
    folder = tmp_path / "books"
    folder.mkdir()
    rng = np.random.default_rng(0)
    nouns = (
        ("cat", "mat", "dog"),
        ("rain", "road", "party"),
        ("morning", "day", "mat"),
        ("dog", "rain", "cat"),
        ("day", "road", "cat"),
    )
    for number, own in enumerate(nouns):
        lines = [
            f"The {rng.choice(own)} {rng.choice(['sat', 'fell', 'slept'])} on the {rng.choice(own)}."
            for _ in range(150)
        ]
        (folder / f"{number}.txt").write_text("\n".join(lines))
    return folder


def test_coherence_pairs_write_a_task(books: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coherence_pairs.main([f"text={books}", f"output={tmp_path}", "train=20", "test=10", "words=16", "held_out=0.4"])
    asked = capsys.readouterr().out.split()
    found = load_dataset(configs(asked)[0].dataset, None)
    assert found.classes == coherence_pairs.LABELS and found.train.text_pair is not None
    assert {name: len(split) for name, split in found.splits.items()} == {"train": 20, "test": 10}


def test_coherence_pairs_keep_a_file_of_the_user(
    books: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"text={books}", f"output={tmp_path}", "train=20", "test=10", "words=16", "held_out=0.4"]
    (tmp_path / "train.tsv").write_text("text\tlabel\nmine\t1\n", encoding="utf-8")
    with pytest.raises(SystemExit):
        coherence_pairs.main(words)
    assert "train.tsv" in capsys.readouterr().err
    assert not (tmp_path / "test.tsv").exists()
    assert (tmp_path / "train.tsv").read_text(encoding="utf-8") == "text\tlabel\nmine\t1\n"


@pytest.fixture
def made(books: Path, bert: Path, tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, *words: str) -> Path:
        quick = [
            "pairs=150",
            "held_out_pairs=40",
            "held_out=0.3",
            "words=12",
            "epochs=3",
            f"cache_dir={tmp_path}/store",
        ]
        nsp_pooler.main([f"text={books}", f"output={tmp_path / name}", f"model.path={bert}", *quick, *words])
        return tmp_path / name

    return make


def test_two_checkpoints_differ_in_their_pooler_alone(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made("out", "seeds=1")
    weights = [load_file(folder / name / "model.safetensors") for name in ("random-0", "nsp-0")]
    differing = {name for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])}
    assert differing == set(nsp_pooler.PARAMETERS.values())
    assert {each.dtype for each in weights[1].values()} == {torch.float32}
    seen: dict[str, dict[str, Any]] = {}
    split = Split("test", pa.array(SENTENCES, pa.large_string()), None, np.zeros(len(SENTENCES)))
    for name in ("random-0", "nsp-0"):
        config = Config(model=ModelConfig(path=str(folder / name)))
        extractor = FeatureExtractor(
            finding.find_checkpoint(config.model), EncodingOptions(), ArrayStore(tmp_path / "store"), Clock(), 1
        )
        text = encoder_inputs(split, "joint", "x")[0]
        seen[name] = {each: np.array(extractor.features(text, (each, 2)).values) for each in ("cls", "pooler", "mean")}
        seen[name]["status"] = extractor.info.pooler["status"]
    assert np.array_equal(seen["random-0"]["cls"], seen["nsp-0"]["cls"]) and np.array_equal(
        seen["random-0"]["mean"], seen["nsp-0"]["mean"]
    )
    assert not np.allclose(seen["random-0"]["pooler"], seen["nsp-0"]["pooler"])
    assert (seen["random-0"]["status"], seen["nsp-0"]["status"]) == ("untrained", "trained")


def test_the_same_seed_gives_the_same_weights(made: Callable[..., Path]) -> None:
    one, again = made("one", "seeds=1"), made("again", "seeds=2")
    for arm in nsp_pooler.ARMS:
        places = (one / f"{arm}-0", again / f"{arm}-0", again / f"{arm}-1")
        files = [(folder / "model.safetensors").read_bytes() for folder in places]
        assert files[0] == files[1] != files[2]
    found = [json.loads((folder / "nsp.json").read_text()) for folder in (one, again)]
    assert all(each.pop("seconds") for each in found) and found[0].pop("seeds")["0"] == found[1].pop("seeds")["0"]
    assert found[0] == found[1]
    assert set(found[0]["rows"].values()) == {150, 40}


def test_training_learns_what_cls_tells() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 16)).astype(np.float32)
    label = (np.tanh(2 * x[:, 0]) * x[:, 1] + 0.5 * x[:, 2] > 0).astype(np.int64)
    start = nsp_pooler.initial_state(16, 0, 0.1)
    state = nsp_pooler.train(start, Rows(x, label), seed=0, epochs=150, rate=0.01)
    right = (nsp_pooler.logits(state, torch.from_numpy(x)).argmax(1).numpy() == label).mean()
    assert right > 0.9 and not start["bias"].any()  # the start is left as it was


@pytest.mark.parametrize("words", [[], ["text=nowhere", "output=x"], ["text=nowhere"], ["texts=x"]])
@pytest.mark.parametrize("command", [coherence_pairs, nsp_pooler])
def test_refusals(command: object, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(words)  # type: ignore[attr-defined]
    assert ended.value.code == 1 and capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("word", ["epochs=0", "rate=-1", "rate=2", "pairs=-1", "words=-4", "held_out=2", "seeds=0"])
def test_a_number_out_of_its_range_is_refused_before_the_encoding(
    word: str, made: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nsp_pooler, "encode_cls", lambda *_: pytest.fail("it encoded"))
    with pytest.raises(SystemExit) as ended:
        made("out", word)
    assert ended.value.code == 1 and word.partition("=")[0] in capsys.readouterr().err


def test_too_few_boundaries_are_refused(books: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        coherence_pairs.main([f"text={books}", f"output={tmp_path}", "words=16", "held_out=0.4", "train=5000"])
    assert "1000 pairs" in capsys.readouterr().err


def test_a_model_that_is_no_bert_is_refused(
    books: Path, bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(bert, tmp_path / "other")
    (other / "config.json").write_text(
        (bert / "config.json").read_text().replace('"model_type": "bert"', '"model_type": "roberta"')
    )
    with pytest.raises(SystemExit):
        nsp_pooler.main(
            [f"text={books}", f"output={tmp_path / 'out'}", f"model.path={other}", f"cache_dir={tmp_path}/store"]
        )
    assert "roberta" in capsys.readouterr().err and not (tmp_path / "out").exists()
