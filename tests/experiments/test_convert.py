"""A converted folder is the checkpoint it was made of, bit by bit, in the Hugging Face layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from experiments import convert
from src import extract
from src.config.schema import ModelConfig
from src.models.encoder import Encoder
from src.models.finding import find_checkpoint
from src.models.options import EncodingOptions
from tests.cli.refusals import Command
from tests.helpers import bundles
from tests.helpers.google import CHECKPOINT, FIXTURES, TANH, read_variables

WORDS = f"model.config={CHECKPOINT / 'bert_config.json'}"


@pytest.mark.parametrize("activation", ["gelu", TANH])
def test_features_are_bit_identical(activation: str, run_main: Command, files: list[str]) -> None:
    convert.main(["model=google", f"model.path={CHECKPOINT}", f"model.hidden_act={activation}", "output=converted"])
    for pooling in ("pooler", "first_last_mean", "random_pooler"):
        found = []
        for words in (
            ["model=google", f"model.path={CHECKPOINT}", f"model.hidden_act={activation}"],
            ["model=checkpoint", "model.path=converted"],
        ):
            ended = run_main(extract.main, *words, *files[1:-2], f"pooling={pooling}", "output=features")
            assert ended.status == 0, ended.err
            found.append(load_file("features/test.safetensors"))
            shutil.rmtree("features")
        assert torch.equal(found[0]["features"], found[1]["features"]), pooling
        assert torch.equal(found[0]["labels"], found[1]["labels"])


def test_the_heads_and_the_evidence_go_along(tmp_path: Path) -> None:
    convert.write(tmp_path / "out", ModelConfig(path=str(CHECKPOINT), format="tensorflow"))
    config = ModelConfig(path=str(tmp_path / "out"))
    pooler = Encoder(find_checkpoint(config), EncodingOptions()).info.pooler
    original = ModelConfig(path=str(CHECKPOINT), format="tensorflow")
    theirs = Encoder(find_checkpoint(original), EncodingOptions()).info.pooler
    theirs["evidence"].pop("activation")
    assert pooler == theirs
    from transformers import BertForPreTraining

    model, info = BertForPreTraining.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    stored = read_variables()
    assert torch.equal(
        model.cls.seq_relationship.weight, torch.from_numpy(stored["cls/seq_relationship/output_weights"])
    )
    assert torch.equal(
        model.cls.predictions.transform.dense.weight,
        torch.from_numpy(stored["cls/predictions/transform/dense/kernel"]).T,
    )
    assert torch.equal(model.cls.predictions.bias, torch.from_numpy(stored["cls/predictions/output_bias"]))


@pytest.mark.parametrize(
    ("dropped", "architecture", "status"),
    [
        (("cls/predictions/",), "BertForNextSentencePrediction", "trained"),
        (("cls/seq_relationship/",), "BertForMaskedLM", "trained"),
        (("cls/",), "BertModel", "trained"),
        (("bert/pooler/", "cls/seq_relationship/"), "BertForMaskedLM", "missing"),
        (("bert/pooler/", "cls/"), "BertModel", "missing"),
    ],
)
def test_what_the_checkpoint_lacks_is_not_made_up(
    dropped: tuple[str, ...], architecture: str, status: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(CHECKPOINT, tmp_path / "given"))
    bundles.write(
        folder / "bert_model.ckpt",
        {name: values for name, values in read_variables().items() if not name.startswith(dropped)},
    )
    convert.write(tmp_path / "out", ModelConfig(path=str(folder), format="tensorflow"))
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == [architecture]
    config = ModelConfig(path=str(tmp_path / "out"))
    assert Encoder(find_checkpoint(config), EncodingOptions()).info.pooler["status"] == status


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([f"model.path={CHECKPOINT}"], "output is not set"),
        (["output=out"], "model=google needs model.path"),
        (["output=out", "model=bert-tiny"], "model=bert-tiny: only original TensorFlow checkpoints are converted"),
        (["output=.", f"model.path={CHECKPOINT}"], "output=. is not empty"),
        (["output=full/out", f"model.path={CHECKPOINT}"], "output=full/out cannot be written"),
        (["output=out", f"model.path={CHECKPOINT}", "model.hidden_act=gleu"], "did you mean 'gelu'"),
        (["output=out", f"model.path={FIXTURES / 'hub'}"], "model.config=FILE"),
        (["output=out", "model.paht=x"], "paht"),
    ],
)
def test_a_refusal_names_the_option(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").write_text("a file")
    with pytest.raises(SystemExit) as ended:
        convert.main(words)
    assert ended.value.code == 1
    shown = capsys.readouterr().err
    assert message in shown and len(shown.splitlines()) <= 3
