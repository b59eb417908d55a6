"""The files of a run, written from its journal: equal journals give equal bytes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from mien.annotate.decisions import LINE
from mien.core.errors import BadInput
from mien.core.paths import written_whole
from mien.work.folder import RunFolder
from mien.work.replies import Replies

__all__ = ["write_files"]


def write_files(folder: RunFolder, engine: str, ids: Sequence[str]) -> tuple[int, dict[str, int]]:
    """Write ``items.jsonl``, ``rejected.jsonl`` and ``statistics.json``, each in one step.

    Returns:
        Kept items, and rejected ones by reason in the order of their names.

    Raises:
        BadInput: an item is not decided.
        OutputFailed: the folder cannot be written.
    """
    journal = folder.journal
    entries, kept, reasons = journal.entries(), 0, Counter[str]()
    missing = next((item for item in ids if item not in entries), None)
    if missing is not None:
        raise BadInput(
            got=f"no decision on item {missing!r}",
            expected="a decision on every item",
            fix="Go on with --resume",
        )
    with _lines(folder, "items.jsonl") as items, _lines(folder, "rejected.jsonl") as rejected:
        for item, line in journal.bodies(ids, LINE):
            reason = entries[item].reason
            if reason is None:
                kept += 1
                items.write(line + "\n")
            else:
                reasons[reason] += 1
                rejected.write(line + "\n")
    by_reason = dict(sorted(reasons.items()))
    steps = {
        step: {"requests": total.requests, "tokens_in": total.tokens_in, "tokens_out": total.tokens_out}
        for step, total in Replies(journal).steps().items()
    }
    content = {"engine": engine, "items": len(ids), "kept": kept, "rejected": by_reason, "steps": steps}
    with _lines(folder, "statistics.json") as file:
        file.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return kept, by_reason


@contextmanager
def _lines(folder: RunFolder, name: str) -> Iterator[IO[str]]:
    """A new text file that takes its name when the block ends without an error."""
    with folder.writing(name) as path, written_whole(path) as part:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            yield file
