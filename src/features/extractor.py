"""One split to one matrix: read what the store has; encode once for all that is missing, and pool it every way that is asked."""

from __future__ import annotations

import functools
import json
import logging
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from src.config.schema import Config
from src.data.dataset import Split
from src.errors import UserError
from src.features.batching import layout
from src.features.passes import Pass
from src.models.checkpoint import Checkpoint
from src.models.encoder import Encoder, EncoderInfo, Tokenizer, Tokens
from src.models.kernels import VERSION
from src.models.pooler import refuse
from src.models.wordpieces import with_capitals
from src.pooling import SATURATED, Pooling, poolings
from src.runtime.clock import PHASES, Clock
from src.runtime.devices import device_kind
from src.runtime.provenance import version
from src.storage.arrays import ArrayStore, Value
from src.storage.files import Unreadable, checked, parse_json
from src.storage.keys import content_key
from src.storage.shards import ShardStore

log = logging.getLogger(__name__)

MOST = 1 << 31  # of a whole number that the store gives back: counts of layers, dimensions and tokens are far below
TOKEN_BUDGET = {"cpu": 512, "cuda": 16384, "mps": 4096}
MUCH_TRUNCATED = 0.01  # share of the rows above which it is said
MUCH_UNKNOWN = 0.05  # share of the word pieces
Target = tuple[str, int]  # pooling and layer, 0 to L


@dataclass(frozen=True)
class Text:
    """What is encoded: the texts of a split alone or joined in pairs, with the digest of what they are in row order."""

    text: Any
    text_pair: Any | None
    digest: str
    label: str  # for the progress bar

    def __len__(self) -> int:
        return len(self.text)


@dataclass
class Features:
    """Pooled vectors of a split.

    ``values`` is (rows, width) float32, mapped from the store; ``hit`` says that no row was encoded for it; ``made`` is the
    timing of the pass that made it.
    """

    values: np.ndarray
    hit: bool
    made: dict[str, Any]
    tokens: int
    truncated: int
    unknown: int = 0  # word pieces that stand for what the vocabulary lacks
    empty: int = 0  # rows without a word piece
    lowered: int = 0  # rows whose capitals were lowered although the vocabulary has capitals


