"""A model of MTEB's own protocol that encodes through the suite's encoder, poolings, layers and store."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from mteb.models import ModelMeta
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ScoringFunction

from src.config.paths import cache_folder
from src.config.schema import Config
from src.data.in_memory import memory_table
from src.errors import UserError
from src.models.finding import find_checkpoint
from src.pipeline.extraction import text_features
from src.pipeline.prepare import open_extractor
from src.pooling import parts_of
from src.probes.scaling import normalise_rows
from src.runtime.clock import Clock
from src.storage.arrays import ArrayStore
from src.storage.keys import content_key


class MtebEncoder(AbsEncoder):
    """Encoder for `mteb.evaluate`; similarity is the cosine.

    Parameters
    ----------
    config : Config
        The encoder, the pooling and the layer; its dataset has one text a row.
    normalise : bool
        Whether vectors are scaled to length 1.

    Attributes
    ----------
    mteb_model_meta : ModelMeta
        The name, a revision by the weights' digest, and pooling and layer as ``experiment_kwargs``,
        so that MTEB keeps the results of each apart.

    Raises
    ------
    UserError
        The checkpoint cannot be used, or does not have the pooling at the layer.
    """

    def __init__(self, config: Config, normalise: bool) -> None:
        self.config, self.normalise = config, normalise
        checkpoint, store = find_checkpoint(config.model), ArrayStore(cache_folder(config.runtime.cache_dir))
        extractor = open_extractor(config, checkpoint, store, Clock())
        pooling, layer = extractor.resolve_target(config.pooling.label, config.layer)
        settings = {"pooling": pooling, "layer": layer, "max_length": extractor.info.max_length}
        label = checkpoint.label
        self.mteb_model_meta = ModelMeta.create_empty(
            {
                "name": label if "/" in label else f"local/{label}",
                "revision": content_key(extractor.identity())[:12],
                "max_tokens": float(extractor.info.max_length),
                "embed_dim": len(parts_of(pooling)) * extractor.info.width,
                "similarity_fn_name": ScoringFunction.COSINE,
                "framework": ["PyTorch"],
                "experiment_kwargs": settings | ({"normalise": True} if normalise else {}),
            }
        )

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **kwargs: Any,
    ) -> np.ndarray:
        """Return the vectors of texts, from the store or encoded.

        Parameters
        ----------
        inputs : DataLoader
            Batches with the key ``text``. All are encoded in one forward pass, whose batches are the
            suite's: ``batch_size`` has no effect.
        task_metadata, hf_split, hf_subset, prompt_type
            As in MTEB's protocol. No prompt is put before a text.
        **kwargs
            ``show_progress_bar``.

        Returns
        -------
        float32 array of shape (texts, width)

        Raises
        ------
        UserError
            The inputs hold no text, or another ``precision`` than float32 is asked for.
        """
        if kwargs.get("precision") not in (None, "float32"):
            raise UserError(f"precision={kwargs['precision']}: vectors are float32. Leave it out.")
        texts: list[str] = []
        for batch in inputs:
            if "text" not in batch:
                raise UserError(
                    f"{task_metadata.name}: its inputs hold {', '.join(batch)}, and the encoder reads text."
                )
            texts += batch["text"]
        runtime = self.config.runtime
        shown = runtime.progress and kwargs.get("show_progress_bar", True)
        config = dataclasses.replace(self.config, runtime=dataclasses.replace(runtime, progress=shown))
        values = text_features(config, memory_table(texts), f"{task_metadata.name} {hf_split}")
        return normalise_rows(values) if self.normalise else values
