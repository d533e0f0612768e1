"""Cut an encoder to its first layers, and write it as the first module of sentence-transformers."""

from __future__ import annotations

import copy
from tempfile import TemporaryDirectory
from typing import Any

from src.errors import UserError, flatten
from src.models.checkpoint import Checkpoint
from src.models.hidden_states import TOLERANCE, trial_batch
from src.models.loading import load_model
from src.models.tokenizer import load_tokenizer


def load_cut(checkpoint: Checkpoint, layer: int) -> Any:
    """Return the model of a checkpoint in float32 whose last layer is `layer`.

    A pooler belongs to the last layer. It is left out of a cut model, and where the checkpoint lacks
    its weights.

    Raises
    ------
    UserError
        The checkpoint cannot be loaded, or its first layers alone give other hidden states, as in an
        encoder with a norm after its last layer.
    """
    model, report = load_model(checkpoint)
    model.config._name_or_path = checkpoint.label
    if layer == int(model.config.num_hidden_layers):
        if report["missing_keys"]:
            model.pooler = None  # the random one would look like the checkpoint's
        return model
    try:
        cut = _first_layers(model, layer)
        same = _gives_layer(cut, model, layer)
    except Exception as error:  # an architecture may raise anything at a number of layers that it does not take
        raise _uncuttable(checkpoint, layer, f"{type(error).__name__}: {flatten(error, 120)}") from error
    if not same:
        reason = "its hidden states are changed after the last layer, as by a final norm"
        raise _uncuttable(checkpoint, layer, reason)
    return cut


def _uncuttable(checkpoint: Checkpoint, layer: int, reason: str) -> UserError:
    return UserError(
        f"layer {layer} of '{checkpoint.label}' ({checkpoint.config['model_type']}) cannot be exported: the encoder "
        f"cannot be cut there ({reason}). Name a run of its last layer (layer=-1)."
    )


def _first_layers(model: Any, layer: int) -> Any:
    """Return a new model with the first layers of another one, and no pooler."""
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = layer
    if isinstance(getattr(config, "layer_types", None), list):  # the attention of each layer
        config.layer_types = config.layer_types[:layer]
    cut = type(model)(config)
    missing, _ = cut.load_state_dict(model.state_dict(), strict=False)
    if missing:
        raise ValueError(f"{missing[0]} has no weights")
    if getattr(cut, "pooler", None) is not None:
        cut.pooler = None
    return cut.eval()


def _gives_layer(cut: Any, model: Any, layer: int) -> bool:
    """Return whether a cut model returns the hidden states of a layer of the whole one."""
    import torch

    ids, mask = (torch.from_numpy(array) for array in trial_batch(model))
    inputs = {"input_ids": ids, "attention_mask": mask.long()}
    with torch.inference_mode():
        expected = model(**inputs, output_hidden_states=True).hidden_states[layer][mask]
        found = cut(**inputs).last_hidden_state[mask]
    return bool((found - expected).abs().max() <= TOLERANCE["float32"] * expected.abs().max())


def transformer_module(checkpoint: Checkpoint, model: Any, max_length: int) -> Any:
    """Return the Transformer module of a model, with the checkpoint's tokenizer cut to `max_length` word pieces."""
    from sentence_transformers.sentence_transformer.modules import Transformer

    tokenizer = load_tokenizer(checkpoint)
    tokenizer.model_max_length = max_length
    tokenizer.init_kwargs["model_max_length"] = max_length
    tokenizer.init_kwargs.pop("name_or_path", None)
    tokenizer.name_or_path = checkpoint.label
    if checkpoint.lower_case is not None:  # the class sets the casing again when the tokenizer is read
        tokenizer.init_kwargs |= {"do_lower_case": checkpoint.lower_case, "strip_accents": None}
    with TemporaryDirectory(prefix="export-") as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        local = {"local_files_only": True}
        module = Transformer(folder, model_kwargs=dict(local), processor_kwargs=dict(local), config_kwargs=dict(local))
    module.model = model  # the module's own has a random pooler where `model` has none
    module.model.config._name_or_path = checkpoint.label
    module.processor.name_or_path = checkpoint.label
    return module
