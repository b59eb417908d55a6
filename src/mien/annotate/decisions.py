"""The journal of an annotation: what was decided about each item; a memory of an older version is taken over."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from mien.annotate.engine import Kept, Outcome, Rejected
from mien.core.errors import BadConfig, BadInput
from mien.work.folder import RunFolder
from mien.work.journal import JOURNAL, Entry, Journal, Row

__all__ = ["LINE", "OUTPUTS", "decide", "open_folder"]

OUTPUTS = ("items.jsonl", "rejected.jsonl", "statistics.json", "run.json")
LINE = "line"
"""Kind of the journal's rows: a line of ``items.jsonl`` or ``rejected.jsonl``, without the line break."""
_EARLIER = "store.sqlite"
"""The memory of older runs, with the same tables of requests, replies and failures."""


def decide(journal: Journal, entry: Entry, outcome: Outcome) -> None:
    """Store the outcome of an item, in place of an earlier one.

    Args:
        entry: the item; its reason is the outcome's. Not final where its teacher did not answer.
    """
    match outcome:
        case Kept(row):
            reason, line = None, _line({"id": entry.item, **row})
        case Rejected(reason, detail):
            line = _line({"id": entry.item, "reason": reason, "detail": detail})
    journal.add([Row(entry.item, LINE, 0, line)], [replace(entry, reason=reason)])


def _line(content: Mapping[str, Any]) -> str:
    try:
        return json.dumps(content, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadConfig(
            got=f"an output row that is no JSON ({error})",
            expected="str, int, finite float, bool, None, lists and mappings",
            fix="Correct the engine",
        ) from error


def open_folder(out: Path, resume: bool, asked: Mapping[str, Any] | None = None) -> RunFolder:
    """Open a run folder; one that holds a run is touched only when that is to be resumed.

    Raises:
        BadConfig: a run is there and ``resume`` is False, another process works on it, or a file of somebody else's
            would be written over.
        BadInput: the memory of an older run cannot be read.
        OutputFailed: the folder cannot be written.
    """
    earlier, begun = (out / _EARLIER).exists(), (out / JOURNAL).exists()
    if (earlier or begun) and not resume:
        raise BadConfig(
            got=f"a run in {out} already",
            expected="a new folder, or --resume",
            fix="Pass --resume to go on with that run, or choose another --out",
        )
    taken_over = earlier and not begun  # its outputs are of another format, and ours
    folder = RunFolder(out, OUTPUTS, asked or {}, resume=not taken_over, replace=taken_over)
    if earlier and not folder.journal.meta("settings"):
        try:
            _take_over(out / _EARLIER, folder.journal)
        except BaseException:
            folder.journal.close()
            raise
    return folder


def _take_over(earlier: Path, journal: Journal) -> None:
    """Copy what was paid for; items are decided anew from it, which asks nobody."""
    with journal.together():
        for table, row in _rows(earlier):
            if table != "meta":
                journal.write(f"INSERT OR REPLACE INTO {table} VALUES ({','.join('?' * len(row))})", row)
            elif row[0] == "settings":
                journal.check_settings(
                    {key: value for key, value in json.loads(row[1]).items() if key != "format"}
                )


def _rows(earlier: Path) -> Iterator[tuple[str, tuple[Any, ...]]]:
    try:
        with closing(sqlite3.connect(earlier)) as old:
            for table in ("requests", "replies", "failures", "meta"):
                yield from ((table, row) for row in old.execute(f"SELECT * FROM {table}"))
    except sqlite3.Error as error:
        raise BadInput(
            got=f"{earlier}, which cannot be read ({error})",
            expected="the memory of an older run",
            fix="Choose another --out to begin anew",
        ) from error
