"""What a folder's key holds, and what the library is let see of it: neither more nor less than each other."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from src.config.schema import ModelConfig
from src.errors import UserError
from src.models.checkpoint import HARMLESS_KEYS, Checkpoint
from src.models.encoder import Encoder
from src.models.finding import find_checkpoint
from src.models.options import EncodingOptions
from src.models.tokenizer import Tokenizer
from src.models.tokenizer_files import TOKENIZER_FILES
from src.storage.keys import content_key
from tests.conftest import SENTENCES


def opened(folder: Path) -> Checkpoint:
    return find_checkpoint(ModelConfig(path=str(folder)))


def key(checkpoint: Checkpoint) -> str:
    return content_key({"model": checkpoint.identity, "tokenizer": checkpoint.tokenizer})


def states(checkpoint: Checkpoint) -> list[np.ndarray]:
    """Word pieces of some sentences, and the last hidden states of the first one's."""
    tokens = Tokenizer(checkpoint, 16)(pa.array(SENTENCES[:4]), None)
    ids = tokens.ids[: tokens.offsets[1]][None]
    encoder = Encoder(checkpoint, EncodingOptions())
    return [tokens.ids, tokens.special, encoder.forward(ids, ids * 0, ids < 4).hidden[-1].numpy()]


def copy(folder: Path, to: Path, **settings: Any) -> Path:
    shutil.copytree(folder, to)
    amend(to / "config.json", **settings)
    return to