@dataclass
class FeatureExtractor:
    """A checkpoint with its store: gives features, and loads the model only when some are missing."""

    checkpoint: Checkpoint
    config: Config
    store: ArrayStore
    clock: Clock
    threads: int
    encoded: int = 0  # rows that were encoded
    warmup: float = 0.0
    _encoder: Encoder | None = None
    _facts: EncoderInfo | None = None
    _tokenizer: Tokenizer | None = None

    @property
    def facts(self) -> EncoderInfo:
        """Layers, width, limits and the pooler's status: from the store, or from the model once it is loaded."""
        if self._facts is None:
            key = self._facts_key()
            value = self.store.get("facts", key, _facts)
            if value is None:
                self._facts = self.encoder.facts
                self.store.put("facts", key, {}, {"facts": json.dumps(asdict(self._facts))})
            else:
                self._facts = _facts(value)
        return self._facts

    @property
    def known(self) -> bool:
        """Whether `facts` can be had without loading the model."""
        return self._facts is not None or self.store.has("facts", self._facts_key())

    def _facts_key(self) -> str:
        asked = {
            "attention": self.config.runtime.attention,
            "max_length": self.config.model.max_length,
            "dtype": self.config.runtime.dtype,
            "device": self.device,
            "kernels": VERSION,
            "fields": sorted(each.name for each in fields(EncoderInfo)),
        }
        loaded = {
            "model": self.checkpoint.identity,
            "tokenizer": self.checkpoint.tokenizer,
            "versions": library_versions(),
        }
        return self.store.key({"kind": "facts", **asked, **loaded})

    @property
    def encoder(self) -> Encoder:
        if self._encoder is None:
            with self.clock.phase("load"):
                self._encoder = load_encoder(self.checkpoint, self.config)
            self.clock.synchronise = self._encoder.synchronise
        return self._encoder

    def layer(self, layer: int) -> int:
        """A `layer=` as 0 to L; UserError where there is none such."""
        layers = self.facts.layers
        if not -layers - 1 <= layer <= layers:
            raise UserError(
                f"layer={layer} is out of range: '{self.checkpoint.label}' has layers 0 (embeddings) to {layers}, or -1 "
                f"(last) to {-layers - 1}."
            )
        return layer % (layers + 1)

    def check(self, name: str, layer: int) -> Target:
        """The target of a pooling and a `layer=`, or a UserError where the checkpoint does not have it."""
        pooling = poolings[name]
        pooling.check_layer(layer)
        resolved = self.layer(layer)
        if pooling.layers == "last" and resolved != self.facts.layers:
            raise pooling.inner_layer(layer)
        for also in self.config.runtime.also_layers:
            self.layer(also)
        if pooling.needs_pooler and not self.facts.has_pooler:
            raise refuse(name, self.checkpoint.label, self.facts.pooler)
        if reason := self._missing(pooling):
            raise UserError(
                f"pooling '{name}' is not to be had of '{self.checkpoint.label}': {reason}. Choose another pooling."
            )
        return name, resolved

    def _missing(self, pooling: Pooling) -> str | None:
        return pooling.missing(layers=self.facts.layers, pooler=self.facts.has_pooler, first=self.facts.first_token)

    def tokens(self, text: Text) -> Tokens:
        """The word pieces of a split, tokenised once and stored."""
        pieces = {**self._tokenisation(), "tokenizer": self.checkpoint.tokenisation}
        key = self.store.key({"kind": "tokens", "text": text.digest, **pieces})
        with self.store.lock(key, f"tokenising {text.label}"):
            value = self.store.get("tokens", key, lambda found: _tokens(found, len(text)))
            if value is None:
                with self.clock.phase("tokenise"):
                    if self._tokenizer is None:
                        self._tokenizer = Tokenizer(self.checkpoint, self.facts.max_length)
                    tokens = self._tokenizer(text.text, text.text_pair)
                if len(none := np.flatnonzero(tokens.lengths == 0)):
                    raise UserError(
                        f"{text.label}: row {none[0] + 1} becomes no token at all ({len(none):,} of {len(text):,} rows do), and the "
                        f"tokenizer of '{self.checkpoint.label}' adds none of its own.\nRemove such rows, or choose another model."
                    )
                with self.clock.phase("store"):
                    self.store.remove_stale([key])
                    arrays = {
                        "ids": tokens.ids,
                        "segments": tokens.segments,
                        "special": tokens.special,
                        "offsets": tokens.offsets,
                    }
                    self.store.put("tokens", key, arrays, {"truncated": tokens.truncated})
                return tokens
        return _tokens(value, len(text))

    def features(self, text: Text, target: Target, also_layers: Sequence[int] = ()) -> Features:
        """The features of a split, encoding it if they are not stored:
        then every pooling that the model supports at the layer is stored with them.
        """
        tokens = self.tokens(text)
        key = self._key(text, target)
        with self.clock.phase("store"):
            value = self._stored(text, key)
        hit = value is not None
        if hit:
            self._tidy(text, self._targets(target, also_layers))
        if value is None:
            with self.store.lock(self._key(text, ("", -1)), f"encoding {text.label}"):
                with self.clock.phase("store"):
                    value = self._stored(text, key)  # another process may have made it while this one waited
                hit = value is not None
                if value is None:
                    value = self._encode(text, tokens, target, also_layers)
        found = Features(value.arrays["values"], hit, value.meta["pass"], int(tokens.offsets[-1]), tokens.truncated)
        return self._counted(found, text, tokens)

    def _counted(self, found: Features, text: Text, tokens: Tokens) -> Features:
        """The features with what tokenising lost of the texts counted, and said where it is much."""
        found.unknown = (
            0 if self.facts.unknown_token is None else int(np.count_nonzero(tokens.ids == self.facts.unknown_token))
        )
        content = np.zeros(len(tokens.special) + 1, np.int64)
        np.cumsum(~tokens.special, out=content[1:])
        found.empty = int(np.count_nonzero(np.diff(content[tokens.offsets]) == 0))
        if self.facts.lowers_capitals:
            found.lowered = (
                with_capitals(text.text)
                if text.text_pair is None
                else max(map(with_capitals, (text.text, text.text_pair)))
            )
        for line in losses(found, text, self.facts, pieces=int(content[-1])):
            warn_once(line)
        return found

    def missing(self, text: Text, target: Target, also_layers: Sequence[int] = ()) -> list[Target]:
        """What a pass for this target would compute and the store does not have."""
        return [
            each for each in self._targets(target, also_layers) if not self.store.has("features", self._key(text, each))
        ]

    def share(self, text: Text, target: Target, also_layers: Sequence[int], shard: int, shards: int) -> int:
        """Encode share `shard` of `shards` of a pass, waiting for nobody; whoever finds that all is encoded puts the features together.

        Returns
        -------
        int
            Shards of the pass that other jobs have still to encode; 0 where the features are stored.
        """
        if not self.missing(text, target, also_layers):
            return 0
        Pass(self, text, self.tokens(text), self._targets(target, also_layers)).share(shard, shards)
        left = self.left(text, target, also_layers)
        if not left and (missing := self.missing(text, target, also_layers)):
            self.features(text, missing[0], [*also_layers, target[1]])
        return left

    def left(self, text: Text, target: Target, also_layers: Sequence[int]) -> int:
        """Shards of a pass that are not encoded yet; 0 where the features are stored. Encodes nothing."""
        if not self.missing(text, target, also_layers):
            return 0
        left = Pass(self, text, self.tokens(text), self._targets(target, also_layers)).left()
        # Asked again: another job may have put the features together meanwhile, and its shards are gone.
        return left if self.missing(text, target, also_layers) else 0

    def _encode(self, text: Text, tokens: Tokens, target: Target, also_layers: Sequence[int]) -> Value:
        targets = self._targets(target, also_layers)
        missing = [each for each in targets if each != target and not self.store.has("features", self._key(text, each))]
        Pass(self, text, tokens, targets).run({each: self._key(text, each) for each in (target, *missing)})
        value = self._stored(text, self._key(text, target))
        if value is None:
            raise UserError(
                f"the features of {text.label} cannot be read back from the store: its disk may be failing. Set "
                "runtime.cache_dir to another."
            )
        return value

    def _stored(self, text: Text, key: str) -> Value | None:
        return self.store.get("features", key, lambda value: _check_features(value, len(text), self.facts.width))

    def _targets(self, target: Target, also_layers: Sequence[int]) -> list[Target]:
        """What a pass for this target computes, stored or not: a pass that was killed while it wrote its values finds its shards again."""
        return self.supported(sorted({target[1], *(self.layer(layer) for layer in also_layers)}))

    def _tidy(self, text: Text, targets: list[Target]) -> None:
        """Remove the shards of a pass that was killed after it had written its last value."""
        parts = self.parts(text, targets)
        if parts.folder.is_dir() and all(self.store.has("features", self._key(text, each)) for each in targets):
            parts.remove()

    def parts(self, text: Text, targets: list[Target]) -> ShardStore:
        """The finished shards of the pass that computes these targets."""
        return self.store.shards(self._key(text, (",".join(f"{name}@{layer}" for name, layer in targets), -1)))

    def supported(self, layers: Sequence[int]) -> list[Target]:
        """Every registered pooling that the model has at the given layers."""

        def fits(pooling: Pooling, layer: int) -> bool:
            where = pooling.layers == "any" or layer == self.facts.layers
            return where and self._missing(pooling) is None

        return [(name, layer) for layer in layers for name, pooling in poolings.items() if fits(pooling, layer)]

    def identity(self) -> dict[str, Any]:
        """What decides the features of given texts, as resolved."""
        return {
            **self._tokenisation(),
            "model": self.checkpoint.identity,
            "dtype": self.config.runtime.dtype,
            "attention": self.facts.attention,
            "kernel": self.facts.kernel,
            "token_budget": self.token_budget,
            "plan": layout(),
        }

    @property
    def device(self) -> str:
        """cpu, cuda or mps, as resolved; known also where the features were stored and no model is loaded."""
        return device_kind(self.config.runtime.device)

    @property
    def gpu(self) -> str | None:
        """Name of the accelerator."""
        if self.device != "cuda":
            return None
        import torch

        return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else None

    def _tokenisation(self) -> dict[str, Any]:
        return {"tokenizer": self.checkpoint.tokenizer, "max_length": self.facts.max_length}

    @property
    def token_budget(self) -> int:
        """Tokens a batch: what was asked, or what suits the device."""
        if self.config.runtime.token_budget is not None:
            return self.config.runtime.token_budget
        return TOKEN_BUDGET[self.device]

    def _key(self, text: Text, target: Target) -> str:
        pooling, layer = target
        made = {"pooling": pooling, "code": poolings[pooling].code if pooling in poolings else None, "layer": layer}
        return self.store.key({"kind": "features", "text": text.digest, **made, **self.identity()})


