"""Original BERT checkpoints are read without TensorFlow: every weight in its place and checked, or refused."""

from __future__ import annotations

import json
import os
import shutil
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from src import run
from src.config.schema import ModelConfig
from src.errors import UserError
from src.models.encoder import Encoder
from src.models.finding import EMBEDDED_DIR, find_checkpoint
from src.models.options import EncodingOptions
from src.models.tensorflow import bundle, names, table
from src.models.tensorflow.bundle import Bundle
from src.models.tensorflow.checksum import POLYNOMIAL, crc32c, mask_crc
from src.models.tensorflow.folder import is_lower_case
from src.models.tensorflow.names import variable_names
from src.models.tensorflow.wire import DamagedError, read_fields, read_varint
from src.models.tokenizer import load_tokenizer
from tests.cli.test_application import Door
from tests.config.test_conf import composed
from tests.helpers import bundles

FIXTURES = Path(__file__).parents[1] / "fixtures" / "google"
CHECKPOINT = FIXTURES / "checkpoint"
FORMS = ("checkpoint", "hub", "savedmodel", "savedmodel-2019")
TANH = "gelu_pytorch_tanh"


def config(folder: Path, **others: Any) -> ModelConfig:
    beside = {} if (folder / "bert_config.json").is_file() else {"config": str(CHECKPOINT / "bert_config.json")}
    return ModelConfig(path=str(folder), format="tensorflow", **{**beside, **others})


def parameters(folder: Path, **others: Any) -> dict[str, torch.Tensor]:
    original = find_checkpoint(config(folder, **others)).original
    assert original is not None
    return original.parameters()


def encoder(folder: Path, **others: Any) -> Encoder:
    return Encoder(find_checkpoint(config(folder, **others)), EncodingOptions())


def variables(folder: Path = CHECKPOINT) -> dict[str, np.ndarray]:
    bundle = Bundle(folder / "bert_model.ckpt")
    return {name: bundle.read(name) for name in bundle.shapes if name != "global_step"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CHECKPOINT, tmp_path / "copy"))


# The formats


def test_the_checksum_is_that_of_the_polynomial() -> None:
    def slowly(data: bytes) -> int:
        register = 0xFFFFFFFF
        for byte in data:
            register ^= byte
            for _ in range(8):
                register = register >> 1 ^ (POLYNOMIAL if register & 1 else 0)
        return register ^ 0xFFFFFFFF

    rng = np.random.default_rng(0)
    for size in (0, 1, 3, 4, 255, 2047, 2048, 2049, 9001, 8192 * 4 * 8 + 2057):
        data = rng.bytes(size)
        assert crc32c(data) == slowly(data), size
    assert crc32c(b"\0" * 32) == 0x8A9136AA, "RFC 3720, appendix B.4"


@pytest.mark.parametrize("data", [b"\x80", b"\xff" * 11, b"\x0a\x05ab", b"\x0b", b"\x0d\x01"])
def test_bytes_that_are_no_message_are_damaged(data: bytes) -> None:
    with pytest.raises(DamagedError):
        list(read_fields(data))
    assert read_varint(b"\x80" * 9 + b"\x01", 0) == (1 << 63, 10)


def test_a_table_gives_back_what_it_was_made_of() -> None:
    rng = np.random.default_rng(1)
    entries = {f"{'a' * (number % 7)}{number}".encode(): rng.bytes(number * 3 % 50) for number in range(200)}
    assert table.read_table(bundles.table(entries)) == entries
    assert table.read_table((CHECKPOINT / "bert_model.ckpt.index").read_bytes()).keys() > {
        b"",
        b"bert/pooler/dense/kernel",
    }


