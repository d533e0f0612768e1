"""The systems that are compared, each with its vectors of the sentences."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments import convert
from experiments.parity import backends
from experiments.parity.backends import Batch, Outputs
from experiments.parity.modeling import modeling_outputs
from experiments.parity.options import Options
from experiments.parity.sentences import read_sentences, tokenise
from src.config.schema import ModelConfig
from src.errors import UserError
from src.models.encoder import Encoder
from src.models.finding import find_checkpoint
from src.models.options import EncodingOptions
from src.models.tokenizer import load_tokenizer

MODULES = {"hub": ("hub",), "savedmodel": ("savedmodel", "savedmodel-2019")}  # option: folders
TITLES = {
    "suite": "this suite, model=google",
    "hugging_face": "Hugging Face BertModel",
    "checkpoint": "TensorFlow 1 checkpoint",
    "modeling": "google-research/bert modeling.py",
    "hub": "TF-Hub module",
    "savedmodel": "TensorFlow 2 SavedModel",
    "savedmodel-2019": "TensorFlow 2 SavedModel, 2019",
}
TENSORFLOW = ("checkpoint", "modeling", "hub", "savedmodel", "savedmodel-2019")
SOURCES = {
    "modeling": "modeling=FILE, a copy of google-research/bert's modeling.py",
    "hub": "hub=FOLDER or URL of a TF-Hub module",
    "savedmodel": "savedmodel=FOLDER or URL of a TensorFlow 2 SavedModel",
    "savedmodel-2019": "savedmodel=FOLDER or URL of a TensorFlow 2 SavedModel",
}
ACTIVATIONS = {"gelu": "erf GELU", "gelu_pytorch_tanh": "tanh GELU"}
TANH = "gelu_pytorch_tanh"  # of Google's code


@dataclass(frozen=True)
class System:
    """Holds one system's vectors; `recorded` if TensorFlow computed them earlier."""

    name: str
    hidden_act: str
    outputs: Outputs
    recorded: bool = False

    @property
    def title(self) -> str:
        """The system's name as tables show it."""
        notes = [self.outputs.interface] if self.name in ("hub", "savedmodel", "savedmodel-2019") else []
        notes += ["recorded"] if self.recorded else []
        return TITLES[self.name] + (f" ({', '.join(notes)})" if notes else "")


@dataclass(frozen=True)
class Recorded:
    """Holds the outputs that TensorFlow computed when the forms of the checkpoint were written."""

    batch: Batch
    outputs: Mapping[str, Outputs]
    version: str


@dataclass(frozen=True)
class PyTorchSystems:
    """Holds the systems that need no TensorFlow."""

    given: Any  # Checkpoint, the original one
    batch: Batch  # the sentences in its word pieces
    systems: list[System]  # this suite and Hugging Face's model, each with both activations
    weight: np.ndarray  # the pooler's W
    bias: np.ndarray  # the pooler's b


