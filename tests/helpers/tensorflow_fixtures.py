"""BERT in TensorFlow's own formats, written by TensorFlow: ``python -m tests.helpers.tensorflow_fixtures output=FOLDER``.

Writes a TensorFlow 1 checkpoint (``checkpoint/``), a TF-Hub module (``hub/``), a TensorFlow 2 SavedModel with today's names and
dictionaries (``savedmodel/``) and one of 2019 with lists and tuples (``savedmodel-2019/``), all of the same weights, and beside them what
TensorFlow computes with each (``outputs.safetensors``) on a few sentences (``sentences.json``). The modules have no configuration, as
Google's have none: that of ``checkpoint/`` is theirs. The weights are random, of the shape that ``shape.`` says, or those of
``model.path=``, a BERT in the Hugging Face layout. Needs TensorFlow: ``pip install -e '.[tensorflow]'``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from experiments import backends
from experiments.cli import ModelPath, command, required
from experiments.parity.backends import Batch, Outputs
from src.cli.messages import print_text
from src.errors import UserError

Form = Literal["checkpoint", "hub", "savedmodel", "savedmodel-2019"]
FORMS: tuple[Form, ...] = get_args(Form)
SENTENCES: tuple[tuple[str, str | None], ...] = (
    ("The cat sat on the mat.", None),
    ("A dog barked", "and the cat ran away"),
    ("Nobody came, for the road was closed all day.", None),
    ("yes", None),
    ("It rained in the morning", "it rained all day"),
    ("Was the mat on the cat?", "yes!"),
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SPREAD = 0.2  # of random weights: ten times BERT's, so that nothing that goes wrong stays small
SCOPES = {"checkpoint": "bert/", "hub": "bert/", "savedmodel": "", "savedmodel-2019": "bert_model/"}

# google-research/bert's names in the TensorFlow 2 models of today and of 2019, applied in this order.
TODAY = (
    ("embeddings/word_embeddings", "word_embeddings/embeddings"), ("embeddings/position_embeddings", "position_embedding/embeddings"),
    ("embeddings/token_type_embeddings", "type_embeddings/embeddings"), ("embeddings/LayerNorm", "embeddings/layer_norm"),
    ("encoder/", "transformer/"), ("attention/self", "self_attention"), ("attention/output/dense", "self_attention/attention_output"),
    ("attention/output/LayerNorm", "self_attention_layer_norm"), ("intermediate/dense", "intermediate"), ("output/dense", "output"),
    ("output/LayerNorm", "output_layer_norm"), ("pooler/dense", "pooler_transform"),
)  # fmt: skip
OF_2019 = (
    ("embeddings/word_embeddings", "word_embeddings/embeddings"),
    ("embeddings/position_embeddings", "embedding_postprocessor/position_embeddings"),
    ("embeddings/token_type_embeddings", "embedding_postprocessor/type_embeddings"),
    ("embeddings/LayerNorm", "embedding_postprocessor/layer_norm"),
    ("attention/self", "self_attention"), ("attention/output/dense", "self_attention_output"), *TODAY[-5:],
)  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """Shape of the random BERT, in the names of its configuration."""

    vocab_size: int = 128
    hidden_size: int = 24
    num_hidden_layers: int = 2
    num_attention_heads: int = 3
    intermediate_size: int = 40
    max_position_embeddings: int = 32
    type_vocab_size: int = 2


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    output: str = required("the folder that the forms go into")
    model: ModelPath = ModelPath()
    seed: int = 0
    forms: tuple[Form, ...] = FORMS
    shape: Shape = Shape()


@command(Options)
def main(options: Options) -> None:
    """Write the folder."""
    write(Path(options.output), options.model.path, asdict(options.shape), options.seed, list(options.forms))
    print_text(f"written by TensorFlow {backends.tensorflow().__version__}: {options.output}")


def write(output: Path, path: str | None, shape: dict[str, int], seed: int, forms: list[str]) -> None:
    """Every form of one BERT, and what TensorFlow computes with it."""
    backends.tensorflow()
    if path is None:
        config = {**shape, "hidden_act": "gelu", "do_lower_case": True}
        vocabulary = make_vocabulary(shape["vocab_size"])
        variables = draw(config, seed)
    else:
        config, vocabulary, variables = exported(path)
    output.mkdir(parents=True, exist_ok=True)
    beside = {"bert_config.json": json.dumps(config, indent=2) + "\n", "vocab.txt": "\n".join(vocabulary) + "\n"}
    batch = tokenise(vocabulary, config)
    found: dict[str, Outputs] = {}
    for form in forms:
        folder = output / form
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, text in beside.items():
            (folder / name).write_text(text, encoding="utf-8")
        WRITERS[form](folder, variables, config)
        if form == "checkpoint":
            found[form] = backends.checkpoint_outputs(folder / "bert_model.ckpt", config, batch)
        else:
            for name in beside:  # Google's modules have the vocabulary among their assets, and no configuration
                (folder / name).unlink()
            found[form] = backends.module_outputs(str(folder), batch)
    record(output, batch, found)


def make_vocabulary(size: int) -> list[str]:
    """Special pieces, the words of the sentences, letters; what is left of `size` is unused."""
    words = sorted(
        {word.strip(".,?!").lower() for pair in SENTENCES for text in pair if text for word in text.split()}
        - {"mat", "away"}
    )
    letters = [*"abcdefghijklmnopqrstuvwxyz.,?!", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
    known = [*SPECIAL, *words, *letters]
    if len(known) > size:
        raise UserError(f"shape.vocab_size={size}: at least {len(known)} word pieces are needed.")
    return [*known, *(f"[unused{number}]" for number in range(size - len(known)))]


def draw(config: Mapping[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Random variables by google-research/bert's names and shapes, its two heads and what its optimiser leaves among them."""
    rng = np.random.default_rng(seed)
    width, inner = config["hidden_size"], config["intermediate_size"]
    made: dict[str, np.ndarray] = {}

    def add(name: str, *shape: int, about: float = 0.0) -> None:
        made[name] = (about + SPREAD * rng.standard_normal(shape)).astype(np.float32)

    def dense(name: str, given: int, out: int) -> None:
        add(f"{name}/kernel", given, out)
        add(f"{name}/bias", out)

    def norm(name: str) -> None:
        add(f"{name}/gamma", width, about=1.0)
        add(f"{name}/beta", width)

    for name, rows in (
        ("word", "vocab_size"),
        ("position", "max_position_embeddings"),
        ("token_type", "type_vocab_size"),
    ):
        add(f"bert/embeddings/{name}_embeddings", config[rows], width)
    norm("bert/embeddings/LayerNorm")
    for number in range(config["num_hidden_layers"]):
        layer = f"bert/encoder/layer_{number}"
        for part in ("query", "key", "value"):
            dense(f"{layer}/attention/self/{part}", width, width)
        dense(f"{layer}/attention/output/dense", width, width)
        norm(f"{layer}/attention/output/LayerNorm")
        dense(f"{layer}/intermediate/dense", width, inner)
        dense(f"{layer}/output/dense", inner, width)
        norm(f"{layer}/output/LayerNorm")
    dense("bert/pooler/dense", width, width)
    dense("cls/predictions/transform/dense", width, width)
    norm("cls/predictions/transform/LayerNorm")
    add("cls/predictions/output_bias", config["vocab_size"])
    add("cls/seq_relationship/output_weights", 2, width)
    add("cls/seq_relationship/output_bias", 2)
    add("bert/pooler/dense/bias/adam_m", width)
    add("bert/pooler/dense/bias/adam_v", width)
    made["global_step"] = np.asarray(1000, np.int64)
    return made


