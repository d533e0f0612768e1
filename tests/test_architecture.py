"""Check the rules of docs/architecture.md: which package may import which, and what no module may do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A package imports what has a smaller number, and what NEIGHBOURS allows on its own level.
LEVELS = {
    "errors": 1, "config": 1,
    "storage": 2, "runtime": 2, "registry": 2,
    "pooling": 3, "evaluation": 3,
    "models": 4, "data": 4, "results": 4,
    "features": 5, "trackers": 5,
    "probes": 6,
    "pipeline": 7, "cli": 7,
    "sweeps": 8,
    "run": 9, "extract": 9, "predict": 9, "api": 9,
}  # fmt: skip
NEIGHBOURS = {("config", "errors"), ("runtime", "storage")}
SEES_CONFIG = {"config", "cli", "pipeline", "run", "extract", "predict", "api"}
# State that one process keeps, by module and name.
STATE = {("src.features.loading", "_kept"), ("src.runtime.parallel", "_active_map")}
MOST_LINES = 350  # of a module
MOST_FUNCTION_LINES = 36  # of nine functions in ten
MUTATORS = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "clear", "remove", "discard"}


def modules() -> list[str]:
    """Return the full names of all modules; a package's __init__ has the package's name."""
    found = []
    for folder in ("src", "experiments", "hydra_plugins"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def path_of(module: str) -> Path:
    """Return the file of a module."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def tree_of(module: str) -> ast.Module:
    """Parse a module."""
    return ast.parse(path_of(module).read_text(encoding="utf-8"))


def is_module(name: str) -> bool:
    """Return whether a full name is a module of this repository."""
    return path_of(name).is_file()


@cache
def imports(module: str) -> tuple[tuple[int, str, str | None], ...]:
    """Return line, module and name of each import: also of those inside functions and under TYPE_CHECKING."""
    found: list[tuple[int, str, str | None]] = []
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            found += [(node.lineno, str(node.module), alias.name) for alias in node.names]
    return tuple(found)


def imported_modules(module: str) -> Iterator[tuple[int, str]]:
    """Return line and full name of the repository's modules that a module imports."""
    for line, target, name in imports(module):
        if name is not None and is_module(f"{target}.{name}"):
            yield line, f"{target}.{name}"
        elif target.split(".")[0] in ("src", "experiments") and is_module(target):
            yield line, target


def package_of(module: str) -> str:
    """Return the part of a name that has a level."""
    return module.split(".")[1] if "." in module else module


def test_every_package_of_src_has_a_level() -> None:
    assert {package_of(module) for module in modules() if module.startswith("src.")} == set(LEVELS)


def test_imports_go_down() -> None:
    wrong = []
    for module in (each for each in modules() if each.startswith("src.")):
        for line, target in imported_modules(module):
            if not target.startswith("src."):
                wrong.append(f"{module}:{line} imports {target}")
                continue
            here, there = package_of(module), package_of(target)
            down = here == there or LEVELS[there] < LEVELS[here] or (here, there) in NEIGHBOURS
            if not down:
                wrong.append(f"{module}:{line} imports {target}")
    assert not wrong


def test_imports_form_no_circle() -> None:
    graph = {module: {target for _, target in imported_modules(module)} - {module} for module in modules()}
    while leaves := {module for module, targets in graph.items() if not targets & graph.keys()}:
        graph = {module: targets for module, targets in graph.items() if module not in leaves}
    # What is left lies on a circle, or imports one that does.
    assert not graph


def test_modules_are_imported_by_their_full_names() -> None:
    """An import of a package would run, or wait for, all that the package imports."""
    wrong = [
        f"{module}:{line} imports {target}"
        for module in modules()
        for line, target in imported_modules(module)
        if path_of(target).name == "__init__.py"
    ]
    assert not wrong


def test_nothing_private_of_another_library_is_imported() -> None:
    wrong = []
    for module in modules():
        libraries = set()
        for line, target, name in imports(module):
            parts = [*target.split("."), *([name] if name else [])]
            if parts[0] in ("src", "experiments", "__future__"):
                continue
            libraries.add(name or parts[0])
            if any(part.startswith("_") and not part.endswith("__") for part in parts):
                wrong.append(f"{module}:{line} imports {'.'.join(parts)}")
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
                base = node.value
                while isinstance(base, ast.Attribute):
                    base = base.value
                if isinstance(base, ast.Name) and base.id in libraries:
                    wrong.append(f"{module}:{node.lineno} reads {ast.unparse(node)}")
    assert not wrong


def test_only_the_top_sees_the_whole_config() -> None:
    wrong = [
        f"{module}:{line}"
        for module in modules()
        for line, target, name in imports(module)
        if target == "src.config.schema" and name == "Config" and package_of(module) not in SEES_CONFIG
        if module.startswith("src.")
    ]
    assert not wrong


def state(module: str) -> Iterator[str]:
    """Return the names of a module's variables that can change while it runs."""
    tree = tree_of(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield from node.names
    names: dict[str, bool] = {}  # name: whether its value can be changed in place
    for node in tree.body:
        value = getattr(node, "value", None)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and value is not None:
                call = value.func if isinstance(value, ast.Call) else None
                if isinstance(call, ast.Subscript):
                    call = call.value
                if isinstance(call, ast.Name) and call.id == "Registry":
                    continue
                built = isinstance(call, ast.Name) and call.id in {
                    "dict",
                    "list",
                    "set",
                    "defaultdict",
                    "deque",
                    "ContextVar",
                }
                empty = isinstance(value, ast.Dict | ast.List) and not (
                    getattr(value, "keys", None) or getattr(value, "elts", None)
                )
                names[target.id] = built or empty
    changed = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            changed.add(ast.unparse(node.func.value))
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.Delete):
            for target in node.targets if hasattr(node, "targets") else [node.target]:
                if isinstance(target, ast.Subscript):
                    changed.add(ast.unparse(target.value))
    local = {
        argument.id
        for function in ast.walk(tree) if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for argument in ast.walk(function) if isinstance(argument, ast.Name) and isinstance(argument.ctx, ast.Store)
    }  # fmt: skip
    for name, built in names.items():
        if name != "__all__" and (built or (name in changed and name not in local)):
            yield name


def test_no_module_keeps_state_but_those_named() -> None:
    """Registries are filled while modules are imported and do not change after that."""
    found = {(module, name) for module in modules() if module.startswith("src") for name in state(module)}
    assert found == STATE


@pytest.mark.parametrize("module", modules())
def test_a_module_can_be_read_in_one_go(module: str) -> None:
    assert len(path_of(module).read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_nine_functions_in_ten_fit_a_screen() -> None:
    lengths = sorted(
        int(node.end_lineno or 0) - node.lineno + 1
        for module in modules()
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert lengths[int(0.9 * len(lengths))] <= MOST_FUNCTION_LINES


def test_src_holds_packages_and_a_few_files() -> None:
    assert len([path for path in (ROOT / "src").glob("*.py") if path.name != "__init__.py"]) <= 8
