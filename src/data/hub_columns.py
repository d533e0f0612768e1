"""Find the columns of texts and labels of a dataset by the types of its columns, or ask for their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from src.config.schema import DatasetConfig
from src.data.reading.columns import role_columns, trimmed
from src.errors import UserError, shortened

TEXT, CLASS, FLOATS = "text", "class label", ("float16", "float32", "float64")
# Names that a message suggests.
PAIRS = (
    ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("text1", "text2"),
    ("question", "sentence"), ("sentence_A", "sentence_B"),
)  # fmt: skip
TEXTS = ("text", "sentence", "content", "review", "tweet", "document")
LABELS = ("label", "labels", "score", "class", "category", "target", "rating", "stars")
MAX_LISTED = 220  # characters
FILES = "write its rows into a file (dataset=files)"


def find_columns(config: DatasetConfig, features: Mapping[str, Any]) -> dict[str, str]:
    """Return role to column: ``text``, ``label``, perhaps ``text_pair``.

    A column that the configuration does not name is found if there is only one column of its kind:
    of texts, and of classes or, for regression, of floats.

    Parameters
    ----------
    features : mapping
        Type of each column, as the library `datasets` describes it.

    Raises
    ------
    UserError
        There are several such columns or none, a named column does not exist, or its type does not
        fit.
    """
    kinds = flat_kinds(features)
    columns = {role: _existing(config, role, name, kinds) for role, name in _named(config).items()}
    label_kinds = FLOATS if config.task == "regression" else (CLASS,)
    for role, wanted in (("label", label_kinds), ("text", (TEXT,))):
        taken = {*columns.values(), config.group}
        free = [name for name in features if kinds.get(name, "").startswith(wanted) and name not in taken]
        if role not in columns and len(free) == 1:
            columns[role] = free[0]
    if missing := [role for role in ("text", "label") if role not in columns]:
        raise _unknown_columns(config, kinds, columns, missing)
    for role, name in columns.items():
        _check_kind(config, role, name, kinds[name])
    return columns


def flat_kinds(features: Mapping[str, Any]) -> dict[str, str]:
    """Return the kind of each column in words; a part of a nested column has a dotted name.

    Examples
    --------
    >>> from datasets import ClassLabel, List, Value
    >>> flat_kinds({"a": Value("string"), "b": ClassLabel(names=["x", "y"]), "c": {"en": List(Value("int8"))}})
    {'a': 'text', 'b': 'class label (2)', 'c.en': 'list of int8'}
    """
    kinds: dict[str, str] = {}
    for name, feature in features.items():
        if isinstance(feature, Mapping):
            kinds |= {f"{name}.{part}": kind for part, kind in flat_kinds(feature).items()}
        else:
            kinds[name] = _kind(feature)
    return kinds


def _kind(feature: Any) -> str:
    if (names := class_names(feature)) is not None:
        return f"{CLASS} ({len(names)})"
    if isinstance(feature, (list, tuple)):
        return f"list of {_kind(feature[0])}"
    if isinstance(feature, Mapping):
        return "mapping"
    inner = getattr(feature, "feature", None)
    if inner is not None:
        return f"list of {_kind(inner)}"
    dtype = getattr(feature, "dtype", None)
    if type(feature).__name__ != "Value" or not isinstance(dtype, str):
        return type(feature).__name__.lower()
    return TEXT if dtype in ("string", "large_string", "string_view") else dtype


def class_names(feature: Any) -> list[str] | None:
    """Return the names of a column of classes, or None for another column."""
    return list(feature.names) if type(feature).__name__ == "ClassLabel" else None


def _named(config: DatasetConfig) -> dict[str, str]:
    return role_columns(config.text, config.text_pair, config.label)


def _existing(config: DatasetConfig, role: str, name: str, kinds: Mapping[str, str]) -> str:
    """Return the column with a name; spaces around it do not count."""
    places = [other for other in kinds if other == name] or [
        other for other in kinds if trimmed(other) == trimmed(name)
    ]
    if len(places) == 1:
        return places[0]
    raise UserError(
        f"{config.name}: dataset.{role}={name}: there is no such column. There are: {_listed(kinds)}. Name one of them."
    )


def _unknown_columns(
    config: DatasetConfig, kinds: Mapping[str, str], columns: Mapping[str, str], missing: list[str]
) -> UserError:
    """Return the error that asks for the names of columns, with names that may be right."""
    free = [name for name in kinds if name not in columns.values()]
    advice: dict[str, str | None] = {}
    if "text" in missing:
        texts = [name for name in free if _is_usable(config, "text", name, kinds)]
        pair = next((pair for pair in PAIRS if set(pair) <= set(texts)), None)
        advice["text"] = pair[0] if pair else _usual(TEXTS, texts)
        if pair and "text_pair" not in columns:
            advice["text_pair"] = pair[1]
    if "label" in missing:
        others = [name for name in free if name not in advice.values() and _is_usable(config, "label", name, kinds)]
        advice["label"] = label = _usual(LABELS, others)
        if config.task == "classification" and kinds.get(str(label)) in FLOATS:
            advice["task"] = "regression"
    wanted = " and ".join({"text": "the text", "label": "the label"}[role] for role in missing)
    way_out = "Name them, for example: " + " ".join(f"dataset.{role}={name}" for role, name in advice.items())
    if None in advice.values():
        role = next(role for role, name in advice.items() if name is None)
        way_out = f"None of the others can be dataset.{role}{_needed(config, role)}. Use another dataset, or {FILES}."
    return UserError(f"{config.name}: which column holds {wanted}? There are: {_listed(kinds)}.\n{way_out}")


def _needed(config: DatasetConfig, role: str) -> str:
    """Return what a column of a role must hold, for a message."""
    if role != "label":
        return ", which holds texts"
    return ", one score a row (dataset.task=regression)" if config.task == "regression" else ", one class a row"


def _is_usable(config: DatasetConfig, role: str, name: str, kinds: Mapping[str, str]) -> bool:
    """Return whether a column can have a role."""
    try:
        _check_kind(config, role, name, kinds[name])
    except UserError:
        return False
    return True


def _usual(usual: Iterable[str], names: list[str]) -> str | None:
    """Return the first usual name among `names`, else the first of them; None without any."""
    return next((name for name in usual if name in names), names[0] if names else None)


def _listed(kinds: Mapping[str, str]) -> str:
    return shortened(", ".join(f"{name} ({kind})" for name, kind in kinds.items()), MAX_LISTED)


def _check_kind(config: DatasetConfig, role: str, name: str, kind: str) -> None:
    """Raise a UserError if a column cannot have a role."""
    if kind.startswith("list of") and role == "label":
        raise UserError(
            f"{config.name}: the label column '{name}' is a {kind}: several labels a row are not supported. Name a "
            "column with one label a row in dataset.label=, or write such a column into a file (dataset=files)."
        )
    if role != "label" and kind != TEXT:
        raise UserError(
            f"{config.name}: dataset.{role}={name}: that column is of type {kind}, and texts are needed. Name another "
            "one, or write it as text into a file (dataset=files)."
        )
    if role == "label" and config.task == "regression" and kind.startswith(CLASS):
        raise UserError(
            f"{config.name}: the label column '{name}' holds classes, not scores. Leave dataset.task out, or name a "
            "column of scores in dataset.label=."
        )
