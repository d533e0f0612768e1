"""Text in: each split as text, text_pair and label, checked at the border.

What is particular to a task stands in its file in conf/dataset; nothing here names one. Four sources give the same thing: the
Hugging Face hub, a folder in the layout of the official download, the user's own files, and the grammars of src/demo.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from src.config.schema import DatasetConfig, Generated, LocalFiles
from src.data import reading
from src.data.partition import choose_test_rows, linked_units
from src.data.splits import RowSplitter
from src.errors import UserError, flatten, shortened
from src.registry import unknown
from src.runtime import hub

EXTENSIONS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
NUMBER = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
)  # float() takes underscores and other scripts too
MOST_SCORE = 1e30  # squares of labels, and labels in float32, stay finite
HIDDEN = "-1"  # how GLUE's files on the hub spell a label that is kept back


@dataclass(frozen=True)
class Split:
    """One split in the order of its file.

    Attributes
    ----------
    text, text_pair : pa.LargeStringArray of (rows,)
        `text_pair` is None in a task of single sentences.
    label : ndarray of (rows,)
        int64 class ids, or float64 scores.
    """

    name: str
    text: pa.LargeStringArray
    text_pair: pa.LargeStringArray | None
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    @cached_property
    def text_digest(self) -> str:
        """Hexadecimal SHA-256 of the texts in row order."""
        return _digest(self.text)

    @cached_property
    def text_pair_digest(self) -> str | None:
        """Hexadecimal SHA-256 of the second texts in row order; None without them."""
        return None if self.text_pair is None else _digest(self.text_pair)

    def row_digests(self) -> np.ndarray:
        """One uint64 a row over its text and text_pair: (rows,). Equal texts have equal digests, in any split."""
        return self._row_digests

    @cached_property
    def _row_digests(self) -> np.ndarray:
        rows = _pieces(self.text)
        if self.text_pair is not None:
            # The length in front keeps ("ab", "c") and ("a", "bc") apart.
            rows = (
                b"%d:" % len(first) + first + second
                for first, second in zip(rows, _pieces(self.text_pair), strict=True)
            )
        digests = (int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "little") for row in rows)
        return np.fromiter(digests, dtype=np.uint64, count=len(self))


def _buffers(text: pa.LargeStringArray) -> tuple[np.ndarray, memoryview]:
    offsets = np.frombuffer(text.buffers()[1], dtype=np.int64)[text.offset : text.offset + len(text) + 1]
    return offsets, memoryview(text.buffers()[2] or b"")


def _digest(text: pa.LargeStringArray) -> str:
    # Count, then all lengths, then all bytes: as unambiguous as a length before each row, and three calls instead of one a row.
    digest = hashlib.sha256(len(text).to_bytes(8, "little"))
    if len(text):
        offsets, data = _buffers(text)
        digest.update(np.diff(offsets).astype("<i8").tobytes())
        digest.update(data[int(offsets[0]) : int(offsets[-1])])
    return digest.hexdigest()


def _pieces(text: pa.LargeStringArray) -> Iterable[bytes]:
    if not len(text):
        return
    offsets, data = _buffers(text)
    start = int(offsets[0])
    for end in offsets[1:].tolist():
        yield data[start:end].tobytes()
        start = end


@dataclass(frozen=True)
class Dataset:
    """A task, read and checked.

    Attributes
    ----------
    classes : tuple of str
        Class names in id order; empty for regression.
    splits : dict
        Every labelled split under the dataset's own name.
    roles : dict
        Role to split name: ``train``, ``test``, ``development`` where there is one; any other role is scored beside test.
    selection, folds
        Where the grid is chosen: ``carve``, ``development``, ``folds`` or ``nested``.
    metrics : tuple of str
        The headline first.
    group : ndarray of (rows of train,) int64, or None
        Equal where rows belong together by dataset.group or as duplicates; None where no group is given.
    source : dict
        Provenance: ``from`` (hub, folder, files, generated), ``path``, ``revision``, ``files`` (name to SHA-256), and ``seed`` where
        the text is generated from one. No absolute path.
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

    @property
    def train(self) -> Split:
        return self.splits[self.roles["train"]]

    @property
    def test(self) -> Split:
        return self.splits[self.roles["test"]]

    @property
    def together(self) -> np.ndarray:
        """(rows of train,): rows with equal entries fall on one side of every split."""
        return self.train.row_digests() if self.group is None else self.group

    def identity(self) -> dict[str, Any]:
        """Texts, labels, metrics and protocol, as they enter keys: digests and values, no names."""
        roles = {}
        for role, name in sorted(self.roles.items()):
            split = self.splits[name]
            roles[role] = [split.text_digest, split.text_pair_digest, hashlib.sha256(split.label.tobytes()).hexdigest()]
        protocol = {"metrics": list(self.metrics), "selection": self.selection, "folds": self.folds}
        group = {} if self.group is None else {"group": hashlib.sha256(self.group.tobytes()).hexdigest()}
        return {"roles": roles, "task": self.task, "classes": len(self.classes), **protocol, **group}

    def test_in_train(self) -> int:
        """How many test rows also occur, word for word, in train; 0 where both roles are the same rows, divided by folds."""
        if self.roles["train"] == self.roles["test"]:
            return 0
        return int(np.isin(self.test.row_digests(), self.train.row_digests()).sum())


