"""google-research/bert's own modeling.py, imported under TensorFlow 2."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.parity.backends import Batch, Outputs, tensorflow
from experiments.parity.graph import EPSILON
from src.errors import UserError


def modeling_outputs(modeling: Path, prefix: Path, config: Mapping[str, Any], batch: Batch) -> Outputs:
    """Return the outputs of a TensorFlow 1 checkpoint in google-research/bert's model.

    `modeling` is a copy of its modeling.py.
    """
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
    """Import modeling.py with a stand-in for TensorFlow 1, whose `contrib` and layers it uses."""

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

    class TensorFlow1(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            return getattr(v1, name)

    module_v1: Any = TensorFlow1("tensorflow")
    module_v1.contrib = types.SimpleNamespace(layers=types.SimpleNamespace(layer_norm=layer_norm))
    module_v1.layers = types.SimpleNamespace(dense=dense)
    spec = importlib.util.spec_from_file_location("modeling", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UserError(f"modeling={path}: no such file. Name a copy of google-research/bert's modeling.py.")
    module = importlib.util.module_from_spec(spec)
    present = sys.modules["tensorflow"]
    sys.modules["tensorflow"] = module_v1
    try:
        spec.loader.exec_module(module)
    finally:
        sys.modules["tensorflow"] = present
    return module
