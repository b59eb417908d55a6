"""The files of a finished run, written from its store: equal stores give equal bytes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mien.annotate.store import RunStore
from mien.core.paths import written_whole

__all__ = ["write_files"]

_BATCH = 500


def write_files(out: Path, engine: str, store: RunStore, ids: Sequence[str]) -> tuple[int, dict[str, int]]:
    """Write ``items.jsonl``, ``rejected.jsonl`` and ``statistics.json``, each in one step.

    Returns:
        Kept items, and rejected ones by reason in the order of their names.

    Raises:
        OutputFailed: the folder cannot be written.
    """
    kept, reasons = 0, Counter[str]()
    with _replacing(out / "items.jsonl") as items, _replacing(out / "rejected.jsonl") as rejected:
        for start in range(0, len(ids), _BATCH):
            for decision in store.decisions(ids[start : start + _BATCH]):
                if decision.reason is None:
                    kept += 1
                    items.write(decision.line + "\n")
                else:
                    reasons[decision.reason] += 1
                    rejected.write(decision.line + "\n")
    by_reason = dict(sorted(reasons.items()))
    steps = {
        step: {"requests": total.requests, "tokens_in": total.tokens_in, "tokens_out": total.tokens_out}
        for step, total in store.memory.steps().items()
    }
    content = {"engine": engine, "items": len(ids), "kept": kept, "rejected": by_reason, "steps": steps}
    with _replacing(out / "statistics.json") as file:
        file.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return kept, by_reason


@contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    with written_whole(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        yield file