def load(config: DatasetConfig, data_root: str | None) -> Dataset:
    """Read the splits of a task and check their texts and labels, not whether a probe could be fitted: that is `check_probe`.

    Parameters
    ----------
    config : DatasetConfig
        One file of conf/dataset, with the user's changes.
    data_root : str or None
        A folder in the layout of the official downloads; None reads from the hub. The user's own files and generated tasks heed neither.

    Raises
    ------
    UserError
        A file, split or column that is missing, text that is not UTF-8, a missing, unknown or hidden label, no network.
    """
    if config.text is None or config.label is None:
        raise UserError(
            f"{config.name}: dataset.text and dataset.label name the columns of the text and its label; both are needed."
        )
    if config.local is None and config.hub.path is None and config.generated is None:
        return _load_files(config)
    if own := [
        key for key in ("train", "validation", "test", "test_fraction", "group") if getattr(config, key) is not None
    ]:
        raise UserError(f"{config.name}: dataset.{own[0]} is for your own files. Add dataset=files, or leave it out.")
    if missing := {"train", "test"} - set(config.splits):
        raise UserError(f"{config.name}: dataset.splits.{min(missing)} is not set. It names the split for that role.")
    if config.generated is not None:
        tables, source = _generate(config.generated)
        given = {name: f"split '{name}'" for name in tables}
    elif config.local is not None and data_root is not None:
        tables, source = _read_folder(config, config.local, data_root)
        given = {name: f"{config.local.folder}, split '{name}'" for name in tables}
    elif config.hub.path is not None:
        tables, source = _read_hub(config)
        given = {name: f"{config.hub.path}, split '{name}'" for name in tables}
    else:
        raise UserError(f"{config.name} is not on the hub: give data_root=<folder holding {_first_folder(config)}/>.")
    return _assembled(config, tables, given, dict(config.splits), config.selection, source)


def _assembled(
    config: DatasetConfig,
    tables: dict[str, pa.Table | None],
    given: dict[str, str],
    roles: dict[str, str],
    selection: str,
    source: dict[str, Any],
) -> Dataset:
    """Labels to numbers and texts to arrays, once all splits are read: the classes are those of all of them."""
    for role, name in roles.items():
        if name not in tables:
            raise unknown("split", name, tables, where=f"{config.name}: dataset.splits.{role}: ")
    where = {name: f"{config.name}: {place}" for name, place in given.items()}
    read = {name: table for name, table in tables.items() if table is not None}
    labels = {name: _labels(config, table["label"], where[name]) for name, table in read.items()}
    classes = _classes(config, labels, roles)
    labelled = [name for name in read if not _is_hidden(labels[name], classes)]
    for role, name in roles.items():
        if name not in labelled:
            raise _hidden(config, role, name, [other for other in labelled if other != roles.get("train")])
    splits = {name: _split(config, name, read[name], labels[name], classes, where[name]) for name in labelled}
    from src.evaluation.metrics import metrics as known_metrics

    metrics = tuple(config.metrics) or _default_metrics(config, classes)
    for name in metrics:
        most = known_metrics[name].most_classes if name in known_metrics else None
        if most is not None and len(classes) > most:
            raise UserError(
                f"{config.name}: metric '{name}' is for {most} classes, and there are {len(classes)}. Use accuracy, macro_f1 or mcc."
            )
    return Dataset(config.name, config.task, classes, splits, roles, selection, config.folds, metrics, source)


