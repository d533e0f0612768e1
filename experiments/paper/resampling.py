"""Keeps results of resampling beside the records, so that a page of equal records needs none anew.

`experiments/records/resampling.json` holds each result under the digest of its inputs, and the digest of
the functions that computed it. A changed input or function is computed again; what no page asks for
any more is dropped.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from experiments.manifest import RESAMPLING
from src.errors import UserError, flatten
from src.evaluation import bootstrap
from src.evaluation.bootstrap import RESAMPLES
from src.evaluation.contrasts import MARGIN, Contrast, Task, contrasts
from src.evaluation.differences import Difference
from src.evaluation.estimates import Estimate, evaluate
from src.evaluation.metrics import Array
from src.runtime.threads import limit_threads
from src.storage.atomic import replace_files
from src.storage.files import DAMAGE, read_json
from src.storage.keys import content_key

# Modules of src/evaluation that decide the results.
METHOD = (
    *("bootstrap", "comparisons", "contrasts", "differences", "estimates", "metrics"),
    *("multiplicity", "overlap", "proportions", "resampled_runs", "samples"),
)
SHORT = 20  # hexadecimal digits of a digest that are kept


class Resampling:
    """Computes results of resampling, or returns those that are stored for the same inputs.

    Parameters
    ----------
    stored : mapping, optional
        Results by the digest of their inputs.
    """

    def __init__(self, stored: Mapping[str, Any] | None = None) -> None:
        self._stored = dict(stored or {})
        self._used: dict[str, Any] = {}

    @property
    def used(self) -> Mapping[str, Any]:
        """The results that were asked for, by the digest of their inputs."""
        return self._used

    def add(self, used: Mapping[str, Any]) -> None:
        """Count the results that another process asked for as asked for here."""
        self._used.update(used)

    @classmethod
    def read(cls, records: Path) -> Resampling:
        """Return the results in a folder of records; none where the file is missing, damaged or outdated."""
        try:
            found = read_json(records / RESAMPLING)
            valid = found["method"] == method_digest() and found["content"] == _content_digest(found["results"])
            return cls(found["results"] if valid else None)
        except DAMAGE:
            return cls()

    def write(self, folder: Path) -> None:
        """Write the results that were asked for, unless the file holds exactly these.

        Raises
        ------
        UserError
            The file cannot be written.
        """
        text = self.text()
        try:
            if not (folder / RESAMPLING).is_file() or (folder / RESAMPLING).read_bytes() != text:
                replace_files(folder, {RESAMPLING: text})
        except OSError as error:
            raise UserError(
                f"{folder / RESAMPLING} cannot be written: {flatten(error)}. The page is complete; its next build "
                "resamples again."
            ) from error

    def text(self) -> bytes:
        """Return the content of the file: a line per result, sorted by its digest."""
        lines = [f'  "{key}": {_compact(self._used[key])}' for key in sorted(self._used)]
        head = f'{{\n "method": "{method_digest()}",\n "content": "{_content_digest(self._used)}",\n "results": {{\n'
        return (head + ",\n".join(lines) + "\n }\n}\n").encode()

    def contrasts(
        self, tasks: Sequence[Task], pairs: Sequence[tuple[str, str]], *, margin: float = MARGIN, resamples: int
    ) -> list[Contrast]:
        """Return what `src.evaluation.contrasts.contrasts` does, without the intervals at other levels."""
        found: list[Contrast] = []
        for task in tasks:

            def compute(task: Task = task) -> list[Any]:
                return [_pack(each) for each in contrasts([task], pairs, margin=margin, resamples=resamples)]

            inputs = {"tasks": [_task_identity(task)], "pairs": [list(pair) for pair in pairs]}
            settings = {"kind": "contrasts", "margin": margin, "resamples": resamples}
            found += [_unpack_contrast(values) for values in self._find({**settings, **inputs}, compute)]
        return found

    def evaluate(
        self, metric: str, labels: Array, predictions: Array, *, classes: int, seed: int = 0, resamples: int = RESAMPLES
    ) -> Estimate:
        """Return what `src.evaluation.estimates.evaluate` does for ungrouped rows."""
        settings = {"metric": metric, "classes": classes, "seed": seed, "resamples": resamples}
        arrays = {"labels": _array_identity(labels), "predictions": _array_identity(predictions)}

        def compute() -> list[Any]:
            return _pack(evaluate(metric, labels, predictions, classes=classes, seed=seed, resamples=resamples))

        return Estimate(**_unpack(Estimate, self._find({"kind": "estimate", **settings, **arrays}, compute)))

    def _find(self, inputs: Mapping[str, Any], compute: Callable[[], list[Any]]) -> Any:
        """Return the result for some inputs, computed if it is not stored."""
        key = content_key(inputs)[:SHORT]
        if key not in self._used:
            if key not in self._stored:
                with limit_threads():
                    self._stored[key] = json.loads(_compact(compute()))
            self._used[key] = self._stored[key]
        return self._used[key]


def _pack(value: Any) -> list[Any]:
    """Return the fields of a result in their order; a difference loses its interval at other levels."""
    found = [getattr(value, field.name) for field in fields(value) if field.name != "interval"]
    return [_pack(each) if isinstance(each, Difference) else each for each in found]


def _unpack(kind: Any, values: Iterable[Any]) -> dict[str, Any]:
    """Return the fields of a result by their names."""
    names = [field.name for field in fields(kind) if field.name != "interval"]
    return dict(zip(names, values, strict=True))


def _unpack_contrast(values: Iterable[Any]) -> Contrast:
    named = _unpack(Contrast, values)
    return Contrast(**named | {"difference": Difference(**_unpack(Difference, named["difference"]))})


def _task_identity(task: Task) -> dict[str, Any]:
    """Return all of a task that a result can depend on; the resamples of a run depend on all runs."""
    arrays = {name: _array_identity(getattr(task, name)) for name in ("labels", "strata", "groups", "texts")}
    runs = [[name, _array_identity(each), task.widths.get(name)] for name, each in task.predictions.items()]
    settings = {name: getattr(task, name) for name in ("name", "metric", "classes", "seed", "folds")}
    return {**settings, **arrays, "runs": runs}


def _array_identity(array: Array | None) -> list[Any] | None:
    if array is None:
        return None
    plain = np.ascontiguousarray(array)
    return [plain.dtype.str, list(plain.shape), hashlib.sha256(plain.data).hexdigest()]


@cache
def method_digest() -> str:
    """Return the digest of the functions that compute the results."""
    folder = Path(bootstrap.__file__).parent
    return source_digest((folder / f"{name}.py").read_text(encoding="utf-8") for name in METHOD)


def source_digest(sources: Iterable[str]) -> str:
    """Return the digest of the source of some modules, whatever their comments, docstrings and layout.

    >>> source_digest(["def f():\\n    return 1  # one"]) == source_digest(['def f():\\n    "One."\\n    return 1'])
    True
    """
    trees = [_plain_tree(ast.parse(source)) for source in sources]
    return hashlib.sha256(_compact(trees).encode()).hexdigest()[:SHORT]


def _plain_tree(node: Any) -> Any:
    """Return a syntax tree as lists that are the same in every version of Python."""
    if isinstance(node, list):
        return [_plain_tree(each) for each in node if not _is_docstring(each)]
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
    return [type(node).__name__, *([name, _plain_tree(value)] for name, value in parts)]


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _content_digest(results: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(results, sort_keys=True).encode()).hexdigest()[:SHORT]


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
