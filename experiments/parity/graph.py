"""BERT in TensorFlow's operations, with the tanh GELU of Google's code."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

EPSILON = 1e-12  # of layer normalisation, in all of Google's code
MASKED = -10000.0  # added to the attention score of a padding token


def graph(
    tf: Any, variable: Callable[[str], Any], config: Mapping[str, Any], ids: Any, mask: Any, segments: Any
) -> tuple[Any, Any]:
    """Compute BERT's outputs in TensorFlow.

    Parameters
    ----------
    variable : function
        Returns the tensor of a variable, named as in google-research/bert without the scope.
    ids, mask, segments : int32 tensors (rows, tokens)

    Returns
    -------
    sequence_output, pooled_output : tensors (rows, tokens, width) and (rows, width)

    References
    ----------
    Devlin et al. (2019), BERT, NAACL; Hendrycks and Gimpel (2016), Gaussian Error Linear Units,
    arXiv:1606.08415.
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
    padding = (1.0 - tf.cast(mask, tf.float32))[:, None, None, :] * MASKED
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder/layer_{number}"
        query, key, value = (split(dense(x, f"{layer}/attention/self/{part}")) for part in ("query", "key", "value"))
        scores = tf.matmul(query, key, transpose_b=True) / math.sqrt(width // heads) + padding
        mixed = tf.reshape(tf.transpose(tf.matmul(tf.nn.softmax(scores), value), (0, 2, 1, 3)), tf.shape(x))
        x = norm(x + dense(mixed, f"{layer}/attention/output/dense"), f"{layer}/attention/output/LayerNorm")
        inner = gelu(dense(x, f"{layer}/intermediate/dense"))
        x = norm(x + dense(inner, f"{layer}/output/dense"), f"{layer}/output/LayerNorm")
    return x, tf.tanh(dense(x[:, 0], "pooler/dense"))
