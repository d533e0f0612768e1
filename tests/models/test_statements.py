"""What a checkpoint states of itself is read where it can be used, and changes no key."""

from __future__ import annotations

import json
import os
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from src.models.huggingface import DOWNLOADED
from src.models.statements import read_statements
from tests.helpers.checkpoints import copy_checkpoint, key_of, open_checkpoint

OLD = "sentence_transformers.models"
NEW = "sentence_transformers.sentence_transformer.modules.pooling"


def module(number: int, kind: str, path: str) -> dict[str, Any]:
    return {"idx": number, "name": str(number), "path": path, "type": kind}


def write_statements(folder: Path, modules: Any, **files: Any) -> Path:
    """Write modules.json and other JSON files, whose names have `__` for a slash and no ending."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"modules": modules, **files}.items():
        path = folder / (name.replace("__", "/") + ".json")
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


PLAIN = [module(0, f"{OLD}.Transformer", ""), module(1, f"{OLD}.Pooling", "1_Pooling")]


@pytest.mark.parametrize(
    ("config", "stated"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, ["mean"]),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, ["cls", "mean"]),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, ["mean_sqrt_len"]),
        ({"pooling_mode": "weightedmean"}, ["weighted_mean"]),
        ({"pooling_mode": ["max", "cls"]}, ["max", "cls"]),
        ({"pooling_mode": "lasttoken", "pooling_mode_mean_tokens": True}, ["lasttoken"]),
        ({"word_embedding_dimension": 8}, ["mean"]),
    ],
)
def test_poolings_of_old_and_new_files(config: dict[str, Any], stated: list[str], tmp_path: Path) -> None:
    folder = write_statements(
        tmp_path, [PLAIN[0], module(1, f"{NEW}.Pooling", "1_Pooling")], **{"1_Pooling__config": config}
    )
    assert read_statements(folder, "given") == {"modules": ["Transformer", "Pooling"], "pooling": stated}


def test_everything_that_is_stated(tmp_path: Path) -> None:
    dense = {
        "in_features": 8,
        "out_features": 4,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    modules = [*PLAIN, module(2, f"{OLD}.Dense", "2_Dense"), module(3, f"{OLD}.Normalize", "3_Normalize")]
    pooling = {"pooling_mode": "cls", "include_prompt": False}
    folder = write_statements(
        tmp_path, modules, **{"1_Pooling__config": pooling, "2_Dense__config": dense},
        sentence_bert_config={"max_seq_length": 256, "do_lower_case": True},
        config_sentence_transformers={
            "prompts": {"query": "query: ", "document": ""}, "default_prompt_name": "query",
            "similarity_fn_name": "dot", "model_type": "SentenceTransformer",
        },
    )  # fmt: skip
    assert read_statements(folder, "given") == {
        "modules": ["Transformer", "Pooling", "Dense", "Normalize"], "pooling": ["cls"], "include_prompt": False,
        "dense": [{"in": 8, "out": 4, "activation": "Tanh"}], "max_length": 256, "lower_case": True,
        "prompts": {"query": "query: "}, "default_prompt": "query", "similarity": "dot",
        "model_type": "SentenceTransformer",
    }  # fmt: skip


def test_a_module_of_another_library_is_named_only(tmp_path: Path) -> None:
    folder = write_statements(tmp_path, [PLAIN[0], module(1, "custom.Pooling", "1_Pooling")])
    assert read_statements(folder, "given") == {"modules": ["Transformer", "Pooling"]}


def test_a_plain_checkpoint_states_nothing(bert: Path) -> None:
    assert open_checkpoint(bert).stated is None


MALFORMED: dict[str, tuple[Any, dict[str, Any]]] = {
    "an object": ({"modules": []}, {}),
    "empty": ([], {}),
    "too many": ([PLAIN[0]] * 1000, {}),
    "no type": ([{"idx": 0, "path": ""}], {}),
    "a number as path": ([{"type": f"{OLD}.Transformer", "path": 3}], {}),
    "a path that leads out": ([module(0, f"{OLD}.Pooling", "../1_Pooling")], {}),
    "an absolute path": ([module(0, f"{OLD}.Pooling", "/1_Pooling")], {}),
    "no configuration": (PLAIN, {}),
    "a list as configuration": (PLAIN, {"1_Pooling__config": []}),
    "an unknown pooling": (PLAIN, {"1_Pooling__config": {"pooling_mode": "median"}}),
    "a pooling that is no text": (PLAIN, {"1_Pooling__config": {"pooling_mode": [["cls"]]}}),
    "an old key that is no boolean": (PLAIN, {"1_Pooling__config": {"pooling_mode_cls_token": "yes"}}),
    "a length that is no number": (PLAIN[:1], {"sentence_bert_config": {"max_seq_length": "long"}}),
    "a prompt that is no text": (PLAIN[:1], {"config_sentence_transformers": {"prompts": {"query": 3}}}),
    "a long prompt": (PLAIN[:1], {"config_sentence_transformers": {"prompts": {"query": "x" * 10**5}}}),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files_are_ignored_with_one_line(
    name: str, bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    modules, others = MALFORMED[name]
    folder = write_statements(copy_checkpoint(bert, tmp_path / name.replace(" ", "-")), modules, **others)
    checkpoint = open_checkpoint(folder)
    assert checkpoint.stated is None and open_checkpoint(folder).stated is None
    assert len(caplog.messages) == 1 and str(folder) in caplog.messages[0] and "modules.json" in caplog.messages[0]


def test_depth_is_limited_and_a_pipe_is_not_opened(bert: Path, tmp_path: Path) -> None:
    deep = copy_checkpoint(bert, tmp_path / "deep")
    (deep / "modules.json").write_text("[" * 10**5 + "]" * 10**5)
    assert open_checkpoint(deep).stated is None
    pipe = copy_checkpoint(bert, tmp_path / "pipe")
    os.mkfifo(pipe / "modules.json")
    assert open_checkpoint(pipe).stated is None


def test_statements_enter_no_key(bert: Path, tmp_path: Path) -> None:
    stating = write_statements(
        copy_checkpoint(bert, tmp_path / "stating"), PLAIN, **{"1_Pooling__config": {"pooling_mode": "mean"}}
    )
    checkpoint = open_checkpoint(stating)
    assert checkpoint.stated == {"modules": ["Transformer", "Pooling"], "pooling": ["mean"]}
    assert key_of(checkpoint) == key_of(open_checkpoint(bert))


def test_the_files_are_downloaded() -> None:
    for name in ("modules.json", "1_Pooling/config.json", "2_Dense/config.json", "sentence_bert_config.json"):
        assert any(fnmatch(name, pattern) for pattern in DOWNLOADED), name


def test_a_real_checkpoint(shared: Path) -> None:
    stated = open_checkpoint(shared / "models" / "all-MiniLM-L6-v2").stated
    assert stated == {"modules": ["Transformer", "Pooling", "Normalize"], "pooling": ["mean"], "max_length": 256}


def test_what_the_library_writes(bert: Path, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
    encoder = modules.Transformer(str(bert))
    pooling, dense = modules.Pooling(16, ("cls", "mean")), modules.Dense(32, 8)
    model = library.SentenceTransformer(modules=[encoder, pooling, dense, modules.Normalize()], device="cpu")
    model.save(str(tmp_path / "saved"), create_model_card=False)
    assert read_statements(tmp_path / "saved", "given") == {
        "modules": ["Transformer", "Pooling", "Dense", "Normalize"], "pooling": ["cls", "mean"],
        "dense": [{"in": 32, "out": 8, "activation": "Tanh"}], "similarity": "cosine",
        "model_type": "SentenceTransformer",
    }  # fmt: skip
