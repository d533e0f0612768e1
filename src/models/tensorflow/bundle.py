"""Read TensorFlow's tensor bundle without TensorFlow.

A bundle is an index (`PREFIX.index`, a LevelDB table) and the tensors in
`PREFIX.data-00000-of-00001` and so on. Nothing is executed, and no file name is read from a file.

References
----------
TensorFlow, tensorflow/core/protobuf/tensor_bundle.proto and trackable_object_graph.proto;
tensorflow/core/util/tensor_bundle/.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.errors import UserError, flatten
from src.models.tensorflow.checksum import crc32c, mask_crc
from src.models.tensorflow.table import read_table
from src.models.tensorflow.wire import DamagedError, as_bytes, as_number, as_text, read_fields, read_varint

FLOAT, STRING = 1, 7  # of TensorFlow's DataType
MAX_INDEX = 1 << 26  # bytes; BERT-large's with its optimiser has 90,000
MAX_SHARDS = 10_000
MAX_DIMENSIONS = 8
OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"


@dataclass(frozen=True)
class Entry:
    """Place of a tensor: `size` bytes from `offset` in data file `shard`, with their masked CRC-32C."""

    shape: tuple[int, ...]
    kind: int
    shard: int
    offset: int
    size: int
    checksum: int
    sliced: bool


class Bundle:
    """The tensors of a checkpoint, by the names of its variables.

    Attributes
    ----------
    files : list of Path
        The files of the checkpoint, the index first.
    names : dict of str to str
        Key in the index of each variable, by the variable's name.
    """

    def __init__(self, prefix: Path) -> None:
        """Read and check the index of the files whose names begin with `prefix`.

        Raises
        ------
        UserError
            A file is missing, cut short, damaged, or of another format.
        """
        self.prefix = prefix
        index = prefix.with_name(f"{prefix.name}.index")
        try:
            with index.open("rb") as file:
                raw = file.read(MAX_INDEX + 1)
            if len(raw) > MAX_INDEX:
                raise DamagedError("it is larger than any checkpoint's index")
            entries = read_table(raw)
            shards = _header(entries.pop(b"", b""))
            self._entries = {
                name.decode("utf-8", "backslashreplace"): _entry(value, shards) for name, value in entries.items()
            }
        except DamagedError as error:
            raise UserError(
                f"{index.name} is no complete index of a TensorFlow checkpoint: {error}. Get the checkpoint again."
            ) from error
        except OSError as error:
            raise UserError(f"{index.name} cannot be read: {flatten(error, 160)}. Get the checkpoint again.") from error
        self._data_files = [
            prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{shards:05d}") for shard in range(shards)
        ]
        self.files = [index, *self._data_files]
        self._check_sizes()
        self.names = self._object_names() if OBJECTS in self._entries else {name: name for name in self._entries}

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every variable, by its name."""
        return {name: self._entries[key].shape for name, key in self.names.items()}

    def read(self, name: str) -> np.ndarray:
        """Return a float32 variable; UserError if it has another type, is stored in slices or is damaged."""
        entry = self._entries[self.names[name]]
        if entry.kind != FLOAT or entry.sliced:
            what = "is stored in slices" if entry.sliced else f"is of TensorFlow's type {entry.kind}"
            raise UserError(
                f"{self.prefix.name}: variable {name} {what}; only whole float32 variables (type {FLOAT}) are read. "
                "Convert the checkpoint."
            )
        raw = self._bytes(entry)
        if mask_crc(crc32c(raw)) != entry.checksum:
            raise self._damaged(name)
        return raw.view("<f4").reshape(entry.shape)

    def _bytes(self, entry: Entry) -> np.ndarray:
        """Return the stored bytes of a tensor, as uint8."""
        # Not mapped: a mapped file that is cut short kills the process.
        data = self._data_files[entry.shard]
        try:
            raw = np.fromfile(data, np.uint8, entry.size, offset=entry.offset)
        except OSError as error:
            raise UserError(f"{data.name} cannot be read: {flatten(error, 160)}. Get the checkpoint again.") from error
        if len(raw) < entry.size:
            raise UserError(f"{data.name} has been cut short while it was read. Get the checkpoint again.")
        return raw

    def _check_sizes(self) -> None:
        """Check that every tensor lies inside its file."""
        for shard, data in enumerate(self._data_files):
            ends = {name: entry.offset + entry.size for name, entry in self._entries.items() if entry.shard == shard}
            if not data.is_file():
                raise UserError(f"{data.name} is missing beside {self.files[0].name}. Get the checkpoint again.")
            size = data.stat().st_size
            for name, end in ends.items():
                if end > size:
                    raise UserError(
                        f"{data.name} has {size:,} bytes, and {name} ends at {end:,}: it is cut short. Get it again."
                    )

    def _object_names(self) -> dict[str, str]:
        """Return the key of each variable by its name, from TensorFlow 2's object graph."""
        entry = self._entries[OBJECTS]
        try:
            if entry.kind != STRING or entry.shape:
                raise DamagedError("its list of objects is no text")
            return _full_names(_string(self._bytes(entry).tobytes(), entry.checksum), self._entries)
        except DamagedError as error:
            raise UserError(f"{self._data_files[entry.shard].name}: {error}. Get the checkpoint again.") from error

    def _damaged(self, name: str) -> UserError:
        """Return the error for a variable that does not match its checksum."""
        data = self._data_files[self._entries[self.names[name]].shard]
        return UserError(f"{data.name} is damaged: {name} does not match its checksum. Get the checkpoint again.")


