"""A real chat server in a process of its own, and a small engine to drive it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.request import Request, urlopen

import pytest

SERVER = Path(__file__).with_name("wire_server.py")


class Wire:
    """The server, as a test sees it."""

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}"
        self.url = f"{self.root}/v1"

    def faults(self, *faults: dict[str, Any]) -> None:
        self._send("/faults", list(faults))

    def reset(self) -> None:
        self._send("/reset", {})

    def stats(self) -> dict[str, Any]:
        with urlopen(f"{self.root}/stats", timeout=10) as reply:
            found: dict[str, Any] = json.load(reply)
            return found

    def count(self) -> int:
        """Requests that came."""
        with urlopen(f"{self.root}/count", timeout=10) as reply:
            return int(reply.read())

    def asked(self) -> dict[str, int]:
        """Text of a request -> how often it came."""
        stats = self.stats()
        return {stats["texts"][key]: number for key, number in stats["received"].items()}

    def _send(self, path: str, content: object) -> None:
        with urlopen(Request(self.root + path, json.dumps(content).encode()), timeout=10) as reply:
            reply.read()


@pytest.fixture(scope="session")
def wire_process() -> Iterator[Wire]:
    command = [sys.executable, str(SERVER), "--keep-bodies", "--service", "0.01"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Wire(int(process.stdout.readline()))
        process.kill()


@pytest.fixture
def wire(wire_process: Wire) -> Wire:
    """The server without faults and with empty books."""
    wire_process.reset()
    return wire_process


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """The module of the small engine."""
    place = Path(__file__).with_name("toy_run.py")
    found = spec_from_file_location("toy_run", place)
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    sys.modules["toy_run"] = module
    found.loader.exec_module(module)
    return module
