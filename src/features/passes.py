"""One forward pass over a split: its shards are encoded by whoever claims them, then put together in the order of the rows."""

from __future__ import annotations

import logging
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from src.errors import UserError
from src.features.batching import plan, shards
from src.models.encoder import Encoder, Tokens
from src.pooling import poolings
from src.storage.npy import ArrayWriter

if TYPE_CHECKING:
    from src.features.extractor import FeatureExtractor, Target, Text

WINDOW = 1 << 26  # bytes of features in memory, of all workers together, while shards are put together

log = logging.getLogger(__name__)


class Pass:
    """One forward pass over a split: shards among workers, each stored when done, then put together in the order of the rows."""

    def __init__(self, extractor: FeatureExtractor, text: Text, tokens: Tokens, targets: list[Target]) -> None:
        self.extractor = extractor
        self.text = text
        self.tokens = tokens
        self.targets = targets
        self.shards = shards(plan(tokens.lengths, extractor.token_budget))
        self.parts = extractor.parts(text, targets)
        self.seconds = {"encode": 0.0, "pool": 0.0}
        self.made: set[int] = set()  # shards that were encoded here
        self.jobs = 1
        self._lock = Lock()

    def run(self, keys: dict[Target, str]) -> None:
        """Encode every shard that is not finished, then write one value for each key; the first of them last, so that where it is,
        all are.
        """
        extractor = self.extractor
        width, rows = extractor.facts.width, len(self.text)
        finished = self.parts.verified()
        extractor.store.remove_stale(keys.values())
        written = sum(path.stat().st_size for path in finished.values())
        todo = [number for number in range(len(self.shards)) if number not in finished]
        extractor.store.require_space(
            (len(self.targets) + len(keys)) * rows * width * 4 - written - self.parts.partial_size(todo)
        )
        while todo:
            finished |= self._timed(todo)
            if todo := [number for number in todo if number not in finished]:
                log.info("%s: another process is at its last shards: waiting for it", self.text.label)
                self.parts.wait_for(todo[0])
        notes = [
            note for note in self.parts.timings() if self.seconds.keys() <= note.keys() and min(note.values()) >= 0
        ]
        self.jobs = len(notes) + bool(self.made)
        for note in notes:
            for phase in self.seconds:
                self.seconds[phase] += note[phase]
        with extractor.clock.phase("store"):
            self._assemble(keys, finished)
            self.parts.remove()

    def share(self, shard: int, shards: int) -> None:
        """Encode one of `shards` equal shares."""
        extractor, there = self.extractor, self.parts.listed()
        todo = [number for number in range(shard, len(self.shards), shards) if number not in there]
        if todo:
            rows = sum(self._rows_of(number) for number in todo)
            extractor.store.require_space(
                len(self.targets) * rows * extractor.facts.width * 4 - self.parts.partial_size(todo)
            )
            self._timed(todo)
            if self.made:
                self.parts.add_timing(self.seconds)

    def left(self) -> int:
        """Shards of the pass that are not there yet."""
        return len(set(range(len(self.shards))) - self.parts.listed().keys())

    def _timed(self, todo: list[int]) -> dict[int, Path]:
        """Encode these shards, bill the time, and say how fast it went; what another process is at is left out."""
        extractor = self.extractor
        encoder = extractor.encoder
        encoder.check(self.tokens.ids)
        if not encoder.warm:
            self._warm_up(encoder)
        before, spent = set(self.made), dict(self.seconds)
        self.seconds = dict.fromkeys(self.seconds, 0.0)
        started = time.perf_counter()
        with self._progress(todo) as bar:
            done = self._encode(encoder, todo, bar)
        wall = time.perf_counter() - started
        made = self.made - before
        if made:
            tokens, rows = (sum(count(number) for number in made) for count in (self._tokens_of, self._rows_of))
            log.info(
                "%s: %s rows, %s tokens in %.1f s (%s tokens/s)",
                self.text.label,
                f"{rows:,}",
                f"{tokens:,}",
                wall,
                f"{tokens / wall:,.0f}",
            )
            extractor.encoded += rows
        # Workers overlap: their busy seconds are shared out over the pass, so that the phases add up to its wall time.
        busy = sum(self.seconds.values())
        for phase, seconds in self.seconds.items():
            share = seconds * wall / busy if busy else 0.0
            self.seconds[phase] = spent[phase] + share
            extractor.clock.add(phase, share)
        return done

    def _encode(self, encoder: Encoder, todo: list[int], bar: Any) -> dict[int, Path]:
        """The files of these shards, each encoded by whoever claims it first; without those that another process has claimed."""
        workers = self.extractor.threads if encoder.device == "cpu" else 1
        done: dict[int, Path] = {}
        with ThreadPoolExecutor(workers, initializer=_one_thread if encoder.device == "cpu" else None) as pool:
            pending: dict[Future[None], tuple[int, Any]] = {}
            waiting = iter(todo)
            try:
                while True:
                    for number in waiting:
                        claim = self.parts.claim(number)
                        if claim is None:
                            continue
                        if path := self.parts.completed(number):  # by another process, since it was last looked for
                            claim.release()
                            done[number] = path
                            continue
                        pending[pool.submit(self._shard, encoder, number, bar)] = number, claim
                        if len(pending) > workers:
                            break
                    if not pending:
                        return done
                    ready, _ = wait(pending, return_when=FIRST_COMPLETED)
                    for future in ready:
                        number, claim = pending.pop(future)
                        try:
                            future.result()
                            done[number] = self.parts.commit(number)
                            self.made.add(number)
                        finally:
                            self.parts.discard(number)
                            claim.release()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
                for number, claim in pending.values():
                    self.parts.discard(number)
                    claim.release()

    def _shard(self, encoder: Encoder, number: int, bar: Any) -> None:
        """Fill a shard's file, (targets, rows, width) float32, batch by batch: one target of one batch is in memory at a time."""
        encode = pool = 0.0
        rows, first = self._rows_of(number), 0
        with self.parts.open_writer(number, (len(self.targets), rows, self.extractor.facts.width)) as writer:
            for batch in self.shards[number]:
                began = time.perf_counter()
                output = encoder.forward(*self._batch(batch))
                encoder.synchronise()
                encode += time.perf_counter() - began
                for place, (name, layer) in enumerate(self.targets):
                    began = time.perf_counter()
                    values = poolings[name].function(output, layer).float().cpu().numpy()
                    pool += time.perf_counter() - began
                    if not np.isfinite(values).all():
                        raise self._broken(name)
                    writer.rows(np.arange(len(batch)) + place * rows + first, values)
                first += len(batch)
                with self._lock:
                    bar.update(int(self.tokens.lengths[batch].sum()))
        with self._lock:
            self.seconds["encode"] += encode
            self.seconds["pool"] += pool

    def _broken(self, pooling: str) -> UserError:
        return UserError(
            f"'{self.extractor.checkpoint.label}' gives values that are no finite numbers ({self.text.label}, {pooling}). "
            "Its weights are damaged, or runtime.dtype is too narrow for it: float32 reaches further than float16."
        )

    def _batch(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids, segments and special marks of rows of one length, each (rows, tokens)."""
        offsets = self.tokens.offsets
        places = offsets[batch][:, None] + np.arange(int(offsets[batch[0] + 1] - offsets[batch[0]]))
        return self.tokens.ids[places], self.tokens.segments[places], self.tokens.special[places]

    def _warm_up(self, encoder: Encoder) -> None:
        """One batch that nobody counts: the first call pays for allocations and kernel choice."""
        began = time.perf_counter()
        encoder.forward(*self._batch(self.shards[0][0]))
        encoder.synchronise()
        self.extractor.warmup += time.perf_counter() - began

    def _assemble(self, keys: dict[Target, str], finished: dict[int, Path]) -> None:
        """One value per key, the first of them last, its rows in the order of the text."""
        meta = {"pass": self._timing()}
        numbers = [np.concatenate(batches) for batches in self.shards]

        def write(target: Target) -> None:
            self._write(keys[target], meta, numbers, finished, self.targets.index(target))

        first, *others = keys
        with ThreadPoolExecutor(self.extractor.threads) as pool:
            list(pool.map(write, others))
        write(first)

    def _write(
        self, key: str, meta: dict[str, Any], numbers: list[np.ndarray], finished: dict[int, Path], place: int
    ) -> None:
        """The value of the target at `place`, a window of its rows at a time."""
        store, rows, width = self.extractor.store, len(self.text), self.extractor.facts.width
        step = max(1, WINDOW // (self.extractor.threads * width * 4))
        with (
            store.writing("features", key, meta) as folder,
            closing(ArrayWriter(folder / "values.npy", (rows, width), np.float32)) as writer,
        ):
            for start in range(0, rows, step):
                window = np.empty((min(step, rows - start), width), np.float32)
                for number, mine in enumerate(numbers):
                    inside = np.flatnonzero((mine >= start) & (mine < start + step))
                    shard = self.parts.read(finished[number], (len(self.targets), len(mine), width))
                    window[mine[inside] - start] = shard[place, inside]
                writer.rows(np.arange(start, start + len(window)), window)

    def _timing(self) -> dict[str, Any]:
        return {
            **self.seconds,
            "shards": len(self.shards),
            "shards_resumed": len(self.shards) - len(self.made),
            "jobs": self.jobs,
            "tokens": int(self.tokens.offsets[-1]),
            "rows": len(self.text),
            "workers": self.extractor.threads if self.extractor.device == "cpu" else 1,
            "device": self.extractor.device,
            "poolings": len(self.targets),
        }

    def _tokens_of(self, number: int) -> int:
        return int(sum(self.tokens.lengths[batch].sum() for batch in self.shards[number]))

    def _rows_of(self, number: int) -> int:
        return sum(len(batch) for batch in self.shards[number])

    def _progress(self, todo: list[int]) -> Any:
        from tqdm import tqdm

        return tqdm(
            total=sum(self._tokens_of(number) for number in todo), unit="tok", unit_scale=True, desc=self.text.label,
            disable=None if self.extractor.config.runtime.progress else True, dynamic_ncols=True, smoothing=0,
        )  # fmt: skip


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
