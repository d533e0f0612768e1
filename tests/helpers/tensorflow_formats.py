"""Writers of one BERT in each of TensorFlow's formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.parity.backends import tensorflow
from experiments.parity.graph import graph

# google-research/bert's names and those of TensorFlow 2 models, replaced in this order.
TODAY = (
    ("embeddings/word_embeddings", "word_embeddings/embeddings"), ("embeddings/position_embeddings",
    "position_embedding/embeddings"),
    ("embeddings/token_type_embeddings", "type_embeddings/embeddings"), ("embeddings/LayerNorm",
    "embeddings/layer_norm"),
    ("encoder/", "transformer/"), ("attention/self", "self_attention"), ("attention/output/dense",
    "self_attention/attention_output"),
    ("attention/output/LayerNorm", "self_attention_layer_norm"), ("intermediate/dense", "intermediate"),
    ("output/dense", "output"),
    ("output/LayerNorm", "output_layer_norm"), ("pooler/dense", "pooler_transform"),
)  # fmt: skip
OF_2019 = (
    ("embeddings/word_embeddings", "word_embeddings/embeddings"),
    ("embeddings/position_embeddings", "embedding_postprocessor/position_embeddings"),
    ("embeddings/token_type_embeddings", "embedding_postprocessor/type_embeddings"),
    ("embeddings/LayerNorm", "embedding_postprocessor/layer_norm"),
    ("attention/self", "self_attention"), ("attention/output/dense", "self_attention_output"), *TODAY[-5:],
)  # fmt: skip


def write_checkpoint(folder: Path, variables: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> None:
    """Write `bert_model.ckpt` with all variables."""
    v1 = tensorflow().compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        saver = v1.train.Saver(_variables(v1, session, variables))
        saver.save(session, str(folder / "bert_model.ckpt"), write_meta_graph=False, write_state=False)


def write_hub(folder: Path, variables: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> None:
    """Write a module in TF-Hub's first format: signature `tokens`, the vocabulary an asset."""
    tf = tensorflow()
    v1 = tf.compat.v1
    encoder = {name: values for name, values in variables.items() if name.startswith("bert/") and "adam_" not in name}
    with v1.Graph().as_default(), v1.Session() as session:
        made = _variables(v1, session, encoder)
        inputs = {
            name: v1.placeholder(tf.int32, [None, None], name) for name in ("input_ids", "input_mask", "segment_ids")
        }
        sequence, pooled = graph(tf, lambda name: made[f"bert/{name}"], config, *inputs.values())
        vocabulary = tf.constant(str(folder / "vocab.txt"))
        build = v1.saved_model.build_signature_def
        info = {name: v1.saved_model.build_tensor_info(tensor) for name, tensor in inputs.items()}
        outputs = {"sequence_output": sequence, "pooled_output": pooled}
        signature = build(
            info, {name: v1.saved_model.build_tensor_info(tensor) for name, tensor in outputs.items()}, "tokens"
        )
        builder = v1.saved_model.Builder(str(folder / "module"))
        builder.add_meta_graph_and_variables(session, [], {"tokens": signature}, assets_collection=[vocabulary])
        builder.save()
    _move_up(folder)
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")  # ModuleDef: the format is number 3, a SavedModel


def write_savedmodel(folder: Path, variables: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> None:
    """Write a SavedModel like tensorflow/models today.

    It takes and returns dictionaries, and its attention kernels have the heads as a dimension.
    """
    tf = tensorflow()
    heads, width = config["num_attention_heads"], config["hidden_size"]

    def with_heads(name: str, values: np.ndarray) -> np.ndarray:
        if "/attention/self/" in name:
            return values.reshape(*values.shape[:-1], heads, width // heads)
        return (
            values.reshape(heads, width // heads, width) if name.endswith("attention/output/dense/kernel") else values
        )

    def compute(call: Callable[[str], Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        sequence, pooled = graph(
            tf, call, config, inputs["input_word_ids"], inputs["input_mask"], inputs["input_type_ids"]
        )
        return {"sequence_output": sequence, "pooled_output": pooled, "default": pooled}

    spec = {
        name: tf.TensorSpec([None, None], tf.int32, name) for name in ("input_word_ids", "input_mask", "input_type_ids")
    }
    _save(folder, variables, TODAY, "", with_heads, compute, spec)


def write_savedmodel_2019(folder: Path, variables: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> None:
    """Write a SavedModel like the first of TensorFlow 2: it takes a list and returns a tuple."""
    tf = tensorflow()

    def compute(call: Callable[[str], Any], inputs: list[Any]) -> list[Any]:
        sequence, pooled = graph(tf, call, config, *inputs)
        return [pooled, sequence]

    spec = [tf.TensorSpec([None, None], tf.int32, name) for name in ("input_word_ids", "input_mask", "input_type_ids")]
    _save(folder, variables, OF_2019, "bert_model/", lambda _, values: values, compute, spec)


def _save(
    folder: Path, variables: Mapping[str, np.ndarray], renamed: tuple[tuple[str, str], ...],
    scope: str,
    reshape: Callable[[str, np.ndarray], np.ndarray], compute: Callable[..., Any], spec: Any,
) -> None:  # fmt: skip
    tf = tensorflow()
    module = tf.Module()
    module.variables_by_name = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for variable, values in variables.items():
        if not variable.startswith("bert/") or "adam_" in variable:
            continue
        name = stored = variable.removeprefix("bert/")
        for old, new in renamed:
            stored = stored.replace(old, new)
        module.variables_by_name[name] = tf.Variable(reshape(name, values), name=scope + stored)
        shapes[name] = values.shape

    def call(inputs: Any) -> Any:
        return compute(lambda name: tf.reshape(module.variables_by_name[name], shapes[name]), inputs)

    module.__call__ = tf.function(call, input_signature=[spec])
    module.vocab_file = tf.saved_model.Asset(str(folder / "vocab.txt"))
    options = tf.saved_model.SaveOptions(save_debug_info=False)
    tf.saved_model.save(module, str(folder / "module"), options=options)
    _move_up(folder)


def _variables(v1: Any, session: Any, values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Make variables in the session's graph; the values are loaded, not stored in the graph."""
    made = {name: v1.get_variable(name, each.shape, each.dtype, use_resource=False) for name, each in values.items()}
    for name, each in values.items():
        made[name].load(each, session)
    return made


def _move_up(folder: Path) -> None:
    """Move the files of ``module/`` into the folder."""
    for path in sorted((folder / "module").iterdir()):
        path.rename(folder / path.name)
    (folder / "module").rmdir()


WRITERS = {
    "checkpoint": write_checkpoint, "hub": write_hub, "savedmodel": write_savedmodel,
    "savedmodel-2019": write_savedmodel_2019,
}  # fmt: skip
