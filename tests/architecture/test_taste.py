"""Taste, machine-checked: small files and functions, honest handlers, stated public names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE, MAX_FUNCTION, P90_FUNCTION = 500, 80, 45
# Modules side by side in one folder; one file per data set stands apart.
MAX_MODULES, MANY_ALLOWED = 20, {"src/mien/data"}
BROAD = {"Exception", "BaseException"}
# A broad handler may stand at one server boundary only, in the barrier of an item, in what looks for uncaught errors,
# and where it raises again.
BROAD_ALLOWED = {"src/mien/core/errors.py", "src/mien/work/loop.py", "benchmarks/fuzz.py"}
ENVIRON_ALLOWED = {
    "src/mien/core/paths.py",
    "src/mien/core/quiet.py",
    "src/mien/core/registry.py",
    "src/mien/train/processes.py",
}
PRINT_ALLOWED = ("src/mien/app/", "tools/", "benchmarks/", "examples/")
BAD_NAMES = ("utils", "helpers", "misc", "common", "legacy_", "_v2", "_old", "_new")


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def is_broad(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    raises_again = isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None
    names = {node.id for node in caught if isinstance(node, ast.Name)}
    return handler.type is None or (bool(names & BROAD) and not raises_again)


def defined_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, ast.Assign | ast.AnnAssign) and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in targets
        ):
            assert node.value is not None
            return [str(name) for name in ast.literal_eval(node.value)]
    return None


def faults(relative: str, text: str) -> list[str]:
    """Everything that offends taste in one file."""
    return look(relative, text)[0]


@cache
def look(relative: str, text: str) -> tuple[list[str], list[int]]:
    """What offends taste in one file, and the lengths of its functions: each file is parsed once."""
    tree, found = ast.parse(text), []
    lengths = [length(function) for function in functions(tree)]
    if len(text.splitlines()) > MAX_FILE:
        found.append(f"{len(text.splitlines())} lines in a file, at most {MAX_FILE}")
    if any(bad in Path(relative).stem for bad in BAD_NAMES):
        found.append("a name that says nothing")
    for function in functions(tree):
        if length(function) > MAX_FUNCTION:
            found.append(f"{function.name} has {length(function)} lines, at most {MAX_FUNCTION}")
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and is_broad(node) and relative not in BROAD_ALLOWED:
            found.append(f"line {node.lineno}: a broad except")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            found += [] if relative.startswith(PRINT_ALLOWED) else [f"line {node.lineno}: print"]
        reads = isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
        if reads and relative.startswith("src/") and relative not in ENVIRON_ALLOWED:
            found.append(f"line {node.lineno}: the environment is read")
    if relative.startswith("src/"):
        found += export_faults(relative, tree)
    return found, lengths


def export_faults(relative: str, tree: ast.Module) -> list[str]:
    names = exported(tree)
    public = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    if names is None:
        return ["no __all__"] if public and Path(relative).stem != "__main__" else []
    lazy = any(
        function.name == "__getattr__" for function in tree.body if isinstance(function, ast.FunctionDef)
    )
    missing = [name for name in names if name not in defined_names(tree) and not lazy]
    return [f"__all__ names {name!r}, which is not there" for name in missing]


@pytest.mark.parametrize(
    "path", python_files("src", "tools", "benchmarks", "tests"), ids=lambda p: str(p.relative_to(ROOT))
)
def test_file(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    assert faults(relative, path.read_text()) == []


def test_most_functions_are_short() -> None:
    paths = python_files("src")
    lengths = sorted(
        n for path in paths for n in look(path.relative_to(ROOT).as_posix(), path.read_text())[1]
    )
    assert lengths[int(0.9 * len(lengths))] <= P90_FUNCTION


def crowded(source: Path) -> dict[str, int]:
    """Folders with more modules side by side than one can overlook."""
    counts: dict[str, int] = {}
    for path in source.rglob("*.py"):
        if not path.stem.startswith("__"):
            folder = path.parent.relative_to(ROOT if path.is_relative_to(ROOT) else source).as_posix()
            counts[folder] = counts.get(folder, 0) + 1
    return {name: n for name, n in counts.items() if n > MAX_MODULES and name not in MANY_ALLOWED}


def test_no_folder_is_crowded(tmp_path: Path) -> None:
    assert crowded(ROOT / "src") == {}
    for number in range(MAX_MODULES + 1):
        (tmp_path / f"m{number}.py").touch()
    assert crowded(tmp_path) == {".": MAX_MODULES + 1}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("try:\n    f()\nexcept:\n    pass", "broad"),
        ("try:\n    f()\nexcept (OSError, Exception) as e:\n    g(e)", "broad"),
        ("print(1)", "print"),
        ("import os\nx = os.environ['A']", "environment"),
        ("def f(): ...", "__all__"),
        ("__all__ = ['g']\ndef f(): ...", "not there"),
        ("def f():\n" + "    x = 1\n" * 80 + "__all__ = ['f']", "81 lines"),
        ("x = 1\n" * 501, "501 lines"),
    ],
)
def test_the_check_sees_faults(text: str, fault: str) -> None:
    assert any(fault in found for found in faults("src/mien/face/example.py", text))
