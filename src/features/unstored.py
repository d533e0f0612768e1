"""Encode rows whose features are not kept, such as those of a stored probe's predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from src.features.batching import plan_batches
from src.features.extractor import FeatureExtractor
from src.features.inputs import EncoderInput, PoolingTarget
from src.features.passes import use_one_thread
from src.features.text_losses import TextLosses, count_losses
from src.features.vectors import check_finite, join_columns
from src.pooling import parts_of, poolings


@dataclass(frozen=True)
class UnstoredEncoder:
    """An encoder of any number of columns, one after another, whose features the store does not get."""

    extractor: FeatureExtractor
    target: PoolingTarget
    pool: ThreadPoolExecutor  # the same for all columns: torch keeps memory for each thread that ever ran it

    def encode(self, column: EncoderInput, report: Callable[[int], object]) -> tuple[np.ndarray, TextLosses]:
        """Return the features of a column, float32 (rows, width), and what tokenizing lost.

        Batches are planned as in a stored forward pass.

        Parameters
        ----------
        report : callable
            Called with the number of rows of each batch that is encoded.

        Raises
        ------
        UserError
            A row has no token, or the model returns values that are NaN or infinite.
        """
        extractor, (name, layer) = self.extractor, self.target
        names = parts_of(name)
        tokens, encoder = extractor.tokenize(column), extractor.encoder
        values = np.empty((len(column), len(names) * extractor.info.width), np.float32)

        def encode(batch: np.ndarray) -> None:
            output = encoder.forward(*tokens.batch(batch))
            found = join_columns([poolings[part].pool(output, layer) for part in names])
            check_finite(found, extractor.checkpoint.label, f"{column.label}, {name}", extractor.options.dtype)
            values[batch] = found

        budget, may_pad = extractor.options.token_budget, extractor.options.may_pad
        batches = plan_batches(tokens.lengths, budget, may_pad)
        if not may_pad:
            batches = list(_few_shapes(batches, tokens.lengths, budget))
        for batch, _ in zip(batches, self.pool.map(encode, batches), strict=True):
            report(len(batch))
        return values, count_losses(column, tokens, extractor.info)


def _few_shapes(batches: list[np.ndarray], lengths: np.ndarray, token_budget: int) -> Iterator[np.ndarray]:
    """Yield full batches as they are, and the others in parts of 1, 2, 4, 8, ... rows.

    The libraries keep code and memory for each shape that they have met. A last batch of any size
    in each block would add shapes without end.
    """
    for batch in batches:
        start = len(batch) if len(batch) == token_budget // int(lengths[batch[0]]) else 0
        if start:
            yield batch
        while start < len(batch):
            size = 1 << ((len(batch) - start).bit_length() - 1)
            yield batch[start : start + size]
            start += size


@contextmanager
def unstored_encoder(extractor: FeatureExtractor, target: PoolingTarget) -> Iterator[UnstoredEncoder]:
    """Yield an encoder with as many threads as a stored forward pass has."""
    workers, initializer = (extractor.workers, use_one_thread) if extractor.options.device == "cpu" else (1, None)
    with ThreadPoolExecutor(workers, initializer=initializer) as pool:
        yield UnstoredEncoder(extractor, target, pool)