def test_a_table_that_would_fill_the_memory_is_refused() -> None:
    def block(content: bytes) -> bytes:
        return content + (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + b"\0"

    def signed(whole: bytes) -> bytes:
        return whole + mask_crc(crc32c(whole)).to_bytes(4, "little")

    def made(first: bytes, handles: int) -> bytes:
        data = signed(block(first))
        handle = bundles.varint(0) + bundles.varint(len(block(first)) - 1)
        index = block(b"".join(bytes([0, 1, len(handle)]) + bytes([number]) + handle for number in range(handles)))
        footer = handle + bundles.varint(len(data)) + bundles.varint(len(index) - 1)
        return data + signed(index) + footer.ljust(40, b"\0") + table.MAGIC.to_bytes(8, "little")

    long = b"\0" + bundles.varint(table.MAX_KEY_LENGTH + 1) + b"\0" + b"k" * (table.MAX_KEY_LENGTH + 1)
    many = b"".join(b"\0\x03\0" + number.to_bytes(3, "big") for number in range(table.MAX_KEYS + 1))
    for content, handles, message in (
        (long, 1, "longer than any name"),
        (many, 1, "more keys"),
        (b"", 2, "blocks overlap"),
    ):
        with pytest.raises(DamagedError, match=message):
            table.read_table(made(content, handles))
    assert table.read_table(made(b"\0\x01\x01ab", 1)) == {b"a": b"b"}


def test_a_checkpoint_in_several_files_is_the_same(tmp_path: Path) -> None:
    whole = variables()
    bundles.write(tmp_path / "bert_model.ckpt", whole, shards=3)
    again = Bundle(tmp_path / "bert_model.ckpt")
    assert len(again.files) == 4
    for name, values in whole.items():
        np.testing.assert_array_equal(again.read(name), values)


# The mapping


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_parameters_and_what_tensorflow_computed(form: str) -> None:
    expected = parameters(CHECKPOINT)
    found = parameters(FIXTURES / form)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    recorded = load_file(FIXTURES / "outputs.safetensors")
    mask = recorded["input_mask"].astype(bool)
    differences = {}
    for activation in ("gelu", TANH):
        output = encoder(FIXTURES / form, hidden_act=activation).forward(
            recorded["input_ids"], recorded["segment_ids"], ~mask, mask.sum(axis=1)
        )
        assert output.pooled is not None
        sequence = np.abs(output.hidden[-1].numpy() - recorded[f"{form}.sequence_output"])[mask].max()
        differences[activation] = (sequence, np.abs(output.pooled.numpy() - recorded[f"{form}.pooled_output"]).max())
    assert max(differences[TANH]) < 1e-5
    assert min(differences["gelu"]) > 1e-5, "the activations are told apart"


def test_kernels_are_turned_and_everything_else_is_not() -> None:
    stored, found = variables(), parameters(CHECKPOINT)
    for name, values in found.items():
        there = stored["bert/" + variable_names(name)[0]]
        expected = there.T if variable_names(name)[0].endswith("/kernel") else there
        np.testing.assert_array_equal(values.numpy(), expected)
        assert values.is_contiguous()
    square = stored["bert/encoder/layer_0/attention/self/query/kernel"]
    assert not np.allclose(square, square.T), "a kernel that was not turned would show"


def test_the_names_of_every_parameter_of_transformers_are_known() -> None:
    from transformers import BertConfig, BertModel

    original = find_checkpoint(config(CHECKPOINT))
    model = BertModel(BertConfig(**{key: value for key, value in original.config.items() if key != "model_type"}))
    assert {name: tuple(values.shape) for name, values in model.named_parameters()} == names.parameter_shapes(
        original.config
    )


def test_what_an_optimiser_or_a_head_leaves_is_not_the_encoders(copy: Path) -> None:
    expected = parameters(CHECKPOINT)
    extra = {
        "output_weights": np.ones((3, 24), np.float32),
        "bert/pooler/dense/kernel/adam_m": np.ones((24, 24), np.float32),
    }
    bundles.write(copy / "bert_model.ckpt", variables() | extra)
    assert parameters(copy).keys() == expected.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("bert/encoder/layer_1/output/dense/kernel"), "lacks bert/encoder/layer_1/output/dense/kernel"),
        (
            lambda v: v.pop("bert/embeddings/word_embeddings"),
            "holds no BERT: there is no embeddings/word_embeddings among bert/",
        ),
        (
            lambda v: v.update({"bert/encoder/layer_2/output/dense/bias": np.ones(24, np.float32)}),
            "2 layers does not have",
        ),
        (
            lambda v: v.update({"bert/encoder/embedding_hidden_mapping_in/bias": np.ones(24, np.float32)}),
            "embedding_hidden_mapping_in",
        ),
        (
            lambda v: v.update({"x/embeddings/word_embeddings": np.ones((2, 2), np.float32)}),
            "more than one encoder, under bert/, x/",
        ),
        (
            lambda v: v.update({"bert/pooler/dense/kernel": np.ones((24, 40), np.float32)}),
            r"is \(24, 40\), and bert_config.json says \(24, 24\)",
        ),
        (lambda v: v.update({"cls/seq_relationship/output_weights": np.ones((24, 2), np.float32)}), r"is \(24, 2\)"),
        (lambda v: v.clear(), "it has none"),
    ],
)
def test_variables_that_do_not_fit_are_named(copy: Path, change: Callable[[Any], Any], message: str) -> None:
    held = variables()
    change(held)
    bundles.write(copy / "bert_model.ckpt", held)
    with pytest.raises(UserError, match=message) as caught:
        find_checkpoint(config(copy))
    assert len(str(caught.value).splitlines()) <= 3