def _split(
    config: DatasetConfig, name: str, table: pa.Table, labels: pa.ChunkedArray, classes: tuple[str, ...], where: str
) -> Split:
    numbers = _scores(labels, where) if config.task == "regression" else _ids(labels, classes, config, where)
    text_pair = _text(table["text_pair"], where) if "text_pair" in table.column_names else None
    return Split(name, _text(table["text"], where), text_pair, numbers)


def _hidden(config: DatasetConfig, role: str, name: str, labelled: list[str]) -> UserError:
    what = f"{config.name}: split '{name}' hides its labels (all -1)."
    if getattr(config, name, None) is not None:
        return UserError(f"{what} Give a file with labels in dataset.{name}.")
    return UserError(f"{what} Set dataset.splits.{role} to '{labelled[0] if labelled else 'a split with labels'}'.")


def _default_metrics(config: DatasetConfig, classes: tuple[str, ...]) -> tuple[str, ...]:
    fitting = (
        ["pearson", "spearman"]
        if config.task == "regression"
        else ["accuracy", "f1", "mcc"]
        if len(classes) == 2
        else ["accuracy"]
    )
    headline = config.metric or fitting[0]
    return (headline, *(name for name in fitting if name != headline))


# The official download ---------------------------------------------------------------------------------------------------------------


def _first_folder(config: DatasetConfig) -> str:
    return config.local.folder.partition("/")[0] if config.local else "glue_data"


def _read_folder(
    config: DatasetConfig, local: LocalFiles, data_root: str
) -> tuple[dict[str, pa.Table | None], dict[str, Any]]:
    root = _at_home(data_root)
    if not root.is_dir():
        raise UserError(
            f"data_root '{data_root}' is no folder. It holds {_first_folder(config)}/ in the layout of the official download."
        )
    # Each split is one file, or one file for each class; null where the labels are hidden.
    parts = {split: named if isinstance(named, Mapping) else {"": named} for split, named in local.files.items()}
    expected = [file for named in parts.values() for file in named.values() if file]
    tables: dict[str, pa.Table | None] = {}
    files: dict[str, str] = {}
    for split, named in parts.items():
        read = []
        for label, file in named.items():
            if file is None:
                continue
            path, given = root / local.folder / file, f"{local.folder}/{file}"
            if not path.exists():
                if split not in config.splits.values():
                    continue
                raise UserError(
                    f"{config.name}: there is no {given} in data_root={data_root}.\n"
                    f"The official download keeps in {local.folder}: {', '.join(expected)}."
                )
            files[file] = reading.sha256(path, given)
            read.append(_read_official(config, local, path, given, label))
        tables[split] = pa.concat_tables(read) if read else None
    return tables, {"from": "folder", "path": local.folder, "revision": None, "files": files}


def _read_official(config: DatasetConfig, local: LocalFiles, path: Path, given: str, label: str) -> pa.Table:
    if local.format == "sentences":
        return reading.read_sentences(path, given, label, local.encoding)
    if local.format == "labelled_lines":
        return reading.read_labelled_lines(path, given, local.label_end, local.encoding)
    if local.format != "tsv":
        raise unknown("format", local.format, ("tsv", "sentences", "labelled_lines"), where=f"{config.name}: ")
    columns = _columns(local.text or config.text, local.text_pair or config.text_pair, local.label or config.label)
    names = columns.values()
    table = reading.read_delimited(
        path, given, names, delimiter="\t", quoting=False, columns=local.columns, encoding=local.encoding
    )
    return _under(columns, table)


def _at_home(given: str) -> Path:
    """A path as the user wrote it, ``~`` replaced."""
    try:
        return Path(given).expanduser()
    except RuntimeError:
        raise UserError(
            f"'{given}' begins with the name of a user who has no home folder. Write the path out."
        ) from None


def _columns(text: str | None, text_pair: str | None, label: str | None) -> dict[str, str]:
    named = {"text": text, "text_pair": text_pair, "label": label}
    return {role: column for role, column in named.items() if column is not None}