def exported(path: str) -> tuple[dict[str, Any], list[str], dict[str, np.ndarray]]:
    """Configuration, vocabulary and variables of a BERT in the Hugging Face layout, as google-research/bert would have saved them."""
    from safetensors.numpy import load_file

    from src.config.schema import ModelConfig
    from src.models import finding
    from src.models.tokenizer import load_tokenizer

    given = finding.find_checkpoint(ModelConfig(path=path))
    if given.config["model_type"] != "bert":
        raise UserError(f"model.path={path} is a {given.config['model_type']} model. Name a BERT.")
    config: dict[str, Any] = {name: given.config[name] for name in asdict(Shape())}
    tokenizer = load_tokenizer(given)
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda each: each[1])
    variables: dict[str, np.ndarray] = {}
    for name in given.weights:
        for parameter, values in load_file(given.folder / name).items():
            variable = variable_name(parameter)
            turned = values.T if variable.endswith("/kernel") else values
            variables[variable] = np.ascontiguousarray(turned, np.float32)
    lower = bool(getattr(tokenizer, "do_lower_case", True))
    config |= {
        "hidden_act": "gelu",
        "initializer_range": given.config.get("initializer_range", 0.02),
        "do_lower_case": lower,
    }
    return config, [piece for piece, _ in pieces], variables


