"""Figures from answers alone: rows of predictions in, accuracy, UAR, F1, errors out, beside the constant answer's."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median_low
from typing import Any

from mien.core.errors import BadData
from mien.core.nouns import Answer
from mien.core.objects import read_json
from mien.core.paths import output_errors, write_whole
from mien.metrics.au import f1, mae, pcc
from mien.metrics.classification import accuracy, macro_f1, uar

__all__ = ["Row", "constants", "read_predictions", "score", "write_predictions"]

Row = dict[str, Any]
"""One answered item: ``id``, ``dataset``, ``task``, ``questions``, ``answers``, ``status``, ``reason``, ``truth``,
``said`` (an ``emotion``, or ``aus`` with their ``form``, or a ``text``), ``present_above``."""


def constants(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The best answer that ignores the face, from training truths: most frequent emotion, median of each AU."""
    emotions = Counter(row["emotion"] for row in rows if row.get("emotion"))
    units: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row.get("aus", {}).items():
            units.setdefault(key, []).append(value)
    return {
        "emotion": emotions.most_common(1)[0][0] if emotions else None,
        "aus": {key: median_low(values) for key, values in sorted(units.items())},
    }


def score(rows: Sequence[Mapping[str, Any]], always: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of one task from its predictions, beside those of the constant answer.

    Unparsed answers are wrong labels; AU values of unparsed answers count as the constant's. An AU counts as present
    above the value that the rows name as ``present_above``; intensities have no F1.

    Args:
        rows: as `Row` says.
        always: of `constants`.
    """
    figures: dict[str, Any] = {"n": len(rows), "unparsed": sum(row["status"] == "unparsed" for row in rows)}
    known = [row for row in rows if row["truth"]]
    if len(known) < len(rows):
        figures["without_truth"] = len(rows) - len(known)
    truths, said = [row["truth"] for row in known], [row["said"] or {} for row in known]
    if known and all("emotion" in truth for truth in truths):
        true = [truth["emotion"] for truth in truths]
        figures |= _emotion_figures(true, [one.get("emotion") for one in said], always["emotion"])
    elif known and all("aus" in truth for truth in truths):
        figures |= _au_figures(truths, said, always["aus"], known[0].get("present_above", 0))
    return figures


def _emotion_figures(true: Sequence[str], said: Sequence[str | None], always: str) -> dict[str, Any]:
    labels = sorted({*true, *(one for one in said if one)})
    return {
        "accuracy": accuracy(true, said).value,
        "uar": uar(true, said, labels).value,
        "macro_f1": macro_f1(true, said, labels).value,
        "recall": dict(uar(true, said, labels).parts),
        "baseline": {
            "answer": always,
            "accuracy": accuracy(true, [always] * len(true)).value,
            "uar": uar(true, [always] * len(true), labels).value,
        },
    }


def _au_figures(
    truths: Sequence[Mapping[str, Any]],
    said: Sequence[Mapping[str, Any]],
    always: Mapping[str, float],
    above: float,
) -> dict[str, Any]:
    errors, agreement, hits, still, everywhere = {}, {}, {}, {}, {}
    for key in truths[0]["aus"]:
        constant = float(always.get(key, 0.0))
        true = [float(truth["aus"][key]) for truth in truths]
        told = [float(one.get("aus", {}).get(key, constant)) for one in said]
        errors[key], agreement[key] = mae(true, told).value, pcc(true, told).value
        still[key] = mae(true, [constant] * len(true)).value
        if truths[0]["form"] != "au_intensity":
            present = [value > above for value in true]
            hits[key] = f1(present, [value > above for value in told]).value
            everywhere[key] = f1(present, [True] * len(true)).value
    return {
        "mae": _mean(errors.values()),
        "pcc": _mean(agreement.values()),
        "f1": _mean(hits.values()),
        "per_au": {
            key: {"mae": errors[key], "pcc": _null(agreement[key]), "f1": _null(hits.get(key, math.nan))}
            for key in errors
        },
        "baseline": {
            "answer": {key: float(always.get(key, 0.0)) for key in errors},
            "mae": _mean(still.values()),
            "f1_all_present": _mean(everywhere.values()),
        },
    }


def _mean(values: Any) -> float | None:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else None


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value


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
        except (ValueError, TypeError) as error:
            raise BadData(
                got=f"{path.name}:{number}: {error}",
                expected="one JSON object per line",
                fix="Run the same command in this folder again",
            ) from error
        rows.append(row | {"status": _EARLIER.get(row["status"], row["status"])} if "status" in row else row)
    return rows
