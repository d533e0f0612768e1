"""Turn a column of texts into a matrix of features: read what is stored, encode the rest."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from src.errors import UserError
from src.features.batching import plan_digest
from src.features.derivation import DerivedVectors, RowSource
from src.features.inputs import EncoderInput, PoolingTarget
from src.features.on_demand import EncoderOnDemand
from src.features.passes import ForwardPass
from src.features.shard_rows import PassPlan, ShardRows
from src.features.stored_values import check_timing, read_tokens
from src.features.text_losses import count_losses, loss_warnings
from src.features.vectors import PooledFeatures, check_finite
from src.models.pooler import pooler_error
from src.models.tokenizer import Tokenizer, Tokens
from src.pooling import Pooling, parts_of, poolings
from src.runtime.logs import log_once
from src.storage.arrays import Value
from src.storage.files import Unreadable, require_fields
from src.storage.shards import ShardStore

log = logging.getLogger(__name__)

MANY_ROWS = 20_000  # rows whose tokenizing takes seconds
PASS_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass
class FeatureExtractor(EncoderOnDemand):
    """A checkpoint with a store of its features; the model is loaded only if some are missing.

    Attributes
    ----------
    checkpoint : Checkpoint
    options : EncodingOptions
    store : ArrayStore
    clock : Clock
    workers : int
        Threads that encode on a CPU, and that write features.
    progress : bool
        Whether to show progress bars.
    encoded : int
        Rows that were encoded by this process.
    warmup : float
        Seconds of first batches, which are not counted as encoding.
    """

    workers: int
    progress: bool = True
    encoded: int = 0
    warmup: float = 0.0
    _tokenizer: Tokenizer | None = None

    def resolve_layer(self, layer: int) -> int:
        """Return a `layer=` as a number from 0 to L; UserError if it is out of range."""
        layers = self.info.layers
        if not -layers - 1 <= layer <= layers:
            raise UserError(
                f"layer={layer} is out of range: '{self.checkpoint.label}' has layers 0 (embeddings) to {layers}, "
                f"or -1 (last) to {-layers - 1}."
            )
        return layer % (layers + 1)

    def resolve_target(self, name: str, layer: int, also_layers: Sequence[int] = ()) -> PoolingTarget:
        """Return the target of a pooling and a `layer=`.

        Parameters
        ----------
        name : str
            A registered pooling, or ``concat(cls,mean)`` for several at one layer.
        layer : int
            0 to L, or -1 to -(L+1).
        also_layers : sequence of int
            Checked too.

        Raises
        ------
        UserError
            The checkpoint does not have the pooling at this layer, or lacks one of `also_layers`.
        """
        resolved = [self._resolve_part(part, layer, also_layers) for part in parts_of(name)]
        return name, resolved[0]

    def _resolve_part(self, name: str, layer: int, also_layers: Sequence[int]) -> int:
        pooling = poolings[name]
        pooling.check_layer(layer)
        resolved = self.resolve_layer(layer)
        if pooling.layers == "last" and resolved != self.info.layers:
            raise pooling.layer_error(layer)
        for also in also_layers:
            self.resolve_layer(also)
        if pooling.needs_pooler and not self.info.has_pooler:
            raise pooler_error(name, self.checkpoint.label, self.info.pooler)
        if reason := self._unsupported_reason(pooling):
            raise UserError(
                f"pooling '{name}' does not exist for '{self.checkpoint.label}': {reason}. Choose another pooling."
            )
        return resolved

    def _unsupported_reason(self, pooling: Pooling) -> str | None:
        return pooling.unsupported_reason(
            layers=self.info.layers, pooler=self.info.has_pooler, first=self.info.first_token
        )

    def supported_targets(self, layers: Sequence[int]) -> list[PoolingTarget]:
        """Return every registered pooling that the model has at the given layers, 0 to L."""

        def fits(pooling: Pooling, layer: int) -> bool:
            has_layer = pooling.layers == "any" or layer == self.info.layers
            return has_layer and self._unsupported_reason(pooling) is None

        return [(name, layer) for layer in layers for name, pooling in poolings.items() if fits(pooling, layer)]

    def base_targets(self, layers: Sequence[int]) -> list[PoolingTarget]:
        """Return the supported targets that a forward pass stores; the others follow from them."""
        return [(name, layer) for name, layer in self.supported_targets(layers) if not poolings[name].of]

    def tokens(self, column: EncoderInput) -> Tokens:
        """Return the word pieces of a column, tokenized once and then stored.

        Raises
        ------
        UserError
            A row has no token: the tokenizer adds no special tokens, and the text is empty.
        """
        pieces = {**self._tokenisation(), "tokenizer": self.checkpoint.tokenisation}
        key = self.store.key({"kind": "tokens", "text": column.digest, **pieces})
        with self.store.lock(key, f"tokenising {column.label}"):
            value = self.store.get("tokens", key, lambda found: read_tokens(found, len(column)))
            if value is None:
                tokens = self.tokenize(column)
                with self.clock.phase("store"):
                    self.store.remove_stale([key])
                    names = ("ids", "segments", "special", "offsets")
                    arrays = {name: getattr(tokens, name) for name in names}
                    self.store.put("tokens", key, arrays, {"truncated": tokens.truncated})
                return tokens
        return read_tokens(value, len(column))

    def tokenize(self, column: EncoderInput) -> Tokens:
        """Return the word pieces of a column, which are not stored; for errors see `tokens`."""
        if len(column) > MANY_ROWS:
            log.info("%s: tokenizing %s rows", column.label, f"{len(column):,}")
        with self.clock.phase("tokenise"):
            if self._tokenizer is None:
                self._tokenizer = Tokenizer(self.checkpoint, self.info.max_length)
            tokens = self._tokenizer(column.text, column.text_pair)
        if len(without := np.flatnonzero(tokens.lengths == 0)):
            raise UserError(
                f"{column.label}: row {without[0] + 1} has no token ({len(without):,} of {len(column):,} have none), "
                f"and the tokenizer of '{self.checkpoint.label}' adds no special tokens.\n"
                "Remove such rows, or choose another model."
            )
        return tokens

    def features(self, column: EncoderInput, target: PoolingTarget, also_layers: Sequence[int] = ()) -> PooledFeatures:
        """Return the features of a column, which is encoded if they are not stored.

        A forward pass stores what all poolings that the model supports follow from, at the target's
        layer and at `also_layers`. The poolings of a concatenation share it.
        """
        tokens = self.tokens(column)
        name, layer = target
        bases = {base: None for part in parts_of(name) for base in poolings[part].of or (part,)}
        plan = PassPlan.of(tokens.lengths, self.options)
        found = {base: self._value(column, tokens, plan, (base, layer), also_layers) for base in bases}
        losses = count_losses(column, tokens, self.info)
        for line in loss_warnings(losses, column, self.info):
            log_once(log, line)
        stored = {base: self._rows(value, plan) for base, (value, _) in found.items()}
        parts = tuple(self._part(column, tokens, part, stored) for part in parts_of(name))
        hit = all(was_stored for _, was_stored in found.values())
        (first, _), *_ = found.values()
        return PooledFeatures(parts, hit, first.meta["pass"], int(tokens.offsets[-1]), losses)

    def _part(self, column: EncoderInput, tokens: Tokens, name: str, stored: Mapping[str, RowSource]) -> RowSource:
        """Return the vectors of a pooling, which are stored or follow from stored ones."""
        pooling = poolings[name]
        if not pooling.of:
            return stored[name]

        def check(values: np.ndarray) -> None:
            check_finite(values, self.checkpoint.label, f"{column.label}, {name}", self.options.dtype)

        base = {each: stored[each] for each in pooling.of}
        return DerivedVectors(name, base, tokens.lengths, self.pooler_weights, self.workers, check)

    def _value(
        self, column: EncoderInput, tokens: Tokens, plan: PassPlan, target: PoolingTarget, also_layers: Sequence[int]
    ) -> tuple[Value, bool]:
        """Return the stored features of one pooling, and whether the store had them."""
        key = self._key(column, target)
        with self.clock.phase("store"):
            value = self._stored(plan, key)
        hit = value is not None
        if hit:
            self._finish(column, self._pass_targets(target, also_layers))
        if value is None:
            with self.store.lock(self._key(column, ("", -1)), f"encoding {column.label}"):
                with self.clock.phase("store"):
                    value = self._stored(plan, key)  # another process may have stored it since
                hit = value is not None
                if value is None:
                    value = self._encode(column, tokens, plan, target, also_layers)
        return value, hit

    def missing_targets(
        self, column: EncoderInput, target: PoolingTarget, also_layers: Sequence[int] = ()
    ) -> list[PoolingTarget]:
        """Return the targets of the forward pass for `target` that the store lacks."""
        return [each for each in self._pass_targets(target, also_layers) if not self._has(column, each)]

    def encode_shard(
        self, column: EncoderInput, target: PoolingTarget, also_layers: Sequence[int], shard: int, shards: int
    ) -> int:
        """Encode part `shard` of `shards` of a forward pass, without waiting for other processes.

        The process that completes the last shard stores the features.

        Returns
        -------
        int
            Shards that other processes have still to encode; 0 if the features are stored.
        """
        if not self.missing_targets(column, target, also_layers):
            return 0
        with self._forward_pass(column, self.tokens(column), self._pass_targets(target, also_layers)) as forward:
            forward.encode_shard(shard, shards)
        remaining = self.remaining_shards(column, target, also_layers)
        if not remaining and (missing := self.missing_targets(column, target, also_layers)):
            self.features(column, missing[0], [*also_layers, target[1]])
        return remaining

    def remaining_shards(self, column: EncoderInput, target: PoolingTarget, also_layers: Sequence[int]) -> int:
        """Return how many shards of a forward pass are not encoded yet; 0 if the features are stored."""
        if not self.missing_targets(column, target, also_layers):
            return 0
        with self._forward_pass(column, self.tokens(column), self._pass_targets(target, also_layers)) as forward:
            remaining = forward.remaining_shards()
        # Another process may have stored the features since.
        return remaining if self.missing_targets(column, target, also_layers) else 0

    def _encode(
        self, column: EncoderInput, tokens: Tokens, plan: PassPlan, target: PoolingTarget, also_layers: Sequence[int]
    ) -> Value:
        targets = self._pass_targets(target, also_layers)
        missing = [each for each in targets if each != target and not self._has(column, each)]
        with self._forward_pass(column, tokens, targets) as forward:
            forward.run({each: self._key(column, each) for each in (target, *missing)})
        value = self._stored(plan, self._key(column, target))
        if value is None:
            raise UserError(
                f"the features of {column.label} cannot be read back from the store: its disk may be failing. Set "
                "runtime.cache_dir to a folder on another disk."
            )
        return value

    @contextmanager
    def _forward_pass(
        self, column: EncoderInput, tokens: Tokens, targets: list[PoolingTarget]
    ) -> Iterator[ForwardPass]:
        """Yield a forward pass, and count afterwards what it encoded."""
        forward = ForwardPass(
            column, tokens, targets, self.info.width, lambda: self.encoder, self.options, self.store,
            self.shard_store(column, targets), self.clock, self.workers, self.progress,
        )  # fmt: skip
        try:
            yield forward
        finally:
            self.encoded += forward.encoded
            self.warmup += forward.warmup

    def _has(self, column: EncoderInput, target: PoolingTarget) -> bool:
        return self.store.has("features", self._key(column, target))

    def _stored(self, plan: PassPlan, key: str) -> Value | None:
        """Return a stored value whose vectors are intact, or None."""

        def check(value: Value) -> None:
            check_timing(value)
            if self._rows(value, plan).digest() != value.meta["sha256"]:
                raise Unreadable("its vectors have changed since they were written")

        return self.store.get("features", key, check)

    def _rows(self, value: Value, plan: PassPlan) -> ShardRows:
        """Return the vectors of a stored value."""
        shards = require_fields(value.meta, {"shards": str})["shards"]
        if not PASS_KEY.fullmatch(shards):
            raise Unreadable(f"{shards[:80]!r} is not the key of a pass")
        return plan.read(self.store.shards(shards), value.meta, self.info.width)

    def _pass_targets(self, target: PoolingTarget, also_layers: Sequence[int]) -> list[PoolingTarget]:
        """Return all targets that a forward pass stores, whether or not the store has them.

        They identify its shards: a pass that was killed while it stored features finds them again.
        """
        return self.base_targets(sorted({target[1], *(self.resolve_layer(layer) for layer in also_layers)}))

    def _finish(self, column: EncoderInput, targets: list[PoolingTarget]) -> None:
        """Finish a pass that was killed after it had stored its last features."""
        shards = self.shard_store(column, targets)
        if not shards.is_finished and all(self._has(column, each) for each in targets):
            shards.finish()

    def shard_store(self, column: EncoderInput, targets: list[PoolingTarget]) -> ShardStore:
        """Return the store of the shards of the forward pass that computes these targets."""
        return self.store.shards(self._key(column, (",".join(f"{name}@{layer}" for name, layer in targets), -1)))

    def identity(self) -> dict[str, Any]:
        """Return the resolved settings and digests that determine the features of given texts."""
        return {
            **self._tokenisation(),
            "model": self.checkpoint.identity,
            "dtype": self.options.dtype,
            "attention": self.info.attention,
            "kernel": self.info.kernel,
            "token_budget": self.options.token_budget,
            "plan": plan_digest(self.options.may_pad),
        }

    def _tokenisation(self) -> dict[str, Any]:
        return {"tokenizer": self.checkpoint.tokenizer, "max_length": self.info.max_length}

    def _key(self, column: EncoderInput, target: PoolingTarget) -> str:
        pooling, layer = target
        code = poolings[pooling].code if pooling in poolings else None
        made = {"pooling": pooling, "code": code, "layer": layer}
        return self.store.key({"kind": "rows of shards", "text": column.digest, **made, **self.identity()})
