"""The forward passes that the jobs of a sweep share."""

from __future__ import annotations

from collections.abc import Sequence

NOT_ENCODING = ("pooling", "layer", "seed", "draws", "tracker")  # keys that change no forward pass
PROTOCOL = ("probe", "probe.protocol", "probe.protocol.name")  # of a probe's keys those that may change the texts read


def passes(jobs: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the overrides of one job for each forward pass, with all layers that the jobs need.

    >>> passes([["dataset=a", "layer=0", "seed=1"], ["dataset=a", "layer=3", "seed=1"], ["dataset=b", "pooling=max"]])
    [['dataset=a', 'pooling=cls', 'layer=0', 'runtime.also_layers=[3]'], ['dataset=b', 'pooling=cls']]
    """
    groups: dict[tuple[str, ...], tuple[list[str], list[str]]] = {}
    for overrides in jobs:
        values = {key: value for key, _, value in (word.lstrip("+").partition("=") for word in overrides)}
        key = tuple(word for word in overrides if _changes_pass(word))
        layers, also_layers = groups.setdefault(key, ([], []))
        if "layer" in values and values["layer"] not in layers:
            layers.append(values["layer"])
        for layer in values.get("runtime.also_layers", "").strip("[]").split(","):
            if layer and layer not in also_layers:
                also_layers.append(layer)
    found = []
    for key, (layers, also_layers) in groups.items():
        more = [*layers[1:], *also_layers]
        optional = [f"runtime.also_layers=[{','.join(more)}]"] if more else []
        found.append([*key, "pooling=cls", *(f"layer={layer}" for layer in layers[:1]), *optional])
    return found


def _changes_pass(override: str) -> bool:
    """Return whether an override may change which texts are encoded, or how."""
    key = override.lstrip("+~").partition("=")[0]
    group = key.partition(".")[0]
    if key == "runtime.also_layers" or group in NOT_ENCODING:
        return False
    return group != "probe" or key in PROTOCOL