def _under(columns: dict[str, str], table: pa.Table) -> pa.Table:
    """The table's columns under the names that the rest of this file uses."""
    return pa.table({role: table[column] for role, column in columns.items()})


# The hub -----------------------------------------------------------------------------------------------------------------------------


def _read_hub(config: DatasetConfig) -> tuple[dict[str, pa.Table | None], dict[str, Any]]:
    path = str(config.hub.path)
    ways_out = (
        f"Give data_root=<folder holding {_first_folder(config)}/>." if config.local else "Connect, and try again."
    )
    if Path(path).exists():
        raise UserError(
            f"{config.name}: the folder '{path}' here hides the hub's dataset of that name. Run from another folder."
        )
    online = hub.go_offline_unless_reachable()

    import datasets

    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(path, config.hub.name, revision=config.hub.revision)
    except (
        Exception
    ) as error:  # its refusals have no common class: ConnectionError, ValueError, FileNotFoundError, DatasetsError
        if not online:
            raise UserError(
                f"{config.name}: cannot reach the hub and '{path}' is not in its cache. {ways_out}"
            ) from None
        raise UserError(
            f"{config.name}: cannot load '{path}' from the hub: {flatten(error, 200)}\n{ways_out}"
        ) from None
    columns = _columns(config.text, config.text_pair, config.label)
    tables = {name: _from_hub(split, columns, f"{path}, split '{name}'") for name, split in loaded.items()}
    # A pinned commit is its own proof; a branch's is read from the addresses of the files it was loaded from.
    addresses = " ".join(next(iter(loaded.values())).info.download_checksums or {})
    commit = re.search(r"@([0-9a-f]{40})/", addresses) or re.fullmatch(r"([0-9a-f]{40})", config.hub.revision)
    return tables, {"from": "hub", "path": path, "revision": commit[1] if commit else None, "files": {}}


def _from_hub(split: Any, columns: dict[str, str], given: str) -> pa.Table | None:
    header = split.column_names
    if not any(reading.trimmed(name) == reading.trimmed(columns["label"]) for name in header):
        return None
    columns = {role: header[reading.place(column, header, given)] for role, column in columns.items()}
    table = split.with_format("arrow")[:]
    spelled = _under(columns, reading.spelled_table(table.select(list(dict.fromkeys(columns.values()))), given))
    names = getattr(split.features[columns["label"]], "names", None)
    if names is None:
        return spelled
    # An id that names no class (-1: hidden) stays a number.
    ids = pc.index_in(table[columns["label"]], pa.array(range(len(names)), table[columns["label"]].type))
    labels = pc.coalesce(pa.array(names, pa.large_string()).take(ids), spelled["label"])
    return spelled.set_column(spelled.column_names.index("label"), "label", labels)


# The project's own tasks ------------------------------------------------------------------------------------------------------------


def _generate(generated: Generated) -> tuple[dict[str, pa.Table | None], dict[str, Any]]:
    tables = dict(_written(generated.grammar, generated.seed, tuple(generated.rows.items())))
    return tables, {
        "from": "generated",
        "path": generated.grammar,
        "revision": None,
        "files": {},
        "seed": generated.seed,
    }


@lru_cache(maxsize=4)
def _written(grammar: str, seed: int, rows: tuple[tuple[str, int], ...]) -> dict[str, pa.Table]:
    """A generated task, written once for the jobs of a sweep."""
    from src.data import generated as demo

    tables = {}
    for name, found in demo.generate(grammar, seed, dict(rows)).items():
        columns = [*zip(*(texts for texts, _ in found), strict=True), [label for _, label in found]]
        roles = ("text", "text_pair", "label") if len(columns) == 3 else ("text", "label")
        tables[name] = pa.table(
            {role: pa.array(column, pa.large_string()) for role, column in zip(roles, columns, strict=True)}
        )
    return tables


# The user's own files ----------------------------------------------------------------------------------------------------------------


