"""The memory of a run: one SQLite file (WAL) with every request, every reply and every failed try.

A reply is committed before it is used, so that a killed process never loses a reply that was paid for. Commits
reach the operating system at once and the disk once per second: a kill loses nothing, a power cut at most the
last second (SQLite, "Write-Ahead Logging": ``synchronous`` NORMAL keeps the file sound in both cases).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mien.backends.chat import ChatFailed, ChatRequest, Reply, Teacher, canonical
from mien.backends.patience import Patience
from mien.core.errors import BadConfig, BadInput, OutputFailed

__all__ = ["Memory", "Remembering", "Replay", "StepTotal", "Totals"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (key TEXT PRIMARY KEY, step TEXT NOT NULL, model TEXT NOT NULL,
    body TEXT NOT NULL, asked REAL NOT NULL);
CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, text TEXT NOT NULL, finish TEXT NOT NULL,
    tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, seconds REAL NOT NULL);
CREATE TABLE IF NOT EXISTS failures (key TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
    at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS failures_by_key ON failures (key);
"""
_FLUSH_SECONDS = 1.0
_LOCK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class StepTotal:
    """What one step has cost so far."""

    requests: int
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What all replies of a memory have cost so far."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    """Sum over requests, from sending to the last byte."""
    failures: int = 0
    """Tries that gave no reply."""


class Memory:
    """The file of one run. Safe with threads; one process at a time.

    Args:
        path: the SQLite file; its folder exists.

    Raises:
        BadConfig: another process has the file open.
        OutputFailed: the file cannot be written, or is no SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._flushed = time.monotonic()
        with self._errors():
            self._database = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=_LOCK_SECONDS
            )
        try:
            with self._errors():
                for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
                    self._database.execute(f"PRAGMA {pragma}")
                self._database.executescript(_SCHEMA)
        except (BadConfig, OutputFailed):
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def write(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Run one statement with its values; it is committed on return.

        Raises:
            OutputFailed: the disk is full or the file cannot be written; nothing of it is stored.
        """
        with self._lock, self._errors():
            now = time.monotonic()
            if now - self._flushed < _FLUSH_SECONDS:
                self._database.execute(statement, values)
                return
            self._database.execute("PRAGMA synchronous=FULL")
            try:
                self._database.execute(statement, values)
            finally:
                self._database.execute("PRAGMA synchronous=NORMAL")
            self._flushed = now

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._lock, self._errors():
            return self._database.execute(query, values).fetchall()

    def meta(self, key: str) -> str | None:
        """A stored value, or None."""
        found = self.rows("SELECT value FROM meta WHERE key = ?", (key,))
        return str(found[0][0]) if found else None

    def set_meta(self, key: str, value: str) -> None:
        """Store a value."""
        self.write("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def ask(self, key: str, request: ChatRequest, model: str) -> None:
        """Note that a request is about to be sent."""
        body = canonical(request.body())
        values = (key, request.step, model, body, time.time())
        self.write("INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?)", values)

    def put(self, key: str, reply: Reply, seconds: float = 0.0) -> None:
        """Store the reply to a request that was noted."""
        values = (key, reply.text, reply.finish, reply.tokens_in, reply.tokens_out, seconds)
        self.write("INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?)", values)

    def get(self, key: str) -> Reply | None:
        """The stored reply, or None."""
        query = "SELECT text, finish, tokens_in, tokens_out FROM replies WHERE key = ?"
        found = self.rows(query, (key,))
        return Reply(*found[0]) if found else None

    def note_failure(self, key: str, failure: ChatFailed) -> None:
        """Store a try that gave no reply."""
        values = (key, failure.reason, str(failure), time.time())
        self.write("INSERT INTO failures VALUES (?, ?, ?, ?)", values)

    def unanswered(self) -> list[str]:
        """Keys of requests that were sent and have neither a reply nor a failed try since.

        After a kill these are the requests that were under way: the server may have billed them.
        """
        query = (
            "SELECT key FROM requests WHERE key NOT IN (SELECT key FROM replies) AND NOT EXISTS "
            "(SELECT 1 FROM failures WHERE failures.key = requests.key AND failures.at >= requests.asked) "
            "ORDER BY key"
        )
        return [key for (key,) in self.rows(query)]

    def totals(self) -> Totals:
        """What everything in this memory has cost."""
        query = (
            "SELECT count(*), coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0), "
            "coalesce(sum(seconds), 0.0), (SELECT count(*) FROM failures) FROM replies"
        )
        return Totals(*self.rows(query)[0])

    def steps(self) -> dict[str, StepTotal]:
        """What each step has cost, in the order of their names."""
        query = (
            "SELECT step, count(*), sum(tokens_in), sum(tokens_out) FROM replies JOIN requests USING (key) "
            "GROUP BY step ORDER BY step"
        )
        return {step: StepTotal(*total) for step, *total in self.rows(query)}

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise BadConfig(
                    got=f"{self.path}, which another process has open",
                    expected="one process per run folder",
                    fix="Wait for that process to end, or choose another --out",
                ) from error
            raise self._failed(error) from error
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> OutputFailed:
        return OutputFailed(
            got=f"{error} in the run's memory {self.path}",
            expected="a sound SQLite file in a writable folder with free space",
            fix="Free some space or choose another --out; replies that came are safe, go on with --resume",
        )


class _UnderWay:
    """A request that one thread has sent and others wait for."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.outcome: Reply | ChatFailed | None = None


class Remembering:
    """A teacher that never asks twice: known requests are answered from memory, equal ones under way are shared.

    Args:
        teacher: who is asked.
        memory: where replies are kept.
        patience: tries, rate and budget; six retries and no limits when omitted.
    """

    def __init__(self, teacher: Teacher, memory: Memory, patience: Patience | None = None) -> None:
        self._teacher, self._memory, self._patience = teacher, memory, patience or Patience()
        self._lock = threading.Lock()
        self._under_way: dict[str, _UnderWay] = {}
        self.reused = 0
        """Requests that were answered without asking."""

    @property
    def model(self) -> str:
        """The teacher's model."""
        return self._teacher.model

    def reply(self, request: ChatRequest) -> Reply:
        """The remembered reply, else the teacher's, stored before it is returned.

        Raises:
            ChatFailed: the teacher gave no reply; also to all who waited for the same request.
            BudgetSpent: a limit is reached.
            Stopped: the patience was stopped.
        """
        key = request.key(self.model)
        with self._lock:
            known = self._memory.get(key)
            if known is not None:
                self.reused += 1
                return known
            shared = self._under_way.get(key)
            if shared is None:
                mine = self._under_way[key] = _UnderWay()
            else:
                self.reused += 1
        if shared is not None:
            return self._wait(shared, request)
        try:
            mine.outcome = self._ask(key, request)
            return mine.outcome
        except ChatFailed as failure:
            mine.outcome = failure
            raise
        finally:
            with self._lock:
                del self._under_way[key]
            mine.done.set()

    def _ask(self, key: str, request: ChatRequest) -> Reply:
        seconds = 0.0

        def send() -> Reply:
            nonlocal seconds
            self._memory.ask(key, request, self.model)
            started = time.monotonic()
            reply = self._teacher.reply(request)
            seconds = time.monotonic() - started
            return reply

        reply = self._patience.ask(request, send, lambda failure: self._memory.note_failure(key, failure))
        self._memory.put(key, reply, seconds)
        return reply

    def _wait(self, shared: _UnderWay, request: ChatRequest) -> Reply:
        shared.done.wait()
        if isinstance(shared.outcome, Reply):
            return shared.outcome
        if isinstance(shared.outcome, ChatFailed):
            raise shared.outcome
        # The asking thread was stopped by something else than a failed reply: ask for ourselves.
        return self.reply(request)


class Replay:
    """A teacher that knows only what a memory holds: repeats a run without a network.

    Args:
        memory: of an earlier run.
        model: the model that was asked then.
    """

    def __init__(self, memory: Memory, model: str) -> None:
        self._memory, self.model = memory, model

    def reply(self, request: ChatRequest) -> Reply:
        """The remembered reply.

        Raises:
            BadInput: this request was never answered.
        """
        key = request.key(self.model)
        known = self._memory.get(key)
        if known is None:
            raise BadInput(
                got=f"a request of step {request.step} that {self._memory.path.name} holds no reply to",
                expected="the requests of the run that wrote it",
                fix="Use the same items, prompts, settings and model, or ask a teacher",
            )
        return known
