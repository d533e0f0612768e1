"""Mappings of names to registered functions and classes, and the sources of such functions."""

from __future__ import annotations

import ast
import difflib
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Generic, TypeVar

from src.errors import UserError

T = TypeVar("T")

SYNONYMS = {  # names that other libraries use: our own
    **dict.fromkeys(("pooled_output", "pooled", "pooler_output"), "pooler"),
    **dict.fromkeys(("avg", "average", "mean_pooling"), "mean"),
    **dict.fromkeys(("first", "first_token", "cls_token"), "cls"),
    **dict.fromkeys(("fp32", "float"), "float32"),
    **dict.fromkeys(("fp16", "half"), "float16"),
    "bf16": "bfloat16",
    "acc": "accuracy",
    **dict.fromkeys(("linear", "lr", "logreg"), "logistic"),
}


def unknown(kind: str, name: object, known: Iterable[str], *, where: str = "") -> UserError:
    """Return the error for an unknown name, with the nearest known one and the list of all.

    >>> print(unknown("metric", "acuracy", ["accuracy", "f1"], where="sst2: "))
    sst2: unknown metric 'acuracy'; did you mean 'accuracy'? Known: accuracy, f1.
    """
    names = sorted(known)
    return UserError(f"{where}unknown {kind} '{name}'{near(name, names)} Known: {', '.join(names)}.")


def near(name: object, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: what others call a known one, the nearest, or a full stop.

    >>> near("pooled_output", ["cls", "pooler"])
    "; did you mean 'pooler'?"
    """
    names = sorted(known)
    other = SYNONYMS.get(str(name).lower())
    found = [other] if other in names else difflib.get_close_matches(str(name), names, n=1)
    return f"; did you mean '{found[0]}'?" if found else "."


def import_modules(package: str) -> None:
    """Import every module of a package, so that a new file registers what it defines."""
    for found in pkgutil.iter_modules(import_module(package).__path__):
        import_module(f"{package}.{found.name}")


def function_sources(function: Callable[..., object], seen: set[str] | None = None) -> Iterator[str]:
    """Yield the source of a function, then that of the functions of its module that it names.

    Comments and docstrings are left out. Functions whose names are in `seen` are not yielded again.
    """
    seen = set() if seen is None else seen
    seen.add(function.__name__)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    tree.decorator_list = []
    if ast.get_docstring(tree) is not None:
        tree.body = tree.body[1:] or [ast.Pass()]
    yield ast.unparse(tree)
    for name in function.__code__.co_names:
        other = function.__globals__.get(name)
        if inspect.isfunction(other) and other.__module__ == function.__module__ and other.__name__ not in seen:
            yield from function_sources(other, seen)


class Registry(Mapping[str, T], Generic[T]):
    """Map names to registered things, in the order of registration.

    >>> shapes = Registry("shape")
    >>> shapes.add("square", 4)
    >>> shapes["sqare"]
    Traceback (most recent call last):
    src.errors.UserError: unknown shape 'sqare'; did you mean 'square'? Known: square.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._things: dict[str, T] = {}

    def add(self, name: str, thing: T) -> None:
        """Register a thing; raise a ValueError if the name is taken."""
        if name in self._things:
            raise ValueError(f"{self.kind} '{name}' is registered twice")
        self._things[name] = thing

    def __getitem__(self, name: str) -> T:
        if name not in self._things:
            raise unknown(self.kind, name, self._things)
        return self._things[name]

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)
