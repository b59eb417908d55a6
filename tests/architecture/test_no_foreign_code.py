"""No model, however it is opened, brings code that runs: read off the source itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

_OPENERS = ("from_pretrained", "from_config")
_UNPICKLERS = (
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "dill.load",
    "joblib.load",
    "shelve.open",
    "eval",
    "exec",
)


_NAMED = re.compile("from_pretrained|from_config|trust_remote_code|pickle|load|eval|exec")


def faults(source: str) -> Iterator[str]:
    """Calls that may run code of a file."""
    if _NAMED.search(source) is None:
        return
    for node in ast.walk(ast.parse(source)):
        last = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and _NAMED.search(last):
            yield from _faults_of(node)


def _faults_of(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    given = {word.arg: ast.unparse(word.value) for word in node.keywords}
    if name.endswith(_OPENERS) and "trust_remote_code" not in str(given):
        yield f"line {node.lineno}: {name} without trust_remote_code=False"
    if given.get("trust_remote_code", "False") != "False":
        yield f"line {node.lineno}: {name} trusts code that lies beside a model"
    if name in _UNPICKLERS:
        yield f"line {node.lineno}: {name}"
    if name == "torch.load" and given.get("weights_only") != "True":
        yield f"line {node.lineno}: torch.load without weights_only=True"
    if name in ("np.load", "numpy.load") and given.get("allow_pickle", "False") != "False":
        yield f"line {node.lineno}: {name} with pickles"
    if name == "yaml.load" and "Loader" not in ast.unparse(node.args[-1]):
        yield f"line {node.lineno}: yaml.load without a safe loader"


def test_no_call_runs_code_of_a_file(repository: Path) -> None:
    found = {
        str(path.relative_to(repository)): list(faults(path.read_text(encoding="utf-8")))
        for path in (repository / "src").rglob("*.py")
    }
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    [
        "AutoModel.from_pretrained(place)",
        "AutoModel.from_pretrained(place, trust_remote_code=True)",
        "AutoModel.from_config(config, trust_remote_code=trusted)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "pickle.loads(data)",
        "yaml.load(text, yaml.Base)",
    ],
)
def test_the_check_sees_such_a_call(line: str) -> None:
    assert len(list(faults(line))) == 1
