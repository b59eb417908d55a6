"""Texts that a spreadsheet would run as a formula, and the ``'`` before them that keeps it from doing so."""

from __future__ import annotations

__all__ = ["guarded", "unguarded"]

_MARKS = tuple("=+-@\t\r\n＝＋－＠")
"""What such a cell begins with (OWASP, *CSV Injection*)."""


def guarded(text: str) -> str:
    """``"=1+1"`` -> ``"'=1+1"``; other texts as they are."""
    return f"'{text}" if text.startswith(_MARKS) else text


def unguarded(text: str) -> str:
    """Back from `guarded`."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_MARKS) else text
