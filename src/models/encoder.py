"""A frozen encoder: tokenisation, and one forward pass that gives every layer, the mask and the pooler's output."""

from __future__ import annotations

import gc
import itertools
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from src.config.schema import ModelConfig, RuntimeConfig
from src.errors import UserError, flatten
from src.models.checkpoint import Checkpoint
from src.models.kernels import pack, shorten
from src.models.pooler import Pooler, diagnose, sentence_pairs
from src.models.weights import bounded, check_single, misnamed, reason_unused, unused
from src.models.wordpieces import blocks, cut, set_lower_case, traits, unusable
from src.runtime.devices import resolve_device

TYPE_CHECKING = False
if TYPE_CHECKING:
    from torch import Tensor

INITIALIZER_RANGE = 0.02  # BERT's, for a checkpoint that does not say
RANDOM_POOLER_SEED = 0
PACKED_ROWS = 512  # rows of a batch's matrices on a CPU
LEAST_LENGTH = 4  # word pieces: two texts beside [CLS] and [SEP]
TRIAL_TOKENS, TRIAL_REAL = 4, 2  # of each row of a trial, and those of its first and last row that are real
TRIAL_SLACK = {
    "float32": 1e-3,
    "float16": 3e-2,
    "bfloat16": 1e-1,
}  # of the largest value of a row; rounding moves it far less
TOKENISE_ROWS = 8192  # rows handed to the tokenizer at once: bounds the memory of its Python objects


@dataclass
class EncoderOutput:
    """What one forward pass gives, for a batch of rows.

    Attributes
    ----------
    hidden : tuple of L+1 tensors (batch, tokens, width)
        0 is the embeddings, L the last layer.
    mask, content : bool tensors (batch, tokens)
        True where a token is real; where it is real and not a special one.
    pooled : tensor (batch, width) or None
        The model's own pooler output.
    pooler_weight, pooler_bias : tensors (width, width), (width,) or None
        W and b of ``tanh(W h + b)``.
    random_weight : float32 tensor (width, width)
    """

    hidden: tuple[Tensor, ...]
    mask: Tensor
    content: Tensor
    pooled: Tensor | None
    pooler_weight: Tensor | None
    pooler_bias: Tensor | None
    random_weight: Tensor


@dataclass(frozen=True)
class Tokens:
    """The word pieces of a split, flat: row i is ``ids[offsets[i]:offsets[i + 1]]``.

    ``segments`` are token type ids, ``special`` is True at the tokens that the tokenizer added; ``truncated`` counts rows that were cut.
    """

    ids: np.ndarray
    segments: np.ndarray
    special: np.ndarray
    offsets: np.ndarray
    truncated: int

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)


@dataclass(frozen=True)
class EncoderInfo:
    """What is known of a checkpoint once it has been loaded: kept in the store, so that a later hit needs no torch.

    ``layers`` is L, ``width`` the hidden size, ``max_length`` in word pieces, ``attention`` and ``kernel``
    (of the linear layers) the implementations in use. ``positions`` is the longest ``max_length`` that the model allows.
    ``first_token`` says why the first token does not stand for a row, and is None where it does. ``unknown_token`` is the piece for what
    the vocabulary lacks; ``lowers_capitals`` says that the tokenizer lower-cases although its vocabulary has capitals.
    """

    layers: int
    width: int
    max_length: int
    attention: str
    kernel: str
    pooler: dict[str, Any]
    positions: int
    first_token: str | None
    unknown_token: int | None
    lowers_capitals: bool

    @property
    def has_pooler(self) -> bool:
        return self.pooler["status"] in ("trained", "untrained")


