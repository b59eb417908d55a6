"""The walls of the house: import-linter's contracts, and no system file that knows another."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Files of mien/models that every system may use; all others, grouped by their first word, are systems.
SYSTEM_WORDS = {"facephi", "emola", "emo", "au", "expllm", "pocket"}


def lint_imports(folder: Path, source: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    environment = {**os.environ, "PYTHONPATH": str(source)}
    return subprocess.run(
        [program, "--no-cache"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_contracts_are_kept(repository: Path) -> None:
    done = lint_imports(repository, repository / "src")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("core/nouns.py", "from mien.app import cli"),
        ("face/finder.py", "def later():\n    from mien.data import packs"),
        ("metrics/au.py", "import torch"),
        ("helpers/__init__.py", "x = 1"),
    ],
)
def test_contracts_can_fail(repository: Path, tmp_path: Path, room: str, line: str) -> None:
    """A small house under the real contracts, with one wall broken."""
    rooms = ["app", "backends", "models", "data", "face", "dialogue", "metrics", "layers", "core"]
    for name in rooms:
        (tmp_path / "mien" / name).mkdir(parents=True)
        (tmp_path / "mien" / name / "__init__.py").touch()
    (tmp_path / "mien" / "__init__.py").touch()
    for path in (repository / "src/mien/models").glob("*.py"):
        (tmp_path / "mien" / "models" / path.name).touch()
    for name in ("app/cli", "data/packs"):
        (tmp_path / "mien" / f"{name}.py").touch()
    (tmp_path / "pyproject.toml").write_text((repository / "pyproject.toml").read_text())
    assert lint_imports(tmp_path, tmp_path).returncode == 0
    broken = tmp_path / "mien" / room
    broken.parent.mkdir(exist_ok=True)
    broken.write_text(line + "\n")
    assert lint_imports(tmp_path, tmp_path).returncode == 1


def system_of(module: str) -> str | None:
    """The system a module of mien/models belongs to, or None for a shared one: ``pocket_evidence`` -> ``pocket``."""
    word = module.removeprefix("mien.models.").split(".")[0].split("_")[0]
    return word if word in SYSTEM_WORDS else None


def test_no_system_imports_another(repository: Path) -> None:
    for path in sorted((repository / "src/mien/models").glob("*.py")):
        own = system_of(path.stem)
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in modules:
                if module.startswith("mien.models.") and own is not None:
                    assert system_of(module) in (None, own), f"{path.name} imports {module}"
