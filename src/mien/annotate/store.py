"""The store of a run: the memory of its requests, and what was decided about each item."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.annotate.engine import Item, Kept, Outcome, Rejected
from mien.backends.chat import canonical
from mien.backends.memory import Memory
from mien.core.errors import BadConfig, BadInput, OutputFailed

__all__ = ["STORE", "Decision", "RunStore", "open_store"]

STORE = "store.sqlite"
"""Name of the file in the run's folder."""
_SCHEMA = """CREATE TABLE IF NOT EXISTS decisions (item TEXT PRIMARY KEY, digest TEXT NOT NULL,
    reason TEXT, line TEXT NOT NULL, final INTEGER NOT NULL)"""
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one item."""

    reason: str | None
    """None: kept."""
    line: str
    """Its line of ``items.jsonl`` or ``rejected.jsonl``, without the line break."""


class RunStore:
    """One run's memory and decisions, in one file."""

    def __init__(self, path: Path) -> None:
        self.memory = Memory(path)
        self.memory.write(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self.memory.close()

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Store the settings of a new run, or refuse to go on with a run that had others.

        Raises:
            BadConfig: the store belongs to a run with other settings; names each difference.
        """
        now = {"format": _FORMAT, **settings}
        stored = self.memory.meta("settings")
        if stored is None:
            self.memory.set_meta("settings", canonical(now))
            return
        before, now = json.loads(stored), json.loads(canonical(now))
        changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if changed:
            shown = "; ".join(f"{key} {now.get(key)!r} (was {before.get(key)!r})" for key in changed)
            raise BadConfig(
                got=f"other settings than the run in {self.memory.path.parent} was begun with: {shown}",
                expected="the same engine, teacher and settings when a run goes on",
                fix="Use the earlier settings, or another --out",
            )

    def digest(self, item: str) -> str | None:
        """Digest of the item at its final decision; None when it is not finally decided."""
        found = self.memory.rows("SELECT digest FROM decisions WHERE item = ? AND final", (item,))
        return str(found[0][0]) if found else None

    def decide(self, item: Item, outcome: Outcome, final: bool = True) -> None:
        """Store the outcome of an item, in place of an earlier one.

        Args:
            final: False for an item whose teacher did not answer: a resumed run asks again.

        Raises:
            BadConfig: the engine's row is no JSON.
        """
        values = (item.id, item.digest(), *_written(item.id, outcome), int(final))
        self.memory.write("INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?)", values)

    def decisions(self, ids: Sequence[str]) -> list[Decision]:
        """The decisions on ``ids``, in that order.

        Raises:
            BadInput: one of them is not decided.
        """
        marks = ",".join("?" * len(ids))
        rows = self.memory.rows(f"SELECT item, reason, line FROM decisions WHERE item IN ({marks})", ids)
        found = {item: Decision(reason, line) for item, reason, line in rows}
        missing = [item for item in ids if item not in found]
        if missing:
            raise BadInput(
                got=f"no decision on item {missing[0]!r}",
                expected="a decision on every item",
                fix="Go on with --resume",
            )
        return [found[item] for item in ids]


def _written(item: str, outcome: Outcome) -> tuple[str | None, str]:
    """The reason (None: kept) and the line."""
    match outcome:
        case Kept(row):
            return None, _line({"id": item, **row})
        case Rejected(reason, detail):
            return reason, _line({"id": item, "reason": reason, "detail": detail})


def _line(content: Mapping[str, Any]) -> str:
    try:
        return json.dumps(content, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadConfig(
            got=f"an output row that is no JSON ({error})",
            expected="str, int, finite float, bool, None, lists and mappings",
            fix="Correct the engine",
        ) from error


def open_store(out: Path, resume: bool) -> RunStore:
    """Open the store of a run folder; a folder that holds one is touched only when it is to be resumed.

    Raises:
        BadConfig: a store is there and ``resume`` is False, or another process works on it.
        OutputFailed: the folder cannot be written.
    """
    path = out / STORE
    if path.exists() and not resume:
        raise BadConfig(
            got=f"a run in {out} already",
            expected="a new folder, or --resume",
            fix="Pass --resume to go on with that run, or choose another --out",
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(
            got=f"{error.strerror or error} while making {out}",
            expected="a writable folder",
            fix="Choose another --out",
        ) from error
    return RunStore(path)