def amend(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def scaled(folder: Path, file: Path) -> None:
    save_file(
        {name: value * 1.05 for name, value in load_file(folder / "model.safetensors").items()}, file, {"format": "pt"}
    )


NAMES = [
    *TOKENIZER_FILES, "generation_config.json", "configuration.json", "config.4.0.0.json", "tokenizer.4.0.0.json", "chat_template.jinja",
    "additional_chat_templates/x.jinja", "preprocessor_config.json", "processor_config.json", "modules.json", "README.md", "model.py",
    "adapter_model.safetensors", "adapter_config.json", "pytorch_model.bin", "model.fp16.safetensors", "model.safetensors.index.json",
    "head.safetensors", "dict.txt", "subfolder/model.safetensors", "1_Pooling/config.json", "quantize_config.json", ".metadata",
    "__0_0.distcp", "vocab.bpe", f"{random.Random(7).randrange(10**9)}.json",
]  # fmt: skip


@pytest.fixture(scope="module")
def plain(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small BERT with a vocabulary of one word piece a line in place of a tokenizer.json."""
    folder = copy(bert, tmp_path_factory.mktemp("plain") / "model")
    pieces = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "model_max_length": 32}')
    return folder


@pytest.mark.parametrize("kind", ["bert", "plain"])
@pytest.mark.parametrize("name", NAMES)
def test_folders_that_differ_in_one_file_differ_in_key_or_load_alike(
    name: str, kind: str, request: pytest.FixtureRequest, bert: Path, tmp_path: Path
) -> None:
    """A third outcome is a refusal; never one key for two results."""
    results = []
    folder = request.getfixturevalue(kind)
    pieces = list(json.loads((bert / "tokenizer.json").read_text())["model"]["vocab"])
    for side, content in (("a", pieces), ("b", [*pieces[:5], *pieces[:4:-1]])):
        file = copy(folder, tmp_path / side) / name
        file.parent.mkdir(exist_ok=True)
        if file.exists() and file.suffix == ".json":
            amend(file, unk_token="[UNK]", cls_token="[CLS]", model_max_length=20 if side == "a" else 24)
        elif name.endswith(".safetensors"):
            scaled(bert, file)
        elif name.endswith(".json"):
            file.write_text(json.dumps({piece: number for number, piece in enumerate(content)}))
        else:
            file.write_text("\n".join(content))
        try:
            found = opened(file.parents[len(Path(name).parts) - 1])
            results.append(found)
        except UserError as error:
            assert str(error).count("\n") <= 2
    if len(results) == 2 and len({key(found) for found in results}) == 1:
        assert name not in TOKENIZER_FILES
        for one, other in zip(*map(states, results), strict=True):
            np.testing.assert_array_equal(one, other)


def test_files_that_move_no_number_enter_no_key(bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "more", **dict.fromkeys(HARMLESS_KEYS, "x"))
    for name in (
        "README.md",
        "modules.json",
        "sentence_bert_config.json",
        "generation_config.json",
        "chat_template.jinja",
    ):
        (folder / name).write_text("{}")
    assert key(opened(folder)) == key(opened(bert))


def test_codes_of_phobert_are_in_the_key(bert: Path, tmp_path: Path) -> None:
    found = []
    for side, codes in (("a", "c a 9\n"), ("b", "a t 9\nc at 8\n")):
        folder = copy(bert, tmp_path / side)
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PhobertTokenizer", "model_max_length": 20}')
        (folder / "vocab.txt").write_text("".join(f"{piece} 1\n" for piece in ("c@@", "a@@", "t", "cat", "ca@@", "at")))
        (folder / "bpe.codes").write_text(codes)
        found.append(opened(folder))
    assert key(found[0]) != key(found[1])
    assert len({bytes(Tokenizer(each, 16)(pa.array(["cat"]), None).ids) for each in found}) == 2


@pytest.mark.parametrize(
    "name", ["_attn_implementation", "attn_implementation", "_output_attentions", "_anything", "transformers_x"]
)
def test_settings_that_are_not_known_to_be_harmless_change_the_key(name: str, bert: Path, tmp_path: Path) -> None:
    assert key(opened(copy(bert, tmp_path / "set", **{name: "eager"}))) != key(opened(bert))


def test_word_pieces_are_kept_apart_by_the_class_that_makes_them(bert: Path, tmp_path: Path) -> None:
    kinds = [
        bert,
        copy(bert, tmp_path / "a", model_type="mpnet"),
        copy(bert, tmp_path / "b", tokenizer_class="RobertaTokenizer"),
    ]
    assert len({content_key(opened(folder).tokenisation) for folder in kinds}) == 3
    assert opened(bert).tokenisation == opened(bert).tokenizer


def test_weights_that_the_configuration_names_are_those_that_count(bert: Path, tmp_path: Path) -> None:
    found = []
    for side in "ab":
        folder = copy(bert, tmp_path / side, transformers_weights="x.safetensors")
        (
            scaled(bert, folder / "x.safetensors")
            if side == "a"
            else shutil.copy(bert / "model.safetensors", folder / "x.safetensors")
        )
        found.append(opened(folder))
    assert key(found[0]) != key(found[1])
    plain = states(opened(bert))[-1]
    np.testing.assert_array_equal(states(found[1])[-1], plain)
    assert not np.array_equal(states(found[0])[-1], plain)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"transformers_weights": "../other/model.safetensors"}), ("config.json", {"transformers_weights": "x.bin"}),
        ("config.json", {"transformers_weights": ["model.safetensors"]}), ("config.json", {"text": {"transformers_weights": "x"}}),
        ("config.json", {"configuration_files": ["config.4.0.0.json"]}), ("config.json", {"quantization_config": {"bits": 4}}),
        ("config.json", {"fusion_config": {"x": True}}), ("config.json", {"_attn_implementation": "owner/kernel"}),
        ("tokenizer_config.json", {"vocab": "../other/vocab.txt"}), ("tokenizer_config.json", {"merges": "merges.txt"}),
        ("tokenizer_config.json", {"vocab_file": "other.txt"}), ("tokenizer_config.json", {"sp_model_file": "/x/y.model"}),
        ("tokenizer_config.json", {"init_inputs": ["vocab.txt"]}), ("tokenizer_config.json", {"mecab_kwargs": {"mecab_dic": "/x/dic"}}),
        ("tokenizer_config.json", {"fast_tokenizer_files": ["tokenizer.4.0.0.json"]}),
    ],
)  # fmt: skip
def test_what_leads_out_of_the_folder_is_refused_by_name(
    file: str, change: dict[str, Any], bert: Path, tmp_path: Path
) -> None:
    folder = copy(bert, tmp_path / "led")
    amend(folder / file, **change)
    with pytest.raises(UserError) as caught:
        opened(folder)
    assert str(next(iter(change))) in str(caught.value) or "transformers_weights" in str(caught.value)
    assert str(caught.value).count("\n") <= 2


def test_paths_that_were_saved_and_are_not_read_do_no_harm(bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "saved")
    amend(
        folder / "tokenizer_config.json",
        name_or_path="/gone/model",
        tokenizer_file="/gone/tokenizer.json",
        special_tokens_map_file="/gone/x",
    )
    for one, other in zip(states(opened(folder)), states(opened(bert)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_adapter_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "adapted")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(UserError, match="merge_and_unload"):
        opened(folder)


def test_a_file_that_changes_after_it_was_digested_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "changing")
    found = opened(folder)
    scaled(bert, folder / "model.safetensors")
    with pytest.raises(UserError, match="has changed"):
        states(found)


def test_shards_load_by_what_they_hold_and_not_by_what_the_index_says(bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "shards")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    for number, part in enumerate((names[::2], names[1::2])):
        save_file({name: weights[name] for name in part}, folder / f"part-{number}.safetensors", {"format": "pt"})
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "part-0.safetensors", "b": "part-1.safetensors"}}))
    np.testing.assert_array_equal(states(opened(folder))[-1], states(opened(bert))[-1])
    save_file({names[0]: weights[names[0]]}, folder / "part-1.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=names[0]):
        states(opened(folder))
    (folder / "part-1.safetensors").write_bytes(b"no header")
    for _ in range(2):  # what a try that failed has left does not change the reason
        with pytest.raises(UserError, match=r"part-1\.safetensors"):
            states(opened(folder))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer_config.json", "tokenizer.json"])
def test_links_are_followed_and_pipes_are_not_waited_for(name: str, bert: Path, tmp_path: Path) -> None:
    linked = copy(bert, tmp_path / "linked")
    (linked / name).rename(tmp_path / name)
    (linked / name).symlink_to(tmp_path / name)
    assert key(opened(linked)) == key(opened(bert))
    np.testing.assert_array_equal(states(opened(linked))[-1], states(opened(bert))[-1])
    (linked / name).unlink()
    os.mkfifo(linked / name)
    with pytest.raises(UserError):
        opened(linked)


BROKEN: dict[str, str | Callable[[str], str]] = {
    "deep": "[" * 100_000, "deep object": '{"a":' * 5000 + "1" + "}" * 5000, "list": "[]", "text": "{", "empty": "", "number": "3",
    "nan": lambda text: text[:-1] + ', "x": NaN}', "huge": lambda text: text[:-1] + f', "hidden_size": {"9" * 5000}}}',
    "infinite": lambda text: text[:-1] + ', "layer_norm_eps": 1e999}',
}  # fmt: skip


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("case", BROKEN)
def test_json_that_is_none_is_refused_with_its_file(name: str, case: str, bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "broken")
    broken = BROKEN[case]
    (folder / name).write_text(broken if isinstance(broken, str) else broken((folder / name).read_text().strip()))
    with pytest.raises(UserError, match=name) as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "places", [[], {}, "x", {"a": 3}, {"a": "x.bin"}, {"a": "../x.safetensors"}, {"a": {"b": "c"}}, None]
)
def test_an_index_of_another_kind_is_refused(places: Any, bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "index")
    (folder / "model.safetensors").unlink()
    (folder / "x.bin").touch()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    with pytest.raises(UserError, match=r"model\.safetensors\.index\.json"):
        opened(folder)


def test_every_file_that_a_tokenizer_class_names_is_digested() -> None:
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name

    unread = {"dict.txt"}  # of BARTpho, an encoder-decoder; RoBERTa's folder has one that nothing reads
    for name in {name for name in TOKENIZER_MAPPING_NAMES.values() if name}:
        try:
            files = getattr(tokenizer_class_from_name(name), "vocab_files_names", None) or {}
        except ImportError:  # a tokenizer that needs a library that is not installed
            continue
        assert {file for file in files.values() if file} <= {*TOKENIZER_FILES, *unread}, name


def test_a_configuration_that_asks_for_tuples_and_has_no_table_loads(bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "tuples", return_dict=False, use_return_dict=False, output_hidden_states=True)
    for one, other in zip(states(opened(folder)), states(opened(bert)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_architectures_of_another_kind_are_refused_with_the_reason(make_checkpoint: Any, vocabulary: list[str]) -> None:
    import transformers

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    words = {"vocab_size": len(vocabulary)}
    shrinking = {"block_sizes": [1, 1], "d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 32}
    kinds: dict[str, tuple[dict[str, Any], str]] = {
        "Funnel": ({**words, **shrinking}, "hidden states"),
        "Bros": ({**words, **sizes}, "bbox"),
        "FNet": ({**words, **sizes}, "padding"),
        "ViT": (sizes, "word pieces"),
        "T5": ({**words, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}, "encoder"),
        "Lxmert": (
            {**words, "hidden_size": 16, "num_attention_heads": 2, "l_layers": 1, "x_layers": 1, "r_layers": 1},
            "encoder",
        ),
    }
    for kind, (settings, reason) in kinds.items():
        model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**settings))
        checkpoint = opened(make_checkpoint(model, kind.lower()))
        with pytest.raises(UserError, match=reason) as caught:
            pytest.fail(f"{kind}: {Encoder(checkpoint, EncodingOptions())}")
        assert str(caught.value).count("\n") <= 2
    xlnet = transformers.XLNetModel(transformers.XLNetConfig(**words, d_model=16, n_layer=2, n_head=2, d_inner=32))
    found = Encoder(opened(make_checkpoint(xlnet, "xlnet")), EncodingOptions())
    assert found.info.max_length == 32 and torch.is_tensor(found.random_weight)
