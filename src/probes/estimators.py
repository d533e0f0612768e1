"""The probe's estimator: found by name without importing anything else, made, and checked before a forward pass.

A class of this suite, of scikit-learn, or of an installed library that scikit-learn is a requirement of. Importing a module runs it, so a
name is looked up in the installed files first.
"""

from __future__ import annotations

import ast
import importlib.util
import math
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from src.config.schema import ProbeConfig
from src.errors import UserError, flatten
from src.registry import near
from src.storage.files import Unreadable, parse_json

OWN, PLACE = (
    "src.solvers",
    "src.probes.solvers.estimators",
)  # the module's name in configurations and keys, and where it lies
PROJECT = "bert-pooling-probes"  # requires scikit-learn too, and none of its modules but `OWN` holds estimators
WAY_OUT = "Name a class of scikit-learn, such as sklearn.svm.LinearSVC, or of an installed library that requires it."
CLOSED = {"test", "tests", "conftest", "testing", "setup", "experimental"}  # no part of what a library offers
# A requirement of scikit-learn, or an extra of that name: there lightgbm and xgboost name it, whose classes work without it too.
REQUIRES = re.compile(r"(?i)scikit[-_]learn\b(?!.*extra\b).*|scikit[-_]learn\b.*extra\s*==\s*['\"]scikit-learn['\"].*")
SIGNS = ("predict_proba", "decision_function", "solve")


def instantiate(probe: ProbeConfig) -> Any:
    """The probe's estimator, made with its settings and tried with every value of the grid; nothing of it is fitted.

    Raises
    ------
    UserError
        `_target_` is no estimator that is installed, or settings and grid are not what it takes.
    """
    settings = dict(probe.estimator)
    name = settings.pop("_target_", "")
    where = f"probe.estimator._target_={flatten(ValueError(name), 100) if name else ''}"
    _check_settings("probe.estimator", settings)
    kind = _find(str(name), where)
    with refused(where, "Its parameters are those beside _target_.", "cannot be made"):
        estimator = kind(**settings)
    with refused(where, WAY_OUT):
        known = estimator.get_params()
    parameter, values = next(iter(probe.grid.items()))
    if parameter not in known:
        way_out = f"Set probe.grid.{parameter}=null and +probe.grid.NAME=[...]."
        raise UserError(
            f"probe.grid.{parameter}: {kind.__name__} has no such parameter. Known: {', '.join(sorted(known)) or 'none'}.\n{way_out}"
        )
    _check_task(estimator, probe.task, where)
    check_values(estimator, parameter, values)
    return estimator


def with_value(estimator: Any, parameter: str, value: float) -> Any:
    """A copy of an estimator with a grid's value, which is a whole number where the estimator's own is one."""
    from sklearn.base import clone

    whole = isinstance(estimator.get_params()[parameter], int) and value.is_integer()
    return clone(estimator).set_params(**{parameter: int(value) if whole else value})


def check_values(estimator: Any, parameter: str, values: Sequence[float]) -> None:
    """Refuse settings or grid values that the estimator's own rules for its parameters do not allow; UserError."""
    if hasattr(estimator, "solve"):
        estimator.check()
        if parameter == "alpha":
            estimator.check_penalties(values)
        return
    if not hasattr(
        estimator, "_parameter_constraints"
    ):  # scikit-learn's own rules, which classes built on its base need not have
        return
    with refused(type(estimator).__name__, "Change probe.estimator."):
        estimator._validate_params()
    for value in values:
        with refused(
            f"probe.grid.{parameter}={value:g}: {type(estimator).__name__}", f"Change probe.grid.{parameter}."
        ):
            with_value(estimator, parameter, float(value))._validate_params()


@contextmanager
def refused(what: str, way_out: str, verdict: str = "is refused") -> Iterator[None]:
    """Turn whatever another library raises into one line: what was asked, the library's words shortened, the way out."""
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{what} needs more memory than there is. {way_out}") from error
    except Exception as error:
        raise UserError(f"{what} {verdict}: {flatten(error, 200).rstrip('.')}. {way_out}") from error


