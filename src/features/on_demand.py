"""A checkpoint whose model is loaded only to encode; the store keeps what else is needed of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields

from src.features.derivation import PoolerWeights
from src.features.loading import library_versions, load_encoder
from src.features.stored_values import read_info, read_pooler_weights
from src.models.checkpoint import Checkpoint
from src.models.encoder import Encoder
from src.models.encoder_info import EncoderInfo
from src.models.kernels import VERSION
from src.models.options import EncodingOptions
from src.runtime.clock import Clock
from src.storage.arrays import ArrayStore


@dataclass
class EncoderOnDemand:
    """A checkpoint with a store.

    Attributes
    ----------
    checkpoint : Checkpoint
    options : EncodingOptions
    store : ArrayStore
    clock : Clock
    """

    checkpoint: Checkpoint
    options: EncodingOptions
    store: ArrayStore
    clock: Clock
    _encoder: Encoder | None = field(default=None, init=False)
    _info: EncoderInfo | None = field(default=None, init=False)

    @property
    def info(self) -> EncoderInfo:
        """Layers, width, limits and the pooler's status, from the store or from the loaded model."""
        if self._info is None:
            key = self._info_key()
            value = self.store.get("facts", key, read_info)
            if value is None:
                self._info = self.encoder.info
                with self._storing(key):
                    self.store.put("poolers", key, PoolerWeights.of(self.encoder).arrays(), {})
                    self.store.put("facts", key, {}, {"facts": json.dumps(asdict(self._info))})
            else:
                self._info = read_info(value)
        return self._info

    @property
    def has_info(self) -> bool:
        """Whether `info` is known without loading the model."""
        return self._info is not None or self.store.has("facts", self._info_key())

    @property
    def pooler_weights(self) -> PoolerWeights:
        """Weights of the pooler and of the random one, from the store or from the loaded model."""
        key, width = self._info_key(), self.info.width
        value = self.store.get("poolers", key, lambda found: read_pooler_weights(found, width))
        if value is not None:
            return read_pooler_weights(value, width)
        weights = PoolerWeights.of(self.encoder)
        with self._storing(key):
            self.store.put("poolers", key, weights.arrays(), {})
        return weights

    @contextmanager
    def _storing(self, key: str) -> Iterator[None]:
        """Store values of the model, after those that a killed process left half-written."""
        with self.store.lock(key, f"storing facts about {self.checkpoint.label}"):
            self.store.remove_stale([key])
            yield

    def _info_key(self) -> str:
        options = {
            "attention": self.options.attention,
            "max_length": self.options.max_length,
            "dtype": self.options.dtype,
            "device": self.options.device,
            "kernels": VERSION,
            "fields": sorted(each.name for each in fields(EncoderInfo)),
        }
        model = {"model": self.checkpoint.identity, "tokenizer": self.checkpoint.tokenizer}
        return self.store.key({"kind": "facts", **options, **model, "versions": library_versions()})

    @property
    def encoder(self) -> Encoder:
        """The loaded model."""
        if self._encoder is None:
            with self.clock.phase("load"):
                self._encoder = load_encoder(self.checkpoint, self.options)
            self.clock.synchronise = self._encoder.synchronise
        return self._encoder

    @property
    def gpu(self) -> str | None:
        """Name of the accelerator, None without CUDA."""
        if self.options.device != "cuda":
            return None
        import torch

        return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else None
