"""Every write of a run fails once: what is left is the old state, or a run that goes on to the same bytes."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mien.annotate.runner import RunOptions, run
from mien.backends.chat import ChatRequest, Reply
from mien.core.errors import MienError, OutputFailed
from mien.core.paths import write_whole
from mien.work import journal as journal_module
from mien.work.folder import RunFolder
from mien.work.journal import Entry, Row


class Faults:
    """Counts writes, and lets one fail."""

    def __init__(self) -> None:
        self.count, self.fail, self.after = 0, 0, False

    def begin(self, fail: int, after: bool) -> None:
        """``after``: the write is done, and then its caller is told that it failed."""
        self.count, self.fail, self.after = 0, fail, after

    def meet(self, error: Exception, write: Callable[[], Any]) -> Any:
        self.count += 1
        if self.count != self.fail:
            return write()
        if self.after:
            write()
        raise error


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    made = Faults()

    def failing(real: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return made.meet(error, partial(real, *arguments, **options))

    for name in ("replace", "fsync", "mkdir", "unlink"):
        monkeypatch.setattr(os, name, partial(failing, getattr(os, name)))

    class Connection(sqlite3.Connection):
        def _faulty(self, write: Callable[[], Any]) -> Any:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            return made.meet(error, write)

        def execute(self, statement: str, *values: Any) -> Any:
            real = super().execute
            # A failing ROLLBACK leaves a connection that nobody uses again.
            if statement.startswith(("SELECT", "ROLLBACK", "PRAGMA")):
                return real(statement, *values)
            return self._faulty(lambda: real(statement, *values))

        def executemany(self, statement: str, values: Any) -> Any:
            real = super().executemany
            return self._faulty(lambda: real(statement, values))

    real_connect = sqlite3.connect
    monkeypatch.setattr(
        journal_module.sqlite3,
        "connect",
        lambda *arguments, **options: real_connect(*arguments, factory=Connection, **options),
    )
    return made


def items(out: Path, content: str, **options: bool) -> None:
    """Three items, a table of their rows and a folder of pictures."""
    with RunFolder(out, ["table.csv", "run.json", "overlay/"], {"content": content}, **options) as folder:
        journal = folder.journal
        journal.check_settings({"content": content})
        journal.forget_unfinished()
        pictures, done = folder.own_folder("overlay/"), journal.entries()
        for item in "abc":
            if item not in done:
                write_whole(pictures / f"{item}.jpg", item)
                journal.add([Row(item, "frame", 0, content + item)], [Entry(item, "1")])
        with folder.writing("table.csv") as path:
            write_whole(path, "".join(body for _, body in journal.bodies("abc", "frame")))
        with folder.writing("run.json") as path:
            write_whole(path, "{}")
        folder.finish()


def files(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".mien" not in path.parts
    }


WHOLE = {
    "overlay/a.jpg": b"a",
    "overlay/b.jpg": b"b",
    "overlay/c.jpg": b"c",
    "run.json": b"{}",
    "table.csv": b"xaxbxc",
}


@pytest.mark.parametrize("after", [False, True], ids=["refused", "done, then refused"])
def test_a_new_run(tmp_path: Path, faults: Faults, after: bool) -> None:
    faults.begin(0, after)
    items(tmp_path / "0", "x")
    writes = faults.count
    assert files(tmp_path / "0") == WHOLE
    assert writes > 20
    for place in range(1, writes + 1):
        out = tmp_path / str(place)
        faults.begin(place, after)
        with suppress(OutputFailed):
            items(out, "x")
        faults.begin(0, after)
        left = files(out) if out.exists() else {}
        assert left.items() <= WHOLE.items(), place
        items(out, "x", resume=True)
        assert files(out) == WHOLE, place


def test_a_run_in_place_of_an_old_one(tmp_path: Path, faults: Faults) -> None:
    faults.begin(0, False)
    items(tmp_path / "0", "o")
    old = files(tmp_path / "0")
    items(tmp_path / "0", "x", replace=True)
    writes = faults.count
    for place in range(1, writes + 1, 3):
        out = tmp_path / str(place)
        faults.begin(0, False)
        items(out, "o")
        faults.begin(place, False)
        with suppress(OutputFailed):
            items(out, "x", replace=True)
        faults.begin(0, False)
        for name, content in files(out).items():
            assert content in (old[name], WHOLE[name]), (place, name)
        items(out, "x", replace=True)
        assert files(out) == WHOLE, place


class Echo:
    model = "echo"

    def reply(self, request: ChatRequest) -> Reply:
        return Reply(f"echo {request.facts['text']}", "stop", 10, 4)


def test_an_annotation(tmp_path: Path, faults: Faults, toy: ModuleType) -> None:
    names = ("items.jsonl", "rejected.jsonl", "statistics.json")
    options = RunOptions(workers=1, first_wait=0.01)
    faults.begin(0, False)
    run(toy.ToyEngine(2), Echo(), tmp_path / "0", options)
    whole = {name: (tmp_path / "0" / name).read_bytes() for name in names}
    for place in range(1, faults.count + 1, 4):
        out = tmp_path / str(place)
        faults.begin(place, False)
        with suppress(MienError):
            run(toy.ToyEngine(2), Echo(), out, options)
        faults.begin(0, False)
        for name in names:
            assert not (out / name).exists() or (out / name).read_bytes() == whole[name], (place, name)
        run(toy.ToyEngine(2), Echo(), out, RunOptions(workers=1, resume=True))
        assert {name: (out / name).read_bytes() for name in names} == whole, place
