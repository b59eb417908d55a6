"""The journal of a run: one SQLite file (WAL) that keeps finished items, their rows, and what teachers replied.

What is written is committed on return: a kill loses nothing, a power cut at most the last second (SQLite,
"Write-Ahead Logging": ``synchronous`` NORMAL keeps the file sound in both cases; once per second it is FULL).
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from mien.core.errors import BadConfig, OutputFailed, reason_of
from mien.core.plain import printable

__all__ = ["JOURNAL", "Entry", "Journal", "Row"]

JOURNAL = Path(".mien") / "journal.sqlite"
"""The journal's place in a run's folder."""
_FORMAT = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (item TEXT PRIMARY KEY, digest TEXT NOT NULL, reason TEXT,
    final INTEGER NOT NULL, place INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows (item TEXT NOT NULL, kind TEXT NOT NULL, place INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (item, kind, place));
CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY, digest TEXT) WITHOUT ROWID;
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
_QUICK = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One item that is done."""

    item: str
    digest: str
    """Of all that the result depends on: another digest, and the item is done again."""
    reason: str | None = None
    """Why it gave no result; None when it did."""
    final: bool = True
    """False: a run that goes on tries it again."""
    place: int = 0
    """Its place in the whole list of items, shards included."""


class Row(NamedTuple):
    """One row of an item."""

    item: str
    kind: str
    place: int
    """Its order among the item's rows of this kind."""
    body: str


