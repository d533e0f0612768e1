"""BERT's other homes, for the comparison alone: TF-Hub modules, SavedModels and checkpoints run by TensorFlow, and Hugging Face's model.

TensorFlow is an extra: ``pip install -e '.[tensorflow]'``. Nothing in `src/` needs it.
"""

from __future__ import annotations

import importlib.util
import math
import os
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.errors import UserError, flatten

EPSILON = 1e-12  # of layer normalisation, in all of Google's code
HIDDEN = -10000.0  # added to the attention score of a padding token
INSTALL = "pip install -e '.[tensorflow]'"


@dataclass(frozen=True)
class Batch:
    """Word pieces of the sentences: ``ids``, ``mask`` (1 where a token is real) and ``segments``, each (rows, tokens) int32."""

    ids: np.ndarray
    mask: np.ndarray
    segments: np.ndarray


@dataclass(frozen=True)
class Outputs:
    """``sequence`` (rows, tokens, width) and ``pooled`` (rows, width), float32, and in what form the system gave them."""

    sequence: np.ndarray
    pooled: np.ndarray
    interface: str


def has_tensorflow() -> bool:
    return importlib.util.find_spec("tensorflow") is not None


def tensorflow() -> Any:
    """The module, without its greetings; UserError where it is not installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    try:
        import tensorflow as module
    except ImportError as error:
        raise UserError(f"TensorFlow is not installed. It is an extra, for this comparison alone: {INSTALL}") from error
    return module


def load(place: str) -> Any:
    """A TF-Hub module or SavedModel from a folder or a URL."""
    module = tensorflow()
    try:
        if Path(place).is_dir():
            return module.saved_model.load(place)
        import tensorflow_hub

        return tensorflow_hub.load(place)
    except ImportError as error:
        raise UserError(
            f"'{place}' is no folder, and tensorflow_hub, which fetches URLs, is not installed: {INSTALL}"
        ) from error
    except Exception as error:  # both raise whatever their parsers and the network raise
        raise UserError(f"'{place}' cannot be loaded by TensorFlow: {flatten(error, 200)}") from error


def module_outputs(place: str, batch: Batch) -> Outputs:
    """What a module gives: by its signature `tokens` where it has one, as TF-Hub's have, else called with a dictionary or a list."""
    tf, loaded = tensorflow(), load(place)
    ids, mask, segments = (tf.constant(each, tf.int32) for each in (batch.ids, batch.mask, batch.segments))
    if "tokens" in getattr(loaded, "signatures", {}):
        given = loaded.signatures["tokens"](input_ids=ids, input_mask=mask, segment_ids=segments)
        return Outputs(given["sequence_output"].numpy(), given["pooled_output"].numpy(), "signature tokens")
    try:
        given = loaded({"input_word_ids": ids, "input_mask": mask, "input_type_ids": segments})
    except (TypeError, ValueError):
        given = loaded([ids, mask, segments])
    if isinstance(given, Mapping):
        return Outputs(given["sequence_output"].numpy(), given["pooled_output"].numpy(), "dictionary")
    # Told apart by their ranks: the order is the reverse of Hugging Face's tuple.
    ranks = {len(each.shape): each.numpy() for each in given}
    return Outputs(
        ranks[3], ranks[2], "tuple, " + ("pooled_output first" if len(given[0].shape) == 2 else "sequence_output first")
    )


def checkpoint_outputs(prefix: Path, config: Mapping[str, Any], batch: Batch) -> Outputs:
    """A TensorFlow 1 checkpoint, its variables read by TensorFlow, in a graph of our own."""
    tf = tensorflow()
    reader = tf.train.load_checkpoint(str(prefix))
    sequence, pooled = graph(
        tf, lambda name: tf.constant(reader.get_tensor(f"bert/{name}")), config, batch.ids, batch.mask, batch.segments
    )
    return Outputs(sequence.numpy(), pooled.numpy(), "checkpoint")


def modeling_outputs(modeling: Path, prefix: Path, config: Mapping[str, Any], batch: Batch) -> Outputs:
    """A TensorFlow 1 checkpoint in google-research/bert's own `modeling.py`, a copy of which the caller has fetched."""
    tf = tensorflow()
    v1 = tf.compat.v1
    google = _import(modeling, v1)
    with v1.Graph().as_default(), v1.Session() as session:
        ids, mask, segments = (tf.constant(each, tf.int32) for each in (batch.ids, batch.mask, batch.segments))
        settings = google.BertConfig.from_dict({**config, "hidden_act": "gelu"})
        model = google.BertModel(settings, False, ids, mask, segments, scope="bert")
        v1.train.Saver().restore(session, str(prefix))
        sequence, pooled = session.run([model.get_sequence_output(), model.get_pooled_output()])
    return Outputs(sequence, pooled, "modeling.py")


