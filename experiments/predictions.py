"""Reads predictions about an encoder from a YAML file, and judges a difference by its prediction.

A prediction names the difference of two poolings on a task or over the tasks of a stratum, its sign and
its size. It *held* if the sign is shown and the difference lies within the predicted sizes. It *did
not hold* if the 95 % interval lies outside them, or shows the opposite sign. Else it is
*inconclusive*. A prediction of no relevant difference holds if the 90 % interval lies within the sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from experiments.strata import STRATA
from src.errors import UserError, flatten
from src.evaluation.differences import Difference
from src.pooling import parts_of, poolings
from src.registry import unknown

PREDICTIONS = Path(__file__).parent / "paper" / "predictions.yaml"
HIGHER, LOWER, NONE = "higher", "lower", "none"
HELD, FAILED, INCONCLUSIVE, UNTESTED = "held", "did not hold", "inconclusive", "not tested"
OUTCOMES = (HELD, FAILED, INCONCLUSIVE, UNTESTED)
FIELDS = ("id", "stratum", "task", "options", "contrast", "sign", "lower", "upper", "because")


@dataclass(frozen=True)
class Prediction:
    """A prediction of the difference of two poolings, the first less the second.

    Attributes
    ----------
    id : str
    stratum, task : str
        One of `experiments.strata.STRATA`, or a dataset; the other is empty.
    a, b : str
        Poolings.
    sign : str
        ``higher``, ``lower`` or ``none``, of a against b.
    lower, upper : float
        Smallest and largest difference, in points.
    because : str
        What the prediction follows from.
    options : dict
        Values of options, as ``{"probe.features": "none"}``, for sweeps that vary them.
    """

    id: str
    stratum: str
    task: str
    a: str
    b: str
    sign: str
    lower: float
    upper: float
    because: str = ""
    options: dict[str, str] = field(default_factory=dict)

    def fits(self, label: Mapping[str, str]) -> bool:
        """Return whether settings with this label are those of the prediction."""
        return all(label.get(name, value) == value for name, value in self.options.items())

    def judge(self, found: Difference) -> str:
        """Return one of `OUTCOMES` for a difference, in fractions."""
        if found.value is None or found.low is None or found.high is None:
            return INCONCLUSIVE
        value, low, high = (100 * each for each in (found.value, found.low, found.high))
        opposite = (self.sign == HIGHER and high < 0) or (self.sign == LOWER and low > 0)
        if high < self.lower or low > self.upper or opposite:
            return FAILED
        shown = {HIGHER: low > 0, LOWER: high < 0, NONE: self._holds_90(found)}[self.sign]
        return HELD if shown and self.lower <= value <= self.upper else INCONCLUSIVE

    def _holds_90(self, found: Difference) -> bool:
        """Return whether the 90 % interval lies within the predicted sizes."""
        if found.low90 is None or found.high90 is None:
            return False
        return self.lower <= 100 * found.low90 and 100 * found.high90 <= self.upper


@dataclass(frozen=True)
class Predictions:
    """The predictions about one encoder, and the command whose sweep tests them."""

    model: str
    command: str
    found: tuple[Prediction, ...]


def read_predictions(path: Path = PREDICTIONS) -> Predictions:
    """Return the predictions in a file.

    Raises
    ------
    UserError
        The file cannot be read, lacks a field, has an unknown one, or a value is not allowed.
    """
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise UserError(
            f"predictions={path} cannot be read: {flatten(error)}. experiments/paper/predictions.yaml is an example."
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("predictions"), list):
        raise UserError(f"predictions={path} has no list 'predictions'. experiments/paper/predictions.yaml has one.")
    found = tuple(_read_one(each, f"predictions={path}, number {number}") for number, each in _numbered(content))
    if repeated := sorted({each.id for each in found if [other.id for other in found].count(each.id) > 1}):
        raise UserError(f"predictions={path}: two predictions have id={repeated[0]}. Give each its own.")
    return Predictions(str(content.get("model", "")), str(content.get("command", "")), found)


def _numbered(content: Mapping[Any, Any]) -> list[tuple[int, Any]]:
    return list(enumerate(content["predictions"], 1))


def _read_one(values: Any, where: str) -> Prediction:
    if not isinstance(values, dict):
        raise UserError(f"{where} is no mapping with the keys {', '.join(FIELDS)}.")
    if unexpected := [str(name) for name in values if name not in FIELDS]:
        raise UserError(f"{where}: unknown key '{unexpected[0]}'. Known: {', '.join(FIELDS)}.")
    if missing := [name for name in ("id", "contrast", "sign", "lower", "upper") if values.get(name) is None]:
        raise UserError(f"{where} lacks '{missing[0]}'.")
    for name in ("id", "stratum", "task", "sign", "because"):
        if not isinstance(values.get(name, ""), str | int | None):
            raise UserError(f"{where}: {name}={values[name]} is not a text.")
    if bool(values.get("stratum")) == bool(values.get("task")):
        raise UserError(f"{where} names both or none of 'stratum' and 'task'. Name one.")
    stratum = str(values.get("stratum") or "")
    if stratum and stratum not in STRATA:
        raise unknown("stratum", stratum, STRATA)
    a, b = _read_contrast(values["contrast"], where)
    sign, lower, upper = str(values["sign"]), values["lower"], values["upper"]
    _check_sizes(sign, lower, upper, where)
    options = values.get("options") or {}
    if not isinstance(options, dict):
        raise UserError(f"{where}: options={options} is no mapping, as {{probe.features: none}}.")
    return Prediction(
        id=str(values["id"]),
        stratum=stratum,
        task=str(values.get("task") or ""),
        a=a,
        b=b,
        sign=sign,
        lower=float(lower),
        upper=float(upper),
        because=str(values.get("because") or ""),
        options={str(name): str(value) for name, value in options.items()},
    )


def _read_contrast(value: Any, where: str) -> tuple[str, str]:
    names = value if isinstance(value, list) else []
    if len(names) != 2 or names[0] == names[1]:
        raise UserError(f"{where}: contrast={value} is not two poolings, as [pooler, cls].")
    for part in (part for name in names for part in parts_of(str(name))):
        if part not in poolings:
            raise unknown("pooling", part, poolings)
    return str(names[0]), str(names[1])


def _check_sizes(sign: str, lower: Any, upper: Any, where: str) -> None:
    if sign not in (HIGHER, LOWER, NONE):
        raise UserError(f"{where}: sign={sign} is not allowed. Allowed: {HIGHER}, {LOWER}, {NONE}.")
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in (lower, upper)):
        raise UserError(f"{where}: lower={lower} and upper={upper} have to be numbers, in points.")
    allowed = {HIGHER: lower >= 0, LOWER: upper <= 0, NONE: lower <= 0 <= upper}[sign]
    if not allowed or not lower < upper:
        raise UserError(
            f"{where}: lower={lower}, upper={upper} do not fit sign={sign}. lower is below upper; higher needs "
            "lower >= 0, lower needs upper <= 0, none needs 0 between them."
        )
