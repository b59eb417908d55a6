"""Levels beside a statement: "level 3", "(C)", "at 0.42", "80 %", "4/5", "intensity of 2 to 3"."""

from __future__ import annotations

import re
from typing import NamedTuple

from mien.core.aus import LEVEL_LETTERS, au_level

__all__ = ["Levels", "Value", "level_at"]

Levels = tuple[int, int]
"""Lowest and highest FACS level, both included."""


class Value(NamedTuple):
    """A level behind a statement."""

    levels: Levels
    """0..5."""
    end: int
    """Where its words end."""
    spread: bool
    """Said of all before ("are both at level 3"), and not in brackets of the last one."""
    some: bool
    """More than nothing, though it may round to level 0."""


_N = r"\d+(?:\.\d+)?|\.\d+"
_VALUE = re.compile(
    r"(?P<lead>(?:['\u2019]s\b)?[\"'*_]*\s*\)?\s*[-\u2013:=(,|]?\s*(?:(?:is|are|at|with|has|have|having|an?|of|the|both|each|all|present|active|visible|"
    r"shows?|showing|about|around|roughly|approximately|measured|rated|scored|coded|as|on|their|its|from|,\s*(?:measured|rated|scored|coded|with)\s+(?:at|as)?)(?:\b\s*|\s+))*)"
    r"(?P<word>(?:FACS\s+)?(?:intensity|intensities|levels?|grade|density|degree|value|score|strength|intens\.?)\b\s*"
    r"(?:levels?\b|scores?\b|values?\b)?\s*(?:of|is|are|=|:|at)?\s*(?:about\s+|around\s+)?(?:from\s+|(?P<between>between\s+))?)?"
    rf"(?:(?P<low>{_N})(?!\d)\s*(?P<unit>%|per\s?cent\b|percent\b)?"
    rf"(?:\s*(?:-|\u2013|to\b|and\b(?=\s*[01]?\.\d)|(?(between)and\b|(?!)))\s*(?P<high>{_N})(?!\d)\s*(?P<unit2>%|per\s?cent\b|percent\b)?)?"
    r"(?P<scale>\s*(?:/|out\s+of)\s*(?P<of>\d+))?"
    r"|(?P<letter>(?-i:[A-E]))(?![A-Za-z'])(?:\s*(?:-|\u2013|/|to\b)\s*(?P<last>(?-i:[A-E]))(?![A-Za-z']))?)"
    r"(?!\s*(?:times|faces?|frames?|of\s+the|px|s\b|ms\b|confidence|probab|certain|chance|likel))",
    re.IGNORECASE,
)


def _levels(number: str, share: bool, scale: str | None) -> int:
    value = float(number)
    if share:
        return au_level(value / 100.0)
    if scale:
        return au_level(value / max(float(scale), 1.0))
    if "." in number and value <= 1.0:
        return au_level(value)
    return int(value + 0.5)


def level_at(text: str, place: int, named: bool = False) -> Value | None:
    """The level named behind a statement.

    Args:
        text: the text.
        place: where the statement ends.
        named: a level was announced before it, so that a bare number is one.

    Returns:
        The level, or None when none stands there.
    """
    match = _VALUE.match(text, place)
    if match is None:
        return None
    lead, word = match["lead"], match["word"]
    if not (
        word
        or (named and lead.strip())
        or re.search(r"[:=(|]", lead)
        or match["unit"]
        or match["scale"]
        or (match["low"] and "." in match["low"])
    ):
        return None
    if match["letter"]:
        if not word and "(" not in lead and ":" not in lead and "=" not in lead:
            return None
        low = LEVEL_LETTERS.index(match["letter"].upper())
        high = LEVEL_LETTERS.index(match["last"].upper()) if match["last"] else low
    else:
        share = bool(match["unit"] or match["unit2"])
        if not share and match["of"] is None and float(match["low"]) > 5.0:
            return None
        low = _levels(match["low"], share, match["of"])
        high = _levels(match["high"], share, match["of"]) if match["high"] else low
        if max(low, high) > 5:
            return None
    spread = "(" not in lead and re.search(r"[a-z]", lead + (word or ""), re.IGNORECASE) is not None
    return Value(
        (min(low, high), max(low, high)),
        match.end(),
        spread,
        any(map(float, filter(None, (match["low"], match["high"])))),
    )