def _facts(value: Value) -> EncoderInfo:
    """Stored facts; one of `src.storage.files.DAMAGE` where a field is missing, unknown, of another type or out of its range."""

    def types_of(hint: Any) -> Any:
        origin = typing.get_origin(hint)
        return typing.get_args(hint) if origin is types.UnionType else origin or hint

    kinds = {name: types_of(hint) for name, hint in typing.get_type_hints(EncoderInfo).items()}
    found = checked(parse_json(value.meta["facts"]), kinds)
    if wrong := [name for name, item in found.items() if type(item) is int and not 0 <= item < MOST]:
        raise Unreadable(f"'{wrong[0]}' is out of its range")
    checked(found["pooler"], {"status": str})
    return EncoderInfo(**found)


def _tokens(value: Value, rows: int) -> Tokens:
    """Stored word pieces of so many rows; one of `src.storage.files.DAMAGE` where they are none."""
    tokens = Tokens(**value.arrays, truncated=checked(value.meta, {"truncated": int})["truncated"])
    flat = [tokens.ids, tokens.segments, tokens.special]
    if tokens.offsets.shape != (rows + 1,) or any(array.shape != (int(tokens.offsets[-1]),) for array in flat):
        raise Unreadable(f"its arrays are not those of {rows} rows")
    return tokens