def variable_name(parameter: str) -> str:
    """google-research/bert's name for one of transformers' parameters.

    >>> variable_name("bert.encoder.layer.0.output.LayerNorm.weight"), variable_name("cls.seq_relationship.bias")
    ('bert/encoder/layer_0/output/LayerNorm/gamma', 'cls/seq_relationship/output_bias')
    """
    if not parameter.startswith(("bert.", "cls.")):
        parameter = f"bert.{parameter}"
    path, leaf = parameter.replace(".layer.", ".layer_").replace(".", "/").rsplit("/", 1)
    if path.endswith("_embeddings"):
        return path
    if path.endswith("LayerNorm"):
        return f"{path}/{'gamma' if leaf == 'weight' else 'beta'}"
    if path in ("cls/seq_relationship", "cls/predictions"):
        return f"{path}/output_{'weights' if leaf == 'weight' else 'bias'}"
    return f"{path}/{'kernel' if leaf == 'weight' else 'bias'}"


def tokenise(vocabulary: list[str], config: Mapping[str, Any]) -> Batch:
    """The sentences as word pieces, filled up to the longest, by transformers' own WordPiece."""
    from transformers import BertTokenizer

    pieces = {piece: number for number, piece in enumerate(vocabulary)}
    tokenizer = BertTokenizer(vocab=pieces, do_lower_case=config["do_lower_case"])
    rows = tokenizer(
        [first for first, _ in SENTENCES], [second or "" for _, second in SENTENCES], padding="longest", return_tensors="np",
        truncation=True, max_length=config["max_position_embeddings"],
    )  # fmt: skip
    return Batch(*(rows[name].astype(np.int32) for name in ("input_ids", "attention_mask", "token_type_ids")))


def record(output: Path, batch: Batch, found: Mapping[str, Outputs]) -> None:
    """What went in and what came out, and by which version of TensorFlow."""
    from safetensors.numpy import save_file

    arrays = {"input_ids": batch.ids, "input_mask": batch.mask, "segment_ids": batch.segments}
    for form, outputs in found.items():
        arrays |= {f"{form}.sequence_output": outputs.sequence, f"{form}.pooled_output": outputs.pooled}
    notes = {
        "tensorflow": backends.tensorflow().__version__,
        **{form: outputs.interface for form, outputs in found.items()},
    }
    save_file(
        {name: np.ascontiguousarray(values) for name, values in arrays.items()}, output / "outputs.safetensors", notes
    )
    (output / "sentences.json").write_text(json.dumps(SENTENCES, indent=1) + "\n", encoding="utf-8")


