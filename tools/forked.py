"""``mien`` in fresh processes that need not import it: each is a fork of one process that has.

Run as a script, this reads one request per line from standard input, and answers each with one line.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

# What `mien analyze` loads; nothing here starts a thread, which a fork would lose.
LOADED = "mien.app.cli mien.app.progress mien.app.summary mien.analyze.jobs mien.analyze.analyzer onnxruntime"


class Forked:
    """Runs commands one after another, each in a process of its own."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        command = [sys.executable, __file__]
        self._server = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self, arguments: list[str], max_kb: int | None = None
    ) -> tuple[subprocess.CompletedProcess[str], float]:
        """What the command gave, and its processor seconds; ``max_kb`` bounds the size of every file it writes."""
        with tempfile.TemporaryDirectory() as folder:
            request = {"arguments": arguments, "folder": folder, "cwd": os.getcwd(), "max_kb": max_kb}
            assert self._server.stdin is not None and self._server.stdout is not None
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
            answer = json.loads(self._server.stdout.readline())
            said = [Path(folder, name).read_text(encoding="utf-8") for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess(["mien", *arguments], answer["status"], *said), answer["seconds"]

    def close(self) -> None:
        """End the process that is forked, also where a command of it hangs."""
        try:
            self._server.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.communicate()


def become(request: dict[str, object]) -> None:
    """Make this process the command that was asked for."""
    folder = str(request["folder"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT, 0o600), number)
    os.chdir(str(request["cwd"]))
    if isinstance(request["max_kb"], int):
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["max_kb"] * 1024,) * 2)
    assert isinstance(request["arguments"], list)
    sys.argv = ["mien", *request["arguments"]]


def serve() -> bool:
    """Answer requests until there are no more; true in the process that is to be the command."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(json.loads(line))
            return True
        _, status, used = os.wait4(child, 0)
        answer = {"status": os.waitstatus_to_exitcode(status), "seconds": used.ru_utime + used.ru_stime}
        print(json.dumps(answer), flush=True)
    return False


if __name__ == "__main__":
    import importlib
    import runpy

    for module in LOADED.split():
        importlib.import_module(module)
    if serve():
        runpy.run_module("mien", run_name="__main__")
