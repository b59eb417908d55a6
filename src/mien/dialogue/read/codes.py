"""Statements that name an AU by its number or its FACS name.

"AU6", "AU 6", "Action Units 1, 2 and 4", "AU1+2", "AU23 to AU25", "AUs: 6, 12", "cheek raiser", with a level, a letter,
an intensity, a degree word or a range of them beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mien.core.aus import AUS, LEVEL_LETTERS, au_key
from mien.dialogue.read.degrees import MASK, read_degree
from mien.dialogue.read.statements import Statement

__all__ = ["find_codes"]

_ITEM = r"\d{1,2}[A-E]?(?![\d%]|\.\d)"
_THROUGH = r"\s+(?:to|through)\s+|[-–]|\s[-–]\s(?=AU)"
_LIST = re.compile(
    rf"\b(?:AUs?|action\s+units?)(?P<colon>\s*[:#]\s*|[\s_-]?)(?={_ITEM}){_ITEM}"
    rf"(?:(?:\s*,\s*(?:and\s+|or\s+)?|\s+(?:and|or|nor)\s+|\s*[+/&]\s*|{_THROUGH})(?:AU[\s_-]?)?{_ITEM}\b)*",
    re.IGNORECASE,
)
_RANGE = re.compile(rf"(?:{_THROUGH})(?:AU[\s_-]?)?", re.IGNORECASE)
_NUMBER = re.compile(r"(?:AU[\s_-]?)?(?P<number>\d{1,2})([A-E]?)\b", re.IGNORECASE)
# These FACS names are plain clauses too ("the lips part"): the movement patterns read them with their subject.
_CLAUSES = {"AU25", "AU43", "AU45"}
_NAMES = {info.name: info.key for info in AUS.values() if info.key not in _CLAUSES}
_NAME_WORDS = "|".join(
    sorted((re.escape(name).replace(r"\ ", r"\s+") for name in _NAMES), key=len, reverse=True)
)
_NAME = re.compile(rf"\b(?:{_NAME_WORDS})\b", re.IGNORECASE)
_TO = r"\s*(?:-|–|to\b|(?(between)and\b|(?!)))\s*"
_VALUE = re.compile(
    rf"\s*\)?\s*[-:=(,]?\s*(?:(?:is|are|at|with|has|an?|of|the|present|active|visible|shows?|intensity|to)\s+|level\s+)*"
    rf"(?:(?P<degree>{MASK}+)"
    rf"|(?:(?:intensity|intensities|levels?)\s*(?:of|=|:)?\s*|\(|=\s*|:\s*)(?:from\s+|(?P<between>between\s+))?"
    rf"(?:(?P<low>[0-5])(?!\.?\d)(?:{_TO}(?P<high>[0-5])(?!\.?\d))?"
    rf"|(?P<value>[01]?\.\d+)(?:{_TO}(?P<top>[01]?\.\d+))?|(?P<letter>[A-E])\b(?:{_TO}(?P<last>[A-E])\b)?))",
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
            ends = [int(5.0 * min(float(end), 1.0) + 0.5) for end in (after["value"], after["top"]) if end]
        elif after["letter"]:
            ends = [LEVEL_LETTERS.index(end.upper()) for end in (after["letter"], after["last"]) if end]
        else:
            ends = [int(end) for end in (after["low"], after["high"]) if end]
        return (min(ends), max(ends)), after.end()
    before = _BEFORE.search(masked, 0, start)
    return (read_degree(text[slice(*before.span(1))]) if before else None), end


def _statement(au: str, span: tuple[int, int], level: tuple[int, int] | None) -> Statement:
    denies = level == (0, 0)
    named = None if level is None or denies else (max(level[0], 1), max(level[1], 1))
    return Statement(au, *span, level=named, denies=denies, finite=False, subject=span, action=span)


def _listed(text: str, masked: str, start: int, items: Sequence[re.Match[str]]) -> Iterator[Statement]:
    """The AUs of one list; a range ("AU23 to AU25") names all in between, each with the words of the whole range."""
    place = 0
    while place < len(items):
        item = last = items[place]
        if place + 1 < len(items) and _RANGE.fullmatch(
            masked, item.end("number"), items[place + 1].start("number")
        ):
            if int(items[place + 1]["number"]) > int(item["number"]):
                last, place = items[place + 1], place + 1
        level, end = _range(text, masked, start, last.end())
        if last[2]:
            letter = LEVEL_LETTERS.index(last[2].upper())
            level = (letter, letter)
        for number in range(int(item["number"]), int(last["number"]) + 1):
            if au_key(number) in AUS:
                yield _statement(au_key(number), (start, end), level)
        place += 1
        start = items[place].start() if place < len(items) else end


def find_codes(text: str, masked: str) -> list[Statement]:
    """AUs named by number or FACS name, with the level, letter, intensity or degree word beside them.

    Args:
        text: the text.
        masked: the same text after `mask_degrees`.
    """
    found: list[Statement] = []
    for group in _LIST.finditer(masked):
        items = list(_NUMBER.finditer(masked, *group.span()))
        numbers = [int(item["number"]) for item in items]
        if group["colon"].strip() and (0 in numbers or len(set(numbers)) < len(numbers)):
            # "AUs: 0, 1, 1" is an array without its brackets.
            continue
        found += _listed(text, masked, group.start(), items)
    for match in _NAME.finditer(masked):
        level, end = _range(text, masked, *match.span())
        name = re.sub(r"\s+", " ", match.group().lower())
        found.append(_statement(_NAMES[name], (match.start(), end), level))
    return found