def test_a_variable_of_another_type_or_in_slices_is_named(copy: Path) -> None:
    held = variables()
    held["bert/pooler/dense/bias"] = held["bert/pooler/dense/bias"].astype(np.float64)
    bundles.write(copy / "bert_model.ckpt", held)
    with pytest.raises(
        UserError, match=r"variable bert/pooler/dense/bias is of TensorFlow's type 2; only whole float32"
    ):
        parameters(copy)


def test_a_pooler_that_is_not_there_is_missing_and_a_fresh_one_untrained(copy: Path) -> None:
    held = {name: values for name, values in variables().items() if not name.startswith("bert/pooler/")}
    bundles.write(copy / "bert_model.ckpt", held)
    assert encoder(copy).info.pooler["status"] == "missing"
    fresh = {"bert/pooler/dense/kernel": np.random.default_rng(0).normal(0, 0.02, (24, 24)).astype(np.float32)}
    bundles.write(copy / "bert_model.ckpt", held | fresh | {"bert/pooler/dense/bias": np.zeros(24, np.float32)})
    assert encoder(copy).info.pooler["status"] == "untrained"


def test_the_next_sentence_head_is_evidence_and_the_activation_stands_beside_it() -> None:
    evidence = encoder(CHECKPOINT).info.pooler["evidence"]
    assert 0 <= evidence["next_sentence_accuracy"] <= 1
    assert "by the error function" in evidence["activation"] and TANH in evidence["activation"]
    assert (
        encoder(CHECKPOINT, hidden_act=TANH)
        .info.pooler["evidence"]["activation"]
        .startswith(f"{TANH}, which Google's own code")
    )
    assert encoder(CHECKPOINT, hidden_act="relu").info.pooler["evidence"]["activation"].startswith("relu, as chosen")
    assert encoder(FIXTURES / "hub").info.pooler["evidence"]["next_sentence_accuracy"] is None


# The folder


def test_a_folder_a_prefix_and_an_index_are_the_same_checkpoint(copy: Path) -> None:
    expected = find_checkpoint(config(copy)).identity
    for given in (copy / "bert_model.ckpt", copy / "bert_model.ckpt.index"):
        assert find_checkpoint(config(given)).identity == expected or pytest.fail(str(given))
    for path in list(copy.glob("bert_model.ckpt*")):
        shutil.copy(path, path.with_name(path.name.replace("bert_model.ckpt", "model.ckpt-10")))
        path.rename(path.with_name(path.name.replace("bert_model.ckpt", "model.ckpt-9")))
    with pytest.raises(
        UserError, match=r"holds 2 checkpoints \(model.ckpt-10, model.ckpt-9\). Name one: model.path=.*/model.ckpt-9"
    ):
        find_checkpoint(config(copy))
    assert find_checkpoint(config(copy / "model.ckpt-10")).label == "copy"
    assert find_checkpoint(config(FIXTURES / "hub" / "variables" / "variables")).label == "hub"


