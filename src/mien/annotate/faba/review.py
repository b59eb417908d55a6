"""Corrections by hand: the file that the review sheet exports, checked and applied to the rows it was made from.

    {"format": "mien-review-1", "sheet": "<key of the rows>",
     "items": {"<row id>": {"was": "<key of the row>", "verdict": "ok" | "drop", "text": "…", "label": "…",
                            "note": "…"}}}

The paper's authors "carefully check and revise each annotation for the test sets" (Li et al. 2024, section 3.1).
`mien.app.annotate.review_sheet` makes the sheet.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.annotate.faba.filters import tidy
from mien.annotate.faba.rows import EMOTION_LABELS, UNITS, Rows, row_text, say_units
from mien.core.aus import au_key
from mien.core.errors import BadData, BadInput
from mien.core.objects import read_json

__all__ = [
    "FORMAT",
    "Corrections",
    "Reviewed",
    "apply_corrections",
    "read_corrections",
    "row_key",
    "sheet_key",
]

FORMAT = "mien-review-1"
_VERDICTS = ("ok", "drop")
_FIX = "Export it again from the review sheet"


@dataclass(frozen=True, slots=True)
class Corrections:
    """What a reviewer decided."""

    sheet: str
    """`sheet_key` of the rows that were shown."""
    items: Mapping[str, Mapping[str, str]]
    """Row id -> ``was``, ``verdict``, ``text``, ``label``, ``note``; rows that were not looked at are missing."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Rows after review. ``len(rows) + dropped`` is the number of rows before it."""

    rows: list[dict[str, Any]]
    """``reviewed`` tells whether a person looked at the row; ``label_source`` is ``review`` for changed labels."""
    checked: int
    """Rows found right or corrected."""
    texts: int
    """Rows whose text changed."""
    labels: int
    """Rows whose label changed."""
    dropped: int
    unchecked: tuple[str, ...]
    """Ids of rows without a verdict; they stay as they are."""


def row_key(row: Mapping[str, Any]) -> str:
    """Short key of a row's text and label: an old sheet's correction is not put on a new text."""
    content = json.dumps([row["id"], row["label"], row_text(row)], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def sheet_key(rows: Rows) -> str:
    """Short key of all rows in their order."""
    return hashlib.sha256("".join(row_key(row) for row in rows).encode()).hexdigest()[:16]


def read_corrections(path: Path) -> Corrections:
    """Read the file that a review sheet exported.

    Raises:
        BadInput: no such file, or one that no review sheet wrote.
    """
    try:
        values = read_json(path.read_text("utf-8"))
    except OSError as error:
        raise BadInput(
            got=f"{path}, which cannot be read ({error.strerror})", expected="a file of corrections", fix=_FIX
        ) from error
    except ValueError as error:
        raise BadInput(
            got=f"{path}, which is no JSON ({error})", expected="a file of corrections", fix=_FIX
        ) from error
    items = values.get("items") if isinstance(values, dict) else None
    if (
        not isinstance(items, dict)
        or values.get("format") != FORMAT
        or not isinstance(values.get("sheet"), str)
    ):
        raise BadInput(
            got=f"{path} without format {FORMAT!r}, sheet and items",
            expected="a file of corrections",
            fix=_FIX,
        )
    for name, item in items.items():
        fault = _fault(item)
        if fault:
            raise BadInput(
                got=f"{path}: {name}: {fault}", expected="a correction of the review sheet", fix=_FIX
            )
    return Corrections(values["sheet"], items)


def _fault(item: object) -> str:
    if not isinstance(item, dict):
        return f"a {type(item).__name__}"
    missing = [
        key for key in ("was", "verdict", "text", "label", "note") if not isinstance(item.get(key), str)
    ]
    if missing:
        return f"no text {', '.join(missing)}"
    return "" if item["verdict"] in _VERDICTS else f"verdict {item['verdict']!r}"


def apply_corrections(rows: Rows, corrections: Corrections) -> Reviewed:
    """Put a reviewer's corrections on the rows that the sheet showed.

    Args:
        rows: the rows that the sheet was made from; further rows may stand among them and stay as they are.
        corrections: from `read_corrections`.

    Returns:
        The rows in their order, without the dropped ones.

    Raises:
        BadData: a correction of a row that is not there or has changed since, of an empty text, or with a label that
            FABA does not know.
    """
    known = {str(row["id"]): row for row in rows}
    strange = [name for name in corrections.items if name not in known]
    if strange:
        raise BadData(
            got=f"a correction of {strange[0]}, which is not among the {len(rows)} rows",
            expected="corrections of these rows",
            fix="Apply them to the rows that the sheet was made from",
        )
    kept: list[dict[str, Any]] = []
    unchecked: list[str] = []
    texts = labels = dropped = 0
    for name, row in known.items():
        item = corrections.items.get(name)
        if item is None:
            unchecked.append(name)
            kept.append({**row, "reviewed": bool(row.get("reviewed"))})
            continue
        if item["was"] != row_key(row):
            raise BadData(
                got=f"a correction of {name} as it was before",
                expected="the text and label that the sheet showed",
                fix="Make a new sheet from the present rows",
            )
        if item["verdict"] == "drop":
            dropped += 1
            continue
        changed = _corrected(row, item)
        texts += row_text(changed) != row_text(row)
        labels += changed["label"] != row["label"]
        kept.append(changed)
    checked = len(corrections.items) - dropped
    return Reviewed(kept, checked, texts, labels, dropped, tuple(unchecked))


def _corrected(row: Mapping[str, Any], item: Mapping[str, str]) -> dict[str, Any]:
    text, name = tidy(item["text"]), row["id"]
    if not text:
        raise BadData(
            got=f"an empty text for {name}", expected="a description", fix="Write one, or drop the row"
        )
    label = item["label"].strip()
    if row["task"] == "emotion":
        if label not in EMOTION_LABELS:
            raise BadData(
                got=f"label {label!r} for {name}",
                expected=f"one of {', '.join(EMOTION_LABELS)}",
                fix="Choose one in the sheet, or drop the row",
            )
    else:
        label = _units(label, name)
    answers = [*row["conversations"][:-1], {"from": "gpt", "value": text}]
    source = row["label_source"] if label == row["label"] else "review"
    return {**row, "conversations": answers, "label": label, "label_source": source, "reviewed": True}


def _units(label: str, name: str) -> str:
    numbers = re.findall(r"\d+", label)
    keys = {au_key(number) for number in numbers}
    strange = sorted(keys - set(UNITS))
    if not keys or strange:
        raise BadData(
            got=f"Action Units {label!r} for {name}",
            expected=f"numbers among {say_units(UNITS)}",
            fix="Correct them in the sheet, or drop the row",
        )
    return say_units(key for key in UNITS if key in keys)
