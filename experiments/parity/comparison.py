"""The question's own systems side by side: ``python -m experiments.parity [folder=FOLDER] [output=FILE]``.

The same sentences, in the same word pieces, go through every system that is at hand on the same weights: this suite reading the original
checkpoint, Hugging Face's BertModel on the converted folder, and TensorFlow on the checkpoint, the TF-Hub module and the SavedModels.
`folder` is laid out as ``tests.helpers.tensorflow_fixtures`` leaves it (the default: the small random BERT of the tests); ``checkpoint=``,
``hub=`` and ``savedmodel=`` name others, the latter two also by URL. Where TensorFlow is not installed, what it once computed
(``outputs.safetensors``) stands in, and is called so.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments import backends, convert
from experiments.cli import command
from experiments.parity.backends import Batch, Outputs
from src.cli.messages import print_text
from src.config.paths import CONF
from src.config.schema import ModelConfig
from src.errors import UserError
from src.models.options import EncodingOptions
from src.storage.files import read_json

FIXTURE = CONF.parent / "tests" / "fixtures" / "google"
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
ACTIVATIONS = {"gelu": "erf GELU", "gelu_pytorch_tanh": "tanh GELU"}
BRING = {
    "modeling": "modeling=FILE, a copy of google-research/bert's modeling.py",
    "hub": "hub=FOLDER or URL of a TF-Hub module",
    "savedmodel": "savedmodel=FOLDER or URL of a TensorFlow 2 SavedModel",
    "savedmodel-2019": "savedmodel=FOLDER or URL of a TensorFlow 2 SavedModel",
}
POINTS = 240  # values of pooled_output and of [CLS] that the figure shows


@dataclass(frozen=True)
class System:
    """One system's vectors of the sentences; ``recorded`` by TensorFlow earlier, or computed now."""

    name: str
    hidden_act: str
    outputs: Outputs
    recorded: bool = False

    @property
    def title(self) -> str:
        notes = [self.outputs.interface] if self.name in ("hub", "savedmodel", "savedmodel-2019") else []
        notes += ["recorded"] if self.recorded else []
        return TITLES[self.name] + (f" ({', '.join(notes)})" if notes else "")


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    folder: str = str(FIXTURE)
    checkpoint: str | None = None
    hub: str | None = None
    savedmodel: str | None = None
    config: str | None = None
    vocab: str | None = None
    do_lower_case: bool | None = None
    modeling: str | None = None
    sentences: str | None = None
    name: str | None = None
    output: str | None = None


@command(Options)
def main(options: Options) -> None:
    """Print the table, and write the record to `output` where it is set."""
    record = compare(options)
    if options.output:
        _write(Path(options.output), record)
    print_text(table(record))


def compare(options: Options) -> dict[str, Any]:
    """Run what is at hand; the record of how far each system is from the others."""
    folder = Path(options.folder)
    place = options.checkpoint or str(folder / "checkpoint")
    config = options.config or (str(folder / "checkpoint" / "bert_config.json") if options.checkpoint is None else None)
    asked = ModelConfig(
        path=place, format="tensorflow", config=config, vocab=options.vocab, do_lower_case=options.do_lower_case
    )
    recorded = None if options.checkpoint or options.sentences else _recorded(folder)
    with tempfile.TemporaryDirectory() as scratch:
        given, batch, mine, weights = _suite(asked, options, recorded, Path(scratch))
    theirs, absent = _tensorflow(options, folder, given, batch, recorded)
    systems = [*theirs, *mine]
    reference = theirs[0] if theirs else mine[-1]
    real = batch.mask.astype(bool)
    first = reference.outputs.sequence[:, 0]
    rows = [_row(system, reference, real, weights) for system in systems]
    picked = np.linspace(0, first.size - 1, min(POINTS, first.size)).astype(int)
    return {
        "model": options.name or _name(folder, given.label, options),
        "weights": given.weights,
        "shape": {
            name: given.config[name]
            for name in ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size")
        },
        "sentences": len(batch.ids),
        "tokens": int(batch.mask.sum()),
        "tensorflow": _tensorflow_version(recorded),
        "reference": reference.title,
        "largest": {
            "sequence_output": float(np.abs(reference.outputs.sequence[real]).max()),
            "pooled_output": float(np.abs(first).max()),
        },
        "systems": rows,
        "absent": absent,
        "values": {
            "cls": [float(f"{value:.6g}") for value in first.reshape(-1)[picked]],
            "pooled": [float(f"{value:.6g}") for value in reference.outputs.pooled.reshape(-1)[picked]],
        },
    }


