"""Statements that name an AU by its number or its FACS name: "AU6", "Action Units 1, 2 and 4", "cheek raiser"."""

from __future__ import annotations

import re

from mien.core.aus import AUS, LEVEL_LETTERS, au_key
from mien.dialogue.degrees import MASK, read_degree
from mien.dialogue.statements import Statement

__all__ = ["find_codes"]

_ITEM = r"\d{1,2}[A-E]?(?![\d%]|\.\d)"
_LIST = re.compile(
    rf"\b(?:AUs?|action\s+units?)[\s-]?(?={_ITEM}){_ITEM}"
    rf"(?:(?:\s*,\s*(?:and\s+|or\s+)?|\s+(?:and|or|nor)\s+|\s*\+\s*)(?:AU[\s-]?)?{_ITEM}\b)*",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?:AU[\s-]?)?(\d{1,2})([A-E]?)\b", re.IGNORECASE)
# These FACS names are plain clauses too ("the lips part"): the movement patterns read them with their subject.
_CLAUSES = {"AU25", "AU43", "AU45"}
_NAMES = {info.name: info.key for info in AUS.values() if info.key not in _CLAUSES}
_NAME_WORDS = "|".join(
    sorted((re.escape(name).replace(r"\ ", r"\s+") for name in _NAMES), key=len, reverse=True)
)
_NAME = re.compile(rf"\b(?:{_NAME_WORDS})\b", re.IGNORECASE)
_VALUE = re.compile(
    rf"\s*\)?\s*[-:=(,]?\s*(?:(?:is|are|at|with|has|an?|of|the|present|active|visible|shows?|intensity|to)\s+|level\s+)*"
    rf"(?:(?P<degree>{MASK}+)|(?:(?:intensity|level|levels)\s*(?:of|=|:)?\s*|\(|=\s*|:\s*)"
    rf"(?:(?P<low>[0-5])(?!\.?\d)(?:\s*(?:-|–|to)\s*(?P<high>[0-5])(?!\.?\d))?"
    rf"|(?P<value>[01]?\.\d+)|(?P<letter>[A-E])\b))",
    re.IGNORECASE,
)
_BEFORE = re.compile(rf"({MASK}+)\s+$")


def _range(text: str, masked: str, start: int, end: int) -> tuple[tuple[int, int] | None, int]:
    """Levels named beside the span, and where the statement then ends."""
    after = _VALUE.match(masked, end)
    if after is not None:
        if after["degree"]:
            return read_degree(text[slice(*after.span("degree"))]), after.end()
        if after["value"]:
            nearest = int(5.0 * min(float(after["value"]), 1.0) + 0.5)
            return (nearest, nearest), after.end()
        if after["letter"]:
            level = LEVEL_LETTERS.index(after["letter"].upper())
            return (level, level), after.end()
        low, high = int(after["low"]), int(after["high"] or after["low"])
        return (min(low, high), max(low, high)), after.end()
    before = _BEFORE.search(masked, 0, start)
    return (read_degree(text[slice(*before.span(1))]) if before else None), end


def _statement(au: str, span: tuple[int, int], level: tuple[int, int] | None) -> Statement:
    denies = level == (0, 0)
    named = None if level is None or denies else (max(level[0], 1), max(level[1], 1))
    return Statement(au, *span, level=named, denies=denies, finite=False, subject=span, action=span)


def find_codes(text: str, masked: str) -> list[Statement]:
    """AUs named by number or FACS name, with the level, letter, intensity or degree word beside them.

    Args:
        text: the text.
        masked: the same text after `mask_degrees`.
    """
    found: list[Statement] = []
    for group in _LIST.finditer(masked):
        items = list(_NUMBER.finditer(masked, *group.span()))
        for place, item in enumerate(items):
            key = au_key(item[1])
            if key not in AUS:
                continue
            start = group.start() if place == 0 else item.start()
            level, end = _range(text, masked, start, item.end())
            if item[2]:
                letter = LEVEL_LETTERS.index(item[2].upper())
                level = (letter, letter)
            found.append(_statement(key, (start, end), level))
    for match in _NAME.finditer(masked):
        level, end = _range(text, masked, *match.span())
        name = re.sub(r"\s+", " ", match.group().lower())
        found.append(_statement(_NAMES[name], (match.start(), end), level))
    return found
