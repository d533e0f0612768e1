"""Map a checkpoint's variables to BERT's parameters, by transformers' names.

Three ways to name a variable are known:

- google-research/bert: `bert/encoder/layer_0/attention/self/query/kernel`;
- tensorflow/models of 2019: `bert_model/encoder/layer_0/self_attention/query/kernel`;
- tensorflow/models since then: `transformer/layer_0/self_attention/query/kernel`.

The last two keep the attention heads as a dimension of their kernels.

References
----------
google-research/bert, modeling.py and run_pretraining.py; tensorflow/models,
official/nlp/bert/tf1_checkpoint_converter_lib.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from src.errors import UserError

# Part of a name in google-research/bert: the same part in TensorFlow 2's models.
SYNONYMS = {
    "embeddings/word_embeddings": ["word_embeddings/embeddings"],
    "embeddings/position_embeddings": ["position_embedding/embeddings", "embedding_postprocessor/position_embeddings"],
    "embeddings/token_type_embeddings": ["type_embeddings/embeddings", "embedding_postprocessor/type_embeddings"],
    "embeddings/LayerNorm": ["embeddings/layer_norm", "embedding_postprocessor/layer_norm"],
    "attention/self/": ["self_attention/"],
    "attention/output/dense": ["self_attention/attention_output", "self_attention_output"],
    "attention/output/LayerNorm": ["self_attention_layer_norm"],
    "intermediate/dense": ["intermediate"],
    "output/dense": ["output"],
    "output/LayerNorm": ["output_layer_norm"],
    "pooler/dense": ["pooler_transform"],
}  # fmt: skip
WORDS = "embeddings.word_embeddings.weight"
POOLER = "pooler."
# Names of variables that belong to the encoder if there is no common scope.
ENCODER_NAMES = re.compile(r"(embeddings|transformer|pooler\w*|word_embeddings|position_embedding|type_embeddings)/")

HEADS = {
    "cls.seq_relationship.weight": "cls/seq_relationship/output_weights",
    "cls.seq_relationship.bias": "cls/seq_relationship/output_bias",
    "cls.predictions.bias": "cls/predictions/output_bias",
    "cls.predictions.transform.dense.weight": "cls/predictions/transform/dense/kernel",
    "cls.predictions.transform.dense.bias": "cls/predictions/transform/dense/bias",
    "cls.predictions.transform.LayerNorm.weight": "cls/predictions/transform/LayerNorm/gamma",
    "cls.predictions.transform.LayerNorm.bias": "cls/predictions/transform/LayerNorm/beta",
}


@dataclass(frozen=True)
class ParameterSource:
    """The variable that holds a parameter, the parameter's shape, and whether to transpose."""

    variable: str
    shape: tuple[int, ...]
    transposed: bool

    def convert(self, values: np.ndarray) -> np.ndarray:
        """Return the parameter; TensorFlow's kernels (in, out) are transposed and their heads joined."""
        if self.transposed:
            return np.ascontiguousarray(values.reshape(self.shape[::-1]).T)
        return values.reshape(self.shape)


def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter of transformers' BertModel, by its name."""
    width, inner = config["hidden_size"], config["intermediate_size"]

    def dense(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}

    def norm(name: str) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (width,), f"{name}.bias": (width,)}

    found: dict[str, tuple[int, ...]] = {
        WORDS: (config["vocab_size"], width),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], width),
        **norm("embeddings.LayerNorm"),
    }
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            found |= dense(f"{layer}.attention.self.{part}", width, width)
        found |= dense(f"{layer}.attention.output.dense", width, width) | norm(f"{layer}.attention.output.LayerNorm")
        found |= dense(f"{layer}.intermediate.dense", width, inner)
        found |= dense(f"{layer}.output.dense", inner, width) | norm(f"{layer}.output.LayerNorm")
    return found | dense("pooler.dense", width, width)


def variable_names(parameter: str) -> list[str]:
    """Return the names that the variable of a parameter may have, without its scope.

    >>> variable_names("encoder.layer.0.attention.self.query.weight")[-1]
    'transformer/layer_0/self_attention/query/kernel'
    """
    path, leaf = parameter.replace(".layer.", ".layer_").replace(".", "/").rsplit("/", 1)
    if path.endswith("_embeddings"):
        name = path
    elif path.endswith("LayerNorm"):
        name = f"{path}/{'gamma' if leaf == 'weight' else 'beta'}"
    else:
        name = f"{path}/{'kernel' if leaf == 'weight' else 'bias'}"
    part = max((part for part in SYNONYMS if part in name), key=len)
    other = [name.replace(part, synonym) for synonym in SYNONYMS[part]]
    return [name, *other, *(each.replace("encoder/", "transformer/") for each in other if "encoder/" in each)]