def _name(folder: Path, label: str, options: Options) -> str:
    if options.checkpoint is not None:
        return label
    return "random" if folder.resolve() == FIXTURE else folder.resolve().name


def _suite(
    asked: ModelConfig, options: Options, recorded: Any, scratch: Path
) -> tuple[Any, Batch, list[System], list[np.ndarray]]:
    """The checkpoint, the sentences as its word pieces, the vectors of this suite and of Hugging Face, and the pooler's W and b."""
    from dataclasses import replace

    from src.models import finding
    from src.models.encoder import Encoder
    from src.models.tokenizer import load_tokenizer

    found: list[System] = []
    weights: list[np.ndarray] = []
    for hidden_act in ACTIVATIONS:
        model = replace(asked, hidden_act=hidden_act)
        given = finding.find_checkpoint(model)
        if not found:
            batch = recorded.batch if recorded else _tokenise(load_tokenizer(given), _sentences(options), given.config)
        encoder = Encoder(given, EncodingOptions(device="cpu"))
        weights = [each for each in (encoder.pooler.weight, encoder.pooler.bias) if each is not None]
        if len(weights) < 2:
            raise UserError(f"'{given.label}' has no pooler: there is no pooled_output to compare.")
        lengths = batch.mask.sum(axis=1).astype(np.int64)
        output = encoder.forward(batch.ids, batch.segments, np.zeros(batch.ids.shape, bool), lengths)
        assert output.pooled is not None
        found.append(
            System("suite", hidden_act, Outputs(output.hidden[-1].numpy(), output.pooled.numpy(), "model=google"))
        )
        convert.write(scratch / hidden_act, model)
        found.append(
            System("hugging_face", hidden_act, backends.hugging_face_outputs(scratch / hidden_act, batch, hidden_act))
        )
    return given, batch, found, weights


def _tensorflow(
    options: Options, folder: Path, given: Any, batch: Batch, recorded: Any
) -> tuple[list[System], list[dict[str, str]]]:
    """What TensorFlow gives, live or as recorded, and what is absent with the way to bring it."""
    live = backends.has_tensorflow()
    found: list[System] = []
    absent: list[dict[str, str]] = []
    assert given.original is not None
    prefix = given.original.bundle.prefix
    tanh = "gelu_pytorch_tanh"
    if live and prefix.name != "variables":
        found.append(System("checkpoint", tanh, backends.checkpoint_outputs(prefix, given.config, batch)))
        if options.modeling:
            found.append(
                System("modeling", tanh, backends.modeling_outputs(Path(options.modeling), prefix, given.config, batch))
            )
    for option, names in MODULES.items():
        named = getattr(options, option)
        for name in names if not named else names[:1]:
            place = named or str(folder / name)
            if live and (named or (Path(place).is_dir() and options.checkpoint is None)):
                found.append(System(name, tanh, backends.module_outputs(place, batch)))
    have = {system.name for system in found}
    for name in ("checkpoint", "modeling", "hub", "savedmodel", "savedmodel-2019"):
        if name not in have and recorded and name in recorded.outputs:
            found.append(System(name, tanh, recorded.outputs[name], recorded=True))
        if name not in have:
            way = [] if live else [f"TensorFlow: {backends.INSTALL}"]
            absent.append(
                {"system": TITLES[name], "bring": "; ".join([*way, *([BRING[name]] if name in BRING else [])])}
            )
    return found, absent


