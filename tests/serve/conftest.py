"""Real server processes of this checkout, one for all tests that need nothing special."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

httpx = pytest.importorskip("httpx2", reason="the servers are asked with httpx: pip install 'mien[llm]'")
for needed in ("fastapi", "uvicorn", "multipart", "prometheus_client", "websockets"):
    pytest.importorskip(needed, reason="pip install 'mien[serve]'")

ROOT = Path(__file__).resolve().parents[2]
KEY = "a-key-of-the-tests-0123456789"
READY_SECONDS = 120


@dataclass
class Server:
    """A process of `mien serve`."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path
    client: Any = field(default=None)

    def stop(self) -> int:
        if self.client is not None:
            self.client.close()
        self.process.terminate()
        return self.process.wait(60)


def start(log: Path, *arguments: object, **variables: str) -> Server:
    """Start ``mien serve`` on a free port and wait until it says that it is ready."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(log.parent),
                   "HOME": str(log.parent / "home"), **variables}  # fmt: skip
    command = [sys.executable, "-m", "mien", "serve", "--port", "0", *map(str, arguments)]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, env=environment, stderr=errors, stdout=subprocess.DEVNULL, cwd=log.parent
        )
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and process.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("mien serves on "):
                address = line.split()[-1]
                return Server(process, address, log, httpx.Client(base_url=address, timeout=120))
        select.select([], [], [], 0.05)
    process.kill()
    raise AssertionError(f"no server: {log.read_text()}")


Start = Callable[..., Server]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Start]:
    """Starts servers that are stopped after the test."""
    started: list[Server] = []

    def begin(*arguments: object, **variables: str) -> Server:
        started.append(start(tmp_path / f"log{len(started)}", *arguments, **variables))
        return started[-1]

    yield begin
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        server.client.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that asks for no key, with all that it can offer."""
    tool = ["--mcp-http"] if find_spec("mcp") else []
    found = start(tmp_path_factory.mktemp("serve") / "log", "--ui", *tool)
    yield found
    assert found.stop() == 0
    assert "Traceback" not in found.log.read_text()
    assert not (found.log.parent / "home").exists(), "a library wrote to the user's home"


@pytest.fixture(scope="session")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a key, short bounds and room for one request."""
    folder = tmp_path_factory.mktemp("strict")
    (folder / "keys").write_text(f"# of the tests\ntester {KEY}\n")
    bounds = {"waiting": 1, "head_seconds": 1.0, "body_seconds": 1.5, "image_bytes": 300_000, "pixels": 2_000_000,
              "clip_seconds": 2.0, "clip_bytes": 3_000_000, "seconds": 60.0}  # fmt: skip
    limits = [part for name, value in bounds.items() for part in ("--limit", f"{name}={value}")]
    found = start(folder / "log", "--keys", folder / "keys", "--landmarks-only", *limits)
    found.client.headers["authorization"] = f"Bearer {KEY}"
    yield found
    assert found.stop() == 0
    text = found.log.read_text()
    assert KEY not in text and "Traceback" not in text


@pytest.fixture(scope="session")
def photo(examples: Path) -> bytes:
    return (examples / "eileen_collins.jpg").read_bytes()


@contextmanager
def raw(address: str) -> Iterator[Any]:
    """A bare connection."""
    import socket

    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        yield connection


@pytest.fixture(scope="session")
def bare() -> Callable[[str], Any]:
    return raw
