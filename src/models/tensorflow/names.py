"""Which of a checkpoint's variables is which of BERT's parameters, in transformers' names.

The variables are called as google-research/bert calls them (`bert/encoder/layer_0/attention/self/query/kernel`), or as tensorflow/models
called them in its TensorFlow 2 models of 2019 (`bert_model/encoder/layer_0/self_attention/query/kernel`) and has called them since
(`transformer/layer_0/self_attention/query/kernel`), whose attention kernels keep heads as a dimension.

References
----------
google-research/bert, modeling.py and run_pretraining.py; tensorflow/models, official/nlp/bert/tf1_checkpoint_converter_lib.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from src.errors import UserError

# Part of a name in google-research/bert: the same part in TensorFlow 2's models.
RENAMED = {
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
# What belongs to the encoder where it has no scope of its own: such a name which is not known is of an architecture that is not BERT's.
INSIDE = re.compile(r"(embeddings|transformer|pooler\w*|word_embeddings|position_embedding|type_embeddings)/")

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
class Place:
    """Where a parameter is found: its variable, its shape here, and whether it is to be transposed."""

    variable: str
    shape: tuple[int, ...]
    transposed: bool

    def take(self, values: np.ndarray) -> np.ndarray:
        """The parameter: a kernel's heads folded into its two dimensions, which TensorFlow keeps as (in, out)."""
        if self.transposed:
            return np.ascontiguousarray(values.reshape(self.shape[::-1]).T)
        return values.reshape(self.shape)


def shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter of transformers' BertModel, by its name."""
    width, inner = config["hidden_size"], config["intermediate_size"]

    def dense(name: str, given: int, made: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (made, given), f"{name}.bias": (made,)}

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


def spellings(parameter: str) -> list[str]:
    """What the variable of a parameter may be called, without the scope it stands in.

    >>> spellings("encoder.layer.0.attention.self.query.weight")[-1]
    'transformer/layer_0/self_attention/query/kernel'
    """
    path, leaf = parameter.replace(".layer.", ".layer_").replace(".", "/").rsplit("/", 1)
    if path.endswith("_embeddings"):
        name = path
    elif path.endswith("LayerNorm"):
        name = f"{path}/{'gamma' if leaf == 'weight' else 'beta'}"
    else:
        name = f"{path}/{'kernel' if leaf == 'weight' else 'bias'}"
    part = max((part for part in RENAMED if part in name), key=len)
    other = [name.replace(part, there) for there in RENAMED[part]]
    return [name, *other, *(each.replace("encoder/", "transformer/") for each in other if "encoder/" in each)]


def places(known: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> dict[str, Place]:
    """Where each parameter of BERT is found among the variables of a checkpoint; the pooler and the heads may be missing.

    Parameters
    ----------
    known : mapping of str to shape
        The checkpoint's variables.
    config : mapping
        BERT's configuration, checked.

    Raises
    ------
    UserError
        No BERT, a variable that is missing, of another shape than the configuration says, or that BERT does not have.
    """
    scope = _scope(known)
    found: dict[str, Place] = {}
    missing = []
    for parameter, shape in shapes(config).items():
        variable = next((scope + name for name in spellings(parameter) if scope + name in known), None)
        if variable is not None:
            found[parameter] = _place(
                variable, known[variable], shape, transposed=variable.endswith("/kernel"), config=config
            )
        elif not parameter.startswith(POOLER):
            missing.append(scope + spellings(parameter)[0])
    if missing:
        raise UserError(
            f"the checkpoint lacks {_list(missing)}, which bert_config.json asks for. Get both of one model."
        )
    if POOLER + "dense.weight" not in found or POOLER + "dense.bias" not in found:
        found = {name: place for name, place in found.items() if not name.startswith(POOLER)}
    mine = {place.variable for place in found.values()}
    foreign = [
        name
        for name in known
        if name.startswith(scope) and (scope or INSIDE.match(name)) and name not in mine and not _is_slot(name, mine)
    ]
    if foreign:
        raise UserError(
            f"the checkpoint holds {_list(foreign)}, which a BERT of {config['num_hidden_layers']} layers does not have. "
            "Get the bert_config.json that belongs to it; other architectures are not read."
        )
    return found | _heads(known, config)


def _heads(known: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> dict[str, Place]:
    """The parameters of the heads for masked words and the next sentence, each head whole or not at all."""
    width = config["hidden_size"]
    wanted = dict.fromkeys(HEADS, (width,)) | {
        "cls.seq_relationship.weight": (
            2,
            width,
        ),  # multiplied from the right by google-research's code: not transposed
        "cls.seq_relationship.bias": (2,),
        "cls.predictions.bias": (config["vocab_size"],),
        "cls.predictions.transform.dense.weight": (width, width),
    }
    found = {
        name: _place(HEADS[name], known[HEADS[name]], shape, transposed=HEADS[name].endswith("/kernel"), config=config)
        for name, shape in wanted.items()
        if HEADS[name] in known
    }
    whole = [
        head
        for head in ("cls.seq_relationship.", "cls.predictions.")
        if all(n in found for n in wanted if n.startswith(head))
    ]
    return {name: place for name, place in found.items() if name.startswith(tuple(whole))}


def _place(
    variable: str, there: tuple[int, ...], shape: tuple[int, ...], *, transposed: bool, config: Mapping[str, Any]
) -> Place:
    stored = shape[::-1] if transposed else shape
    if there != stored and there not in _with_heads(stored, config):
        raise UserError(
            f"variable {variable} is {_shape(there)}, and bert_config.json says {_shape(stored)}. Get both of one model."
        )
    return Place(variable, shape, transposed)


def _with_heads(stored: tuple[int, ...], config: Mapping[str, Any]) -> list[tuple[int, ...]]:
    """A shape with its first or its last dimension split into heads, where that is the hidden size."""
    width, heads = config["hidden_size"], config["num_attention_heads"]
    split = (heads, width // heads)
    return [(*stored[:-1], *split), (*split, *stored[1:])] if set(stored) == {width} else []


def _scope(known: Iterable[str]) -> str:
    """What every variable of the encoder begins with; UserError where there is no BERT, or more than one."""
    names = sorted(known)
    scopes = sorted(
        {
            name.removesuffix(ending)
            for ending in spellings(WORDS)
            for name in names
            if f"/{name}".endswith(f"/{ending}")
        }
    )
    if len(scopes) == 1:
        return scopes[0]
    if scopes:
        raise UserError(f"the checkpoint holds more than one encoder, under {_list(scopes)}. One alone can be read.")
    raise UserError(
        f"the checkpoint holds no BERT: there is no {spellings(WORDS)[0]} among {_list(names) or 'its variables, for it has none'}."
    )


def _is_slot(name: str, mine: set[str]) -> bool:
    """Whether an optimiser keeps this variable beside one of BERT's, as `.../kernel/adam_m`."""
    parts = name.split("/")
    return any("/".join(parts[:end]) in mine for end in range(1, len(parts)))


def _list(names: list[str], most: int = 3) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
