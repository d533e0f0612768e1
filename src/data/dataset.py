"""The values that reading a task gives: its splits, and the task with the roles of its splits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from src.errors import UserError


@dataclass(frozen=True)
class Split:
    """One split, its rows in the order of its file.

    Attributes
    ----------
    text, text_pair : pa.LargeStringArray of (rows,)
        `text_pair` is None in a task of single sentences.
    label : ndarray of (rows,)
        int64 class ids, or float64 scores; NaN in all rows of a split without labels.
    sets, set_ids : tuple of str, ndarray of (rows,) int64
        Names of the sets that the rows come from, and each row's set; None without sets.
    """

    name: str
    text: pa.LargeStringArray
    text_pair: pa.LargeStringArray | None
    label: np.ndarray
    sets: tuple[str, ...] | None = None
    set_ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.label)

    @property
    def is_labelled(self) -> bool:
        """Whether the rows have labels."""
        return not (self.label.dtype.kind == "f" and bool(np.isnan(self.label).all()))

    @cached_property
    def text_digest(self) -> str:
        """Hexadecimal SHA-256 of the texts in row order."""
        return _digest(self.text)

    @cached_property
    def text_pair_digest(self) -> str | None:
        """Hexadecimal SHA-256 of the second texts in row order; None without them."""
        return None if self.text_pair is None else _digest(self.text_pair)

    @property
    def sets_digest(self) -> str | None:
        """Hexadecimal SHA-256 of the names of the sets and each row's set; None without sets."""
        if self.sets is None or self.set_ids is None:
            return None
        return hashlib.sha256(json.dumps(self.sets).encode() + self.set_ids.astype("<i8").tobytes()).hexdigest()

    def row_digests(self) -> np.ndarray:
        """Return a digest of each row's texts, (rows,) uint64, comparable across splits."""
        return self._row_digests

    @cached_property
    def pair_digests(self) -> np.ndarray | None:
        """Digest of each text of each pair, (rows, 2) uint64, equal for equal texts; None without pairs."""
        if self.text_pair is None:
            return None
        return np.column_stack([_digests_of(_encoded_rows(column)) for column in (self.text, self.text_pair)])

    @cached_property
    def _row_digests(self) -> np.ndarray:
        rows = _encoded_rows(self.text)
        if self.text_pair is not None:
            # The length in front keeps ("ab", "c") and ("a", "bc") apart.
            rows = (
                b"%d:" % len(first) + first + second
                for first, second in zip(rows, _encoded_rows(self.text_pair), strict=True)
            )
        return _digests_of(rows)


def _digests_of(rows: Iterable[bytes]) -> np.ndarray:
    return np.fromiter(
        (int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "little") for row in rows), dtype=np.uint64
    )


def _buffers(text: pa.LargeStringArray) -> tuple[np.ndarray, memoryview]:
    offsets = np.frombuffer(text.buffers()[1], dtype=np.int64)[text.offset : text.offset + len(text) + 1]
    return offsets, memoryview(text.buffers()[2] or b"")


def _digest(text: pa.LargeStringArray) -> str:
    # The count, all lengths, then all bytes: unambiguous, in three calls instead of one a row.
    digest = hashlib.sha256(len(text).to_bytes(8, "little"))
    if len(text):
        offsets, data = _buffers(text)
        digest.update(np.diff(offsets).astype("<i8").tobytes())
        digest.update(data[int(offsets[0]) : int(offsets[-1])])
    return digest.hexdigest()


def _encoded_rows(text: pa.LargeStringArray) -> Iterable[bytes]:
    """Yield the UTF-8 bytes of each row."""
    if not len(text):
        return
    offsets, data = _buffers(text)
    start = int(offsets[0])
    for end in offsets[1:].tolist():
        yield data[start:end].tobytes()
        start = end