def _load_files(config: DatasetConfig) -> Dataset:
    paths = {name: path for name in ("train", "validation", "test") if (path := getattr(config, name)) is not None}
    _check_files(config, paths)
    columns = _columns(config.text, config.text_pair, config.label)
    if config.group is not None:
        columns["group"] = config.group
    tables: dict[str, pa.Table | None] = {}
    files = {}
    for name, given in paths.items():
        path = _at_home(given)
        wanted = columns if name == "train" else {role: column for role, column in columns.items() if role != "group"}
        tables[name] = _under(wanted, _read_user_file(path, given, wanted.values(), config.quoting))
        files[f"{name}/{path.name}"] = reading.sha256(path, given)
    given = {name: f"'{path}'" for name, path in paths.items()}
    roles = {
        role: name
        for role, name in (("train", "train"), ("development", "validation"), ("test", "test"))
        if name in paths
    }
    source = {"from": "files", "path": None, "revision": None, "files": files}
    nested = config.selection == "nested"
    if nested:
        roles["test"] = "train"
    selection = "development" if "validation" in paths and not nested else config.selection
    data = _assembled(config, tables, given, roles, selection, source)
    if (group := _group(config, tables["train"])) is not None:
        data = replace(data, group=linked_units(data.train.row_digests(), group))
    if config.test_fraction is None:
        return data
    digests, kinds = data.train.row_digests(), data.train.label if data.classes else None
    try:
        in_test = choose_test_rows(linked_units(data.together, None), digests, kinds, config.test_fraction)
    except UserError as error:
        raise UserError(f"{config.name}: dataset.test_fraction={config.test_fraction:g} {error}") from error
    parts = {"train": _rows(data.train, "train", ~in_test), "test": _rows(data.train, "test", in_test)}
    group = None if data.group is None else data.group[~in_test]
    return replace(data, splits=data.splits | parts, roles=roles | {"test": "test"}, group=group)


def _rows(split: Split, name: str, chosen: np.ndarray) -> Split:
    mask = pa.array(chosen)
    return Split(
        name,
        split.text.filter(mask),
        None if split.text_pair is None else split.text_pair.filter(mask),
        split.label[chosen],
    )


def _group(config: DatasetConfig, table: pa.Table | None) -> np.ndarray | None:
    """A number for the group of each row of train."""
    if table is None or "group" not in table.column_names:
        return None
    missing = pc.or_kleene(pc.is_null(table["group"]), pc.equal(table["group"], ""))
    if pc.any(missing).as_py():
        raise UserError(
            f"{config.name}: row {_first(missing)} has no group in column '{config.group}'. Give it one of its own."
        )
    return np.asarray(table["group"].combine_chunks().dictionary_encode().indices.to_numpy(), dtype=np.int64)


def _check_files(config: DatasetConfig, paths: dict[str, str]) -> None:
    if "train" not in paths:
        raise UserError(f"{config.name}: no training file. Give dataset.train=<file> ({', '.join(EXTENSIONS)}).")
    if "test" in paths and config.test_fraction is not None:
        raise UserError(f"{config.name}: give either dataset.test=<file> or dataset.test_fraction=<between 0 and 1>.")
    if config.selection == "nested" and (config.test_fraction is not None or set(paths) != {"train"}):
        raise UserError(
            f"{config.name}: dataset.selection=nested scores train's own rows in folds. Give dataset.train alone."
        )
    if config.selection == "development" and "validation" not in paths:
        raise UserError(
            f"{config.name}: dataset.selection=development chooses on dataset.validation=<file>, which is not given."
        )
    if config.test_fraction is not None and not 0 < config.test_fraction < 1:
        raise UserError(f"{config.name}: dataset.test_fraction is a share between 0 and 1, got {config.test_fraction}.")
    if config.group is not None and config.test_fraction is None and "validation" in paths:
        raise UserError(
            f"{config.name}: dataset.group keeps rows together where train is divided, and with dataset.validation it is not."
        )


def _read_user_file(path: Path, given: str, columns: Iterable[str], quoting: bool | None) -> pa.Table:
    extension = path.suffix.lower()
    if extension not in EXTENSIONS:
        packed = " Unpack it first." if extension in (".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz") else ""
        raise UserError(f"'{given}' ends in '{extension}'. Known are {', '.join(EXTENSIONS)}.{packed}")
    names = list(dict.fromkeys(columns))
    if extension == ".parquet":
        return reading.read_parquet(path, given, names)
    if extension in (".csv", ".tsv"):
        comma = extension == ".csv"
        return reading.read_delimited(
            path, given, names, delimiter="," if comma else "\t", quoting=comma if quoting is None else quoting
        )
    return reading.read_json_lines(path, given, names)


