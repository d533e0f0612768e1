"""Lookup of an estimator's class by its dotted name.

A class is the suite's own, scikit-learn's, or that of an installed library that requires
scikit-learn. Importing a module runs it, so the name is looked up in the installed files first.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from src.errors import UserError
from src.probes.library_errors import single_line_errors
from src.registry import near
from src.storage.files import Unreadable, parse_json

RECORDED = "src.solvers"  # module of the suite's estimators, as configurations, records and keys name it
IMPORTED = "src.probes.solvers.estimators"  # the same module, as it is imported
PROJECT = "bert-pooling-probes"  # requires scikit-learn too, but only `RECORDED` holds estimators
WAY_OUT = "Name a class of scikit-learn, such as sklearn.svm.LinearSVC, or of an installed library that requires it."
CLOSED = {"test", "tests", "conftest", "testing", "setup", "experimental"}  # no public parts of a library
# A requirement of scikit-learn, or an extra of that name: lightgbm and xgboost require it so, and
# their classes work without it too.
REQUIRES = re.compile(r"(?i)scikit[-_]learn\b(?!.*extra\b).*|scikit[-_]learn\b.*extra\s*==\s*['\"]scikit-learn['\"].*")
METHODS = ("fit", "predict", "get_params", "set_params")


def find_class(name: str, where: str) -> type:
    """Return the class of a dotted name.

    Its module is imported only if its files define or import the class.

    Parameters
    ----------
    name : str
    where : str
        Key and value of the setting, for messages.

    Raises
    ------
    UserError
        The name is not that of an installed estimator.
    """
    *modules, attribute = name.split(".")
    if not modules or not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", name, re.ASCII):
        raise UserError(f"{where} is no name of a class. {WAY_OUT}")
    if any(part.startswith("_") or part in CLOSED for part in name.split(".")):
        raise UserError(f"{where} is no public name. {WAY_OUT}")
    module = ".".join(modules)
    if module != RECORDED:
        file = _file(modules, where)
        if file is None:
            raise UserError(f"{where} cannot be found: there is no such module. {WAY_OUT}")
        names = _public_names(file)
        if attribute not in names:
            raise UserError(
                f"{where} cannot be found: '{module}' has no class '{attribute}'{near(attribute, names)} {WAY_OUT}"
            )
    with single_line_errors(where, WAY_OUT):
        kind = getattr(importlib.import_module(IMPORTED if module == RECORDED else module), attribute, None)
    if not (isinstance(kind, type) and all(callable(getattr(kind, method, None)) for method in METHODS)):
        raise UserError(f"{where} is no estimator: it is no class with fit and predict. {WAY_OUT}")
    return kind


def _file(modules: Sequence[str], where: str) -> Path | None:
    """Return the source file of a module of an allowed library without importing it, or None."""
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
    """Return whether a package is scikit-learn or installed by a distribution that requires it."""
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
    """Return whether a file was installed with a distribution, not merely has its name."""
    if file.resolve().is_relative_to(Path(str(distribution.locate_file(""))).resolve()):
        return True
    try:
        source = parse_json(distribution.read_text("direct_url.json") or "{}")
    except Unreadable:
        return False
    info = source.get("dir_info") if isinstance(source, dict) else None
    return isinstance(info, dict) and info.get("editable") is True


def _public_names(file: Path) -> set[str]:
    """Return public names that a source file defines as classes or imports, without running it."""
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