@contextmanager
def uncollected() -> Iterator[None]:
    """Hold the garbage collector off lists made by the hundred thousand, none of them garbage: walking them is a third of tokenising."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Tokenizer:
    """A checkpoint's tokenizer with truncation and padding of our own: what its files fix of either is overridden."""

    def __init__(self, checkpoint: Checkpoint, max_length: int) -> None:
        self.max_length = max_length
        self._label = checkpoint.label
        self._tokenizer = load_tokenizer(checkpoint)

    @uncollected()
    def __call__(self, text: Any, text_pair: Any | None) -> Tokens:
        """Tokenise a split.

        Parameters
        ----------
        text, text_pair : arrow arrays of strings of shape (rows,)
            A pair becomes ``[CLS] A [SEP] B [SEP]``, the longer side cut first.
        """
        chunks = []
        truncated = 0
        for start, size in blocks(text, text_pair, TOKENISE_ROWS):
            sides = [side.slice(start, size) for side in (text, text_pair) if side is not None]
            first, second = self._cut(*sides), None if text_pair is None else self._cut(*reversed(sides))
            rows = self._encode(first, second, truncation=True)
            lengths = np.fromiter((len(ids) for ids in rows["input_ids"]), np.int64, len(first))
            full = np.flatnonzero(lengths == self.max_length)
            if len(full):
                again = self._encode(
                    [first[i] for i in full], None if second is None else [second[i] for i in full], truncation=False
                )
                truncated += sum(len(ids) > self.max_length for ids in again["input_ids"])
            chunks.append(
                (
                    _flat(rows["input_ids"], np.int32),
                    _flat(rows.get("token_type_ids"), np.int8),
                    _flat(rows["special_tokens_mask"], np.bool_),
                    lengths,
                )
            )
        ids, segments, special, lengths = (np.concatenate(column) for column in zip(*chunks, strict=True))
        if not len(segments):
            segments = np.zeros(len(ids), np.int8)
        return Tokens(ids, segments, special, np.concatenate([[0], np.cumsum(lengths)]), truncated)

    def _cut(self, text: Any, beside: Any | None = None) -> list[str]:
        return cut(self._tokenizer, text, self.max_length, beside)

    def _encode(self, text: list[str], text_pair: list[str] | None, *, truncation: bool) -> Any:
        try:
            return self._tokenizer(
                text,
                text_pair,
                truncation="longest_first" if truncation else False,
                max_length=self.max_length if truncation else None,
                padding=False,
                return_special_tokens_mask=True,
                return_attention_mask=False,
                verbose=False,
            )
        except Exception as error:  # the library raises whatever its models raise
            raise unusable(self._label, error) from error


def _flat(rows: Sequence[Sequence[int]] | None, dtype: Any) -> np.ndarray:
    if rows is None:
        return np.zeros(0, dtype)
    return np.fromiter(itertools.chain.from_iterable(rows), dtype, sum(map(len, rows)))


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """The checkpoint's fast tokenizer, with what its file fixes of truncation and padding taken off."""
    from transformers import AutoTokenizer

    try:
        if checkpoint.original is not None:
            tokenizer = checkpoint.original.tokenizer()
        else:
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.view(), trust_remote_code=False, local_files_only=True)
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is not None:
            backend.no_padding()
            backend.no_truncation()
        if checkpoint.lower_case is not None:
            set_lower_case(tokenizer, checkpoint.lower_case, checkpoint.label)
        return tokenizer
    except UserError:
        raise
    except Exception as error:  # the library raises whatever its parsers raise
        reason, hint = _explain(error) or (
            flatten(error, 160),
            "A model folder needs its tokenizer files beside the weights.",
        )
        raise UserError(f"the tokenizer of '{checkpoint.label}' cannot be loaded: {reason} {hint}") from error