def _check_settings(where: str, value: Any) -> None:
    """Refuse estimators within estimators, Hydra's own keys, and numbers that are not finite."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str) and key.startswith("_"):
                raise UserError(
                    f"{where}.{key}: only probe.estimator has a _target_, and no parameter begins with '_'. Leave it out."
                )
            _check_settings(f"{where}.{key}", item)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _check_settings(f"{where}[{place}]", item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where}={value}: a finite number is needed. Leave it out for the estimator's own.")


def _check_task(estimator: Any, task: str, where: str) -> None:
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
        with suppress(Exception):  # classes that do not say what they are for
            kind = next((name for name, asked in kinds.items() if asked(estimator)), task)
    if kind != task:
        raise UserError(
            f"{where} is for {kind}, and the task is {task}. Use a {'classifier' if task == 'classification' else 'regressor'}."
        )
    if task == "classification" and not any(hasattr(estimator, each) for each in SIGNS):
        raise UserError(
            f"{where} gives no probabilities and no decision values, which the grid is chosen by. Use a classifier that does."
        )


def _find(name: str, where: str) -> type:
    """The class of a dotted name; its module is imported once its files say that it defines or imports the class."""
    *modules, attribute = name.split(".")
    if not modules or not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", name, re.ASCII):
        raise UserError(f"{where} is no name of a class. {WAY_OUT}")
    if any(part.startswith("_") or part in CLOSED for part in name.split(".")):
        raise UserError(f"{where} is no public name. {WAY_OUT}")
    module = ".".join(modules)
    if module != OWN:
        file = _file(modules, where)
        if file is None:
            raise UserError(f"{where} cannot be found: there is no such module. {WAY_OUT}")
        names = _names(file)
        if attribute not in names:
            raise UserError(
                f"{where} cannot be found: '{module}' has no class '{attribute}'{near(attribute, names)} {WAY_OUT}"
            )
    with refused(where, WAY_OUT):
        kind = getattr(importlib.import_module(PLACE if module == OWN else module), attribute, None)
    if not (
        isinstance(kind, type)
        and all(callable(getattr(kind, each, None)) for each in ("fit", "predict", "get_params", "set_params"))
    ):
        raise UserError(f"{where} is no estimator: it is no class with fit and predict. {WAY_OUT}")
    return kind


def _file(modules: Sequence[str], where: str) -> Path | None:
    """The source file of a module of an allowed library, found without importing anything; None where there is none."""
    top = modules[0]
    spec = None if top in sys.stdlib_module_names else importlib.util.find_spec(top)
    if spec is None and top not in sys.stdlib_module_names:
        raise UserError(f"{where} cannot be found: '{top}' is not installed. {WAY_OUT}")
    if spec is None or spec.origin is None or not _allowed(top, spec):
        raise UserError(
            f"{where} is no estimator, a class with fit and predict: '{top}' is no library of them. {WAY_OUT}"
        )
    for number in range(1, len(modules)):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(".".join(modules[: number + 1]), spec.submodule_search_locations)
    return Path(spec.origin) if spec is not None and spec.origin is not None and spec.origin.endswith(".py") else None


def _allowed(top: str, spec: ModuleSpec) -> bool:
    """Whether a top-level package is scikit-learn, or comes with an installed distribution of estimators, which requires it."""
    names = ["scikit-learn"] if top == "sklearn" else metadata.packages_distributions().get(top, [])
    for name in names:
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        needs = name == "scikit-learn" or any(REQUIRES.fullmatch(each) for each in distribution.requires or [])
        if name != PROJECT and needs and _lies_in(distribution, Path(str(spec.origin))):
            return True
    return False


def _lies_in(distribution: metadata.Distribution, file: Path) -> bool:
    """Whether a file was installed with a distribution, and does not merely bear its name, as one in the current folder may."""
    if file.resolve().is_relative_to(Path(str(distribution.locate_file(""))).resolve()):
        return True
    try:
        source = parse_json(distribution.read_text("direct_url.json") or "{}")
    except Unreadable:
        return False
    return (
        isinstance(source, dict)
        and isinstance(source.get("dir_info"), dict)
        and source["dir_info"].get("editable") is True
    )


def _names(file: Path) -> set[str]:
    """Public names that a source file defines as classes or imports, read without running it."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return set()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names |= {each.asname or each.name for each in node.names}
    return {name for name in names if not name.startswith("_")}