def _check_features(value: Value, rows: int, width: int) -> None:
    """Raise one of `src.storage.files.DAMAGE` where stored features are not (rows, width) float32 with the timing of their pass."""
    values = value.arrays["values"]
    if values.shape != (rows, width) or values.dtype != np.float32:
        raise Unreadable(f"values are {values.shape} {values.dtype}, not {(rows, width)} float32")
    timing = checked(value.meta, {"pass": dict})["pass"]
    checked(timing, {"shards_resumed": int}, dict.fromkeys(PHASES, float))


def losses(found: Features, text: Text, facts: EncoderInfo, *, pieces: int) -> Iterator[str]:
    """What tokenising lost of a split's texts, a line for each kind that is not rare."""
    rows = len(text)
    if found.truncated > MUCH_TRUNCATED * rows:
        raised = f"model.max_length raises the limit, up to {facts.positions}"
        more = raised if facts.positions > facts.max_length else "the model reads no more"
        yield (
            f"{text.label}: {found.truncated:,} of {rows:,} rows ({found.truncated / rows:.1%}) are longer than {facts.max_length} word "
            f"pieces and were cut: {more}."
        )
    if pieces and found.unknown > MUCH_UNKNOWN * pieces:
        yield (
            f"{text.label}: {found.unknown:,} of {pieces:,} word pieces ({found.unknown / pieces:.0%}) are unknown to the vocabulary: its "
            "language or casing may be another one than the texts'. Choose another model, or set model.do_lower_case."
        )
    if found.lowered:
        yield (
            f"{text.label}: the tokenizer lower-cases, and the vocabulary has capitals: {found.lowered:,} of {rows:,} rows lost some. "
            "model.do_lower_case=false keeps them; model.do_lower_case=true says that they are meant to go."
        )
    if found.empty:
        yield f"{text.label}: {found.empty:,} of {rows:,} rows hold no word piece; their features are those of the special tokens alone."