def _header(raw: bytes) -> int:
    """Return the number of data files from a BundleHeaderProto."""
    found = {key: as_number(value) for key, value in read_fields(raw) if key in (1, 2)}
    if not 1 <= found.get(1, 0) <= MAX_SHARDS:
        raise DamagedError("it names no data files")
    if found.get(2, 0):
        raise DamagedError("its numbers are big-endian")
    return found[1]


def _entry(raw: bytes, shards: int) -> Entry:
    """Return the entry in a BundleEntryProto, checked."""
    numbers = {1: 0, 3: 0, 4: 0, 5: 0, 6: 0}
    shape: tuple[int, ...] = ()
    sliced = False
    for key, value in read_fields(raw):
        if key in numbers:
            numbers[key] = as_number(value)
        elif key == 2:
            shape = _shape(as_bytes(value))
        elif key == 7:
            sliced = True
    kind, shard, offset, size, checksum = numbers.values()
    if shard >= shards:
        raise DamagedError("a tensor lies in a data file that does not exist")
    if kind == FLOAT and not sliced and size != 4 * math.prod(shape):
        raise DamagedError("a tensor's shape does not fit its bytes")
    return Entry(shape, kind, shard, offset, size, checksum, sliced)


def _shape(raw: bytes) -> tuple[int, ...]:
    """Return the shape in a TensorShapeProto of known rank."""
    sizes = []
    for key, value in read_fields(raw):
        if key == 2:
            sizes.append(next((as_number(size) for name, size in read_fields(as_bytes(value)) if name == 1), 0))
        elif key == 3 and value:
            raise DamagedError("a tensor has no shape")
    if len(sizes) > MAX_DIMENSIONS or any(size >> 62 for size in sizes):
        raise DamagedError("a tensor's shape is beyond any tensor's")
    return tuple(sizes)


def _string(raw: bytes, checksum: int) -> bytes:
    """Return the string of a scalar tensor: stored are its length, the length's checksum, its bytes.

    The tensor's own checksum is over all three.
    """
    size, place = read_varint(raw, 0)
    length = size.to_bytes(4, "little") if size < 1 << 32 else size.to_bytes(8, "little")
    if len(raw) - place - 4 != size or mask_crc(crc32c(length + raw[place:])) != checksum:
        raise DamagedError("its list of objects does not match its checksum")
    return raw[place + 4 :]


def _full_names(raw: bytes, known: Mapping[str, Entry]) -> dict[str, str]:
    """Return the keys of a TrackableObjectGraph's variables by name.

    A variable that shares its name with others has its key as its name.
    """
    keys: dict[str, set[str]] = {}
    for key, node in read_fields(raw):
        if key != 1:
            continue
        for part, attribute in read_fields(as_bytes(node)):
            if part != 2:
                continue
            words = {label: as_text(value) for label, value in read_fields(as_bytes(attribute)) if label in (2, 3)}
            if words.get(3) in known:
                keys.setdefault(words.get(2) or words[3], set()).add(words[3])
    return {name if len(found) == 1 else key: key for name, found in keys.items() for key in found}