def test_the_activation_and_the_case_are_part_of_the_identity() -> None:
    plain, other = find_checkpoint(config(CHECKPOINT)), find_checkpoint(config(CHECKPOINT, hidden_act=TANH))
    assert plain.config["hidden_act"] == "gelu" and plain.identity != other.identity
    assert plain.tokenizer != find_checkpoint(config(CHECKPOINT, do_lower_case=False)).tokenizer
    assert plain.identity == find_checkpoint(config(CHECKPOINT, hidden_act="gelu")).identity


def test_capitals_in_the_vocabulary_decide_where_nothing_is_said(copy: Path) -> None:
    def pieces(**others: Any) -> list[str]:
        return load_tokenizer(find_checkpoint(config(copy, **others))).tokenize("The Cat, déjà 猫")

    assert pieces() == ["the", "cat", ",", "d", "##e", "##j", "##a", "[UNK]"]
    said = json.loads((copy / "bert_config.json").read_text())
    said.pop("do_lower_case")
    (copy / "bert_config.json").write_text(json.dumps(said))
    assert pieces()[0] == "the"
    words = (copy / "vocab.txt").read_text().replace("[unused0]", "The")
    (copy / "vocab.txt").write_text(words)
    assert pieces()[0] == "The"
    assert pieces(do_lower_case=True)[0] == "the"
    (copy / "bert_config.json").write_text(json.dumps(said | {"do_lower_case": True}))
    assert pieces()[0] == "the"
    assert not is_lower_case({"[CLS]": 0, "É": 1})


def test_a_module_without_configuration_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"hub holds no bert_config.json, as TF-Hub modules may not. .* model.config=FILE"
    ):
        find_checkpoint(ModelConfig(path=str(FIXTURES / "hub"), format="tensorflow"))
    found = find_checkpoint(config(FIXTURES / "hub", vocab=str(CHECKPOINT / "vocab.txt")))
    assert found.tokenizer == find_checkpoint(config(FIXTURES / "hub")).tokenizer
    with pytest.raises(UserError, match=r"model.vocab=nowhere.txt: there is no such file"):
        find_checkpoint(config(FIXTURES / "hub", vocab="nowhere.txt"))


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
def test_files_that_are_no_checkpoint_are_refused(name: str, copy: Path) -> None:
    change, message = BROKEN[name]
    change(copy)
    with pytest.raises(UserError, match=message) as caught:
        find_checkpoint(config(copy))
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({1: 1, 2: 1}, "big-endian"),
        ({1: 0}, "names no data files"),
        ({1: 10**9}, "names no data files"),
        ({1: 2}, "00000-of-00002 is missing"),
    ],
)
def test_a_header_that_cannot_be_is_refused(header: dict[int, int], message: str, copy: Path) -> None:
    bundles.write(copy / "bert_model.ckpt", variables(), header=header)
    with pytest.raises(UserError, match=message):
        find_checkpoint(config(copy))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"shard": 7}, "a data file that does not exist"),
        ({"offset": 1 << 40}, "it is cut short"),
        ({"shape": (24, 24, 2)}, "shape does not fit its bytes"),
        ({"shape": (1,) * 9}, "beyond any tensor's"),
        ({"shape": (1 << 62, 1 << 62)}, "beyond any tensor's"),
        ({"size": 0}, "shape does not fit its bytes"),
        ({"offset": 0}, "does not match its checksum"),
        ({"shape": (12, 48)}, r"is \(12, 48\)"),
    ],
)
def test_an_entry_that_cannot_be_is_refused_though_its_block_is_sound(
    changed: dict[str, Any], message: str, copy: Path
) -> None:
    bundles.change(copy / "bert_model.ckpt.index", "bert/pooler/dense/kernel", **changed)
    with pytest.raises(UserError, match=message):
        parameters(copy)


