"""A system is a folder: what it does stands there, and no other file decides by its name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

NAMES = ("facephi", "emola", "emo-llama", "au-llava", "expllm")
WORDS = {*NAMES, *(name.replace("-", "_") for name in NAMES)}
FOLDERS = tuple(f"models/{name.replace('-', '_')}/" for name in NAMES)
# Names that users type, and the one table by which a name is found.
ALLOWED = {
    "models/registry.py": "the table",
    "models/formats/layouts.py": "formats of checkpoints",
    "layers/landmark_prior.py": "compat of released weights",
    "core/emotions.py": "orders of label words",
    "data/__init__.py": "the data set expllm",
    "data/expllm.py": "the data set expllm",
    "train/recipe.py": "augment of a recipe",
    "train/data/picture_changes.py": "augment of a recipe",
}


def mentions(source: str) -> list[str]:
    """Strings, names and imports of a module that are a system's, its docstrings left out."""
    tree = ast.parse(source)
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            inside = any(f"mien.models.{word}" in node.value for word in WORDS)
            found += [f"{node.lineno}: {node.value!r}"] if node.value in WORDS or inside else []
        elif isinstance(node, ast.Name) and node.id in WORDS:
            found.append(f"{node.lineno}: {node.id}")
        elif isinstance(node, ast.ImportFrom) and set((node.module or "").split(".")) & WORDS:
            found.append(f"{node.lineno}: {node.module}")
    return found


def test_only_its_folder_knows_a_system(repository: Path) -> None:
    source = repository / "src/mien"
    found = {}
    for path in source.rglob("*.py"):
        place = path.relative_to(source).as_posix()
        # Baselines are systems too, each a change of one of the five.
        if not place.startswith((*FOLDERS, "models/baselines/")) and mentions(path.read_text()):
            found[place] = mentions(path.read_text())
    assert {place: lines for place, lines in found.items() if place not in ALLOWED} == {}
    assert set(found) == set(ALLOWED), "an allowance that nothing needs"


@pytest.mark.parametrize(
    "line",
    [
        'if system.name == "emola":\n    pass',
        "from mien.models.expllm import words",
        "from mien.models.expllm.words import ask",
        'place = "mien.models.facephi.system:SYSTEM"',
        "emo_llama.ask()",
    ],
)
def test_the_check_sees_a_branch(line: str) -> None:
    assert mentions(line)
    assert not mentions('"""About emola."""')


def test_every_system_is_a_folder_of_the_same_files(repository: Path) -> None:
    for folder in FOLDERS:
        assert {"system.py", "words.py"} <= {
            path.name for path in (repository / "src/mien" / folder).glob("*.py")
        }
