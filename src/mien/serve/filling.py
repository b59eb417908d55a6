"""A JSON schema filled from one face's measurement: names say what is meant, types say in which form.

=====================  ===================================================================================
``AU12``, ``au_12``    integer: FACS level 0–5, or 0 and 1 if ``maximum`` is 1; number: intensity; boolean: presence
``happiness``          number: probability of that emotion
``emotion``            string: the most probable one (of those in ``enum``)
``emotions``, ``aus``  object of these; without ``properties`` all of them
``aus``, ``levels``    array of integers, numbers or booleans: all units in the model's order (`/v1/models`)
``status``             string: ``answered``
``answer``, ``text``   string: the answer in words; ``explanation``, ``reasoning`` likewise
=====================  ===================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from mien.core.emotions import EMOTIONS
from mien.core.nouns import Answer, AuReading, FaceResult
from mien.serve.settings import Refused

__all__ = ["fill"]

_AU = re.compile(r"au_?0*(\d{1,2})", re.IGNORECASE)
_WORDS = ("answer", "text", "explanation", "reasoning", "description")
_DEPTH = 8
_DEFAULT: Mapping[str, Any] = {
    "type": "object",
    "properties": {"emotion": {"type": "string"}, "emotions": {"type": "object"}, "aus": {"type": "object"}},
}


def fill(schema: Mapping[str, Any] | None, face: FaceResult, words: Callable[[], Answer]) -> Any:
    """The object (or array of units) that ``schema`` describes; without one emotion, emotions and levels.

    Args:
        schema: of JSON; ``type``, ``properties``, ``items``, ``enum``, ``maximum``, ``minItems`` are heeded.
        face: what was measured.
        words: gives the answer in words, where the schema has a place for it.

    Raises:
        Refused: it asks for what is not measured.
    """
    return _value("aus", schema or _DEFAULT, face, words, 0)


def _value(name: str, schema: Any, face: FaceResult, words: Callable[[], Answer], depth: int) -> Any:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), None)
    if depth > _DEPTH:
        raise _unknown(name, "nested deeper than this")
    if kind == "object":
        given = schema.get("properties")
        if given:
            return {key: _value(key, inner, face, words, depth + 1) for key, inner in dict(given).items()}
        if depth and name == "emotions":
            return dict(face.emotions)
        if depth and name in ("aus", "levels"):
            return {key: reading.level if reading.measured else None for key, reading in face.aus.items()}
    if kind == "array":
        inner = schema.get("items", {})
        units = [_reading(name, reading, inner) for reading in face.aus.values()]
        if len(units) < schema.get("minItems", 0) or len(units) > schema.get("maxItems", len(units)):
            raise _unknown(name, f"an array of {len(units)} units")
        return units
    found = _AU.fullmatch(name)
    if found is not None and f"AU{int(found[1]):02}" in face.aus:
        return _reading(name, face.aus[f"AU{int(found[1]):02}"], schema)
    if kind == "number" and name in EMOTIONS:
        return face.emotions[name]
    if kind == "string":
        return _text(name, schema, face, words)
    raise _unknown(
        name, "the name of a unit, an emotion, 'emotion', 'emotions', 'aus', 'answer' or 'explanation'"
    )


def _reading(name: str, reading: AuReading, schema: Any) -> Any:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if kind == "boolean":
        return reading.presence
    if kind == "number":
        return reading.intensity if reading.measured else None
    if kind == "integer":
        return int(reading.presence) if schema.get("maximum") == 1 else reading.level
    raise _unknown(name, "integer (level), number (intensity) or boolean (presence)")


def _text(name: str, schema: Any, face: FaceResult, words: Callable[[], Answer]) -> str:
    if name == "emotion":
        allowed = [one for one in schema.get("enum") or face.emotions if one in face.emotions]
        if allowed:
            return max(allowed, key=lambda one: face.emotions[one])
    if name == "status":
        return "answered"
    if name in _WORDS:
        return words().text
    raise _unknown(name, f"'emotion' (of {', '.join(EMOTIONS)}), 'status', {', '.join(_WORDS)}")


def _unknown(name: str, expected: str) -> Refused:
    return Refused(400, got=f"a schema with {name[:60]!r}", expected=expected, fix="Ask for what is measured")
