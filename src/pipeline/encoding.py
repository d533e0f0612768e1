"""The forward passes that the jobs of a sweep need, made before the jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from src.config.paths import cache_folder
from src.config.schema import Config
from src.pipeline.threads import resolved_threads

if TYPE_CHECKING:
    from src.features.extractor import FeatureExtractor
    from src.features.inputs import EncoderInput, PoolingTarget


class SplitsEncoder:
    """Encoder of all splits that a configuration needs, at all its layers.

    Parameters
    ----------
    config : Config
        ``runtime.also_layers`` are encoded beside ``layer``; with ``runtime.shard`` one part of each pass is.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    @property
    def shards(self) -> int:
        """Number of jobs that share a forward pass."""
        return self._config.runtime.shards

    def missing(self) -> set[str]:
        """Return the names of the passes whose features the store lacks.

        All are returned if the model has never been loaded, because this method loads no model.
        """
        extractor, texts, _ = self._open(self._config)
        target, also = self._targets(extractor) if extractor.has_info else (None, [])
        return {
            f"{extractor.checkpoint.identity} {text.digest}"
            for text in texts
            if target is None or extractor.missing_targets(text, target, also)
        }

    def encode(self) -> None:
        """Make the passes, or this job's shard of them."""
        runtime = self._config.runtime
        with resolved_threads(self._config) as config:
            extractor, texts, bags = self._open(config)
            target, also = self._targets(extractor)
            for text in texts:
                if runtime.shard is not None and runtime.shards > 1:
                    extractor.encode_shard(text, target, also, runtime.shard, runtime.shards)
                elif missing := extractor.missing_targets(text, target, also):
                    extractor.features(text, missing[0], [*also, target[1]])
            if runtime.shard in (None, 0):
                for text in bags:
                    extractor.tokens(text)

    @staticmethod
    def _open(config: Config) -> tuple[FeatureExtractor, list[EncoderInput], list[EncoderInput]]:
        """Return an extractor without its model, the texts to encode, and those whose words the baseline counts."""
        from src.features.inputs import encoder_inputs
        from src.models.finding import find_checkpoint
        from src.pipeline.prepare import open_extractor, read_data
        from src.runtime.clock import Clock
        from src.storage.arrays import ArrayStore

        store = ArrayStore(cache_folder(config.runtime.cache_dir))
        read = read_data(config, labels=not config.output)
        extractor = open_extractor(config, find_checkpoint(config.model), store, Clock())
        names = list(read.splits) if config.output else list(dict.fromkeys(read.roles.values()))

        def unique(pairing: str) -> list[EncoderInput]:
            every = (text for name in names for text in encoder_inputs(read.splits[name], pairing, read.name))
            return list({text.digest: text for text in every}.values())

        return extractor, unique(config.pairing), [] if config.output else unique("separate")

    def _targets(self, extractor: FeatureExtractor) -> tuple[PoolingTarget, list[int]]:
        """Return the target of a pass and its other layers, without those that the model lacks."""
        config, deepest = self._config, extractor.info.layers
        requested = (config.layer, *config.runtime.also_layers)
        layers = [extractor.resolve_layer(layer) for layer in requested if -deepest - 1 <= layer <= deepest]
        if not layers:
            extractor.resolve_layer(config.layer)  # raises
        return (config.pooling.label, layers[0]), layers[1:]
