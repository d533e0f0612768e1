"""The probe's estimator: built from its settings and checked before a forward pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from src.config.schema import ProbeConfig
from src.errors import UserError, flatten, shortened
from src.probes.estimator_lookup import WAY_OUT, find_class
from src.probes.library_errors import single_line_errors

DECIDING_METHODS = ("predict_proba", "decision_function", "solve")


def instantiate(probe: ProbeConfig) -> Any:
    """Return the probe's estimator, built from its settings and checked with the whole grid.

    Nothing is fitted. A read-out without an estimator, as ``cosine`` and ``knn``, gives None.

    Raises
    ------
    UserError
        `_target_` is no installed estimator, or the estimator refuses its settings or a value of
        the grid.
    """
    if not probe.estimator:
        return None
    settings = dict(probe.estimator)
    name = settings.pop("_target_", "")
    where = f"probe.estimator._target_={flatten(ValueError(name), 100) if name else ''}"
    _check_settings("probe.estimator", settings)
    kind = find_class(str(name), where)
    with single_line_errors(where, "Its parameters are those beside _target_.", "cannot be made"):
        estimator = kind(**settings)
    with single_line_errors(where, WAY_OUT):
        known = estimator.get_params()
    parameter, values = next(iter(probe.grid.items()))
    if parameter not in known:
        way_out = f"Set probe.grid.{parameter}=null and +probe.grid.NAME=[...]."
        names = ", ".join(sorted(known)) or "none"
        raise UserError(f"probe.grid.{parameter}: {kind.__name__} has no such parameter. Known: {names}.\n{way_out}")
    _check_task(estimator, probe.task, where)
    check_values(estimator, parameter, values)
    return estimator


def grid_values(grid: Any) -> dict[str, list[float]]:
    """Return a grid that a user gave in Python, its values as floats; UserError if it is not one."""
    try:
        if isinstance(grid, Mapping):
            return {str(name): [float(value) for value in values] for name, values in grid.items()}
    except (TypeError, ValueError):
        pass  # values that are no sequence, or no numbers
    raise UserError(
        f"grid={shortened(repr(grid))} is no grid. Give one parameter and its values: {{'alpha': [0.1, 1]}}."
    )


def with_value(estimator: Any, parameter: str, value: float) -> Any:
    """Return a copy of an estimator with a grid's value, as an int if its own value is one."""
    from sklearn.base import clone

    is_integer = isinstance(estimator.get_params()[parameter], int) and value.is_integer()
    return clone(estimator).set_params(**{parameter: int(value) if is_integer else value})


def check_values(estimator: Any, parameter: str, values: Sequence[float]) -> None:
    """Check settings and grid values by the estimator's own rules for its parameters.

    Raises
    ------
    UserError
        The estimator refuses one of them.
    """
    if hasattr(estimator, "solve"):
        estimator.check()
        if parameter == "alpha":
            estimator.check_penalties(values)
        return
    if not hasattr(estimator, "_parameter_constraints"):  # classes built on scikit-learn's base need not have rules
        return
    with single_line_errors(type(estimator).__name__, "Change probe.estimator."):
        estimator._validate_params()
    for value in values:
        what = f"probe.grid.{parameter}={value:g}: {type(estimator).__name__}"
        with single_line_errors(what, f"Change probe.grid.{parameter}."):
            with_value(estimator, parameter, float(value))._validate_params()


def _check_settings(where: str, value: Any) -> None:
    """Raise a UserError for a nested estimator, a key of Hydra's or an infinite number."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str) and key.startswith("_"):
                raise UserError(
                    f"{where}.{key}: only probe.estimator has a _target_, and no parameter begins with '_'. "
                    "Leave it out."
                )
            _check_settings(f"{where}.{key}", item)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _check_settings(f"{where}[{place}]", item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where}={value}: a finite number is needed. Leave it out for the estimator's own.")


def _check_task(estimator: Any, task: str, where: str) -> None:
    """Raise a UserError for an estimator of another task or a classifier without decisions."""
    if hasattr(estimator, "solve"):
        kind = estimator.task
    else:
        from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor

        kinds = {
            "classification": is_classifier,
            "regression": is_regressor,
            "clustering": is_clusterer,
            "outliers": is_outlier_detector,
        }
        kind = task
        with suppress(Exception):  # a class may not say what it is for
            kind = next((name for name, asked in kinds.items() if asked(estimator)), task)
    if kind != task:
        wanted = "classifier" if task == "classification" else "regressor"
        raise UserError(f"{where} is for {kind}, and the task is {task}. Use a {wanted}.")
    if task == "classification" and not any(hasattr(estimator, each) for each in DECIDING_METHODS):
        raise UserError(
            f"{where} gives no probabilities and no decision values, which the grid is chosen by. "
            "Use a classifier that does."
        )