def no_training_split(name: str) -> UserError:
    """Return the error for a probe that is to be fitted on a dataset without training rows."""
    return UserError(
        f"{name} has no training split: use probe=cosine, which fits nothing, or name one in ++dataset.splits.train= "
        "(dataset=files: dataset.train=)."
    )


@dataclass(frozen=True)
class Dataset:
    """A task whose texts and labels have been read and checked.

    Attributes
    ----------
    classes : tuple of str
        Class names in id order; empty for regression.
    splits : dict
        Every split under the dataset's own name; labelled, if it has a role.
    roles : dict
        Role to split name: ``test``, mostly ``train``, and perhaps ``development``. Splits of other
        roles are scored beside the test split.
    selection : str
        How the grid's value is selected: ``carve``, ``development``, ``folds`` or ``nested``.
    folds : int
        Number of folds, for the selections ``folds`` and ``nested``.
    metrics : tuple of str
        The headline metric first.
    group : ndarray of (rows of train,) int64, or None
        Equal for rows that dataset.group or equal texts join; None without dataset.group.
    test_group : ndarray of (rows of test,) int64, or None
        The same for test rows of their own, which are resampled with their group.
    source : dict
        Provenance without absolute paths: ``from`` (hub, folder, files or generated), ``path``,
        ``revision``, ``files`` (name to SHA-256), ``seed`` of a generated task, and ``left_out``
        (split to number of rows) where rows without a score are left out.
    """

    name: str
    task: str
    classes: tuple[str, ...]
    splits: dict[str, Split]
    roles: dict[str, str]
    selection: str
    folds: int
    metrics: tuple[str, ...]
    source: dict[str, Any]
    group: np.ndarray | None = None
    test_group: np.ndarray | None = None

    @property
    def has_train(self) -> bool:
        """Whether there are training rows."""
        return "train" in self.roles

    @property
    def left_out(self) -> int:
        """Number of rows without a score, which are in no split."""
        return sum(self.source.get("left_out", {}).values())

    @property
    def train(self) -> Split:
        """The training rows; UserError without them."""
        if not self.has_train:
            raise no_training_split(self.name)
        return self.splits[self.roles["train"]]

    @property
    def test(self) -> Split:
        return self.splits[self.roles["test"]]

    @property
    def groups(self) -> np.ndarray:
        """Group of each training row, (rows of train,); a group stays on one side of every split."""
        return self.train.row_digests() if self.group is None else self.group

    @property
    def groups_span_classes(self) -> bool:
        """Whether a group may hold rows of several classes: dataset.group is given."""
        return self.group is not None

    @property
    def test_groups(self) -> np.ndarray | None:
        """Group of each test row, (rows of test,); None where each row stands alone."""
        return self.group if self.roles["test"] == self.roles.get("train") else self.test_group

    @property
    def has_pairs(self) -> bool:
        """Whether a row has two texts."""
        return any(split.text_pair is not None for split in self.splits.values())

    def identity(self) -> dict[str, Any]:
        """Return what enters content keys: digests of texts and labels, metrics and selection."""
        roles: dict[str, list[str | None]] = {}
        for role, name in sorted(self.roles.items()):
            split = self.splits[name]
            roles[role] = [split.text_digest, split.text_pair_digest, hashlib.sha256(split.label.tobytes()).hexdigest()]
            if split.sets_digest is not None:
                roles[role].append(split.sets_digest)
        protocol = {"metrics": list(self.metrics), "selection": self.selection, "folds": self.folds}
        groups = {"group": self.group, "test_group": self.test_group}
        group = {name: hashlib.sha256(each.tobytes()).hexdigest() for name, each in groups.items() if each is not None}
        return {"roles": roles, "task": self.task, "classes": len(self.classes), **protocol, **group}

    def test_in_train(self) -> int:
        """Count the test rows whose texts also occur in train; 0 without another split as train."""
        if self.roles.get("train", self.roles["test"]) == self.roles["test"]:
            return 0
        return int(np.isin(self.test.row_digests(), self.train.row_digests()).sum())