def entry_of(index: Path, name: str) -> Any:
    return bundle._entry(table.read_table(index.read_bytes())[name.encode()], shards=1)


def test_two_hundred_mutated_checkpoints_are_refused_or_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    expected = parameters(CHECKPOINT)
    index, data = "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"
    known = list(Bundle(CHECKPOINT / "bert_model.ckpt").shapes)
    ends = {"refused": 0, "identical": 0}
    folder = Path(shutil.copytree(CHECKPOINT, tmp_path / "mutated"))
    for number in range(200):
        for name in (index, data):
            shutil.copy(CHECKPOINT / name, folder / name)
        path = folder / (index if number % 2 else data)
        raw = bytearray(path.read_bytes())
        kind = number // 2 % 5
        if kind in (0, 1):  # bytes flipped
            for place in rng.integers(0, len(raw), 1 + kind * 7):
                raw[place] ^= int(rng.integers(1, 256))
            path.write_bytes(raw)
        elif kind == 2:  # cut short, or filled up
            cut = int(rng.integers(0, len(raw)))
            path.write_bytes(raw[:cut] if rng.random() < 0.7 else raw + rng.bytes(cut % 100))
        elif kind == 3:  # a piece moved to another place
            start, there, size = (int(each) for each in rng.integers(0, len(raw), 3))
            raw[there : there + size % 64] = raw[start : start + size % 64]
            path.write_bytes(raw)
        else:  # the shape, place or size of another variable, in an index whose own sums are right
            one, other = (str(name) for name in rng.choice(known, 2, replace=False))
            what = ("shape", "offset", "size")[number // 10 % 3]
            bundles.change(folder / index, one, **{what: getattr(entry_of(folder / index, other), what)})
        try:
            found = parameters(folder)
        except UserError as error:
            assert len(str(error).splitlines()) <= 3
            ends["refused"] += 1
            continue
        assert all(torch.equal(found[name], expected[name]) for name in expected), number
        ends["identical"] += 1
    assert sum(ends.values()) == 200 and ends["refused"] > 150, ends


# The doors


def test_a_run_reads_the_original_and_says_which_activation_it_took(door: Door, files: list[str]) -> None:
    words = ["model=google", f"model.path={CHECKPOINT}", *files[1:], "pooling=pooler", "hydra.run.dir=out"]
    ended = door(run.main, *words)
    assert ended.status == 0, ended.err
    record = json.loads(Path("out/result.json").read_text())
    assert record["model"] == "checkpoint" and record["pooler"]["status"] == "trained"
    assert TANH in record["pooler"]["evidence"]["activation"]
    assert set(record["provenance"]["model"]["weights"]) == {
        "bert_model.ckpt.index",
        "bert_model.ckpt.data-00000-of-00001",
    }
    assert str(FIXTURES) not in json.dumps(record)
    again = door(run.main, *words, f"model.hidden_act={TANH}", "hydra.run.dir=tanh")
    assert again.status == 0, again.err
    other = json.loads(Path("tanh/result.json").read_text())
    assert other["key"] != record["key"] and other["timing"]["cache"] == "miss"


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
        (
            f"model=google model.path={EMBEDDED_DIR / 'bert-books'}",
            "model=checkpoint reads that",
        ),
    ],
)
def test_bad_words_are_refused(words: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_checkpoint(composed(*words.split()).model)


# Whole models


def as_google(folder: Path, output: Path) -> Path:
    """A BERT in the Hugging Face layout as a checkpoint of google-research/bert, by this test's own writer."""
    from tests.helpers import tensorflow_fixtures

    settings, vocabulary, held = tensorflow_fixtures.exported(str(folder))
    output.mkdir()
    (output / "bert_config.json").write_text(json.dumps(settings))
    (output / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    bundles.write(output / "bert_model.ckpt", held)
    return output


def test_the_embedded_model_comes_back_from_googles_format_bit_by_bit(tmp_path: Path) -> None:
    given = EMBEDDED_DIR / "bert-books"
    original = config(as_google(given, tmp_path / "original"))
    plain = ModelConfig(path=str(given))
    mine, theirs = (Encoder(find_checkpoint(model), EncodingOptions()) for model in (original, plain))
    text = ["It was the best of times.", "Call me Ishmael, said the café's owner."]
    for sentence in text:
        row = load_tokenizer(mine.checkpoint)(sentence, return_special_tokens_mask=True)
        assert row["input_ids"] == load_tokenizer(theirs.checkpoint)(sentence)["input_ids"]
        batch = [np.array([row[name]]) for name in ("input_ids", "token_type_ids", "special_tokens_mask")]
        ours, others = mine.forward(*batch), theirs.forward(*batch)
        assert torch.equal(ours.hidden[-1], others.hidden[-1])
        assert ours.pooled is not None and others.pooled is not None and torch.equal(ours.pooled, others.pooled)
        assert torch.equal(ours.random_weight, others.random_weight)
    evidence = mine.info.pooler["evidence"]
    evidence.pop("activation")
    assert evidence == theirs.info.pooler["evidence"]
    assert mine.info.max_length == theirs.info.max_length


def test_reading_holds_little_more_than_the_file(tmp_path: Path) -> None:
    given = as_google(EMBEDDED_DIR / "bert-books", tmp_path / "original")
    size = (given / "bert_model.ckpt.data-00000-of-00001").stat().st_size
    original = find_checkpoint(config(given)).original
    assert original is not None
    crc32c(b"\0" * (1 << 20))  # its tables
    tracemalloc.start()
    held = original.parameters()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(held) == len(original.sources) - 7, "the heads are apart"
    assert peak < 1.3 * size


@pytest.mark.skipif(not os.environ.get("PROBES_TENSORFLOW"), reason="runs TensorFlow: set PROBES_TENSORFLOW=1")
def test_tensorflows_bert_base_is_read_in_three_seconds(tmp_path: Path) -> None:
    from tests.helpers import tensorflow_fixtures

    sizes = {
        "vocab_size": 30522,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    }
    shape = {**sizes, "max_position_embeddings": 512, "type_vocab_size": 2}
    tensorflow_fixtures.write(tmp_path, None, shape, 0, ["checkpoint"])
    size = (tmp_path / "checkpoint" / "bert_model.ckpt.data-00000-of-00001").stat().st_size
    began = time.perf_counter()
    original = find_checkpoint(config(tmp_path / "checkpoint")).original
    assert original is not None
    held = original.parameters()
    assert time.perf_counter() - began < 3
    assert sum(values.nbytes for values in held.values()) > 0.99 * size - 4 * 768 * 768
    tracemalloc.start()
    held = original.parameters()
    assert tracemalloc.get_traced_memory()[1] < 1.3 * size
    tracemalloc.stop()


@pytest.mark.skipif(not os.environ.get("PROBES_TENSORFLOW"), reason="runs TensorFlow: set PROBES_TENSORFLOW=1")
def test_the_embedded_model_written_by_tensorflow_scores_as_before(door: Door, tmp_path: Path) -> None:
    from tests.helpers import tensorflow_fixtures

    tensorflow_fixtures.write(tmp_path / "forms", "embedded:bert-books", {}, 0, ["checkpoint"])
    records = []
    for words in (["model=google", f"model.path={tmp_path / 'forms' / 'checkpoint'}"], []):
        ended = door(
            run.main,
            *words,
            "pooling=pooler",
            "tracker=none",
            "runtime.progress=false",
            f"hydra.run.dir=out{len(records)}",
        )
        assert ended.status == 0, ended.err
        records.append(json.loads(Path(f"out{len(records)}/result.json").read_text()))
    assert records[0]["score"] == records[1]["score"] and records[0]["metrics"] == records[1]["metrics"]