class Encoder:
    """A frozen Hugging Face encoder in eval mode; ``warm`` once a batch has gone through it."""

    def __init__(self, checkpoint: Checkpoint, model: ModelConfig, runtime: RuntimeConfig) -> None:
        import torch

        self.warm = False
        self.checkpoint = checkpoint
        self.device = resolve_device(runtime.device)
        self.model, info = load_model(checkpoint, runtime.dtype, runtime.attention)
        self.model.to(self.device)
        config = self.model.config
        width = int(config.hidden_size)
        self.layers = int(config.num_hidden_layers)
        self.pooler = _find_pooler(self.model, info["missing_keys"])
        self.uses_segments = getattr(config, "type_vocab_size", 0) > 1 and config.model_type != "distilbert"
        scale = getattr(config, "initializer_range", INITIALIZER_RANGE)
        random = np.random.default_rng(RANDOM_POOLER_SEED).standard_normal((width, width), dtype=np.float32) * scale
        self.random_weight = torch.from_numpy(random.astype(np.float32)).to(self.device)
        self._try(width, runtime.dtype)
        kernel = "plain"
        if self.device == "cpu" and runtime.dtype == "float32":
            kernel = pack(self.model, runtime.token_budget or PACKED_ROWS)
            if runtime.attention is None:
                shorten(self.model)
        attention = str(config._attn_implementation)
        tokenizer = load_tokenizer(checkpoint)
        positions = self._positions()
        max_length = self._max_length(model, positions, tokenizer.model_max_length)
        known = traits(tokenizer, checkpoint.label)
        self.facts = EncoderInfo(
            self.layers, width, max_length, attention, kernel, {}, positions,
            self._first_token(known.first), known.unknown, known.lowers_capitals and checkpoint.lower_case is None,
        )  # fmt: skip
        pooler = diagnose(self.pooler, self._next_sentence())
        if checkpoint.original is not None:
            pooler["evidence"] |= checkpoint.original.evidence(str(config.hidden_act))
        self.facts = replace(self.facts, pooler=pooler)

    def _positions(self) -> int:
        """Word pieces that the model has positions for."""
        config = self.model.config
        stated_positions = getattr(config, "max_position_embeddings", None)
        table = int(10**6 if stated_positions in (None, 0, -1) else stated_positions)  # -1, as XLNet has it: no table
        positions = getattr(getattr(self.model, "embeddings", None), "position_embeddings", None)
        padding = getattr(positions, "padding_idx", None)
        if padding is not None:  # RoBERTa numbers positions from padding_idx + 1
            table -= padding + 1
        return table

    def _first_token(self, special: int | None) -> str | None:
        """Why the first token does not stand for the row; None where it is a special one and a change of the last token moves it."""
        if special is None:
            return "its tokenizer puts no special token before a text, so that the first token is a piece of the text like any other"
        table = int(self.model.get_input_embeddings().num_embeddings)
        ids = np.array([[special, 1 % table, 2 % table], [special, 1 % table, 3 % table]])
        first = self.forward(ids, np.zeros_like(ids), np.zeros_like(ids, dtype=bool)).hidden[-1][:, 0].float()
        self.warm = False  # a few tokens warm nothing up
        if bool((first[0] == first[1]).all()):
            return (
                "its attention looks to the left alone, so that the state of the first token holds nothing of the text"
            )
        return None

    def _max_length(self, model: ModelConfig, table: int, stated: Any) -> int:
        """The smaller of the position table and the tokenizer's limit, or what `model.max_length` asks within the table."""
        if model.max_length is not None:
            if model.max_length > table:
                raise UserError(
                    f"model.max_length={model.max_length}: '{self.checkpoint.label}' has positions for {table} word "
                    f"pieces. Use model.max_length={table} or less."
                )
            return model.max_length
        if not isinstance(stated, int | float) or not min(table, stated) >= LEAST_LENGTH:
            raise UserError(
                f"'{self.checkpoint.label}' has model_max_length={stated} in its tokenizer_config.json and positions for {table} word "
                f"pieces: {LEAST_LENGTH} or more of both are needed. Set model.max_length."
            )
        return int(min(table, stated))

    def check(self, ids: np.ndarray) -> None:
        """Refuse word pieces that the model has no embedding for: the tokenizer is another model's."""
        table = int(self.model.get_input_embeddings().num_embeddings)
        if len(ids) and ids.max() >= table:
            raise UserError(
                f"the tokenizer of '{self.checkpoint.label}' gives word piece {ids.max()}, and its weights embed {table} of them (0 to "
                f"{table - 1}). Get tokenizer and weights of one checkpoint."
            )

    def synchronise(self) -> None:
        """Wait until the device has done what it was given, so that a clock read afterwards tells the truth."""
        import torch

        if self.device == "cuda":
            torch.cuda.synchronize()
        elif self.device == "mps":
            torch.mps.synchronize()

    def forward(
        self, ids: np.ndarray, segments: np.ndarray, special: np.ndarray, lengths: np.ndarray | None = None
    ) -> EncoderOutput:
        """One forward pass over a batch.

        Parameters
        ----------
        ids, segments, special : arrays of shape (batch, tokens)
        lengths : int array of shape (batch,), optional
            Real tokens of each row; unset: all of them, and no mask is needed.
        """
        import torch

        tokens = torch.from_numpy(ids.astype(np.int64)).to(self.device)
        mask = torch.ones(tokens.shape, dtype=torch.bool, device=self.device)
        if lengths is not None:
            mask = torch.arange(tokens.shape[1], device=self.device) < torch.from_numpy(lengths).to(
                self.device
            ).unsqueeze(1)
        output = self._call(tokens, segments, None if lengths is None else mask)
        self.warm = True
        return EncoderOutput(
            hidden=output.hidden_states,
            mask=mask,
            content=mask & ~torch.from_numpy(special.astype(np.bool_)).to(self.device),
            pooled=output.pooler_output if self.pooler.weight is not None else None,
            pooler_weight=self.pooler.tensor_weight,
            pooler_bias=self.pooler.tensor_bias,
            random_weight=self.random_weight,
        )

    def _call(self, tokens: Tensor, segments: np.ndarray, mask: Tensor | None) -> Any:
        import torch

        inputs: dict[str, Any] = {"input_ids": tokens}
        if mask is not None:
            inputs["attention_mask"] = mask.long()
        if self.uses_segments:
            inputs["token_type_ids"] = torch.from_numpy(segments.astype(np.int64)).to(self.device)
        with torch.inference_mode():
            return self.model(**inputs, output_hidden_states=True)

    def _try(self, width: int, dtype: str) -> None:
        """Encode a few word pieces, and refuse a model whose hidden states are not one vector a word piece for each layer."""
        try:
            reason = self._fault(self._trial(), width, dtype)
        except Exception as error:  # a model may raise anything at inputs that are not its own
            reason = f"its forward pass over word pieces alone fails ({type(error).__name__}: {flatten(error, 120)})"
        if reason:
            raise UserError(
                f"'{self.checkpoint.label}' ({self.model.config.model_type}) cannot be pooled: {reason}.\nChoose a BERT-like model, or get "
                "config.json and the weights of one checkpoint."
            )

    def _trial(self) -> Any:
        """Hidden states of three rows; the first and the last have the same real word pieces, and other ones where padding would stand."""
        import torch

        config = self.model.config
        special = {
            value for key, value in config.to_dict().items() if key.endswith("_token_id") and isinstance(value, int)
        }
        table = int(self.model.get_input_embeddings().num_embeddings)
        plain = [number for number in range(min(table, 64)) if number not in special] or [0]
        ids = np.array([[plain[(7 * row + place) % len(plain)] for place in range(TRIAL_TOKENS)] for row in range(3)])
        ids[2, :TRIAL_REAL] = ids[0, :TRIAL_REAL]
        mask = torch.ones(ids.shape, dtype=torch.bool, device=self.device)
        mask[::2, TRIAL_REAL:] = False
        return self._call(torch.from_numpy(ids).to(self.device), np.zeros_like(ids), mask).hidden_states

    def _fault(self, hidden: Any, width: int, dtype: str) -> str | None:
        """What is wrong with the hidden states of a trial."""
        import torch

        if not isinstance(hidden, tuple | list) or len(hidden) != self.layers + 1:
            found = len(hidden) if isinstance(hidden, tuple | list) else "no"
            return f"it gives {found} hidden states, and {self.layers + 1} are needed: the embeddings and each of {self.layers} layers"
        shape = (3, TRIAL_TOKENS, width)
        for layer, states in enumerate(hidden):
            if tuple(states.shape) != shape:
                return f"its hidden states are of shape {tuple(states.shape)} at layer {layer} for (rows, tokens, width) = {shape}"
            one, other = states[0, :TRIAL_REAL].float(), states[2, :TRIAL_REAL].float()
            if not torch.isfinite(one).all():
                return f"its hidden states are no finite numbers at layer {layer}: its weights may be damaged"
            if not (one - other).abs().max() <= TRIAL_SLACK[dtype] * one.abs().max():
                return f"the hidden states of a row change with other rows or with padding, from layer {layer} on"
        return None

    def _next_sentence(self) -> float | None:
        """Accuracy of the checkpoint's next-sentence head on pairs of our own, half of them consecutive; None without such a head."""
        import torch

        head = _next_sentence_head(self.checkpoint)
        if head is None or self.pooler.weight is None:
            return None
        tokenizer = load_tokenizer(self.checkpoint)
        right = 0
        for first, second, consecutive in sentence_pairs():
            row = tokenizer(
                first, second, return_special_tokens_mask=True, truncation=True, max_length=self.facts.max_length
            )
            ids, special = np.array([row["input_ids"]]), np.array([row["special_tokens_mask"]])
            self.check(ids)
            output = self.forward(ids, np.array([row.get("token_type_ids", [0] * ids.shape[1])]), special)
            assert output.pooled is not None
            logits = output.pooled.float().cpu() @ head[0].T + head[1]
            right += int((torch.argmax(logits).item() == 0) == consecutive)
        return right / len(sentence_pairs())


