"""Other implementations of BERT: TensorFlow's, on all of its formats, and Hugging Face's.

TensorFlow is an extra, ``pip install -e '.[tensorflow]'``, which `src/` does not need.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.parity.graph import graph
from src.errors import UserError, flatten

INSTALL = "pip install -e '.[tensorflow]'"


@dataclass(frozen=True)
class Batch:
    """Holds word pieces, each array (rows, tokens) int32; `mask` is 0 for padding."""

    ids: np.ndarray
    mask: np.ndarray
    segments: np.ndarray


@dataclass(frozen=True)
class Outputs:
    """Holds a system's outputs in float32."""

    sequence: np.ndarray  # (rows, tokens, width)
    pooled: np.ndarray  # (rows, width)
    interface: str  # how the system returned them


def has_tensorflow() -> bool:
    """Return whether TensorFlow is installed."""
    return importlib.util.find_spec("tensorflow") is not None


def tensorflow() -> Any:
    """Import TensorFlow without its messages.

    Raises
    ------
    UserError
        TensorFlow is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    try:
        import tensorflow as module
    except ImportError as error:
        raise UserError(f"TensorFlow is not installed. This comparison needs it: {INSTALL}") from error
    return module


def load(place: str) -> Any:
    """Load a TF-Hub module or SavedModel from a folder or a URL.

    Raises
    ------
    UserError
        TensorFlow cannot load it, or tensorflow_hub is needed and not installed.
    """
    module = tensorflow()
    try:
        if Path(place).is_dir():
            return module.saved_model.load(place)
        import tensorflow_hub

        return tensorflow_hub.load(place)
    except ImportError as error:
        raise UserError(
            f"'{place}' is no folder, and tensorflow_hub, which loads URLs, is not installed: {INSTALL}"
        ) from error
    except Exception as error:  # the parsers and the network raise many kinds
        raise UserError(f"'{place}' cannot be loaded by TensorFlow: {flatten(error, 200)}") from error


def module_outputs(place: str, batch: Batch) -> Outputs:
    """Return a module's outputs.

    Its signature `tokens` is called if it has one, as TF-Hub's modules have. Otherwise it is called
    with a dictionary or, if that fails, with a list.
    """
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
    # Identified by rank, because the order is the reverse of Hugging Face's tuple.
    ranks = {len(each.shape): each.numpy() for each in given}
    return Outputs(
        ranks[3], ranks[2], "tuple, " + ("pooled_output first" if len(given[0].shape) == 2 else "sequence_output first")
    )


def checkpoint_outputs(prefix: Path, config: Mapping[str, Any], batch: Batch) -> Outputs:
    """Return the outputs of a TensorFlow 1 checkpoint, computed by `graph`."""
    tf = tensorflow()
    reader = tf.train.load_checkpoint(str(prefix))
    sequence, pooled = graph(
        tf, lambda name: tf.constant(reader.get_tensor(f"bert/{name}")), config, batch.ids, batch.mask, batch.segments
    )
    return Outputs(sequence.numpy(), pooled.numpy(), "checkpoint")


def hugging_face_outputs(folder: Path, batch: Batch, hidden_act: str) -> Outputs:
    """Return the outputs of transformers' BertModel with eager attention."""
    import torch
    from transformers import BertModel

    model = BertModel.from_pretrained(
        folder, local_files_only=True, attn_implementation="eager", dtype=torch.float32, hidden_act=hidden_act
    )
    ids, mask, segments = (torch.from_numpy(each.astype(np.int64)) for each in (batch.ids, batch.mask, batch.segments))
    with torch.inference_mode():
        given = model.eval()(input_ids=ids, attention_mask=mask, token_type_ids=segments)
    return Outputs(given.last_hidden_state.numpy(), given.pooler_output.numpy(), "last_hidden_state, pooler_output")
