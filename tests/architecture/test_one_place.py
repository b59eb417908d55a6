"""One place for each idea: files are put in place, and levels of Action Units computed, in one module each."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATHS, AUS = "src/mien/core/paths.py", "src/mien/core/aus.py"
# Fives that are no FACS levels: the gap between the tiles of a chart.
OTHER_FIVES = {"src/mien/app/data/charts.py"}


# Only files that hold such a word are parsed.
MOVES, FIVES = (
    re.compile(r"\.(replace|rename|move)\((?!\s*[\"'])"),
    re.compile(r"\.level\b|\b5(\.0)? ?[*/]|[*/] ?5\b"),
)


def sources(worth: re.Pattern[str]) -> dict[str, ast.Module]:
    texts = {
        path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted((ROOT / "src").rglob("*.py"))
    }
    return {name: ast.parse(text) for name, text in texts.items() if worth.search(text)}


def replaces(tree: ast.AST) -> list[int]:
    """Lines that put one file in another's place: ``os.replace(a, b)``, ``path.replace(b)`` and their kin."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.keywords:
            of_os = isinstance(node.func.value, ast.Name) and node.func.value.id in ("os", "shutil")
            if node.func.attr in ("replace", "rename", "move") and len(node.args) == (2 if of_os else 1):
                found.append(node.lineno)
    return found


def fives(tree: ast.AST) -> list[int]:
    """Lines that multiply or divide by 5 or hold a ``level`` against a number or a cut-off: FACS arithmetic."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
            sides = (node.left, node.right)
            found += [node.lineno for one in sides if isinstance(one, ast.Constant) and one.value == 5]
        if isinstance(node, ast.Compare) and any(
            isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for op in node.ops
        ):
            sides = [node.left, *node.comparators]
            level = any(isinstance(one, ast.Attribute) and one.attr == "level" for one in sides)
            bound = any(
                isinstance(one, ast.Constant) or ast.unparse(one).endswith("cut_off") for one in sides
            )
            found += [node.lineno] if level and bound else []
    return found


def test_one_function_puts_files_in_place() -> None:
    found = {name: lines for name, tree in sources(MOVES).items() if (lines := replaces(tree))}
    assert len(found.pop(PATHS)) == 1
    assert not found


def test_levels_are_computed_in_one_place() -> None:
    found = {name: lines for name, tree in sources(FIVES).items() if (lines := fives(tree))}
    assert found.pop(AUS)
    assert found.keys() <= OTHER_FIVES, found


@pytest.mark.parametrize(
    "text",
    ["os.replace(a, b)", "part.replace(path)", "path.rename(other)", "shutil.move(a, b)", "os.rename(a, b)"],
)
def test_a_second_replace_is_seen(text: str) -> None:
    assert MOVES.search(text) and replaces(ast.parse(text))
    assert not replaces(ast.parse("text.replace('a', 'b'); replace(noun, a=1); frame.rename(columns=names)"))


@pytest.mark.parametrize(
    "text", ["floor(5.0 * x + 0.5)", "level / 5", "reading.level > 0", "1 <= one.level < 3"]
)
def test_a_second_level_is_seen(text: str) -> None:
    assert FIVES.search(text) and fives(ast.parse(text))
    assert not fives(ast.parse("x = 5 + y; level == 3; n > 2"))


def test_nets_are_opened_in_one_place() -> None:
    texts = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "src").rglob("*.py")}
    opening = re.compile(r"\b(?:onnxruntime\.InferenceSession|SessionOptions)\(")
    assert [name for name, text in texts.items() if opening.search(text)] == [
        "src/mien/face/onnx_sessions.py"
    ]
