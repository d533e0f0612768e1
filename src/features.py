"""One split to one matrix: read what the store has; encode once for all that is missing, and pool it every way that is asked."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from src.batching import layout, plan, shards
from src.checkpoint import Checkpoint
from src.config import Config
from src.data import Split
from src.encoder import Encoder, Facts, Tokenizer, Tokens
from src.errors import UserError
from src.kernels import VERSION
from src.pooler import refuse
from src.pooling import SATURATED, Pooling, poolings
from src.provenance import version
from src.result import content_key
from src.store import ArrayWriter, Parts, Store, Value
from src.timing import Clock

log = logging.getLogger(__name__)

WINDOW = 1 << 26  # bytes of features in memory, of all workers together, while shards are put together
TOKEN_BUDGET = {"cpu": 512, "cuda": 16384, "mps": 4096}
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


@dataclass
class Extractor:
    """A checkpoint with its store: gives features, and loads the model only when some are missing."""

    checkpoint: Checkpoint
    config: Config
    store: Store
    clock: Clock
    threads: int
    encoded: int = 0  # rows that were encoded
    warmup: float = 0.0
    _encoder: Encoder | None = None
    _facts: Facts | None = None
    _tokenizer: Tokenizer | None = None

    @property
    def facts(self) -> Facts:
        """Layers, width, limits and the pooler's status: from the store, or from the model once it is loaded."""
        if self._facts is None:
            key = self._facts_key()
            value = self.store.get("facts", key)
            if value is None:
                self._facts = self.encoder.facts
                self.store.put("facts", key, {}, {"facts": json.dumps(asdict(self._facts))})
            else:
                self._facts = Facts(**json.loads(value.meta["facts"]))
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
        }
        loaded = {"model": self.checkpoint.identity, "tokenizer": self.checkpoint.tokenizer, "versions": library_versions()}
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
        if reason := pooling.missing(layers=self.facts.layers, pooler=self.facts.has_pooler):
            raise UserError(f"pooling '{name}' is not to be had of '{self.checkpoint.label}': {reason}. Choose another pooling.")
        return name, resolved

    def tokens(self, text: Text) -> Tokens:
        """The word pieces of a split, tokenised once and stored."""
        key = self.store.key({"kind": "tokens", "text": text.digest, **self._tokenisation()})
        with self.store.lock(key, f"tokenising {text.label}"):
            value = self.store.get("tokens", key)
            if value is None:
                with self.clock.phase("tokenise"):
                    if self._tokenizer is None:
                        self._tokenizer = Tokenizer(self.checkpoint, self.facts.max_length)
                    tokens = self._tokenizer(text.text, text.text_pair)
                with self.clock.phase("store"):
                    self.store.sweep([key])
                    arrays = {"ids": tokens.ids, "segments": tokens.segments, "special": tokens.special, "offsets": tokens.offsets}
                    self.store.put("tokens", key, arrays, {"truncated": tokens.truncated})
                return tokens
        return Tokens(**value.arrays, truncated=value.meta["truncated"])

    def features(self, text: Text, target: Target, also_layers: Sequence[int] = ()) -> Features:
        """The features of a split, encoding it if they are not stored:
        then every pooling that the model supports at the layer is stored with them.
        """
        tokens = self.tokens(text)
        key = self._key(text, target)
        with self.clock.phase("store"):
            value = self.store.get("features", key)
        hit = value is not None
        if hit:
            self._tidy(text, self._targets(target, also_layers))
        if value is None:
            with self.store.lock(self._key(text, ("", -1)), f"encoding {text.label}"):
                with self.clock.phase("store"):
                    value = self.store.get("features", key)  # another process may have made it while this one waited
                hit = value is not None
                if value is None:
                    value = self._encode(text, tokens, target, also_layers)
        return Features(value.arrays["values"], hit, value.meta["pass"], int(tokens.offsets[-1]), tokens.truncated)

    def missing(self, text: Text, target: Target, also_layers: Sequence[int] = ()) -> list[Target]:
        """What a pass for this target would compute and the store does not have."""
        return [each for each in self._targets(target, also_layers) if not self.store.has("features", self._key(text, each))]

    def share(self, text: Text, target: Target, also_layers: Sequence[int], shard: int, shards: int) -> int:
        """Encode share `shard` of `shards` of a pass, waiting for nobody; whoever finds that all is encoded puts the features together.

        Returns
        -------
        int
            Shards of the pass that other jobs have still to encode; 0 where the features are stored.
        """
        if not self.missing(text, target, also_layers):
            return 0
        left = Pass(self, text, self.tokens(text), self._targets(target, also_layers)).share(shard, shards)
        missing = self.missing(text, target, also_layers)
        if missing and not left:
            self.features(text, missing[0], [*also_layers, target[1]])
        return left if missing else 0

    def _encode(self, text: Text, tokens: Tokens, target: Target, also_layers: Sequence[int]) -> Value:
        targets = self._targets(target, also_layers)
        missing = [each for each in targets if each != target and not self.store.has("features", self._key(text, each))]
        Pass(self, text, tokens, targets).run({each: self._key(text, each) for each in (target, *missing)})
        value = self.store.get("features", self._key(text, target))
        if value is None:
            raise UserError(
                f"the features of {text.label} cannot be read back from the store: its disk may be failing. Set "
                "runtime.cache_dir to another."
            )
        return value

    def _targets(self, target: Target, also_layers: Sequence[int]) -> list[Target]:
        """What a pass for this target computes, stored or not: a pass that was killed while it wrote its values finds its shards again."""
        return self.supported(sorted({target[1], *(self.layer(layer) for layer in also_layers)}))

    def _tidy(self, text: Text, targets: list[Target]) -> None:
        """Remove the shards of a pass that was killed after it had written its last value."""
        parts = self.parts(text, targets)
        if parts.folder.is_dir() and all(self.store.has("features", self._key(text, each)) for each in targets):
            parts.remove()

    def parts(self, text: Text, targets: list[Target]) -> Parts:
        """The finished shards of the pass that computes these targets."""
        return self.store.parts(self._key(text, (",".join(f"{name}@{layer}" for name, layer in targets), -1)))

    def supported(self, layers: Sequence[int]) -> list[Target]:
        """Every registered pooling that the model has at the given layers."""

        def fits(pooling: Pooling, layer: int) -> bool:
            where = pooling.layers == "any" or layer == self.facts.layers
            return where and pooling.missing(layers=self.facts.layers, pooler=self.facts.has_pooler) is None

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


