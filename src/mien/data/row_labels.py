"""Columns of a manifest -> `Labels`; the columns stand in `mien.data.manifest`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mien.core.emotions import canonical
from mien.core.nouns import Labels
from mien.data.label_words import number

__all__ = ["YES_NO", "RowLabels"]

YES_NO = {"0": False, "1": True, "False": False, "True": True}
_UNIT = re.compile(r"AU(\d\d)(?:_(level|intensity))?")
_GROUP = ("age", "gender", "ethnicity")
_MEMORY = 4096


class RowLabels:
    """Labels of rows; rows with the same values share one object, so that a million of them stay small."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], Labels] = {}
        self._header: tuple[str, ...] = ()
        self._columns: tuple[str, ...] = ()

    def of(self, values: Mapping[str, Any]) -> Labels:
        """Labels of one row.

        Raises:
            ValueError: a cell holds no value of its column; the text says which.
        """
        header = tuple(values)
        if header != self._header:
            self._header = header
            self._columns = tuple(column for column in header if _is_label(column))
            self._made.clear()
        key = tuple([values[column] for column in self._columns])
        labels = self._made.get(key)
        if labels is None:
            given = {c: value for c, value in zip(self._columns, key, strict=True) if value not in (None, "")}
            labels = _labels(given)
            if len(self._made) < _MEMORY:
                self._made[key] = labels
        return labels


def _is_label(column: str) -> bool:
    words = ("emotion", "valence", "arousal", "description", "chain_of_thought", *_GROUP)
    return column in words or _UNIT.fullmatch(column) is not None


def _labels(values: Mapping[str, Any]) -> Labels:
    presence: dict[str, bool] = {}
    levels: dict[str, int] = {}
    intensities: dict[str, float] = {}
    for column, value in values.items():
        match = _UNIT.fullmatch(column)
        if match is None:
            continue
        key, text = f"AU{match.group(1)}", str(value)
        if match.group(2) is None:
            if text not in YES_NO:
                raise ValueError(f"{column} is {text!r}, expected 0 or 1")
            presence[key] = YES_NO[text]
        elif match.group(2) == "level":
            levels[key] = int(_within(column, text, 0, 5))
        else:
            intensities[key] = _within(column, text, 0, 1)
    word = values.get("emotion")
    texts = {name: str(values[name]) for name in ("description", "chain_of_thought") if name in values}
    return Labels(
        emotion=(canonical(str(word)) or str(word)) if word is not None else None,
        au_presence=presence or None,
        au_level=levels or None,
        au_intensity=intensities or None,
        valence=_within("valence", str(values["valence"]), -1, 1) if "valence" in values else None,
        arousal=_within("arousal", str(values["arousal"]), -1, 1) if "arousal" in values else None,
        description=texts.get("description"),
        chain_of_thought=texts.get("chain_of_thought"),
        group={name: str(values[name]) for name in _GROUP if name in values},
    )


def _within(column: str, text: str, low: float, high: float) -> float:
    value = number(text, low, high)
    if value is None:
        raise ValueError(f"{column} is {text!r}, expected {low:g}..{high:g}")
    return value
