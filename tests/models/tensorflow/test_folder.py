"""Folders of original checkpoints are read, or refused with the way out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.config.schema import ModelConfig
from src.errors import UserError
from src.models.finding import EMBEDDED_DIR, find_checkpoint
from src.models.tensorflow.folder import is_lower_case
from src.models.tokenizer import load_tokenizer
from tests.config.test_conf import composed
from tests.helpers.google import CHECKPOINT, FIXTURES, TANH, model_config


def test_folder_prefix_and_index_name_the_same_checkpoint(checkpoint_copy: Path) -> None:
    expected = find_checkpoint(model_config(checkpoint_copy)).identity
    for given in (checkpoint_copy / "bert_model.ckpt", checkpoint_copy / "bert_model.ckpt.index"):
        assert find_checkpoint(model_config(given)).identity == expected or pytest.fail(str(given))
    for path in list(checkpoint_copy.glob("bert_model.ckpt*")):
        shutil.copy(path, path.with_name(path.name.replace("bert_model.ckpt", "model.ckpt-10")))
        path.rename(path.with_name(path.name.replace("bert_model.ckpt", "model.ckpt-9")))
    with pytest.raises(
        UserError, match=r"holds 2 checkpoints \(model.ckpt-10, model.ckpt-9\). Name one: model.path=.*/model.ckpt-9"
    ):
        find_checkpoint(model_config(checkpoint_copy))
    assert find_checkpoint(model_config(checkpoint_copy / "model.ckpt-10")).label == "copy"
    assert find_checkpoint(model_config(FIXTURES / "hub" / "variables" / "variables")).label == "hub"


def test_activation_and_casing_change_the_identity() -> None:
    plain, other = find_checkpoint(model_config(CHECKPOINT)), find_checkpoint(model_config(CHECKPOINT, hidden_act=TANH))
    assert plain.config["hidden_act"] == "gelu" and plain.identity != other.identity
    assert plain.tokenizer != find_checkpoint(model_config(CHECKPOINT, do_lower_case=False)).tokenizer
    assert plain.identity == find_checkpoint(model_config(CHECKPOINT, hidden_act="gelu")).identity


def test_capitals_in_the_vocabulary_decide_the_casing_if_nothing_states_it(checkpoint_copy: Path) -> None:
    def pieces(**others: Any) -> list[str]:
        return load_tokenizer(find_checkpoint(model_config(checkpoint_copy, **others))).tokenize("The Cat, déjà 猫")

    assert pieces() == ["the", "cat", ",", "d", "##e", "##j", "##a", "[UNK]"]
    stated = json.loads((checkpoint_copy / "bert_config.json").read_text())
    stated.pop("do_lower_case")
    (checkpoint_copy / "bert_config.json").write_text(json.dumps(stated))
    assert pieces()[0] == "the"
    words = (checkpoint_copy / "vocab.txt").read_text().replace("[unused0]", "The")
    (checkpoint_copy / "vocab.txt").write_text(words)
    assert pieces()[0] == "The"
    assert pieces(do_lower_case=True)[0] == "the"
    (checkpoint_copy / "bert_config.json").write_text(json.dumps(stated | {"do_lower_case": True}))
    assert pieces()[0] == "the"
    assert not is_lower_case({"[CLS]": 0, "É": 1})


def test_a_module_without_configuration_names_model_config(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"hub holds no bert_config.json, as TF-Hub modules may not. .* model.config=FILE"
    ):
        find_checkpoint(ModelConfig(path=str(FIXTURES / "hub"), format="tensorflow"))
    found = find_checkpoint(model_config(FIXTURES / "hub", vocab=str(CHECKPOINT / "vocab.txt")))
    assert found.tokenizer == find_checkpoint(model_config(FIXTURES / "hub")).tokenizer
    with pytest.raises(UserError, match=r"model.vocab=nowhere.txt: there is no such file"):
        find_checkpoint(model_config(FIXTURES / "hub", vocab="nowhere.txt"))


def amended(**changes: Any) -> Callable[[Path], object]:
    def amend(folder: Path) -> None:
        path = folder / "bert_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return amend


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no-data": (
        lambda f: (f / "bert_model.ckpt.data-00000-of-00001").unlink(),
        "data-00000-of-00001 is missing beside",
    ),
    "no-index": (lambda f: (f / "bert_model.ckpt.index").unlink(), "holds no TensorFlow checkpoint"),
    "empty-index": (lambda f: (f / "bert_model.ckpt.index").write_bytes(b""), "does not end as such a file does"),
    "foreign-index": (
        lambda f: (f / "bert_model.ckpt.index").write_bytes(b"PK" * 500),
        "no complete index of a TensorFlow checkpoint",
    ),
    "short-data": (
        lambda f: os.truncate(f / "bert_model.ckpt.data-00000-of-00001", 57_000),
        "57,000 bytes, and .* it is cut short",
    ),
    "config-cut": (lambda f: (f / "bert_config.json").write_text("{"), "bert_config.json cannot be read"),
    "config-list": (lambda f: (f / "bert_config.json").write_text("[]"), "no mapping"),
    "config-deep": (lambda f: (f / "bert_config.json").write_text("[" * 100_000), "cannot be read"),
    "other-model": (amended(model_type="albert"), "is of a albert model"),
    "no-size": (amended(hidden_size=None), "hidden_size=None, and a whole number"),
    "text-size": (amended(vocab_size="many"), "vocab_size=many"),
    "many-layers": (amended(num_hidden_layers=10**6), "num_hidden_layers=1000000"),
    "more-layers": (amended(num_hidden_layers=3), "lacks bert/encoder/layer_2"),
    "fewer-layers": (amended(num_hidden_layers=1), "a BERT of 1 layers does not have"),
    "wider": (amended(hidden_size=48), r"word_embeddings is \(128, 24\), and bert_config.json says \(128, 48\)"),
    "odd-heads": (amended(num_attention_heads=5), "5 heads do not divide a hidden_size of 24"),
    "activation": (amended(hidden_act="swish"), "unknown hidden_act 'swish'"),
    "spread": (amended(initializer_range="wide"), "initializer_range=wide"),
    "vocabulary": (lambda f: (f / "vocab.txt").write_text("the\ncat\n"), r"lacks \[PAD\], \[UNK\]"),
    "long-vocabulary": (
        lambda f: (f / "vocab.txt").open("a").write("x\ny\n"),
        "130 word pieces, and bert_config.json says 128",
    ),
    "no-text": (lambda f: (f / "vocab.txt").write_bytes(b"\xff\xfe"), "vocab.txt cannot be read"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_damaged_files_are_refused(name: str, checkpoint_copy: Path) -> None:
    change, message = BROKEN[name]
    change(checkpoint_copy)
    with pytest.raises(UserError, match=message) as caught:
        find_checkpoint(model_config(checkpoint_copy))
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("model=google", "model=google needs model.path=FOLDER"),
        ("model=google model.path=nowhere", "no such folder"),
        (
            "model=google model.path=google/bert_uncased_L-2_H-128_A-2",
            "no such folder. model=google reads local folders",
        ),
        ("model=google model.hidden_act=gleu", "unknown model.hidden_act 'gleu'; did you mean 'gelu'"),
        ("model=google model.revision=main", "reads folders, which have no revision"),
        ("model.hidden_act=gelu", r"is for original TensorFlow checkpoints \(model=google\)"),
        ("model.vocab=vocab.txt", r"is for original TensorFlow checkpoints \(model=google\)"),
        ("model.format=onnx", "unknown model.format 'onnx'"),
        (f"model=checkpoint model.path={CHECKPOINT}", "is in TensorFlow's format: model=google reads that"),
        (f"model=checkpoint model.path={FIXTURES / 'hub'}", "is in TensorFlow's format: model=google reads that"),
        (f"model=google model.path={EMBEDDED_DIR / 'bert-books'}", "model=checkpoint reads that"),
    ],
)
def test_wrong_options_are_refused(words: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_checkpoint(composed(*words.split()).model)
