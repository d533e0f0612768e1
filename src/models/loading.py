"""Load a checkpoint's model with transformers, and refuse weights that do not fit it exactly."""

from __future__ import annotations

import warnings
from typing import Any

from src.errors import UserError, flatten
from src.models.checkpoint import Checkpoint
from src.models.restricted_folder import restricted_folder, stored_shapes
from src.models.tokenizer import explain_load_error
from src.models.weight_names import check_duplicates, find_prefix_mismatch, unused_reason, unused_weights
from src.models.weights import Shapes, model_size_limited


def load_model(
    checkpoint: Checkpoint, dtype: str = "float32", attention: str | None = None
) -> tuple[Any, dict[str, Any]]:
    """Load the frozen model in eval mode.

    Parameters
    ----------
    dtype : str
        Of the weights: `runtime.dtype`, where mixed and tf32 stand for float32.
    attention : str or None
        Implementation of attention; None: the library's default for the model.

    Returns
    -------
    model : transformers.PreTrainedModel
    info : dict
        transformers' report, whose ``missing_keys`` hold at most the pooler's weights.

    Raises
    ------
    UserError
        The checkpoint cannot be loaded, lacks weights other than the pooler's, has weights that the
        encoder does not use, or is no encoder of text.
    """
    parameters = None if checkpoint.original is None else checkpoint.original.parameters()
    stored = _all_shapes(checkpoint) if parameters is None else {}
    try:
        model, info = _from_pretrained(checkpoint, parameters, stored, dtype, attention)
    except UserError:
        raise
    except Exception as error:  # safetensors, json and torch raise their own classes
        raise _load_error(checkpoint, error, attention) from error
    _check_weights(checkpoint, model, info, stored)
    sizes = [getattr(model.config, name, None) for name in ("hidden_size", "num_hidden_layers")]
    if not all(isinstance(size, int) for size in sizes) or getattr(model.config, "is_encoder_decoder", False):
        raise UserError(
            f"'{checkpoint.label}' ({model.config.model_type}) is no encoder of text that can be pooled. "
            "Choose a BERT-like model."
        )
    model.config.return_dict = True  # with False, forward would return a bare tuple
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.eval(), info


def _from_pretrained(
    checkpoint: Checkpoint, parameters: dict[str, Any] | None, stored: Shapes, dtype: str, attention: str | None
) -> Any:
    """Return model and loading report, from `parameters` or from the checkpoint's files."""
    import torch
    from transformers import AutoModel, BertConfig, BertModel
    from transformers.utils import logging as library_logging

    library_logging.set_verbosity_error()
    library_logging.disable_progress_bar()
    arguments: dict[str, Any] = {"output_loading_info": True, "dtype": getattr(torch, dtype, torch.float32)}
    if attention is not None:
        arguments["attn_implementation"] = attention
    shapes = stored if parameters is None else {name: tuple(value.shape) for name, value in parameters.items()}
    with warnings.catch_warnings(), model_size_limited(shapes, checkpoint.label):
        warnings.simplefilter("ignore")
        if parameters is not None:
            config = BertConfig(**{key: value for key, value in checkpoint.config.items() if key != "model_type"})
            return BertModel.from_pretrained(None, config=config, state_dict=parameters, **arguments)
        return AutoModel.from_pretrained(
            restricted_folder(checkpoint),
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            **arguments,
        )


def _load_error(checkpoint: Checkpoint, error: Exception, attention: str | None) -> UserError:
    reason, hint = explain_load_error(error) or (
        f"{flatten(error, 160)}.",
        "The files may be damaged or cut short: get them again.",
    )
    if attention is not None:
        hint = f"Leave runtime.attention={attention} out, or get the files again if they are damaged."
    return UserError(f"'{checkpoint.label}' cannot be loaded: {reason}\n{hint}")


def _check_weights(checkpoint: Checkpoint, model: Any, info: dict[str, Any], stored: Shapes) -> None:
    """Refuse weights that are missing, stored twice or unused; the pooler's may be missing."""
    missing = sorted(set(map(str, info["missing_keys"])) | {str(key) for key in info["mismatched_keys"]})
    missing = [key for key in missing if not key.startswith("pooler.")]
    prefix = f"{model.base_model_prefix}." if model.base_model_prefix else ""
    if missing:
        mismatch = find_prefix_mismatch(stored, missing, prefix)
        if mismatch:
            raise _prefix_error(checkpoint, *mismatch)
        raise UserError(
            f"'{checkpoint.label}' lacks {len(missing)} of its weights ({_first(missing)}): random ones would take "
            "their place. "
            "Get the checkpoint again."
        )
    check_duplicates(stored, prefix, checkpoint.label)
    if extra := unused_weights(stored, list(map(str, info["unexpected_keys"])), model):
        layers = int(getattr(model.config, "num_hidden_layers", 0))
        raise UserError(
            f"'{checkpoint.label}' has {len(extra)} weights that {type(model).__name__} does not use "
            f"({_first(extra)}):\n"
            f"{unused_reason(extra, layers)}."
        )
    if info["error_msgs"]:
        raise UserError(
            f"'{checkpoint.label}' cannot be loaded: {flatten(Exception('; '.join(info['error_msgs'])), 200)}"
        )


def _all_shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights of all files; UserError if two files hold the same weight."""
    found: dict[str, tuple[int, ...]] = {}
    for file, shapes in stored_shapes(checkpoint).items():
        if twice := found.keys() & shapes.keys():
            raise UserError(
                f"'{checkpoint.label}' cannot be loaded: {file} holds {min(twice)} a second time. Get the checkpoint "
                "again."
            )
        found |= shapes
    return found


def _prefix_error(checkpoint: Checkpoint, way: str, prefix: str) -> UserError:
    """Return the error for names that differ from the model's by a prefix, with the code to rename."""
    from transformers import CONFIG_MAPPING

    family = prefix.rstrip(".").replace("_", "-")
    if way == "remove" and family in CONFIG_MAPPING and family != checkpoint.config.get("model_type"):
        return UserError(
            f"'{checkpoint.label}' cannot be loaded: config.json says "
            f"model_type={checkpoint.config.get('model_type')}, and its weights "
            f"are named as those of {family}. One of the two is wrong: get config.json and the weights of one "
            "checkpoint."
        )
    file = next(iter(checkpoint.weights))
    where = f"have '{prefix}' before their names" if way == "remove" else f"lack '{prefix}' before their names"
    name = f"name.removeprefix('{prefix}')" if way == "remove" else f"'{prefix}' + name"
    return UserError(
        f"'{checkpoint.label}' cannot be loaded: its weights {where}. Rename them, and save again:\n"
        "from safetensors.torch import load_file, save_file\n"
        f"save_file({{{name}: value for name, value in load_file('{file}').items()}}, '{file}', {{'format': 'pt'}})"
    )


def _first(names: list[str], most: int = 3) -> str:
    """Return the first names of a list as text."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