class Journal:
    """The file of one run. Safe with threads; one process at a time.

    Args:
        path: the SQLite file; its folder exists.

    Raises:
        BadConfig: another process has the file open, or another version of mien wrote it.
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
                self._check_format()
                self._database.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
        except (BadConfig, OutputFailed):
            self._database.close()
            raise

    def _check_format(self) -> None:
        ((version,),) = self.rows("PRAGMA user_version")
        if not version and not self.rows("SELECT 1 FROM sqlite_master LIMIT 1"):
            self._database.execute(f"PRAGMA user_version={_FORMAT}")
        elif version != _FORMAT:
            raise BadConfig(
                got=f"{self.path}, a journal of format {version or 1}",
                expected=f"format {_FORMAT}, which this mien writes",
                fix="Go on with the mien that began the run, pass --replace to begin anew, or choose another --out",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    # -- statements ------------------------------------------------------------------------------------

    def write(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Run one statement with its values; it is committed on return."""
        with self.together():
            self._database.execute(statement, values)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written in the block is stored when it ends, all or nothing."""
        with self._lock, self._errors():
            if self._database.in_transaction:
                yield
                return
            now = time.monotonic()
            flush = now - self._flushed >= _FLUSH_SECONDS
            if flush:
                self._database.execute("PRAGMA synchronous=FULL")
                self._flushed = now
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            finally:
                # SQLite has already rolled back after some errors, such as a full disk.
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                if flush:
                    self._database.execute("PRAGMA synchronous=NORMAL")

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._lock, self._errors():
            return self._database.execute(query, values).fetchall()

    # -- the run ---------------------------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        """A stored value, or None."""
        found = self.rows("SELECT value FROM meta WHERE key = ?", (key,))
        return str(found[0][0]) if found else None

    def told(self, key: str) -> dict[str, Any]:
        """A stored mapping; an empty one when there is none."""
        text = self.meta(key) or "{}"
        with self._sound():
            return dict(json.loads(text))

    def set_meta(self, key: str, value: str) -> None:
        """Store a value."""
        self.write("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Store the settings of a new run, or refuse to go on with a run that had others.

        Args:
            settings: JSON values; all that decides the results.

        Raises:
            BadConfig: the journal belongs to a run with other settings; names each difference.
        """
        text = json.dumps(settings, sort_keys=True, ensure_ascii=False)
        if self.meta("settings") is None:
            self.set_meta("settings", text)
            return
        before, now = self.told("settings"), json.loads(text)
        changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if changed:
            shown = "; ".join(f"{key} {now.get(key)!r} (was {before.get(key)!r})" for key in changed)
            raise BadConfig(
                got=f"other settings than the run in {self.path.parent.parent} was begun with: {shown}",
                expected="the same settings when a run goes on",
                fix="Use the earlier settings, another --out, or --replace to begin anew",
            )

    # -- items -----------------------------------------------------------------------------------------

    def entries(self) -> dict[str, Entry]:
        """What is done, by item."""
        found = self.rows("SELECT item, digest, reason, final, place FROM items")
        return {
            item: Entry(item, digest, reason, bool(final), place)
            for item, digest, reason, final, place in found
        }

    def add(self, rows: Iterable[Row], done: Iterable[Entry] = ()) -> None:
        """Store rows and the items that are done with them, all or nothing; each takes the place of an earlier one."""
        packed = [
            (item, kind, place, zlib.compress(body.encode(), _QUICK)) for item, kind, place, body in rows
        ]
        entries = [(one.item, one.digest, one.reason, int(one.final), one.place) for one in done]
        with self.together():
            self._database.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", packed)
            self._database.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?)", entries)

    def forget(self, items: Iterable[str]) -> None:
        """Drop items with their rows."""
        names = [(item,) for item in items]
        with self.together():
            for table in ("rows", "items"):
                self._database.executemany(f"DELETE FROM {table} WHERE item = ?", names)

    def forget_unfinished(self) -> None:
        """Drop the rows of items that were under way when the last process ended."""
        self.write("DELETE FROM rows WHERE item NOT IN (SELECT item FROM items)")

    def bodies(self, items: Iterable[str], kind: str) -> Iterator[tuple[str, str]]:
        """Item and body of all rows of a kind, in the order of ``items`` and their places; one item is in memory."""
        query = "SELECT body FROM rows WHERE item = ? AND kind = ? ORDER BY place"
        for item in items:
            for (body,) in self.rows(query, (item, kind)):
                with self._sound():
                    text = zlib.decompress(body).decode()
                yield item, text

    def take_in(self, other: Path) -> list[Entry]:
        """Copy items, rows and replies of another journal that nobody has open, and give its items.

        Raises:
            BadConfig: an item of it is here already.
        """
        with Journal(other) as journal:
            found = list(journal.entries().values())
        twice = self.entries().keys() & {one.item for one in found}
        if twice:
            raise BadConfig(
                got=f"{min(twice)} in two of the runs",
                expected="each item in one run",
                fix="Leave one run out",
            )
        with self._lock, self._errors():
            self._database.execute("ATTACH ? AS other", (str(other),))
            try:
                with self.together():
                    for table in ("items", "rows", "requests", "replies", "failures"):
                        self._database.execute(f"INSERT OR IGNORE INTO {table} SELECT * FROM other.{table}")
            finally:
                self._database.execute("DETACH other")
        return found

    # -- files -----------------------------------------------------------------------------------------

    def files(self) -> dict[str, str | None]:
        """The run's files by name, with the digest of what it wrote; None: it was writing when it ended."""
        found = self.rows("SELECT name, digest FROM files ORDER BY name")
        with self._sound():
            for name, _ in found:
                # What is removed by name lies in the run's folder.
                if os.path.isabs(name) or ".." in Path(name).parts:
                    raise ValueError(f"the file {name!r} outside the folder")
            return dict(found)

    def own(self, name: str, digest: str | None) -> None:
        """Note a file as the run's own."""
        self.write("INSERT OR REPLACE INTO files VALUES (?, ?)", (name, digest))

    def disown(self, name: str) -> None:
        """Forget a file."""
        self.write("DELETE FROM files WHERE name = ?", (name,))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise BadConfig(
                    got=f"{self.path}, which another process has open",
                    expected="one process per run folder",
                    fix="Wait for that process to end, or choose another --out",
                ) from error
            raise self._failed(error) from error
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._failed(error) from error

    @contextmanager
    def _sound(self) -> Iterator[None]:
        """SQLite keeps no checksums: out of a damaged file come odd values as well."""
        try:
            yield
        except (zlib.error, TypeError, ValueError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> OutputFailed:
        return OutputFailed(
            got=f"{printable(reason_of(error))} in the run's journal {self.path}",
            expected="a sound SQLite file in a writable folder with free space",
            fix="Free some space or choose another --out; what was finished is safe, go on with --resume",
        )
