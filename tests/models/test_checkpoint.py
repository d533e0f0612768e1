"""A checkpoint's key holds exactly what decides its numbers."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from src.errors import UserError
from src.models.checkpoint import HARMLESS_KEYS
from src.models.tokenizer import Tokenizer
from src.models.tokenizer_files import TOKENIZER_FILES
from src.storage.keys import content_key
from tests.helpers.checkpoints import (
    copy_checkpoint,
    edit_json,
    encode_sentences,
    key_of,
    open_checkpoint,
    scale_weights,
)

NAMES = [
    *TOKENIZER_FILES, "generation_config.json", "configuration.json", "config.4.0.0.json", "tokenizer.4.0.0.json",
    "chat_template.jinja", "additional_chat_templates/x.jinja", "preprocessor_config.json",
    "processor_config.json", "modules.json", "README.md", "model.py", "adapter_model.safetensors",
    "adapter_config.json", "pytorch_model.bin", "model.fp16.safetensors", "model.safetensors.index.json",
    "head.safetensors", "dict.txt", "subfolder/model.safetensors", "1_Pooling/config.json",
    "quantize_config.json", ".metadata", "__0_0.distcp", "vocab.bpe", f"{random.Random(7).randrange(10**9)}.json",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["bert", "plain"])
@pytest.mark.parametrize("name", NAMES)
def test_folders_that_differ_in_one_file_have_other_keys_or_equal_results(
    name: str, kind: str, request: pytest.FixtureRequest, bert: Path, tmp_path: Path
) -> None:
    """A third outcome is a refusal; never one key for two results."""
    results = []
    folder = request.getfixturevalue(kind)
    pieces = list(json.loads((bert / "tokenizer.json").read_text())["model"]["vocab"])
    for side, content in (("a", pieces), ("b", [*pieces[:5], *pieces[:4:-1]])):
        file = copy_checkpoint(folder, tmp_path / side) / name
        file.parent.mkdir(exist_ok=True)
        if file.exists() and file.suffix == ".json":
            edit_json(file, unk_token="[UNK]", cls_token="[CLS]", model_max_length=20 if side == "a" else 24)
        elif name.endswith(".safetensors"):
            scale_weights(bert, file)
        elif name.endswith(".json"):
            file.write_text(json.dumps({piece: number for number, piece in enumerate(content)}))
        else:
            file.write_text("\n".join(content))
        try:
            found = open_checkpoint(file.parents[len(Path(name).parts) - 1])
            results.append(found)
        except UserError as error:
            assert str(error).count("\n") <= 2
    if len(results) == 2 and len({key_of(found) for found in results}) == 1:
        assert name not in TOKENIZER_FILES
        for one, other in zip(*map(encode_sentences, results), strict=True):
            np.testing.assert_array_equal(one, other)


def test_files_that_change_no_number_enter_no_key(bert: Path, tmp_path: Path) -> None:
    folder = copy_checkpoint(bert, tmp_path / "more", **dict.fromkeys(HARMLESS_KEYS, "x"))
    for name in (
        "README.md",
        "modules.json",
        "sentence_bert_config.json",
        "generation_config.json",
        "chat_template.jinja",
    ):
        (folder / name).write_text("{}")
    assert key_of(open_checkpoint(folder)) == key_of(open_checkpoint(bert))


def test_codes_of_phobert_enter_the_key(bert: Path, tmp_path: Path) -> None:
    found = []
    for side, codes in (("a", "c a 9\n"), ("b", "a t 9\nc at 8\n")):
        folder = copy_checkpoint(bert, tmp_path / side)
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PhobertTokenizer", "model_max_length": 20}')
        (folder / "vocab.txt").write_text("".join(f"{piece} 1\n" for piece in ("c@@", "a@@", "t", "cat", "ca@@", "at")))
        (folder / "bpe.codes").write_text(codes)
        found.append(open_checkpoint(folder))
    assert key_of(found[0]) != key_of(found[1])
    assert len({bytes(Tokenizer(each, 16)(pa.array(["cat"]), None).ids) for each in found}) == 2


@pytest.mark.parametrize(
    "name", ["_attn_implementation", "attn_implementation", "_output_attentions", "_anything", "transformers_x"]
)
def test_unknown_settings_change_the_key(name: str, bert: Path, tmp_path: Path) -> None:
    assert key_of(open_checkpoint(copy_checkpoint(bert, tmp_path / "set", **{name: "eager"}))) != key_of(
        open_checkpoint(bert)
    )


def test_the_tokenizer_class_enters_the_tokenisation(bert: Path, tmp_path: Path) -> None:
    kinds = [
        bert,
        copy_checkpoint(bert, tmp_path / "a", model_type="mpnet"),
        copy_checkpoint(bert, tmp_path / "b", tokenizer_class="RobertaTokenizer"),
    ]
    assert len({content_key(open_checkpoint(folder).tokenisation) for folder in kinds}) == 3
    assert open_checkpoint(bert).tokenisation == open_checkpoint(bert).tokenizer