@functools.cache
def warn_once(line: str) -> None:
    """Log a warning, once a process: the jobs of a sweep read the same texts."""
    log.warning(line)


_loaded: dict[str, Encoder] = {}


def load_encoder(checkpoint: Checkpoint, config: Config) -> Encoder:
    """The checkpoint's encoder; the last one loaded is kept, so that a sweep over datasets loads it once."""
    key = content_key(
        {
            "model": checkpoint.identity,
            "tokenizer": checkpoint.tokenizer,
            "max_length": config.model.max_length,
            "runtime": [
                config.runtime.device,
                config.runtime.dtype,
                config.runtime.attention,
                config.runtime.token_budget,
            ],
        }
    )
    if key not in _loaded:
        _loaded.clear()
        log.info("loading %s", checkpoint.label)
        _loaded[key] = Encoder(checkpoint, config.model, config.runtime)
    return _loaded[key]


def texts(split: Split, pairing: str, name: str) -> list[Text]:
    """What an encoder reads of a split: one text a row, pairs joined, or the two sides apart."""
    label = f"{name}/{split.name}"
    if split.text_pair is None:
        return [Text(split.text, None, split.text_digest, label)]
    if pairing == "joint":
        return [
            Text(split.text, split.text_pair, content_key({"a": split.text_digest, "b": split.text_pair_digest}), label)
        ]
    return [
        Text(split.text, None, split.text_digest, f"{label} a"),
        Text(split.text_pair, None, str(split.text_pair_digest), f"{label} b"),
    ]


def pair_features(sides: list[np.ndarray]) -> np.ndarray:
    """Features of rows whose texts were encoded apart: ``[u; v; |u - v|; u * v]``, (rows, 4 width) float32; one side alone as it stands.

    References
    ----------
    Conneau et al. (2017), Supervised Learning of Universal Sentence Representations, section 3.1; Wang et al. (2019), GLUE, section 4.
    """
    if len(sides) == 1:
        return sides[0]
    u, v = sides
    return np.concatenate([u, v, np.abs(u - v), u * v], axis=1)


def one_vector(values: np.ndarray) -> bool:
    """Whether all rows of (rows, width) features are the same but for rounding; looks no further than to the first that differs.

    Rounding is taken as 1e-5 of each entry, and 1e-6 of the row's largest: what sums over the width leaves in small entries.
    """
    if len(values) < 2:
        return False
    first = values[0]
    size = np.abs(first)
    slack = 1e-5 * size + 1e-6 * size.max() + np.finfo(np.float32).tiny
    return all(
        bool((np.abs(values[start : start + 8192] - first) <= slack).all()) for start in range(0, len(values), 8192)
    )


def saturated(values: np.ndarray, pooling: str) -> int | None:
    """Entries of `pooler` or `pooler_inverse` features where tanh had rounded to one in magnitude, so that nothing can be inverted;
    None for other poolings.
    """
    limit = {"pooler": 1.0, "pooler_inverse": float(np.arctanh(np.float32(SATURATED)))}.get(pooling)
    return (
        None
        if limit is None
        else int(
            sum(
                np.count_nonzero(np.abs(block) >= limit)
                for block in np.array_split(values, max(1, len(values) // 8192))
            )
        )
    )


def library_versions() -> dict[str, str | None]:
    """Versions of the libraries whose defaults decide what a loaded model is."""
    return {name: version(name) for name in ("torch", "transformers")}