_loaded: dict[str, Encoder] = {}


def load_encoder(checkpoint: Checkpoint, config: Config) -> Encoder:
    """The checkpoint's encoder; the last one loaded is kept, so that a sweep over datasets loads it once."""
    key = content_key(
        {
            "model": checkpoint.identity,
            "tokenizer": checkpoint.tokenizer,
            "max_length": config.model.max_length,
            "runtime": [config.runtime.device, config.runtime.dtype, config.runtime.attention, config.runtime.token_budget],
        }
    )
    if key not in _loaded:
        _loaded.clear()
        log.info("loading %s", checkpoint.label)
        _loaded[key] = Encoder(checkpoint, config.model, config.runtime)
    return _loaded[key]


class Pass:
    """One forward pass over a split: shards among workers, each stored when done, then put together in the order of the rows."""

    def __init__(self, extractor: Extractor, text: Text, tokens: Tokens, targets: list[Target]) -> None:
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
        finished = self.parts.finished()
        extractor.store.sweep(keys.values())
        written = sum(path.stat().st_size for path in finished.values())
        extractor.store.require((len(self.targets) + len(keys)) * rows * width * 4 - written)
        todo = [number for number in range(len(self.shards)) if number not in finished]
        while todo:
            finished |= self._timed(todo)
            if todo := [number for number in todo if number not in finished]:
                log.info("%s: another process is at its last shards: waiting for it", self.text.label)
                self.parts.claim(todo[0], wait=True).release()
        notes = self.parts.notes()
        self.jobs = len(notes) + bool(self.made)
        for note in notes:
            for phase in self.seconds:
                self.seconds[phase] += note[phase]
        with extractor.clock.phase("store"):
            self._assemble(keys, finished)
            self.parts.remove()

    def share(self, shard: int, shards: int) -> int:
        """Encode one of `shards` equal shares; the number of shards of the pass that are not there yet."""
        extractor, there = self.extractor, self.parts.named()
        todo = [number for number in range(shard, len(self.shards), shards) if number not in there]
        if todo:
            rows = sum(len(batch) for number in todo for batch in self.shards[number])
            extractor.store.require(len(self.targets) * rows * extractor.facts.width * 4)
            self._timed(todo)
            if self.made:
                self.parts.note(self.seconds)
        return len(self.shards) - len(self.parts.named())

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
                "%s: %s rows, %s tokens in %.1f s (%s tokens/s)", self.text.label, f"{rows:,}", f"{tokens:,}", wall, f"{tokens / wall:,.0f}"
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
            pending: dict[Future[np.ndarray], tuple[int, Any]] = {}
            waiting = iter(todo)
            try:
                while True:
                    for number in waiting:
                        claim = self.parts.claim(number)
                        if claim is None:
                            continue
                        if path := self.parts.made(number):  # by another process, since it was last looked for
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
                            done[number] = self.parts.write(number, future.result())
                            self.made.add(number)
                        finally:
                            claim.release()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
                for _, claim in pending.values():
                    claim.release()

    def _shard(self, encoder: Encoder, number: int, bar: Any) -> np.ndarray:
        """Every target of a shard's rows, (targets, rows, width) float32."""
        encode = pool = 0.0
        pieces = []
        for batch in self.shards[number]:
            began = time.perf_counter()
            output = encoder.forward(*self._batch(batch))
            encoder.synchronise()
            between = time.perf_counter()
            pieces.append(np.stack([poolings[name].function(output, layer).float().cpu().numpy() for name, layer in self.targets]))
            encode, pool = encode + between - began, pool + time.perf_counter() - between
            with self._lock:
                bar.update(int(self.tokens.lengths[batch].sum()))
        with self._lock:
            self.seconds["encode"] += encode
            self.seconds["pool"] += pool
        pooled = np.concatenate(pieces, axis=1)
        if not np.isfinite(pooled).all():
            broken = next(name for (name, _), values in zip(self.targets, pooled, strict=True) if not np.isfinite(values).all())
            raise UserError(
                f"'{self.extractor.checkpoint.label}' gives values that are no finite numbers ({self.text.label}, {broken}). "
                "Its weights are damaged, or runtime.dtype is too narrow for it: float32 reaches further than float16."
            )
        return pooled

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
        step = max(1, WINDOW // (self.extractor.threads * self.extractor.facts.width * 4))

        def write(target: Target) -> None:
            self._write(keys[target], meta, numbers, finished, self.targets.index(target), step)

        first, *others = keys
        with ThreadPoolExecutor(self.extractor.threads) as pool:
            list(pool.map(write, others))
        write(first)

    def _write(self, key: str, meta: dict[str, Any], numbers: list[np.ndarray], finished: dict[int, Path], place: int, step: int) -> None:
        """The value of the target at `place`; `step` of its rows are in memory at a time."""
        store, rows, width = self.extractor.store, len(self.text), self.extractor.facts.width
        with (
            store.writing("features", key, meta) as folder,
            closing(ArrayWriter(folder / "values.npy", (rows, width), np.float32)) as writer,
        ):
            for start in range(0, rows, step):
                window = np.empty((min(step, rows - start), width), np.float32)
                for number, mine in enumerate(numbers):
                    inside = np.flatnonzero((mine >= start) & (mine < start + step))
                    shard = np.load(finished[number], mmap_mode="r", allow_pickle=False)
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


def texts(split: Split, pairing: str, name: str) -> list[Text]:
    """What an encoder reads of a split: one text a row, pairs joined, or the two sides apart."""
    label = f"{name}/{split.name}"
    if split.text_pair is None:
        return [Text(split.text, None, split.text_digest, label)]
    if pairing == "joint":
        return [Text(split.text, split.text_pair, content_key({"a": split.text_digest, "b": split.text_pair_digest}), label)]
    return [Text(split.text, None, split.text_digest, f"{label} a"), Text(split.text_pair, None, str(split.text_pair_digest), f"{label} b")]


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


def saturated(values: np.ndarray, pooling: str) -> int | None:
    """Entries of `pooler` or `pooler_inverse` features where tanh had rounded to one in magnitude, so that nothing can be inverted;
    None for other poolings.
    """
    limit = {"pooler": 1.0, "pooler_inverse": float(np.arctanh(np.float32(SATURATED)))}.get(pooling)
    return (
        None
        if limit is None
        else int(sum(np.count_nonzero(np.abs(block) >= limit) for block in np.array_split(values, max(1, len(values) // 8192))))
    )


def device_kind(asked: str) -> str:
    """The device that `auto` stands for, without importing torch where no accelerator can be."""
    if asked != "auto":
        return asked
    if sys.platform == "linux" and (version("torch") or "").endswith("+cpu"):
        return "cpu"
    from src.encoder import resolve_device

    return resolve_device(asked)


def library_versions() -> dict[str, str | None]:
    """Versions of the libraries whose defaults decide what a loaded model is."""
    return {name: version(name) for name in ("torch", "transformers")}


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