# Labels and texts --------------------------------------------------------------------------------------------------------------------


def _first(flags: pa.ChunkedArray) -> int:
    """The first row, counted from 1, where a boolean column is true."""
    return int(pc.index(flags, True).as_py()) + 1


def _text(column: pa.ChunkedArray, where: str) -> pa.LargeStringArray:
    if column.null_count:
        raise UserError(
            f"{where}: row {_first(pc.is_null(column))} has no text (null). An empty text is written as an empty string."
        )
    return pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)


def _labels(config: DatasetConfig, column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """The labels as the dataset spells its classes, none missing."""
    if not len(column):
        raise UserError(f"{where} has no rows.")
    texts = column.unique()
    names = _class_names(config) if config.task == "classification" else dict(config.labels or {})
    named = [None if text is None else _named(text, names, config.task) for text in texts.to_pylist()]
    labels = pa.array(named, pa.large_string()).take(pc.index_in(column, texts))
    missing = pc.or_kleene(pc.is_null(labels), pc.equal(labels, ""))
    if pc.any(missing).as_py():
        raise UserError(
            f"{where}: row {_first(missing)} has no label. Fill in the cell in column '{config.label}', or remove the row."
        )
    if config.task == "classification":
        for label in dict.fromkeys(named):
            if not _is_class(str(label)):
                row = _first(pc.equal(labels, label))
                raise UserError(
                    f"{where}: row {row} has the label '{_short(str(label))}', which is no class. Remove the row, or rename the class."
                )
    return labels


def canonical(label: str) -> str:
    """The one spelling of a label, whatever file it comes from: no spaces around it, numbers by value, booleans in lower case.

    >>> [canonical(label) for label in (" a ", "1.0", "1e0", "01", "TRUE", "0.50")]
    ['a', '1', '1', '01', 'true', '0.5']
    """
    label = reading.trimmed(label)
    return label.lower() if label.lower() in ("true", "false") else reading.number_spelling(label) or label


def _class_names(config: DatasetConfig) -> dict[str, str]:
    """Spelling to class name, as dataset.labels and dataset.classes give them; other spellings of one value count where one name has it."""
    exact = {name: name for name in config.classes or ()} | dict(config.labels or {})
    values: dict[str, set[str]] = {}
    for spelling, name in exact.items():
        values.setdefault(canonical(spelling), set()).add(name)
    return {value: min(names) for value, names in values.items() if len(names) == 1} | exact


def _named(text: str, names: Mapping[str, str], task: str) -> str:
    """The class name of a label's text; in regression the text without spaces around it."""
    trimmed = reading.trimmed(text)
    if trimmed in names or task == "regression":
        return names.get(trimmed, trimmed)
    label = canonical(trimmed)
    return names.get(label, label)


def _is_class(label: str) -> bool:
    """Whether a label can be a class: not a number that is NaN or infinite."""
    try:
        return math.isfinite(float(label))
    except ValueError:
        return True


def _is_hidden(labels: pa.ChunkedArray, classes: tuple[str, ...]) -> bool:
    found = labels.unique()
    return (
        HIDDEN not in map(canonical, classes)
        and len(found) <= 8
        and {canonical(label) for label in found.to_pylist()} == {HIDDEN}
    )


def _classes(config: DatasetConfig, labels: dict[str, pa.ChunkedArray], roles: dict[str, str]) -> tuple[str, ...]:
    """Class names in id order: the config's, else the sorted labels; those of train come first, so that another split adds none between."""
    if config.task == "regression":
        return ()
    if config.classes:
        return tuple(config.classes)
    names: list[str] = []
    for split in sorted(labels, key=lambda name: name != roles["train"]):
        found = set(labels[split].unique().to_pylist()) - set(names)
        names += [] if names and found <= {HIDDEN} else _in_order(found)
    return tuple(names)


def _in_order(labels: set[str]) -> list[str]:
    """Sorted; by value where all are numbers, so that "2" comes before "10"."""
    if all(map(_is_score, labels)):
        return sorted(labels, key=lambda label: (float(label), label))
    return sorted(labels)


def _ids(labels: pa.ChunkedArray, classes: tuple[str, ...], config: DatasetConfig, where: str) -> np.ndarray:
    ids = pc.index_in(labels, pa.array(classes, pa.large_string()))
    if ids.null_count:
        row = _first(pc.is_null(ids))
        known = _short(", ".join(dict.fromkeys([*(config.labels or {}), *classes])), 300)
        raise UserError(f"{where}: row {row} has the label '{_quoted(labels, row)}'. Known are {known}.")
    return np.asarray(ids.to_numpy(), dtype=np.int64)


def _quoted(labels: pa.ChunkedArray, row: int) -> str:
    return _short(labels[row - 1].as_py())


def _short(text: str, most: int = 60) -> str:
    return shortened(text, most)


def _scores(labels: pa.ChunkedArray, where: str) -> np.ndarray:
    try:
        scores = np.asarray(labels.cast(pa.float64()).to_numpy(), dtype=np.float64)
    except pa.ArrowInvalid:
        scores = np.array([_number(label) for label in labels.to_pylist()])
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        row = int(bad[0]) + 1
        raise UserError(
            f"{where}: row {row} has the label '{_quoted(labels, row)}', which is no finite number.\n"
            "Mend it, or set dataset.task=classification."
        )
    if len(large := np.flatnonzero(np.abs(scores) > MOST_SCORE)):
        row = int(large[0]) + 1
        raise UserError(
            f"{where}: row {row} has the label '{_quoted(labels, row)}', whose size is above {MOST_SCORE:g}: its square would overflow.\n"
            "Mend it, or give the labels in another unit."
        )
    return scores


def _number(label: str) -> float:
    return float(label) if NUMBER.fullmatch(label) else math.nan


# Can a probe be fitted? --------------------------------------------------------------------------------------------------------------


def check_probe(data: Dataset, *, fraction: float = 0.2, seed: int = 0) -> None:
    """Refuse data that no probe can be fitted to or scored on, the training rows being divided as the choice of the grid will divide them.

    Raises
    ------
    UserError
        A training split of one class or one score, a label elsewhere that train lacks, too few rows to choose the grid on.
    """
    if "test" not in data.roles:
        raise UserError(
            f"{data.name}: nothing to score on. Give dataset.test=<file> or dataset.test_fraction=<between 0 and 1>."
        )
    _check_selection(data)
    where = f"{data.name}: split '{data.train.name}'"
    kinds = np.unique(data.train.label)
    if len(kinds) < 2:
        label = _short(data.classes[int(kinds[0])]) if data.classes else f"{kinds[0]:g}"
        raise UserError(
            f"{where} has the one label '{label}' in all of its {len(data.train)} rows; a probe needs at least two."
        )
    names = [_short(name) for name in data.classes]
    division = RowSplitter(
        data.train.label, seed, fraction=fraction, folds=data.folds, groups=data.together, groups_span_classes=data.group is not None,
        regression=not data.classes, names=names,
    )  # fmt: skip
    try:
        division.check(data.selection)
    except UserError as error:
        advice = (
            " If the labels are scores, set dataset.task=regression."
            if names and all(map(_is_score, data.classes))
            else ""
        )
        raise UserError(f"{where}: {error}{advice}") from error
    for role, name in data.roles.items() if data.classes else ():
        if lacking := sorted(set(np.unique(data.splits[name].label).tolist()) - set(kinds.tolist())):
            known = _short(", ".join(f"'{names[kind]}'" for kind in kinds.tolist()), 300)
            raise UserError(
                f"{data.name}: split '{name}' ({role}) has the label '{names[lacking[0]]}', which split '{data.train.name}' lacks.\n"
                f"That split has: {known}. Spell both alike, or leave those rows out."
            )


def _check_selection(data: Dataset) -> None:
    """The selection and the roles of the splits have to go together."""
    if data.selection == "development" and "development" not in data.roles:
        raise UserError(
            f"{data.name}: dataset.selection=development needs dataset.splits.development. Name a labelled split, or use carve."
        )
    if (data.selection == "nested") != (data.roles["test"] == data.roles["train"]):
        raise UserError(
            f"{data.name}: dataset.selection=nested scores train's own rows in folds, and nothing else does: train is "
            f"'{data.train.name}', test is '{data.test.name}', the selection is {data.selection}. Leave dataset.selection out."
        )


def _is_score(label: str) -> bool:
    return math.isfinite(_number(label))
