"""TensorFlow's tensor bundle: an index (`PREFIX.index`, a LevelDB table) and the tensors in `PREFIX.data-00000-of-00001` and so on.

Nothing of TensorFlow is needed, nothing is executed, and no file is named by what another file says.

References
----------
TensorFlow, tensorflow/core/protobuf/tensor_bundle.proto and trackable_object_graph.proto; tensorflow/core/util/tensor_bundle/.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.errors import UserError, flatten
from src.models.tensorflow import table
from src.models.tensorflow.checksum import crc32c, masked
from src.models.tensorflow.wire import Damaged, content, fields, number, text, varint

FLOAT, STRING = 1, 7  # of TensorFlow's DataType
LARGEST_INDEX = 1 << 26  # bytes; BERT-large's with its optimiser has 90,000
MOST_SHARDS = 10_000
MOST_DIMENSIONS = 8
OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies: `size` bytes from `offset` on of data file number `shard`, and their masked CRC-32C."""

    kind: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int
    sliced: bool


class Bundle:
    """The tensors of a checkpoint, by the names of its variables.

    ``files`` are those that hold it, the index first.
    """

    def __init__(self, prefix: Path) -> None:
        """Read and check the index.

        Raises
        ------
        UserError
            A file that is missing, cut short, damaged, or of another format.
        """
        self.prefix = prefix
        index = prefix.with_name(f"{prefix.name}.index")
        try:
            with index.open("rb") as file:
                raw = file.read(LARGEST_INDEX + 1)
            if len(raw) > LARGEST_INDEX:
                raise Damaged("it is larger than any checkpoint's index")
            entries = table.read(raw)
            shards = _header(entries.pop(b"", b""))
            self._entries = {
                name.decode("utf-8", "backslashreplace"): _entry(value, shards) for name, value in entries.items()
            }
        except Damaged as error:
            raise UserError(
                f"{index.name} is no whole index of a TensorFlow checkpoint: {error}. Get the checkpoint again."
            ) from error
        except OSError as error:
            raise UserError(f"{index.name} cannot be read: {flatten(error, 160)}.") from error
        self._data = [prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{shards:05d}") for shard in range(shards)]
        self.files = [index, *self._data]
        self._check_sizes()
        self.names = self._object_names() if OBJECTS in self._entries else {name: name for name in self._entries}

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every variable."""
        return {name: self._entries[key].shape for name, key in self.names.items()}

    def read(self, name: str) -> np.ndarray:
        """A float32 variable, checked against its checksum; UserError for one that is of another type, in slices or damaged."""
        entry = self._entries[self.names[name]]
        if entry.kind != FLOAT or entry.sliced:
            what = "is stored in slices" if entry.sliced else f"is of TensorFlow's type {entry.kind}"
            raise UserError(
                f"{self.prefix.name}: variable {name} {what}; only whole float32 ones (type {FLOAT}) are read."
            )
        raw = self._bytes(entry)
        if masked(crc32c(raw)) != entry.checksum:
            raise self._damaged(name)
        return raw.view("<f4").reshape(entry.shape)

    def _bytes(self, entry: Entry) -> np.ndarray:
        # Read, not mapped: a file that is cut while it is mapped kills the process, and what was read can be let go of tensor by tensor.
        data = self._data[entry.shard]
        try:
            raw = np.fromfile(data, np.uint8, entry.size, offset=entry.offset)
        except OSError as error:
            raise UserError(f"{data.name} cannot be read: {flatten(error, 160)}.") from error
        if len(raw) < entry.size:
            raise UserError(f"{data.name} has been cut short while it was read. Get the checkpoint again.")
        return raw

    def _check_sizes(self) -> None:
        """Every tensor lies inside of its file."""
        for shard, data in enumerate(self._data):
            mine = {name: entry.offset + entry.size for name, entry in self._entries.items() if entry.shard == shard}
            if not data.is_file():
                raise UserError(f"{data.name} is missing beside {self.files[0].name}. Get the checkpoint again.")
            size = data.stat().st_size
            for name, end in mine.items():
                if end > size:
                    raise UserError(
                        f"{data.name} has {size:,} bytes, and {name} ends at {end:,}: it is cut short. Get it again."
                    )

    def _object_names(self) -> dict[str, str]:
        """Key of every variable by its name: TensorFlow 2 files tensors under their places among the objects, and lists those."""
        entry = self._entries[OBJECTS]
        try:
            if entry.kind != STRING or entry.shape:
                raise Damaged("its list of objects is no text")
            return _full_names(_string(self._bytes(entry).tobytes(), entry.checksum), self._entries)
        except Damaged as error:
            raise UserError(f"{self._data[entry.shard].name}: {error}. Get the checkpoint again.") from error

    def _damaged(self, name: str) -> UserError:
        data = self._data[self._entries[self.names[name]].shard]
        return UserError(f"{data.name} is damaged: {name} does not match its checksum. Get the checkpoint again.")


def _header(raw: bytes) -> int:
    """Number of data files; the bytes are a BundleHeaderProto."""
    found = {key: number(value) for key, value in fields(raw) if key in (1, 2)}
    if not 1 <= found.get(1, 0) <= MOST_SHARDS:
        raise Damaged("it names no data files")
    if found.get(2, 0):
        raise Damaged("its numbers are big-endian")
    return found[1]


def _entry(raw: bytes, shards: int) -> Entry:
    """A BundleEntryProto, checked for sense."""
    numbers = {1: 0, 3: 0, 4: 0, 5: 0, 6: 0}
    shape: tuple[int, ...] = ()
    sliced = False
    for key, value in fields(raw):
        if key in numbers:
            numbers[key] = number(value)
        elif key == 2:
            shape = _shape(content(value))
        elif key == 7:
            sliced = True
    kind, shard, offset, size, checksum = numbers.values()
    if shard >= shards:
        raise Damaged("a tensor lies in a data file that there is not")
    if kind == FLOAT and not sliced and size != 4 * math.prod(shape):
        raise Damaged("a tensor's shape does not fit its bytes")
    return Entry(kind, shape, shard, offset, size, checksum, sliced)


def _shape(raw: bytes) -> tuple[int, ...]:
    """A TensorShapeProto, of known rank."""
    sizes = []
    for key, value in fields(raw):
        if key == 2:
            sizes.append(next((number(size) for name, size in fields(content(value)) if name == 1), 0))
        elif key == 3 and value:
            raise Damaged("a tensor has no shape")
    if len(sizes) > MOST_DIMENSIONS or any(size >> 62 for size in sizes):
        raise Damaged("a tensor's shape is beyond any tensor's")
    return tuple(sizes)


def _string(raw: bytes, checksum: int) -> bytes:
    """The one string of a tensor: its length, a checksum of the length, its bytes. The tensor's own checksum spans all three."""
    size, place = varint(raw, 0)
    length = size.to_bytes(4, "little") if size < 1 << 32 else size.to_bytes(8, "little")
    if len(raw) - place - 4 != size or masked(crc32c(length + raw[place:])) != checksum:
        raise Damaged("its list of objects does not match its checksum")
    return raw[place + 4 :]


def _full_names(raw: bytes, known: Mapping[str, Entry]) -> dict[str, str]:
    """Key by name of the variables of a TrackableObjectGraph; those that share a name keep their keys for names."""
    keys: dict[str, set[str]] = {}
    for key, node in fields(raw):
        if key != 1:
            continue
        for part, attribute in fields(content(node)):
            if part != 2:
                continue
            words = {label: text(value) for label, value in fields(content(attribute)) if label in (2, 3)}
            if words.get(3) in known:
                keys.setdefault(words.get(2) or words[3], set()).add(words[3])
    return {name if len(found) == 1 else key: key for name, found in keys.items() for key in found}