def load_model(
    checkpoint: Checkpoint, dtype: str = "float32", attention: str | None = None
) -> tuple[Any, dict[str, Any]]:
    """Load the weights, and ask the load which of them the checkpoint lacked; anything but a pooler refuses the model."""
    import torch
    from transformers import AutoModel, BertConfig, BertModel
    from transformers.utils import logging as library

    library.set_verbosity_error()
    library.disable_progress_bar()
    asked: dict[str, Any] = {"output_loading_info": True, "dtype": getattr(torch, dtype)}
    if attention is not None:
        asked["attn_implementation"] = attention
    parameters = None if checkpoint.original is None else checkpoint.original.parameters()
    stored = {} if parameters is not None else _stored(checkpoint)
    shapes = stored if parameters is None else {name: tuple(value.shape) for name, value in parameters.items()}
    try:
        with warnings.catch_warnings(), bounded(shapes, checkpoint.label):
            warnings.simplefilter("ignore")
            if parameters is not None:
                config = BertConfig(**{key: value for key, value in checkpoint.config.items() if key != "model_type"})
                loaded: Any = BertModel.from_pretrained(None, config=config, state_dict=parameters, **asked)
            else:
                loaded = AutoModel.from_pretrained(
                    checkpoint.view(), trust_remote_code=False, use_safetensors=True, local_files_only=True, **asked
                )
        model, info = loaded
    except UserError:
        raise
    except Exception as error:  # safetensors, json and torch raise their own classes
        reason, hint = _explain(error) or (
            f"{flatten(error, 160)}.",
            "The files may be damaged or cut short: get them again.",
        )
        if attention is not None:
            hint = f"Leave runtime.attention={attention} out, or get the files again if they are damaged."
        raise UserError(f"'{checkpoint.label}' cannot be loaded: {reason}\n{hint}") from error
    lost = sorted(set(map(str, info["missing_keys"])) | {str(key) for key in info["mismatched_keys"]})
    lost = [key for key in lost if not key.startswith("pooler.")]
    prefix = f"{model.base_model_prefix}." if model.base_model_prefix else ""
    if lost and (found := misnamed(stored, lost, prefix)):
        raise _rename(checkpoint, *found)
    if lost:
        raise UserError(
            f"'{checkpoint.label}' lacks {len(lost)} of its weights "
            f"({', '.join(lost[:3])}{', ...' if len(lost) > 3 else ''}): random ones would take their place. Get the checkpoint again."
        )
    check_single(stored, prefix, checkpoint.label)
    if extra := unused(stored, list(map(str, info["unexpected_keys"])), model):
        raise UserError(
            f"'{checkpoint.label}' has {len(extra)} weights that {type(model).__name__} does not use "
            f"({', '.join(extra[:3])}{', ...' if len(extra) > 3 else ''}):\n"
            f"{reason_unused(extra, int(getattr(model.config, 'num_hidden_layers', 0)))}."
        )
    if info["error_msgs"]:
        raise UserError(
            f"'{checkpoint.label}' cannot be loaded: {flatten(Exception('; '.join(info['error_msgs'])), 200)}"
        )
    sizes = [getattr(model.config, name, None) for name in ("hidden_size", "num_hidden_layers")]
    if not all(isinstance(size, int) for size in sizes) or getattr(model.config, "is_encoder_decoder", False):
        raise UserError(
            f"'{checkpoint.label}' ({model.config.model_type}) is no encoder of text that this suite knows how to pool. "
            "Choose a BERT-like model."
        )
    model.config.return_dict = True  # one that says false would have forward give a bare tuple
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.eval(), info