def locate_parameters(known: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> dict[str, ParameterSource]:
    """Find the variable of each of BERT's parameters; the pooler and the heads may be missing.

    Parameters
    ----------
    known : mapping of str to shape
        The checkpoint's variables.
    config : mapping
        BERT's configuration, from `read_bert_config`.

    Raises
    ------
    UserError
        There is no BERT, or a variable is missing, has another shape than the configuration states,
        or does not belong to BERT.
    """
    scope = _scope(known)
    found: dict[str, ParameterSource] = {}
    missing = []
    for parameter, shape in parameter_shapes(config).items():
        variable = next((scope + name for name in variable_names(parameter) if scope + name in known), None)
        if variable is not None:
            found[parameter] = _source(
                variable, known[variable], shape, transposed=variable.endswith("/kernel"), config=config
            )
        elif not parameter.startswith(POOLER):
            missing.append(scope + variable_names(parameter)[0])
    if missing:
        raise UserError(
            f"the checkpoint lacks {_list(missing)}, which bert_config.json asks for. Get both of one model."
        )
    if POOLER + "dense.weight" not in found or POOLER + "dense.bias" not in found:
        found = {name: source for name, source in found.items() if not name.startswith(POOLER)}
    used = {source.variable for source in found.values()}
    unknown = [
        name
        for name in known
        if name.startswith(scope)
        and (scope or ENCODER_NAMES.match(name))
        and name not in used
        and not _is_optimizer_slot(name, used)
    ]
    if unknown:
        raise UserError(
            f"the checkpoint holds {_list(unknown)}, which a BERT of {config['num_hidden_layers']} layers does not "
            "have. "
            "Get the bert_config.json that belongs to it; other architectures are not read."
        )
    return found | _heads(known, config)


def _heads(known: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> dict[str, ParameterSource]:
    """Find the parameters of the heads for masked words and next sentences.

    A head that lacks a parameter is left out.
    """
    width = config["hidden_size"]
    wanted = dict.fromkeys(HEADS, (width,)) | {
        "cls.seq_relationship.weight": (2, width),  # not transposed in google-research's code
        "cls.seq_relationship.bias": (2,),
        "cls.predictions.bias": (config["vocab_size"],),
        "cls.predictions.transform.dense.weight": (width, width),
    }
    found = {
        name: _source(HEADS[name], known[HEADS[name]], shape, transposed=HEADS[name].endswith("/kernel"), config=config)
        for name, shape in wanted.items()
        if HEADS[name] in known
    }
    whole = [
        head
        for head in ("cls.seq_relationship.", "cls.predictions.")
        if all(n in found for n in wanted if n.startswith(head))
    ]
    return {name: source for name, source in found.items() if name.startswith(tuple(whole))}


def _source(
    variable: str, stored: tuple[int, ...], shape: tuple[int, ...], *, transposed: bool, config: Mapping[str, Any]
) -> ParameterSource:
    """Return the source of a parameter; UserError for a variable of another shape."""
    expected = shape[::-1] if transposed else shape
    if stored != expected and stored not in _with_heads(expected, config):
        raise UserError(
            f"variable {variable} is {_shape(stored)}, and bert_config.json says {_shape(expected)}. Get both of one "
            "model."
        )
    return ParameterSource(variable, shape, transposed)


def _with_heads(shape: tuple[int, ...], config: Mapping[str, Any]) -> list[tuple[int, ...]]:
    """Return a shape with its last and its first dimension split into heads.

    Empty if a dimension is not the hidden size.
    """
    width, heads = config["hidden_size"], config["num_attention_heads"]
    split = (heads, width // heads)
    return [(*shape[:-1], *split), (*split, *shape[1:])] if set(shape) == {width} else []


def _scope(known: Iterable[str]) -> str:
    """Return the common start of the encoder's variables; UserError unless there is one BERT."""
    names = sorted(known)
    scopes = sorted(
        {
            name.removesuffix(ending)
            for ending in variable_names(WORDS)
            for name in names
            if f"/{name}".endswith(f"/{ending}")
        }
    )
    if len(scopes) == 1:
        return scopes[0]
    if scopes:
        raise UserError(
            f"the checkpoint holds more than one encoder, under {_list(scopes)}. Only checkpoints of one encoder can "
            "be read."
        )
    raise UserError(
        f"the checkpoint holds no BERT: there is no {variable_names(WORDS)[0]} among "
        f"{_list(names) or 'its variables: it has none'}."
    )


def _is_optimizer_slot(name: str, used: set[str]) -> bool:
    """Return whether a variable is an optimiser's state, such as `.../kernel/adam_m`."""
    parts = name.split("/")
    return any("/".join(parts[:end]) in used for end in range(1, len(parts)))


def _list(names: list[str], most: int = 3) -> str:
    """Return the first names as text, with the number of the others."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