def _row(system: System, reference: System, real: np.ndarray, weights: list[np.ndarray]) -> dict[str, Any]:
    """Largest differences of one system: to the reference, to the pooler's formula, and of its two vectors for a sentence."""
    weight, bias = weights
    sequence, pooled = system.outputs.sequence, system.outputs.pooled
    first = sequence[:, 0].astype(np.float64)
    return {
        "system": system.name,
        "title": system.title,
        "interface": system.outputs.interface,
        "hidden_act": system.hidden_act,
        "recorded": system.recorded,
        "shapes": {"sequence_output": list(sequence.shape), "pooled_output": list(pooled.shape)},
        "sequence_output": _largest(sequence[real], reference.outputs.sequence[real]),
        "pooled_output": _largest(pooled, reference.outputs.pooled),
        "pooler_formula": _largest(pooled, np.tanh(first @ weight.T + bias)),
        "pooled_against_cls": _largest(pooled, first),
        "correlation_with_cls": float(np.corrcoef(pooled.reshape(-1), first.reshape(-1))[0, 1]),
    }


def _largest(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape != b.shape:
        raise UserError(
            f"the systems give vectors of shapes {a.shape} and {b.shape}: they hold different models. Name forms of one."
        )
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())


@dataclass(frozen=True)
class _Recorded:
    """What TensorFlow computed when the forms were written."""

    batch: Batch
    outputs: Mapping[str, Outputs]
    version: str


def _recorded(folder: Path) -> _Recorded | None:
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
        return _Recorded(
            Batch(arrays["input_ids"], arrays["input_mask"], arrays["segment_ids"]), outputs, notes["tensorflow"]
        )
    except (SafetensorError, KeyError, OSError) as error:
        raise UserError(
            f"{path} is not what tests.helpers.tensorflow_fixtures leaves: {error}. Write the folder again."
        ) from error


def _sentences(options: Options) -> list[str]:
    """A line each of `sentences`, or those that the fixtures are made of."""
    from tests.helpers.tensorflow_fixtures import SENTENCES

    if not options.sentences:
        return [" ".join(filter(None, pair)) for pair in SENTENCES]
    try:
        lines = Path(options.sentences).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(
            f"sentences={options.sentences} cannot be read: {error}. Name a text file with a sentence a line."
        ) from error
    if not any(line.strip() for line in lines):
        raise UserError(f"sentences={options.sentences} holds no sentence. Name a text file with a sentence a line.")
    return [line for line in lines if line.strip()]


def _tokenise(tokenizer: Any, sentences: list[str], config: Mapping[str, Any]) -> Batch:
    rows = tokenizer(
        sentences, padding="longest", truncation=True, max_length=config["max_position_embeddings"], return_tensors="np"
    )
    return Batch(*(rows[name].astype(np.int32) for name in ("input_ids", "attention_mask", "token_type_ids")))


def _tensorflow_version(recorded: _Recorded | None) -> str | None:
    if backends.has_tensorflow():
        return str(backends.tensorflow().__version__)
    return recorded.version if recorded else None


def table(record: Mapping[str, Any]) -> str:
    """The record for a terminal."""
    shape = record["shape"]
    width = max(len(row["title"]) for row in record["systems"])
    lines = [
        f"{record['model']}: {shape['num_hidden_layers']} layers of {shape['hidden_size']}, {record['sentences']} sentences, "
        f"{record['tokens']} word pieces. Largest absolute differences",
        f"from {record['reference']} in sequence_output and pooled_output; from tanh(W sequence_output[:,0] + b); and of pooled_output "
        "from sequence_output[:,0].",
        "",
        f"{'system':<{width}}  {'activation':<10} {'sequence':>9} {'pooled':>9} {'tanh(Wh+b)':>10} {'pooled-cls':>10} {'corr.':>6}  shapes",
    ]
    for row in record["systems"]:
        shapes = " ".join(str(tuple(each)) for each in row["shapes"].values())
        lines.append(
            f"{row['title']:<{width}}  {ACTIVATIONS[row['hidden_act']]:<10} {row['sequence_output']:9.1e} {row['pooled_output']:9.1e} "
            f"{row['pooler_formula']:10.1e} {row['pooled_against_cls']:10.2f} {row['correlation_with_cls']:6.2f}  {shapes}"
        )
    if record["absent"]:
        lines += ["", "Not run here:", *(f"  {each['system']}: {each['bring']}" for each in record["absent"])]
    return "\n".join(lines)


def _write(path: Path, record: dict[str, Any]) -> None:
    """Add the record to the file's, one for each model."""
    try:
        records = read_json(path) if path.is_file() else {}
        records[record["model"]] = record
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"output={path} cannot be written: {error}. Name another file.") from error


if __name__ == "__main__":
    main()