def _stored(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """Shapes of a checkpoint's weights over all its files; UserError for a weight that two of them hold."""
    found: dict[str, tuple[int, ...]] = {}
    for file, shapes in checkpoint.shapes().items():
        if twice := found.keys() & shapes.keys():
            raise UserError(
                f"'{checkpoint.label}' cannot be loaded: {file} holds {min(twice)} once more. Get the checkpoint again."
            )
        found |= shapes
    return found


def _rename(checkpoint: Checkpoint, way: str, prefix: str) -> UserError:
    """The error for weights whose names differ from the model's by a prefix, with the lines that rename them."""
    from transformers import CONFIG_MAPPING

    family = prefix.rstrip(".").replace("_", "-")
    if way == "remove" and family in CONFIG_MAPPING and family != checkpoint.config.get("model_type"):
        return UserError(
            f"'{checkpoint.label}' cannot be loaded: config.json says model_type={checkpoint.config.get('model_type')}, and its weights "
            f"are named as those of {family}. One of the two is wrong: get config.json and the weights of one checkpoint."
        )
    file = next(iter(checkpoint.weights))
    where = f"have '{prefix}' before their names" if way == "remove" else f"lack '{prefix}' before their names"
    name = f"name.removeprefix('{prefix}')" if way == "remove" else f"'{prefix}' + name"
    return UserError(
        f"'{checkpoint.label}' cannot be loaded: its weights {where}. Rename them, and save again:\n"
        "from safetensors.torch import load_file, save_file\n"
        f"save_file({{{name}: value for name, value in load_file('{file}').items()}}, '{file}', {{'format': 'pt'}})"
    )


def _explain(error: Exception) -> tuple[str, str] | None:
    """What came and the way out, where the library's own message advises an argument that nobody can give here."""
    if "trust_remote_code" in str(error):
        return (
            "it needs code of its own, and a checkpoint's code is not run.",
            "Choose a model whose architecture transformers itself knows.",
        )
    if "ignore_mismatched_sizes" in str(error):
        return (
            "its weights have other shapes than config.json says.",
            "Get config.json and the weights of one checkpoint.",
        )
    return None


def _find_pooler(model: Any, missing: Sequence[str]) -> Pooler:
    """The W and b of a BERT-like pooler (`pooler.dense`) or ALBERT's (`pooler`, bare); `absent` where the architecture has neither."""
    from torch import nn

    module = getattr(model, "pooler", None)
    dense = getattr(module, "dense", module)
    if not isinstance(dense, nn.Linear) or dense.weight.shape[0] != dense.weight.shape[1]:
        return Pooler(model.config.model_type, None, None, missing=False)
    lost = any(str(key).startswith("pooler.") for key in missing)
    return Pooler(
        model.config.model_type,
        None if lost else dense.weight.detach(),
        None if lost else dense.bias.detach(),
        missing=lost,
    )


def _next_sentence_head(checkpoint: Checkpoint) -> tuple[Tensor, Tensor] | None:
    from safetensors import safe_open

    wanted = ("cls.seq_relationship.weight", "cls.seq_relationship.bias")
    if checkpoint.original is not None:
        heads = checkpoint.original.parameters(heads=True)
        return (heads[wanted[0]], heads[wanted[1]]) if wanted[0] in heads else None
    for name in checkpoint.weights:
        with safe_open(checkpoint.folder / name, framework="pt") as file:
            keys = set(file.keys())
            if keys.issuperset(wanted):
                return file.get_tensor(wanted[0]).float(), file.get_tensor(wanted[1]).float()
    return None


logging.getLogger("transformers").setLevel(logging.ERROR)
