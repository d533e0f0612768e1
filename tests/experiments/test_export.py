"""An exported folder gives sentence-transformers the vectors that the suite stored."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from safetensors import SafetensorError
from safetensors.numpy import load_file

from experiments import export
from experiments.exporting.modules import DENSE, LAYER_AVERAGES, MODES, check_exportable
from src import extract, run
from src.errors import UserError
from src.pooling import poolings
from tests.conftest import SENTENCES, SMALL, Ended, write_csv
from tests.helpers.checkpoints import copy_checkpoint, edit_json, scale_weights

library = pytest.importorskip("sentence_transformers")

TEXTS = [
    *SENTENCES, "The CAT sat On the Mat", "the [SEP] cat [CLS] sat [MASK]", "  the\tcat \n", "Ärger naïve", "the " * 60,
]  # fmt: skip
TOLERANCE = 1e-5


@pytest.fixture
def task(tmp_path: Path) -> list[str]:
    """Write two files of texts that tokenizers read in different ways; return the overrides of a quick run."""
    for name in ("train", "test"):
        write_csv(tmp_path / f"{name}.csv", [(text, "ab"[place % 2]) for place, text in enumerate(TEXTS * 2)])
    quick = ["runtime.threads=1", "runtime.progress=false", "probe.resamples=100", "tracker=none"]
    return ["dataset=files", "dataset.train=train.csv", "dataset.test=test.csv", *quick]


@pytest.fixture
def make_run(run_main: Callable[..., Ended], task: list[str]) -> Callable[..., Path]:
    """Do a run in a folder, by default `run`: `make_run(checkpoint, "pooling=cls")`."""

    def make(checkpoint: Path, *words: str, folder: str = "run") -> Path:
        ended = run_main(run.main, *task, f"model.path={checkpoint}", f"hydra.run.dir={folder}", *words)
        assert ended.status == 0, ended.err
        return Path(folder)

    return make


def stored(run_main: Callable[..., Ended], *words: str) -> np.ndarray:
    """Return the features of the test file that the store holds."""
    ended = run_main(extract.main, *words, "output=features")
    assert ended.status == 0 and "cache hit" in ended.out, ended
    return load_file("features/test.safetensors")["features"]


def embed(folder: str) -> np.ndarray:
    model = library.SentenceTransformer(folder, device="cpu", local_files_only=True)
    return np.asarray(model.encode(TEXTS * 2, show_progress_bar=False))


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * max(1, np.abs(expected).max()))


@pytest.fixture(scope="session")
def deep(make_checkpoint: Callable[..., Path], vocabulary: list[str]) -> Path:
    """A BERT of five layers with a trained pooler."""
    import torch

    torch.manual_seed(1)
    model = transformers.BertModel(
        transformers.BertConfig(vocab_size=len(vocabulary), **SMALL | {"num_hidden_layers": 5})
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return make_checkpoint(model, "deep-bert")


def test_every_pooling_gives_the_stored_features(
    run_main: Callable[..., Ended], task: list[str], deep: Path, tmp_path: Path
) -> None:
    names = [*MODES, *DENSE, *LAYER_AVERAGES]
    words = [*task, f"model.path={deep}"]
    ended = run_main(run.main, "-m", *words, f"pooling={','.join(names)}", "hydra.sweep.dir=sweep")
    assert ended.status == 0, ended.err
    for number, name in enumerate(names):
        ended = run_main(export.main, f"record=sweep/{number}", f"output=out/{name}")
        assert ended.status == 0 and f"out/{name}" in ended.out, (name, ended)
        assert_same(embed(f"out/{name}"), stored(run_main, *words, f"pooling={name}"))
        shutil.rmtree("features")
    assert sorted(path.name for path in tmp_path.glob("out/*")) == sorted(names)


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_inner_layers_are_cut(
    layer: int, run_main: Callable[..., Ended], task: list[str], deep: Path, make_run: Any
) -> None:
    make_run(deep, "pooling=mean", f"layer={layer}")
    assert run_main(export.main, "record=run", "output=out").status == 0
    assert_same(embed("out"), stored(run_main, *task, f"model.path={deep}", "pooling=mean", f"layer={layer}"))
    assert json.loads(Path("out/config.json").read_text())["num_hidden_layers"] == layer
    weights = load_file("out/model.safetensors")
    assert not [name for name in weights if "pooler" in name or f"layer.{layer}." in name]


FAMILIES: dict[str, dict[str, Any]] = {
    "Roberta": {"max_position_embeddings": 40},
    "Albert": {"embedding_size": 8},
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "Electra": {"embedding_size": 16},
    "MPNet": {"max_position_embeddings": 40},
    "ModernBert": {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3},
}


CUT = ("Albert", "DistilBert", "ModernBert")  # shared layers, another name of their number, a final norm


@pytest.mark.parametrize("family", FAMILIES)
def test_families(
    family: str,
    run_main: Callable[..., Ended],
    task: list[str],
    make_run: Any,
    make_checkpoint: Any,
    vocabulary: list[str],
) -> None:
    shape = {} if family == "DistilBert" else SMALL
    config = getattr(transformers, f"{family}Config")(vocab_size=len(vocabulary), **{**shape, **FAMILIES[family]})
    folder = make_checkpoint(getattr(transformers, f"{family}Model")(config), family.lower())
    make_run(folder, "pooling=cls_mean")
    ended = run_main(export.main, "record=run", "output=last")
    assert ended.status == 0, ended.err
    assert_same(embed("last"), stored(run_main, *task, f"model.path={folder}", "pooling=cls_mean"))
    if family not in CUT:
        return
    make_run(folder, "pooling=mean", "layer=1", folder="inner")
    ended = run_main(export.main, "record=inner", "output=first")
    if family == "ModernBert":  # has a norm after its last layer
        assert_refused_once(ended, "layer 1", "layer=-1")
        assert not Path("first").exists()
    else:
        assert ended.status == 0, ended.err


def assert_refused_once(ended: Ended, *named: str) -> None:
    assert ended.status == 1 and len(ended.lines) <= 2 and "Traceback" not in ended.err, ended
    assert all(text in ended.err for text in named), ended.err


@pytest.mark.parametrize("casing", ["true", "false"])
def test_casing_and_length_are_the_runs(
    casing: str, run_main: Callable[..., Ended], task: list[str], cased: Path, make_run: Any
) -> None:
    words = ["pooling=mean", "model.max_length=9", f"model.do_lower_case={casing}"]
    make_run(cased, *words)
    ended = run_main(export.main, "record=run", "output=out")
    assert ended.status == 0, ended.err
    assert_same(embed("out"), stored(run_main, *task, f"model.path={cased}", *words))


def test_a_tensorflow_checkpoint(run_main: Callable[..., Ended], task: list[str]) -> None:
    from tests.helpers.google import CHECKPOINT

    model = ["model=google", f"model.path={CHECKPOINT}", "pooling=pooler"]
    assert run_main(run.main, *task, *model, "hydra.run.dir=run").status == 0
    ended = run_main(export.main, "record=run", "output=out")
    assert ended.status == 0, ended.err
    assert_same(embed("out"), stored(run_main, *task, *model))


def test_half_precision_weights_are_exported_in_float32(
    run_main: Callable[..., Ended], task: list[str], bert: Path, make_run: Any, tmp_path: Path
) -> None:
    def halve(weights: Any) -> Any:
        return {name: value.half() for name, value in weights.items()}

    folder = copy_checkpoint(bert, tmp_path / "half", halve, dtype="float16")
    make_run(folder, "pooling=pooler")
    assert run_main(export.main, "record=run", "output=out").status == 0
    assert_same(embed("out"), stored(run_main, *task, f"model.path={folder}", "pooling=pooler"))


def test_the_folder_names_no_path_and_states_its_pooling(
    bert: Path, make_run: Any, run_main: Any, tmp_path: Path
) -> None:
    from tests.helpers.checkpoints import open_checkpoint

    record = make_run(bert, "pooling=cls")
    assert run_main(export.main, f"record={record}/result.json", "output=models/mine").status == 0
    folder = tmp_path / "models" / "mine"
    assert open_checkpoint(folder).stated["pooling"] == ["cls"]
    for path in folder.rglob("*"):
        if path.suffix in (".json", ".md"):
            text = path.read_text()
            assert str(tmp_path) not in text and str(bert) not in text and "/tmp" not in text, path
    card = (folder / "README.md").read_text()
    score = json.loads((record / "result.json").read_text())["score"]
    assert all(text in card for text in ("tiny-bert", "cls", f"{100 * score['value']:.1f} %", "record=run output=mine"))


def test_the_checkpoint_at_another_place(bert: Path, make_run: Any, run_main: Any, tmp_path: Path) -> None:
    moved = copy_checkpoint(bert, tmp_path / "first")
    make_run(moved, "pooling=mean")
    moved.rename(tmp_path / "second")
    assert_refused_once(run_main(export.main, "record=run", "output=out"), "first")
    assert run_main(export.main, "record=run", "output=out", "model.path=second").status == 0


@pytest.mark.parametrize("name", ["mean_content", "pooler_inverse"])
def test_a_pooling_without_a_module_is_refused(name: str, bert: Path, make_run: Any, run_main: Any) -> None:
    make_run(bert, f"pooling={name}")
    assert_refused_once(run_main(export.main, "record=run", "output=out"), name, "mean", "pooler")
    assert not Path("out").exists()


@pytest.mark.parametrize("parts", [("pooler", "mean"), ("mean", "mean_content"), ("cls", "last4_mean")])
def test_a_concatenation_with_a_layer_of_its_own_is_refused(parts: tuple[str, ...]) -> None:
    check_exportable(("max", "cls", "mean"))
    with pytest.raises(UserError, match=next(part for part in parts if part not in MODES)):
        check_exportable(parts)


def test_every_registered_pooling_is_expressed_or_refused_with_a_reason() -> None:
    from experiments.exporting.modules import REASONS

    assert {*MODES, *DENSE, *LAYER_AVERAGES, *REASONS} == set(poolings)


def test_bad_input(bert: Path, make_run: Any, run_main: Callable[..., Ended], tmp_path: Path) -> None:
    record = make_run(bert, "pooling=mean")
    before = sorted(path for path in tmp_path.rglob("*") if "cache" not in path.parts)
    (tmp_path / "file").write_text("text")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    cases = [
        (["output=out"], ["record"]),
        (["record=run"], ["output"]),
        (["record=none", "output=out"], ["none", "result.json"]),
        (["record=empty", "output=out"], ["empty", "result.json"]),
        (["record=run", "output=full"], ["full", "not empty"]),
        (["record=run", "output=run"], ["run", "not empty"]),
        (["record=run", "output=file"], ["file"]),
        (["record=run", "output=file/out"], ["file/out"]),
        (["record=run", "output=link"], ["link"]),
        (["record=run", "output=run/out"], ["run/out", "outside"]),
        (["record=run", "output=out", "model.path=embedded:bert-books"], ["weights", "tiny-bert"]),
        (["record=run", "output=out", "layer=1"], ["layer"]),
    ]
    for words, named in cases:
        assert_refused_once(run_main(export.main, *words), *named)
    (record / "result.json").rename(tmp_path / "sound.json")
    for text in ("", "[]", "[" * 10**5):
        (record / "result.json").write_text(text)
        assert_refused_once(run_main(export.main, "record=run", "output=out"), "result.json")
    shutil.move(tmp_path / "sound.json", record / "result.json")
    shutil.rmtree(tmp_path / "run" / ".hydra")
    assert_refused_once(run_main(export.main, "record=run", "output=out"), ".hydra")
    kept = {path for path in tmp_path.rglob("*") if "cache" not in path.parts and ".hydra" not in path.parts}
    added = {tmp_path / name for name in ("file", "full", "full/kept", "empty", "link")}
    assert kept == {path for path in before if ".hydra" not in path.parts} | added


def test_another_checkpoint_is_refused(bert: Path, make_run: Any, run_main: Any, tmp_path: Path) -> None:
    folder = copy_checkpoint(bert, tmp_path / "changing")
    make_run(folder, "pooling=mean")
    shutil.copytree(folder, tmp_path / "kept")
    scale_weights(tmp_path / "kept", folder / "model.safetensors")
    assert_refused_once(run_main(export.main, "record=run", "output=out"), "weights", "SHA-256")
    shutil.copy(tmp_path / "kept" / "model.safetensors", folder)
    edit_json(folder / "tokenizer_config.json", model_max_length=20)
    assert_refused_once(run_main(export.main, "record=run", "output=out"), "tokenizer", "SHA-256")
    shutil.copy(tmp_path / "kept" / "tokenizer_config.json", folder)
    edit_json(folder / "config.json", hidden_act="relu")
    assert_refused_once(run_main(export.main, "record=run", "output=out"), "activation")
    shutil.copy(tmp_path / "kept" / "config.json", folder)
    stored_config = tmp_path / "run" / ".hydra" / "config.yaml"
    stored_config.write_text(stored_config.read_text().replace("layer: -1", "layer: 1"))
    assert_refused_once(run_main(export.main, "record=run", "output=out"), "pooling and layer")


def test_a_sweeps_folder_names_its_runs(bert: Path, make_run: Any, run_main: Any) -> None:
    make_run(bert, folder="sweep/0")
    make_run(bert, "pooling=mean", folder="sweep/1")
    assert_refused_once(run_main(export.main, "record=sweep", "output=out"), "2 runs", "record=sweep/0")


def test_nothing_is_left_after_a_failure(
    bert: Path, make_run: Any, run_main: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(bert, "pooling=mean")
    before = sorted(tmp_path.iterdir())

    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    def wrong(*_: object) -> np.ndarray:
        return np.zeros((1, 16), np.float32)

    def serialise(*_: object, **__: object) -> str:
        raise SafetensorError("Error while serializing: No space left on device (os error 28)")

    broken = (("model_card", full, "No space"), ("_vectors", wrong, "tiny-bert"), ("load_cut", serialise, "No space"))
    for name, replacement, named in broken:
        with monkeypatch.context() as patch:
            patch.setattr(export, name, replacement)
            assert_refused_once(run_main(export.main, "record=run", "output=new/out"), named)
        assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "new" / "out").mkdir(parents=True)
    assert run_main(export.main, "record=run", "output=new/out").status == 0  # an empty folder is filled


def test_without_the_library_the_extra_is_named(
    bert: Path, make_run: Any, run_main: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(bert, "pooling=mean")
    monkeypatch.setattr(export, "LIBRARY", "sentence_transformers_that_is_not_installed")
    assert_refused_once(run_main(export.main, "record=run", "output=out"), "[export]")


def test_pairs_read_together_are_noted(bert: Path, run_main: Any, tmp_path: Path) -> None:
    for name in ("train", "test"):
        rows = [(f"{text} {place}", text, place % 4 + 0.5) for place, text in enumerate(TEXTS * 4)]
        write_csv(tmp_path / f"{name}.csv", rows, ("text", "other", "label"))
    data = ["dataset=files", "dataset.train=train.csv", "dataset.test=test.csv", "dataset.text_pair=other"]
    words = [*data, "dataset.task=regression", "tracker=none", f"model.path={bert}", "pooling=mean"]
    assert run_main(run.main, *words, "hydra.run.dir=joint", "probe.resamples=100").status == 0
    ended = run_main(export.main, "record=joint", "output=one")
    assert ended.status == 0, ended.err
    assert "pairs read together" in Path("one/README.md").read_text() and "pairs read together" in ended.out
    cosine = [
        *words,
        "probe=cosine",
        "probe.similarity=dot",
        "probe.features=whiten",
        "hydra.run.dir=apart",
        "probe.resamples=100",
    ]
    ended = run_main(run.main, *cosine)
    assert ended.status == 0, ended.err
    ended = run_main(export.main, "record=apart", "output=two")
    assert ended.status == 0 and "features=whiten" in ended.out
    assert "pairs read together" not in Path("two/README.md").read_text()
    assert library.SentenceTransformer("two", device="cpu").similarity_fn_name == "dot"


def test_a_real_checkpoint(shared: Path, make_run: Any, run_main: Any, task: list[str]) -> None:
    folder = shared / "models" / "all-MiniLM-L6-v2"
    make_run(folder, "pooling=mean")
    ended = run_main(export.main, "record=run", "output=out")
    assert ended.status == 0, ended.err
    assert_same(embed("out"), stored(run_main, *task, f"model.path={folder}", "pooling=mean"))


def test_read_run_refuses_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="record="):
        export.read_run(tmp_path / "none")
