"""Answered items in files: one JSON object per line, as trainings and evaluations write them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mien.core.errors import BadData
from mien.core.nouns import Answer
from mien.core.objects import read_json
from mien.core.paths import output_errors, write_whole

__all__ = ["Row", "read_predictions", "write_predictions"]

Row = dict[str, Any]
"""One answered item: of a suite as `mien.evaluate.figures` says; of a training's validation ``id``, ``dataset``,
``task``, ``questions``, ``answers``, ``status``, ``reason``, ``truth``, ``said`` (an ``emotion``, or ``aus`` with their
``form``, or a ``text``), ``present_above``."""
_EARLIER = Answer.EARLIER["status"]


def write_predictions(path: Path, rows: Sequence[Row]) -> None:
    """One JSON object per line.

    Raises:
        OutputFailed: the file cannot be written.
    """
    with output_errors(path):
        write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_predictions(path: Path) -> list[Row]:
    """What `write_predictions` wrote.

    Raises:
        BadData: a line is no JSON object.
    """
    rows: list[Row] = []
    # Bytes: text would be split at the line separators that an answer may hold, too.
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            row = dict(read_json(line))
            if not isinstance(row.get("status", ""), str):
                raise TypeError(f"status {str(row['status'])[:40]}")
        except (ValueError, TypeError) as error:
            raise BadData(
                got=f"{path.name}:{number}: {error}",
                expected="one JSON object per line",
                fix="Run the same command in this folder again",
            ) from error
        rows.append(row | {"status": _EARLIER.get(row["status"], row["status"])} if "status" in row else row)
    return rows