def write_checkpoint(folder: Path, variables: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> None:
    """`bert_model.ckpt`, with every variable."""
    v1 = backends.tensorflow().compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        saver = v1.train.Saver(_variables(v1, session, variables))
        saver.save(session, str(folder / "bert_model.ckpt"), write_meta_graph=False, write_state=False)


def write_hub(folder: Path, variables: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> None:
    """A module in TF-Hub's first format: signature `tokens`, the vocabulary an asset."""
    tf = backends.tensorflow()
    v1 = tf.compat.v1
    encoder = {name: values for name, values in variables.items() if name.startswith("bert/") and "adam_" not in name}
    with v1.Graph().as_default(), v1.Session() as session:
        made = _variables(v1, session, encoder)
        inputs = {
            name: v1.placeholder(tf.int32, [None, None], name) for name in ("input_ids", "input_mask", "segment_ids")
        }
        sequence, pooled = backends.graph(tf, lambda name: made[f"bert/{name}"], config, *inputs.values())
        vocabulary = tf.constant(str(folder / "vocab.txt"))
        build = v1.saved_model.build_signature_def
        info = {name: v1.saved_model.build_tensor_info(tensor) for name, tensor in inputs.items()}
        given = {"sequence_output": sequence, "pooled_output": pooled}
        signature = build(
            info, {name: v1.saved_model.build_tensor_info(tensor) for name, tensor in given.items()}, "tokens"
        )
        builder = v1.saved_model.Builder(str(folder / "module"))
        builder.add_meta_graph_and_variables(session, [], {"tokens": signature}, assets_collection=[vocabulary])
        builder.save()
    _move_up(folder)
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")  # ModuleDef: the format is number 3, a SavedModel


def write_savedmodel(folder: Path, variables: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> None:
    """A SavedModel as tensorflow/models writes them today: dictionaries, and attention kernels with heads as a dimension."""
    tf = backends.tensorflow()
    heads, width = config["num_attention_heads"], config["hidden_size"]

    def with_heads(name: str, values: np.ndarray) -> np.ndarray:
        if "/attention/self/" in name:
            return values.reshape(*values.shape[:-1], heads, width // heads)
        return (
            values.reshape(heads, width // heads, width) if name.endswith("attention/output/dense/kernel") else values
        )

    def compute(call: Callable[[str], Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        sequence, pooled = backends.graph(
            tf, call, config, inputs["input_word_ids"], inputs["input_mask"], inputs["input_type_ids"]
        )
        return {"sequence_output": sequence, "pooled_output": pooled, "default": pooled}

    spec = {
        name: tf.TensorSpec([None, None], tf.int32, name) for name in ("input_word_ids", "input_mask", "input_type_ids")
    }
    _save(folder, variables, TODAY, "", with_heads, compute, spec)


def write_savedmodel_2019(folder: Path, variables: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> None:
    """A SavedModel as the first ones of TensorFlow 2 were: a list in, (pooled_output, sequence_output) out."""
    tf = backends.tensorflow()

    def compute(call: Callable[[str], Any], inputs: list[Any]) -> list[Any]:
        sequence, pooled = backends.graph(tf, call, config, *inputs)
        return [pooled, sequence]

    spec = [tf.TensorSpec([None, None], tf.int32, name) for name in ("input_word_ids", "input_mask", "input_type_ids")]
    _save(folder, variables, OF_2019, "bert_model/", lambda _, values: values, compute, spec)


def _save(
    folder: Path, variables: Mapping[str, np.ndarray], renamed: tuple[tuple[str, str], ...], scope: str,
    reshape: Callable[[str, np.ndarray], np.ndarray], compute: Callable[..., Any], spec: Any,
) -> None:  # fmt: skip
    tf = backends.tensorflow()
    module = tf.Module()
    module.held = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for variable, values in variables.items():
        if not variable.startswith("bert/") or "adam_" in variable:
            continue
        name = there = variable.removeprefix("bert/")
        for old, new in renamed:
            there = there.replace(old, new)
        module.held[name] = tf.Variable(reshape(name, values), name=scope + there)
        shapes[name] = values.shape

    def call(inputs: Any) -> Any:
        return compute(lambda name: tf.reshape(module.held[name], shapes[name]), inputs)

    module.__call__ = tf.function(call, input_signature=[spec])
    module.vocab_file = tf.saved_model.Asset(str(folder / "vocab.txt"))
    options = tf.saved_model.SaveOptions(save_debug_info=False)
    tf.saved_model.save(module, str(folder / "module"), options=options)
    _move_up(folder)


def _variables(v1: Any, session: Any, values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Variables of these names and values in the session's graph, which does not hold the values."""
    made = {name: v1.get_variable(name, each.shape, each.dtype, use_resource=False) for name, each in values.items()}
    for name, each in values.items():
        made[name].load(each, session)
    return made


def _move_up(folder: Path) -> None:
    for path in sorted((folder / "module").iterdir()):
        path.rename(folder / path.name)
    (folder / "module").rmdir()


WRITERS = {
    "checkpoint": write_checkpoint, "hub": write_hub, "savedmodel": write_savedmodel, "savedmodel-2019": write_savedmodel_2019,
}  # fmt: skip


if __name__ == "__main__":
    main()
