"""The walls of the house: import-linter's contracts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


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


@pytest.fixture(scope="module")
def small_house(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small house under the real contracts, which it keeps."""
    folder, source = tmp_path_factory.mktemp("house"), repository / "src/mien"
    for path in (*source.glob("*/__init__.py"), *source.glob("models/*/__init__.py")):
        room_folder = folder / "mien" / path.parent.relative_to(source)
        room_folder.mkdir(parents=True)
        (room_folder / "__init__.py").touch()
    (folder / "mien" / "__init__.py").touch()
    for name in ("app/cli", "data/packs"):
        (folder / "mien" / f"{name}.py").touch()
    (folder / "pyproject.toml").write_text((repository / "pyproject.toml").read_text())
    assert lint_imports(folder, folder).returncode == 0
    return folder


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("core/nouns.py", "from mien.app import cli"),
        ("face/finder.py", "def later():\n    from mien.data import packs"),
        ("metrics/au.py", "import torch"),
        ("helpers/__init__.py", "x = 1"),
    ],
)
def test_contracts_can_fail(small_house: Path, tmp_path: Path, room: str, line: str) -> None:
    """One wall of the small house is broken."""
    shutil.copytree(small_house, tmp_path, dirs_exist_ok=True)
    broken = tmp_path / "mien" / room
    broken.parent.mkdir(exist_ok=True)
    broken.write_text(line + "\n")
    assert lint_imports(tmp_path, tmp_path).returncode == 1
