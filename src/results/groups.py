"""Groups of runs that differ in their pooling alone, and labels of the groups."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from src.config.schema import omitted_defaults
from src.results.result import Result
from src.storage.keys import content_key

IDENTITY = ("dataset", "model", "layer", "pairing", "probe", "seed", "draws")
DIGEST = 6  # hexadecimal digits of a digest that a label shows

T = TypeVar("T")


def group_key(result: Result, *, by_texts: bool = True, by_weights: bool = False) -> str:
    """Return a key that is equal for runs that differ in their pooling alone.

    Parameters
    ----------
    by_texts, by_weights : bool
        Also separate runs whose dataset or model has the same name but other texts or weights.
    """
    parts: list[Any] = [main_identity(result), other_identity(result)]
    parts += [texts_digest(result)] if by_texts else []
    parts += [weights_digest(result)] if by_weights else []
    return json.dumps(parts, sort_keys=True)


def group_runs(
    items: Iterable[T], result: Callable[[T], Result], *, by_texts: bool = True, by_weights: bool = False
) -> list[list[T]]:
    """Split items into groups of equal `group_key`, in the order in which the keys first occur.

    Parameters
    ----------
    items : iterable
    result : callable
        Returns the record of an item.
    by_texts, by_weights : bool
        As in `group_key`.
    """
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(group_key(result(item), by_texts=by_texts, by_weights=by_weights), []).append(item)
    return list(groups.values())


def main_identity(result: Result) -> dict[str, str]:
    """Return the identity fields that a user names, except the pooling, and the metric."""
    return {name: str(getattr(result, name)) for name in IDENTITY} | {"metric": str(result.score["metric"])}


def other_identity(result: Result) -> dict[str, str]:
    """Return the rest of the identity by dotted name, without the pooling's own settings and what a grid chose."""
    chosen = {f"probe.{name}" for name in (result.config.get("probe") or {}).get("grid") or ()}
    leaves = _leaves(result.config, "")
    return {name: value for name, value in leaves if name.split(".")[0] != "pooling" and name not in chosen}


def _leaves(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _leaves(item, f"{where}.{name}" if where else name)
    else:
        yield where, value if isinstance(value, str) else json.dumps(value)


def unequal_widths(results: Iterable[Result]) -> dict[str, int]:
    """Return the width of each run by the name of its pooling; nothing if all are equal or unknown."""
    widths = {result.pooling_label: int(result.counts.get("width") or 0) for result in results}
    return widths if len(set(widths.values()) - {0}) > 1 else {}


def texts_digest(result: Result) -> str:
    """Return the first digits of a digest of all texts that a run read."""
    return content_key({"texts": result.provenance.get("texts")})[:DIGEST]


def weights_digest(result: Result) -> str:
    """Return the first digits of a digest of the encoder's weights."""
    return content_key({"weights": (result.provenance.get("model") or {}).get("weights")})[:DIGEST]


def group_labels(results: Sequence[Result], *, by_texts: bool = False) -> tuple[list[dict[str, str]], dict[str, str]]:
    """Return the settings in which each group differs, and those that all groups share.

    The rest of the identity is named only where groups would otherwise look the same, because
    a dataset's name already stands for many settings.

    Parameters
    ----------
    results : sequence of Result
        One run of each group.
    by_texts : bool
        Also name the digest of the texts where groups would otherwise look the same.
    """
    identities = [main_identity(result) for result in results]
    names = [name for name in (*IDENTITY, "metric") if len({identity[name] for identity in identities}) > 1]
    shown = [name for name in (*IDENTITY, "metric") if name in {"dataset", "metric", *names}]
    labels = [{name: identity[name] for name in shown} for identity in identities]
    defaults = dict(_leaves({"probe": omitted_defaults()}, ""))
    for places in _equal_places(identities):
        others = [
            other_identity(results[place]) | ({"texts": texts_digest(results[place])} if by_texts else {})
            for place in places
        ]
        differing = sorted(name for name in set().union(*others) if len({other.get(name) for other in others}) > 1)
        for place, other in zip(places, others, strict=True):
            labels[place] |= {name: other.get(name, defaults.get(name, "unset")) for name in differing}
    common = {name: value for name, value in identities[0].items() if name not in shown} if identities else {}
    return labels, common


def _equal_places(identities: Sequence[Mapping[str, str]]) -> list[list[int]]:
    """Return the places of equal identities, where there are two or more."""
    places: dict[tuple[str, ...], list[int]] = {}
    for place, identity in enumerate(identities):
        places.setdefault(tuple(identity.values()), []).append(place)
    return [equal for equal in places.values() if len(equal) > 1]
