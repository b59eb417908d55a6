"""Columns of a manifest -> `Labels`; the columns stand in `mien.data.manifest`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mien.core.aus import AUS, LEVEL_LETTERS, au_key, level_intensity
from mien.core.emotions import EMOTIONS, canonical
from mien.core.nouns import Labels
from mien.data.label_words import number

__all__ = ["RowLabels", "as_text", "as_truth", "known_column"]

_TRUTH = {word: True for word in ("1", "true", "yes", "y", "t", "on", "present")} | {
    word: False for word in ("0", "false", "no", "n", "f", "off", "absent")
}
_UNIT = re.compile(r"au[ _-]?0*(\d{1,2})(?:[ _-]?(c|presence|l|level|i|intensity|r|p))?", re.IGNORECASE)
_SIDE = re.compile(r"AU\d\d_[LR]")
"""The person's left and right in mien's tables, beside the level AU12_l."""
_SCALES = {None: "presence", "c": "presence", "presence": "presence", "l": "level", "level": "level",
           "i": "intensity", "intensity": "intensity", "r": "of five", "p": ""}  # fmt: skip
_NUMBERS = ("valence", "arousal")
_TEXTS = ("description", "chain_of_thought")
_GROUP = ("age", "gender", "ethnicity")
_MISSING = frozenset(("", "nan", "na", "n/a", "none", "null", "<na>"))
_LONGEST = max(map(len, _MISSING))
_PLAIN = (str, int, float)
_MEASURED = re.compile(
    r"frame|time|timestamp|width|height|face|face_id|track|success|error|score|confidence|presence|pitch|yaw|roll"
    r"|eye_distance|blur|light|turned|turned_in_plane|hidden|quality|overlay|explanation|claims_\w+|sentences_withheld|withheld|(pose|gaze|eye_lmk|mesh|p)_\w+|[xyz]_\d+"
)
_MEMORY, _WORDS = 4096, 100


def as_text(value: object) -> str:
    """A cell as text, without blanks around it; what pandas writes for a missing value is ``""``.

    Raises:
        ValueError: a list, an object or bytes.
    """
    if type(value) is str:
        text = value.strip()
    elif value is None:
        return ""
    elif isinstance(value, _PLAIN):
        text = str(value).strip()
    else:
        raise ValueError(f"a {type(value).__name__}, expected a text or a number")
    return "" if len(text) <= _LONGEST and text.lower() in _MISSING else text


def as_truth(text: str) -> bool | None:
    """``1``, ``1.0``, ``true``, ``Yes`` … as True, their opposites as False, anything else None."""
    return _TRUTH.get(text.lower().removesuffix(".0"))


def known_column(column: str) -> bool:
    """Whether a column means labels, or is one of the measurements that mien's and OpenFace's tables hold."""
    name = column.strip().lower()
    return _meaning(name) is not None or name in EMOTIONS or _MEASURED.fullmatch(name) is not None


class RowLabels:
    """Labels of rows; rows with the same values share one object, so that a million of them stay small."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], Labels] = {}
        self._header: tuple[str, ...] = ()
        self._columns: dict[str, tuple[str, str]] = {}
        self._own: dict[str, None] = {}

    def of(self, values: Mapping[str, Any]) -> Labels:
        """Labels of one row."""
        header = tuple(values)
        if header != self._header:
            self._header = header
            self._columns = _columns(header)
            self._made.clear()
        key = tuple([values[column] for column in self._columns])
        try:
            labels = self._made.get(key)
        except TypeError:  # a list or an object in a cell, which `_cell` refuses
            labels = None
        if labels is None:
            told = {
                meaning: (column, _cell(column, values[column])) for column, meaning in self._columns.items()
            }
            labels = _labels({meaning: cell for meaning, cell in told.items() if cell[1]})
            if labels.emotion is not None and labels.emotion not in EMOTIONS and len(self._own) < _WORDS:
                self._own.setdefault(labels.emotion)
            if len(self._made) < _MEMORY:
                self._made[key] = labels
        return labels

    @property
    def own_words(self) -> tuple[str, ...]:
        """Emotions met so far that are none of the eight; the first hundred."""
        return tuple(self._own)


def _cell(column: str, value: object) -> str:
    try:
        return as_text(value)
    except ValueError as error:
        raise ValueError(f"{column} is {error}") from error


def _columns(header: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Column -> what it means.

    Raises:
        ValueError: two columns mean the same.
    """
    found: dict[str, tuple[str, str]] = {}
    by_meaning: dict[tuple[str, str], str] = {}
    for column in header:
        meaning = _meaning(column.strip().lower())
        if meaning is None or meaning[0] == "" or (_SIDE.fullmatch(column) and f"{column[:-1]}l" in header):
            continue
        first = by_meaning.setdefault(meaning, column)
        if first != column:
            raise ValueError(f"columns {first!r} and {column!r} mean the same")
        found[column] = meaning
    return found


def _meaning(name: str) -> tuple[str, str] | None:
    """``("presence", "AU06")`` of ``au6``, ``("emotion", "")``, ``("", …)`` of a column that is known and not read."""
    if name in ("emotion", *_NUMBERS, *_TEXTS, *_GROUP):
        return name, ""
    match = _UNIT.fullmatch(name)
    if match is None or au_key(match.group(1)) not in AUS:
        return None
    scale = match.group(2)
    return _SCALES[scale], au_key(match.group(1))


def _labels(given: Mapping[tuple[str, str], tuple[str, str]]) -> Labels:
    presence: dict[str, bool] = {}
    levels: dict[str, int] = {}
    intensities: dict[str, float] = {}
    plain: dict[str, str] = {}
    for (scale, key), (column, text) in given.items():
        if scale == "presence":
            presence[key] = _truth(column, text)
        elif scale == "level":
            levels[key] = _level(column, text)
        elif scale == "intensity":
            intensities[key] = _within(column, text, 0, 1)
        elif scale == "of five":
            intensities.setdefault(key, level_intensity(_within(column, text, 0, 5)))
        else:
            plain[scale] = text
    word = plain.get("emotion")
    return Labels(
        emotion=(canonical(word) or word) if word else None,
        au_presence=presence or None,
        au_level=levels or None,
        au_intensity=intensities or None,
        valence=_within("valence", plain["valence"], -1, 1) if "valence" in plain else None,
        arousal=_within("arousal", plain["arousal"], -1, 1) if "arousal" in plain else None,
        description=plain.get("description"),
        chain_of_thought=plain.get("chain_of_thought"),
        group={name: plain[name] for name in _GROUP if name in plain},
    )


def _truth(column: str, text: str) -> bool:
    truth = as_truth(text)
    if truth is None:
        more = (
            " (an intensity belongs into a column AU12_intensity)" if number(text, 0, 5) is not None else ""
        )
        raise ValueError(f"{column} is {text!r}, expected 0 or 1, true or false{more}")
    return truth


def _level(column: str, text: str) -> int:
    if text.upper() in LEVEL_LETTERS[1:]:
        return LEVEL_LETTERS.index(text.upper())
    value = number(text, 0, 5)
    if value is None or value != int(value):
        raise ValueError(f"{column} is {text!r}, expected a whole number 0..5")
    return int(value)


def _within(column: str, text: str, low: float, high: float) -> float:
    value = number(text, low, high)
    if value is None:
        raise ValueError(f"{column} is {text!r}, expected {low:g}..{high:g}")
    return value