def _import(path: Path, v1: Any) -> Any:
    """`modeling.py` under TensorFlow 2: it asks for TensorFlow 1, with `contrib` and Keras-free layers."""

    def layer_norm(inputs: Any, begin_norm_axis: int, begin_params_axis: int, scope: str | None) -> Any:
        with v1.variable_scope(scope or "LayerNorm"):
            shape = inputs.shape[-1:]
            beta = v1.get_variable("beta", shape, initializer=v1.zeros_initializer())
            gamma = v1.get_variable("gamma", shape, initializer=v1.ones_initializer())
            mean, variance = v1.nn.moments(inputs, [begin_norm_axis], keep_dims=True)
            return v1.nn.batch_normalization(inputs, mean, variance, beta, gamma, EPSILON)

    def dense(
        inputs: Any, units: int, activation: Any = None, name: str | None = None, kernel_initializer: Any = None
    ) -> Any:
        with v1.variable_scope(name or "dense"):
            kernel = v1.get_variable("kernel", [inputs.shape[-1], units], initializer=kernel_initializer)
            made = v1.matmul(inputs, kernel) + v1.get_variable("bias", [units], initializer=v1.zeros_initializer())
            return made if activation is None else activation(made)

    class Old(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            return getattr(v1, name)

    old: Any = Old("tensorflow")
    old.contrib = types.SimpleNamespace(layers=types.SimpleNamespace(layer_norm=layer_norm))
    old.layers = types.SimpleNamespace(dense=dense)
    spec = importlib.util.spec_from_file_location("modeling", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UserError(f"modeling={path}: there is no such file. It is google-research/bert's modeling.py.")
    module = importlib.util.module_from_spec(spec)
    present = sys.modules["tensorflow"]
    sys.modules["tensorflow"] = old
    try:
        spec.loader.exec_module(module)
    finally:
        sys.modules["tensorflow"] = present
    return module


def hugging_face_outputs(folder: Path, batch: Batch, hidden_act: str) -> Outputs:
    """transformers' BertModel as it comes, in the library's own eager attention."""
    import torch
    from transformers import BertModel

    model = BertModel.from_pretrained(
        folder, local_files_only=True, attn_implementation="eager", dtype=torch.float32, hidden_act=hidden_act
    )
    ids, mask, segments = (torch.from_numpy(each.astype(np.int64)) for each in (batch.ids, batch.mask, batch.segments))
    with torch.inference_mode():
        given = model.eval()(input_ids=ids, attention_mask=mask, token_type_ids=segments)
    return Outputs(given.last_hidden_state.numpy(), given.pooler_output.numpy(), "last_hidden_state, pooler_output")


def graph(
    tf: Any, variable: Callable[[str], Any], config: Mapping[str, Any], ids: Any, mask: Any, segments: Any
) -> tuple[Any, Any]:
    """BERT in TensorFlow's operations, with the tanh GELU of Google's code.

    Parameters
    ----------
    variable : function
        Gives a tensor for google-research/bert's name of a variable, without its scope.
    ids, mask, segments : int32 tensors (rows, tokens)

    Returns
    -------
    tensors (rows, tokens, width) and (rows, width)
        sequence_output and pooled_output.

    References
    ----------
    Devlin et al. (2019), BERT, NAACL; Hendrycks and Gimpel (2016), Gaussian Error Linear Units, arXiv:1606.08415.
    """
    heads, width = config["num_attention_heads"], config["hidden_size"]

    def dense(x: Any, name: str) -> Any:
        return tf.einsum("...i,io->...o", x, variable(f"{name}/kernel")) + variable(f"{name}/bias")

    def norm(x: Any, name: str) -> Any:
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return tf.nn.batch_normalization(
            x, mean, variance, variable(f"{name}/beta"), variable(f"{name}/gamma"), EPSILON
        )

    def gelu(x: Any) -> Any:
        return 0.5 * x * (1.0 + tf.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))

    def split(x: Any) -> Any:
        return tf.transpose(tf.reshape(x, (*tf.unstack(tf.shape(x)[:2]), heads, width // heads)), (0, 2, 1, 3))

    tokens = tf.shape(ids)[1]
    x = tf.gather(variable("embeddings/word_embeddings"), ids) + tf.gather(
        variable("embeddings/token_type_embeddings"), segments
    )
    x = norm(x + variable("embeddings/position_embeddings")[:tokens], "embeddings/LayerNorm")
    barred = (1.0 - tf.cast(mask, tf.float32))[:, None, None, :] * HIDDEN
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder/layer_{number}"
        query, key, value = (split(dense(x, f"{layer}/attention/self/{part}")) for part in ("query", "key", "value"))
        scores = tf.matmul(query, key, transpose_b=True) / math.sqrt(width // heads) + barred
        mixed = tf.reshape(tf.transpose(tf.matmul(tf.nn.softmax(scores), value), (0, 2, 1, 3)), tf.shape(x))
        x = norm(x + dense(mixed, f"{layer}/attention/output/dense"), f"{layer}/attention/output/LayerNorm")
        inner = gelu(dense(x, f"{layer}/intermediate/dense"))
        x = norm(x + dense(inner, f"{layer}/output/dense"), f"{layer}/output/LayerNorm")
    return x, tf.tanh(dense(x[:, 0], "pooler/dense"))
