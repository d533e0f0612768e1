"""Make a forward pass over a column: encode its shards, from which its vectors are then read."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from src.features.host_copies import HostCopy, needed_layers, pool_batch
from src.features.inputs import EncoderInput, PoolingTarget
from src.features.shard_rows import PassPlan, ShardRows
from src.features.vectors import check_finite
from src.models.encoder import Encoder
from src.models.options import EncodingOptions
from src.models.tokenizer import Tokens
from src.runtime.clock import Clock
from src.runtime.terminal import progress_bar
from src.storage.arrays import ArrayStore
from src.storage.shards import ShardStore

log = logging.getLogger(__name__)


@dataclass
class ForwardPass:
    """A forward pass over a column, which several processes may share.

    Workers encode its shards, and each shard is stored when it is finished. So an interrupted pass
    continues from its finished shards.

    Attributes
    ----------
    column : EncoderInput
    tokens : Tokens
    targets : list of PoolingTarget
        Poolings and layers to compute, in the order in which shards store them.
    width : int
        Dimensions of a pooled vector.
    load_encoder : callable
        Returns the encoder; called only if a shard has to be encoded.
    options : EncodingOptions
    store : ArrayStore
        Store of the features.
    shard_store : ShardStore
        Store of the finished shards.
    clock : Clock
        Clock to which the seconds of encoding and pooling are added.
    workers : int
        Threads that encode on a CPU; an accelerator is used by one.
    progress : bool
        Whether to show a progress bar.
    encoded : int
        Rows that were encoded here.
    warmup : float
        Seconds of the warm-up batch, which do not count as encoding.
    """

    column: EncoderInput
    tokens: Tokens
    targets: list[PoolingTarget]
    width: int
    load_encoder: Callable[[], Encoder]
    options: EncodingOptions
    store: ArrayStore
    shard_store: ShardStore
    clock: Clock
    workers: int
    progress: bool
    encoded: int = 0
    warmup: float = 0.0
    _seconds: dict[str, float] = field(default_factory=lambda: {"encode": 0.0, "pool": 0.0})
    _encoded_shards: set[int] = field(default_factory=set)  # shards that were encoded here
    _jobs: int = 1  # processes that encoded shards
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.plan = PassPlan.of(self.tokens.lengths, self.options)
        self.shards = self.plan.shards
        self.encoding_workers = self.workers if self.options.device == "cpu" else 1

    def run(self, keys: dict[PoolingTarget, str]) -> None:
        """Encode every shard that is not finished, then store for each key where its vectors are.

        The first key is stored last: if it is stored, all are.

        Raises
        ------
        UserError
            The disk has too little room, or the model returns NaN or infinite values.
        """
        rows, finished = len(self.column), self.shard_store.verified(self._shapes())
        self.store.remove_stale(keys.values())
        written = sum(path.stat().st_size for path in finished.values())
        todo = [number for number in range(len(self.shards)) if number not in finished]
        needed = len(self.targets) * rows * self.width * 4
        self.store.require_space(needed - written - self.shard_store.partial_size(todo))
        if finished and todo:
            log.info("%s: resumed, %d of %d shards are stored", self.column.label, len(finished), len(self.shards))
        while todo:
            finished |= self._encode_timed(todo, range(len(self.shards)))
            if todo := [number for number in todo if number not in finished]:
                log.info("%s: waiting for another process, which encodes the last shards", self.column.label)
                self.shard_store.wait_for(todo[0])
        self._add_timings()
        with self.clock.phase("store"):
            self._store(keys, finished)
            self.shard_store.finish()

    def encode_shard(self, shard: int, shards: int) -> None:
        """Encode and store every `shards`-th shard of the pass, from number `shard` on."""
        stored, own = self.shard_store.listed(), range(shard, len(self.shards), shards)
        todo = [number for number in own if number not in stored]
        if todo:
            rows = sum(self._count_rows(number) for number in todo)
            self.store.require_space(len(self.targets) * rows * self.width * 4 - self.shard_store.partial_size(todo))
            self._encode_timed(todo, own)
            if self._encoded_shards:
                self.shard_store.add_timing(self._seconds)

    def remaining_shards(self) -> int:
        """Return how many shards of the pass are not stored yet."""
        return len(set(range(len(self.shards))) - self.shard_store.listed().keys())

    def _add_timings(self) -> None:
        """Add the seconds that other processes stored for their shards."""
        known = self._seconds.keys()
        timings = [each for each in self.shard_store.timings() if known <= each.keys() and min(each.values()) >= 0]
        self._jobs = len(timings) + bool(self._encoded_shards)
        for timing in timings:
            for phase in known:
                self._seconds[phase] += timing[phase]

    def _encode_timed(self, todo: list[int], wanted: Iterable[int]) -> dict[int, Path]:
        """Encode shards, add their seconds to the clock and log the speed.

        `wanted` are the shards of which `todo` are not stored yet.

        Returns
        -------
        dict
            File of each finished shard, without those that another process is encoding.
        """
        encoder = self.load_encoder()
        encoder.check_ids(self.tokens.ids)
        if not encoder.warm:
            self._warm_up(encoder)
        before, spent = set(self._encoded_shards), dict(self._seconds)
        self._seconds = dict.fromkeys(self._seconds, 0.0)
        started = time.perf_counter()
        _ = self.needed  # computed once, before workers start
        with self._progress_bar(todo, wanted) as bar:
            done = self._encode(encoder, todo, bar)
        wall = time.perf_counter() - started
        if new := self._encoded_shards - before:
            tokens, rows = (sum(count(number) for number in new) for count in (self._count_tokens, self._count_rows))
            log.info(
                "%s: %s rows, %s tokens in %.1f s (%s tokens/s)",
                self.column.label, f"{rows:,}", f"{tokens:,}", wall, f"{tokens / wall:,.0f}",
            )  # fmt: skip
            self.encoded += rows
        # Workers overlap: their seconds are scaled so that the phases add up to the wall time.
        busy = sum(self._seconds.values())
        for phase, seconds in self._seconds.items():
            scaled = seconds * wall / busy if busy else 0.0
            self._seconds[phase] = spent[phase] + scaled
            self.clock.add(phase, scaled)
        return done

    @cached_property
    def needed(self) -> set[int]:
        """Layers whose hidden states the targets read."""
        return needed_layers(self.targets, self.load_encoder().layers)

    def _encode(self, encoder: Encoder, todo: list[int], bar: Any) -> dict[int, Path]:
        """Encode the shards that no other process has claimed; return the files of finished shards."""
        done: dict[int, Path] = {}
        initializer = use_one_thread if encoder.device == "cpu" else None
        with ThreadPoolExecutor(self.encoding_workers, initializer=initializer) as pool:
            pending: dict[Future[None], tuple[int, Any]] = {}
            waiting = iter(todo)
            try:
                while True:
                    for number, claim in self._claim(waiting, done):
                        pending[pool.submit(self._fill_shard, encoder, number, bar)] = number, claim
                        if len(pending) > self.encoding_workers:
                            break
                    if not pending:
                        return done
                    ready, _ = wait(pending, return_when=FIRST_COMPLETED)
                    for future in ready:
                        number, claim = pending.pop(future)
                        try:
                            future.result()
                            done[number] = self.shard_store.commit(number)
                            self._encoded_shards.add(number)
                        finally:
                            self.shard_store.discard(number)
                            claim.release()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
                for number, claim in pending.values():
                    self.shard_store.discard(number)
                    claim.release()

    def _claim(self, waiting: Iterator[int], done: dict[int, Path]) -> Iterator[tuple[int, Any]]:
        """Yield shards that this process has claimed; add those that are finished by now to `done`."""
        for number in waiting:
            claim = self.shard_store.claim(number)
            if claim is None:
                continue
            if path := self.shard_store.completed(number):  # another process has just encoded it
                claim.release()
                done[number] = path
            else:
                yield number, claim

    def _fill_shard(self, encoder: Encoder, number: int, bar: Any) -> None:
        """Fill a shard's file, (targets, rows, width) float32.

        A batch is written after the next one has been given to the encoder, so that a GPU computes
        meanwhile. On a GPU, poolings are counted as encoding, because nothing waits between both.
        """
        encode = pool = 0.0
        rows, first = self._count_rows(number), 0
        previous: HostCopy | None = None
        with self.shard_store.open_writer(number, (len(self.targets), rows, self.width)) as writer:
            for batch in [*self.shards[number], None]:
                began = time.perf_counter()
                output = None if batch is None else encoder.forward(*self.tokens.batch(batch), layers=self.needed)
                encoded = time.perf_counter()
                current = None if output is None else pool_batch(output, self.targets)
                pooled = time.perf_counter()
                values = None if previous is None else previous.numpy()
                encode += encoded - began + time.perf_counter() - pooled
                pool += pooled - encoded
                if values is not None:
                    self._write_batch(encoder, writer, values, rows, first)
                    first += values.shape[1]
                if batch is not None:
                    with self._lock:
                        bar.update(int(self.tokens.lengths[batch].sum()))
                previous = current
        with self._lock:
            self._seconds["encode"] += encode
            self._seconds["pool"] += pool

    def _write_batch(self, encoder: Encoder, writer: Any, values: np.ndarray, rows: int, first: int) -> None:
        """Write the vectors of a batch, (targets, batch, width), to a shard of `rows` rows."""
        for place, (name, _) in enumerate(self.targets):
            check_finite(values[place], encoder.checkpoint.label, f"{self.column.label}, {name}", self.options.dtype)
            writer.rows(np.arange(values.shape[1]) + place * rows + first, values[place])

    def _warm_up(self, encoder: Encoder) -> None:
        """Encode a batch that is not counted: the first call allocates memory and chooses kernels."""
        began = time.perf_counter()
        encoder.forward(*self.tokens.batch(self.shards[0][0]))
        encoder.synchronise()
        self.warmup += time.perf_counter() - began

    def _store(self, keys: dict[PoolingTarget, str], finished: dict[int, Path]) -> None:
        """Store one value per key, the first key last: the place of its vectors, and their digest."""
        files, rows = [finished[number] for number in range(len(self.shards))], self.plan.rows
        timing = self._timing()

        def store(target: PoolingTarget) -> None:
            place, targets = self.targets.index(target), len(self.targets)
            vectors = ShardRows(self.shard_store, files, rows, place, targets, self.width)
            where = {"shards": self.shard_store.key, "place": place, "targets": targets, "sha256": vectors.digest()}
            self.store.put("features", keys[target], {}, {"pass": timing, **where})

        first, *others = keys
        with ThreadPoolExecutor(self.workers) as pool:
            list(pool.map(store, others))
        store(first)

    def _timing(self) -> dict[str, Any]:
        """Return the metadata of the features: seconds by phase, and counts of the pass."""
        return {
            **self._seconds,
            "shards": len(self.shards),
            "shards_resumed": len(self.shards) - len(self._encoded_shards),
            "jobs": self._jobs,
            "tokens": int(self.tokens.offsets[-1]),
            "rows": len(self.column),
            "workers": self.encoding_workers,
            "device": self.options.device,
            "poolings": len(self.targets),
        }

    def _shapes(self) -> dict[int, tuple[int, ...]]:
        """Return the shape of each shard's array, by number."""
        return {number: (len(self.targets), self._count_rows(number), self.width) for number in range(len(self.shards))}

    def _count_tokens(self, number: int) -> int:
        return int(sum(self.tokens.lengths[batch].sum() for batch in self.shards[number]))

    def _count_rows(self, number: int) -> int:
        return sum(len(batch) for batch in self.shards[number])

    def _progress_bar(self, todo: list[int], wanted: Iterable[int]) -> Any:
        """Return the bar of the shards that this process wants; it starts at those that are stored already."""
        total = sum(self._count_tokens(number) for number in wanted)
        done = total - sum(self._count_tokens(number) for number in todo)
        return progress_bar(
            self.column.label, self.progress, total=total, initial=done, unit="tok", unit_scale=True, smoothing=0
        )


def use_one_thread() -> None:
    """Let torch compute with one thread, in a worker beside others."""
    import torch

    torch.set_num_threads(1)