def read_recorded(folder: Path) -> Recorded | None:
    """Return the recorded outputs of a folder, None if it has none.

    Raises
    ------
    UserError
        The file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / "outputs.safetensors"
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            notes = file.metadata()
        forms = sorted(name.removesuffix(".sequence_output") for name in arrays if name.endswith(".sequence_output"))
        outputs = {
            form: Outputs(arrays[f"{form}.sequence_output"], arrays[f"{form}.pooled_output"], notes[form])
            for form in forms
        }
        batch = Batch(arrays["input_ids"], arrays["input_mask"], arrays["segment_ids"])
        return Recorded(batch, outputs, notes["tensorflow"])
    except (SafetensorError, KeyError, OSError) as error:
        raise UserError(
            f"{path} was not written by tests.helpers.tensorflow_fixtures: {error}. Write the folder again."
        ) from error


def run_pytorch(options: Options, recorded: Recorded | None) -> PyTorchSystems:
    """Run this suite on the original checkpoint, and Hugging Face's model on its conversion.

    Raises
    ------
    UserError
        The checkpoint cannot be read, or it has no pooler.
    """
    folder = Path(options.folder)
    config = options.config
    if config is None and options.checkpoint is None:
        config = str(folder / "checkpoint" / "bert_config.json")
    original = ModelConfig(
        path=options.checkpoint or str(folder / "checkpoint"),
        format="tensorflow",
        config=config,
        vocab=options.vocab,
        do_lower_case=options.do_lower_case,
    )
    given = find_checkpoint(original)
    batch = recorded.batch if recorded else _tokenised(given, options)
    found: list[System] = []
    for hidden_act in ACTIVATIONS:
        model = replace(original, hidden_act=hidden_act)
        encoder = Encoder(find_checkpoint(model), EncodingOptions(device="cpu"))
        weight, bias = encoder.pooler.weight, encoder.pooler.bias
        if weight is None or bias is None:
            raise UserError(f"'{given.label}' has no pooler: there is no pooled_output to compare.")
        with tempfile.TemporaryDirectory() as converted:
            convert.write(Path(converted), model)
            theirs = backends.hugging_face_outputs(Path(converted), batch, hidden_act)
        found.append(System("suite", hidden_act, _suite_outputs(encoder, batch)))
        found.append(System("hugging_face", hidden_act, theirs))
    assert weight is not None and bias is not None
    return PyTorchSystems(given, batch, found, weight, bias)


def _suite_outputs(encoder: Encoder, batch: Batch) -> Outputs:
    lengths = batch.mask.sum(axis=1).astype(np.int64)
    output = encoder.forward(batch.ids, batch.segments, np.zeros(batch.ids.shape, bool), lengths)
    assert output.pooled is not None
    return Outputs(output.hidden[-1].numpy(), output.pooled.numpy(), "model=google")


def _tokenised(given: Any, options: Options) -> Batch:
    return tokenise(load_tokenizer(given), read_sentences(options.sentences), given.config)


def run_tensorflow(
    options: Options, given: Any, batch: Batch, recorded: Recorded | None
) -> tuple[list[System], list[dict[str, str]]]:
    """Run TensorFlow on every form of the checkpoint, or take its recorded outputs.

    Returns
    -------
    systems : list of System
    absent : list of dict
        Of systems that did not run here: ``system`` and ``bring``, the way to run it.
    """
    live = backends.has_tensorflow()
    found = [*_checkpoint_systems(options, given, batch), *_module_systems(options, batch)] if live else []
    absent: list[dict[str, str]] = []
    present = {system.name for system in found}
    for name in TENSORFLOW:
        if name in present:
            continue
        if recorded and name in recorded.outputs:
            found.append(System(name, TANH, recorded.outputs[name], recorded=True))
        needed = [] if live else [f"TensorFlow: {backends.INSTALL}"]
        needed += [SOURCES[name]] if name in SOURCES else []
        absent.append({"system": TITLES[name], "bring": "; ".join(needed)})
    return found, absent


def _checkpoint_systems(options: Options, given: Any, batch: Batch) -> list[System]:
    assert given.original is not None
    prefix = given.original.bundle.prefix
    if prefix.name == "variables":  # a SavedModel, whose variables are no checkpoint
        return []
    found = [System("checkpoint", TANH, backends.checkpoint_outputs(prefix, given.config, batch))]
    if options.modeling:
        outputs = modeling_outputs(Path(options.modeling), prefix, given.config, batch)
        found.append(System("modeling", TANH, outputs))
    return found


def _module_systems(options: Options, batch: Batch) -> list[System]:
    found = []
    for option, names in MODULES.items():
        named = getattr(options, option)
        for name in names if not named else names[:1]:
            place = named or str(Path(options.folder) / name)
            if named or (Path(place).is_dir() and options.checkpoint is None):
                found.append(System(name, TANH, backends.module_outputs(place, batch)))
    return found


def tensorflow_version(recorded: Recorded | None) -> str | None:
    """Return TensorFlow's version, the recorded one if it is not installed, None without either."""
    if backends.has_tensorflow():
        return str(backends.tensorflow().__version__)
    return recorded.version if recorded else None
